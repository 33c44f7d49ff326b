"""Keeps instances healthy and their records true.

A node that ends unasked is seen at once: a lost master is replaced, through Sentinel or by its cluster's vote,
and everything else is started again. A pass every few seconds looks at every instance all the same, for what was
missed while nobody looked. Never touches nodes of an instance that a workflow holds; its proxies, which have
nothing to lose, are started again also then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace

import structlog

from cachestead.domain.healing import Truth
from cachestead.domain.instances import HEALED_MEANWHILE, Event, Instance, State, advance
from cachestead.domain.parameters import ParameterChange
from cachestead.domain.shards import shards_of
from cachestead.engine.addresses import NodeAddress
from cachestead.engine.errors import EngineError, FailoverFailed
from cachestead.reconcilers.cluster_repair import ClusterRepair
from cachestead.reconcilers.front_repair import ensure_fronts
from cachestead.reconcilers.proxy_repair import HEALED, are_well, healed_proxies, repair_proxies
from cachestead.reconcilers.repair import Repair
from cachestead.runtime.interface import GuardsNotSet, NodeNotStarted, NodeSighting, front_id, node_behind
from cachestead.store import instances as store
from cachestead.store import parameters as parameter_store
from cachestead.store import proxies as proxy_store
from cachestead.workflows.change_parameters import ensure_in_force
from cachestead.workflows.guarding import ensure_guarded
from cachestead.workflows.machinery import Machinery, sightings_now

log = structlog.get_logger()

_AT_ONCE = 16
_FROZEN_LOOK_SECONDS = 0.5
_HEALED = (State.RUNNING, State.ERROR)


class Health:
    """The health reconciler."""

    def __init__(self, machinery: Machinery, ensure_sentinel: Callable[[str], Awaitable[bool]]) -> None:
        self._machinery = machinery
        self._ensure_sentinel = ensure_sentinel
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._replaceable: frozenset[str] = frozenset()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run_pass(self) -> None:
        """Look at every instance, heal what needs it, save what changed."""
        await self._guard()
        moment = self._machinery.turns.moment
        async with self._machinery.database.reading() as tx:
            # Before the instances are: a change that is open while its instance is free is no job's any more.
            changes = await parameter_store.list_any_open(tx)
            known = [one async for one in store.each_instance(tx, HEALED)]
        found = [one for one in known if _is_free(one)]
        proxies = (proxy.id for one in known for proxy in healed_proxies(one))
        fronts = (front_id(node.id) for one in found for node in one.nodes if one.enable_ssl)
        self._replaceable = frozenset([*(node for one in found for node in _with_copies(one)), *proxies, *fronts])
        sightings = await sightings_now(self._machinery)
        await asyncio.gather(*(self._look_at_proxies(one, sightings) for one in known if one.proxies))
        masters = await self._masters()
        seen = await asyncio.gather(*(self._look_at(one, sightings, masters.get(one.id), moment) for one in found))
        await asyncio.gather(*(self._end_changes(one, changes) for one in {one.instance_id for one in changes}))
        used = {
            one.id: truth.used_memory
            for one, truth in zip(found, seen, strict=True)
            if truth and truth.used_memory is not None and truth.used_memory != one.used_memory
        }
        if used:
            async with self._machinery.database.writing() as tx:
                await store.save_used_memory(tx, used)

    async def _guard(self) -> None:
        """Whoever is on no whitelist is kept out, before nodes are started that may have been down."""
        try:
            await ensure_guarded(self._machinery)
        except GuardsNotSet as error:
            log.warning("whitelists are not in force", reason=str(error))

    async def watch_exits(self) -> None:
        """Act on every process that ends unasked, as it happens."""
        async for node_id in self._machinery.runtime.exits():
            log.warning("node ended", node=node_id)
            self._spawn(self._on_exit(node_id))

    async def watch_frozen(self) -> None:
        """End nodes that are stopped for too long: a frozen master holds its address and serves nobody.

        Only where another node has the data: a single node that somebody stopped keeps it.
        """
        limit, loop = self._machinery.failover.frozen_after_ms / 1000, asyncio.get_running_loop()
        since: dict[str, float] = {}
        while True:
            await asyncio.sleep(_FROZEN_LOOK_SECONDS)
            frozen = [one.id for one in (await sightings_now(self._machinery)).values() if one.frozen]
            since = {node: since.get(node, loop.time()) for node in frozen if node in self._replaceable}
            for node in [node for node, began in since.items() if loop.time() - began >= limit]:
                del since[node]
                log.warning("node is frozen and will be ended", node=node)
                self._spawn(self._end_frozen(node))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _end_frozen(self, node_id: str) -> None:
        await self._machinery.runtime.kill_node(node_id)
        await self._on_exit(node_id)

    async def _on_exit(self, node_id: str) -> None:
        try:
            if await self._ensure_sentinel(node_id):
                return
            async with self._machinery.database.reading() as tx:
                instance_id = await store.find_instance_of_node(tx, node_behind(node_id) or node_id)
                behind = None if instance_id else await proxy_store.find_instance_of_proxy(tx, node_id)
            if instance_id is not None:
                await self._look_again(instance_id)
            elif behind is not None:
                await self._repair_proxies(behind)
        except Exception:
            # The next pass looks again.
            log.exception("healing after an exit failed", node=node_id)

    async def _look_at(
        self,
        instance: Instance,
        sightings: Mapping[str, NodeSighting],
        watched: NodeAddress | None,
        moment: int,
    ) -> Truth | None:
        """One instance of a pass, as read at a moment; one that somebody has taken since is left alone."""
        turns = self._machinery.turns
        turn = turns.healing(instance.id)
        if turn.locked():
            return None
        async with self._slots, turn:
            if turns.has_begun_since(moment, instance.id):
                return None
            await ensure_fronts(self._machinery, instance, sightings)
            return await self._repair(instance, sightings, watched)

    async def _end_changes(self, instance_id: str, changes: Sequence[ParameterChange]) -> None:
        """A failed change of parameters that could not be taken back everywhere now is."""
        machinery, own = self._machinery, [one for one in changes if one.instance_id == instance_id]
        names = {value.name for one in own for value in one.changes}
        async with self._slots, machinery.turns.healing(instance_id):
            async with machinery.database.reading() as tx:
                instance = await store.find_any_instance(tx, instance_id)
            if instance is None or not _is_free(instance):
                return
            try:
                await ensure_in_force(machinery, instance, names)
            except (EngineError, NodeNotStarted) as error:
                log.warning("parameters are not as on record", instance=instance_id, reason=str(error))
                return
            async with machinery.database.writing() as tx:
                await parameter_store.end_any_failed(tx, [one.id for one in own], machinery.now())

    async def _look_at_proxies(self, instance: Instance, sightings: Mapping[str, NodeSighting]) -> None:
        async with self._slots:
            if not await are_well(self._machinery, instance, sightings):
                await self._repair_proxies(instance.id)

    async def _repair_proxies(self, instance_id: str) -> None:
        """The instance's proxies run, by the record as it is now."""
        machinery = self._machinery
        async with machinery.turns.healing_proxies(instance_id):
            async with machinery.database.reading() as tx:
                instance = await store.find_any_instance(tx, instance_id)
            if instance is None:
                return
            now = await repair_proxies(machinery, instance, await sightings_now(machinery))
            changed = [proxy for proxy in now if proxy not in instance.proxies]
            if changed:
                async with machinery.database.writing() as tx:
                    for proxy in changed:
                        await proxy_store.save_proxy(tx, proxy)

    async def _look_again(self, instance_id: str) -> None:
        """One instance after an exit, with the record as it is now."""
        async with self._machinery.turns.healing(instance_id):
            async with self._machinery.database.reading() as tx:
                instance = await store.find_any_instance(tx, instance_id)
            if instance and _is_free(instance):
                await ensure_fronts(self._machinery, instance, await sightings_now(self._machinery))
                watched = await self._find_master(instance)
                await self._repair(instance, await sightings_now(self._machinery), watched, patient=True)

    async def _repair(
        self,
        instance: Instance,
        sightings: Mapping[str, NodeSighting],
        watched: NodeAddress | None,
        *,
        patient: bool = False,
    ) -> Truth | None:
        """Heal and save. `patient` where nobody else waits for the end of it."""
        saved = instance

        async def save(truth: Truth) -> None:
            nonlocal saved
            saved = await self._save(saved, truth)

        try:
            if instance.mode.is_clustered:
                truth = await ClusterRepair(self._machinery, instance, sightings, save, patient).run()
            else:
                truth = await Repair(self._machinery, instance, sightings, watched, save).run()
        except (FailoverFailed, NodeNotStarted) as error:
            log.warning("healing failed", instance=instance.id, reason=str(error))
            truth = Truth(saved.nodes, serving=False)
        except EngineError as error:
            # Something changed while we looked: what is true is for the next look to say.
            log.info("healing interrupted", instance=instance.id, reason=str(error))
            return None
        await save(truth)
        return truth

    async def _save(self, before: Instance, truth: Truth) -> Instance:
        """The record says what is true, unless somebody has taken the instance; as it is saved now."""
        changed = [new for old, new in zip(before.nodes, truth.nodes, strict=True) if old != new]
        if not changed and before.state is _state_of(before, truth):
            return before
        async with self._machinery.database.writing() as tx:
            now = await store.lock_any_instance(tx, before.id)
            if not _is_free(now):
                return before
            recorded = {node.id: node for node in now.nodes}
            for node in changed:
                # What callers may change of a node meanwhile is theirs.
                if recorded_node := recorded.get(node.id):
                    await store.save_node(tx, replace(recorded_node, role=node.role, active=node.active))
            wanted = _state_of(now, truth)
            if now.state is not wanted:
                event = Event.FAULT_GONE if wanted is State.RUNNING else Event.FAULT_SEEN
                await store.take_instance(tx, now, advance(now, event, self._machinery.now()))
                log.warning("instance changed state", instance=now.id, state=wanted.value)
        return replace(before, state=wanted, nodes=truth.nodes)

    async def _masters(self) -> dict[str, NodeAddress]:
        """Masters by the Sentinels' word, of the instances that all of them watch."""
        try:
            return await self._machinery.sentinels.masters()
        except EngineError as error:
            log.warning("the Sentinels do not answer", reason=str(error))
            return {}

    async def _find_master(self, instance: Instance) -> NodeAddress | None:
        if not instance.mode.is_watched:
            return None
        try:
            return await self._machinery.sentinels.find_master(instance.id)
        except EngineError:
            return None


def _is_free(instance: Instance) -> bool:
    """Whether no workflow works on the instance's nodes, and there are any."""
    return instance.state in _HEALED and instance.task in HEALED_MEANWHILE and bool(instance.nodes)


def _state_of(instance: Instance, truth: Truth) -> State:
    """What the record says of an instance whose nodes are like this: without any proxy nobody reaches them."""
    reachable = not instance.proxies or any(proxy.active for proxy in instance.proxies)
    return State.RUNNING if truth.serving and reachable else State.ERROR


def _with_copies(instance: Instance) -> list[str]:
    """Ids of the nodes whose data another node has too."""
    return [node.id for shard in shards_of(instance) if shard.replicas for node in shard.nodes]
