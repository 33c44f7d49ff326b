"""Samples what monitoring shows of every instance, summarises it, and forgets what is old.

Looks at every node and proxy once in an interval, at its beginning on the clock, and a few times in between at
processor time alone, so that a short peak is seen. What a look needs of the one before is kept in memory: after a
start of the service, figures that are differences begin with the second look.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TypeVar

import structlog

from cachestead.domain.history import KEPT, SAMPLED, Record, roll_up, start_of
from cachestead.domain.instances import Instance, Mode, Node, Proxy, State
from cachestead.domain.looks import Look, Span, processor_shares
from cachestead.domain.metrics import Figures, measure
from cachestead.domain.shards import shards_of
from cachestead.engine.connection import Client
from cachestead.engine.errors import EngineError
from cachestead.engine.looking import look_at_node, look_at_proxy, observe_processor_seconds
from cachestead.settings import MonitoringSettings
from cachestead.store import instances as store
from cachestead.store import samples
from cachestead.workflows import proxies
from cachestead.workflows.machinery import Machinery, client_of, flavor_of

Answer = TypeVar("Answer")

log = structlog.get_logger()

_AT_ONCE = 16
_TOO_LONG, _LATE_SECONDS = 2, 15.0
"""Intervals after which two looks are not compared; short ones may be late by so much on a busy machine."""
_GLANCES = 6
"""Looks at processor time in an interval."""
_STATES = (
    State.RUNNING, State.ERROR, State.RESTARTING, State.FLUSHING, State.EXTENDING, State.RESTORING, State.FROZEN,
)  # fmt: skip
"""States in which an instance has nodes that may answer."""
_BYTES_PER_MEGABIT = 1024 * 1024 / 8


@dataclass
class _Object:
    """What is remembered of a node or a proxy."""

    client: Client | None = None
    look: Look | None = None
    processor: list[tuple[float, float]] = field(default_factory=list)
    """Moments and processor seconds in this interval, the last of the one before first."""


class Sampler:
    """The sampling reconciler."""

    def __init__(self, machinery: Machinery, settings: MonitoringSettings) -> None:
        self._machinery = machinery
        self._seconds = settings.interval_seconds
        self._keep_days = settings.keep_days
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._objects: dict[str, _Object] = {}
        self._sampled = 0
        """The interval that was sampled last, by its begin in epoch milliseconds."""
        self._summarised = 0
        """The begin of the shortest period at which summaries were made last."""

    def pause(self) -> float:
        """Seconds until the next pass, which the clock decides: intervals begin at multiples of themselves."""
        step = max(1.0, self._seconds / _GLANCES)
        return step - self._machinery.now().timestamp() % step

    async def run_pass(self) -> None:
        """Sample everything if an interval has begun, else glance at processor time."""
        at = start_of(round(self._machinery.now().timestamp() * 1000), self._seconds)
        if at == self._sampled:
            await asyncio.gather(*(self._bounded(self._glance(one)) for one in self._objects.values()))
            return
        await self.sample(at)
        self._sampled = at
        await self.summarise(at)

    async def sample(self, at: int) -> None:
        """One record of every instance, for the moment `at` (epoch milliseconds)."""
        async with self._machinery.database.reading() as tx:
            instances = [one async for one in store.each_instance(tx, _STATES)]
        present = {one.id for instance in instances for one in _everyone(instance)}
        self._objects = {key: kept for key, kept in self._objects.items() if key in present}
        figures = await asyncio.gather(*(self._measure_guarded(one) for one in instances))
        records = {one.id: seen for one, seen in zip(instances, figures, strict=True) if seen}
        if records:
            async with self._machinery.database.writing() as tx:
                await samples.add_samples(tx, SAMPLED, at, records)

    async def summarise(self, at: int) -> None:
        """Summaries of every period that is over at a moment. What is too old goes, each time one may be."""
        shortest, *_ = summed_up = [period for period in KEPT if period != SAMPLED]
        present = start_of(at, shortest)
        if present == self._summarised:
            return
        for period in summed_up:
            await self._summarise(period, start_of(at, period))
        await self._forget()
        self._summarised = present

    async def _summarise(self, period: int, present: int) -> None:
        """All summaries of a length that are missing; those of finer periods are there."""
        async with self._machinery.database.reading() as tx:
            due = await samples.list_any_unsummarised(tx, period, present)
        for begin in sorted({moment for moment, _ in due}):
            found: dict[str, Record] = {}
            async with self._machinery.database.reading() as tx:
                for instance_id in (one for moment, one in due if moment == begin):
                    end = begin + period * 1000
                    parts = await samples.list_samples(tx, instance_id, KEPT[period].made_of, begin, end)
                    found[instance_id] = roll_up(record for _, record in parts)
                    await asyncio.sleep(0)
            async with self._machinery.database.writing() as tx:
                await samples.add_samples(tx, period, begin, found)

    async def _forget(self) -> None:
        now = self._machinery.now()
        async with self._machinery.database.writing() as tx:
            for period in KEPT.values():
                keep = timedelta(days=min(period.keep_days, self._keep_days))
                await samples.remove_any_before(tx, period.seconds, round((now - keep).timestamp() * 1000))

    async def _measure_guarded(self, instance: Instance) -> Figures | None:
        """One instance that cannot be measured keeps nobody from the others."""
        try:
            return await self._measure(instance) if instance.nodes else None
        except Exception:
            log.exception("an instance could not be measured", instance=instance.id)
            return None

    async def _measure(self, instance: Instance) -> Figures:
        flavor = flavor_of(self._machinery, instance)
        parts = flavor.replica_count if instance.mode is Mode.HA_RW_SPLIT else flavor.sharding_num
        bandwidth = flavor.max_bandwidth_mbit * _BYTES_PER_MEGABIT / parts
        everyone = _everyone(instance)
        seen = await asyncio.gather(*(self._bounded(self._look(instance, one)) for one in everyone))
        spans = {
            one.id: replace(span, bandwidth=bandwidth) for one, span in zip(everyone, seen, strict=True) if span
        }
        return measure(instance, _with_lags(instance, spans))

    async def _look(self, instance: Instance, one: Node | Proxy) -> Span | None:
        """The span since the last look; None if it does not answer."""
        kept = self._objects.setdefault(one.id, _Object())
        # Anew each time: passwords and addresses change.
        kept.client = self._client(instance, one)
        look = look_at_node if isinstance(one, Node) else look_at_proxy
        try:
            now = await look(kept.client, kept.look)
        except EngineError as error:
            log.debug("not sampled", instance=instance.id, node=one.id, reason=str(error))
            return None
        before, kept.look = kept.look, now
        if before and now.at - before.at > max(_TOO_LONG * self._seconds, _LATE_SECONDS):
            # What happened meanwhile is not of one interval.
            before, kept.processor = None, []
        with suppress(LookupError):
            kept.processor.append((now.at, now.processor_seconds))
        shares, kept.processor = processor_shares(kept.processor), kept.processor[-1:]
        return replace(Span.between(before, now, self._seconds), processor_shares=shares)

    def _client(self, instance: Instance, one: Node | Proxy) -> Client:
        if isinstance(one, Node):
            return client_of(self._machinery, instance, one)
        return proxies.client_of(self._machinery, instance, one)

    async def _glance(self, one: _Object) -> None:
        if one.client is None:
            return
        with suppress(EngineError, LookupError):
            seconds = await observe_processor_seconds(one.client)
            one.processor.append((asyncio.get_running_loop().time(), seconds))

    async def _bounded(self, work: Awaitable[Answer]) -> Answer:
        async with self._slots:
            return await work


def _everyone(instance: Instance) -> list[Node | Proxy]:
    return [*instance.nodes, *instance.proxies]


def _with_lags(instance: Instance, spans: dict[str, Span]) -> dict[str, Span]:
    """Replicas of clusters with what they have not taken yet, by their master's word."""
    if not instance.mode.is_clustered:
        return spans
    for shard in shards_of(instance):
        masters = [spans[node.id].now for node in shard.nodes if node.id in spans and spans[node.id].now.is_master]
        for node in shard.nodes:
            for master in masters:
                if node.id in spans and node.address in master.replica_offsets:
                    lag = master.get("master_repl_offset") - master.replica_offsets[node.address]
                    spans[node.id] = replace(spans[node.id], lag=lag)
    return spans
