"""Commands over many keys or all of them: split by shard, asked at once, merged into one reply.

Between the parts other clients' commands may run; each part is atomic by itself. What cannot be merged
(MSETNX, set operations over several slots) is refused in `calls.py`, as on a cluster.
"""

from __future__ import annotations

import random
from binascii import crc_hqx
from collections.abc import Callable, Sequence

from cachestead.proxy.batches import Gathering
from cachestead.proxy.calls import Call, immediate, pass_on
from cachestead.proxy.configuration import Layout
from cachestead.proxy.framing import arguments, pack, split_array
from cachestead.proxy.replies import (
    NULL2,
    NULL3,
    OK,
    array,
    bulk,
    elements,
    error,
    first_error,
    integer,
    number,
    wrong_arity,
)
from cachestead.proxy.slots import slot_of

SPLIT = frozenset({"del", "exists", "mget", "mset", "touch", "unlink"})
"""Commands over any keys whose parts can be merged."""
Merge = Callable[[list[bytes]], bytes]


@immediate(*SPLIT)
def split(call: Call) -> bytes | None:
    """One part for each slot; a slot's keys go together, in their order."""
    session, command, words = call.session, call.command, call.words
    step = 2 if command.name == "mset" else 1
    if (len(words) - 1) % step:
        return wrong_arity(command.name)
    if session.proxy.is_replicated or len(words) == 1 + step:
        return pass_on(call)
    keys = words[1::step]
    slots = list(map(slot_of, keys)) if b"{" in call.raw else [crc_hqx(key, 0) & 16383 for key in keys]
    if command.name == "mget" and len(set(slots)) == len(slots) and max(map(len, keys)) < len(_GET_HEADS):
        _get_each(call, keys, slots)
        return None
    by_slot: dict[int, list[int]] = {}
    for place, slot in enumerate(slots):
        by_slot.setdefault(slot, []).append(1 + place * step)
    if len(by_slot) == 1:
        return pass_on(call)
    name, groups = command.name.encode(), list(by_slot.values())
    gathering = Gathering(call.entry, len(groups), _merge_of(command.name, groups))
    writers, owner_of = session.lane.writers, session.lane.owner_of
    for index, (slot, group) in enumerate(by_slot.items()):
        raw = pack(name, *(word for place in group for word in words[place : place + step]))
        writers[owner_of[slot]].put((gathering, index, command, raw))
    return None


_GET_HEADS = [b"*2\r\n$3\r\nGET\r\n$%d\r\n" % length for length in range(256)]
"""What a GET begins with, by the length of its key."""


def _get_each(call: Call, keys: Sequence[bytes], slots: Sequence[int]) -> None:
    """Keys that are all in slots of their own: what GET says is an element of what MGET says."""
    merge = _merge_strings2 if call.protocol == 2 else _merge_strings3
    gathering, command = Gathering(call.entry, len(keys), merge), call.command
    writers, owner_of = call.session.lane.writers, call.session.lane.owner_of
    for index, key in enumerate(keys):
        raw = _GET_HEADS[len(key)] + key + b"\r\n"
        writers[owner_of[slots[index]]].put((gathering, index, command, raw))


def _merge_strings(replies: list[bytes], null: bytes) -> bytes:
    """What GET said of each key; a key that holds no string has no value."""
    # Values and NULL2 begin with "$", what else there is with a byte above.
    if max(replies)[0] > 36:
        for place, reply in enumerate(replies):
            if reply[0] == 45:
                if not reply.startswith(b"-WRONGTYPE"):
                    return reply
                replies[place] = null
    return array(replies)


def _merge_strings2(replies: list[bytes]) -> bytes:
    return _merge_strings(replies, NULL2)


def _merge_strings3(replies: list[bytes]) -> bytes:
    return _merge_strings(replies, NULL3)


def _merge_of(name: str, groups: Sequence[Sequence[int]]) -> Merge:
    if name == "mset":
        return lambda replies: first_error(replies) or OK
    if name == "mget":
        return lambda replies: first_error(replies) or _in_order(replies, groups)
    return add_up


def _in_order(replies: list[bytes], groups: Sequence[Sequence[int]]) -> bytes:
    """The values of all groups, by the places of their keys."""
    values = [b""] * sum(map(len, groups))
    for reply, group in zip(replies, groups, strict=True):
        if len(group) == 1:
            values[group[0] - 1] = reply[4:]
        else:
            for place, value in zip(group, split_array(reply), strict=True):
                values[place - 1] = value
    return array(values)


def everywhere(call: Call, merge: Merge, raw: bytes | None = None) -> bytes | None:
    """The same to every shard, merged."""
    router = call.session.router
    count = len(router.topology.shards)
    if count < 2:
        router.send(call.entry, call.session.style, call.words, shard=0)
        return None
    gathering = Gathering(call.entry, count, lambda replies: first_error(replies) or merge(replies))
    for shard in range(count):
        entry = (gathering, shard, call.command, raw or call.raw)
        router.send(entry, call.session.style, call.words, shard=shard)
    return None


def add_up(replies: list[bytes]) -> bytes:
    """The sum of numbers."""
    return first_error(replies) or integer(sum(map(number, replies)))


def join(replies: list[bytes]) -> bytes:
    """All elements of all arrays (or sets)."""
    parts = [elements(reply) for reply in replies]
    count = sum(part[0] for part in parts)
    return replies[0][:1] + b"%d\r\n" % count + b"".join(part[1] for part in parts)


def first(replies: list[bytes]) -> bytes:
    """What the first shard said."""
    return replies[0]


@immediate("dbsize")
def dbsize(call: Call) -> bytes | None:
    """Keys of all shards."""
    return everywhere(call, add_up)


@immediate("keys")
def keys(call: Call) -> bytes | None:
    """Keys of all shards that match; of one with replicas, by one of these where the tenant wants that."""
    session = call.session
    told = session.proxy.configuration
    if told.layout is Layout.REPLICATED and told.parameters.get("support-dispatch-to-replica-list") == "KEYS":
        next(session.router.lane(session.style).readers).send(call.entry)
        return None
    return everywhere(call, join)


@immediate("flushall", "flushdb")
def flush(call: Call) -> bytes | None:
    """Empty every shard."""
    version = call.session.proxy.configuration.version
    if call.option(1) == "SYNC" and version >= "6.0":
        return error("ERR syntax error")
    return everywhere(call, first)


@immediate("script|load", "script|flush", "function|load", "function|delete", "function|flush", "function|restore")
def load_everywhere(call: Call) -> bytes | None:
    """Scripts are on every shard, since any may be asked to run them."""
    return everywhere(call, first)


@immediate("script|kill", "function|kill")
def kill_script(call: Call) -> bytes | None:
    """End what runs too long, wherever it runs."""
    gathering_count = len(call.session.router.topology.shards)
    if gathering_count < 2:
        return everywhere(call, first)
    gathering = Gathering(
        call.entry, gathering_count, lambda replies: OK if OK in replies else first_error(replies) or replies[0]
    )
    for shard in range(gathering_count):
        call.session.router.send((gathering, shard, call.command, call.raw), call.session.style, call.words, shard)
    return None


@immediate("script|exists")
def script_exists(call: Call) -> bytes | None:
    """A script exists if every shard has it."""

    def everyone(replies: list[bytes]) -> bytes:
        rows = [elements(reply)[1].split(b"\r\n")[:-1] for reply in replies]
        return array(
            [(b":1" if set(column) == {b":1"} else b":0") + b"\r\n" for column in zip(*rows, strict=True)]
        )

    return everywhere(call, everyone)


@immediate("randomkey")
def randomkey(call: Call) -> bytes | None:
    """A key of a random shard that has one."""

    def any_key(replies: list[bytes]) -> bytes:
        found = [reply for reply in replies if reply not in (NULL2, NULL3)]
        return random.choice(found) if found else replies[0]  # noqa: S311 - no secret

    return everywhere(call, any_key)


@immediate("scan")
def scan(call: Call) -> bytes | None:
    """One step of a walk over the shards, one after the other.

    The cursor carries the shard's index beside the shard's own cursor: nothing is remembered between the steps,
    and any proxy can go on with the walk.
    """
    router, words = call.session.router, call.words
    count = max(len(router.topology.shards), 1)
    try:
        cursor = int(words[1])
        if not 0 <= cursor < 2**64 or words[1].strip() != words[1]:
            raise ValueError  # noqa: TRY301 - the same answer
    except ValueError:
        return error("ERR invalid cursor")
    shard, inner = cursor % count, cursor // count
    raw = pack(b"SCAN", b"%d" % inner, *words[2:])

    def onward(replies: list[bytes]) -> bytes:
        reply = replies[0]
        if reply[:1] != b"*":
            return reply
        end = reply.index(b"\r\n", start := reply.index(b"\r\n", 4) + 2)
        following = int(reply[start:end])
        if following:
            following = following * count + shard
        elif shard + 1 < count:
            following = shard + 1
        return b"*2\r\n" + bulk(b"%d" % following) + reply[end + 2 :]

    gathering = Gathering(call.entry, 1, onward)
    router.send((gathering, 0, call.command, raw), call.session.style, arguments(raw), shard=shard)
    return None


@immediate("eval", "evalsha", "eval_ro", "evalsha_ro", "fcall", "fcall_ro")
def run_script(call: Call) -> bytes | None:
    """A script runs where its keys are; on a cluster it has to name one (service limits, 13.3)."""
    if call.session.router.configuration.layout is Layout.CLUSTER and call.words[2] == b"0":
        return error("ERR eval/evalsha numkeys must be bigger than zero in redis cluster mode")
    return pass_on(call, only_reads=_reads_on_replicas(call))


def _reads_on_replicas(call: Call) -> bool:
    """Whether the tenant wants scripts of accounts that only read to run on replicas.

    EVALSHA stays with the master: nobody but the master is told of scripts beforehand.
    """
    wanted = call.session.proxy.configuration.parameters.get("readonly-lua-route-to-slave-enabled") == "yes"
    return wanted and call.session.reads_only and call.command.name in ("eval", "fcall")


@immediate("publish", "pubsub|channels", "pubsub|numsub", "pubsub|numpat")
def to_listeners(call: Call) -> bytes | None:
    """Channels are all at the first slot's shard, so that who publishes learns how many listen."""
    session = call.session
    shard = session.router.topology.owner_of[0]
    session.router.send(call.entry, session.style, call.words, shard=shard)
    return None


@immediate("pubsub|shardchannels")
def shard_channels(call: Call) -> bytes | None:
    """Sharded channels of all shards."""
    return everywhere(call, join)


@immediate("pubsub|shardnumsub")
def shard_listeners(call: Call) -> bytes | None:
    """Who listens to sharded channels: each is known by its own shard, and nobody listens at the others."""

    def add_rows(replies: list[bytes]) -> bytes:
        counts = [sum(column) for column in zip(*map(_counts, replies), strict=True)]
        return array(
            [part for row in zip(call.words[2:], counts, strict=True) for part in (bulk(row[0]), integer(row[1]))]
        )

    return everywhere(call, add_rows)


def _counts(reply: bytes) -> list[int]:
    """The numbers of an array of names and numbers."""
    body, position, counts = elements(reply)[1], 0, []
    while position < len(body):
        end = body.index(b"\r\n", position) + 2
        position = end + int(body[position + 1 : end - 2]) + 2
        end = body.index(b"\r\n", position) + 2
        counts.append(int(body[position + 1 : end - 2]))
        position = end
    return counts
