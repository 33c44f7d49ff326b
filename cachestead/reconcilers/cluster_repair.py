"""Bringing one native cluster back to what its record wants: look, plan, act, and again until all is well.

The plan is `domain/cluster_healing.py`'s; this file observes for it and walks it. Each act is short and is
followed by another look: a node that is lost meanwhile comes next, and whatever was cut short is seen as it is.
It saves nothing: whoever called knows what the record may become.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from cachestead.domain.cluster_healing import ClusterHealing, MemberSeen, ShardFailover, plan_cluster_healing
from cachestead.domain.healing import Truth
from cachestead.domain.instances import Instance, Node, Role, State
from cachestead.domain.shards import shards_of
from cachestead.domain.sizes import MiB
from cachestead.engine import cluster
from cachestead.engine.cluster import ClusterView
from cachestead.engine.cluster_failover import Candidate, LostMaster, fail_over
from cachestead.engine.connection import Client
from cachestead.engine.errors import EngineError
from cachestead.engine.info import NodeFacts, observe_node
from cachestead.reconcilers.repair import Tell
from cachestead.runtime.interface import NodeNotStarted, NodeSighting
from cachestead.workflows.machinery import Machinery, address_of, client_of, shards_at, spec_of

log = structlog.get_logger()

HEAL_SECONDS = 10.0
"""How long one repair goes on; what is not well by then is the next pass' business."""
LOOK_SECONDS = 0.1
FAILOVER_SECONDS = 1.0
"""How long an election may take; it needs a tenth of it.

Masters refuse to vote twice about one node within ten seconds. Then it is started again, which takes two more.
"""
REBUILD_SECONDS = 3.0
"""How long a node is waited for that gets its data anew; more data comes over while nobody waits."""


@dataclass(frozen=True)
class _Look:
    """What one look found."""

    seen: Mapping[str, MemberSeen]
    plan: ClusterHealing
    truth: Truth

    @property
    def is_well(self) -> bool:
        return self.plan.is_quiet and self.truth.serving and all(node.active for node in self.truth.nodes)


@dataclass
class ClusterRepair:
    """One cluster under repair."""

    machinery: Machinery
    instance: Instance
    sightings: Mapping[str, NodeSighting]
    tell: Tell
    _heirless: set[int] = field(default_factory=set)
    """Shards where nobody could take over, this time."""
    _hopeful: bool = False
    """Something was done that needs a moment to show."""

    async def run(self) -> Truth:
        """Look and act."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + HEAL_SECONDS
        while True:
            look = await self._look()
            if look.is_well or clock() >= deadline or (look.plan.is_quiet and not self._hopeful):
                self._report(look.plan)
                return look.truth
            if await self._has_changed():
                continue
            if look.plan.failovers:
                await self._fail_over_some(look)
            else:
                await self.tell(look.truth)
                await self._act(look)
                await asyncio.sleep(LOOK_SECONDS)

    async def _look(self) -> _Look:
        observed = await asyncio.gather(*(self._observe(node) for node in self.instance.nodes))
        facts = {node.id: found[1] for node, found in zip(self.instance.nodes, observed, strict=True) if found}
        seen = {
            node.id: self._member(node, found) for node, found in zip(self.instance.nodes, observed, strict=True)
        }
        plan = plan_cluster_healing(self.instance, seen, self._heirless)
        nodes = tuple(
            replace(
                node,
                role=Role.MASTER if node.id in plan.masters.values() else Role.REPLICA,
                active=seen[node.id].answers and not seen[node.id].is_blank,
            )
            for node in self.instance.nodes
        )
        return _Look(seen, plan, Truth(nodes, plan.serving, _used_memory(plan, facts)))

    async def _observe(self, node: Node) -> tuple[ClusterView, NodeFacts, bool] | None:
        """Its view, its facts and whether it may be elected; None for a node that does not answer."""
        sighting = self.sightings.get(node.id)
        if sighting is None or not sighting.running or sighting.frozen:
            return None
        client = self._client(node)
        try:
            return await asyncio.gather(
                cluster.observe_cluster(client), observe_node(client), cluster.is_promotable(client)
            )
        except EngineError:
            return None

    def _member(self, node: Node, found: tuple[ClusterView, NodeFacts, bool] | None) -> MemberSeen:
        sighting = self.sightings.get(node.id)
        running = sighting is not None and sighting.running
        if found is None:
            return MemberSeen(running)
        view, facts, promotable = found
        master = view.nodes.get(view.myself.master_id or "")
        follows = (one.id for one in self.instance.nodes if master and address_of(one) == master.address)
        return MemberSeen(
            running=running,
            answers=True,
            slots=len(view.myself.slots) if view.myself.is_master else 0,
            epoch=view.myself.epoch,
            serves=view.is_ok,
            is_replica=not view.myself.is_master,
            follows=next(follows, None),
            in_step=facts.role == "slave" and facts.master_link_up,
            kept_out=not promotable and node.priority > 0,
        )

    async def _has_changed(self) -> bool:
        """Whether processes have come or gone since they were looked at. Acting on old news does harm."""
        before = self._own()
        self.sightings = {one.id: one for one in await self.machinery.runtime.observe_nodes()}
        return self._own() != before

    def _own(self) -> list[NodeSighting | None]:
        return [self.sightings.get(node.id) for node in self.instance.nodes]

    async def _fail_over_some(self, look: _Look) -> None:
        """Those that need no vote at once, for only together they are enough to serve; else one election.

        Two elections at a time would split the votes.
        """
        failovers = [one for one in look.plan.failovers if one.without_vote] or look.plan.failovers[:1]
        voters = [node for node in look.plan.masters.values() if look.seen[node].slots]
        await asyncio.gather(*(self._fail_over(failover, voters) for failover in failovers))

    async def _fail_over(self, failover: ShardFailover, voters: Iterable[str]) -> None:
        candidates = self._nodes(failover.candidates)
        lost = LostMaster(
            address_of(*self._nodes([failover.lost])),
            [Candidate(self._client(node), node.priority) for node in candidates],
            [self._client(node) for node in self._nodes(voters)],
        )
        try:
            taken = await fail_over(lost, FAILOVER_SECONDS, without_vote=failover.without_vote)
        except EngineError as error:
            self._heirless.add(failover.shard)
            log.warning("nobody took over", instance=self.instance.id, shard=failover.shard, reason=str(error))
            return
        self._hopeful = True
        winner = next(node.id for node in candidates if address_of(node) == taken.winner)
        log.info(
            "master replaced",
            instance=self.instance.id,
            shard=failover.shard,
            lost=failover.lost,
            master=winner,
            voted=not failover.without_vote,
            seconds=round(taken.seconds, 3),
        )

    async def _act(self, look: _Look) -> None:
        plan, current = look.plan, replace(self.instance, nodes=look.truth.nodes)
        if plan.start:
            await asyncio.gather(*(self._start(current, node) for node in self._nodes(plan.start)))
            return
        try:
            await self._rebuild(current, plan.rebuild)
            for node in self._nodes(plan.admit):
                await cluster.set_promotable(self._client(node), promotable=True)
        except EngineError as error:
            # It may be that another node was lost meanwhile, or that there is much to copy: the next look says.
            log.info("rebuilding goes on", instance=current.id, reason=str(error))

    async def _start(self, current: Instance, node: Node) -> None:
        await self.machinery.connections.forget(address_of(node))
        try:
            await self.machinery.runtime.ensure_node(spec_of(self.machinery, current, node))
        except NodeNotStarted as error:
            # The others may serve without it.
            log.warning("healing failed", instance=current.id, reason=str(error))
            return
        self._hopeful = True
        self._heirless.discard(node.shard)
        log.info("node started again", instance=current.id, node=node.id, role=node.role.value)

    async def _rebuild(self, current: Instance, wanted: Sequence[str]) -> None:
        """Nodes that came with an empty folder take their places again."""
        everybody = [self._client(node) for node in current.nodes]
        for shard, clients in zip(shards_of(current), shards_at(self.machinery, current), strict=True):
            if any(node.id in wanted for node in shard.nodes):
                self._hopeful = True
                await cluster.ensure_member(clients, everybody, REBUILD_SECONDS)
                log.info("shard is whole again", instance=current.id, shard=shard.index)

    def _client(self, node: Node) -> Client:
        return client_of(self.machinery, self.instance, node)

    def _nodes(self, wanted: Iterable[str]) -> list[Node]:
        """Nodes of the record by their ids."""
        by_id = {node.id: node for node in self.instance.nodes}
        return [by_id[node] for node in wanted]

    def _report(self, plan: ClusterHealing) -> None:
        if plan.lost and self.instance.state is not State.ERROR:
            log.error("shards have lost every folder", instance=self.instance.id, shards=plan.lost)


def _used_memory(plan: ClusterHealing, facts: Mapping[str, NodeFacts]) -> MiB | None:
    masters = plan.masters.values()
    if not all(master in facts for master in masters):
        return None
    return MiB(sum(facts[master].used_memory for master in masters) // (1024 * 1024))
