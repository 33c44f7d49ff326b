"""Buckets: bytes by key, in a folder of this machine or on a server that speaks S3.

The only file that knows the library. Its errors become ours here; so does what the two kinds of store answer
differently. Whether content is encrypted is none of its business.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from cachestead.objects.chunks import peek, within
from cachestead.objects.errors import ObjectMissing, ObjectsError, ObjectsUnavailable
from cachestead.settings import ObjectSettings

if TYPE_CHECKING:  # the library has these for type checkers only
    from obstore import GetOptions, GetResult
    from obstore.store import ClientConfig, S3Credential

PIECE = 4 << 20
"""Bytes that are read at a time, at least."""
_KEY_BYTES = 1024
_PARTS_AT_ONCE = 2
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_STAGED = re.compile(r"#\d+$")
"""End of the names under which the library keeps files that are not whole yet."""
_UNUSABLE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_NOT_CUT = "non-partial response"
_REASON = re.compile(r"<Code>(\w{1,64})</Code>")


class Bucket:
    """One bucket."""

    def __init__(self, name: str, store: S3Store | LocalStore, root: Path | None, part_bytes: int) -> None:
        self.name = name
        self._store = store
        self._root = root
        """The folder, if it is one."""
        self._part_bytes = part_bytes

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        """All chunks are there, or nothing is. What the chunks raise is raised.

        Raises `ValueError` for what can be no key.
        """
        if not _is_key(key):
            raise ValueError(f"not a key: {key!r}")
        head, whole = await peek(chunks, self._part_bytes)
        source = _Source(whole)
        is_small = len(head) < self._part_bytes
        try:
            with _translated(key):
                await obstore.put_async(
                    self._store,
                    key,
                    head if is_small else source,
                    use_multipart=not is_small,
                    chunk_size=self._part_bytes,
                    max_concurrency=_PARTS_AT_ONCE,
                )
                if self._root:
                    await asyncio.to_thread(_settle, self._root, key)
        except ObjectsError as exc:
            if source.failure is not None:
                raise source.failure from None
            if isinstance(exc, ObjectMissing):
                raise ObjectsUnavailable(f"there is no bucket {self.name}") from exc
            raise
        finally:
            await source.stop()

    async def get(self, key: str, span: tuple[int, int] | None = None) -> AsyncGenerator[bytes]:
        """All bytes, or a span of some of them that is inside: from the first until before the second."""
        self._check_present(key)
        with _translated(key):
            if self._root:
                async for piece in self._by_pieces(key, span):
                    yield piece
                return
            found, is_cut = await self._begin(key, span)
            pieces: AsyncIterator[bytes] = found.stream(min_chunk_size=PIECE)
            async for piece in pieces if span is None or is_cut else within(pieces, *span):
                yield bytes(piece)

    async def _by_pieces(self, key: str, span: tuple[int, int] | None) -> AsyncGenerator[bytes]:
        """A file, asked for piece by piece: the library's own stream of one has pieces of some KiB, and is slow.

        Raises `ObjectsUnavailable` if another file took its place meanwhile.
        """
        before = await obstore.head_async(self._store, key)
        at, stop = span or (0, before["size"])
        while at < stop:
            piece = await obstore.get_range_async(self._store, key, start=at, end=min(at + PIECE, stop))
            at += len(piece)
            yield bytes(piece)
        if (await obstore.head_async(self._store, key))["e_tag"] != before["e_tag"]:
            raise ObjectsUnavailable(f"{key} was replaced while it was read")

    async def _begin(self, key: str, span: tuple[int, int] | None) -> tuple[GetResult, bool]:
        """An answer, and whether it is the span only."""
        try:
            options: GetOptions = {} if span is None else {"range": span}
            return await obstore.get_async(self._store, key, options=options), span is not None
        except BaseError as exc:
            # `rclone serve s3` cuts and says that it did not. What it sent is lost then.
            if span is None or _NOT_CUT not in str(exc):
                raise
            return await obstore.get_async(self._store, key), False

    async def size(self, key: str) -> int:
        """Bytes that are kept."""
        self._check_present(key)
        with _translated(key):
            return (await obstore.head_async(self._store, key))["size"]

    async def remove(self, key: str) -> None:
        """There is no such key."""
        try:
            self._check_present(key)
            with _translated(key):
                await obstore.delete_async(self._store, key)
        except ObjectMissing:
            pass

    async def list(self, folder: str) -> AsyncIterator[str]:
        """Every key below a folder, in no order."""
        with _translated(folder):
            async for page in obstore.list(self._store, folder):
                for one in page:
                    yield one["path"]

    async def sign(self, key: str, seconds: int) -> str | None:
        """A link to the server itself, good for GET; None if there is no server."""
        if isinstance(self._store, LocalStore):
            return None
        with _translated(key):
            return await obstore.sign_async(self._store, "GET", key, timedelta(seconds=seconds))

    def _check_present(self, key: str) -> None:
        if not _is_key(key):
            raise ObjectMissing(key)
        # A folder tells apart why a file cannot be there; a server says "not found" to all of it.
        if self._root and (_STAGED.search(key) or not os.path.isfile(self._root / key)):  # noqa: PTH113 - never raises
            raise ObjectMissing(key)


class _Source:
    """The chunks, for the library: what they raised is kept, and who asks for one can be stopped."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._asking: asyncio.Task[object] | None = None
        self.failure: Exception | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        self._asking = asyncio.current_task()
        try:
            return await anext(self._chunks)
        except StopAsyncIteration:
            raise
        except Exception as failure:
            self.failure = failure
            raise
        finally:
            self._asking = None

    async def stop(self) -> None:
        """Nobody waits for a chunk. The library leaves its last question open when it is cancelled."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])


def open_bucket(name: str, settings: ObjectSettings, folder: Path) -> Bucket:
    """A bucket by its name. Raises `ObjectMissing` for what is no name, or a folder that is not there."""
    if not _NAME.fullmatch(name):
        raise ObjectMissing(name)
    part_bytes = settings.part_mb << 20
    if settings.endpoint is not None:
        return Bucket(name, _server(name, settings), None, part_bytes)
    root = folder / name
    if not root.is_dir():
        raise ObjectMissing(name)
    return Bucket(name, LocalStore(root, automatic_cleanup=True), root, part_bytes)


def make_folder(name: str, folder: Path) -> None:
    """A bucket's folder is there, nobody else's to read, and without what an earlier process left half done."""
    root = folder / name
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    for one in (folder, root):
        one.chmod(0o700)
    for path in root.rglob("*"):
        if _STAGED.search(path.name) and path.is_file():
            path.unlink(missing_ok=True)


def _server(name: str, settings: ObjectSettings) -> S3Store:
    assert settings.endpoint is not None
    assert settings.access_key is not None
    assert settings.secret_key is not None
    endpoint = settings.endpoint.rstrip("/")
    if settings.virtual_host:
        parts = urlsplit(endpoint)
        endpoint = parts._replace(netloc=f"{name}.{parts.netloc}").geturl()
    credential: S3Credential = {
        "access_key_id": settings.access_key,
        "secret_access_key": settings.secret_key.get_secret_value(),
        "token": None,
        "expires_at": None,
    }
    client: ClientConfig = {
        "allow_http": True,
        "connect_timeout": timedelta(seconds=settings.connect_seconds),
        "read_timeout": timedelta(seconds=settings.timeout_seconds),
        # For a whole answer, however long: what counts is that it goes on.
        "timeout": timedelta(days=7),
    }
    if settings.ca_file is not None:
        client["root_certificate"] = settings.ca_file.read_bytes()
    return S3Store(
        name,
        # These two win over AWS_… variables of the environment, which are about something else.
        aws_endpoint_url_s3=endpoint,
        credential_provider=lambda: credential,
        region=settings.region,
        virtual_hosted_style_request=settings.virtual_host,
        # Not every server has the call that removes many at once, or asks for it as AWS does.
        disable_bulk_delete=True,
        client_options=client,
        retry_config={"max_retries": 10, "retry_timeout": timedelta(seconds=settings.retry_seconds)},
    )


@contextmanager
def _translated(key: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, ValueError) as exc:
        raise ObjectMissing(key) from exc
    except (BaseError, OSError) as exc:
        raise ObjectsUnavailable(_sentence(exc)) from exc


def _sentence(exc: Exception) -> str:
    """What went wrong, on one line. The library's errors have a second part for its developers."""
    text = str(exc)
    reason = _REASON.search(text)
    return text.partition("\n")[0][:300] + (f" ({reason[1]})" if reason else "")


def _is_key(key: str) -> bool:
    """Whether there can be such a key: what the library takes, and every store."""
    parts = key.split("/")
    return (
        key.isprintable()
        and not any(part in {"", ".", ".."} for part in parts)
        and len(key.encode()) <= _KEY_BYTES
    )


def _settle(root: Path, key: str) -> None:
    """A file that is whole stays so when the machine loses power, and is its owner's alone."""
    path = root / key
    try:
        path.chmod(0o600)
        for place in (path, *(folder for folder in path.parents if folder.is_relative_to(root))):
            descriptor = os.open(place, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    except FileNotFoundError:
        return  # removed meanwhile
    except OSError:
        path.unlink(missing_ok=True)
        raise
