"""Files that tenants upload to import them, and which objects a project may import at all."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from cachestead.domain.objects import check_upload_name, import_key, own_key
from cachestead.errors import QuotaLimitReached, RequestTooLarge
from cachestead.identity.signatures import refusal
from cachestead.objects.errors import ObjectMissing
from cachestead.operations.service import Service
from cachestead.settings import ObjectSettings

_LOOKED_AT_ONCE = 8


@dataclass(frozen=True)
class Upload:
    """A file that was uploaded."""

    name: str
    """Its name below the project's imports."""
    size: int
    """Bytes of its content."""


def importable(settings: ObjectSettings, bucket: str, file_name: str, project: str) -> tuple[str, str]:
    """Bucket and key of a file that the project may import.

    In the service's own bucket that is what is below the project's id (`imports/x.rdb`, with the id before it or
    not), in another one everything, if the settings name the project. Raises `ObjectMissing` for the rest, exactly
    as for a file that is not there.
    """
    if bucket == settings.bucket:
        return bucket, own_key(project, file_name)
    if any(other.name == bucket and project in other.projects for other in settings.import_buckets):
        return bucket, file_name
    raise ObjectMissing(file_name)


async def add_upload(
    service: Service, project: str, name: str, chunks: AsyncIterator[bytes], content_hash: str | None
) -> Upload:
    """Keep a file, in place of one of the same name. `content_hash` is its SHA-256 in hex, where it was signed.

    Raises `InvalidParameter`, `QuotaLimitReached`, `RequestTooLarge`, and `IncorrectAuthentication` for content
    that is not what was signed; then nothing has changed.
    """
    objects, limits, running = service.objects, service.objects.settings, service.uploading
    names = await _names_of(service, project)
    check_upload_name(name, names)
    if running[project] >= limits.uploads_at_once:
        raise QuotaLimitReached(f"{running[project]} uploads are running")
    if len({*names, name}) + running[project] > limits.max_uploads:
        raise QuotaLimitReached(f"{limits.max_uploads} uploads")
    counted = _Counted(chunks, limits.max_upload_bytes, content_hash)
    running[project] += 1
    try:
        await objects.put(import_key(project, name), counted.chunks())
    finally:
        running[project] -= 1
    return Upload(name, counted.size)


async def list_uploads(service: Service, project: str) -> list[Upload]:
    """The project's files, by name."""
    turns = asyncio.Semaphore(_LOOKED_AT_ONCE)

    async def look(name: str) -> Upload | None:
        async with turns:
            try:
                return Upload(name, await service.objects.size(import_key(project, name)))
            except ObjectMissing:
                return None  # removed meanwhile

    found = await asyncio.gather(*(look(name) for name in sorted(await _names_of(service, project))))
    return [one for one in found if one is not None]


async def remove_upload(service: Service, project: str, name: str) -> None:
    """Remove a file. Raises `ObjectMissing`."""
    key = import_key(project, name)
    await service.objects.size(key)
    await service.objects.remove([key])


async def _names_of(service: Service, project: str) -> list[str]:
    prefix = import_key(project, "")
    return [key.removeprefix(prefix) async for key in service.objects.list(prefix)]


class _Counted:
    """Chunks that are counted and hashed on their way."""

    def __init__(self, chunks: AsyncIterator[bytes], limit: int, content_hash: str | None) -> None:
        self._chunks, self._limit, self._wanted = chunks, limit, content_hash
        self.size = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        """The same chunks. Raises at the end if they are not what was signed, and as soon as they are too many."""
        digest = hashlib.sha256()
        async for chunk in self._chunks:
            self.size += len(chunk)
            if self.size > self._limit:
                raise RequestTooLarge(f"{self._limit} bytes")
            if self._wanted is not None:
                digest.update(chunk)
            yield chunk
        if self._wanted is not None and digest.hexdigest() != self._wanted:
            raise refusal(detail="The content is not what X-Sdk-Content-Sha256 says.")
