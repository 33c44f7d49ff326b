"""A node's whole data as one stream: what a replica would be sent, for whoever asks as one does.

The node forks, and the fork writes an image of that one moment straight to the connection (RDB format): nothing
goes to the node's disk, and nothing is held in memory here. Works on masters, and on replicas with a master.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass

from cachestead.engine.addresses import NodeAddress, calling_from
from cachestead.engine.connection import CONNECT_SECONDS, Client, address_of
from cachestead.engine.errors import EngineRefused, EngineUnreachable

SILENCE_SECONDS = 60.0
"""How long a node may send nothing. While it prepares the image it sends a line a second, if only an empty one."""
PIECE_BYTES = 1024 * 1024
NO_PORT = "65536"
"""What is no port, and is said to be ours: Sentinels would remember, and ask, whoever has one."""
_MARK_BYTES = 40
"""An image without a length ends with a mark that was announced before it."""


async def stream_snapshot(client: Client) -> AsyncGenerator[bytes, None]:
    """The RDB image of the node that the client talks to, in pieces of up to `PIECE_BYTES`.

    Ends only when all of it came. Raises `EngineRefused` (a replica without its master), `EngineUnreachable`.
    """
    node = address_of(client)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(
                node.address, node.port, limit=PIECE_BYTES, local_addr=calling_from(node)
            )
    except OSError as error:
        raise EngineUnreachable(node, str(error) or type(error).__name__) from error
    wire = _Wire(node, reader, writer)
    try:
        await _log_in(wire, client)
        # Whoever asks for an image is listed among the replicas; no Sentinel takes one at such a port for one.
        await wire.ask("REPLCONF", "listening-port", NO_PORT, may_refuse=True)
        # An image is sent with a mark at its end, and nothing after it; older engines know the second word only.
        await wire.ask("REPLCONF", "rdb-only", "1", may_refuse=True)
        await wire.ask("REPLCONF", "capa", "eof", may_refuse=True)
        await wire.send("SYNC")
        async with aclosing(_image(wire)) as pieces:
            async for piece in pieces:
                yield piece
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


@dataclass(frozen=True)
class _Wire:
    """A connection as bytes; what goes wrong on it is told in our words."""

    node: NodeAddress
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, *words: str, may_refuse: bool = False) -> None:
        await self.send(*words)
        answer = await self.line()
        if answer.startswith("-") and not may_refuse:
            raise EngineRefused(answer[1:])

    async def send(self, *words: str) -> None:
        encoded = [word.encode(errors="surrogateescape") for word in words]
        parts = [b"*%d\r\n" % len(encoded), *(b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded)]
        self.writer.write(b"".join(parts))
        try:
            await self.writer.drain()
        except OSError as error:
            raise EngineUnreachable(self.node, str(error)) from error

    async def line(self) -> str:
        """The next line that is not empty: engines that prepare an image send empty ones."""
        while True:
            line = await self._within(self.reader.readline())
            if not line.endswith(b"\n"):
                raise EngineUnreachable(self.node, "it closed the connection")
            if text := line.strip().decode(errors="replace"):
                return text

    async def piece(self, most: int = PIECE_BYTES) -> bytes:
        """What came next, at least a byte."""
        piece = await self._within(self.reader.read(most))
        if not piece:
            raise EngineUnreachable(self.node, "it closed the connection before all came")
        return piece

    async def _within(self, reading: asyncio.Future[bytes] | object) -> bytes:
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                return await reading  # type: ignore[misc, no-any-return]
        except TimeoutError as error:
            raise EngineUnreachable(self.node, f"it sent nothing for {SILENCE_SECONDS:g} s") from error
        except (OSError, ValueError) as error:
            raise EngineUnreachable(self.node, str(error)) from error


async def _log_in(wire: _Wire, client: Client) -> None:
    arguments = client.connection_pool.connection_kwargs
    if arguments["password"]:
        user = [arguments["username"]] if arguments["username"] else []
        await wire.ask("AUTH", *user, arguments["password"])


async def _image(wire: _Wire) -> AsyncGenerator[bytes, None]:
    header = await wire.line()
    if not header.startswith("$"):
        raise EngineRefused(header.removeprefix("-"))
    if header.startswith("$EOF:"):
        async for piece in _until_mark(wire, header.removeprefix("$EOF:").encode()):
            yield piece
        return
    left = int(header[1:])
    while left:
        piece = await wire.piece(min(left, PIECE_BYTES))
        left -= len(piece)
        yield piece


async def _until_mark(wire: _Wire, mark: bytes) -> AsyncGenerator[bytes, None]:
    """Nothing follows the mark, so it is the end of what came or has not come yet."""
    held = b""
    while True:
        held += await wire.piece()
        if held.endswith(mark):
            if rest := held[:-_MARK_BYTES]:
                yield rest
            return
        if len(held) > _MARK_BYTES:
            yield held[:-_MARK_BYTES]
            held = held[-_MARK_BYTES:]
