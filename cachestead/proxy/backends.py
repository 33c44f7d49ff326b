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

from cachestead.proxy.batches import Entry, Nobody, Sink, put
from cachestead.proxy.commands import Command
from cachestead.proxy.configuration import Address
from cachestead.proxy.framing import LARGE, ReplyFramer, pack
from cachestead.proxy.replies import text

CONNECT_SECONDS = 2.0
HIGH_WATER = 4 * 1024 * 1024
FULL = 256
"""So many requests are sent without waiting for more."""


class Style(NamedTuple):
    """How a connection speaks: requests of clients that speak alike may share one."""

    protocol: int = 2
    database: int = 0
    reads_only: bool = False
    """Whether the data nodes are to refuse whatever writes, from within scripts too."""


@dataclass(frozen=True)
class Login:
    """How the proxy logs in to data nodes."""

    user: str
    secret: str = field(repr=False)
    reader: str = ""
    """Who may not write."""


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

    def slow(self, entry: Entry) -> None:
        """A request may have taken long."""


_REDIRECTS = (b"-MOVED ", b"-ASK ", b"-TRYAGAIN", b"-READONLY", b"-CLUSTERDOWN", b"-LOADING", b"-MASTERDOWN")


class Departures:
    """When requests leave on some connections: once a turn of the loop brought no more, so that writes are few."""

    __slots__ = ("_connections", "_gathered", "_loop", "is_soon")

    def __init__(self) -> None:
        self._connections: list[Backend] = []
        self._gathered = 0
        """How many there were a turn ago."""
        self.is_soon = False
        self._loop = asyncio.get_running_loop()

    def add(self, connection: Backend) -> None:
        """What gathers on it leaves with the rest."""
        self._connections = [one for one in self._connections if one.gathered or not one.is_closed]
        self._connections.append(connection)

    def soon(self) -> None:
        """There is something."""
        if not self.is_soon:
            self.is_soon = True
            self._loop.call_soon(self._leave)

    def _leave(self) -> None:
        gathered = sum([one.gathered for one in self._connections])
        if self._gathered < gathered < FULL:
            self._gathered = gathered
            self._loop.call_soon(self._leave)
            return
        self._gathered, self.is_soon = 0, False
        for connection in self._connections:
            if connection.gathered:
                connection.flush()


_PIECE, _NO_COMMAND = Nobody(0.0), Command("")
"""What is sent and belongs to no request of its own."""


class Backend(asyncio.Protocol):
    """One connection to a data node. Made closed; connects when it is first used."""

    __slots__ = (
        "_begun", "_coming", "_departures", "_framer", "_greeting", "_has_pieces", "_is_leaving", "_loop", "_out",
        "_sink", "_transport", "address", "is_closed", "listener", "login", "on_room", "owner", "pending", "put",
        "style",
    )  # fmt: skip

    def __init__(
        self, owner: Owner, address: Address, style: Style, login: Login, departures: Departures | None = None
    ) -> None:
        self.owner, self.address, self.style, self.login = owner, address, style, login
        self.pending: deque[Entry] = deque()
        """Requests that were sent and have no reply, oldest first."""
        self.listener: Callable[[bytes], None] | None = None
        """Who takes replies that nobody asked for (messages)."""
        self.is_closed = False
        self._out: list[Entry] = []
        """What was not sent yet."""
        self.put = self._out.append
        """Put a request on the connection; whoever does sees to its departure."""
        self._departures = departures
        self._has_pieces = False
        """Whether some of it are pieces that are no requests."""
        self._is_leaving = self._begun = False
        self._greeting = 0
        self._framer = ReplyFramer()
        self._coming = 0
        """Bytes still to come of a reply that is passed on in pieces."""
        self._sink: Sink | None = None
        self.on_room: Callable[[bool], None] | None = None
        """Who is told when the node takes no more for now, and when it does again."""
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()

    def send(self, entry: Entry) -> None:
        """Put a request on the connection; it goes out with all others of this turn."""
        self.put(entry)
        if self._departures is not None:
            self._departures.soon()
        elif not self._is_leaving:
            self._is_leaving = True
            self._loop.call_soon(self.flush)

    def send_bytes(self, data: bytes) -> None:
        """Put bytes on the connection that are answered to the listener, or to whom `announce` named."""
        self._has_pieces = True
        self.send((_PIECE, 0, _NO_COMMAND, data))

    def announce(self, entry: Entry) -> None:
        """Whose reply comes next, to what is sent in pieces."""
        self.pending.append(entry)

    @property
    def oldest(self) -> Entry | None:
        """Of all requests without a reply."""
        return self.pending[0] if self.pending else self._out[0] if self._out else None

    @property
    def gathered(self) -> int:
        """Requests that were not sent yet."""
        return len(self._out)

    def pause_writing(self) -> None:
        """The node does not take what is sent as fast as it comes."""
        if self.on_room is not None:
            self.on_room(False)

    def resume_writing(self) -> None:
        """It does again."""
        if self.on_room is not None:
            self.on_room(True)

    def hold(self) -> None:
        """Take nothing more from the node for now: who reads a large reply is slow."""
        if self._transport is not None:
            self._transport.pause_reading()

    def go_on(self) -> None:
        """Take what is next."""
        if self._transport is not None:
            self._transport.resume_reading()

    def close(self) -> None:
        """End it; nobody is told."""
        self.is_closed = True
        self.pending.clear()
        self._out.clear()
        self.listener = None
        if self._transport is not None:
            self._transport.abort()

    def give_up(self) -> None:
        """End it as if the node had; what was on it is given back."""
        if self._transport is not None:
            self._transport.abort()
            self._transport = None
        self._end()

    @property
    def is_passing_on(self) -> bool:
        """Whether a reply is on its way in pieces."""
        return self._coming > 0

    def flush(self) -> None:
        """Send what has gathered, as soon as the node has let us in."""
        self._is_leaving = False
        if self.is_closed:
            self._give_back()
            return
        if not self._begun:
            self._begun = True
            self._loop.create_task(self._connect())
        if self._transport is None or self._greeting:
            return
        if out := self._out:
            raw = out[0][3] if len(out) == 1 else b"".join([entry[3] for entry in out])
            self.pending.extend(self._requests())
            out.clear()
            self._has_pieces = False
            self._transport.write(raw)

    def _requests(self) -> list[Entry]:
        """What is to be sent and answered."""
        return [entry for entry in self._out if entry[0] is not _PIECE] if self._has_pieces else self._out

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._loop.create_connection(lambda: self, self.address.host, self.address.port)
        except (OSError, TimeoutError):
            self._end()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Log in; what waits follows when the node has let us in."""
        transport = cast("asyncio.Transport", transport)
        if self.is_closed:
            transport.abort()
            return
        self._transport = transport
        transport.set_write_buffer_limits(high=HIGH_WATER)
        greetings = self._greetings()
        self._greeting = len(greetings)
        transport.write(b"".join(greetings))

    def _greetings(self) -> list[bytes]:
        login = self.login
        user, secret = (login.reader if self.style.reads_only else login.user).encode(), login.secret.encode()
        greetings = [pack(b"HELLO", b"%d" % self.style.protocol, b"AUTH", user, secret, b"SETNAME", b"proxy")]
        if self.style.database:
            greetings.append(pack(b"SELECT", b"%d" % self.style.database))
        return greetings

    def data_received(self, data: bytes) -> None:
        """Give replies to whom they belong."""
        if self._coming and not (data := self._go_on_passing(data)):
            return
        replies = self._framer.feed(data)
        if self._greeting:
            replies = self._greeted(replies)
        pending = self.pending
        # Replies come in the order of the requests: if the oldest is not slow, none is.
        is_slow = bool(pending) and (time.monotonic() - pending[0][0].at) * 1e6 > self.owner.slow_microseconds
        is_usual = not is_slow and self.listener is None and len(replies) <= len(pending)
        if not is_usual or self._framer.has_errors:
            self._deal_out_slowly(replies, is_slow=is_slow)
        else:
            take = pending.popleft
            for reply, (batch, index, _, _) in zip(replies, [take() for _ in replies], strict=True):
                batch.results[index] = reply
                batch.left = left = batch.left - 1
                if not left:
                    batch.done()
        if self._framer.awaited > LARGE and pending and not self._greeting:
            self._pass_on()

    def _deal_out_slowly(self, replies: list[bytes], *, is_slow: bool) -> None:
        """Replies that may have taken long, or that nobody asked for, or that say that it was the wrong node."""
        pending = self.pending
        for reply in replies:
            if not pending or (reply[0] == 62 and self.listener):
                if self.listener is not None:
                    self.listener(reply)
                continue
            entry = pending.popleft()
            if reply[0] == 45 and reply.startswith(_REDIRECTS):
                self.owner.redirected(self, entry, reply)
                continue
            if is_slow:
                self.owner.slow(entry)
            put(entry, reply)

    def _pass_on(self) -> None:
        """The oldest request's reply is large: its client gets it in pieces, if it is its turn."""
        batch, index, _, _ = self.pending[0]
        sink = self._sink = batch.sink(index)
        if sink is not None:
            first = self._framer.take()
            self._coming = self._framer.awaited - len(first)
            self._framer.awaited = 0
            sink(first, self)

    def _go_on_passing(self, data: bytes) -> bytes:
        """The next piece; what does not belong to it is returned."""
        piece, rest = data[: self._coming], data[self._coming :]
        self._coming -= len(piece)
        assert self._sink is not None
        self._sink(piece, self)
        if not self._coming:
            put(self.pending.popleft(), b"")
        return rest

    def _greeted(self, replies: list[bytes]) -> list[bytes]:
        while self._greeting and replies:
            self._greeting -= 1
            if (reply := replies.pop(0)).startswith(b"-"):
                # Not ready (still loading), or another password than ours: like no connection.
                self.owner.refused(self.address, text(reply))
                if self._transport is not None:
                    self._transport.abort()
                return []
        if not self._greeting:
            self.flush()
        return replies

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Say what was on it."""
        self._transport = None
        self._end()

    def _end(self) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        self._give_back()

    def _give_back(self) -> None:
        sent, unsent = list(self.pending), list(self._requests())
        self.pending.clear()
        self._out.clear()
        if self._coming:
            # Half of the reply is with the client already.
            sent.pop(0)[0].lost()
            self._coming = 0
        self.owner.ended(self, sent, unsent)
