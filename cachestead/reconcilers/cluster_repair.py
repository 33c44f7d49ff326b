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
from cachestead.workflows.machinery import (
    Machinery,
    address_of,
    client_of,
    keeps_file,
    shards_at,
    sightings_now,
    spec_of,
)

log = structlog.get_logger()

HEAL_SECONDS = 10.0
"""How long one repair goes on; what is not well by then is the next pass' business."""
LOOK_SECONDS = 0.1
HURRY_SECONDS = 1.0
"""How long a node may take to answer while a loss is dealt with: a busy one must not delay another's successor."""
FAILOVER_SECONDS = 1.0
"""How long an election may take; it needs a tenth of it.

Masters refuse to vote twice about one node within ten seconds. Then it is started again, which takes two more.
"""
REBUILD_SECONDS = 3.0
"""How long a node is waited for that gets its data anew; more data comes over while nobody waits."""


@dataclass(frozen=True)
class _Answer:
    """What one node says."""

    view: ClusterView
    facts: NodeFacts
    promotable: bool


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
    patient: bool = False
    """Whether to wait until what was done shows; otherwise that is for the next pass to see."""
    _keeps_file: bool = field(init=False)
    _heirless: set[int] = field(default_factory=set)
    """Shards where nobody could take over, this time."""
    _hopeful: bool = False
    """Something was done that needs a moment to show."""

    def __post_init__(self) -> None:
        self._keeps_file = keeps_file(self.machinery, self.instance)

    async def run(self) -> Truth:
        """Look and act until there is nothing to do; then, if patient, until all is well.

        Raises `EngineError` where a node cannot be rebuilt now: another was lost, or there is much to copy.
        """
        clock = asyncio.get_running_loop().time
        deadline = clock() + HEAL_SECONDS
        while True:
            look = await self._look()
            hopeless = look.plan.is_quiet and not (self.patient and self._hopeful and not look.plan.lost)
            if look.is_well or hopeless or clock() >= deadline:
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
        nodes = self.instance.nodes
        found = dict(zip((one.id for one in nodes), await asyncio.gather(*map(self._observe, nodes)), strict=True))
        known = {one.view.me: node for node, one in found.items() if one}
        seen = {node.id: self._member(node, found[node.id], known) for node in nodes}
        plan = plan_cluster_healing(self.instance, seen, self._heirless, keeps_file=self._keeps_file)
        masters = [(node, found[node]) for node in plan.masters.values()]
        used = [one.facts.used_memory for _, one in masters if one]
        truth = Truth(
            nodes=tuple(
                replace(
                    node,
                    role=Role.MASTER if node.id in plan.masters.values() else Role.REPLICA,
                    active=seen[node.id].answers and not seen[node.id].is_blank,
                )
                for node in nodes
            ),
            serving=plan.serving,
            used_memory=MiB(sum(used) // (1024 * 1024)) if len(used) == len(masters) else None,
        )
        return _Look(seen, plan, truth)

    async def _observe(self, node: Node) -> _Answer | None:
        """None for a node that does not answer."""
        sighting = self.sightings.get(node.id)
        if sighting is None or not sighting.running or sighting.frozen:
            return None
        client = self._client(node)
        try:
            async with asyncio.timeout(HURRY_SECONDS if self.patient else None):
                return _Answer(
                    *await asyncio.gather(
                        cluster.observe_cluster(client), observe_node(client), cluster.is_promotable(client)
                    )
                )
        except (EngineError, TimeoutError):
            return None

    def _member(self, node: Node, answer: _Answer | None, known: Mapping[cluster.NodeId, str]) -> MemberSeen:
        """`known` are the nodes that answer, by the ids the engine has for them."""
        sighting = self.sightings.get(node.id)
        running = sighting is not None and sighting.running
        if answer is None:
            return MemberSeen(running)
        me = answer.view.myself
        return MemberSeen(
            running=running,
            answers=True,
            slots=len(me.slots) if me.is_master else 0,
            epoch=me.epoch,
            serves=answer.view.is_ok,
            is_replica=not me.is_master,
            follows=self._followed(answer.view, known),
            in_step=answer.facts.master_link_up,
            # Without a file, keys can only be its master's.
            was_in_step=answer.facts.was_in_sync or (answer.facts.has_data and not self._keeps_file),
            kept_out=not answer.promotable and node.priority > 0,
        )

    def _followed(self, view: ClusterView, known: Mapping[cluster.NodeId, str]) -> str | None:
        """The node that is its master; one that does not answer is known by its address."""
        master = view.nodes.get(view.myself.master_id or "")
        if master is None or master.id in known:
            return known.get(view.myself.master_id or "")
        silent = (one for one in self.instance.nodes if one.id not in known.values())
        return next((one.id for one in silent if address_of(one) == master.address), None)

    async def _has_changed(self) -> bool:
        """Whether processes have come or gone since they were looked at. Acting on old news does harm."""
        before = self._own()
        self.sightings = await sightings_now(self.machinery)
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
            [Candidate(self._client(node), node.priority, failover.anyone) for node in candidates],
            [self._client(node) for node in self._nodes(voters)],
        )
        try:
            taken = await fail_over(lost, FAILOVER_SECONDS, without_vote=failover.without_vote)
        except EngineError as error:
            # A voter or the heir itself may have been lost meanwhile: then there is another plan.
            if not await self._has_changed():
                self._heirless.add(failover.shard)
            log.warning("nobody took over", instance=self.instance.id, shard=failover.shard, reason=str(error))
            await asyncio.sleep(LOOK_SECONDS)
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
            await asyncio.gather(*(self._start(current, node) for node in current.nodes if node.id in plan.start))
            return
        await self._rebuild(current, plan.rebuild)
        for node in self._nodes(plan.admit):
            await cluster.set_promotable(self._client(node), promotable=True)

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
