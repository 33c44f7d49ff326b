"""TLS for an engine that was built without: `python -m cachestead.proxy.front front.json`.

It listens where clients come, by TLS, and passes their bytes on to the same address at the engine's port. So it
need not know who is master: that has the instance's address at its own port, too. It calls from where its client
does, so that the engine, and whoever keeps strangers from it, knows whom they have to do with. It ends at TERM or
INT, and takes over a renewed certificate without either.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import ssl
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self, cast

import uvloop

CONFIGURATION_FILE = "front.json"
CONNECT_SECONDS = 5.0
LOOK_SECONDS = 0.5
BACKLOG = 511
KEEPALIVE_SECONDS = 300


@dataclass(frozen=True)
class FrontConfiguration:
    """What a front is told."""

    addresses: tuple[str, ...]
    port: int
    """Where clients come, at each of the addresses."""
    behind: int
    """Where the engine listens, at the same addresses."""
    identity: str
    """Name of the file with key and certificate."""

    def to_json(self) -> str:
        """As its file has it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read back."""
        read = json.loads(text)
        return cls(tuple(read["addresses"]), read["port"], read["behind"], read["identity"])


class _End(asyncio.Protocol):
    """One end of a connection; what comes in here goes out at the other."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _End | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        """Who sends faster than the other end takes is not read from meanwhile."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, _reason: Exception | None) -> None:
        if self.other is not None and self.other.transport is not None:
            # What was received before goes out still.
            self.other.transport.close()
        self.transport = None


class _Client(_End):
    """A client's end: it is read from as soon as there is an engine at the other one."""

    def __init__(self, behind: int) -> None:
        super().__init__()
        self._behind = behind
        self._reaching: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        cast("asyncio.Transport", transport).pause_reading()
        served = transport.get_extra_info("sockname")
        # A client that has left again is from nowhere.
        client = transport.get_extra_info("peername") or served
        self._reaching = asyncio.create_task(self._reach(_calling_from(client[0], served[0]), served[0]))

    async def _reach(self, source: str, address: str) -> None:
        engine = _End()
        engine.other = self
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                connected = await _connect(source, (address, self._behind))
                await asyncio.get_running_loop().create_connection(lambda: engine, sock=connected)
        except (OSError, TimeoutError):
            if self.transport is not None:
                self.transport.abort()
            return
        self.other = engine
        if self.transport is not None:
            self.transport.resume_reading()
        elif engine.transport is not None:
            engine.transport.close()


def _calling_from(client: str, served: str) -> str:
    """Where the engine is called from: the client's address, if this machine can have it, or that which is served.

    Any loopback address can be had; those of other machines cannot.
    """
    return client if client.startswith("127.") else served


async def _connect(source: str, engine: tuple[str, int]) -> socket.socket:
    """Raises `OSError` where there is no engine, or none for somebody from there."""
    reaching = socket.socket(_family(source), socket.SOCK_STREAM)
    try:
        reaching.setblocking(False)
        # The port is chosen once it is known for whom: else all clients of all fronts would share 28 thousand.
        if hasattr(socket, "IP_BIND_ADDRESS_NO_PORT"):
            reaching.setsockopt(socket.IPPROTO_IP, socket.IP_BIND_ADDRESS_NO_PORT, 1)
        reaching.bind((source, 0))
        await asyncio.get_running_loop().sock_connect(reaching, engine)
    except BaseException:
        reaching.close()
        raise
    return reaching


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


async def _serve(configuration: FrontConfiguration) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    identity = Path(configuration.identity)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(identity)
    for address in configuration.addresses:
        await loop.create_server(
            lambda: _Client(configuration.behind), sock=_listen(address, configuration.port), ssl=context
        )
    renewing = asyncio.create_task(_take_over_renewed(context, identity))
    await ended.wait()
    renewing.cancel()


async def _take_over_renewed(context: ssl.SSLContext, identity: Path) -> None:
    """New clients are shown what is in the file now."""
    shown = _changed_at(identity)
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        now = _changed_at(identity)
        if now not in (shown, None):
            context.load_cert_chain(identity)
            shown = now


def _changed_at(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _listen(address: str, port: int) -> socket.socket:
    """Fronts of an instance share its address: a client is served by any of them."""
    listener = socket.socket(_family(address))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    # What is accepted has these, too: clients that went without a word are noticed, as an engine notices them.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_SECONDS)
    listener.bind((address, port))
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def main() -> None:
    """Run until told to end."""
    configuration = FrontConfiguration.from_json(Path(sys.argv[1]).read_text())
    asyncio.Runner(loop_factory=uvloop.new_event_loop).run(_serve(configuration))


if __name__ == "__main__":
    main()
