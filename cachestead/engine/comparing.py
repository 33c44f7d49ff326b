"""Whether keys are the same on two masters: content, type and deadline.

The dump of a key is compared first. Where dumps differ that need not mean anything (a set is dumped in the order
of its hash table), so the content is read then. Keys too large for that are compared by length.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

from cachestead.engine.connection import Client, call_each

LARGE_BYTES = 1024 * 1024
AT_ONCE = 250
_READ: dict[str, tuple[tuple[Any, ...], ...]] = {
    "string": (("GET",),),
    "list": (("LRANGE", 0, -1),),
    "set": (("SMEMBERS",),),
    "zset": (("ZRANGE", 0, -1, "WITHSCORES"),),
    "hash": (("HGETALL",),),
    "stream": (("XRANGE", "-", "+"), ("XINFO", "GROUPS")),
}
_LENGTH = {"string": "STRLEN", "list": "LLEN", "set": "SCARD", "zset": "ZCARD", "hash": "HLEN", "stream": "XLEN"}


async def differing(source: Client, target: Client, keys: Sequence[str]) -> list[str]:
    """Those of the keys that the source has and the target has not, or not so. Raises `EngineError`."""
    found = []
    for first in range(0, len(keys), AT_ONCE):
        some = keys[first : first + AT_ONCE]
        found += await _differing_of_a_few(source, target, some)
    return found


async def _differing_of_a_few(source: Client, target: Client, keys: Sequence[str]) -> list[str]:
    sizes = await call_each(source, [("MEMORY USAGE", key) for key in keys])
    small = [key for key, size in zip(keys, sizes, strict=True) if size is not None and size <= LARGE_BYTES]
    large = [key for key, size in zip(keys, sizes, strict=True) if size is not None and size > LARGE_BYTES]
    ends, same = await _both(source, target, [("PEXPIRETIME", key) for key in (*small, *large)])
    odd = {key for key, here, there in zip((*small, *large), ends, same, strict=True) if here not in (there, -2)}
    dumps, others = await _both(source, target, [("DUMP", key) for key in small])
    unlike = [key for key, here, there in zip(small, dumps, others, strict=True) if here not in (there, None)]
    odd |= {key for key in unlike if await _reads(source, key) != await _reads(target, key)}
    odd |= {key for key in large if await _length(source, key) != await _length(target, key)}
    # What expired while it was compared is gone on both sides, or about to be.
    left = await call_each(source, [("EXISTS", key) for key in sorted(odd)])
    return [key for key, there in zip(sorted(odd), left, strict=True) if there]


async def _reads(client: Client, key: str) -> Any:
    """The content in an order of its own; of a type that is not known, its dump."""
    [kind] = await call_each(client, [("TYPE", key)])
    reads = _READ.get(kind, (("DUMP",),))
    answers = await call_each(client, [_of_key(words, key) for words in reads])
    if kind == "set":
        return kind, sorted(answers[0])
    return kind, sorted(answers[0].items()) if kind == "hash" else answers


async def _length(client: Client, key: str) -> Any:
    [kind] = await call_each(client, [("TYPE", key)])
    return kind, await call_each(client, [(_LENGTH.get(kind, "MEMORY USAGE"), key)])


def _of_key(words: Sequence[Any], key: str) -> tuple[Any, ...]:
    """The command on the key: `XINFO GROUPS key`, `LRANGE key 0 -1`."""
    return (*words, key) if words[0] == "XINFO" else (words[0], key, *words[1:])


async def _both(source: Client, target: Client, commands: Sequence[tuple[Any, ...]]) -> Iterator[list[Any]]:
    return iter(await asyncio.gather(call_each(source, commands), call_each(target, commands)))
