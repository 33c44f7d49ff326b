"""Bringing one instance back to what its record wants: look, plan, act, tell what is true now.

The plan is `domain/healing.py`'s; this file observes for it and walks it. It saves nothing: whoever called knows
what the record may become.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from cachestead.domain.healing import Healing, Truth, plan_healing
from cachestead.domain.instances import Instance, Node, Role
from cachestead.domain.shards import master_of, replicas_of
from cachestead.domain.sizes import MiB
from cachestead.engine import replication
from cachestead.engine.addresses import NodeAddress
from cachestead.engine.connection import Client
from cachestead.engine.endpoint import ensure_bound, ensure_unbound
from cachestead.engine.errors import EndpointTaken, EngineError, FailoverFailed, ReplicationLate
from cachestead.engine.failover import take_over
from cachestead.runtime.interface import NodeSighting
from cachestead.workflows.machinery import (
    Machinery,
    address_of,
    client_of,
    ensure_unwatched,
    ensure_watched,
    keeps_file,
    running_of,
    spec_of,
    watched_shard,
)
from cachestead.workflows.roles import Facts, node_at, observe_facts, seen_of

log = structlog.get_logger()

Tell = Callable[[Truth], Awaitable[None]]
"""Is told what is true as soon as it is, before nodes are rebuilt."""
_SYNC_SECONDS, _SYNC_LOOKS = 0.5, 20
_TAKEOVER_SECONDS = 2.5
"""How long Sentinels may take once they are asked; they need a fraction of it, unless they know no replica."""


@dataclass(frozen=True)
class Repair:
    """One instance under repair."""

    machinery: Machinery
    instance: Instance
    sightings: Mapping[str, NodeSighting]
    watched: NodeAddress | None
    """The master by the Sentinels' word; None if they do not know the instance."""
    tell: Tell

    async def run(self) -> Truth:
        """Look and act. Raises `EngineError` or `NodeNotStarted` where that was not enough."""
        facts = await observe_facts(self.machinery, self.instance, self.sightings)
        seen, kept = seen_of(self.instance, self.sightings, facts), keeps_file(self.machinery, self.instance)
        plan = plan_healing(self.instance, seen, node_at(self.instance, self.watched), keeps_file=kept)
        master = plan.master
        if plan.take_over:
            try:
                master = await self._replace_master(plan.master)
            except FailoverFailed as failure:
                log.warning("nobody took over", instance=self.instance.id, reason=str(failure))
                plan = plan.without_heir()
                master = plan.master
        nodes = self._nodes(facts, plan, master)
        current = replace(self.instance, nodes=nodes)
        if plan.promote:
            await self._promote(current, facts)
        if plan.take_over or plan.promote:
            await self.tell(Truth(nodes, serving=True))
        if master in plan.start and current.mode.is_watched:
            await self._free_address(current, facts)
            await self._start_all(current, plan)
        else:
            await self._start(current, plan)
        serving = plan.serving or plan.take_over or plan.promote or master in plan.start
        if current.mode.is_watched and serving:
            await self._ensure_followed(current, facts, unwatched=self.watched is None or plan.promote)
        found = facts.get(master)
        return Truth(nodes, serving, MiB(found.used_memory // (1024 * 1024)) if found else None)

    def _nodes(self, facts: Facts, plan: Healing, master: str) -> tuple[Node, ...]:
        return tuple(
            replace(
                node,
                role=Role.MASTER if node.id == master else Role.REPLICA,
                # A replica that is only being started has no data yet; the next look says more.
                active=facts[node.id] is not None or (node.id == master and node.id in plan.start),
            )
            for node in self.instance.nodes
        )

    async def _replace_master(self, lost: str) -> str:
        """Another node is master, with the instance's address if that moves; returns its id."""
        instance = self.instance
        [master] = [node for node in instance.nodes if node.id == lost]
        shard = watched_shard(
            self.machinery, instance, (node for node in instance.nodes if node.id != lost), master=master
        )
        taken = await take_over(self.machinery.sentinels, shard, _TAKEOVER_SECONDS)
        winner = next(node.id for node in instance.nodes if address_of(node) == taken.winner)
        log.info(
            "master replaced", instance=instance.id, lost=lost, master=winner, seconds=round(taken.seconds, 3)
        )
        return winner

    async def _promote(self, current: Instance, facts: Facts) -> None:
        """A replica is master unasked, with the instance's address if that moves.

        The Sentinels look away, those that can be told: they might choose another meanwhile.
        """
        master = master_of(current)
        with contextlib.suppress(EngineError):
            await ensure_unwatched(self.machinery, current)
        await replication.ensure_master(client_of(self.machinery, current, master))
        log.warning("replica promoted: its master keeps no file", instance=current.id, master=master.id)
        if current.mode.has_moving_address:
            await self._bind_address(current, master, facts)

    async def _start(self, current: Instance, plan: Healing) -> None:
        for node_id in plan.start:
            node = next(node for node in current.nodes if node.id == node_id)
            await self.machinery.connections.forget(address_of(node))
            await self.machinery.runtime.ensure_node(spec_of(self.machinery, current, node))
            log.info("node started again", instance=current.id, node=node_id, role=node.role.value)

    async def _start_all(self, current: Instance, plan: Healing) -> None:
        """The master was gone and nobody took its place. Sentinels may still be about to promote some node.

        So they look away until the replicas follow: a Sentinel asks a master that is new to it for its replicas,
        and then only every ten seconds. Meanwhile the record keeps who was master.
        """
        await self.tell(Truth(current.nodes, serving=False))
        await ensure_unwatched(self.machinery, current)
        await self._start(current, plan)
        master = address_of(master_of(current))
        replicas = [client_of(self.machinery, current, node) for node in replicas_of(current)]
        for replica in replicas:
            await replication.ensure_replica_of(replica, master)
        await self._await_replicas(replicas, master_of(current))
        await ensure_watched(self.machinery, current)

    async def _await_replicas(self, replicas: Sequence[Client], master: Node) -> None:
        """They follow, within a bound; nobody waits for the data of a master that has been lost again."""
        for _ in range(_SYNC_LOOKS):
            if not await running_of(self.machinery, [master]):
                return
            with contextlib.suppress(ReplicationLate):
                await replication.wait_in_sync(replicas, address_of(master), _SYNC_SECONDS)
                return

    async def _free_address(self, current: Instance, facts: Facts) -> None:
        """No replica has the instance's address. One that was promoted for a moment only may have kept it."""
        if not current.mode.has_moving_address:
            return
        for node in replicas_of(current):
            if (found := facts.get(node.id)) and found.role == "slave":
                await ensure_unbound(client_of(self.machinery, current, node), node.address)

    async def _ensure_followed(self, current: Instance, facts: Facts, *, unwatched: bool) -> None:
        """The others follow the master, which has the address, and the Sentinels know it."""
        master = next(node for node in current.nodes if node.role is Role.MASTER)
        if current.mode.has_moving_address:
            await self._bind_address(current, master, facts)
        if unwatched:
            await ensure_watched(self.machinery, current)
        for node in current.nodes:
            found = facts.get(node.id)
            if (
                node.role is Role.REPLICA
                and found
                and found.role == "slave"
                and found.master != address_of(master)
            ):
                await replication.ensure_replica_of(client_of(self.machinery, current, node), address_of(master))

    async def _bind_address(self, current: Instance, master: Node, facts: Facts) -> None:
        try:
            await ensure_bound(client_of(self.machinery, current, master), master.address, current.ip)
        except EndpointTaken:
            await self._free_address(current, facts)
            raise
