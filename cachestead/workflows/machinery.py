"""What steps and reconcilers act with, and what an instance's nodes are made of.

The one place where a record becomes a node's configuration: secrets are opened here, used, and kept nowhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from cachestead.domain.flavors import Flavor, FlavorCatalogue
from cachestead.domain.instances import Instance, Node, Role
from cachestead.engine.acl import NodeUsers
from cachestead.engine.addresses import NodeAddress
from cachestead.engine.catalogue import Engine, EngineCatalogue
from cachestead.engine.commands import admin_commands
from cachestead.engine.config import REDIS_FILE, RedisConf, render_redis_conf
from cachestead.engine.connection import Client, Connections
from cachestead.engine.sentinel import Sentinels
from cachestead.identity.secrets import Vault
from cachestead.runtime.interface import NodeRuntime, NodeSpec
from cachestead.runtime.process.endpoints import Endpoints
from cachestead.settings import FailoverSettings
from cachestead.store.database import Database


@dataclass(frozen=True)
class Machinery:
    """Everything that acts on the world."""

    database: Database
    runtime: NodeRuntime
    engines: EngineCatalogue
    connections: Connections
    sentinels: Sentinels
    endpoints: Endpoints
    vault: Vault
    flavors: FlavorCatalogue
    failover: FailoverSettings
    now: Callable[[], datetime]


@dataclass(frozen=True)
class InstanceSecrets:
    """An instance's passwords, in clear for as long as they are used."""

    password: str | None = field(repr=False)
    """The tenant's; None where none is needed."""
    admin: str = field(repr=False)
    replica: str = field(repr=False)


def open_secrets(vault: Vault, instance: Instance) -> InstanceSecrets:
    """The instance's passwords."""
    opened = vault.open(instance.secrets)
    password = None if instance.no_password_access else opened["password"]
    return InstanceSecrets(password, opened["admin"], opened["replica"])


def users_of(vault: Vault, instance: Instance) -> NodeUsers:
    """The users every node of the instance has."""
    secrets = open_secrets(vault, instance)
    return NodeUsers(
        version=instance.engine_version,
        mode=instance.mode,
        admin_secret=secrets.admin,
        replica_secret=secrets.replica,
        tenant_password=secrets.password,
    )


def master_of(instance: Instance) -> Node:
    """The node on record as master of the instance's only shard."""
    return next(node for node in instance.nodes if node.role is Role.MASTER)


def replicas_of(instance: Instance) -> list[Node]:
    """The other nodes."""
    return [node for node in instance.nodes if node.role is Role.REPLICA]


def address_of(node: Node) -> NodeAddress:
    """Where the node's engine listens."""
    return NodeAddress(node.address, node.port)


def has_standby(instance: Instance) -> bool:
    """Whether Sentinels watch over it and its address moves."""
    return len(instance.nodes) > 1


def flavor_of(machinery: Machinery, instance: Instance) -> Flavor:
    """The instance's flavor."""
    return machinery.flavors.get(instance.spec_code, instance.capacity_gb)


def engine_of(machinery: Machinery, instance: Instance) -> Engine:
    """The binary the instance was made with, while the machine has it; else the best for its version.

    An instance stays on its engine, whatever is installed later: data written by a newer one cannot always be read
    by an older one.
    """
    return machinery.engines.find(instance.binary) or machinery.engines.engine_for(instance.engine_version)


def client_of(machinery: Machinery, instance: Instance, node: Node) -> Client:
    """The control plane's own connection to a node."""
    return client_at(machinery, instance, address_of(node))


def client_at(machinery: Machinery, instance: Instance, address: NodeAddress) -> Client:
    """The same to a node at an address other than the one on record."""
    secrets = open_secrets(machinery.vault, instance)
    commands = admin_commands(engine_of(machinery, instance), secrets.admin, instance.rename_commands)
    return machinery.connections.get(address, secrets.admin, commands=commands)


def spec_of(machinery: Machinery, instance: Instance, node: Node) -> NodeSpec:
    """The node as it should run, in the role it has on record."""
    engine, flavor = engine_of(machinery, instance), flavor_of(machinery, instance)
    master = master_of(instance)
    is_master = node.id == master.id
    parameters = {"appendonly": "yes" if has_standby(instance) else "no"} | instance.parameters
    conf = RedisConf(
        engine=engine,
        address=node.address,
        port=node.port,
        users=users_of(machinery.vault, instance),
        maxmemory=flavor.node_memory,
        vip=instance.ip if is_master and has_standby(instance) else None,
        replica_of=None if is_master else address_of(master),
        databases=flavor.db_number,
        maxclients=flavor.node_connections,
        rename_commands=instance.rename_commands,
        parameters=parameters,
    )
    return NodeSpec(
        id=node.id,
        command=(str(engine.path), REDIS_FILE),
        files={REDIS_FILE: render_redis_conf(conf)},
        address=node.address,
        port=node.port,
        owner=instance.id,
    )
