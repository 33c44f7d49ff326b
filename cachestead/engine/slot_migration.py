"""Moving slots between masters while clients read and write.

Two roads to one end. Where the engine moves slots atomically, it copies them with its clients' writes and hands
them over in one instant. Elsewhere they go slot by slot: opened on both sides, keys sent in batches, closed on the
target first. On both, a slot has one owner at every moment and every call looks first, so an interrupted move is
finished by calling again; `half_moved` finds what was left open. What moves is planned in `domain/slots.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cachestead.domain.slots import SlotMove, Slots
from cachestead.engine.acl import REPLICA
from cachestead.engine.addresses import NodeAddress
from cachestead.engine.cluster import ClusterView, NodeId, observe_all, observe_cluster
from cachestead.engine.connection import Client, address_of, answering, call, with_patience
from cachestead.engine.errors import ClusterNotAgreed, EngineRefused, SlotMoveFailed
from cachestead.engine.polling import until

ATTEMPTS = 3
MULTI, EXEC = ("MULTI",), ("EXEC",)
FINISHED = frozenset({"success", "failed", "cancelled"})
POLL_SECONDS = 0.02
LOST_SECONDS = 10.0
"""How long a node may be away before a move says so instead of waiting for it."""
OPEN_AT_ONCE = 64
"""Slots open between two nodes: while a slot is, commands on several of its keys may be told to try again."""
CLOSE_AT_ONCE = 16
"""Slots handed over together: each time all nodes of the cluster write down who owns what."""
NEW_SLOTS = 32
"""A target with fewer slots than this is new to most clients; up to 16 times as many, to some."""
STROKE_KEYS = 1000
"""Slots with no more keys than this go in one stroke each, which holds up both nodes for a few milliseconds."""
STROKE_BYTES = 2 * 1024 * 1024
"""And with no more than this, as far as the keys' mean size tells."""
WAIT_KNOWN_SECONDS = 10.0


@dataclass(frozen=True)
class Progress:
    """How far a move is."""

    slots_moved: int
    slots_total: int
    keys_moved: int


Report = Callable[[Progress], Awaitable[None]]


@dataclass(frozen=True)
class Road:
    """How slots move, and within what bounds."""

    atomic: bool
    """The engine moves them (`Engine.has_atomic_slot_migration`)."""
    secret: str | None = field(repr=False)
    """The replicas' secret: a source logs in to its target as they do. Unused where the engine moves them."""
    user: str | None = REPLICA
    """None where the engine has no users."""
    slots_at_once: int = 1024
    """Atomic: copied by one process and handed over together. Else 64 at most are open at a time."""
    keys_at_once: int = 100
    key_seconds: float = 20.0
    """A key, or a batch, that takes longer to send stands in the way; both nodes wait while it is sent."""
    batch_seconds: float = 600.0
    """Bound for one atomic hand-over of `slots_at_once`."""


@dataclass(frozen=True)
class SlotMigration:
    """What an engine says of one atomic move."""

    name: str
    is_export: bool
    slots: Slots
    source: NodeId | None
    """None, as the target, where the engine does not say: after a failover it knows some moves in part."""
    target: NodeId | None
    state: str
    message: str

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in FINISHED


async def move_slots(
    masters: Sequence[Client], move: SlotMove, road: Road, report: Report | None = None
) -> Progress:
    """The target owns the slots, by its own view and that of all masters; their keys are there.

    `masters` are all masters of the cluster. Slots that the target has already count as moved. Raises
    `SlotMoveFailed` with what stands in the way, `EngineUnreachable`; the slots moved until then stay moved.
    """
    mover = await _mover(masters, move, road, report)
    await mover.wait_serving()
    await (mover.move_atomically() if road.atomic else mover.move_by_keys())
    return mover.progress


async def half_moved(masters: Sequence[Client]) -> list[SlotMove]:
    """Moves by keys that were left open on either side, to be finished by `move_slots`.

    An engine's own move is not among them: it goes on, or is undone, by itself.
    """
    views = await observe_all(masters)
    opened: dict[tuple[NodeId, NodeId], set[int]] = {}
    owner_of = {slot: view.me for view in views for slot in view.myself.slots}
    for view in views:
        pairs = [(slot, view.me, _heir(view, target)) for slot, target in view.myself.migrating.items()]
        pairs += [(slot, owner_of.get(slot, source), view.me) for slot, source in view.myself.importing.items()]
        for slot, source, target in pairs:
            if source != target:
                opened.setdefault((source, target), set()).add(slot)
    return [SlotMove(source, target, Slots.of(slots)) for (source, target), slots in sorted(opened.items())]


def _heir(view: ClusterView, node: NodeId) -> NodeId:
    """Who has what the node had: a master that was lost in a move follows the one that took over."""
    known = view.nodes.get(node)
    return known.master_id or node if known else node


async def observe_migrations(client: Client) -> list[SlotMigration]:
    """Atomic moves of this node, under way and recent."""
    return [_read_migration(one) for one in await call(client, "CLUSTER", "GETSLOTMIGRATIONS")]


async def cancel_migrations(client: Client) -> None:
    """No atomic move away from this node is under way; what was not handed over stays where it was."""
    if any(one.is_export and not one.is_over for one in await observe_migrations(client)):
        await call(client, "CLUSTER", "CANCELSLOTMIGRATIONS", "ALL")


@dataclass
class _Mover:
    """One move at work."""

    masters: Sequence[Client]
    move: SlotMove
    road: Road
    report: Report | None
    source: Client
    target: Client
    target_address: NodeAddress
    strokes: bool
    """Slots may go whole. Valkey waits for replicas at each SETSLOT, and 9.1 crashes if that is inside MULTI."""
    keys_moved: int = 0
    slots_moved: int = 0

    @property
    def progress(self) -> Progress:
        return Progress(self.slots_moved, len(self.move.slots), self.keys_moved)

    async def wait_serving(self) -> None:
        """A node refuses all keys for two seconds after it joined."""

        async def look() -> str | None:
            view = await observe_cluster(self.target)
            return None if view.is_ok else f"{view.myself.address} does not serve yet"

        await until(look, WAIT_KNOWN_SECONDS, SlotMoveFailed)

    async def move_atomically(self) -> None:
        await self._wait_for_earlier()
        failures = 0
        while left := await self._left():
            batch = left.take(self.road.slots_at_once)
            keys = await _count_keys(self.source, batch)
            if failure := await self._hand_over(batch):
                failures += 1
                if failures == ATTEMPTS:
                    raise SlotMoveFailed(f"{batch} stay with {self.move.source}: {failure}")
                continue
            failures = 0
            self.keys_moved += keys
            await self._tell(batch)
        self.slots_moved = len(self.move.slots)
        await self._wait_known()

    async def move_by_keys(self) -> None:
        source = with_patience(self.source, self.road.key_seconds * 2)
        try:
            while left := await self._left():
                for batch in left.batches(min(self.road.slots_at_once, OPEN_AT_ONCE)):
                    await self._move_batch(source, batch)
                    await self._tell(batch)
        finally:
            await source.aclose()
        self.slots_moved = len(self.move.slots)
        await self._wait_known()

    async def _left(self) -> Slots:
        """What the target does not own yet. Whoever owns none of it, and is not the target, cannot give it."""
        target = (await observe_cluster(self.target)).myself
        source = (await observe_cluster(self.source)).myself
        left = self.move.slots - target.slots
        if foreign := left - source.slots:
            raise SlotMoveFailed(f"{foreign} belong neither to {source.address} nor to {target.address}")
        # Handed over but still open here: the source has not heard, or was not told.
        return (
            left | (self.move.slots & Slots.of(source.migrating)) | (self.move.slots & Slots.of(target.importing))
        )

    async def _tell(self, moved: Slots) -> None:
        self.slots_moved = min(self.slots_moved + len(moved), len(self.move.slots))
        if self.report:
            await self.report(self.progress)

    async def _wait_for_earlier(self) -> None:
        """Moves that an earlier attempt began go on by themselves; a second over the same slots is refused."""

        async def look() -> str | None:
            under_way = [one for one in await observe_migrations(self.source) if not one.is_over]
            return f"{under_way[0].slots} are on their way" if under_way else None

        await until(look, self.road.batch_seconds, SlotMoveFailed, lost_seconds=LOST_SECONDS)

    async def _hand_over(self, slots: Slots) -> str | None:
        """Why the batch was not handed over, or None. A move that comes to no end is called off."""
        before = {one.name for one in await observe_migrations(self.source)}
        ranges = [end for one in slots.ranges for end in one]
        try:
            await call(self.source, "CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", *ranges, "NODE", self.move.target)
        except EngineRefused as refusal:
            await asyncio.sleep(POLL_SECONDS)
            return str(refusal)
        outcome: list[SlotMigration] = []

        async def look() -> str | None:
            outcome[:] = [one for one in await observe_migrations(self.source) if one.name not in before]
            going = [one for one in outcome if not one.is_over]
            return f"{slots} are {going[0].state}" if going else None

        try:
            await until(look, self.road.batch_seconds, SlotMoveFailed, lost_seconds=LOST_SECONDS)
        except SlotMoveFailed:
            await cancel_migrations(self.source)
            raise
        return next((f"{one.state}: {one.message}" for one in outcome if one.state != "success"), None)

    async def _move_batch(self, source: Client, slots: Slots) -> None:
        """Slots of few keys go whole. The others are open to both sides while their keys are sent."""
        view = await observe_cluster(self.target)
        owned = view.myself.slots
        # Whoever imports a slot does not hear who took over from its lost owner, and refuses keys of a slot that
        # has none. So it is told.
        await _set_slots(self.target, (slots - owned) & view.unowned, "NODE", self.move.source)
        # The target opens first: a source that sends clients on must not send them to no.
        await _set_slots(self.target, slots - owned, "IMPORTING", self.move.source)
        mine = slots & (await observe_cluster(self.source)).myself.slots
        # redis-py fails where ASK names a node that is new to it, and learns of that node where MOVED does. A new
        # target gets its first slots one by one: who comes for them hardly meets one that is between both sides.
        at_once = min(CLOSE_AT_ONCE, 1 + len(owned) // NEW_SLOTS)
        rest = slots - (await self._move_whole(source, mine, at_once) if self.strokes else Slots())
        await _set_slots(self.source, rest & mine, "MIGRATING", self.move.target)
        await self._send_keys(source, rest & mine)
        await self._close(rest)
        others = [one for one in self.masters if one not in (self.source, self.target)]
        await asyncio.gather(*(_set_slots(one, slots, "NODE", self.move.target) for one in others))

    async def _close(self, slots: Slots) -> None:
        """The target first: if nothing after it happens, the slots have an owner and the source learns of it."""
        await _set_slots(self.target, slots, "NODE", self.move.target)
        await _set_slots(self.source, slots, "NODE", self.move.target)

    async def _move_whole(self, source: Client, slots: Slots, at_once: int) -> Slots:
        """Those slots that went in one stroke each: clients hardly see one between both sides."""
        most, gone = await self._keys_in_a_stroke(), Slots()
        for some in slots.batches(at_once):
            for strokes in _together(await self._keys_in(source, some, most + 1), most):
                empty = await self._strike(source, strokes)
                await self._close(empty)
                gone |= empty
        return gone

    async def _keys_in_a_stroke(self) -> int:
        """As many as are sent in a moment, by the size that keys have on this node."""
        async with answering(self.source):
            memory, keys = await asyncio.gather(self.source.info("memory"), self.source.dbsize())
        size = int(memory.get("used_memory_dataset", memory["used_memory"]))
        return min(STROKE_KEYS, STROKE_BYTES * int(keys) // max(size, 1))

    async def _strike(self, source: Client, strokes: Mapping[int, Sequence[str]]) -> Slots:
        """Those slots of which the source has nothing left; a key that came since, or did not pass, stays."""
        commands = [command for slot, keys in strokes.items() for command in self._stroke(slot, keys)]
        async with answering(source), source.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            answers = await pipeline.execute(raise_on_error=False)
        ends = [answer for command, answer in zip(commands, answers, strict=True) if command == EXEC]
        empty = {slot: keys for (slot, keys), end in zip(strokes.items(), ends, strict=True) if _is_empty(end)}
        self.keys_moved += sum(map(len, empty.values()))
        return Slots.of(empty)

    def _stroke(self, slot: int, keys: Sequence[str]) -> Iterator[tuple[str | int, ...]]:
        """No command of a client comes between these, and after them the slot gets no new keys here."""
        yield MULTI
        yield "CLUSTER", "SETSLOT", slot, "MIGRATING", self.move.target
        if keys:
            yield self._migration(keys)
        yield "CLUSTER", "COUNTKEYSINSLOT", slot
        yield EXEC

    async def _send_keys(self, source: Client, slots: Slots) -> None:
        """Until the slots, which get no new keys here once they are open, are empty."""
        while found := await self._keys_in(source, slots, self.road.keys_at_once):
            full = {slot: keys for slot, keys in found.items() if keys}
            for slot, keys in full.items():
                await self._send_batch(source, slot, keys)
            slots = Slots.of(full)

    async def _keys_in(self, source: Client, slots: Slots, most: int) -> dict[int, list[str]]:
        """Some keys of each slot."""
        async with answering(source), source.pipeline(transaction=False) as pipeline:
            for slot in slots:
                pipeline.execute_command("CLUSTER", "GETKEYSINSLOT", slot, most)
            return dict(zip(slots, await pipeline.execute(), strict=True))

    async def _send_batch(self, source: Client, slot: int, keys: Sequence[str]) -> None:
        try:
            await self._migrate(source, keys)
        except EngineRefused as refusal:
            if len(keys) == 1:
                raise SlotMoveFailed(f"slot {slot}, key {keys[0]!r}: {refusal}") from refusal
            await self._send_one_by_one(source, slot, keys)
        self.keys_moved += len(keys)

    async def _send_one_by_one(self, source: Client, slot: int, keys: Sequence[str]) -> None:
        """A batch that did not pass, to find the key that stands in the way."""
        for key in keys:
            try:
                await self._migrate(source, [key])
            except EngineRefused as refusal:
                raise SlotMoveFailed(f"slot {slot}, key {key!r}: {refusal}") from refusal

    async def _migrate(self, source: Client, keys: Sequence[str]) -> None:
        await call(source, *self._migration(keys))

    def _migration(self, keys: Sequence[str]) -> tuple[str | int, ...]:
        timeout = int(self.road.key_seconds * 1000)
        # REPLACE: what an interrupted attempt left on the target is older than what the source still has.
        return ("MIGRATE", *self.target_address, "", 0, timeout, "REPLACE", *self._login(), "KEYS", *keys)

    def _login(self) -> tuple[str, ...]:
        if self.road.secret is None:
            return ()
        return ("AUTH2", self.road.user, self.road.secret) if self.road.user else ("AUTH", self.road.secret)

    async def _wait_known(self) -> None:
        """All masters know the new owner."""

        async def look() -> str | None:
            for view in await observe_all(self.masters):
                owned = view.nodes[self.move.target].slots
                if self.move.slots - owned:
                    return f"{view.myself.address} does not know the new owner of {self.move.slots - owned}"
            return None

        await until(look, WAIT_KNOWN_SECONDS, ClusterNotAgreed)


async def _mover(masters: Sequence[Client], move: SlotMove, road: Road, report: Report | None) -> _Mover:
    by_id = dict(zip((view.me for view in await observe_all(masters)), masters, strict=True))
    if move.source not in by_id or move.target not in by_id:
        raise SlotMoveFailed(f"{move.source} and {move.target} are not both masters here")
    source, target = by_id[move.source], by_id[move.target]
    async with answering(source):
        strokes = "valkey_version" not in await source.info("server")
    return _Mover(masters, move, road, report, source, target, await _found_at(target), strokes)


async def _found_at(target: Client) -> NodeAddress:
    """Where other nodes of its cluster speak to it: by TLS where they all do."""
    settings = await call(target, "CONFIG GET", "tls-*")
    known = settings if isinstance(settings, dict) else dict(zip(settings[::2], settings[1::2], strict=True))
    if known.get("tls-cluster") != "yes":
        return NodeAddress(*address_of(target))
    return NodeAddress(address_of(target).address, int(known["tls-port"]))


def _together(found: Mapping[int, Sequence[str]], most: int) -> Iterator[dict[int, Sequence[str]]]:
    """Slots and their keys, in groups of no more keys than that; a slot that has more is in none."""
    group: dict[int, Sequence[str]] = {}
    for slot, keys in found.items():
        if len(keys) > most:
            continue
        if sum(map(len, group.values())) + len(keys) > most:
            yield group
            group = {}
        group[slot] = keys
    if group:
        yield group


def _is_empty(end: Any) -> bool:
    """Whether a stroke went well and its slot has no keys left, by what EXEC answered."""
    return isinstance(end, list) and not any(isinstance(one, Exception) for one in end) and end[-1] == 0


async def _set_slots(client: Client, slots: Iterable[int], state: str, node: NodeId) -> None:
    """SETSLOT for each, in one round trip."""
    async with answering(client), client.pipeline(transaction=False) as pipeline:
        for slot in slots:
            pipeline.execute_command("CLUSTER", "SETSLOT", slot, state, node)
        await pipeline.execute()


async def _count_keys(client: Client, slots: Slots) -> int:
    async with answering(client), client.pipeline(transaction=False) as pipeline:
        for slot in slots:
            pipeline.execute_command("CLUSTER", "COUNTKEYSINSLOT", slot)
        return sum(await pipeline.execute())


def _read_migration(flat: Any) -> SlotMigration:
    said = dict(zip(flat[::2], flat[1::2], strict=True)) if isinstance(flat, list) else flat
    return SlotMigration(
        name=said["name"],
        is_export=said["operation"] == "EXPORT",
        slots=Slots.parse(said["slot_ranges"]),
        source=said.get("source_node"),
        target=said.get("target_node"),
        state=said["state"],
        message=said["message"],
    )
