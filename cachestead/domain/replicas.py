"""What a tenant may choose about a replica: its place in the order of promotion, and the read-only domain name."""

from __future__ import annotations

from cachestead import errors
from cachestead.domain.instances import Instance, Mode, Node, group_id, replication_id
from cachestead.domain.shards import Shard, shards_of


def find_replica(instance: Instance, group: str, node: str) -> tuple[Shard, Node]:
    """The replica that a caller named by its shard's id and its own, or that of its place in the shard.

    A master is refused: what is chosen here has no meaning for it, and who is master changes.
    """
    shard = next((one for one in shards_of(instance) if group_id(instance.id, one.index) == group), None)
    if shard is None:
        raise errors.InvalidValue(f"group_id: {group[:64]} is no shard of the instance", name="group_id")
    found = next((one for one in shard.nodes if node in (one.id, replication_id(one.id))), None)
    if found is None:
        raise errors.InvalidNodeId(f"node_id: {node[:64]} is no node of the shard")
    if found.id == shard.master.id:
        raise errors.NodeNotSupported(f"node_id: {node[:64]} is the master of its shard")
    return shard, found


def check_priority(shard: Shard, replica: Node, priority: int) -> None:
    """Some replica of the shard may still be promoted."""
    others = [node.priority for node in shard.replicas if node.id != replica.id]
    if not any((priority, *others)):
        raise errors.AllPrioritiesZero("slave_priority_weight: nobody could take the master's place")


def check_has_readers(instance: Instance) -> None:
    """Replicas of this type of instance are read from: by its read-only domain name, or through its proxies."""
    if not instance.mode.is_watched:
        raise errors.NamesNotSupported(f"instance {instance.id} has no read-only domain name")


def check_has_priorities(instance: Instance) -> None:
    """A tenant may choose who is promoted. Of a Proxy Cluster it is not shown any shard (`service-limits` 2)."""
    if instance.mode is Mode.PROXY:
        raise errors.NodeNotSupported(f"node_id: instance {instance.id} is of type {instance.mode}")


def check_leaves_name(shard: Shard, replica: Node) -> None:
    """The read-only domain name keeps a replica; one that left it already may be told again."""
    others = [node for node in shard.replicas if node.in_domain_name and node.id != replica.id]
    if replica.in_domain_name and not others:
        raise errors.LastReplicaInName(f"node_id: no other replica is in the name than {replica.address}")


def can_be_promoted(shard: Shard) -> bool:
    """Whether a replica answered when last looked at and is not barred."""
    return any(node.active and node.priority > 0 for node in shard.replicas)
