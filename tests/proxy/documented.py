"""What the proxy does otherwise than an engine, on purpose: each with its reason, and what it answers.

The first table is of commands that it does not have, the second of single requests. Where the reason names a
section, it is one of the public service's limits.
"""

from __future__ import annotations

from dataclasses import dataclass

from cachestead.proxy.configuration import Layout

BOTH = (Layout.CLUSTER, Layout.REPLICATED)
REFUSED_INSIDE = frozenset(
    """
    acl auth client command config dbsize flushall flushdb function hello info keys latency memory psubscribe
    punsubscribe quit randomkey reset role scan script select slowlog ssubscribe subscribe sunsubscribe time
    unsubscribe wait watch
    """.split()  # noqa: SIM905 - a list of words reads better
)
"""Commands that a transaction may not hold (13.3): what they ask of a server is not a part of what happens at once."""


@dataclass(frozen=True)
class Difference:
    """Requests of one client, of which the last one is answered in the proxy's own way."""

    why: str
    requests: str
    reply: bytes
    layouts: tuple[Layout, ...] = BOTH


_SLOTS = "13.3: different slots in one call"
_ANYWHERE = "13.3: a script has to say by its keys where to run"
_INSIDE = "13.3: not allowed in a transaction"
_CLUSTER = (Layout.CLUSTER,)
_OF_KEYS = {"randomkey", "keys", "scan", "script|flush", "dbsize", "flushdb", "flushall", "eval"}
"""Allowed where one master has all keys."""


def _elsewhere(first: str, second: str) -> bytes:
    return f"-ERR '{first}' and '{second}' not in the same slot\r\n".encode()


DIFFERENCES = {
    **{
        f"different slots: {request.split()[0]}": Difference(_SLOTS, request, _elsewhere("a", "b"), _CLUSTER)
        for request in (
            "MSETNX a 1 b 2",
            "RENAME a b",
            "RENAMENX a b",
            "COPY a b",
            "SMOVE a b x",
            "SDIFF a b",
            "SINTER a b",
            "SUNION a b",
            "SDIFFSTORE a b b",
            "SINTERSTORE a b b",
            "SUNIONSTORE a b b",
            "SINTERCARD 2 a b",
            "ZUNIONSTORE a 1 b",
            "ZINTERSTORE a 1 b",
            "ZDIFFSTORE a 1 b",
            "ZUNION 2 a b",
            "ZINTER 2 a b",
            "ZDIFF 2 a b",
            "ZINTERCARD 2 a b",
            "ZRANGESTORE a b 0 1",
            "PFCOUNT a b",
            "PFMERGE a b",
            "BITOP AND a b",
            "RPOPLPUSH a b",
            "LMOVE a b LEFT LEFT",
            "LMPOP 2 a b LEFT",
            "ZMPOP 2 a b MIN",
            "BLPOP a b 1",
            "BRPOP a b 1",
            "BRPOPLPUSH a b 1",
            "BLMOVE a b LEFT LEFT 1",
            "BLMPOP 1 2 a b LEFT",
            "BZPOPMIN a b 1",
            "BZPOPMAX a b 1",
            "BZMPOP 1 2 a b MIN",
            "XREAD STREAMS a b 0 0",
            "XREADGROUP GROUP g c STREAMS a b > >",
            "SORT a STORE b",
            "GEORADIUS a 1 1 1 m STORE b",
            "GEORADIUSBYMEMBER a x 1 m STORE b",
            "LCS a b",
            "GEOSEARCHSTORE a b FROMLONLAT 1 1 BYRADIUS 1 m",
            "EVAL return 2 a b",
            "EVALSHA x 2 a b",
            "WATCH a b",
            "FCALL f 2 a b",
            "SSUBSCRIBE a b",
            "EVAL_RO return 2 a b",
            "EVALSHA_RO x 2 a b",
            "FCALL_RO f 2 a b",
        )
    },
    **{
        f"without keys: {request.split()[0]}": Difference(
            _ANYWHERE,
            request,
            b"-ERR eval/evalsha numkeys must be bigger than zero in redis cluster mode\r\n",
            _CLUSTER,
        )
        for request in (
            "EVAL return 0",
            "EVALSHA x 0",
            "EVAL_RO return 0",
            "EVALSHA_RO x 0",
            "FCALL f 0",
            "FCALL_RO f 0",
        )
    },
    **{
        f"in a transaction: {request}": Difference(
            _INSIDE,
            f"MULTI\n{request}",
            f"-ERR '{name}' is not allowed in a transaction\r\n".encode(),
            _CLUSTER if name in _OF_KEYS else BOTH,
        )
        for request, name in {
            "RANDOMKEY": "randomkey",
            "KEYS *": "keys",
            "SCAN 0": "scan",
            "SUBSCRIBE x": "subscribe",
            "UNSUBSCRIBE x": "unsubscribe",
            "PSUBSCRIBE x": "psubscribe",
            "PUNSUBSCRIBE x": "punsubscribe",
            "SSUBSCRIBE x": "ssubscribe",
            "HELLO 3": "hello",
            "CONFIG GET x": "config|get",
            "ROLE": "role",
            "SLOWLOG LEN": "slowlog|len",
            "SCRIPT FLUSH": "script|flush",
            "DBSIZE": "dbsize",
            "AUTH x": "auth",
            "FLUSHDB": "flushdb",
            "FLUSHALL": "flushall",
            "CLIENT ID": "client|id",
            "EVAL x 0": "eval",
            "INFO": "info",
            "SELECT 0": "select",
        }.items()
    },
    "several slots in a transaction": Difference(
        "13.3: the order across slots is not kept, that of the replies is",
        "MULTI\nSET a 1\nSET b 2\nMGET a\nGET b\nEXEC",
        b"*4\r\n+OK\r\n+OK\r\n*1\r\n$1\r\n1\r\n$1\r\n2\r\n",
    ),
    "watched keys in different slots": Difference(
        _SLOTS, "WATCH a\nWATCH b", b"-ERR all watched keys have to be in the same slot\r\n", _CLUSTER
    ),
    "a slot of a key": Difference(
        "clients see no cluster", "CLUSTER KEYSLOT a", b"-ERR This instance has cluster support disabled\r\n"
    ),
    "flushing at once": Difference("13.2: FLUSHALL SYNC not accepted", "FLUSHALL SYNC", b"-ERR syntax error\r\n"),
    "flushing a database at once": Difference("as FLUSHALL", "FLUSHDB SYNC", b"-ERR syntax error\r\n"),
    "another database": Difference(
        "13.3: needs `multi-db`", "SELECT 1", b"-ERR DB index is out of range\r\n", _CLUSTER
    ),
}
