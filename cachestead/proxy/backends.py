"""Connections to data nodes.

A connection is a queue: requests go out in the order they were given, all of a loop turn in one write, and replies
belong to the oldest that has none. Shared connections carry the requests of many clients; a leased one serves a
single client for as long as it blocks, watches or listens. What was on a connection when it ended is told apart:
what had not been sent, and what nobody knows the fate of.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, cast

from cachestead.proxy.batches import Entry
from cachestead.proxy.configuration import Address
from cachestead.proxy.framing import ReplyFramer, pack
from cachestead.proxy.replies import text

CONNECT_SECONDS = 2.0
HIGH_WATER = 4 * 1024 * 1024


class Style(NamedTuple):
    """How a connection speaks: requests of clients that speak alike may share one."""

    protocol: int = 2
    database: int = 0


@dataclass(frozen=True)
class Login:
    """How the proxy logs in to data nodes."""

    user: str
    secret: str = field(repr=False)


class Owner(Protocol):
    """Who is told what happens on connections."""

    slow_microseconds: int
    """What takes longer is told."""

    def redirected(self, connection: Backend, entry: Entry, reply: bytes) -> None:
        """The node says that the request belongs elsewhere, or later."""

    def ended(self, connection: Backend, sent: list[Entry], unsent: list[Entry]) -> None:
        """The connection ended with requests on it."""

    def refused(self, address: Address, reason: str) -> None:
        """The node does not let us in."""

    def slow(self, entry: Entry, microseconds: int) -> None:
        """A request took long."""


_REDIRECTS = (b"-MOVED ", b"-ASK ", b"-TRYAGAIN", b"-READONLY", b"-CLUSTERDOWN", b"-LOADING", b"-MASTERDOWN")


class Backend(asyncio.Protocol):
    """One connection to a data node. Made closed; connects when it is first used."""

    __slots__ = (
        "_begun", "_dirty", "_framer", "_greeting", "_loop", "_out", "_transport", "address", "is_closed",
        "listener", "login", "owner", "pending", "style", "unsent",
    )  # fmt: skip

    def __init__(self, owner: Owner, address: Address, style: Style, login: Login) -> None:
        self.owner, self.address, self.style, self.login = owner, address, style, login
        self.pending: deque[Entry] = deque()
        """Requests without a reply, oldest first."""
        self.unsent = 0
        """How many of them, counted from the newest, were not written yet."""
        self.listener: Callable[[bytes], None] | None = None
        """Who takes replies that nobody asked for (messages)."""
        self.is_closed = False
        self._out: list[bytes] = []
        self._dirty = self._begun = False
        self._greeting = 0
        self._framer = ReplyFramer()
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()

    def send(self, entry: Entry) -> None:
        """Put a request on the connection; it goes out with all others of this turn."""
        self.pending.append(entry)
        self._out.append(entry[3])
        self.unsent += 1
        if not self._dirty:
            self._dirty = True
            self._loop.call_soon(self._flush)

    def send_bytes(self, data: bytes) -> None:
        """Put bytes on the connection that are answered to the listener, or by what `send` announced."""
        self._out.append(data)
        if not self._dirty:
            self._dirty = True
            self._loop.call_soon(self._flush)

    @property
    def is_full(self) -> bool:
        """Whether the node does not take what is sent as fast as it comes."""
        return self._transport is not None and self._transport.get_write_buffer_size() > HIGH_WATER

    def close(self) -> None:
        """End it; nobody is told."""
        self.is_closed = True
        self.pending.clear()
        self.listener = None
        if self._transport is not None:
            self._transport.abort()

    def _flush(self) -> None:
        self._dirty = False
        if self._transport is None:
            if not self._begun and not self.is_closed:
                self._begun = True
                self._loop.create_task(self._connect())
            return
        out = self._out
        if out:
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))
            out.clear()
            self.unsent = 0

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._loop.create_connection(lambda: self, self.address.host, self.address.port)
        except (OSError, TimeoutError):
            self._end()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Log in; what waits follows at once."""
        transport = cast("asyncio.Transport", transport)
        if self.is_closed:
            transport.abort()
            return
        self._transport = transport
        greetings = self._greetings()
        self._greeting = len(greetings)
        self._out.insert(0, b"".join(greetings))
        self._flush()

    def _greetings(self) -> list[bytes]:
        user, secret = self.login.user.encode(), self.login.secret.encode()
        greetings = [pack(b"HELLO", b"%d" % self.style.protocol, b"AUTH", user, secret, b"SETNAME", b"proxy")]
        if self.style.database:
            greetings.append(pack(b"SELECT", b"%d" % self.style.database))
        return greetings

    def data_received(self, data: bytes) -> None:
        """Give replies to whom they belong."""
        replies = self._framer.feed(data)
        if self._greeting:
            replies = self._greeted(replies)
        pending, slow, now = self.pending, self.owner.slow_microseconds, time.monotonic()
        for reply in replies:
            if not pending or (reply[0] == 62 and self.listener):
                if self.listener is not None:
                    self.listener(reply)
                continue
            entry = pending.popleft()
            batch, index, command, _ = entry
            if reply[0] == 45 and reply.startswith(_REDIRECTS):
                self.owner.redirected(self, entry, reply)
                continue
            elapsed = int((now - batch.at) * 1_000_000)
            command.microseconds += elapsed
            command.buckets[elapsed.bit_length()] += 1
            if elapsed > slow:
                self.owner.slow(entry, elapsed)
            batch.results[index] = reply
            batch.left -= 1
            if not batch.left:
                batch.done()

    def _greeted(self, replies: list[bytes]) -> list[bytes]:
        while self._greeting and replies:
            self._greeting -= 1
            if (reply := replies.pop(0)).startswith(b"-"):
                # Not ready (still loading), or another password than ours: like no connection.
                self.owner.refused(self.address, text(reply))
                if self._transport is not None:
                    self._transport.abort()
                return []
        return replies

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Say what was on it."""
        self._transport = None
        self._end()

    def _end(self) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        entries = list(self.pending)
        self.pending.clear()
        border = len(entries) - self.unsent if not self._greeting else 0
        self.owner.ended(self, entries[:border], entries[border:])
