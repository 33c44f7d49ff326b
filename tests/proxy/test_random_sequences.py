"""Whatever two clients ask, in whatever order and pieces, the proxy answers what an engine would.

Requests are made up at random, over few keys so that they meet. The usual run always makes up the same ones; to look
for more, `pytest tests/proxy/test_random_sequences.py --hypothesis-profile search --timeout 0`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from documented import REFUSED_INSIDE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from proxied import VERSION
from raw_replies import Replies, Reply
from twins import Side, Twins, Words, difference, names_of, shown, start_twins
from wires import request

from cachestead.engine.catalogue import find_engines
from cachestead.proxy.configuration import Layout
from cachestead.proxy.keyspace import SPLIT
from cachestead.proxy.slots import slot_of
from cachestead.settings import EngineSettings

TAGGED = (b"{t}", b"{t}\r\n", b"b{t}}{", b"\xff{t}{x}")
"""What the names of keys in one slot begin with."""
OTHERS = (b"", b"a", b"{}", b"}{", b"\r\n$1\r\n", b"\0\xff{", b"{\r\n}", b"{t")
ENDS = {
    "strings": b"",
    "bits": b"b",
    "lists": b"l",
    "sets": b"s",
    "sorted sets": b"z",
    "hashes": b"h",
    "streams": b"x\r\n",
    "places": b"{g}",
    "counts": b"}",
}
"""What they end with, by what is usually there."""
TOPICS = {
    "strings": """
        GET key | SET key value | SET key value NX | SET key value XX GET | SET key value EX 100000 | APPEND key value
        STRLEN key | GETRANGE key index index | SETRANGE key count value | INCR key | INCRBY key number | DECR key
        INCRBYFLOAT key score | SETNX key value | GETSET key value | GETDEL key | GETEX key EX 100000 | GETEX key PERSIST
        SETEX key 100000 value | SET key number | PSETEX key 100000000 value | SUBSTR key index index
        MSETNX near value near value | LCS near near | LCS near near LEN
        MGET key | MGET any any | MGET any any any any | MGET near near any | MSET key value | MSET any value any value
        MSET any value near value any value | MGET any | MSET near value near value | MGET near near
    """,
    "keys": """
        DEL any | DEL any any | DEL any any any any | UNLINK any any | EXISTS any | EXISTS any any any | TOUCH any any
        UNLINK any | TOUCH any any any | EXISTS near near any any | TYPE any | EXPIRE any 100000 | PEXPIRE any 100000000
        EXPIRE any 200000 NX | EXPIREAT any 4000000000 | TTL any | PTTL any | EXPIRETIME any | PERSIST any
        RENAME near near | RENAMENX near near | COPY near near | COPY near near REPLACE | OBJECT ENCODING any
        SORT key ALPHA | SORT near ALPHA STORE near | DUMP missing | KEYS pattern | DBSIZE | FLUSHDB | FLUSHALL
    """,
    "bits": """
        SETBIT key count bit | GETBIT key count | BITCOUNT key | BITCOUNT key index index BIT | BITPOS key bit
        BITFIELD key SET u8 0 count INCRBY i5 3 number | BITFIELD key OVERFLOW FAIL INCRBY u2 1 count
        BITFIELD_RO key GET u4 0 | BITOP AND near near near | BITOP NOT near near
    """,
    "lists": """
        LPUSH key value | RPUSH key value value | RPUSH key value value value | LPUSHX key value | LPOP key | RPOP key count
        LLEN key | LRANGE key index index | LRANGE key 0 -1 | LINDEX key index | LSET key index value | LREM key number value
        LINSERT key BEFORE value value | LTRIM key index index | LPOS key value RANK 1 | LMOVE near near LEFT RIGHT
        RPOPLPUSH near near | LMPOP 2 near near LEFT COUNT 2 | BLPOP key 0.001 | BRPOP near near 0.001
        BLMOVE near near RIGHT LEFT 0.001 | BLMPOP 0.001 2 near near LEFT | BRPOPLPUSH near near 0.001
    """,
    "sets": """
        SADD key value | SADD key value value value | SADD key number number | SREM key value | SISMEMBER key value
        SMISMEMBER key value value | SMEMBERS key | SCARD key | SMOVE near near value | SINTER near near | SUNION near near
        SDIFF near near | SINTERSTORE near near near | SUNIONSTORE near near near | SDIFFSTORE near near near
        SINTERCARD 2 near near | SSCAN key 0 | SUNION key
    """,
    "sorted sets": """
        ZADD key score value | ZADD key score value score value | ZADD key NX CH score value | ZADD key GT score value
        ZADD key INCR score value | ZINCRBY key score value | ZREM key value | ZCARD key | ZSCORE key value | ZRANK key value
        ZMSCORE key value value | ZREVRANK key value | ZRANGE key index index | ZRANGE key 0 -1 WITHSCORES | ZCOUNT key -INF score
        ZRANGEBYSCORE key score score WITHSCORES LIMIT 0 2 | ZREVRANGE key index index | ZRANGEBYLEX key - + | ZPOPMIN key
        ZPOPMAX key count | ZREMRANGEBYRANK key index index | ZREMRANGEBYSCORE key score score | ZRANK key value WITHSCORE
        ZUNIONSTORE near 2 near near WEIGHTS 2 3 | ZINTERSTORE near 2 near near AGGREGATE MAX | ZUNION 2 near near WITHSCORES
        ZINTER 2 near near | ZDIFF 2 near near WITHSCORES | ZDIFFSTORE near 2 near near | ZINTERCARD 2 near near
        ZRANGESTORE near near index index | ZMPOP 2 near near MIN | BZPOPMIN near near 0.001 | BZMPOP 0.001 1 near MAX
        BZPOPMAX key 0.001
    """,
    "hashes": """
        HSET key value value | HSET key value value value value | HSETNX key value value | HGET key value | HMGET key value value
        HDEL key value | HEXISTS key value | HLEN key | HSTRLEN key value | HGETALL key | HKEYS key | HVALS key
        HINCRBY key value number | HINCRBYFLOAT key value score | HMSET key value value | HSCAN key 0 | HSET key value number
    """,
    "streams": """
        XADD key id value value | XADD key MAXLEN = 2 id value value | XADD key NOMKSTREAM id value value | XLEN key
        XRANGE key - + | XRANGE key id + COUNT 2 | XREVRANGE key + - | XDEL key id | XTRIM key MAXLEN count | XTRIM key MINID id
        XREAD COUNT 2 STREAMS key id | XREAD STREAMS near near id id | XREAD BLOCK 1 STREAMS key $ | XSETID key id
        XGROUP CREATE key G id | XGROUP CREATE key G $ MKSTREAM | XGROUP CREATECONSUMER key G C | XGROUP DESTROY key G
        XREADGROUP GROUP G C STREAMS key > | XREADGROUP GROUP G C COUNT 1 STREAMS near near > > | XACK key G id
        XREADGROUP GROUP G D NOACK BLOCK 1 STREAMS key > | XPENDING key G | XPENDING key G - + 10 | XCLAIM key G D 0 id
        XAUTOCLAIM key G D 0 - | XINFO GROUPS key | XINFO STREAM key
    """,
    "places": """
        GEOADD key degrees degrees value | GEOPOS key value | GEODIST key value value KM | GEOHASH key value
        GEOSEARCH key FROMLONLAT degrees degrees BYRADIUS 2000 KM ASC WITHDIST | GEORADIUS key degrees degrees 2000 KM ASC
        GEOSEARCHSTORE near near FROMLONLAT degrees degrees BYBOX 2000 2000 KM | GEORADIUS_RO key degrees degrees 9 KM ASC
        GEORADIUSBYMEMBER key value 3000 KM ASC | GEORADIUS near degrees degrees 3000 KM STORE near
    """,
    "counts": "PFADD key value value | PFADD key value | PFCOUNT key | PFCOUNT near near | PFMERGE near near near",
    "scripts": """
        EVAL script 1 any value | EVAL script 2 near near value | EVALSHA loaded 1 any value | EVALSHA value 1 any
        EVALSHA loaded 3 near near near value | EVAL_RO reading 1 any | EVAL script 1 any value
        EVAL_RO script 1 any value
    """,
    "transactions": """
        MULTI | MULTI | MULTI | EXEC | EXEC | EXEC | EXEC | DISCARD | WATCH near | WATCH near near | WATCH near | UNWATCH
    """,
    "the connection": """
        HELLO 2 | HELLO 3 | HELLO | HELLO 4 | PING | PING value | ECHO value | CLIENT SETNAME word | CLIENT GETNAME
        PUBLISH value value | SCRIPT EXISTS loaded value | SELECT database | GET | NOSUCH any | SET key | MSET any value any
        CONFIG GET nothing | COMMAND COUNT | CLIENT NOSUCH | COMMAND GETKEYS MSET any value any value
    """,
}  # fmt: skip
"""Requests by topic. What is in lower case stands for anything of its kind."""
SCRIPTS = (
    b"return {KEYS, ARGV, #KEYS}",
    b"return redis.call('GET', KEYS[1])",
    b"redis.call('SET', KEYS[#KEYS], ARGV[1]) return redis.call('GET', KEYS[1])",
    b"return redis.pcall('LPUSH', KEYS[1], ARGV[1])",
    b"return {1, false, {'x', {}}, redis.status_reply('\\0y'), 3.7}",
    b"redis.setresp(3) return {double=1.5, map={a=true}}",
    b"return redis.error_reply('OWN error')",
    b"return redis.call('NOSUCH')",
    b"error('a\\r\\nb')",
    b"return (",
)
LOADED = b"return {redis.call('EXISTS', KEYS[1]), ARGV[1], KEYS[1]}"
LOADED_NAME = hashlib.sha1(LOADED).hexdigest().encode()
VALUES = (
    b"",
    b"x",
    b"y",
    b"\r\n",
    b"{",
    b"}",
    b"{t}",
    b"7",
    b"-1",
    b"2.5",
    b"+OK\r\n",
    b"$-1\r\n",
    b"\0\xff",
    b"v" * 5000,
)
CLIENTS = ("one", "another")


def keys(ends: Sequence[bytes], begins: Sequence[bytes]) -> some.SearchStrategy[bytes]:
    """Names of keys; mostly of those that end in the usual way."""
    usual = some.sampled_from([begin + ends[0] for begin in begins])
    return some.one_of(
        usual, usual, usual, some.builds(bytes.__add__, some.sampled_from(begins), some.sampled_from(ends))
    )


def of_numbers(*numbers: float) -> some.SearchStrategy[bytes]:
    return some.sampled_from([b"%g" % number for number in numbers])


def requests_of(topic: str, layout: Layout) -> some.SearchStrategy[Words]:
    """Requests of a topic. Where commands are not split, keys of the cluster are all in one slot."""
    own = ENDS.get(topic)
    ends = list(ENDS.values()) if own is None else [own, *ENDS.values()]
    everywhere = (*TAGGED, *OTHERS)
    kinds: dict[str, some.SearchStrategy[bytes]] = {
        "key": keys(ends, everywhere),
        "near": keys(ends, TAGGED if layout is Layout.CLUSTER else everywhere),
        "any": some.builds(bytes.__add__, some.sampled_from(everywhere), some.sampled_from(list(ENDS.values()))),
        "missing": some.just(b"missing"),
        "value": some.one_of(some.sampled_from(VALUES), some.binary(max_size=3)),
        "word": some.sampled_from([b"w", b"", b"two words", b"x-y"]),
        "number": of_numbers(0, 1, -1, 2, 10, -3, 1 << 20),
        "count": of_numbers(0, 1, 2, 5, 17),
        "index": of_numbers(0, 1, -1, 2, -2, -100, 100),
        "bit": of_numbers(0, 1),
        "score": some.sampled_from([b"0", b"1", b"-1", b"1.5", b"3e10", b"inf", b"-inf", b"(1", b"nan"]),
        "id": some.sampled_from([b"0", b"1-1", b"1-2", b"2-*", b"3-0", b"5-5", b"7", b"0-0"]),
        "degrees": of_numbers(0, 13.5, -77, 40, 84),
        "pattern": some.sampled_from([b"*", b"{t}*", b"*s", b"a*", b"", b"\\{t\\}", b"[a{]*", b"*\r\n*"]),
        "script": some.sampled_from(SCRIPTS),
        "loaded": some.just(LOADED_NAME),
        "reading": some.just(SCRIPTS[1]),
        "database": of_numbers(0) if layout is Layout.CLUSTER else of_numbers(0, 1, 2, 255, 256, -1),
        "nothing": some.just(b"no-such-parameter"),
    }
    made = [
        some.tuples(*(kinds[word] if word in kinds else some.just(word.encode()) for word in words.split()))
        for line in TOPICS[topic].strip().splitlines()
        for words in line.split("|")
    ]
    return some.one_of(made)


@dataclass(frozen=True)
class Turn:
    """What one client sends before it reads anything, and the pieces it sends it in."""

    client: str
    requests: tuple[Words, ...]
    cuts: tuple[int, ...]

    def pieces(self) -> Iterator[bytes]:
        data = b"".join(request(*words) for words in self.requests)
        places = [0, *sorted(cut % (len(data) + 1) for cut in self.cuts), len(data)]
        return (data[start:end] for start, end in pairwise(places) if start < end)


def turns(layout: Layout) -> some.SearchStrategy[list[Turn]]:
    by_topic = [requests_of(topic, layout) for topic in TOPICS]
    transactions = requests_of("transactions", layout)
    asked = some.one_of(*by_topic, transactions, transactions, transactions)
    turn = some.builds(
        Turn,
        some.sampled_from(CLIENTS),
        some.lists(asked, min_size=1, max_size=12).map(tuple),
        some.lists(some.integers(0, 2000), max_size=4).map(tuple),
    )
    return some.lists(turn, min_size=1, max_size=10).map(lambda drawn: without_refused(drawn, layout))


def without_refused(drawn: Sequence[Turn], layout: Layout) -> list[Turn]:
    """The same without what the proxy does not take into a transaction, on purpose."""
    inside: dict[str, bool] = {}
    allowed = []
    for turn in drawn:
        requests = []
        for words in turn.requests:
            name, full = names_of(words)
            is_split = layout is Layout.CLUSTER and name in SPLIT and _is_in_several_slots(words)
            if inside.get(turn.client) and (is_split or {name, full} & REFUSED_INSIDE):
                continue
            if name in ("multi", "exec", "discard"):
                inside[turn.client] = name == "multi"
            requests.append(words)
        if requests:
            allowed.append(Turn(turn.client, tuple(requests), turn.cuts))
    return allowed


def _is_in_several_slots(words: Words) -> bool:
    return len(set(map(slot_of, words[1 :: 2 if words[0] == b"MSET" else 1]))) > 1


@dataclass
class Talk:
    """Both sides, asked the same; what clients have queued is known, to tell the replies of EXEC apart."""

    twins: Twins
    queued: dict[str, list[Words]] = field(default_factory=dict)

    def compare(self, turn: Turn) -> str | None:
        expected = _ask(self.twins.plain, turn, [b"".join(turn.pieces())])
        answered = _ask(self.twins.proxy, turn, turn.pieces())
        for words, left, right in zip(turn.requests, expected, answered, strict=False):
            if (found := self._compare(turn.client, words, left, right)) is not None:
                return found
        return f"{len(answered)} replies instead of {len(expected)}" if len(expected) != len(answered) else None

    def _compare(self, client: str, words: Words, left: Reply, right: Reply) -> str | None:
        queued, name = self.queued.setdefault(client, []), names_of(words)[0]
        if left.raw == b"+QUEUED\r\n":
            queued.append(words)
        elif name in ("exec", "discard"):
            self.queued[client] = []
            if left.kind == right.kind == "*" and len(left.parts) == len(right.parts) == len(queued):
                return difference(queued, left.parts, right.parts)
        return difference([words], [left], [right])


def _ask(side: Side, turn: Turn, pieces: Sequence[bytes] | Iterator[bytes]) -> list[Reply]:
    wire = side.wire(turn.client)
    for piece in pieces:
        wire.send(piece)
    return list(Replies(wire).take(len(turn.requests)))


def searched(test: Callable[..., None]) -> Callable[..., None]:
    """The settings of a usual run, unless another profile was asked for."""
    shared: dict[str, Any] = {"deadline": None, "suppress_health_check": list(HealthCheck)}
    if settings.get_current_profile_name() == "search":
        return settings(**shared)(test)
    return settings(**shared, max_examples=120, derandomize=True)(test)


@pytest.fixture(scope="module", params=list(Layout), ids=str)
def twins(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    engine = find_engines(EngineSettings()).engine_for(VERSION)
    with start_twins(tmp_path_factory.mktemp("twins"), engine, request.param) as made:
        yield made


@searched
@given(data=some.data())
def test_any_sequence(twins: Twins, data: some.DataObject):
    drawn = data.draw(turns(twins.layout))
    twins.reset()
    for side in (twins.plain, twins.proxy):
        (loaded,) = side.ask((b"SCRIPT", b"LOAD", LOADED))
        assert loaded.text == LOADED_NAME
    talk = Talk(twins)
    for turn in drawn:
        found = talk.compare(turn)
        assert found is None, f"{turn.client}: {found}\nafter\n{_told(drawn)}"


def _told(drawn: Sequence[Turn]) -> str:
    return "\n".join(f"@{turn.client}: {' ; '.join(map(shown, turn.requests))}" for turn in drawn)
