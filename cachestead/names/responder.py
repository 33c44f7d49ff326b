"""The responder's sockets: UDP and TCP on one port.

Nothing a client sends or leaves out holds it up: packets that come while too many are being answered are dropped
(DNS clients ask again), connections are few and have a time limit.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address
from typing import cast

from cachestead.names.answers import Answers

_DATAGRAMS_AT_ONCE = 256
_CONNECTIONS_AT_ONCE = 64
_MESSAGE_SECONDS = 10.0

Answer = Callable[[bytes], Awaitable[bytes | None]]


class Responder:
    """The DNS server, from `start` to `stop`."""

    def __init__(self, answers: Answers, host: IPv4Address | IPv6Address, port: int) -> None:
        self._datagrams = _Datagrams(answers.answer_datagram)
        self._streams = _Streams(answers.answer_stream)
        self._host = str(host)
        self._server: asyncio.Server | None = None
        self._udp: asyncio.DatagramTransport | None = None
        self.port = port
        """Where it listens; 0 until `start` lets the system choose."""

    async def start(self) -> None:
        """Both sockets listen. Raises `OSError`, and has neither, if one of them cannot."""
        server = await asyncio.start_server(self._streams.accept, self._host, self.port)
        port = server.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        try:
            self._udp, _ = await loop.create_datagram_endpoint(
                lambda: self._datagrams, local_addr=(self._host, port)
            )
        except OSError:
            server.close()
            raise
        self._server, self.port = server, port

    async def stop(self) -> None:
        """Neither socket listens, and nothing is being answered any more."""
        if self._udp:
            self._udp.close()
        if self._server:
            self._server.close()
        await _end(self._datagrams.tasks | self._streams.tasks)


class _Datagrams(asyncio.DatagramProtocol):
    """Answers each packet by itself."""

    def __init__(self, answer: Answer) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self._answer = answer
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where answers go out."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer it, unless there is too much to do already."""
        if len(self.tasks) >= _DATAGRAMS_AT_ONCE:
            return
        task = asyncio.create_task(self._reply(data, addr))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _reply(self, packet: bytes, client: tuple[str, int]) -> None:
        answer = await self._answer(packet)
        if answer and self._transport and not self._transport.is_closing():
            # An address nobody can send to is the client's own doing.
            with contextlib.suppress(OSError):
                self._transport.sendto(answer, client)


class _Streams:
    """Answers each connection's packets one after the other; a packet is two bytes of length and itself."""

    def __init__(self, answer: Answer) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        self._answer = answer

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a new connection, unless there are too many already."""
        if len(self.tasks) >= _CONNECTIONS_AT_ONCE:
            writer.close()
            return
        task = asyncio.create_task(self._serve(reader, writer))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._converse(reader, writer)
        except (TimeoutError, EOFError, OSError):
            return
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            async with asyncio.timeout(_MESSAGE_SECONDS):
                length = int.from_bytes(await reader.readexactly(2), "big")
                answer = await self._answer(await reader.readexactly(length))
                if answer is None:
                    return
                writer.write(len(answer).to_bytes(2, "big") + answer)
                await writer.drain()


async def _end(tasks: set[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
