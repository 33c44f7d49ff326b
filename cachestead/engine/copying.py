"""Copying all data of masters that take no writes to other masters: one, or those of a cluster, on either side.

The engine moves the bytes: each source sends its keys to whoever owns them there (`MIGRATE … COPY`), a page at a
time, so that it goes on answering reads in between. Deadlines are set anew afterwards, to the millisecond, because
they travel as the time that is left. Whoever calls sees to it that nobody writes at the sources meanwhile.

One promise: success means that all is there. Counts are compared, and the content of many keys (`comparing.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from cachestead.domain.slots import Slots, slot_of
from cachestead.engine.acl import COPIER, copier_arguments
from cachestead.engine.addresses import NodeAddress
from cachestead.engine.cluster import observe_cluster
from cachestead.engine.comparing import differing
from cachestead.engine.connection import Client, address_of, answering, call, with_patience
from cachestead.engine.errors import CopyFailed, EngineRefused, SourceChanged
from cachestead.engine.info import NodeFacts, observe_node
from cachestead.engine.pages import Key, keys_in_a_page, pages
from cachestead.engine.polling import until

KEY_SECONDS = 120.0
"""How long a target may take over one key."""
ANSWER_SECONDS = 600.0
"""How long a page may take."""
SAMPLE_KEYS = 5000
"""About so many keys are compared by content; all, if there are no more."""
SERVE_SECONDS = 20.0
COUNT_SECONDS = 5.0
"""What has expired may not be counted as gone at once."""
_DEADLINES = """
local ends = {}
for at, key in ipairs(ARGV) do ends[at] = redis.call('PEXPIRETIME', key) end
return ends
"""
_DEADLINES_BEFORE_7 = """
local ends, time = {}, redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for at, key in ipairs(ARGV) do
  local left = redis.call('PTTL', key)
  ends[at] = left < 0 and left or now + left
end
return ends
"""
_SET_DEADLINES = """
local missing = {}
for at = 1, #ARGV, 2 do
  if redis.call('PEXPIREAT', ARGV[at], ARGV[at + 1]) == 0 then missing[#missing + 1] = ARGV[at] end
end
return missing
"""
"""Scripts, for a hundred times fewer answers. Keys of several slots may not be named as such and come as words."""


@dataclass(frozen=True)
class Progress:
    """How far a copy is."""

    keys_copied: int
    keys_total: int


Report = Callable[[Progress], Awaitable[None]]


async def copy_data(
    sources: Sequence[Client], targets: Sequence[Client], report: Report | None = None
) -> Progress:
    """The targets have every key, deadline and function of the sources, and nothing else.

    Sources are a master, or all masters of a cluster; so are targets, which are emptied first. A copy that stopped
    half-way is made again by a second call. Raises `CopyFailed` with what stands in the way (more than one
    database where a cluster is to take them; a key that does not pass), `SourceChanged`, `EngineUnreachable`. The
    sources are changed in nothing.
    """
    before = [await observe_node(source) for source in sources]
    copy = _Copy(await _read_targets(targets), report, sum(facts.keys for facts in before))
    _check(before, copy)
    async with copy.admitted():
        await copy.empty()
        await bring_functions(sources, targets)
        await asyncio.gather(*(copy.bring(source, seen) for source, seen in zip(sources, before, strict=True)))
        await copy.compare()
    await copy.count(sources)
    await _check_same(sources, before)
    return copy.progress


async def add_data(
    source: Client,
    targets: Sequence[Client],
    report: Report | None = None,
    *,
    quiet: bool = False,
    one_database: bool = False,
) -> Progress:
    """The targets have the source's keys, deadlines and functions besides their own; of equal keys the source's.

    `quiet` says that nobody else writes at the targets: then the content of many keys is compared. With
    `one_database` the keys of all databases come into the first, later ones over earlier ones. Raises as
    `copy_data` does, and leaves what has arrived.
    """
    seen = await observe_node(source)
    copy = _Copy(await _read_targets(targets), report, seen.keys, one_database=one_database)
    _check([seen], copy)
    async with copy.admitted():
        await bring_functions([source], targets)
        await copy.bring(source, seen)
        if quiet and not one_database:
            await copy.compare()
    if lack := await copy.lack_of_room():
        raise CopyFailed(lack)
    await _check_same([source], [seen])
    return copy.progress


async def bring_functions(sources: Sequence[Client], targets: Sequence[Client]) -> None:
    """Every target has the functions of all sources, besides its own. Raises `CopyFailed`, `EngineUnreachable`."""
    for source in sources:
        if not await _has_functions(source):
            continue
        library = await call(source, "FUNCTION", "DUMP")
        for target in targets:
            try:
                await call(target, "FUNCTION", "RESTORE", library, "REPLACE")
            except EngineRefused as refusal:
                raise CopyFailed(f"functions do not pass: {_meant(refusal)}") from refusal


def databases_in_use(masters: Sequence[NodeFacts]) -> list[int]:
    """Numbers of the databases that have keys."""
    return sorted({one.database for facts in masters for one in facts.keyspace if one.keys})


@dataclass(frozen=True)
class _Target:
    """A master that is copied to."""

    client: Client
    address: NodeAddress
    slots: Slots | None
    """What it owns of its cluster; None outside of one."""
    evicted: int
    """Keys it had given up for want of memory before."""


@dataclass(frozen=True)
class _Pair:
    """Both ends of a database: a source's, and all of the targets' by place."""

    number: int
    """At the targets."""
    source: Client
    targets: Sequence[Client]
    is_cluster: bool
    has_deadlines: bool
    deadlines: str
    """The script that reads them."""
    page_keys: int


@dataclass
class _Copy:
    """One copy at work."""

    targets: Sequence[_Target]
    report: Report | None
    total: int
    one_database: bool = False
    copied: int = 0
    secret: str = field(default_factory=secrets.token_hex, repr=False)
    owners: Sequence[int] = ()
    """The place of each slot's owner among the targets, where they are a cluster."""
    _seen: int = 0

    def __post_init__(self) -> None:
        if self.is_to_cluster:
            owner = {slot: at for at, target in enumerate(self.targets) for slot in target.slots or ()}
            self.owners = [owner[slot] for slot in sorted(owner)]
        self._samples: list[tuple[_Pair, int, Key]] = []
        self._pairs = contextlib.AsyncExitStack()

    @property
    def is_to_cluster(self) -> bool:
        return self.targets[0].slots is not None

    @property
    def progress(self) -> Progress:
        return Progress(self.copied, max(self.total, self.copied))

    @contextlib.asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        """The sources may log in to the targets; afterwards nobody can."""
        try:
            async with self._pairs:
                for target in self.targets:
                    await call(target.client, "ACL SETUSER", *copier_arguments(self.secret))
                yield
        finally:
            for target in self.targets:
                await call(target.client, "ACL DELUSER", COPIER)

    async def empty(self) -> None:
        """Nothing is left of an earlier attempt."""
        for target in self.targets:
            await call(target.client, "FLUSHALL", "SYNC")
            await call(target.client, "FUNCTION", "FLUSH", "SYNC")

    async def bring(self, source: Client, seen: NodeFacts) -> None:
        """The targets have the source's keys, with their deadlines."""
        for database in seen.keyspace:
            pair = await self._pair(source, seen, database.database, has_deadlines=database.expires > 0)
            async for groups in pages(pair.source, pair.page_keys, is_cluster=pair.is_cluster):
                await self._send(pair, groups)
                if pair.has_deadlines:
                    await self._set_deadlines(pair, [key for keys in groups for key in keys])
                self.copied += sum(map(len, groups))
                if self.report:
                    await self.report(self.progress)

    async def compare(self) -> None:
        """The sampled keys are the same on both sides; one that is not has a second chance.

        Reading may change what is compared: PFCOUNT keeps its last count in the key.
        """
        for again in (False, True):
            wrong = await self._compare_samples()
            if not wrong:
                return
            if again:
                raise CopyFailed(f"{len(wrong)} keys differ, {_named(wrong[0][2])} is one")
            for pair, _, key in wrong:
                await self._send(pair, [[key]])
                await self._set_deadlines(pair, [key])
            self._samples = wrong

    async def count(self, sources: Sequence[Client]) -> None:
        """As many keys without a deadline on both sides, by database; those with one were seen one by one."""

        async def look() -> str | None:
            if lack := await self.lack_of_room():
                return lack
            wanted = _lasting([await observe_node(source) for source in sources])
            found = _lasting([await observe_node(target.client) for target in self.targets])
            return None if wanted == found else f"keys by database are {found} and not {wanted}"

        await until(look, COUNT_SECONDS, CopyFailed)

    async def lack_of_room(self) -> str | None:
        """Which target had to give up keys, if one had."""
        for target in self.targets:
            seen = await observe_node(target.client)
            if int(seen.raw.get("evicted_keys", 0)) > target.evicted:
                return f"{target.address} has no room"
        return None

    async def _pair(self, source: Client, seen: NodeFacts, number: int, *, has_deadlines: bool) -> _Pair:
        async def to(client: Client, database: int) -> Client:
            own = with_patience(client, ANSWER_SECONDS, database=database)
            self._pairs.push_async_callback(own.aclose)
            return own

        there = 0 if self.one_database else number
        return _Pair(
            there,
            await to(source, number),
            [await to(target.client, there) for target in self.targets],
            is_cluster=_is_cluster(seen),
            has_deadlines=has_deadlines,
            deadlines=_DEADLINES if _is_modern(seen) else _DEADLINES_BEFORE_7,
            page_keys=keys_in_a_page(seen),
        )

    async def _send(self, pair: _Pair, groups: Sequence[Sequence[Key]]) -> None:
        """Each group is of keys that the source can send together."""
        shares: list[list[Sequence[Key]]] = [[] for _ in self.targets]
        stride = max(1, self.total // SAMPLE_KEYS)
        for keys in groups:
            for at, share in self._by_owner(keys):
                shares[at].append(share)
                first = -self._seen % stride
                self._samples += [(pair, at, key) for key in share[first::stride]]
                self._seen += len(share)
        await asyncio.gather(*(self._send_share(pair, at, share) for at, share in enumerate(shares) if share))

    def _by_owner(self, keys: Sequence[Key]) -> Iterator[tuple[int, Sequence[Key]]]:
        if not self.is_to_cluster:
            yield 0, keys
            return
        shares: dict[int, list[Key]] = {}
        for key in keys:
            shares.setdefault(self.owners[slot_of(key)], []).append(key)
        yield from shares.items()

    async def _send_share(self, pair: _Pair, at: int, share: Sequence[Sequence[Key]]) -> None:
        async with answering(pair.source), pair.source.pipeline(transaction=False) as pipeline:
            for keys in share:
                pipeline.execute_command(*self._migration(pair, at, keys))
            answers = await pipeline.execute(raise_on_error=False)
        for keys, answer in zip(share, answers, strict=True):
            if isinstance(answer, Exception):
                await self._send_one_by_one(pair, at, keys)

    async def _send_one_by_one(self, pair: _Pair, at: int, keys: Sequence[Key]) -> None:
        """What did not pass together, to find the key that stands in the way."""
        for key in keys:
            try:
                await call(pair.source, *self._migration(pair, at, [key]))
            except EngineRefused as refusal:
                raise CopyFailed(f"{_named(key)} does not pass: {_meant(refusal)}") from refusal

    def _migration(self, pair: _Pair, at: int, keys: Sequence[Key]) -> tuple[Any, ...]:
        how = (int(KEY_SECONDS * 1000), "COPY", "REPLACE", "AUTH2", COPIER, self.secret)
        return ("MIGRATE", *self.targets[at].address, "", pair.number, *how, "KEYS", *keys)

    async def _set_deadlines(self, pair: _Pair, keys: Sequence[Key]) -> None:
        """Deadlines are the source's, and each key that has one is there."""
        ends = await call(pair.source, "EVAL", pair.deadlines, 0, *keys)
        shares: dict[int, list[Any]] = {}
        for key, end in zip(keys, ends, strict=True):
            if end >= 0:
                share = shares.setdefault(self.owners[slot_of(key)] if self.is_to_cluster else 0, [])
                share += (key, end)
        for at, share in shares.items():
            missing = await call(pair.targets[at], "EVAL", _SET_DEADLINES, 0, *share)
            # What expired between both is gone from the source, too.
            if left := [key for key in missing if await call(pair.source, "EXISTS", key)]:
                raise CopyFailed(f"{_named(left[0])} did not arrive")

    async def _compare_samples(self) -> list[tuple[_Pair, int, Key]]:
        groups: dict[tuple[int, int], list[tuple[_Pair, int, Key]]] = {}
        for sample in self._samples:
            groups.setdefault((id(sample[0]), sample[1]), []).append(sample)
        wrong = []
        for samples in groups.values():
            pair, at, _ = samples[0]
            odd = set(await differing(pair.source, pair.targets[at], [key for _, _, key in samples]))
            wrong += [sample for sample in samples if sample[2] in odd]
        return wrong


async def _read_targets(targets: Sequence[Client]) -> list[_Target]:
    read = []
    for client in targets:
        seen = await observe_node(client)
        slots = await _served_slots(client) if _is_cluster(seen) else None
        evicted = int(seen.raw.get("evicted_keys", 0))
        read.append(_Target(client, NodeAddress(*address_of(client)), slots, evicted))
    return read


async def _served_slots(client: Client) -> Slots:
    """What the node owns, once it serves: it refuses all keys for two seconds after it joined."""
    slots = Slots()

    async def look() -> str | None:
        nonlocal slots
        view = await observe_cluster(client)
        slots = view.myself.slots
        return None if view.is_ok else f"{view.myself.address} does not serve yet"

    await until(look, SERVE_SECONDS, CopyFailed)
    return slots


def _check(sources: Sequence[NodeFacts], copy: _Copy) -> None:
    """Nothing that can be known beforehand stands in the way. Raises `CopyFailed`."""
    if any(facts.role != "master" for facts in sources):
        raise SourceChanged("a source is no master")
    if copy.is_to_cluster:
        if len(copy.owners) < 16384:
            raise CopyFailed(f"only {len(copy.owners)} slots have an owner among the targets")
        others = [number for number in databases_in_use(sources) if number]
        if others and not copy.one_database:
            raise CopyFailed(f"a cluster has one database, and {len(others)} more have keys")
    elif len(copy.targets) > 1:
        raise CopyFailed("several targets that are no cluster")


async def _check_same(sources: Sequence[Client], before: Sequence[NodeFacts]) -> None:
    """No source was started again meanwhile: it would have forgotten that it takes no writes."""
    for source, seen in zip(sources, before, strict=True):
        now = await observe_node(source)
        if (now.raw["run_id"], now.role) != (seen.raw["run_id"], "master"):
            raise SourceChanged(f"{NodeAddress(*address_of(source))} was restarted or replaced meanwhile")


def _meant(refusal: EngineRefused) -> str:
    """What a target says of what it cannot read, in words that whoever made it understands."""
    return f"the data is of a newer engine ({refusal})" if "DUMP payload version" in str(refusal) else str(refusal)


def _lasting(masters: Sequence[NodeFacts]) -> dict[int, int]:
    """Keys without a deadline by database, over all of these."""
    counts: dict[int, int] = {}
    for facts in masters:
        for one in facts.keyspace:
            counts[one.database] = counts.get(one.database, 0) + one.keys - one.expires
    return {number: count for number, count in counts.items() if count}


def _is_modern(facts: NodeFacts) -> bool:
    return int(facts.version.partition(".")[0] or 0) >= 7


async def _has_functions(source: Client) -> bool:
    return _is_modern(await observe_node(source)) and bool(await call(source, "FUNCTION", "LIST"))


def _is_cluster(facts: NodeFacts) -> bool:
    return bool(facts.raw.get("cluster_enabled", 0))


def _named(key: Key) -> str:
    return f"key {key[:100]!r}"
