"""Encryption of objects on their way to the store and back, in the age format (age-encryption.org/v1).

Whoever has the key can decrypt a copy of the bucket with the `age` program alone. What is encrypted cannot be
altered, cut off or taken apart unnoticed. Streams: nothing is held that is larger than a few pieces.

The library works on files, so it runs in a thread that asks the coroutine, one thing at a time, for what it reads
and hands over what it writes; the coroutine alone touches the chunks.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import re
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable

import pyrage
from pyrage import x25519

from cachestead.objects.chunks import close
from cachestead.objects.errors import ObjectDamaged

MAGIC = b"age-encryption.org/v1\n"
"""How encrypted content begins."""
HEAD = 8192
"""Bytes from the beginning that are enough to find the end of the header; ours has a few hundred."""
PIECE = 1 << 20
"""Bytes that are handed over at a time."""

_HEADER_END = re.compile(rb"\n--- [A-Za-z0-9+/]{43}\n")
_NONCE, _TAG, _CHUNK = 16, 16, 65536

Filter = Callable[["_Ends", "_Ends"], None]


def seal(chunks: AsyncIterator[bytes], identity: str) -> AsyncGenerator[bytes]:
    """The chunks, encrypted so that this identity opens them."""
    recipient = x25519.Identity.from_str(identity).to_public()
    return _filtered(lambda source, sink: pyrage.encrypt_io(source, sink, [recipient]), chunks)


def unseal(chunks: AsyncIterator[bytes], identity: str) -> AsyncGenerator[bytes]:
    """What was sealed. Raises `ObjectDamaged`, at the latest in place of the end."""
    opener = x25519.Identity.from_str(identity)
    return _filtered(lambda source, sink: pyrage.decrypt_io(source, sink, [opener]), chunks)


def unsealed_size(sealed_size: int, head: bytes) -> int:
    """Bytes of the content, from those of its encrypted form and the beginning of that.

    Raises `ObjectDamaged` if that cannot be.
    """
    header = _HEADER_END.search(head)
    payload = sealed_size - (header.end() if header else sealed_size) - _NONCE
    chunks = -(-payload // (_CHUNK + _TAG))
    if payload < chunks * _TAG or chunks < 1:
        raise ObjectDamaged("encrypted, and cut off")
    return payload - chunks * _TAG


class _Gone(Exception):
    """Nobody takes what the thread makes any more."""


class _Ends:
    """Both ends of a filter, as the files that the library works on. Used by the filter's thread only."""

    def __init__(self, ask: Callable[[bytes | None], bytes | None]) -> None:
        self._ask = ask
        self._unread = memoryview(b"")
        self._written = bytearray()
        self._is_over = False

    def read(self, size: int) -> bytes:
        """Up to so many bytes; none at the end."""
        while not self._unread and not self._is_over:
            chunk = self._ask(None)
            self._is_over = chunk is None
            self._unread = memoryview(chunk or b"")
        taken, self._unread = self._unread[:size], self._unread[size:]
        return bytes(taken)

    def write(self, data: bytes) -> int:
        """Take all of it."""
        self._written += data
        if len(self._written) >= PIECE:
            self.hand_over()
        return len(data)

    def flush(self) -> None:
        """Nothing: small pieces wait for more."""

    def hand_over(self) -> None:
        """What was written is taken."""
        if self._written:
            self._ask(bytes(self._written))
            self._written.clear()


async def _filtered(run: Filter, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    loop = asyncio.get_running_loop()
    asked: asyncio.Queue[bytes | _Ended | None] = asyncio.Queue()
    answers: queue.SimpleQueue[bytes | _Gone | None] = queue.SimpleQueue()

    def ask(what: bytes | None) -> bytes | None:
        loop.call_soon_threadsafe(asked.put_nowait, what)
        answer = answers.get()
        if isinstance(answer, _Gone):
            answers.put(answer)  # for whatever the library asks while it gives up
            raise answer
        return answer

    def work() -> None:
        ended = _run(run, _Ends(ask))
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(asked.put_nowait, ended)

    threading.Thread(target=work, name="age", daemon=True).start()
    try:
        while not isinstance(what := await asked.get(), _Ended):
            if what is None:
                answers.put(await anext(chunks, None))
            else:
                yield what
                answers.put(None)
        if what.error is not None:
            raise ObjectDamaged(f"not what was put: {what.error}") from what.error
    finally:
        answers.put(_Gone())
        await close(chunks)


class _Ended:
    """The filter is through, or could not go on."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error


def _run(run: Filter, ends: _Ends) -> _Ended:
    try:
        run(ends, ends)
        ends.hand_over()
    except Exception as error:  # noqa: BLE001 - the library's and ours alike end the stream
        return _Ended(error)
    return _Ended(None)
