"""Hash slots: sets of them, who should own which, and what has to move.

Decides which slots move; `engine/slot_migration.py` moves them. Keeps one promise: before, between and after the
moves of a plan each of the 16384 slots has exactly one owner. Talks to nobody: give it owners, it returns moves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice, pairwise
from typing import NamedTuple

from redis.crc import key_slot

SLOT_COUNT = 16384


class SlotRange(NamedTuple):
    """Slots from the first to the last, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}" if self.first == self.last else f"{self.first}-{self.last}"


@dataclass(frozen=True)
class Slots:
    """A set of slots, kept as its fewest ranges; equal sets are equal values."""

    ranges: tuple[SlotRange, ...] = ()

    def __post_init__(self) -> None:
        ends = [end for one in self.ranges for end in one]
        touching = any(after.first - before.last < 2 for before, after in pairwise(self.ranges))
        if ends != sorted(ends) or touching:
            raise ValueError(f"not sorted, apart from each other and forward: {self}")
        if ends and not 0 <= ends[0] <= ends[-1] < SLOT_COUNT:
            raise ValueError(f"beyond the last slot: {self}")

    @classmethod
    def of(cls, slots: Iterable[int]) -> Slots:
        """The set of these slots, in any order."""
        return cls._joined((slot, slot) for slot in sorted(set(slots)))

    @classmethod
    def parse(cls, text: str) -> Slots:
        """The set an engine writes as `0-5460 5462`."""
        words = (word.partition("-") for word in text.split())
        return cls._joined(sorted((int(first), int(last or first)) for first, _, last in words))

    @classmethod
    def _joined(cls, stretches: Iterable[tuple[int, int]]) -> Slots:
        """Sorted stretches, those that touch made one."""
        firsts: list[int] = []
        lasts: list[int] = []
        for first, last in stretches:
            if lasts and first <= lasts[-1] + 1:
                lasts[-1] = max(lasts[-1], last)
            else:
                firsts.append(first)
                lasts.append(last)
        return cls(tuple(map(SlotRange, firsts, lasts)))

    def __iter__(self) -> Iterator[int]:
        return (slot for first, last in self.ranges for slot in range(first, last + 1))

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.ranges)

    def __contains__(self, slot: object) -> bool:
        return isinstance(slot, int) and any(first <= slot <= last for first, last in self.ranges)

    def __or__(self, other: Slots) -> Slots:
        return Slots.of({*self, *other})

    def __sub__(self, other: Slots) -> Slots:
        return Slots.of(set(self) - set(other))

    def __and__(self, other: Slots) -> Slots:
        return Slots.of(set(self) & set(other))

    def __str__(self) -> str:
        return " ".join(map(str, self.ranges))

    def take(self, count: int) -> Slots:
        """The first `count` of them."""
        return Slots.of(islice(self, count))

    def batches(self, size: int) -> Iterator[Slots]:
        """The same slots, at most `size` at a time."""
        rest = iter(self)
        while batch := tuple(islice(rest, size)):
            yield Slots.of(batch)


ALL_SLOTS = Slots((SlotRange(0, SLOT_COUNT - 1),))


@dataclass(frozen=True)
class SlotMove:
    """Slots that change their owner."""

    source: str
    target: str
    slots: Slots


def slot_of(key: str | bytes) -> int:
    """The slot of a key; only what stands in its first pair of braces counts, if there is anything."""
    return key_slot(key.encode(errors="surrogateescape") if isinstance(key, str) else key)


def key_in(slots: Slots, prefix: str) -> str:
    """A key of one of the slots, the same each time."""
    return next(key for key in (f"{prefix}:{number}" for number in count()) if slot_of(key) in slots)


def even_slots(shards: int) -> list[Slots]:
    """All slots in one stretch per shard, none longer than another by more than one slot."""
    bounds = [shard * SLOT_COUNT // shards for shard in range(shards + 1)]
    return [Slots((SlotRange(first, after - 1),)) for first, after in pairwise(bounds)]


def plan_rebalance(owners: Mapping[str, Slots], targets: Sequence[str]) -> list[SlotMove]:
    """The fewest slots that have to move until the targets share all of them evenly and nobody else has any.

    A target without slots is a new shard; an owner that is no target is about to leave. Nothing moves if all is
    even already. Raises `ValueError` where a slot has no owner or two: that is to be healed first.
    """
    _refuse_gaps_and_doubles(owners)
    wanted = _wanted_counts(owners, targets)
    spare = {node: len(slots) - wanted.get(node, 0) for node, slots in owners.items()}
    # From the end of what a node has: what stays is the stretch it has had for longest.
    surplus = {node: iter(sorted(owners[node], reverse=True)) for node in owners if spare[node] > 0}
    moves = []
    for target in targets:
        lacking = wanted[target] - len(owners.get(target, Slots()))
        for source, rest in surplus.items():
            if (count := min(lacking, spare[source])) > 0:
                moves.append(SlotMove(source, target, Slots.of(islice(rest, count))))
                lacking -= count
                spare[source] -= count
    return moves


def apply_move(owners: Mapping[str, Slots], move: SlotMove) -> dict[str, Slots]:
    """Who owns what after a move."""
    after = dict(owners)
    after[move.source] = owners[move.source] - move.slots
    after[move.target] = owners.get(move.target, Slots()) | move.slots
    return after


def _wanted_counts(owners: Mapping[str, Slots], targets: Sequence[str]) -> dict[str, int]:
    """How many slots each target ends with. The odd ones stay with who has most, so that fewer move."""
    if not targets or len(set(targets)) != len(targets):
        raise ValueError("targets must be there and differ")
    each, odd = divmod(SLOT_COUNT, len(targets))
    richest = sorted(targets, key=lambda node: -len(owners.get(node, Slots())))
    return {node: each + (place < odd) for place, node in enumerate(richest)}


def _refuse_gaps_and_doubles(owners: Mapping[str, Slots]) -> None:
    owned = [slot for slots in owners.values() for slot in slots]
    if len(owned) != SLOT_COUNT or len(set(owned)) != SLOT_COUNT:
        raise ValueError(f"{len(set(owned))} of {SLOT_COUNT} slots have an owner, {len(owned)} ownerships")
