"""Encryption: what comes out is what went in, however it is cut; what was touched or cut off never passes for whole."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from itertools import pairwise

import pyrage
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from installation import eventually
from object_stores import MIB, pieces

from cachestead.objects.errors import ObjectDamaged
from cachestead.objects.keys import ObjectKeys
from cachestead.objects.sealing import HEAD, MAGIC, seal, unseal, unsealed_size

IDENTITY = ObjectKeys.made_up().identity
OPENER = pyrage.x25519.Identity.from_str(IDENTITY)

_contents = st.one_of(
    st.binary(max_size=300),
    st.sampled_from([65535, 65536, 65537, 131072, 1_200_000]).map(lambda size: b"x" * size),
)
_cuts = st.lists(st.integers(0, 1_300_000), max_size=12)


def cut(content: bytes, at: list[int]) -> list[bytes]:
    """The content in pieces, some of which may be empty."""
    edges = [0, *sorted(min(one, len(content)) for one in at), len(content)]
    return [content[start:stop] for start, stop in pairwise(edges)]


async def joined(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


@settings(deadline=None, max_examples=60)
@given(_contents, _cuts, _cuts)
def test_any_pieces_come_out_as_they_went_in(content: bytes, first: list[int], second: list[int]) -> None:
    sealed = asyncio.run(joined(seal(pieces(*cut(content, first)), IDENTITY)))

    assert sealed.startswith(MAGIC)
    assert asyncio.run(joined(unseal(pieces(*cut(sealed, second)), IDENTITY))) == content
    assert unsealed_size(len(sealed), sealed[:HEAD]) == len(content)
    assert pyrage.decrypt(sealed, [OPENER]) == content


@settings(deadline=None, max_examples=60)
@given(_contents, st.integers(1, 2_000_000))
def test_whatever_is_cut_off_is_noticed(content: bytes, place: int) -> None:
    sealed = asyncio.run(joined(seal(pieces(content), IDENTITY)))

    for left in (place % len(sealed), len(sealed) - 1 - place % 20):
        with pytest.raises(ObjectDamaged):
            asyncio.run(joined(unseal(pieces(sealed[:left]), IDENTITY)))


@settings(deadline=None, max_examples=60)
@given(_contents, st.integers(0, 2_000_000), st.integers(0, 7))
def test_whatever_is_altered_is_noticed(content: bytes, place: int, bit: int) -> None:
    sealed = bytearray(asyncio.run(joined(seal(pieces(content), IDENTITY))))
    sealed[place % len(sealed)] ^= 1 << bit

    with pytest.raises(ObjectDamaged):
        asyncio.run(joined(unseal(pieces(bytes(sealed)), IDENTITY)))


@settings(deadline=None, max_examples=30)
@given(st.binary(min_size=1, max_size=50))
def test_whatever_is_added_is_noticed(added: bytes) -> None:
    sealed = asyncio.run(joined(seal(pieces(b"content"), IDENTITY)))

    with pytest.raises(ObjectDamaged):
        asyncio.run(joined(unseal(pieces(sealed + added), IDENTITY)))


async def test_another_key_opens_nothing() -> None:
    sealed = await joined(seal(pieces(b"content"), IDENTITY))

    with pytest.raises(ObjectDamaged):
        await joined(unseal(pieces(sealed), ObjectKeys.made_up().identity))


@pytest.mark.parametrize(
    ("size", "head"),
    [(0, b""), (100, MAGIC), (30, MAGIC + b"-> X25519"), (90, MAGIC + b"--- " + b"A" * 43 + b"\n")],
    ids=["empty", "without an end", "cut off in the header", "cut off behind the header"],
)
def test_a_size_that_cannot_be_is_damage(size: int, head: bytes) -> None:
    with pytest.raises(ObjectDamaged):
        unsealed_size(size, head)


async def test_what_the_pieces_raise_is_raised() -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield os.urandom(MIB)
        raise LookupError("the node is gone")

    with pytest.raises(LookupError, match="the node is gone"):
        await joined(seal(failing(), IDENTITY))


@pytest.mark.parametrize("taken", [0, 1])
async def test_no_thread_outlives_its_reader(taken: int) -> None:
    closed = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield os.urandom(MIB)
        finally:
            closed.set()

    sealed = seal(endless(), IDENTITY)
    for _ in range(taken):
        await anext(sealed)
    if not taken:
        asking = asyncio.create_task(anext(sealed))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    await sealed.aclose()

    assert closed.is_set() or not taken
    await asyncio.to_thread(eventually, no_thread)


async def test_no_thread_outlives_a_reader_that_leaves() -> None:
    sealed = await joined(seal(pieces(*[os.urandom(MIB)] * 4), IDENTITY))

    clear = unseal(pieces(sealed), IDENTITY)
    await anext(clear)
    await clear.aclose()

    await asyncio.to_thread(eventually, no_thread)


def no_thread() -> bool:
    return not any(one.name == "age" for one in threading.enumerate())
