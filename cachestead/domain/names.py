"""The instances' domain names, and the addresses they stand for.

One place makes the names and reads them back, so that what the API says is what the responder in `names/` answers.
Names are DNS names: upper and lower case are the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from cachestead.domain.instances import InstanceId, Mode, Role

_LABEL = re.compile(
    r"redis-(?P<instance>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(?P<readonly>-readonly)?"
)


@dataclass(frozen=True)
class NamedNode:
    """What names need to know of a node."""

    address: str
    role: Role
    active: bool
    in_domain_name: bool = True


@dataclass(frozen=True)
class NamedInstance:
    """What names need to know of an instance."""

    mode: Mode
    ip: str
    nodes: tuple[NamedNode, ...]


def domain_name(instance: InstanceId, zone: str) -> str:
    """The name of the instance's address."""
    return f"redis-{instance}.{zone}"


def readonly_domain_name(instance: InstanceId, zone: str) -> str:
    """The name of the instance's replicas; see `has_readonly_name`."""
    return f"redis-{instance}-readonly.{zone}"


def has_readonly_name(mode: Mode) -> bool:
    """Whether instances of this type have a name for their replicas."""
    return mode is Mode.HA


def parse_name(name: str, zone: str) -> tuple[InstanceId, bool] | None:
    """The instance that a name belongs to and whether it is the read-only one; None for what is no such name."""
    label, dot, rest = name.lower().removesuffix(".").partition(".")
    found = _LABEL.fullmatch(label)
    if found is None or not dot or rest != zone.lower().removesuffix("."):
        return None
    return found["instance"], found["readonly"] is not None


def addresses_of(instance: NamedInstance, *, readonly: bool) -> tuple[str, ...]:
    """The addresses behind one of the instance's names; none if it has no such name."""
    if readonly:
        return _readonly_addresses(instance) if has_readonly_name(instance.mode) else ()
    if instance.mode is Mode.CLUSTER and instance.nodes:
        return tuple(node.address for node in instance.nodes)
    return (instance.ip,)


def _readonly_addresses(instance: NamedInstance) -> tuple[str, ...]:
    replicas = tuple(
        node.address
        for node in instance.nodes
        if node.role is Role.REPLICA and node.active and node.in_domain_name
    )
    # A reader is better served by the master than by nobody.
    return replicas or (instance.ip,)
