"""Bringing files of backups to the object store and back, and which code stands for what went wrong.

Nothing is held in memory but a piece; checksums are of the content, taken on the way.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cachestead.domain.backups import BackupFile, TaskError
from cachestead.engine.errors import EngineMissing, FileUnreadable, ReplicationLate
from cachestead.objects.errors import ObjectDamaged, ObjectMissing, ObjectsUnavailable
from cachestead.objects.store import Objects
from cachestead.runtime.interface import NodeNotStarted

PIECE_BYTES = 1024 * 1024
T = TypeVar("T")

Passed = Callable[[int], Awaitable[None]]
"""Told after each piece how many bytes went by in all."""


@dataclass(frozen=True)
class Content:
    """What a file holds, as far as can be told without reading it again."""

    size: int
    """Bytes."""
    sha256: str


class NotWhatWasStored(Exception):
    """A file of the object store is not what was put there."""


def error_of(failure: Exception) -> TaskError:
    """The code in the record of a backup or restoration for what went wrong."""
    match failure:
        case NodeNotStarted() | EngineMissing():
            return TaskError.TOOL_NOT_STARTED
        case TimeoutError() | ReplicationLate():
            return TaskError.TIMED_OUT
        case ObjectsUnavailable():
            return TaskError.NO_BUCKET
        case ObjectMissing() | ObjectDamaged() | NotWhatWasStored() | FileUnreadable():
            return TaskError.NO_SIZE
    return TaskError.NOT_SYNCHRONIZED


async def _nobody(_size: int) -> None:
    """Is not told."""


async def telling(work: Awaitable[T], tell: Callable[[TaskError, str], Awaitable[None]]) -> T:
    """What the work ends with. If it fails, somebody is told the code and why, and the failure is raised."""
    try:
        return await work
    except Exception as failure:
        await tell(error_of(failure), str(failure) or type(failure).__name__)
        raise


async def store_pieces(
    objects: Objects, key: str, pieces: AsyncGenerator[bytes, None], passed: Passed = _nobody
) -> Content:
    """Put the pieces there as they come. Raises what they raise, `ObjectsUnavailable`."""
    digest, size = hashlib.sha256(), 0

    async def counted() -> AsyncIterator[bytes]:
        nonlocal size
        async with aclosing(pieces):
            async for piece in pieces:
                digest.update(piece)
                size += len(piece)
                yield piece
                await passed(size)

    await objects.put(key, counted())
    return Content(size, digest.hexdigest())


async def save_pieces(file: Path, pieces: AsyncGenerator[bytes, None], passed: Passed = _nobody) -> Content:
    """Write the pieces to a file. Raises what they raise, `OSError`."""
    digest, size = hashlib.sha256(), 0
    with file.open("wb") as opened:
        async with aclosing(pieces):
            async for piece in pieces:
                digest.update(piece)
                size += len(piece)
                await asyncio.to_thread(opened.write, piece)
                await passed(size)
    return Content(size, digest.hexdigest())


async def fetch_file(objects: Objects, key: str, stored: BackupFile, file: Path, passed: Passed) -> None:
    """The file of a backup is here, and is what was stored. Raises `NotWhatWasStored`, `ObjectsError`."""
    check_content(await save_pieces(file, objects.read(key), passed), stored)


def check_content(content: Content, stored: BackupFile) -> None:
    """It is what was stored. Raises `NotWhatWasStored`."""
    if (content.size, content.sha256) != (stored.size, stored.sha256):
        raise NotWhatWasStored(f"{stored.name}: {content.size} bytes that are not the {stored.size} stored")


async def read_pieces(file: Path) -> AsyncGenerator[bytes, None]:
    """A file, piece by piece."""
    with file.open("rb") as opened:
        while piece := await asyncio.to_thread(opened.read, PIECE_BYTES):
            yield piece
