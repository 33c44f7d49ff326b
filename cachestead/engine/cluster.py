"""Native Redis Cluster: what its nodes say of it, and the steps that make one.

Looking is apart from acting: `observe_cluster` gives one node's view as a value, `ensure_*` look first and do what
is missing, so `form_cluster` may be interrupted anywhere and called again. One promise: slots that have an owner
are never given to another here; moving them is `slot_migration.py`, a lost master is `cluster_failover.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cachestead.domain.slots import ALL_SLOTS, SLOT_COUNT, Slots, even_slots
from cachestead.engine.addresses import NodeAddress
from cachestead.engine.connection import Client, address_of, answering, call
from cachestead.engine.errors import ClusterNotAgreed, EngineError, EngineRefused, EngineUnreachable, SlotsInDanger
from cachestead.engine.live import set_directives
from cachestead.engine.polling import until
from cachestead.engine.replication import wait_in_sync

NodeId = str
MEET_AGAIN_SECONDS = 1.0
SPREAD_AGAIN_SECONDS = 0.2
MEETING_NODES = 16
FORM_SECONDS = 20.0
_UNSURE = frozenset({"fail", "fail?", "handshake", "noaddr"})
"""Flags of a node that the one who was asked cannot vouch for."""


@dataclass(frozen=True)
class ClusterNode:
    """A node as another one, or it itself, sees it."""

    id: NodeId
    address: NodeAddress
    bus_port: int
    flags: frozenset[str]
    master_id: NodeId | None
    epoch: int
    link_up: bool
    slots: Slots
    migrating: Mapping[int, NodeId] = field(default_factory=dict)
    """Slots on their way to another node; only a node itself knows."""
    importing: Mapping[int, NodeId] = field(default_factory=dict)

    @property
    def is_master(self) -> bool:
        """Whether it replicates from nobody; it may have no slots."""
        return "master" in self.flags

    @property
    def is_sure(self) -> bool:
        """Whether it is neither failing nor still being met."""
        return not self.flags & _UNSURE


Configuration = frozenset[tuple[NodeId, NodeAddress, NodeId | None, Slots]]


@dataclass(frozen=True)
class ClusterView:
    """The cluster as one node sees it."""

    me: NodeId
    nodes: Mapping[NodeId, ClusterNode]
    is_ok: bool
    """`cluster_state:ok`: it serves its slots."""
    slots_ok: int
    """Slots whose owner is not failing."""
    epoch: int

    @property
    def myself(self) -> ClusterNode:
        """The node that was asked."""
        return self.nodes[self.me]

    @property
    def owners(self) -> dict[NodeId, Slots]:
        """Every master with its slots, those without any too."""
        return {node.id: node.slots for node in self.nodes.values() if node.is_master}

    @property
    def unowned(self) -> Slots:
        """Slots that nobody has."""
        return ALL_SLOTS - Slots.of(slot for node in self.nodes.values() for slot in node.slots)

    @property
    def configuration(self) -> Configuration:
        """Who is there, whom it follows and what it owns: what all nodes must agree on."""
        return frozenset((node.id, node.address, node.master_id, node.slots) for node in self.nodes.values())

    def without(self, slots: Slots) -> Configuration:
        """The configuration but for some slots."""
        if not slots:
            return self.configuration
        return frozenset((node, at, master, owned - slots) for node, at, master, owned in self.configuration)

    def members(self, master: NodeId) -> list[ClusterNode]:
        """A master and its replicas."""
        return [node for node in self.nodes.values() if master in (node.id, node.master_id)]

    def find_at(self, address: NodeAddress) -> ClusterNode | None:
        """The node at an address, or None; of several the one that is surest."""
        found = [node for node in self.nodes.values() if node.address == address]
        return min(found, key=lambda node: len(node.flags & _UNSURE), default=None)


@dataclass(frozen=True)
class Shard:
    """Clients of a master and its replicas. Roles are a wish: who owns the shard's slots already stays master."""

    master: Client
    replicas: tuple[Client, ...] = ()
    barred: tuple[Client, ...] = ()
    """Those of them that shall never be promoted."""

    @property
    def nodes(self) -> tuple[Client, ...]:
        """All of them, the master first."""
        return (self.master, *self.replicas)


async def observe_cluster(client: Client) -> ClusterView:
    """The node's view of the cluster now; raises `EngineUnreachable`, or `EngineRefused` while it loads."""
    nodes, info = await asyncio.gather(call(client, "CLUSTER", "NODES"), call(client, "CLUSTER", "INFO"))
    return read_view(str(nodes), str(info))


async def observe_all(nodes: Iterable[Client]) -> list[ClusterView]:
    """The view of each, in order."""
    return await asyncio.gather(*(observe_cluster(node) for node in nodes))


async def observe_any(nodes: Iterable[Client]) -> ClusterView:
    """The view of the first that answers and holds itself for a part of the cluster. Raises `EngineError`."""
    failure: EngineError = EngineRefused("no node was named")
    for node in nodes:
        try:
            view = await observe_cluster(node)
        except (EngineUnreachable, EngineRefused) as error:
            failure = error
            continue
        if any(owned.slots for owned in view.nodes.values()):
            return view
        failure = ClusterNotAgreed(f"{address_of(node)} knows no owner of any slot")
    raise failure


def read_view(nodes: str, info: str) -> ClusterView:
    """The view in the answers to CLUSTER NODES and CLUSTER INFO."""
    read = [_read_node(line.split()) for line in nodes.splitlines() if line]
    facts = dict(line.split(":", 1) for line in info.split() if ":" in line)
    return ClusterView(
        me=next(node.id for node in read if "myself" in node.flags),
        nodes={node.id: node for node in read},
        is_ok=facts["cluster_state"] == "ok",
        slots_ok=int(facts["cluster_slots_ok"]),
        epoch=int(facts["cluster_current_epoch"]),
    )


async def form_cluster(shards: Sequence[Shard], seconds: float = FORM_SECONDS) -> ClusterView:
    """The nodes are one cluster, all slots have an owner, replicas have their master's data, every node agrees.

    Does what is missing, whatever was there before; a cluster that failed over meanwhile keeps its masters.
    Raises `ClusterNotAgreed`, `ReplicationLate`.
    """
    nodes = [node for shard in shards for node in shard.nodes]
    await _ensure_epochs_differ(nodes)
    await ensure_slots([shard.master for shard in shards])
    await ensure_met(nodes, seconds)
    await asyncio.gather(*(ensure_shard(shard, seconds) for shard in shards))
    return await wait_agreed(nodes, seconds, spread=True)


async def ensure_met(nodes: Sequence[Client], seconds: float = FORM_SECONDS) -> None:
    """Every node knows every other and is connected to it. Raises `ClusterNotAgreed`."""
    clock = asyncio.get_running_loop().time
    ask_again = 0.0

    async def look() -> str | None:
        nonlocal ask_again
        views = await observe_all(nodes)
        missing = _unmet(views)
        if missing and clock() >= ask_again:
            await _meet(nodes, views)
            ask_again = clock() + MEET_AGAIN_SECONDS
        return f"{missing} pairs of nodes have not met" if missing else None

    await until(look, seconds, ClusterNotAgreed)


async def ensure_slots(masters: Sequence[Client]) -> None:
    """Every slot has an owner: one that nobody has goes to who holds its keys, else where an even deal puts it.

    Only for all masters of a cluster, all reachable: a slot whose owner is not among them would get a second. One
    with keys loses its owner where a target is lost just as it takes the slot, before its replica heard of it.
    """
    views = await observe_all(masters)
    owned = Slots.of(slot for view in views for node in view.nodes.values() for slot in node.slots)
    missing = ALL_SLOTS - owned
    held = await asyncio.gather(*(_with_keys(master, missing if owned else Slots()) for master in masters))
    anywhere = Slots.of(slot for slots in held for slot in slots)
    for client, view, even, own in zip(masters, views, even_slots(len(masters)), held, strict=True):
        given = ((even & missing) - anywhere) | own
        if given and not view.myself.is_master:
            raise SlotsInDanger(f"{address_of(client)} is no master and cannot be given {given}")
        if given:
            await add_slots(client, given)


async def _with_keys(client: Client, slots: Slots) -> Slots:
    """Those of the slots that the node has keys of."""
    async with answering(client), client.pipeline(transaction=False) as pipeline:
        for slot in slots:
            pipeline.execute_command("CLUSTER", "COUNTKEYSINSLOT", slot)
        counts = await pipeline.execute()
    return Slots.of(slot for slot, count in zip(slots, counts, strict=True) if count)


async def add_slots(client: Client, slots: Slots) -> None:
    """The node owns these slots, which have no owner so far."""
    # ADDSLOTSRANGE exists only since 7.0; a whole cluster's slots one by one take a few milliseconds.
    await call(client, "CLUSTER", "ADDSLOTS", *slots)


async def ensure_replica_of_master(
    replica: Client, master: Client, seconds: float = FORM_SECONDS, *, promotable: bool = True
) -> None:
    """The node replicates from the master and has its data; until then no failover may choose it.

    `promotable` is what holds afterwards. Raises `ReplicationLate`; `SlotsInDanger` if the node owns slots.
    """
    view, master_id = await observe_cluster(replica), (await observe_cluster(master)).me
    if view.myself.slots:
        raise SlotsInDanger(f"{address_of(replica)} owns {view.myself.slots} and cannot become a replica")
    if view.myself.master_id != master_id:
        await set_promotable(replica, promotable=False)
        await _replicate(replica, master_id, seconds)
    await wait_in_sync([replica], NodeAddress(*address_of(master)), seconds)
    await set_promotable(replica, promotable=promotable)


async def announce_port(client: Client, port: int) -> None:
    """The node tells clients the port that it listens on since it was changed.

    Others hear of it by the bus; of itself it goes on saying the old one until what it announces changes.
    """
    if (await observe_cluster(client)).myself.address.port != port:
        for announced in (str(port), "0"):
            await set_directives(client, {"cluster-announce-port": announced})


async def set_promotable(client: Client, *, promotable: bool) -> None:
    """Whether the node stands for election when its master is lost."""
    await set_directives(client, {"cluster-slave-no-failover": "no" if promotable else "yes"})


async def is_promotable(client: Client) -> bool:
    """Whether the node stands for election when its master is lost."""
    answer = await call(client, "CONFIG GET", "cluster-slave-no-failover")
    return "yes" not in (answer.values() if isinstance(answer, dict) else answer)


async def wait_agreed(
    nodes: Sequence[Client], seconds: float = FORM_SECONDS, *, spread: bool = False
) -> ClusterView:
    """Every node serves its slots and sees exactly these nodes, the same roles and the same owners of all slots.

    With `spread` nodes are made to tell each other what is new; otherwise their own gossip is awaited. Raises
    `ClusterNotAgreed` with what was still different.
    """
    seen: list[ClusterView] = []
    clock = asyncio.get_running_loop().time
    spread_at = 0.0

    async def look() -> str | None:
        nonlocal spread_at
        seen[:] = await observe_all(nodes)
        different = disagreement(seen)
        if different and spread and clock() >= spread_at:
            await _spread(nodes, seen)
            spread_at = clock() + SPREAD_AGAIN_SECONDS
        return different

    await until(look, seconds, ClusterNotAgreed)
    return seen[0]


def disagreement(views: Sequence[ClusterView]) -> str | None:
    """What keeps these views, one per node of a cluster, from being one healthy cluster; None if nothing does.

    Slots on their way are left out: who owns them now, a node that imports them learns from nobody, not even when
    a replica has taken over there. `move_slots` ends that, and could not begin if it had to be over first.
    """
    moving = Slots.of(slot for view in views if view.myself.is_master for slot in view.myself.importing)
    for view in views:
        here = view.myself.address
        if unsure := [str(node.address) for node in view.nodes.values() if not node.is_sure]:
            return f"{here} is not sure of {', '.join(unsure)}"
        if set(view.nodes) != {other.me for other in views}:
            return f"{here} knows {len(view.nodes)} nodes and not the {len(views)} that there are"
        unowned = len(view.unowned & moving) if moving else 0
        if not view.is_ok or view.slots_ok + unowned < SLOT_COUNT:
            return f"{here} serves {view.slots_ok} slots, state {'ok' if view.is_ok else 'fail'}"
    odd = [view for view in views if view.without(moving) != views[0].without(moving)]
    return f"{odd[0].myself.address} sees other roles or owners than {views[0].myself.address}" if odd else None


async def ensure_forgotten(
    nodes: Sequence[Client], gone: NodeId, seconds: float = FORM_SECONDS, *, with_slots: bool = False
) -> None:
    """No node knows the id any more. `nodes` must be all there are: one that is left out tells the others again.

    A node that forgets refuses the id for a minute, which is longer than gossip goes on. Raises `SlotsInDanger`
    while a node holds the id for an owner of slots, `ClusterNotAgreed`. `with_slots` is for a shard whose every
    node is lost: its data is too, and `form_cluster` deals the slots out again.
    """

    async def look() -> str | None:
        views = await observe_all(nodes)
        for view in views:
            if gone in view.nodes and view.nodes[gone].slots and not with_slots:
                raise SlotsInDanger(f"{view.myself.address} knows {gone} as owner of {view.nodes[gone].slots}")
        knowing = [client for client, view in zip(nodes, views, strict=True) if gone in view.nodes]
        for client in knowing:
            await call(client, "CLUSTER", "FORGET", gone)
        return f"{len(knowing)} nodes knew {gone}" if knowing else None

    await until(look, seconds, ClusterNotAgreed)


async def ensure_only(nodes: Sequence[Client], seconds: float = FORM_SECONDS) -> list[NodeId]:
    """Ids that belong to none of these nodes are forgotten everywhere; returns them.

    Raises as `ensure_forgotten` does.
    """
    views = await observe_all(nodes)
    ours = {view.me for view in views}
    # A handshake has an id of the moment and passes by itself.
    known = {node.id for view in views for node in view.nodes.values() if "handshake" not in node.flags}
    for gone in sorted(known - ours):
        await ensure_forgotten(nodes, gone, seconds)
    return sorted(known - ours)


async def ensure_member(shard: Shard, nodes: Sequence[Client], seconds: float = FORM_SECONDS) -> ClusterView:
    """A node that came with an empty folder takes the place of the one that was lost.

    `shard` is the shard it belongs to, `nodes` the whole cluster as it shall be. The lost one's id is forgotten
    everywhere, the new one follows the shard's master and has its data. Where the lost one was master, fail over
    first: slots that only it had raise `SlotsInDanger`.
    """
    await ensure_only(nodes, seconds)
    await ensure_met(nodes, seconds)
    await ensure_shard(shard, seconds)
    return await wait_agreed(nodes, seconds, spread=True)


async def greet(client: Client, node: ClusterNode) -> None:
    """MEET. To a node that is known already it is a ping out of turn, which tells all that a ping tells."""
    await call(client, "CLUSTER", "MEET", node.address.address, node.address.port, *_bus_of(node))


async def ensure_shard(shard: Shard, seconds: float = FORM_SECONDS) -> None:
    """The shard's other nodes copy the one that owns its slots, or its wished master while nobody does."""
    views = await observe_all(shard.nodes)
    owner = next((at for at, view in enumerate(views) if view.myself.slots), 0)
    master = shard.nodes[owner]
    others = [node for at, node in enumerate(shard.nodes) if at != owner]
    await asyncio.gather(
        *(ensure_replica_of_master(node, master, seconds, promotable=node not in shard.barred) for node in others)
    )


async def _replicate(replica: Client, master_id: NodeId, seconds: float) -> None:
    """REPLICATE, once the node knows the master as such."""

    async def look() -> str | None:
        try:
            await call(replica, "CLUSTER", "REPLICATE", master_id)
        except EngineRefused as refusal:
            return f"{address_of(replica)} does not follow {master_id}: {refusal}"
        return None

    await until(look, seconds, ClusterNotAgreed)


async def _ensure_epochs_differ(nodes: Sequence[Client]) -> None:
    """Nodes that know nobody get an epoch each: equal ones are settled one by one, and elections wait for it."""
    views = await observe_all(nodes)
    first = 1 + max(view.epoch for view in views)
    for number, (client, view) in enumerate(zip(nodes, views, strict=True), first):
        if len(view.nodes) == 1 and view.epoch == 0 and view.myself.epoch == 0:
            await call(client, "CLUSTER", "SET-CONFIG-EPOCH", number)


def _unmet(views: Sequence[ClusterView]) -> int:
    return sum(
        other.me not in view.nodes or not view.nodes[other.me].is_sure or not view.nodes[other.me].link_up
        for view in views
        for other in views
    )


async def _meet(nodes: Sequence[Client], views: Sequence[ClusterView]) -> None:
    """Every pair that does not know each other meets, once.

    Left to gossip it takes seconds; past the first nodes of a large cluster gossip is quick enough.
    """
    for at, view in enumerate(views[:MEETING_NODES]):
        for other in views[at + 1 :]:
            if other.me not in view.nodes or view.me not in other.nodes:
                await greet(nodes[at], other.myself)


async def _spread(nodes: Sequence[Client], views: Sequence[ClusterView]) -> None:
    """Whoever is seen in a role or with slots that are not its own says so now, instead of at its next ping."""
    for client, view in zip(nodes, views, strict=True):
        for other in views:
            seen = other.nodes.get(view.me)
            if seen and (seen.master_id, seen.slots) != (view.myself.master_id, view.myself.slots):
                await greet(client, other.myself)


def _bus_of(node: ClusterNode) -> tuple[int, ...]:
    """The bus port where it is not the usual one; engines before 4.0 take no third word."""
    return () if node.bus_port in (0, node.address.port + 10000) else (node.bus_port,)


def _read_node(words: Sequence[str]) -> ClusterNode:
    name, place, flags, master, _, _, epoch, link, *slots = words
    host, _, ports = place.partition(",")[0].rpartition(":")
    port, _, bus_port = ports.partition("@")
    return ClusterNode(
        id=name,
        address=NodeAddress(host, int(port)),
        bus_port=int(bus_port or 0),
        flags=frozenset(flags.split(",")),
        master_id=None if master == "-" else master,
        epoch=int(epoch),
        link_up=link == "connected",
        slots=Slots.parse(" ".join(slot for slot in slots if not slot.startswith("["))),
        migrating=_open_slots(slots, "->-"),
        importing=_open_slots(slots, "-<-"),
    )


def _open_slots(words: Sequence[str], arrow: str) -> dict[int, Any]:
    """`[93-<-id]` and `[77->-id]`, the slots that are on their way."""
    pairs = (word.strip("[]").split(arrow) for word in words if word.startswith("[") and arrow in word)
    return {int(slot): node for slot, node in pairs}
