"""What a change of specification means: which nodes come, which go, which limits change.

`plan_resize` judges a wish against the instance as it is and returns a plan as a value; the workflows walk it.
Nodes and capacity of one shard are changed in separate calls, as the reference has it. Reference: section 4.1.7.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import permutations

from cachestead import errors
from cachestead.domain.flavors import Flavor, FlavorCatalogue
from cachestead.domain.instances import Instance, Mode, Node, Role
from cachestead.domain.shards import Shard, shards_of
from cachestead.domain.sizes import Bytes, MiB

FULL = 0.7
"""A node's data may take this much of its new size when it becomes smaller or takes over a shard's share."""


TYPE_CHANGES = frozenset({(Mode.SINGLE, Mode.HA), *permutations((Mode.HA, Mode.PROXY, Mode.HA_RW_SPLIT), 2)})
CHANGE_TYPES = ("", "createReplication", "deleteReplication", "addSharding", "instanceType")


class Kind(StrEnum):
    """The changes there are."""

    CAPACITY = "capacity"
    ADD_REPLICAS = "add replicas"
    REMOVE_REPLICAS = "remove replicas"
    ADD_SHARDS = "add shards"
    REMOVE_SHARDS = "remove shards"
    STANDBY = "standby"
    """A single node becomes a master with a standby."""
    ADDRESS = "address"
    """The nodes stay; their master has the instance's address, or proxies do."""
    NODES = "nodes"
    """Other nodes, and other proxies, with the same data."""


@dataclass(frozen=True)
class ResizeWish:
    """What a caller asked for."""

    spec_code: str
    capacity_gb: float
    change_type: str = ""
    zones: tuple[str, ...] = ()
    """Zone codes."""
    node_list: tuple[str, ...] = ()
    reserved_ip: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """Where a new node goes: its shard, its ordinal there, its zone."""

    shard: int
    ordinal: int
    zone: str


@dataclass(frozen=True)
class ResizePlan:
    """What is to be done."""

    kind: Kind
    flavor: Flavor
    """The flavor after the change."""
    places: tuple[Place, ...] = ()
    """Nodes to add."""
    leaving: tuple[str, ...] = ()
    """Ids of nodes to remove."""

    @property
    def changes_type(self) -> bool:
        """Whether the instance becomes one of another type."""
        return self.kind in (Kind.STANDBY, Kind.ADDRESS, Kind.NODES)


def plan_resize(
    instance: Instance,
    wish: ResizeWish,
    flavors: FlavorCatalogue,
    used: Mapping[str, Bytes],
    databases: Collection[int] = (),
) -> ResizePlan:
    """The plan for a wish; raises the documented code of what stands in the way.

    `used` is the memory in use on each node, by node id; `databases` are the numbers of those that have keys.
    """
    before = flavors.get(instance.spec_code, instance.capacity_gb)
    after = _check_flavor(instance, wish, flavors)
    if (after.spec_code, after.capacity_gb) == (before.spec_code, before.capacity_gb):
        raise errors.InvalidSpecCode("spec_code: the instance has it already")
    if wish.change_type not in CHANGE_TYPES:
        raise errors.InvalidParameter(f"change_type: {', '.join(filter(None, CHANGE_TYPES))}", name="change_type")
    if after.mode is not before.mode:
        return _plan_type(instance, wish, after, used, databases)
    if after.replica_count != before.replica_count:
        return _plan_replicas(instance, wish, before, after)
    if wish.change_type in ("createReplication", "deleteReplication"):
        raise errors.InvalidSpecCode(f"spec_code: {after.spec_code} has as many replicas as the instance")
    if after.sharding_num > before.sharding_num:
        return _plan_more_shards(instance, wish, after)
    if after.sharding_num < before.sharding_num:
        return _plan_fewer_shards(instance, wish, after, used)
    if wish.change_type == "addSharding":
        raise errors.InvalidSpecCode(f"spec_code: {after.spec_code} has as many shards as the instance")
    _check_room(instance, after, used)
    return ResizePlan(Kind.CAPACITY, after)


def _check_flavor(instance: Instance, wish: ResizeWish, flavors: FlavorCatalogue) -> Flavor:
    if not flavors.has_code(wish.spec_code):
        raise errors.InvalidSpecCode("spec_code: no such flavor")
    after = flavors.find(wish.spec_code, wish.capacity_gb)
    if after is None:
        raise errors.InvalidCapacity(f"new_capacity: {wish.capacity_gb:g} GB is not what {wish.spec_code} has")
    if (wish.change_type == "instanceType") != (after.mode is not instance.mode) or (
        after.mode is not instance.mode and (instance.mode, after.mode) not in TYPE_CHANGES
    ):
        raise errors.InstanceTypeUnchangeable(f"spec_code: from {instance.mode} to {after.mode}")
    if instance.engine_version not in after.engine_versions:
        raise errors.EngineVersionNotSupported(f"spec_code: not for version {instance.engine_version}")
    if after.cpu_type != instance.cpu_type:
        raise errors.InvalidSpecCode(f"spec_code: the instance has {instance.cpu_type}")
    return after


def _plan_type(
    instance: Instance, wish: ResizeWish, after: Flavor, used: Mapping[str, Bytes], databases: Collection[int]
) -> ResizePlan:
    if instance.mode is Mode.SINGLE:
        _check_room(instance, after, used)
        return _plan_standby(instance, wish, after)
    if _keeps_nodes(instance, after):
        _check_room(instance, after, used)
        return ResizePlan(Kind.ADDRESS, after)
    _check_total_room(shards_of(instance), after, used)
    if after.mode.is_clustered and set(databases) - {0}:
        raise errors.InstanceTypeUnchangeable(f"spec_code: {after.mode} has one database, and others have keys")
    return _plan_other_nodes(instance, wish, after)


def _keeps_nodes(instance: Instance, after: Flavor) -> bool:
    """Whether the nodes can be those of the new type as they run, with their names for commands and their port."""
    return (
        instance.mode.is_watched
        and after.mode.is_watched
        and len(instance.nodes) == after.node_count
        and not instance.rename_commands
        and (after.mode.has_proxies or all(node.port == instance.port for node in instance.nodes))
    )


def _plan_other_nodes(instance: Instance, wish: ResizeWish, after: Flavor) -> ResizePlan:
    """New shards beside the old ones, whose places are free again at the next change."""
    taken = [shard.index for shard in shards_of(instance)]
    first = 0 if after.sharding_num <= min(taken) else max(taken) + 1
    zones = tuple(dict.fromkeys((*instance.az_codes, *wish.zones)))
    places = tuple(
        Place(shard, ordinal, zones[(shard + ordinal) % len(zones)])
        for shard in range(first, first + after.sharding_num)
        for ordinal in range(after.replica_count)
    )
    return ResizePlan(Kind.NODES, after, places=places, leaving=tuple(node.id for node in instance.nodes))


def _plan_standby(instance: Instance, wish: ResizeWish, after: Flavor) -> ResizePlan:
    """All nodes are new: the single node's own address becomes the one that follows the master."""
    zones = tuple(dict.fromkeys((*instance.az_codes, *wish.zones)))
    places = tuple(
        Place(0, ordinal, zones[(ordinal - 1) % len(zones)]) for ordinal in range(1, after.replica_count + 1)
    )
    return ResizePlan(Kind.STANDBY, after, places=places, leaving=tuple(node.id for node in instance.nodes))


def _plan_replicas(instance: Instance, wish: ResizeWish, before: Flavor, after: Flavor) -> ResizePlan:
    more = after.replica_count > before.replica_count
    expected = "createReplication" if more else "deleteReplication"
    if wish.change_type != expected:
        raise errors.InvalidParameter(f"change_type: {expected} for this flavor", name="change_type")
    if (after.capacity_gb, after.sharding_num) != (before.capacity_gb, before.sharding_num):
        raise errors.InvalidCapacity("new_capacity: replicas and capacity are changed in separate calls")
    if more:
        return _plan_more_replicas(instance, wish, after.replica_count - before.replica_count, after)
    return _plan_fewer_replicas(instance, wish, before.replica_count - after.replica_count, after)


def _plan_more_replicas(instance: Instance, wish: ResizeWish, count: int, after: Flavor) -> ResizePlan:
    zones = wish.zones or instance.az_codes
    places = []
    for shard in shards_of(instance):
        first = max(node.ordinal for node in shard.nodes) + 1
        # The zone that the shard has least of goes first, so that a zone can be lost with the fewest nodes.
        taken = [node.zone for node in shard.nodes]
        for ordinal in range(first, first + count):
            zone = min(zones, key=lambda code: (taken.count(code), zones.index(code)))
            taken.append(zone)
            places.append(Place(shard.index, ordinal, zone))
    return ResizePlan(Kind.ADD_REPLICAS, after, places=tuple(places))


def _plan_fewer_replicas(instance: Instance, wish: ResizeWish, count: int, after: Flavor) -> ResizePlan:
    if count > 1:
        raise errors.InvalidSpecCode("spec_code: one replica of a shard goes at a time")
    if wish.node_list and not instance.mode.is_clustered:
        leaving = [_named_replica(instance, wish.node_list)]
    else:
        leaving = [_spare_replica(shard, wish) for shard in shards_of(instance)]
    if instance.mode.is_watched:
        _check_readers_stay(instance, leaving)
    return ResizePlan(Kind.REMOVE_REPLICAS, after, leaving=tuple(node.id for node in leaving))


def _named_replica(instance: Instance, node_list: Sequence[str]) -> Node:
    """Named by id or by address."""
    found = [node for node in instance.nodes if {node.id, node.address} & set(node_list)]
    if len(node_list) != 1 or len(found) != 1:
        raise errors.InvalidNodeList("node_list: exactly one node of the instance")
    if found[0].role is Role.MASTER:
        raise errors.MasterNotDeletable(f"node_list: {found[0].address}")
    return found[0]


def _spare_replica(shard: Shard, wish: ResizeWish) -> Node:
    """The shard's newest replica that is in a zone named and not to be kept."""
    if not (wish.zones or wish.reserved_ip):
        raise errors.InvalidNodeList("node_list, available_zones or reserved_ip: which replica is to go")
    kept = {_address(text) for text in wish.reserved_ip}
    spare = [
        node for node in shard.replicas if node.address not in kept and (not wish.zones or node.zone in wish.zones)
    ]
    if not spare:
        raise errors.NotReplica(f"shard {shard.index} has no replica there to delete")
    return max(spare, key=lambda node: node.ordinal)


def _check_readers_stay(instance: Instance, leaving: Sequence[Node]) -> None:
    """Readers keep a replica."""
    staying = [node for node in instance.nodes if node.role is Role.REPLICA and node not in leaving]
    if not staying:
        raise errors.LastReplica(f"node_list: {leaving[0].address}")
    if not any(node.in_domain_name for node in staying):
        raise errors.LastReplicaAddress(f"node_list: {leaving[0].address}")


def _address(text: str) -> str:
    """An address that may come with a port, as lists of nodes print it."""
    return text.split(":", maxsplit=1)[0]


def _plan_more_shards(instance: Instance, wish: ResizeWish, after: Flavor) -> ResizePlan:
    if wish.change_type not in ("", "addSharding"):
        raise errors.InvalidParameter("change_type: addSharding for this flavor", name="change_type")
    shards = shards_of(instance)
    first, zones = shards[-1].index + 1, wish.zones or instance.az_codes
    places = tuple(
        Place(shard, ordinal, zones[(shard + ordinal) % len(zones)])
        for shard in range(first, first + after.sharding_num - len(shards))
        for ordinal in range(after.replica_count)
    )
    return ResizePlan(Kind.ADD_SHARDS, after, places=places)


def _plan_fewer_shards(
    instance: Instance, wish: ResizeWish, after: Flavor, used: Mapping[str, Bytes]
) -> ResizePlan:
    if wish.change_type:
        raise errors.InvalidParameter("change_type: none for fewer shards", name="change_type")
    shards = shards_of(instance)
    kept = _kept_shards(shards, wish.reserved_ip, after.sharding_num)
    _check_total_room(shards, after, used)
    leaving = tuple(node.id for shard in shards if shard.index not in kept for node in shard.nodes)
    return ResizePlan(Kind.REMOVE_SHARDS, after, leaving=leaving)


def _kept_shards(shards: Sequence[Shard], reserved: Sequence[str], count: int) -> set[int]:
    """The shards that stay: those of the addresses named, or the oldest."""
    if not reserved:
        return {shard.index for shard in shards[:count]}
    shard_at = {node.address: shard.index for shard in shards for node in shard.nodes}
    unknown = [text for text in reserved if _address(text) not in shard_at]
    if unknown:
        raise errors.InvalidParameter(f"reserved_ip: {unknown[0][:64]} is no node's", name="reserved_ip")
    kept = {shard_at[_address(text)] for text in reserved}
    if len(kept) != count:
        raise errors.InvalidParameter(
            f"reserved_ip: nodes of {count} shards, not of {len(kept)}", name="reserved_ip"
        )
    return kept


def _check_room(instance: Instance, after: Flavor, used: Mapping[str, Bytes]) -> None:
    for node in instance.nodes:
        if used.get(node.id, 0) > FULL * after.node_memory:
            raise errors.InvalidCapacity(
                f"new_capacity: {node.address} uses {used[node.id] // 2**20} MiB, more than 70 % of its new size"
            )


def _check_total_room(shards: Sequence[Shard], after: Flavor, used: Mapping[str, Bytes]) -> None:
    total = sum(used.get(shard.master.id, 0) for shard in shards)
    if total > FULL * after.node_memory * after.sharding_num:
        raise errors.InvalidCapacity(f"new_capacity: {total // 2**20} MiB are in use, over 70 % of its memory")


def memory_meanwhile(before: Flavor, plan: ResizePlan) -> MiB:
    """What the machine promises until the change is over."""
    after = plan.flavor
    if plan.kind is Kind.NODES:
        return MiB(before.promised_memory + after.promised_memory)
    return MiB(max(before.promised_memory, after.promised_memory))
