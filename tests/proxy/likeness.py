"""When two replies are the same: byte for byte, but for the few commands whose replies cannot be, each with why."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from raw_replies import Reply

Likeness = Callable[[Reply, Reply], bool]
_NEAR = 10_000


def unordered(left: Reply, right: Reply) -> bool:
    """The same elements in any order: tables are hashed with a seed of each process."""
    return left.kind == right.kind and sorted(p.raw for p in left.parts) == sorted(p.raw for p in right.parts)


def unordered_pairs(left: Reply, right: Reply) -> bool:
    """The same pairs in any order, for the same reason."""
    return left.kind == right.kind and _pairs(left) == _pairs(right)


def _pairs(reply: Reply) -> list[tuple[bytes, bytes]]:
    raws = [part.raw for part in reply.parts]
    return sorted(zip(raws[::2], raws[1::2], strict=True))


def scanned(left: Reply, right: Reply) -> bool:
    """A cursor and elements in any order: a cursor is a place in a seeded table."""
    if left.kind != "*" or len(left.parts) != 2 or len(right.parts) != 2:
        return left.raw == right.raw
    return left.parts[0].kind == right.parts[0].kind and unordered(left.parts[1], right.parts[1])


def near(left: Reply, right: Reply) -> bool:
    """The same but for numbers, which are about the same: both are asked one after the other."""
    if left.kind != right.kind or len(left.parts) != len(right.parts):
        return False
    if left.parts:
        return all(map(near, left.parts, right.parts))
    if left.text.isdigit() and right.text.isdigit():
        return abs(int(left.text) - int(right.text)) <= _NEAR
    return left.raw == right.raw


def shape(left: Reply, right: Reply) -> bool:
    """Of the same kinds; what numbers and strings say is each server's own."""
    if left.kind == right.kind == "-":
        return left.raw == right.raw
    return (
        left.kind == right.kind
        and len(left.parts) == len(right.parts)
        and all(map(shape, left.parts, right.parts))
    )


def kind(left: Reply, right: Reply) -> bool:
    """Of the same kind, but equal if they are errors."""
    return left.raw == right.raw if "-" in (left.kind, right.kind) else left.kind == right.kind


def fields(left: Reply, right: Reply) -> bool:
    """Lines with at least the engine's fields."""
    names = set(re.findall(rb"(?:^|[ :\r\n])([a-z-]+)=", left.text))
    return kind(left, right) and names <= set(re.findall(rb"(?:^|[ :\r\n])([a-z-]+)=", right.text))


def sections(left: Reply, right: Reply) -> bool:
    """INFO with the engine's sections, in its order; the proxy may have one of its own."""
    mine = [name for name in re.findall(rb"^# (\w+)", right.text, re.MULTILINE) if name != b"Proxy"]
    return kind(left, right) and re.findall(rb"^# (\w+)", left.text, re.MULTILINE) == mine


def greeting(left: Reply, right: Reply) -> bool:
    """HELLO: ids of clients are each server's own, and modules are not shown."""
    own = rb"id\r\n:\d+|modules\r\n.*"
    return kind(left, right) and re.sub(own, b"", left.raw, flags=re.DOTALL) == re.sub(
        own, b"", right.raw, flags=re.DOTALL
    )


LIKENESS: dict[str, Likeness] = (
    dict.fromkeys(
        ("keys", "smembers", "sdiff", "sinter", "sunion", "pubsub|channels", "pubsub|shardchannels"), unordered
    )
    | dict.fromkeys(("command|list", "function|list"), unordered)
    | {"config|get": unordered_pairs}
    | dict.fromkeys(("sscan", "hscan", "zscan", "scan"), scanned)
    | dict.fromkeys(("ttl", "pttl", "httl", "hpttl", "object|idletime", "wait", "waitaof"), near)
    | dict.fromkeys(("expiretime", "pexpiretime", "hexpiretime", "hpexpiretime", "lastsave"), near)
    | dict.fromkeys(("xpending", "xinfo|consumers", "xinfo|stream", "xinfo|groups"), near)
    # How much memory keys take depends on whether slots are kept book of, and on how the allocator stands; how often
    # a value is referred to, on replicas.
    | dict.fromkeys(("memory|usage", "object|freq", "object|refcount"), kind)
    | dict.fromkeys(
        ("memory|doctor", "memory|malloc-stats", "memory|stats", "latency|doctor", "latency|graph"), kind
    )
    # Facts about the connection and the server.
    | dict.fromkeys(("client|list", "client|info"), fields)
    | dict.fromkeys(("client|id", "slowlog|get", "slowlog|len", "latency|histogram"), kind)
    | dict.fromkeys(("commandlog|get", "commandlog|len", "function|stats", "role"), kind)
    | {"info": sections, "hello": greeting, "lolwut": kind, "time": kind, "xautoclaim": near, "command|docs": kind}
    | dict.fromkeys(("command", "command|info"), kind)
)


def name_of(words: Sequence[bytes]) -> str:
    """The command of a request, with its subcommand where that counts."""
    name = words[0].decode(errors="replace").lower()
    full = f"{name}|{words[1].decode(errors='replace').lower()}" if len(words) > 1 else name
    return full if full in LIKENESS else name


def same(words: Sequence[bytes], left: Reply, right: Reply) -> bool:
    """Whether the proxy's reply (right) is the engine's."""
    return left.raw == right.raw or LIKENESS.get(name_of(words), _never)(left, right)


def _never(left: Reply, right: Reply) -> bool:
    del left, right
    return False
