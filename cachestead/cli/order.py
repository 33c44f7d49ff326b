"""What `instance create` asks for when not everything was said: flavor, zones, network.

Pure: it gets what the service offers and returns the body of the request. It checks nothing that the service
checks, so that there is one place for rules and one wording of refusals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cachestead.cli.client import Json
from cachestead.cli.connection import Connection
from cachestead.cli.failures import CommandFailed

_TYPES = {"rw-split": "ha_rw_split"}
"""Types whose name on the command line is not the API's `cache_mode`, which is taken too."""
CLUSTERED = ("cluster", "proxy")
"""`cache_mode` of types with several shards."""
_NEWEST = {"proxy": "6.0", "ha_rw_split": "6.0"}
_ARM = frozenset({"aarch64", "arm64"})


@dataclass(frozen=True)
class Order:
    """An instance as it was asked for; None is "as usual"."""

    name: str
    mode: str = "ha"
    engine_version: str = "7.0"
    capacity: float | None = None
    """In GB; None is the smallest there is."""
    flavor: str | None = None
    replicas: int | None = None
    shards: int | None = None
    zones: tuple[str, ...] = ()
    count: int | None = None
    port: int | None = None
    private_ip: str | None = None
    description: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    vpc_id: str | None = None
    subnet_id: str | None = None
    template_id: str | None = None


def cache_mode_of(kind: str) -> str:
    """What the API calls a type."""
    return _TYPES.get(kind, kind)


def newest_version(mode: str) -> str:
    """The newest Redis version that there are instances of a type with, by its `cache_mode`."""
    return _NEWEST.get(mode, "7.0")


def choose_flavor(order: Order, flavors: Sequence[Json], machine: str) -> Json:
    """The plainest flavor that the service offers for this order, for this kind of machine if it can be."""
    processor = "aarch64" if machine in _ARM else "x86_64"
    # What the API calls replica_count counts the master too.
    replicas = order.replicas + 1 if order.replicas is not None else (1 if order.mode == "single" else 2)
    fitting = [
        flavor
        for flavor in flavors
        if (
            order.flavor is None
            and flavor.get("replica_count") == replicas
            and order.shards in (None, shards_of(flavor))
        )
        or flavor["spec_code"] == order.flavor
    ]
    if not fitting:
        raise CommandFailed(
            f"The service has no flavor for {_describe(order)}.",
            advice="`cachestead flavor list` shows what there is.",
        )
    return min(
        fitting,
        key=lambda flavor: (
            capacity_of(flavor) != order.capacity,
            capacity_of(flavor),
            flavor.get("cpu_type") != processor,
            flavor.get("product_type") != "generic",
            len(flavor["spec_code"]),
        ),
    )


def choose_zones(order: Order, flavor: Json, zones: Sequence[Json]) -> list[str]:
    """The zones that were asked for, else those with room: one for a single node, all for shards, or two."""
    if order.zones:
        return list(order.zones)
    free = [str(zone["code"]) for zone in zones if zone.get("resource_availability") != "false"]
    match flavor["cache_mode"]:
        case "single":
            return free[:1]
        case "cluster" | "proxy":
            return free[: flavor["replica_count"] * shards_of(flavor)]
        case _:
            return free[:2]


def build_body(order: Order, flavor: Json, zones: list[str], here: Connection, password: str | None) -> Json:
    """The body of `POST …/instances`."""
    vpc_id, subnet_id = order.vpc_id or here.vpc_id, order.subnet_id or here.subnet_id
    if not vpc_id or not subnet_id:
        raise CommandFailed("The network is not known: give --vpc-id and --subnet-id.")
    body: Json = {
        "name": order.name,
        "engine": "Redis",
        "engine_version": order.engine_version,
        "capacity": capacity_of(flavor) if order.capacity is None else order.capacity,
        "spec_code": flavor["spec_code"],
        "az_codes": zones,
        "vpc_id": vpc_id,
        "subnet_id": subnet_id,
    }
    body |= (
        {"no_password_access": True} if password is None else {"password": password, "no_password_access": False}
    )
    wishes = {
        "instance_num": order.count,
        "port": order.port,
        "private_ip": order.private_ip,
        "description": order.description,
        "template_id": order.template_id,
        "tags": [{"key": key, "value": value} for key, value in order.tags.items()] or None,
    }
    return body | {key: value for key, value in wishes.items() if value is not None}


def capacity_of(flavor: Json) -> float:
    """A flavor's memory, in GB."""
    return float(flavor["capacity"][0])


def shards_of(flavor: Json) -> int:
    """How many shards a flavor has; the service lists that among its figures."""
    return next((int(one["value"]) for one in flavor.get("attrs") or () if one["name"] == "sharding_num"), 1)


def _describe(order: Order) -> str:
    return ", ".join(
        [
            order.mode,
            *([] if order.capacity is None else [f"{order.capacity:g} GB"]),
            f"Redis {order.engine_version}",
            *([] if order.replicas is None else [f"{order.replicas} replicas"]),
            *([] if order.shards is None else [f"{order.shards} shards"]),
        ]
    )
