"""What `instance resize` asks for: the new flavor, the kind of change, and which nodes go.

Pure, as `order.py` is: it gets what the service offers and returns the body of the request. What the service
judges is left to it; only wishes that it would not notice are refused here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from cachestead.cli.client import Json
from cachestead.cli.failures import CommandFailed
from cachestead.cli.order import CLUSTERED, capacity_of, shards_of


class ChangeType(StrEnum):
    """What the API calls changes of the type and of the number of nodes."""

    MORE_REPLICAS = "createReplication"
    FEWER_REPLICAS = "deleteReplication"
    MORE_SHARDS = "addSharding"
    TYPE = "instanceType"


@dataclass(frozen=True)
class Wish:
    """A change as it was asked for; None and nothing are "as it is"."""

    mode: str | None = None
    """The type, as the API calls it."""
    capacity: float | None = None
    replicas: int | None = None
    shards: int | None = None
    flavor: str | None = None
    zones: tuple[str, ...] = ()
    node: str | None = None
    """A replica to remove."""
    keep: tuple[str, ...] = ()
    """Addresses of nodes that stay."""
    at_once: bool = True


def check_wish(wish: Wish) -> None:
    """Something is to change, and it is said once."""
    if all(one is None for one in (wish.mode, wish.capacity, wish.replicas, wish.shards, wish.flavor)):
        raise CommandFailed("Nothing to change was given.")
    if wish.flavor and (wish.mode or wish.replicas is not None or wish.shards is not None):
        raise CommandFailed(
            "A flavor says which type it is, and how many replicas and shards: leave out the one or the others."
        )
    if wish.node and wish.keep:
        raise CommandFailed("--node says what goes and --keep what stays; give one of them.")


def flavor_filters(wish: Wish, instance: Json) -> dict[str, str]:
    """What to ask list_flavors for: the one that was named, or all that the instance could have."""
    if wish.flavor:
        return {"spec_code": wish.flavor}
    kept = {key: str(instance[key]) for key in ("engine", "engine_version", "cpu_type")}
    return kept | {"cache_mode": _mode(wish, instance)}


def choose_new_flavor(wish: Wish, instance: Json, flavors: Sequence[Json]) -> Json:
    """The flavor that is as asked and otherwise most like the instance's.

    With more or fewer shards the instance grows or shrinks: no shard gets smaller, unless a capacity was given. Of
    another type it has as few shards as can be, and as much memory or the next more.
    """
    fits = _fits if _mode(wish, instance) == instance["cache_mode"] else _fits_another_type
    fitting = [flavor for flavor in flavors if fits(wish, instance, flavor)]
    if not fitting:
        raise CommandFailed(
            f"The service has no flavor for {_describe(wish, instance)}.",
            advice=f"`cachestead flavor list --type {_mode(wish, instance)}` shows what there is.",
        )
    present = _capacity(instance)
    return min(
        fitting,
        key=lambda flavor: (
            wish.flavor is not None and capacity_of(flavor) != present,
            capacity_of(flavor),
            abs(flavor["replica_count"] - instance["replica_count"]),
            shards_of(flavor),
            _difference(flavor["spec_code"], instance["spec_code"]),
            len(flavor["spec_code"]),
        ),
    )


def build_resize(wish: Wish, instance: Json, flavor: Json, nodes: Sequence[Json]) -> Json:
    """The body of `POST …/resize`. `nodes` are the instance's, the oldest of each shard first."""
    kind = change_type(instance, flavor)
    fewer_replicas = kind is ChangeType.FEWER_REPLICAS
    if wish.node and not fewer_replicas:
        raise CommandFailed("--node names a replica that is to go, and none is.")
    if wish.keep and not (fewer_replicas or shards_of(flavor) < instance["sharding_count"]):
        raise CommandFailed("--keep names nodes that stay while others go, and none does.")
    named = wish.node or wish.keep or wish.zones
    leaving = _leaving(wish, nodes) if fewer_replicas and (wish.node or not named) else []
    cluster = instance["cache_mode"] == "cluster"
    # A cluster loses a replica of each shard; there the API is told who stays, masters among them.
    staying = [node["node_ip"] for node in nodes if node not in leaving] if leaving and cluster else []
    wishes = {
        "change_type": kind,
        "available_zones": list(wish.zones) or None,
        "node_list": None if cluster else [node["node_id"] for node in leaving] or None,
        "reserved_ip": list(wish.keep) or staying or None,
        "execute_immediately": None if wish.at_once else False,
    }
    body: Json = {"spec_code": flavor["spec_code"], "new_capacity": capacity_of(flavor)}
    return body | {key: value for key, value in wishes.items() if value is not None}


def change_type(instance: Json, flavor: Json) -> ChangeType | None:
    """The kind of change that leads to a flavor; None where the API wants none."""
    if flavor["cache_mode"] != instance["cache_mode"]:
        return ChangeType.TYPE
    if flavor["replica_count"] > instance["replica_count"]:
        return ChangeType.MORE_REPLICAS
    if flavor["replica_count"] < instance["replica_count"]:
        return ChangeType.FEWER_REPLICAS
    return ChangeType.MORE_SHARDS if shards_of(flavor) > instance["sharding_count"] else None


def find_node(nodes: Sequence[Json], given: str) -> Json:
    """The node with this id or address; the address may have its port."""
    for node in nodes:
        if given in (node["node_id"], node["node_ip"], f"{node['node_ip']}:{node['node_port']}"):
            return node
    raise CommandFailed(f"There is no node {given}.", advice="`cachestead instance nodes NAME` shows all.")


def _fits(wish: Wish, instance: Json, flavor: Json) -> bool:
    capacity, shards = capacity_of(flavor), shards_of(flavor)
    if wish.flavor:
        return flavor["spec_code"] == wish.flavor and wish.capacity in (None, capacity)
    # What the API calls replica_count counts the master too.
    if flavor["replica_count"] != (instance["replica_count"] if wish.replicas is None else wish.replicas + 1):
        return False
    if shards != (wish.shards or instance["sharding_count"]):
        return False
    if wish.capacity is not None:
        return capacity == wish.capacity
    if shards == instance["sharding_count"]:
        return capacity == _capacity(instance)
    return capacity / shards >= _capacity(instance) / int(instance["sharding_count"])


def _fits_another_type(wish: Wish, instance: Json, flavor: Json) -> bool:
    """What was not said may be as it must: types differ in what there is."""
    capacity = capacity_of(flavor)
    return (
        wish.replicas in (None, flavor["replica_count"] - 1)
        and wish.shards in (None, shards_of(flavor))
        and (capacity >= _capacity(instance) if wish.capacity is None else capacity == wish.capacity)
    )


def _mode(wish: Wish, instance: Json) -> str:
    return wish.mode or str(instance["cache_mode"])


def _leaving(wish: Wish, nodes: Sequence[Json]) -> list[Json]:
    """The newest replica of each shard, or the one that was named instead of its shard's."""
    newest = {node["group_id"]: node for node in nodes if node["node_type"] == "slave"}
    if wish.node:
        named = find_node(nodes, wish.node)
        newest[named["group_id"]] = named
    return list(newest.values())


def _capacity(instance: Json) -> float:
    # Below 1 GB the whole number is 0 and the fraction stands beside it, as ".125".
    return float(instance.get("capacity_minor") or instance["capacity"])


def _difference(one: str, other: str) -> int:
    """How many parts of a spec code another has not."""
    return len(set(one.split(".")) ^ set(other.split(".")))


def _describe(wish: Wish, instance: Json) -> str:
    parts = [wish.flavor] if wish.flavor else [_mode(wish, instance), f"Redis {instance['engine_version']}"]
    if wish.capacity is not None:
        parts.append(f"{wish.capacity:g} GB")
    if not wish.flavor and _mode(wish, instance) == instance["cache_mode"]:
        replicas = instance["replica_count"] - 1 if wish.replicas is None else wish.replicas
        parts.append(f"{replicas} replicas")
        if instance["cache_mode"] in CLUSTERED:
            parts.append(f"{wish.shards or instance['sharding_count']} shards")
    return ", ".join(parts)
