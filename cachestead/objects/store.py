"""Object storage: backups, uploads and other files of any size, under keys.

Everything streams. An object is there whole or not at all, and what is read is what was put: whether it lies in a
folder or on an S3 server, encrypted or not, shows neither in a key nor in a size. Knows no tenants: keys are the
callers' business.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cachestead.objects.buckets import Bucket, make_folder, open_bucket
from cachestead.objects.chunks import peek, within
from cachestead.objects.keys import ObjectKeys
from cachestead.objects.links import Links
from cachestead.objects.sealing import HEAD, MAGIC, seal, unseal, unsealed_size
from cachestead.settings import ObjectSettings

_REMOVED_AT_ONCE = 8


@dataclass(frozen=True)
class _Found:
    """What a look at an object tells."""

    size: int
    """Bytes of the content."""
    is_sealed: bool


class Objects:
    """The service's own bucket, and others to read from."""

    def __init__(self, settings: ObjectSettings, folder: Path, keys: ObjectKeys, public_url: str) -> None:
        self.bucket = settings.bucket
        self.links = Links(public_url, keys.links)
        self.settings = settings
        self._folder = folder
        self._identity = keys.identity
        self._buckets: dict[str, Bucket] = {}

    def prepare(self) -> None:
        """Make the folder, if it is one. Call it before anything is put, and while nothing is."""
        if self.settings.endpoint is None:
            make_folder(self.bucket, self._folder)

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        """Keep the content under a key, in place of what was there.

        All of it is there when this returns, and nothing can be read before; what the chunks raise is raised, and
        leaves what was there before. Raises `ObjectsUnavailable`.
        """
        # What begins as if it were encrypted is: so a reader need not know the setting of then.
        head, whole = await peek(chunks, len(MAGIC))
        if self.settings.encrypt or head.startswith(MAGIC):
            whole = seal(whole, self._identity)
        async with aclosing(whole):
            await self._open(None).put(key, whole)

    async def read(
        self, key: str, bucket: str | None = None, *, start: int = 0, stop: int | None = None
    ) -> AsyncGenerator[bytes]:
        """The content in pieces of some MiB, from byte `start` until before byte `stop`.

        Raises `ObjectMissing`, `ObjectsUnavailable`, and, for what was encrypted, `ObjectDamaged`: perhaps only in
        place of the end. Close the iterator (`contextlib.aclosing`) if you do not read to the end.
        """
        source = self._open(bucket)
        pieces: AsyncGenerator[bytes]
        if start == 0 and stop is None:
            head, pieces = await peek(source.get(key), len(MAGIC))
            if head.startswith(MAGIC):
                pieces = unseal(pieces, self._identity)
        else:
            found = await self._look(key, bucket)
            stop = found.size if stop is None else min(stop, found.size)
            if found.is_sealed:
                pieces = within(unseal(source.get(key), self._identity), start, stop)
            else:
                pieces = _span(source, key, start, stop, found.size)
        async with aclosing(pieces):
            async for piece in pieces:
                yield piece

    async def size(self, key: str, bucket: str | None = None) -> int:
        """Bytes of the content as it was put. Raises `ObjectMissing`, `ObjectsUnavailable`, `ObjectDamaged`."""
        return (await self._look(key, bucket)).size

    async def remove(self, keys: Collection[str]) -> None:
        """None of these is there. Raises `ObjectsUnavailable`; then some may be gone and others not."""
        own, turns = self._open(None), asyncio.Semaphore(_REMOVED_AT_ONCE)

        async def remove(key: str) -> None:
            async with turns:
                await own.remove(key)

        await asyncio.gather(*(remove(key) for key in keys))

    def list(self, prefix: str) -> AsyncIterator[str]:
        """Keys below a folder (`a/b` or `a/b/` finds `a/b/c` and no `a/bc`), in no order."""
        return self._open(None).list(prefix)

    async def link(self, key: str, seconds: int, now: datetime) -> str:
        """A URL with which anybody may GET the content for so many seconds.

        It leads to the S3 server (then for a week at most) or, for what is encrypted or in a folder, to this
        service. Raises `ObjectMissing`, `ObjectsUnavailable`.
        """
        found = await self._look(key, None)
        if self.settings.direct_links and not found.is_sealed:
            url = await self._open(None).sign(key, seconds)
            if url is not None:
                return url
        return self.links.sign(self.bucket, key, int(now.timestamp()) + seconds)

    async def _look(self, key: str, bucket: str | None) -> _Found:
        source = self._open(bucket)
        size = await source.size(key)
        async with aclosing(_span(source, key, 0, min(size, HEAD), size)) as pieces:
            head = b"".join([piece async for piece in pieces])
        is_sealed = head.startswith(MAGIC)
        return _Found(unsealed_size(size, head) if is_sealed else size, is_sealed)

    def _open(self, bucket: str | None) -> Bucket:
        name = bucket or self.bucket
        if name not in self._buckets:
            self._buckets[name] = open_bucket(name, self.settings, self._folder)
        return self._buckets[name]


async def _span(source: Bucket, key: str, start: int, stop: int, size: int) -> AsyncGenerator[bytes]:
    """A span of an object of this size. Servers differ in what they answer to one that is empty or the whole."""
    if start >= stop:
        return
    async with aclosing(source.get(key, None if stop - start == size else (start, stop))) as pieces:
        async for piece in pieces:
            yield piece
