"""A client's connection: requests in, replies out, in the client's own order.

The usual request (one key, no state) is routed here, in one loop over what a read brought; everything else goes
through `calls.py`. A request that needs the connection for itself (it blocks, logs in, changes the database,
subscribes, commits) begins when all before it are answered, and what follows waits for it. Memory is bounded: a
client that sends more than it may have under way, or does not read its replies, is not read from until it does.
"""

from __future__ import annotations

import asyncio
import time
from binascii import crc_hqx
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

from cachestead.proxy.backends import Style
from cachestead.proxy.batches import Entry, Flow, LostInFlight, Sink
from cachestead.proxy.calls import Call, Closing, answer, run_alone
from cachestead.proxy.commands import Command
from cachestead.proxy.configuration import DEFAULT_USER
from cachestead.proxy.framing import LARGE, Frame, ProtocolError, RequestFramer
from cachestead.proxy.replies import error

if TYPE_CHECKING:
    from cachestead.proxy.pubsub import Subscriptions
    from cachestead.proxy.server import Proxy
    from cachestead.proxy.transactions import Transaction

HIGH_WATER = 1024 * 1024
"""Bytes of replies that wait for the client before nothing more is asked for it."""
OUTPUT_LIMIT = 64 * 1024 * 1024
"""Bytes of replies that wait, on top of one reply of any size, before the client is dropped."""
MOST_UNDER_WAY = 1024
FEWEST_UNDER_WAY = 1
_NOTHING: dict[bytes, Command] = {}
BACKLOG_FRAMES = 64
"""Requests that wait before no more are read."""


class ClientBatch:
    """What one read brought; its replies leave in one write."""

    __slots__ = ("at", "commands", "is_away", "left", "results", "session", "written")

    def __init__(self, session: Session, at: float, count: int) -> None:
        self.session, self.at, self.left = session, at, count
        self.commands: list[Command] = []
        """What was asked."""
        self.is_away = False
        """Whether replicas were asked."""
        self.written = 0
        """How many of the results the client has already: those before a large one, and that one."""
        self.results: list[bytes] = [b""] * count

    def done(self) -> None:
        """Everything is answered."""
        self.session.complete()

    def sink(self, index: int) -> Sink | None:
        """The client itself, when all before is answered."""
        return self.session.sink(self, index)

    def lost(self) -> None:
        """Nobody knows what became of a write: the client is told as a server would that went away."""
        self.session.drop()


class Session(asyncio.Protocol):
    """One client."""

    __slots__ = (
        "_away", "_backlog", "_batches", "_ends", "_held_bytes", "_held_since", "_is_choked", "_is_paused",
        "_large_command", "_under_way", "_window", "active", "began", "bytes_in", "bytes_out", "commands",
        "framer", "held_up", "id", "is_admin", "is_authenticated", "is_closing", "is_deaf", "is_plain",
        "is_plain_reader", "keeps_to_master", "lane", "last_name", "library", "library_version", "local", "name",
        "no_evict", "no_touch", "peer", "proxy", "router", "style", "subscriptions", "task", "transaction",
        "transport", "user",
    )  # fmt: skip

    def __init__(self, proxy: Proxy, *, is_admin: bool = False) -> None:
        self.proxy, self.router = proxy, proxy.router
        self.is_admin = is_admin
        """Whether it came to the proxy's own address, where only the control plane is let in."""
        self.id = proxy.next_id()
        self.style = Style()
        self.lane = proxy.router.lane(self.style)
        self.framer = RequestFramer()
        self.transport: asyncio.Transport | None = None
        self.peer = self.local = ""
        self.name = self.library = self.library_version = ""
        self.user = DEFAULT_USER
        self.is_authenticated = False
        self.is_plain = False
        """Whether nothing but the usual is to be thought of: logged in, no transaction, not listening."""
        self.is_plain_reader = False
        """The same of one that may only read."""
        self.no_evict = self.no_touch = False
        self.transaction: Transaction | None = None
        self.subscriptions: Subscriptions | None = None
        self.began = self.active = time.monotonic()
        self.last_name = b"NULL"
        self.bytes_in = self.bytes_out = self.commands = 0
        self.is_closing = False
        self._large_command: Command | None = None
        self.held_up: Flow | None = None
        """A data node's connection that waits for this client to take a large reply."""
        self._held_since, self._held_bytes = 0.0, 0
        self.task: asyncio.Task[None] | None = None
        """The request that has the connection for itself."""
        self._batches: deque[ClientBatch] = deque()
        self._under_way = 0
        self._away = 0
        """Batches under way that replicas were asked for."""
        self.keeps_to_master = False
        """Whether what is being sent on goes to the master, reads too: there is a write among it."""
        self._window = 64
        self._backlog: list[Frame] = []
        self._is_choked = self._is_paused = False
        self.is_deaf = False
        """Whether nothing that comes is heard any more: it said good-bye, or nonsense."""
        self._ends = False
        """Whether it ends when everything is answered."""

    # The connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client came."""
        transport = cast("asyncio.Transport", transport)
        self.transport = transport
        transport.set_write_buffer_limits(high=HIGH_WATER)
        self.peer, self.local = _name(transport, "peername"), _name(transport, "sockname")
        self.proxy.admit(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The client is gone; nothing of it stays behind."""
        self.is_closing, self.is_plain = True, False
        self.transport = None
        if self.held_up is not None:
            self.held_up.go_on()
        self._backlog.clear()
        if self.task is not None:
            self.task.cancel()
        if self.transaction is not None:
            self.transaction.close()
        if self.subscriptions is not None:
            self.subscriptions.close()
        self.proxy.dismiss(self)

    def eof_received(self) -> bool:
        """The client says nothing more: answer what it said, unless it could wait for ever."""
        if self.task is not None or not (self._batches or self._backlog):
            return False
        self._ends = True
        return True

    def pause_writing(self) -> None:
        """The client does not read: ask nothing more for it."""
        self._is_choked = True
        self._pause()

    def resume_writing(self) -> None:
        """It reads again."""
        self._is_choked = False
        if self.held_up is not None:
            self.held_up.go_on()
            self.held_up = None
        self._advance()

    def data_received(self, data: bytes) -> None:
        """Requests came."""
        self.bytes_in += len(data)
        self.active = time.monotonic()
        try:
            frames = self.framer.feed(data)
        except ProtocolError as wrong:
            frames = [*wrong.args[1], (b"", wrong.args[0].encode(), 0, b"")]
        if self.framer.awaited > LARGE and self.framer.held > LARGE and (large := self._large()) is not None:
            frames.append(large)
        if (
            self._backlog
            or self.task is not None
            or self._is_choked
            or self._under_way + len(frames) > self._window
            or (self._away and self._has_to_wait(frames))
        ):
            self._backlog += frames
            self._advance()
        elif frames:
            self._process(frames)

    # Requests

    def _process(self, frames: list[Frame]) -> None:
        """Send each on its way, as far as they need not wait."""
        batch = ClientBatch(self, self.active, len(frames))
        self._batches.append(batch)
        self._under_way += len(frames)
        proxy, lane, index = self.proxy, self.lane, -1
        writers, owner_of, ran = lane.writers, lane.owner_of, batch.commands.append
        usual = proxy.vocabulary.usual if self.is_plain else self._usual_reads()
        send = self._choose(frames, batch) if proxy.is_replicated else None
        for index, frame in enumerate(frames):
            raw, name, argc, key = frame
            if (command := usual.get(name)) is not None and (argc == command.arity or argc >= -command.arity > 0):
                ran(command)
                if send is not None:
                    send(key, (batch, index, command, raw))
                else:
                    if b"{" in key and (end := key.find(b"}", (start := key.index(b"{") + 1))) > start:
                        key = key[start:end]
                    writers[owner_of[crc_hqx(key, 0) & 16383]].put((batch, index, command, raw))
            elif answer(self, batch, index, frame):
                usual = proxy.vocabulary.usual if self.is_plain else self._usual_reads()
            else:
                self._cut(batch, index)
                self._backlog = [*frames[index:], *self._backlog]
                break
        else:
            index += 1
        if not self.router.departures.is_soon:
            self.router.departures.soon()
        if index:
            self.commands += index
            self.last_name = frames[index - 1][1]
            hot = proxy.statistics.hot
            hot.countdown -= index
            if hot.countdown <= 0:
                proxy.sample(self, frames[:index])
        if not batch.left:
            self.complete()

    def _usual_reads(self) -> Mapping[bytes, Command]:
        """What one that only reads may ask without another thought."""
        is_heard = self.is_plain_reader and not self.is_closing and not self.is_deaf
        return self.proxy.vocabulary.usual_reads if is_heard else _NOTHING

    def _choose(self, frames: list[Frame], batch: ClientBatch) -> Callable[[bytes, Entry], None]:
        """Who is asked where every node has all keys: a replica, unless something is written or just was."""
        self.keeps_to_master = not self._only_reads(frames)
        master, recent = self.lane.writers[0], self.router.recent
        reader = master if self.keeps_to_master else next(self.lane.readers)
        batch.is_away = reader is not master
        self._away += batch.is_away

        def send(key: bytes, entry: Entry) -> None:
            place = hash(key)
            if not entry[2].reads:
                recent.now.add(place)
            is_recent = place in recent.now or place in recent.before or recent.is_everything
            (master if is_recent else reader).put(entry)

        return send

    def _only_reads(self, frames: list[Frame]) -> bool:
        """Whether nothing but reads is asked."""
        commands = self.proxy.vocabulary
        return all((command := commands.get(frame[1])) is not None and command.reads for frame in frames)

    def _has_to_wait(self, frames: list[Frame]) -> bool:
        """Whether something is written while replicas are asked, which might have it before they answer."""
        return self._away > 0 and not self._only_reads(frames)

    def _cut(self, batch: ClientBatch, count: int) -> None:
        """Only so many of a batch are on their way."""
        dropped = len(batch.results) - count
        del batch.results[count:]
        batch.left -= dropped
        self._under_way -= dropped

    def complete(self) -> None:
        """Write what is answered, as far as it is the client's turn."""
        batches = self._batches
        while batches and not batches[0].left:
            batch = batches.popleft()
            self._under_way -= len(batch.results)
            if batch.is_away:
                self._away -= 1
            _account(batch)
            results = batch.results[batch.written :] if batch.written else batch.results
            if results:
                data = results[0] if len(results) == 1 else b"".join(results)
                self.write(data)
                if len(results) > 1 or len(data) > LARGE:
                    self._adapt(len(results), len(data))
        if batches:
            return
        if self._backlog:
            self._advance()
        elif self._ends:
            self.drop()

    def _adapt(self, count: int, size: int) -> None:
        """Have as much under way as keeps the replies small that wait for the client."""
        if size > HIGH_WATER:
            self._window = max(FEWEST_UNDER_WAY, count * HIGH_WATER // size)
        elif self._window < MOST_UNDER_WAY and count * 2 >= self._window:
            self._window *= 2

    def _advance(self) -> None:
        """Go on with what waits, as far as it may."""
        while self._backlog and self.task is None and not self._is_choked and not self.is_closing:
            if run_alone(self, self._backlog[0]):
                if self._batches:
                    break
                self.task = asyncio.get_running_loop().create_task(self._run(self._backlog.pop(0)))
                break
            free = self._window - self._under_way
            frames = self._backlog[: max(free, 1)]
            if self._batches and (free <= 0 or self._has_to_wait(frames)):
                break
            self._backlog = self._backlog[len(frames) :]
            self._process(frames)
        if len(self._backlog) > BACKLOG_FRAMES or self._is_choked:
            self._pause()
        elif self.task is None:
            self._resume()
            if self._ends and not self._batches and not self._backlog:
                self.drop()

    def _large(self) -> Frame | None:
        """A large request that has begun to come, if it can be sent on in pieces."""
        frame = self.framer.large()
        command = None if frame is None or not self.is_plain else self.proxy.vocabulary.get(frame[1])
        if frame is None or command is None or not command.fast or not command.takes(frame[2]):
            return None
        self._pause()
        self._large_command = command
        return b"", b"", frame[2], frame[3]

    async def _send_large(self, frame: Frame) -> None:
        """Send a request on while it comes, on a connection of its own; hold the client up where the node is."""
        command = self._large_command
        assert command is not None
        lease = await self.router.lease(self.router.slot_for(frame[3]), self.style)
        try:
            reply = lease.announce(command)
            lease.backend.on_room = self._room
            self.framer.pass_on(lambda piece, _: lease.backend.send_bytes(piece))
            self._resume()
            answered = await reply
        except BaseException:
            lease.close()
            raise
        lease.backend.on_room = None
        lease.give_back()
        self.router.recent.add([frame[3]])
        if answered.startswith((b"-MOVED", b"-ASK", b"-READONLY")):
            self.router.look()
            answered = error("TRYAGAIN The key moved while its value came")
        self.write(answered)

    def _room(self, has_room: bool) -> None:  # noqa: FBT001 - called back
        if has_room:
            self._resume()
        else:
            self._pause()

    async def _run(self, frame: Frame) -> None:
        """One request that has the connection for itself."""
        try:
            if not frame[0]:
                await self._send_large(frame)
                return
            call = Call.of(self, frame)
            self.last_name = call.command.name.encode()
            began = time.monotonic()
            self.write(await call.run())
            self.proxy.took(call, int((time.monotonic() - began) * 1_000_000))
        except (LostInFlight, Closing) as end:
            self.drop(end.args[0] if end.args else b"")
        except TimeoutError:
            self.write(error("CLUSTERDOWN The shard of this key has no master at the moment"))
        finally:
            self.task = None
            self._advance()

    # Replies

    def sink(self, batch: ClientBatch, index: int) -> Sink | None:
        """Where pieces of a large reply go, when it is its turn."""
        before = batch.results[batch.written : index]
        if self._batches[0] is not batch or not all(before):
            return None
        self.write(b"".join(before))
        batch.written = index + 1
        return self._write_piece

    def _write_piece(self, piece: bytes, flow: Flow) -> None:
        if self.transport is None or self.is_closing:
            return
        self.bytes_out += len(piece)
        self.transport.write(piece)
        if self.waiting_output > self.proxy.piece_limit():
            self.held_up = flow
            self._held_since, self._held_bytes = time.monotonic(), self.waiting_output
            flow.hold()

    def is_stalled(self, now: float, seconds: float) -> bool:
        """Whether the client has taken nothing for so long while a data node waits for it."""
        if self.held_up is None:
            return False
        if self.waiting_output < self._held_bytes:
            self._held_since, self._held_bytes = now, self.waiting_output
        return now - self._held_since > seconds

    def write(self, data: bytes) -> None:
        """Bytes to the client; one that let too much pile up is dropped."""
        transport = self.transport
        if transport is None or not data:
            return
        self.bytes_out += len(data)
        if self._is_choked and transport.get_write_buffer_size() > OUTPUT_LIMIT:
            self.proxy.statistics.dropped_for_output += 1
            transport.abort()
        elif not self.is_closing:
            transport.write(data)

    def drop(self, last: bytes = b"") -> None:
        """Say the last word, and end."""
        if self.transport is not None:
            self.write(last)
            self.is_closing, self.is_plain = True, False
            self.transport.close()

    def hear(self, message: bytes) -> None:
        """A message of a channel; who lets too many pile up is dropped."""
        if self.proxy.limits_listener(self):
            self.kill()
        else:
            self.write(message)

    def kill(self) -> None:
        """End at once."""
        self.is_closing, self.is_plain = True, False
        if self.transport is not None:
            self.transport.abort()

    def accept(self) -> None:
        """The client has logged in."""
        self.is_authenticated = True
        self.framer.trust(self.proxy.max_bulk)
        self.settle()

    @property
    def reads_only(self) -> bool:
        """Whether its account may not write."""
        return self.style.reads_only

    def keep_to_account(self) -> None:
        """Its account may be another than it was, or gone: then it ends, and with what it has begun to write."""
        before, account = self.reads_only, self.proxy.configuration.accounts.get(self.user)
        self.settle()
        is_gone = account is None and self.user != DEFAULT_USER
        has_begun = self.transaction is not None or self.task is not None
        if is_gone or (self.reads_only and not before and has_begun):
            self.kill()

    @property
    def descriptor(self) -> int:
        """Number of the socket."""
        socket = self.transport.get_extra_info("socket") if self.transport is not None else None
        return -1 if socket is None else int(socket.fileno())

    def end_after(self) -> None:
        """End when everything that came before is answered; what comes behind is not heard."""
        self._ends, self.is_deaf, self.is_plain = True, True, False

    @property
    def last_command(self) -> str:
        """Name of what it asked last. A client may call anything by any name: only commands are shown."""
        return self.last_name.decode() if self.proxy.vocabulary.knows(self.last_name) else "NULL"

    @property
    def waiting_output(self) -> int:
        """Bytes that the client has not taken yet."""
        return self.transport.get_write_buffer_size() if self.transport is not None else 0

    def _resume(self) -> None:
        if self._is_paused and self.transport is not None and not self.is_closing:
            self._is_paused = False
            self.transport.resume_reading()

    def _pause(self) -> None:
        if not self._is_paused and self.transport is not None and not self.is_closing:
            self._is_paused = True
            self.transport.pause_reading()

    def settle(self) -> None:
        """Find out anew whether only the usual is to be thought of, and which connections serve it."""
        account = None if self.is_admin else self.proxy.configuration.accounts.get(self.user)
        self.style = self.style._replace(reads_only=account is not None and account.reads_only)
        listens = self.subscriptions is not None and self.style.protocol == 2
        is_plain = self.is_authenticated and not self.is_admin and self.transaction is None and not listens
        self.is_plain, self.is_plain_reader = is_plain and not self.reads_only, is_plain and self.reads_only
        self.lane = self.router.lane(self.style)


def _account(batch: ClientBatch) -> None:
    """How long the requests took, from when they came to when all of them were answered."""
    microseconds = int((time.monotonic() - batch.at) * 1_000_000)
    commands = batch.commands
    while commands:
        # Most often all are of one command.
        command = commands[0]
        count = commands.count(command)
        command.calls += count
        command.microseconds += microseconds * count
        command.buckets[microseconds.bit_length()] += count
        if count == len(commands):
            return
        commands = [one for one in commands if one is not command]


def _name(transport: asyncio.Transport, side: str) -> str:
    host, port = (transport.get_extra_info(side) or ("?", 0))[:2]
    return f"{host}:{port}"
