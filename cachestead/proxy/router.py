"""Requests to data nodes: which one, over which connection, and what if it is the wrong one or gone.

Three promises. A client's requests to one key are done in the order it sent them, also while slots move or a
master changes: whatever might overtake waits until what was sent before is answered. (Not kept: a command over
several keys that is refused for now, because its slot is open to both sides, comes after those that were already
on their way behind it.) A request that only reads is asked again when its node is lost; one that writes is asked
again only if it was never sent. Nothing waits for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import cycle

from cachestead.proxy.backends import Backend, Departures, Login, Style
from cachestead.proxy.batches import Entry, LostInFlight, Nobody, Waiting, put
from cachestead.proxy.commands import Command
from cachestead.proxy.configuration import Address, Layout, ProxyConfiguration
from cachestead.proxy.framing import arguments, pack
from cachestead.proxy.lookout import Lookout, Plain
from cachestead.proxy.recent import RecentKeys
from cachestead.proxy.replies import error, text
from cachestead.proxy.slots import slot_of
from cachestead.proxy.topology import NOBODY, Topology

PATIENCE_SECONDS = 15.0
"""How long a request waits for a master."""
DRAIN_SECONDS = 5.0
"""How long who was master may take to answer what it was sent, which nobody may overtake: as long as a script."""
LOOK_SECONDS = {Layout.CLUSTER: 5.0, Layout.REPLICATED: 0.5}
"""How often the nodes are asked who they are when nothing seems wrong."""
AGAIN_SECONDS = 0.02
"""How often while something is."""
ANSWER_SECONDS = 0.5
"""How long a node may take to say who it is."""
IDLE_LEASES = 32
"""Leased connections kept for the next who needs one, per node and style."""
NO_MASTER = error("CLUSTERDOWN The shard of this key has no master at the moment")
ASKING = pack(b"ASKING")


class Lane:
    """Shared connections of one style: where a request goes is looked up here."""

    __slots__ = ("owner_of", "readers", "writers")

    def __init__(self) -> None:
        self.owner_of: bytes = b""
        self.writers: list[Backend | Parking] = []
        """By index of the shard; the last one, at `NOBODY`, parks."""
        self.readers: cycle[Backend | Parking] = cycle(())


@dataclass
class Hold:
    """Requests that wait until a slot's keys are together again, in their order."""

    entries: list[Entry]
    is_over: bool = False


class Parking:
    """Stands where a connection should be: what is sent here waits."""

    __slots__ = ("put", "router", "shard", "style")

    def __init__(self, router: Router, style: Style, shard: int) -> None:
        self.router, self.style, self.shard = router, style, shard
        self.put = self.send

    def send(self, entry: Entry) -> None:
        """Wait until the shard has a master."""
        self.router.park(entry, self.style, self.shard)


Parked = tuple[Entry, Style, int]


class Router:
    """All connections of a proxy to its data nodes."""

    def __init__(self, configuration: ProxyConfiguration) -> None:
        self.configuration = configuration
        self.topology = Topology()
        self.lookout = Lookout(configuration)
        self.slow_microseconds = 500_000
        self.on_slow: Callable[[Entry, int], None] = lambda _entry, _microseconds: None
        """Who keeps the slow log."""
        self.is_ready = asyncio.Event()
        self.recent = RecentKeys()
        self.departures = Departures()
        self._lanes: dict[Style, Lane] = {}
        self._shared: dict[tuple[Address, Style], Backend] = {}
        self._leases: dict[tuple[Address, Style], list[Lease]] = {}
        self._draining: set[Backend] = set()
        self._held: dict[tuple[Style, int], Hold] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._moved: list[Parked] = []
        self._parked: list[Parked] = []
        self._trouble = asyncio.Event()
        self._suspects: set[Address] = set()
        self._task: asyncio.Task[None] | None = None

    # Life

    def start(self) -> None:
        """Begin to look at the data nodes."""
        self._trouble.set()
        self._task = asyncio.get_running_loop().create_task(self._watch())

    async def close(self) -> None:
        """End every connection."""
        for task in [*self._tasks, *([self._task] if self._task is not None else [])]:
            task.cancel()
        leases = [lease.backend for idle in self._leases.values() for lease in idle]
        for backend in [*self._shared.values(), *leases]:
            backend.close()
        self.lookout.close()

    def configure(self, configuration: ProxyConfiguration) -> None:
        """Other data nodes, or other rights on them."""
        before, self.configuration = self.configuration, configuration
        self.lookout.configuration = configuration
        if (before.nodes, before.layout, before.secret) != (
            configuration.nodes,
            configuration.layout,
            configuration.secret,
        ):
            self.topology = self.topology if before.layout is configuration.layout else Topology()
            self._trouble.set()

    # Where requests go

    def lane(self, style: Style) -> Lane:
        """The shared connections of a style."""
        lane = self._lanes.get(style)
        if lane is None:
            lane = self._lanes[style] = Lane()
            self._lay(style, lane)
        return lane

    def send(
        self,
        entry: Entry,
        style: Style,
        words: Sequence[bytes] | None = None,
        shard: int = -1,
        *,
        from_master: bool = False,
        only_reads: bool = False,
    ) -> None:
        """Put a request on its way: to its key's shard, else to the shard given, else to any.

        `only_reads` says so of one whose command does not.
        """
        lane, command = self.lane(style), entry[2]
        words = words or arguments(entry[3])
        places = command.keys(words)
        if places:
            shard = lane.owner_of[slot_of(words[places[0]])]
        elif shard < 0:
            shard = random.randrange(len(self.topology.shards)) if self.topology.shards else NOBODY  # noqa: S311
        is_replicated = self.configuration.layout is Layout.REPLICATED
        if is_replicated and self._may_lag(command, [words[at] for at in places], only_reads) and not from_master:
            next(lane.readers).send(entry)
        else:
            self._writer(lane, style, shard).send(entry)

    def _may_lag(self, command: Command, keys: list[bytes], only_reads: bool) -> bool:  # noqa: FBT001 - inside
        """Whether a replica may be asked; what is written is remembered."""
        only_reads = only_reads or command.reads
        if not only_reads:
            self.recent.add(keys)
            if not keys and "write" in command.flags:
                self.recent.add_everything()
        return bool(keys) and only_reads and not self.recent.has_any(keys)

    def _writer(self, lane: Lane, style: Style, shard: int) -> Backend | Parking:
        return lane.writers[shard] if 0 <= shard < len(lane.writers) else Parking(self, style, shard)

    def keys_slot(self, keys: Iterable[bytes]) -> int | tuple[bytes, bytes]:
        """The slot that all keys are in, -1 for no keys; or two keys that are not in the same."""
        first, slot = b"", -1
        for key in keys:
            if slot < 0:
                first, slot = key, slot_of(key)
            elif slot_of(key) != slot and self.configuration.layout is Layout.CLUSTER:
                return first, key
        return slot

    def slot_for(self, key: bytes) -> int:
        """The slot of a key."""
        return slot_of(key)

    def ask(self, style: Style, requests: Sequence[tuple[Command, bytes, int]]) -> asyncio.Future[list[bytes]]:
        """Replies to some requests, each to the shard at this index (-1: its key's). Raises `LostInFlight`."""
        waiting = Waiting(time.monotonic(), len(requests))
        for index, (command, raw, shard) in enumerate(requests):
            self.send((waiting, index, command, raw), style, shard=shard)
        return waiting.future

    async def shard_index(self, slot: int) -> int:
        """The shard of a slot, once it has a master. Raises `TimeoutError`."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (index := self.topology.owner_of[max(slot, 0)]) == NOBODY:
            if time.monotonic() > deadline:
                raise TimeoutError
            self._trouble.set()
            await asyncio.sleep(AGAIN_SECONDS)
        return index

    async def lease(self, slot: int, style: Style) -> Lease:
        """A connection to a slot's master for one client alone. Raises `TimeoutError`."""
        address = self.topology.shards[await self.shard_index(slot)].master
        idle = self._leases.setdefault((address, style), [])
        while idle:
            lease = idle.pop()
            if not lease.backend.is_closed:
                break
        else:
            lease = Lease(self, address, style)
        if not idle:
            # Whoever needs the next finds it connected: what a client sends elsewhere meanwhile must not overtake.
            idle.append(Lease(self, address, style))
            idle[0].backend.flush()
        return lease

    def give_back(self, lease: Lease) -> None:
        """The connection has no state of its client left."""
        idle = self._leases.setdefault((lease.backend.address, lease.backend.style), [])
        if lease.backend.is_closed or lease.backend.oldest or len(idle) >= IDLE_LEASES:
            lease.backend.close()
        else:
            idle.append(lease)

    @property
    def login(self) -> Login:
        """How to log in to data nodes."""
        return self.lookout.login

    # What connections tell

    def redirected(self, connection: Backend, entry: Entry, reply: bytes) -> None:
        """Ask there, or later, unless it took too long already."""
        style, command = connection.style, entry[2]
        if time.monotonic() - entry[0].at > PATIENCE_SECONDS or not command.redirects:
            put(entry, reply)
        elif (hold := self._hold_of(entry, style)) is not None:
            hold.append(entry)
            if reply.startswith(b"-MOVED "):
                self._drain(connection)
        elif reply.startswith(b"-TRYAGAIN") and (slot := _slot(entry)) >= 0:
            self._hold(connection, slot, entry)
        elif reply.startswith(b"-ASK "):
            host, _, port = text(reply).split()[2].rpartition(":")
            target = self._connection(Address(host, int(port)), style)
            target.send((Nobody(entry[0].at), 0, _ASKING, ASKING))
            target.send(entry)
        elif reply.startswith((b"-MOVED ", b"-READONLY")):
            self._drain(connection)
            self._moved.append((entry, style, -1))
        else:
            # Not now: the node has not finished loading, or hears too few of the others.
            self._suspect(connection.address)
            shard = self.topology.shard_of(connection.address)
            asyncio.get_running_loop().call_later(AGAIN_SECONDS, self.send, entry, style, None, shard)

    def ended(self, connection: Backend, sent: list[Entry], unsent: list[Entry]) -> None:
        """Ask again what may be asked again."""
        style = connection.style
        shard = self.topology.shard_of(connection.address)
        if self._shared.get((connection.address, style)) is connection:
            del self._shared[connection.address, style]
        self._draining.discard(connection)
        self._replace(connection, style)
        for entry in sent:
            if entry[2].reads:
                self.park(entry, style, shard)
            else:
                entry[0].lost()
        for entry in unsent:
            self.park(entry, style, shard)
        self._suspect(connection.address)

    def refused(self, address: Address, reason: str) -> None:
        """A node does not let us in; it is asked again as one that is not there."""
        self._suspect(address)
        del reason

    def slow(self, entry: Entry) -> None:
        """A request took long."""
        microseconds = int((time.monotonic() - entry[0].at) * 1_000_000)
        if microseconds > self.slow_microseconds:
            self.on_slow(entry, microseconds)

    def look(self) -> None:
        """Something is not where it was: look soon."""
        self._trouble.set()

    def park(self, entry: Entry, style: Style, shard: int) -> None:
        """Keep a request until its shard has a master."""
        self._parked.append((entry, style, shard))
        self._trouble.set()

    def _suspect(self, address: Address) -> None:
        self._suspects.add(address)
        self._trouble.set()

    def _drain(self, connection: Backend) -> None:
        """Send nothing more on it until all that was sent is answered."""
        self._draining.add(connection)
        self._replace(connection, connection.style)
        self._suspect(connection.address)

    def _hold_of(self, entry: Entry, style: Style) -> list[Entry] | None:
        """Those who wait for the request's slot, if it is held up."""
        hold = self._held.get((style, _slot(entry))) if self._held else None
        return None if hold is None else hold.entries

    def _hold(self, connection: Backend, slot: int, entry: Entry) -> None:
        """Half of a slot's keys are elsewhere: send nothing more for it until all that was sent is answered.

        On either side: what asked for a key that has moved is on the other one.
        """
        style = connection.style
        hold = self._held[style, slot] = Hold([entry])
        self.lane(style).owner_of = self._owner_of(style)
        sides = [one for (_, spoken), one in self._shared.items() if spoken == style and one.oldest]
        task = asyncio.get_running_loop().create_task(self._let_go(hold, [connection, *sides]))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _let_go(self, hold: Hold, sides: Sequence[Backend]) -> None:
        """As soon as the nodes have answered everything, and a moment has passed."""
        for side in dict.fromkeys(sides):
            waiting = Waiting(time.monotonic(), 1)
            side.send((waiting, 0, _MARK, MARK))
            with contextlib.suppress(LostInFlight, TimeoutError):
                async with asyncio.timeout(PATIENCE_SECONDS):
                    await waiting.future
        await asyncio.sleep(AGAIN_SECONDS)
        hold.is_over = True
        self._trouble.set()

    def _released(self) -> list[Parked]:
        """What waited for slots that are held up no longer."""
        released: list[Parked] = []
        for (style, slot), hold in list(self._held.items()):
            if hold.is_over:
                del self._held[style, slot]
                self.lane(style).owner_of = self._owner_of(style)
                released += [(entry, style, -1) for entry in hold.entries]
        return released

    def _owner_of(self, style: Style) -> bytes:
        """The index of each slot's shard; nobody's while it is held up."""
        held = [slot for spoken, slot in self._held if spoken == style]
        if not held:
            return self.topology.owner_of
        owners = bytearray(self.topology.owner_of)
        for slot in held:
            owners[slot] = NOBODY
        return bytes(owners)

    def _replace(self, connection: Backend, style: Style) -> None:
        lane = self._lanes.get(style)
        if lane is None:
            return
        for index, writer in enumerate(lane.writers):
            if writer is connection:
                lane.writers[index] = Parking(self, style, index)
        self._lay_readers(style, lane, but=connection)

    # Looking

    async def _watch(self) -> None:
        while True:
            try:
                async with asyncio.timeout(LOOK_SECONDS[self.configuration.layout]):
                    await self._trouble.wait()
            except TimeoutError:
                pass
            self._trouble.clear()
            await self._look()
            self._expire()
            if self._parked or self._moved or not self.topology.is_complete:
                await asyncio.sleep(AGAIN_SECONDS)
                self._trouble.set()

    async def _look(self) -> None:
        """Ask who is what, and let go what waited."""
        suspects, self._suspects = self._suspects, set()
        found = await self.lookout.look(self.topology, suspects)
        if found.shards and self.lookout.commands is None:
            await self.lookout.learn_commands(found.shards[0].master)
            if self.lookout.commands is not None:
                self.is_ready.set()
        for address in found.losers(self.topology):
            # Idle ones too: what came while others are waited for would be overtaken where the slots are now.
            for connection in [one for key, one in self._shared.items() if key[0] == address]:
                self._drain(connection)
        await self._drained()
        if found.shards:
            self._apply(found)

    async def _drained(self) -> None:
        """What was sent to masters that are none any more is answered, or they are gone."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while any(backend.oldest for backend in self._draining):
            if time.monotonic() > deadline:
                for backend in list(self._draining):
                    backend.give_up()
                break
            await asyncio.sleep(0.001)
        self._draining.clear()

    def _apply(self, found: Topology) -> None:
        if found != self.topology or any(
            isinstance(w, Parking) for lane in self._lanes.values() for w in lane.writers
        ):
            before, self.topology = self.topology, found
            self._leave_readers(before)
            self._forget_strangers()
            for style, lane in self._lanes.items():
                self._lay(style, lane)
        waiting, self._moved, self._parked = [*self._released(), *self._moved, *self._parked], [], []
        for entry, style, shard in waiting:
            self.send(entry, style, shard=shard)

    def _leave_readers(self, before: Topology) -> None:
        """What a replica was asked that takes no more reads is asked elsewhere, unless it answers soon."""
        staying = {shard.master for shard in self.topology.shards} | {at for at, _ in self.topology.readers}
        left = {address for address, _ in before.readers} - staying
        for (address, _), connection in self._shared.items():
            if address in left and connection.oldest is not None:
                wait = PATIENCE_SECONDS if connection.is_passing_on else ANSWER_SECONDS
                asyncio.get_running_loop().call_later(wait, self._give_up, connection, connection.oldest)

    def _give_up(self, connection: Backend, entry: Entry) -> None:
        if connection.oldest is entry:
            connection.give_up()

    def _lay(self, style: Style, lane: Lane) -> None:
        """Connections to the masters as they are now."""
        shards = self.topology.shards
        lane.owner_of = self._owner_of(style)
        masters = [self._connection(shard.master, style) for shard in shards]
        parking = [Parking(self, style, NOBODY)] * (NOBODY + 1 - len(masters))
        lane.writers = [*masters, *parking]
        self._lay_readers(style, lane)

    def _lay_readers(self, style: Style, lane: Lane, but: Backend | None = None) -> None:
        readers = [
            connection
            for address, weight in self.topology.readers
            if but is None or address != but.address
            for connection in [self._connection(address, style)]
            for _ in range(-(-weight * 10 // 100))
        ]
        random.shuffle(readers)
        lane.readers = cycle(readers or lane.writers[:1])

    def _connection(self, address: Address, style: Style) -> Backend:
        connection = self._shared.get((address, style))
        if connection is None or connection.is_closed:
            connection = self._shared[address, style] = Backend(self, address, style, self.login, self.departures)
            self.departures.add(connection)
        return connection

    def _forget_strangers(self) -> None:
        """End idle connections to nodes that serve nothing any more."""
        known = {shard.master for shard in self.topology.shards} | {reader for reader, _ in self.topology.readers}
        for key, connection in list(self._shared.items()):
            if key[0] not in known and connection.oldest is None:
                del self._shared[key]
                connection.close()
        for key, idle in list(self._leases.items()):
            if key[0] not in known:
                del self._leases[key]
                for lease in idle:
                    lease.backend.close()

    def _expire(self) -> None:
        """Tell those who waited too long."""
        now = time.monotonic()
        for queue in (self._moved, self._parked):
            late = [parked for parked in queue if now - parked[0][0].at > PATIENCE_SECONDS]
            queue[:] = [parked for parked in queue if now - parked[0][0].at <= PATIENCE_SECONDS]
            for entry, _, _ in late:
                put(entry, NO_MASTER)


class Lease(Plain):
    """A connection for one client alone."""

    def __init__(self, router: Router, address: Address, style: Style) -> None:
        self.router = router
        self.backend = Backend(self, address, style, router.login)
        self.on_end: asyncio.Future[None] | None = None

    async def ask(self, command: Command, *requests: bytes) -> list[bytes]:
        """Replies to requests that go out together. Raises `LostInFlight`."""
        waiting = Waiting(time.monotonic(), len(requests))
        for index, raw in enumerate(requests):
            self.backend.send((waiting, index, command, raw))
        return await waiting.future

    async def announce(self, command: Command) -> bytes:
        """The reply to a request that is sent in pieces. Raises `LostInFlight`."""
        waiting = Waiting(time.monotonic(), 1)
        self.backend.announce((waiting, 0, command, b""))
        return (await waiting.future)[0]

    def ended(self, connection: Backend, sent: list[Entry], unsent: list[Entry]) -> None:
        """Tell who holds it."""
        super().ended(connection, sent, unsent)
        self.router._suspect(connection.address)  # noqa: SLF001
        if self.on_end is not None and not self.on_end.done():
            self.on_end.set_result(None)

    def give_back(self) -> None:
        """No longer needed, and without any state of the client."""
        self.router.give_back(self)

    def close(self) -> None:
        """No longer needed."""
        self.backend.close()


_ASKING = Command("asking")
_MARK = Command("ping")
MARK = pack(b"PING")


def _slot(entry: Entry) -> int:
    """The slot of a request's first key, -1 if it has none."""
    words = arguments(entry[3])
    places = entry[2].keys(words)
    return slot_of(words[places[0]]) if places else -1
