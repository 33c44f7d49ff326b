"""From an order to planned instances.

`check_order` decides whether an order can be had at all, `plan_instances` turns it into records with names, zones
and addresses. Both are pure: the operation hands in flavors, quotas, ids, addresses and the time.
Reference: section 4.1.1.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cachestead import errors
from cachestead.domain import rules
from cachestead.domain.flavors import Flavor, FlavorCatalogue
from cachestead.domain.instances import Instance, Mode, State
from cachestead.domain.proxies import plan_proxies, proxy_count
from cachestead.domain.shards import Layout, instance_address, plan_nodes
from cachestead.domain.sizes import MiB
from cachestead.domain.templates import Template

DEFAULT_PORT = 6379
DEFAULT_WINDOW = ("18:00:00", "19:00:00")
MAX_PER_ORDER = 100
VERSIONS = ("4.0", "5.0", "6.0", "7.0")


@dataclass(frozen=True)
class Order:
    """What a caller asked for, types right, values not yet judged."""

    name: str
    engine: str
    engine_version: str | None
    capacity_gb: float
    spec_code: str
    az_codes: tuple[str, ...]
    vpc_id: str
    subnet_id: str
    security_group_id: str | None = None
    description: str | None = None
    count: int = 1
    private_ip: str | None = None
    port: int | None = None
    password: str | None = None
    no_password_access: bool = False
    maintain_begin: str | None = None
    maintain_end: str | None = None
    backup_policy: Mapping[str, Any] | None = None
    tags: Sequence[Mapping[str, Any]] = ()
    rename_commands: Mapping[str, Any] = field(default_factory=dict)
    template_id: str | None = None
    enterprise_project_id: str | None = None
    enterprise_project_name: str | None = None
    spec_param: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Network:
    """A project's VPC, subnet and security group, with the region's addresses."""

    vpc_id: str
    vpc_name: str
    subnet_id: str
    subnet_name: str
    security_group_id: str
    security_group_name: str
    cidr: str


@dataclass(frozen=True)
class Headroom:
    """What is left: the project's quotas and the machine's memory."""

    instances_used: int
    instances_limit: int
    ram_used_gb: float
    ram_limit_gb: float
    memory_free: MiB


@dataclass(frozen=True)
class CheckedOrder:
    """An order that can be had: values in the form they are kept."""

    order: Order
    flavor: Flavor
    zones: tuple[str, ...]
    """Zones to spread the nodes over, the master's first."""
    port: int
    window: tuple[str, str]
    backup_policy: dict[str, Any] | None
    tags: dict[str, str]
    rename_commands: dict[str, str]
    parameters: dict[str, str]
    """Values that the template chose."""

    @property
    def node_port(self) -> int:
        """Where nodes and proxies listen at their own addresses; behind proxies nobody sees that."""
        return DEFAULT_PORT if self.flavor.mode.has_proxies else self.port

    @property
    def addresses_per_instance(self) -> int:
        """One per node and proxy, and one that follows the master or that the proxies share."""
        mode = self.flavor.mode
        shared = mode.has_moving_address or mode.has_proxies
        return self.flavor.node_count + proxy_count(self.flavor) + shared


def check_order(
    order: Order,
    flavors: FlavorCatalogue,
    network: Network,
    zone_codes: Sequence[str],
    template: Template | None = None,
) -> CheckedOrder:
    """The order with every rule of section 4.1.1 applied; raises the documented code of the first that fails.

    `template` is the one that the order names, if the caller has it.
    """
    if not 1 <= order.count <= MAX_PER_ORDER:
        raise errors.InvalidParameter(f"instance_num: 1-{MAX_PER_ORDER}", name="instance_num")
    rules.check_name(order.name, order.count)
    rules.check_description(order.description)
    flavor = _check_flavor(order, flavors)
    _check_network(order, network)
    zones = _check_zones(order, flavor, zone_codes)
    _check_credentials(order)
    window = rules.check_maintenance_window(order.maintain_begin, order.maintain_end) or DEFAULT_WINDOW
    policy = None
    if order.backup_policy is not None:
        policy = rules.check_backup_policy(order.backup_policy)
        if flavor.mode is Mode.SINGLE:
            raise errors.BackupNotSupported(
                "instance_backup_policy: a single-node instance keeps nothing to back up"
            )
    if order.template_id and not (template and template.fits(str(order.engine_version), flavor.mode)):
        raise errors.InvalidParameter(
            "template_id: no such template for this version and type", name="template_id"
        )
    return CheckedOrder(
        order=order,
        flavor=flavor,
        zones=zones,
        port=rules.check_port(DEFAULT_PORT if order.port is None else order.port),
        window=window,
        backup_policy=policy,
        tags=rules.check_tags(order.tags),
        rename_commands=rules.check_rename_commands(order.rename_commands),
        parameters=dict(template.parameters) if template else {},
    )


def _check_flavor(order: Order, flavors: FlavorCatalogue) -> Flavor:
    if order.engine.lower() != "redis":
        raise errors.EngineNotSupported("engine: Redis")
    if order.engine_version not in VERSIONS:
        raise errors.EngineVersionNotSupported(f"engine_version: one of {', '.join(VERSIONS)}")
    if order.capacity_gb not in flavors.capacities:
        raise errors.InvalidCapacity("capacity: not a size on offer")
    if not flavors.has_code(order.spec_code):
        raise errors.InvalidSpecCode("spec_code: no such flavor")
    flavor = flavors.find(order.spec_code, order.capacity_gb)
    if flavor is None:
        raise errors.InvalidCapacity(f"capacity: {order.capacity_gb:g} GB is not what {order.spec_code} has")
    if order.engine_version not in flavor.engine_versions:
        raise errors.EngineVersionNotSupported(
            f"engine_version: {order.spec_code} has {', '.join(flavor.engine_versions) or 'another engine'}"
        )
    _check_shape(order, flavor)
    return flavor


def _check_shape(order: Order, flavor: Flavor) -> None:
    """The SDK's `spec_param` may repeat the flavor's shape, not contradict it."""
    shape = {
        "sharding_count": flavor.sharding_num,
        "replica_count": flavor.replica_count,
        "cache_mode": flavor.mode,
    }
    for key, value in (order.spec_param or {}).items():
        if value is not None and shape.get(key) != value:
            raise errors.InvalidSpecCode(f"spec_param.{key}: {order.spec_code} has {shape.get(key)}")


def _check_network(order: Order, network: Network) -> None:
    if not order.vpc_id.strip():
        raise errors.InvalidVpcId("vpc_id")
    if order.vpc_id != network.vpc_id:
        raise errors.VpcNotFound("vpc_id")
    if not order.subnet_id.strip():
        raise errors.InvalidSubnetId("subnet_id")
    if order.subnet_id != network.subnet_id:
        raise errors.SubnetNotInVpc("subnet_id")
    check_security_group(order.security_group_id, network)
    if order.private_ip:
        _check_private_ip(order, network)


def check_security_group(wanted: str | None, network: Network) -> None:
    """The project's own group, or none. It guards nothing (whitelists do, from 4.0 on): this catches mistakes."""
    if wanted and wanted != network.security_group_id:
        raise errors.SecurityGroupNotFound("security_group_id")


def _check_private_ip(order: Order, network: Network) -> None:
    try:
        address = ipaddress.ip_address(order.private_ip or "")
    except ValueError:
        raise errors.InvalidParameter("private_ip: not an address", name="private_ip") from None
    subnet = ipaddress.ip_network(network.cidr)
    if address not in subnet or address in (subnet.network_address, subnet.broadcast_address):
        raise errors.InvalidParameter(f"private_ip: not in {network.cidr}", name="private_ip")
    if order.count > 1:
        raise errors.InvalidParameter("private_ip: only for one instance at a time", name="private_ip")


def _check_zones(order: Order, flavor: Flavor, zone_codes: Sequence[str]) -> tuple[str, ...]:
    wanted = list(dict.fromkeys(order.az_codes))
    unknown = [code for code in wanted if code not in zone_codes]
    if not wanted or unknown:
        raise errors.ZoneNotFound(f"az_codes: one or more of {', '.join(zone_codes)}")
    if flavor.mode is Mode.CLUSTER and order.private_ip:
        raise errors.InvalidParameter("private_ip: not for a cluster, which has several", name="private_ip")
    most = flavor.node_count
    if len(wanted) > most:
        raise errors.InvalidParameter(f"az_codes: at most {most} for this flavor", name="az_codes")
    return tuple(wanted)


def _check_credentials(order: Order) -> None:
    if order.no_password_access:
        if order.password:
            raise errors.InvalidPassword("password: not together with no_password_access")
        return
    if not order.password:
        raise errors.InvalidPassword("password: needed unless no_password_access is true")
    rules.check_password(order.password)


def check_headroom(checked: CheckedOrder, room: Headroom) -> None:
    """The order fits the project's quotas and the machine."""
    order, flavor = checked.order, checked.flavor
    if room.instances_used >= room.instances_limit:
        raise errors.QuotaLimitReached(f"{room.instances_used} of {room.instances_limit} instances are in use")
    if room.instances_used + order.count > room.instances_limit:
        raise errors.InstanceQuotaExceeded(f"instance_num: {room.instances_limit - room.instances_used} are left")
    if room.ram_used_gb + order.count * flavor.capacity_gb > room.ram_limit_gb:
        raise errors.MemoryQuotaExceeded(f"capacity: {room.ram_limit_gb - room.ram_used_gb:g} GB are left")
    if order.count * flavor.promised_memory > room.memory_free:
        raise errors.ZoneQuotaExceeded(f"az_codes: the machine has {room.memory_free} MiB left to promise")


def instance_names(name: str, count: int) -> list[str]:
    """The names of a batch: numbered from -000 when there are several."""
    return [name] if count == 1 else [f"{name}-{n:03}" for n in range(count)]


@dataclass(frozen=True)
class Orderer:
    """Who orders, for the record."""

    project_id: str
    user_id: str
    user_name: str


def plan_instances(
    checked: CheckedOrder, orderer: Orderer, ids: Sequence[str], addresses: Sequence[Sequence[str]], at: datetime
) -> list[Instance]:
    """The records of the instances to make: one id and one set of addresses each.

    A set has the nodes' addresses, then the proxies'. Its last is the instance's own; of a single-node instance it
    is its node's.
    """
    names = instance_names(checked.order.name, checked.order.count)
    return [
        _plan_one(checked, orderer, _Place(one, name, owned), at)
        for name, one, owned in zip(names, ids, addresses, strict=True)
    ]


@dataclass(frozen=True)
class _Place:
    id: str
    name: str
    addresses: Sequence[str]


def _plan_one(checked: CheckedOrder, orderer: Orderer, place: _Place, at: datetime) -> Instance:
    order, flavor = checked.order, checked.flavor
    nodes = plan_nodes(
        Layout(place.id, checked.node_port, checked.zones),
        range(flavor.sharding_num),
        range(flavor.replica_count),
        place.addresses[: flavor.node_count],
    )
    ordinals = range(proxy_count(flavor))
    addresses = place.addresses[flavor.node_count :][: len(ordinals)]
    return Instance(
        id=place.id,
        project_id=orderer.project_id,
        name=place.name,
        state=State.CREATING,
        engine="Redis",
        engine_version=str(order.engine_version),
        spec_code=flavor.spec_code,
        mode=flavor.mode,
        capacity_gb=flavor.capacity_gb,
        cpu_type=flavor.cpu_type,
        vpc_id=order.vpc_id,
        subnet_id=order.subnet_id,
        security_group_id=order.security_group_id or None,
        ip=instance_address(flavor.mode, place.addresses),
        port=checked.port,
        az_codes=checked.zones,
        no_password_access=order.no_password_access,
        maintain_begin=checked.window[0],
        maintain_end=checked.window[1],
        created_at=at,
        updated_at=at,
        user_id=orderer.user_id,
        user_name=orderer.user_name,
        description=order.description,
        rename_commands=checked.rename_commands,
        parameters=checked.parameters,
        backup_policy=checked.backup_policy,
        backup_policy_created_at=at if checked.backup_policy else None,
        backup_policy_updated_at=at if checked.backup_policy else None,
        tags=checked.tags,
        template_id=order.template_id or None,
        enterprise_project_id=order.enterprise_project_id or "0",
        enterprise_project_name=order.enterprise_project_name or "default",
        nodes=nodes,
        proxies=plan_proxies(place.id, checked.node_port, checked.zones, ordinals, addresses),
    )
