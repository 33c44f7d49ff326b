"""The instance and its nodes as values, and what may happen to them.

Frozen: a change makes a new value, the store saves it. `TRANSITIONS` is the one table of states; nobody assigns a
state without it. Reference: sections 4.1 and 6.5.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from cachestead import errors
from cachestead.domain.accounts import Account, PasswordState
from cachestead.domain.sizes import MiB
from cachestead.domain.whitelists import Whitelist

InstanceId = str
ProjectId = str


class State(StrEnum):
    """States of an instance that callers see (section 6.5), and DELETED, which only the store keeps."""

    CREATING = "CREATING"
    CREATEFAILED = "CREATEFAILED"
    RUNNING = "RUNNING"
    RESTARTING = "RESTARTING"
    FLUSHING = "FLUSHING"
    EXTENDING = "EXTENDING"
    RESTORING = "RESTORING"
    ERROR = "ERROR"
    FROZEN = "FROZEN"
    DELETING = "DELETING"
    DELETED = "DELETED"


class Event(StrEnum):
    """What moves an instance from one state to another."""

    CREATED = "created"
    CREATION_FAILED = "creation failed"
    RESTART_ASKED = "restart asked"
    FLUSH_ASKED = "flush asked"
    RESIZE_ASKED = "resize asked"
    RESTORE_ASKED = "restore asked"
    CHANGE_ASKED = "change asked"
    CHANGE_DONE = "change done"
    CHANGE_FAILED = "change failed"
    FAULT_SEEN = "fault seen"
    FAULT_GONE = "fault gone"
    DELETE_ASKED = "delete asked"
    DELETED = "deleted"


TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.CREATING, Event.CREATED): State.RUNNING,
    (State.CREATING, Event.CREATION_FAILED): State.CREATEFAILED,
    (State.RUNNING, Event.RESTART_ASKED): State.RESTARTING,
    (State.ERROR, Event.RESTART_ASKED): State.RESTARTING,
    (State.RUNNING, Event.FLUSH_ASKED): State.FLUSHING,
    (State.RUNNING, Event.RESIZE_ASKED): State.EXTENDING,
    (State.RUNNING, Event.RESTORE_ASKED): State.RESTORING,
    (State.RESTORING, Event.CHANGE_DONE): State.RUNNING,
    (State.RESTORING, Event.CHANGE_FAILED): State.RUNNING,
    (State.EXTENDING, Event.CHANGE_DONE): State.RUNNING,
    (State.EXTENDING, Event.CHANGE_FAILED): State.RUNNING,
    (State.RESTARTING, Event.CHANGE_DONE): State.RUNNING,
    (State.RESTARTING, Event.CHANGE_FAILED): State.ERROR,
    (State.FLUSHING, Event.CHANGE_DONE): State.RUNNING,
    (State.FLUSHING, Event.CHANGE_FAILED): State.RUNNING,
    (State.RUNNING, Event.CHANGE_ASKED): State.RUNNING,
    (State.RUNNING, Event.CHANGE_DONE): State.RUNNING,
    (State.RUNNING, Event.CHANGE_FAILED): State.RUNNING,
    (State.RUNNING, Event.FAULT_SEEN): State.ERROR,
    (State.ERROR, Event.FAULT_GONE): State.RUNNING,
    (State.RUNNING, Event.DELETE_ASKED): State.DELETING,
    (State.ERROR, Event.DELETE_ASKED): State.DELETING,
    (State.CREATEFAILED, Event.DELETE_ASKED): State.DELETING,
    (State.DELETING, Event.DELETED): State.DELETED,
}

BUSY: dict[str, type[errors.ServiceError]] = {
    State.CREATING: errors.Creating,
    State.RESTARTING: errors.Restarting,
    State.EXTENDING: errors.Extending,
    State.RESTORING: errors.RestoreRunning,
    "modify": errors.ChangingPassword,
    "UpdatePort": errors.Configuring,
    "RenameCommands": errors.Configuring,
    "SwapMaster": errors.Configuring,
    "SlavePriority": errors.Configuring,
    "RemoveIpFromDns": errors.Configuring,
    "ModifyConfig": errors.Configuring,
    "ModifyAcl": errors.Configuring,
    "ModifySsl": errors.Configuring,
    "ModifyWhitelist": errors.Configuring,
    "BackupInstance": errors.BackupRunning,
    "ImportBackup": errors.Configuring,
}
"""The documented code for what is running, by state or by task."""

HEALED_MEANWHILE = frozenset({None, "BackupInstance", "ImportBackup", "ModifyWhitelist"})
"""Tasks that leave nodes as they are, so that whoever heals the instance goes on; and none."""


class Mode(StrEnum):
    """Types of instance (`cache_mode`)."""

    SINGLE = "single"
    HA = "ha"
    CLUSTER = "cluster"
    PROXY = "proxy"
    HA_RW_SPLIT = "ha_rw_split"

    @property
    def is_clustered(self) -> bool:
        """Whether its data nodes are a native Redis Cluster."""
        return self in (Mode.CLUSTER, Mode.PROXY)

    @property
    def is_watched(self) -> bool:
        """Whether Sentinels watch its data nodes and decide who is master."""
        return self in (Mode.HA, Mode.HA_RW_SPLIT)

    @property
    def has_proxies(self) -> bool:
        """Whether clients come through proxies, which share the instance's address."""
        return self in (Mode.PROXY, Mode.HA_RW_SPLIT)

    @property
    def has_moving_address(self) -> bool:
        """Whether the instance's address follows the master."""
        return self is Mode.HA


class Role(StrEnum):
    """Role of a node in its shard, in the API's words."""

    MASTER = "master"
    REPLICA = "slave"


@dataclass(frozen=True)
class Node:
    """One data node: a Redis process with an address of its own."""

    id: str
    instance_id: InstanceId
    shard: int
    ordinal: int
    """Its place in the shard, for good; roles come and go."""
    address: str
    port: int
    zone: str
    role: Role
    """As last seen on the engine; decided at creation, then by Sentinel."""
    active: bool = False
    """Whether it answered when last looked at."""
    priority: int = 100
    """Failover priority of a replica: smaller goes first, 0 is never promoted."""
    in_domain_name: bool = True
    """Whether the read-only domain name resolves to it while it is a replica."""


@dataclass(frozen=True)
class Proxy:
    """A process between clients and data nodes: it listens at the instance's address and at one of its own."""

    id: str
    instance_id: InstanceId
    ordinal: int
    address: str
    """Its own, where only the control plane is let in."""
    port: int
    zone: str
    active: bool = False
    """Whether it answered when last looked at."""


@dataclass(frozen=True)
class Instance:
    """An instance as the records have it."""

    id: InstanceId
    project_id: ProjectId
    name: str
    state: State
    engine: str
    engine_version: str
    spec_code: str
    mode: Mode
    capacity_gb: float
    cpu_type: str
    vpc_id: str
    subnet_id: str
    security_group_id: str | None
    ip: str
    port: int
    az_codes: tuple[str, ...]
    no_password_access: bool
    maintain_begin: str
    maintain_end: str
    created_at: datetime
    updated_at: datetime
    user_id: str
    user_name: str
    description: str | None = None
    enable_ssl: bool = False
    """Whether clients come by TLS, and only so."""
    task: str | None = None
    """Name of the change under way that has no state of its own; with the state it is the lock."""
    binary: str = ""
    """Product and version of the engine it was made with, on which it stays."""
    secrets: str = ""
    """Encrypted: passwords of tenant, control plane, replicas and proxies; see `identity/secrets.py`."""
    rename_commands: dict[str, str] = field(default_factory=dict)
    backup_policy: dict[str, Any] | None = None
    backup_policy_created_at: datetime | None = None
    """None where there was none yet, as of `backup_policy`."""
    backup_policy_updated_at: datetime | None = None
    """Since when the plan is what it is: openings before are not made up for."""
    tags: dict[str, str] = field(default_factory=dict)
    template_id: str | None = None
    enterprise_project_id: str = "0"
    enterprise_project_name: str = "default"
    launched_at: datetime | None = None
    fail_reason: str | None = None
    used_memory: MiB = MiB(0)  # noqa: RUF009 - a NewType call is the value itself
    password_state: PasswordState = PasswordState()  # noqa: RUF009 - frozen
    parameters: dict[str, str] = field(default_factory=dict)
    """Values that were chosen, by parameter name; those of another type's parameters are without effect."""
    whitelist: Whitelist = Whitelist()  # noqa: RUF009 - frozen
    """Whose connections are taken."""
    nodes: tuple[Node, ...] = ()
    """Empty where the query did not ask for them."""
    proxies: tuple[Proxy, ...] = ()
    """The same."""
    accounts: tuple[Account, ...] = ()
    """The same; all but `default`, oldest first."""

    @property
    def accounts_in_force(self) -> tuple[Account, ...]:
        """Those that nodes and proxies are to know: none while everybody is let in without a password."""
        return () if self.no_password_access else tuple(one for one in self.accounts if one.is_in_force)


def advance(instance: Instance, event: Event, at: datetime) -> Instance:
    """The instance after `event`; raises the documented code of what stands in the way."""
    following = TRANSITIONS.get((instance.state, event))
    if following is None:
        raise busy_error(instance)
    return replace(instance, state=following, updated_at=at)


def busy_error(instance: Instance) -> errors.ServiceError:
    """The documented error for an instance that something else is being done to."""
    refusal = BUSY.get(instance.task or "") or BUSY.get(instance.state) or errors.WrongState
    return refusal(
        f"instance {instance.id} is {instance.state}" + (f" ({instance.task})" if instance.task else "")
    )


def node_id(instance: InstanceId, shard: int, ordinal: int) -> str:
    """The id of a node, derived so that every attempt names the same node."""
    return uuid.uuid5(uuid.UUID(instance), f"{shard}/{ordinal}").hex


def proxy_id(instance: InstanceId, ordinal: int) -> str:
    """The id of a proxy, derived likewise."""
    return uuid.uuid5(uuid.UUID(instance), f"proxy/{ordinal}").hex


def group_id(instance: InstanceId, shard: int) -> str:
    """The id of a shard (the API's group)."""
    return str(uuid.uuid5(uuid.UUID(instance), f"group-{shard}"))


def group_name(shard: int) -> str:
    """The name of a shard, for people."""
    return f"group-{shard}"


def node_name(node: Node) -> str:
    """The name of a node, for people: its role now and its address."""
    return f"({'master' if node.role is Role.MASTER else 'replica'}){node.address}"


def proxy_name(proxy: Proxy) -> str:
    """The name of a proxy, in the form of a node's."""
    return f"(proxy){proxy.address}"


def with_backup_policy(instance: Instance, policy: Mapping[str, Any], at: datetime) -> Instance:
    """The instance with this backup policy; switched to manual, the plan stays for the day it is switched back."""
    together = {**(instance.backup_policy or {}), **policy}
    if together == instance.backup_policy:
        return instance
    made = instance.backup_policy_created_at or at
    return replace(instance, backup_policy=together, backup_policy_created_at=made, backup_policy_updated_at=at)


def replication_id(node: str) -> str:
    """The id of a node's place in its shard, which the API lists beside the node id."""
    return str(uuid.uuid5(uuid.UUID(node), "replication"))
