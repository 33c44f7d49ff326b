"""HTTP on the wire, as uvicorn reads it, with an end to patience: how large and how slow a request's head may be.

What TLS says before it may take as long. Bodies are the middleware's business (`access.py`), which knows what an
upload is.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, cast

import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from cachestead.settings import LimitSettings

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class LimitedProtocol(HttpToolsProtocol):
    """A connection. A head that is too large is answered 431, one that does not come is waited for no more."""

    limits: ClassVar[LimitSettings]
    _awaited: asyncio.TimerHandle | None = None
    _header_bytes = _unfinished_bytes = 0
    """Of the head that is being read: in whole headers, and in reads that did not bring its end."""
    _is_in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody came, and should say what for."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is waited for."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, while the head is not too large."""
        super().data_received(data)
        if self._is_in_head and not self.transport.is_closing():
            self._unfinished_bytes += len(data)
            if self._unfinished_bytes > self.limits.head_bytes:
                self.send_400_response("")

    def on_message_begin(self) -> None:
        """A request begins, maybe not the first on this connection."""
        super().on_message_begin()
        self._is_in_head, self._header_bytes, self._unfinished_bytes = True, 0, 0
        self._await_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header is whole."""
        super().on_header(name, value)
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > self.limits.head_bytes:
            # The parser stops, and whoever called it refuses the request.
            raise ValueError("the head is too large")

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._stop_waiting()
        self._is_in_head = False
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """What could not be read is refused: as too large, if it is."""
        if max(self._header_bytes, self._unfinished_bytes) <= self.limits.head_bytes:
            super().send_400_response(msg)
            return
        self.transport.write(_TOO_LARGE)
        self.transport.close()

    def _await_head(self) -> None:
        self._stop_waiting()
        self._awaited = self.loop.call_later(self.limits.head_seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._awaited is not None:
            self._awaited.cancel()
            self._awaited = None

    def _give_up(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()
        else:
            # The answer to an earlier request is still on its way here.
            self._await_head()


def limited_protocol(limits: LimitSettings) -> type[LimitedProtocol]:
    """The protocol within these limits."""
    return type("Limited", (LimitedProtocol,), {"limits": limits})


class LimitedLoop(uvloop.Loop):
    """An event loop whose servers wait no longer for TLS than for a request's head: uvicorn cannot be told."""

    def __init__(self, limits: LimitSettings) -> None:
        super().__init__()
        self._tls_seconds = limits.head_seconds

    async def create_server(self, *args: Any, **more: Any) -> asyncio.Server:
        """As every loop's."""
        if more.get("ssl"):
            seconds = self._tls_seconds
            more = {"ssl_handshake_timeout": seconds, "ssl_shutdown_timeout": seconds} | more
        return cast("asyncio.Server", await super().create_server(*args, **more))
