"""What a node says about itself, as values.

One INFO per look. Counters are as the engine has them since its start; whoever wants a rate keeps two looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from cachestead.engine.addresses import NodeAddress
from cachestead.engine.connection import Client, answering, call

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class ReplicaLink:
    """A replica as its master sees it."""

    node: NodeAddress
    state: str
    offset: int
    lag: int


@dataclass(frozen=True)
class Keyspace:
    """One database that has keys."""

    database: int
    keys: int
    expires: int


@dataclass(frozen=True)
class CommandCalls:
    """A command's share of the work since the start."""

    calls: int
    microseconds: int


@dataclass(frozen=True)
class NodeFacts:
    """A node as it was just seen."""

    role: Literal["master", "slave"]
    version: str
    uptime_seconds: int
    loading: bool
    master: NodeAddress | None
    master_link_up: bool
    was_in_sync: bool
    """Whether it had its master's data at any time since it was started."""
    sync_in_progress: bool
    replicas: tuple[ReplicaLink, ...]
    offset: int
    """Replication offset: what the master has sent or the replica has taken."""
    used_memory: int
    maxmemory: int
    keyspace: tuple[Keyspace, ...]
    ops_per_second: int
    input_kbps: float
    output_kbps: float
    cpu_seconds: float
    """Processor time of the process, system and user."""
    connected_clients: int
    commands: Mapping[str, CommandCalls]
    aof_enabled: bool
    aof_ok: bool
    aof_rewriting: bool
    raw: Facts
    """All of INFO, for the figures that only monitoring reads."""

    @property
    def keys(self) -> int:
        """Keys in all databases."""
        return sum(database.keys for database in self.keyspace)

    @property
    def lasting_keys(self) -> int:
        """Those of them that have no deadline."""
        return sum(database.keys - database.expires for database in self.keyspace)

    @property
    def has_data(self) -> bool:
        """Whether it has keys, or had its master's since it was started; not what it is only just reading in."""
        return not self.loading and (self.was_in_sync or self.keys > 0)

    def calls_of(self, command: str) -> int:
        """How often a command was called since the start."""
        found = self.commands.get(command)
        return found.calls if found else 0

    def in_sync_with(self, master: NodeAddress) -> bool:
        """Whether the node replicates from this master and has its data.

        A master is known by its address: nodes of a cluster with TLS follow each other at another port than ours.
        """
        followed = self.role == "slave" and self.master is not None and self.master.address == master.address
        return followed and self.master_link_up


async def observe_node(client: Client) -> NodeFacts:
    """The node's facts now; raises `EngineUnreachable`."""
    async with answering(client):
        answer: dict[str, Any] = await client.info("everything")
    return read_facts(answer)


async def observe_role(client: Client) -> str:
    """The node's role now (`master` or `slave`), as cheaply as can be."""
    return str((await call(client, "ROLE"))[0])


def read_facts(info: Facts) -> NodeFacts:
    """The facts in an answer to INFO."""
    return NodeFacts(
        role=info["role"],
        version=str(info.get("redis_version", "")),
        uptime_seconds=int(info.get("uptime_in_seconds", 0)),
        loading=bool(info.get("loading", 0)),
        master=_master(info),
        master_link_up=info.get("master_link_status") == "up",
        was_in_sync=info.get("master_link_status") == "up"
        or int(info.get("master_link_down_since_seconds", -1)) >= 0,
        sync_in_progress=bool(info.get("master_sync_in_progress", 0)),
        replicas=_replicas(info),
        offset=_offset(info),
        used_memory=int(info.get("used_memory", 0)),
        maxmemory=int(info.get("maxmemory", 0)),
        keyspace=_keyspace(info),
        ops_per_second=int(info.get("instantaneous_ops_per_sec", 0)),
        input_kbps=float(info.get("instantaneous_input_kbps", 0)),
        output_kbps=float(info.get("instantaneous_output_kbps", 0)),
        cpu_seconds=float(info.get("used_cpu_sys", 0)) + float(info.get("used_cpu_user", 0)),
        connected_clients=int(info.get("connected_clients", 0)),
        commands=_commands(info),
        aof_enabled=bool(info.get("aof_enabled", 0)),
        aof_ok=info.get("aof_last_write_status", "ok") == "ok"
        and info.get("aof_last_bgrewrite_status", "ok") == "ok",
        aof_rewriting=bool(info.get("aof_rewrite_in_progress", 0)),
        raw=info,
    )


def _master(info: Facts) -> NodeAddress | None:
    if "master_host" not in info:
        return None
    return NodeAddress(str(info["master_host"]), int(info["master_port"]))


def _offset(info: Facts) -> int:
    if info["role"] == "slave":
        return int(info.get("slave_repl_offset", 0))
    return int(info.get("master_repl_offset", 0))


def _replicas(info: Facts) -> tuple[ReplicaLink, ...]:
    links = (info.get(f"slave{n}") for n in range(int(info.get("connected_slaves", 0))))
    return tuple(
        ReplicaLink(
            node=NodeAddress(str(link["ip"]), int(link["port"])),
            state=str(link["state"]),
            offset=int(link.get("offset", 0)),
            lag=int(link.get("lag", 0)),
        )
        for link in links
        if isinstance(link, dict)
    )


def _keyspace(info: Facts) -> tuple[Keyspace, ...]:
    return tuple(
        Keyspace(int(name[2:]), int(value["keys"]), int(value["expires"]))
        for name, value in info.items()
        if name.startswith("db") and name[2:].isdigit() and isinstance(value, dict)
    )


def _commands(info: Facts) -> dict[str, CommandCalls]:
    return {
        name.removeprefix("cmdstat_"): CommandCalls(int(value["calls"]), int(value["usec"]))
        for name, value in info.items()
        if name.startswith("cmdstat_") and isinstance(value, dict)
    }
