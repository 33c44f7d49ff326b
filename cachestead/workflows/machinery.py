"""What steps and reconcilers act with, and what an instance's nodes are made of.

The one place where a record becomes a node's configuration: secrets are opened here, used, and kept nowhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cachestead.domain.flavors import Flavor, FlavorCatalogue
from cachestead.domain.instances import Instance, Node, Role, State
from cachestead.engine.acl import ADMIN, NodeUsers
from cachestead.engine.addresses import NodeAddress
from cachestead.engine.catalogue import Engine, EngineCatalogue
from cachestead.engine.commands import AdminCommands, admin_commands
from cachestead.engine.config import REDIS_FILE, RedisConf, render_redis_conf
from cachestead.engine.connection import Client, Connections
from cachestead.engine.sentinel import Sentinels, Watch
from cachestead.identity.secrets import Vault
from cachestead.runtime.interface import NodeRuntime, NodeSpec
from cachestead.runtime.process.vip_script import ShardEndpoint, ShardNode, remove_endpoint, write_endpoint
from cachestead.settings import FailoverSettings
from cachestead.store.database import Database
from cachestead.workflows.turns import Turns


@dataclass(frozen=True)
class Machinery:
    """Everything that acts on the world."""

    database: Database
    runtime: NodeRuntime
    engines: EngineCatalogue
    connections: Connections
    sentinels: Sentinels
    vip_folder: Path
    """Where the address-moving script and its files are."""
    vip_script: Path
    vault: Vault
    flavors: FlavorCatalogue
    failover: FailoverSettings
    now: Callable[[], datetime]
    turns: Turns = field(default_factory=Turns)


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
    pinned = machinery.engines.find(instance.binary)
    return pinned or machinery.engines.engine_for(instance.engine_version, watched=has_standby(instance))


def client_of(machinery: Machinery, instance: Instance, node: Node) -> Client:
    """The control plane's own connection to a node."""
    return client_at(machinery, instance, address_of(node))


def client_at(machinery: Machinery, instance: Instance, address: NodeAddress) -> Client:
    """The same to a node at an address other than the one on record."""
    login = login_of(machinery, instance)
    return machinery.connections.get(address, login.secret, user=login.user, commands=login.commands)


@dataclass(frozen=True)
class Login:
    """How the control plane and the Sentinels log in to an instance's nodes."""

    user: str | None
    secret: str | None = field(repr=False)
    commands: AdminCommands = field(repr=False)


def login_of(machinery: Machinery, instance: Instance) -> Login:
    """The login; on an engine without users it is the tenant's password with commands under hidden names."""
    engine, secrets = engine_of(machinery, instance), open_secrets(machinery.vault, instance)
    commands = admin_commands(engine, secrets.admin, instance.rename_commands)
    return Login(ADMIN, secrets.admin, commands) if engine.has_acl else Login(None, secrets.password, commands)


async def ensure_watched(machinery: Machinery, instance: Instance, *, move: bool = False) -> None:
    """The Sentinels watch the instance's master, and can move its address while we are down."""
    login = login_of(machinery, instance)
    endpoint = ShardEndpoint(
        name=instance.id,
        vip=instance.ip,
        nodes=[ShardNode(address_of(node), machinery.runtime.node_folder(node.id)) for node in instance.nodes],
        secret=login.secret or "",
        user=login.user,
        commands=login.commands,
    )
    write_endpoint(machinery.vip_folder, endpoint)
    watch = Watch(
        name=instance.id,
        master=address_of(master_of(instance)),
        secret=login.secret or "",
        script=machinery.vip_script,
        down_after_ms=machinery.failover.down_after_ms,
        user=login.user,
        commands=login.commands,
    )
    await machinery.sentinels.ensure_monitored(watch, move=move)


def spec_of(machinery: Machinery, instance: Instance, node: Node) -> NodeSpec:
    """The node as it should run, in the role it has on record."""
    engine, flavor = engine_of(machinery, instance), flavor_of(machinery, instance)
    master = master_of(instance)
    is_master = node.id == master.id
    # A replica named in its file asks its master only at the next tick of a second; a new one is told by command.
    follows = not is_master and instance.state is not State.CREATING
    parameters = {"appendonly": "yes" if has_standby(instance) else "no"} | instance.parameters
    conf = RedisConf(
        engine=engine,
        address=node.address,
        port=node.port,
        users=users_of(machinery.vault, instance),
        maxmemory=flavor.node_memory,
        vip=instance.ip if is_master and has_standby(instance) else None,
        replica_of=address_of(master) if follows else None,
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


async def ensure_unwatched(machinery: Machinery, instance: Instance) -> None:
    """No Sentinel watches the instance, and nobody moves its address."""
    await machinery.sentinels.ensure_forgotten(instance.id)
    remove_endpoint(machinery.vip_folder, instance.id)
