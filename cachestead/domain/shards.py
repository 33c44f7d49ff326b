"""An instance's nodes by shard, and how nodes are laid out over shards and zones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cachestead.domain.instances import Instance, Mode, Node, Role, node_id


@dataclass(frozen=True)
class Shard:
    """One shard: who is master by the record, and who copies it."""

    index: int
    master: Node
    replicas: tuple[Node, ...]

    @property
    def nodes(self) -> tuple[Node, ...]:
        """All of its nodes, the master first."""
        return (self.master, *self.replicas)


def shards_of(instance: Instance) -> tuple[Shard, ...]:
    """The instance's shards, in order."""
    return tuple(_shard(index, instance.nodes) for index in sorted({node.shard for node in instance.nodes}))


def _shard(index: int, nodes: Sequence[Node]) -> Shard:
    own = [node for node in nodes if node.shard == index]
    master = next((node for node in own if node.role is Role.MASTER), own[0])
    return Shard(index, master, tuple(node for node in own if node.id != master.id))


def master_of(instance: Instance) -> Node:
    """The master of an instance that has one shard."""
    return shards_of(instance)[0].master


def masters_of(instance: Instance) -> list[Node]:
    """The master of each shard."""
    return [shard.master for shard in shards_of(instance)]


def replicas_of(instance: Instance) -> list[Node]:
    """Every node that copies another."""
    return [node for shard in shards_of(instance) for node in shard.replicas]


def deletable_replicas(instance: Instance) -> tuple[Node, ...]:
    """One replica of each shard that may go, as a resize takes them away; none if a shard has none.

    They are of one zone where every shard has a replica there: then that zone is all that a resize has to name.
    """
    shards = shards_of(instance)
    if not all(shard.replicas for shard in shards):
        return ()
    zones = [{node.zone for node in shard.replicas} for shard in shards]
    shared = sorted(set.intersection(*zones)) if zones else []
    wanted = set(shared[:1]) or set().union(*zones)
    return tuple([node for node in shard.replicas if node.zone in wanted][-1] for shard in shards)


@dataclass(frozen=True)
class Layout:
    """What new nodes have in common."""

    instance_id: str
    port: int
    zones: tuple[str, ...]
    """Zones to spread over; the first is shard 0's master's."""


def plan_nodes(
    layout: Layout, shards: Sequence[int], ordinals: Sequence[int], addresses: Sequence[str]
) -> tuple[Node, ...]:
    """New nodes of these shards and places in them, one for each address.

    The zones are gone through from another beginning in each shard: masters are spread, and no two nodes of a
    shard share a zone while there are enough.
    """
    return tuple(_plan(layout, shards, ordinals, iter(addresses)))


def _plan(
    layout: Layout, shards: Sequence[int], ordinals: Sequence[int], addresses: Iterator[str]
) -> Iterator[Node]:
    for shard in shards:
        for ordinal in ordinals:
            yield Node(
                id=node_id(layout.instance_id, shard, ordinal),
                instance_id=layout.instance_id,
                shard=shard,
                ordinal=ordinal,
                address=next(addresses),
                port=layout.port,
                zone=layout.zones[(shard + ordinal) % len(layout.zones)],
                role=Role.REPLICA if ordinal else Role.MASTER,
            )


def instance_address(mode: Mode, addresses: Sequence[str]) -> str:
    """The instance's `ip`: of a Redis Cluster every node's, else the one of its own, which comes last."""
    return ",".join(addresses) if mode is Mode.CLUSTER else addresses[-1]
