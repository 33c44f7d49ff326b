"""Keeps instances healthy and their records true.

A node that ends unasked is seen at once: a lost master is replaced through Sentinel, everything else is started
again. A pass every few seconds looks at every instance all the same, for what was missed while nobody looked.
Never touches an instance that a workflow holds.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace

import structlog

from cachestead.domain.healing import Healing, NodeSeen, plan_healing
from cachestead.domain.instances import Event, Instance, Node, Role, State, advance
from cachestead.domain.sizes import MiB
from cachestead.engine import replication
from cachestead.engine.endpoint import ensure_bound
from cachestead.engine.errors import EngineError, ReplicationLate
from cachestead.engine.failover import LostMaster, take_over
from cachestead.engine.info import NodeFacts, observe_node
from cachestead.runtime.interface import NodeNotStarted, NodeSighting
from cachestead.store import instances as store
from cachestead.workflows.machinery import (
    Machinery,
    address_of,
    client_of,
    ensure_unwatched,
    ensure_watched,
    has_standby,
    login_of,
    spec_of,
)

log = structlog.get_logger()

_AT_ONCE = 16
_FROZEN_LOOK_SECONDS = 0.2
_SYNC_SECONDS = 10.0
_HEALED = (State.RUNNING, State.ERROR)


class Health:
    """The health reconciler."""

    def __init__(self, machinery: Machinery, ensure_sentinel: Callable[[str], Awaitable[bool]]) -> None:
        self._machinery = machinery
        self._ensure_sentinel = ensure_sentinel
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._frozen_since: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run_pass(self) -> None:
        """Look at every instance, heal what needs it, save what changed."""
        moment = self._machinery.turns.moment
        async with self._machinery.database.reading() as tx:
            found = await store.list_any_instances(tx, _HEALED)
        sightings = {one.id: one for one in await self._machinery.runtime.observe_nodes()}
        seen = await asyncio.gather(
            *(self._look_at(one, sightings, moment) for one in found if one.task is None and one.nodes)
        )
        used = {one.id: size for one, size in seen if size is not None and size != one.used_memory}
        async with self._machinery.database.writing() as tx:
            await store.save_used_memory(tx, used)

    async def watch_exits(self) -> None:
        """Act on every process that ends unasked, as it happens."""
        async for node_id in self._machinery.runtime.exits():
            log.warning("node ended", node=node_id)
            task = asyncio.create_task(self._on_exit(node_id))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def watch_frozen(self) -> None:
        """End nodes that are stopped for too long: a frozen master holds its address and serves nobody."""
        limit = self._machinery.failover.frozen_after_ms / 1000
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_FROZEN_LOOK_SECONDS)
            frozen = {one.id for one in await self._machinery.runtime.observe_nodes() if one.frozen}
            self._frozen_since = {node: self._frozen_since.get(node, loop.time()) for node in frozen}
            for node, since in self._frozen_since.items():
                if loop.time() - since >= limit:
                    log.warning("node is frozen and will be ended", node=node)
                    await self._machinery.runtime.kill_node(node)
                    await self._on_exit(node)

    async def _on_exit(self, node_id: str) -> None:
        try:
            if await self._ensure_sentinel(node_id):
                return
            async with self._machinery.database.reading() as tx:
                instance = await store.find_instance_of_node(tx, node_id)
            if instance is None:
                return
            async with self._machinery.turns.healing(instance.id):
                await self._look_again(instance.id)
        except Exception:
            # The next pass looks again.
            log.exception("healing after an exit failed", node=node_id)

    async def _look_at(
        self, instance: Instance, sightings: dict[str, NodeSighting], moment: int
    ) -> tuple[Instance, MiB | None]:
        """Observe one instance, as read at a moment, and heal it; its used memory, if its master answered."""
        turns = self._machinery.turns
        lock = turns.healing(instance.id)
        if lock.locked():
            return instance, None
        async with self._slots, lock:
            if turns.has_begun_since(moment, instance.id):
                return instance, None
            return instance, await self._try_to_heal(instance, sightings)

    async def _look_again(self, instance_id: str) -> None:
        """The same after an exit, with the record as it is now."""
        async with self._machinery.database.reading() as tx:
            instance = await store.find_any_instance(tx, instance_id)
        if instance and instance.task is None and instance.state in _HEALED:
            sightings = {one.id: one for one in await self._machinery.runtime.observe_nodes()}
            await self._try_to_heal(instance, sightings)

    async def _try_to_heal(self, instance: Instance, sightings: dict[str, NodeSighting]) -> MiB | None:
        try:
            return await self._heal(instance, sightings)
        except (EngineError, NodeNotStarted) as error:
            log.warning("healing failed", instance=instance.id, reason=str(error))
            await self._save(instance, instance.nodes, serving=False)
            return None

    async def _heal(self, instance: Instance, sightings: dict[str, NodeSighting]) -> MiB | None:
        facts = dict(
            zip(
                [node.id for node in instance.nodes],
                await asyncio.gather(*(self._facts(instance, node, sightings) for node in instance.nodes)),
                strict=True,
            )
        )
        seen = {
            node.id: NodeSeen(
                running=node.id in sightings and sightings[node.id].running,
                role=Role(found.role) if (found := facts[node.id]) else None,
            )
            for node in instance.nodes
        }
        plan = plan_healing(instance, seen, await self._watched_master(instance))
        master = plan.master
        if plan.take_over:
            master = await self._replace_master(instance, plan)
        current = replace(
            instance,
            nodes=tuple(
                replace(
                    node,
                    role=Role.MASTER if node.id == master else Role.REPLICA,
                    active=facts[node.id] is not None or node.id in plan.start,
                )
                for node in instance.nodes
            ),
        )
        if plan.take_over:
            # Clients are served again: say so before the lost node is rebuilt.
            await self._save(instance, current.nodes, serving=True)
        if master in plan.start and has_standby(current):
            await self._start_all(instance, current, plan)
        else:
            await self._start(current, plan)
        if has_standby(current):
            await self._ensure_endpoint(current, facts)
        serving = plan.serving or plan.take_over or master in plan.start
        await self._save(instance, current.nodes, serving=serving)
        found = facts.get(master)
        return MiB(found.used_memory // (1024 * 1024)) if found else None

    async def _facts(self, instance: Instance, node: Node, sightings: dict[str, NodeSighting]) -> NodeFacts | None:
        sighting = sightings.get(node.id)
        if sighting is None or not sighting.running or sighting.frozen:
            return None
        try:
            return await observe_node(client_of(self._machinery, instance, node))
        except EngineError:
            return None

    async def _watched_master(self, instance: Instance) -> str | None:
        if not has_standby(instance):
            return None
        try:
            address = await self._machinery.sentinels.find_master(instance.id)
        except EngineError:
            return None
        return next((node.id for node in instance.nodes if address_of(node) == address), None)

    async def _replace_master(self, instance: Instance, plan: Healing) -> str:
        """Another node is master and has the instance's address; returns its id."""
        login = login_of(self._machinery, instance)
        lost = LostMaster(
            name=instance.id,
            master=next(address_of(node) for node in instance.nodes if node.id == plan.master),
            candidates=[address_of(node) for node in instance.nodes if node.id != plan.master],
            vip=instance.ip,
            secret=login.secret or "",
            user=login.user,
            commands=login.commands,
        )
        taken = await take_over(self._machinery.sentinels, lost)
        winner = next(node for node in instance.nodes if address_of(node) == taken.winner)
        log.info(
            "master replaced",
            instance=instance.id,
            lost=plan.master,
            master=winner.id,
            seconds=round(taken.seconds, 3),
        )
        return winner.id

    async def _start(self, instance: Instance, plan: Healing) -> None:
        for node_id in plan.start:
            node = next(node for node in instance.nodes if node.id == node_id)
            await self._machinery.connections.forget(address_of(node))
            await self._machinery.runtime.ensure_node(spec_of(self._machinery, instance, node))
            log.info("node started again", instance=instance.id, node=node_id, role=node.role.value)

    async def _start_all(self, before: Instance, instance: Instance, plan: Healing) -> None:
        """Every node was gone. Sentinels may be about to promote one of them, and would when it is back.

        So they look away until the replicas follow: a Sentinel asks a master that is new to it for its replicas,
        and then only every ten seconds. Meanwhile the record keeps who was master.
        """
        await self._save(before, instance.nodes, serving=False)
        await ensure_unwatched(self._machinery, instance)
        await self._start(instance, plan)
        master = next(node for node in instance.nodes if node.role is Role.MASTER)
        replicas = [client_of(self._machinery, instance, node) for node in instance.nodes if node is not master]
        with contextlib.suppress(ReplicationLate):
            await replication.wait_in_sync(replicas, address_of(master), _SYNC_SECONDS)

    async def _ensure_endpoint(self, instance: Instance, facts: dict[str, NodeFacts | None]) -> None:
        """The address is the master's, the Sentinels watch it, and the others follow it."""
        master = next(node for node in instance.nodes if node.role is Role.MASTER)
        await ensure_bound(client_of(self._machinery, instance, master), master.address, instance.ip)
        await ensure_watched(self._machinery, instance)
        for node in instance.nodes:
            found = facts.get(node.id)
            if (
                node.role is Role.REPLICA
                and found
                and found.role == "slave"
                and found.master != address_of(master)
            ):
                await replication.ensure_replica_of(client_of(self._machinery, instance, node), address_of(master))

    async def _save(self, before: Instance, nodes: tuple[Node, ...], *, serving: bool) -> None:
        changed = [new for old, new in zip(before.nodes, nodes, strict=True) if old != new]
        state = State.RUNNING if serving else State.ERROR
        if not changed and before.state is state:
            return
        async with self._machinery.database.writing() as tx:
            for node in changed:
                await store.save_node(tx, node)
            if before.state is not state:
                event = Event.FAULT_GONE if serving else Event.FAULT_SEEN
                if await store.take_instance(tx, before, advance(before, event, self._machinery.now())):
                    log.warning("instance changed state", instance=before.id, state=state.value)
