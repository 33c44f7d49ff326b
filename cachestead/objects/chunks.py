"""Iterators of bytes: looked into, cut, and closed when nobody reads on."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator


async def close(chunks: AsyncIterator[bytes]) -> None:
    """End an iterator that may not be through: what it holds open is closed now and not some time."""
    if isinstance(chunks, AsyncGenerator):
        await chunks.aclose()


async def peek(chunks: AsyncIterator[bytes], size: int) -> tuple[bytes, AsyncGenerator[bytes]]:
    """The first bytes, at least so many if there are, and all chunks with them."""
    first = bytearray()
    async for chunk in chunks:
        first += chunk
        if len(first) >= size:
            break
    head = bytes(first)
    return head, _together(head, chunks)


async def _together(head: bytes, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    try:
        if head:
            yield head
        async for chunk in chunks:
            yield chunk
    finally:
        await close(chunks)


async def within(chunks: AsyncIterator[bytes], start: int, stop: int) -> AsyncGenerator[bytes]:
    """The bytes from `start` until before `stop`; what follows is not read."""
    at = 0
    try:
        async for chunk in chunks:
            cut = chunk[max(start - at, 0) : max(stop - at, 0)]
            if cut:
                yield cut
            at += len(chunk)
            if at >= stop:
                return
    finally:
        await close(chunks)
