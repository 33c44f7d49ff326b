"""What steps and reconcilers act with, and what an instance's nodes are made of.

The one place where a record becomes a node's configuration: secrets are opened here, used, and kept nowhere.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from cachestead.domain.flavors import Flavor, FlavorCatalogue
from cachestead.domain.instances import Instance, Mode, Node, State
from cachestead.domain.parameters import ParameterCatalogue, Values
from cachestead.domain.shards import master_of, masters_of, shards_of
from cachestead.domain.ssl import names_of
from cachestead.engine import cluster
from cachestead.engine.acl import ADMIN, NodeUsers
from cachestead.engine.addresses import NodeAddress
from cachestead.engine.catalogue import Engine, EngineCatalogue
from cachestead.engine.commands import AdminCommands, admin_commands
from cachestead.engine.config import AUTHORITY_FILE, IDENTITY_FILE, REDIS_FILE, RedisConf, render_redis_conf
from cachestead.engine.connection import Client, Connections
from cachestead.engine.live import Limits
from cachestead.engine.sentinel import Sentinels, Watch
from cachestead.engine.watched import WatchedShard
from cachestead.identity.authority import Authority
from cachestead.identity.secrets import Vault
from cachestead.objects.store import Objects
from cachestead.proxy import front
from cachestead.runtime.interface import Guards, NodeRuntime, NodeSighting, NodeSpec, front_id
from cachestead.runtime.process.vip_script import ShardEndpoint, ShardNode, remove_endpoint, write_endpoint
from cachestead.settings import CertificateSettings, FailoverSettings
from cachestead.store.database import Database
from cachestead.workflows.turns import Turns

PROXIED_CLIENTS = 10_000
READ_ONLY = "master-read-only"
"""The parameter with which tenants may not write."""
_OF_PROXIES = frozenset({"maxclients", "timeout"})
"""What proxies, where there are any, keep to in the place of data nodes."""
_BEHIND_PROXIES = {"timeout": "0", "lua-time-limit": "5000", "proto-max-bulk-len": "536870912"}
"""What the nodes keep to then, unless the type has the parameter: they may have been in front before."""


@dataclass(frozen=True)
class Machinery:
    """Everything that acts on the world."""

    database: Database
    runtime: NodeRuntime
    guards: Guards
    """What keeps those off instances who are on no whitelist."""
    engines: EngineCatalogue
    connections: Connections
    sentinels: Sentinels
    vip_folder: Path
    """Where the address-moving script and its files are."""
    vip_script: Path
    staging_host: str
    """Where engines listen that only we talk to, each at a port of its own."""
    vault: Vault
    authority: Authority
    """Signs the certificates of nodes."""
    certificates: CertificateSettings
    dns_zone: str
    flavors: FlavorCatalogue
    parameters: ParameterCatalogue
    failover: FailoverSettings
    objects: Objects
    now: Callable[[], datetime]
    turns: Turns = field(default_factory=Turns)


@dataclass(frozen=True)
class InstanceSecrets:
    """An instance's passwords, in clear for as long as they are used."""

    password: str | None = field(repr=False)
    """The tenant's; None where none is needed."""
    admin: str = field(repr=False)
    replica: str = field(repr=False)
    proxy: str = field(repr=False)


def open_secrets(vault: Vault, instance: Instance) -> InstanceSecrets:
    """The instance's passwords."""
    opened = vault.open(instance.secrets)
    password = None if instance.no_password_access else opened["password"]
    return InstanceSecrets(password, opened["admin"], opened["replica"], opened["proxy"])


def users_of(vault: Vault, instance: Instance, *, closed: bool = False) -> NodeUsers:
    """The users every node of the instance has; those of tenants are of no use where it is closed."""
    secrets = open_secrets(vault, instance)
    return NodeUsers(
        version=instance.engine_version,
        mode=instance.mode,
        admin_secret=secrets.admin,
        replica_secret=secrets.replica,
        tenant_password=secrets.password,
        read_only=instance.parameters.get(READ_ONLY) == "yes",
        proxy_secret=secrets.proxy,
        closed=closed,
        accounts=instance.accounts_in_force,
    )


def address_of(node: Node) -> NodeAddress:
    """Where the node's engine listens."""
    return NodeAddress(node.address, node.port)


def flavor_of(machinery: Machinery, instance: Instance) -> Flavor:
    """The instance's flavor."""
    return machinery.flavors.get(instance.spec_code, instance.capacity_gb)


def engine_of(machinery: Machinery, instance: Instance) -> Engine:
    """The binary the instance was made with, while the machine has it; else the best for its version.

    An instance stays on its engine, whatever is installed later: data written by a newer one cannot always be read
    by an older one.
    """
    pinned, mode = machinery.engines.find(instance.binary), instance.mode
    guarded = mode.is_watched or mode.has_proxies
    return pinned or machinery.engines.engine_for(instance.engine_version, guarded=guarded)


def node_clients(flavor: Flavor) -> int:
    """The `maxclients` of a node. Proxies limit clients themselves, and need more connections than one each."""
    return max(flavor.node_connections, PROXIED_CLIENTS) if flavor.mode.has_proxies else flavor.node_connections


def limits_of(flavor: Flavor) -> Limits:
    """What the flavor decides for a node."""
    return Limits(
        flavor.node_memory,
        node_clients(flavor),
        persistent=flavor.replica_count > 1,
        stale_reads=flavor.mode is not Mode.HA_RW_SPLIT,
    )


def node_values(machinery: Machinery, instance: Instance, flavor: Flavor) -> Values:
    """The parameters that data nodes of the instance keep to when it has this flavor."""
    values = machinery.parameters.values_of(instance.mode, flavor, instance.parameters)
    if not instance.mode.has_proxies:
        return values
    return _BEHIND_PROXIES | {name: value for name, value in values.items() if name not in _OF_PROXIES}


def keeps_file(machinery: Machinery, instance: Instance) -> bool:
    """Whether the instance's nodes have a file to come back with. A Proxy Cluster has no parameter for it."""
    return node_values(machinery, instance, flavor_of(machinery, instance)).get("appendonly", "yes") == "yes"


def client_of(machinery: Machinery, instance: Instance, node: Node) -> Client:
    """The control plane's own connection to a node."""
    return client_at(machinery, instance, address_of(node))


def client_at(machinery: Machinery, instance: Instance, address: NodeAddress) -> Client:
    """The same to a node at an address other than the one on record."""
    login = login_of(machinery, instance)
    return machinery.connections.get(address, login.secret, user=login.user, commands=login.commands)


def shards_at(machinery: Machinery, instance: Instance) -> list[cluster.Shard]:
    """Our connections to a cluster's nodes, by shard."""

    def to(nodes: Iterable[Node]) -> tuple[Client, ...]:
        return tuple(client_of(machinery, instance, node) for node in nodes)

    return [
        cluster.Shard(
            master=client_of(machinery, instance, shard.master),
            replicas=to(shard.replicas),
            barred=to(node for node in shard.nodes if node.priority == 0),
        )
        for shard in shards_of(instance)
    ]


async def sightings_now(machinery: Machinery) -> dict[str, NodeSighting]:
    """Every node of the runtime by its id, as it was just seen."""
    return {one.id: one for one in await machinery.runtime.observe_nodes()}


async def running_of(machinery: Machinery, nodes: Iterable[Node]) -> set[str]:
    """Ids of those of the nodes that have a process, frozen or not."""
    sightings = await sightings_now(machinery)
    return {node.id for node in nodes if node.id in sightings and sightings[node.id].running}


async def masters_now(machinery: Machinery, instance: Instance) -> list[Client]:
    """The master of each shard, as a cluster itself has it now; else as on record."""
    if not instance.mode.is_clustered:
        return [client_of(machinery, instance, node) for node in masters_of(instance)]
    view = await cluster.observe_any(client_of(machinery, instance, node) for node in instance.nodes)
    return [
        client_at(machinery, instance, view.nodes[owner].address) for owner, slots in view.owners.items() if slots
    ]


@dataclass(frozen=True)
class Login:
    """How the control plane and the Sentinels log in to an instance's nodes."""

    user: str | None
    secret: str | None = field(repr=False)
    commands: AdminCommands = field(repr=False)


def login_of(machinery: Machinery, instance: Instance) -> Login:
    """The login; on an engine without users it is the tenant's password with commands under hidden names."""
    engine, secrets = engine_of(machinery, instance), open_secrets(machinery.vault, instance)
    commands = admin_commands(engine, secrets.admin, _renames_on_nodes(instance))
    return Login(ADMIN, secrets.admin, commands) if engine.has_acl else Login(None, secrets.password, commands)


def _renames_on_nodes(instance: Instance) -> Mapping[str, str]:
    """Behind proxies, which know the tenant's names, commands keep their own."""
    return {} if instance.mode.has_proxies else instance.rename_commands


def watched_shard(
    machinery: Machinery, instance: Instance, replicas: Iterable[Node], master: Node | None = None
) -> WatchedShard:
    """The master, as recorded unless it is named, and who may take its place."""
    login = login_of(machinery, instance)
    return WatchedShard(
        name=instance.id,
        master=address_of(master or master_of(instance)),
        replicas=[address_of(node) for node in replicas],
        vip=instance.ip if instance.mode.has_moving_address else None,
        secret=login.secret or "",
        user=login.user,
        commands=login.commands,
    )


async def ensure_watched(machinery: Machinery, instance: Instance, *, move: bool = False) -> None:
    """The Sentinels watch the instance's master, and can move its address, if it moves, while we are down."""
    login, moves = login_of(machinery, instance), instance.mode.has_moving_address
    if moves:
        _write_endpoint(machinery, instance, login)
    else:
        remove_endpoint(machinery.vip_folder, instance.id)
    watch = Watch(
        name=instance.id,
        master=address_of(master_of(instance)),
        secret=login.secret or "",
        script=machinery.vip_script if moves else None,
        down_after_ms=machinery.failover.down_after_ms,
        user=login.user,
        commands=login.commands,
    )
    await machinery.sentinels.ensure_monitored(watch, move=move)


def _write_endpoint(machinery: Machinery, instance: Instance, login: Login) -> None:
    endpoint = ShardEndpoint(
        name=instance.id,
        vip=instance.ip,
        nodes=[ShardNode(address_of(node), machinery.runtime.node_folder(node.id)) for node in instance.nodes],
        secret=login.secret or "",
        user=login.user,
        commands=login.commands,
    )
    write_endpoint(machinery.vip_folder, endpoint)


def spec_of(machinery: Machinery, instance: Instance, node: Node, *, closed: bool = False) -> NodeSpec:
    """The node as it should run, in the role it has on record; `closed` lets no tenant in."""
    engine, flavor = engine_of(machinery, instance), flavor_of(machinery, instance)
    conf = RedisConf(
        engine=engine,
        address=node.address,
        port=node.port,
        users=users_of(machinery.vault, instance, closed=closed),
        maxmemory=flavor.node_memory,
        databases=flavor.db_number,
        maxclients=node_clients(flavor),
        rename_commands=_renames_on_nodes(instance),
        parameters=node_values(machinery, instance, flavor),
        priority=node.priority,
        persistent=flavor.replica_count > 1,
        tls_port=instance.port if instance.enable_ssl and engine.has_tls else None,
    )
    # Roles and slots of a cluster are the engine's own record, in a file that it keeps.
    if instance.mode.is_watched:
        conf = _placed(instance, node, conf)
    return NodeSpec(
        id=node.id,
        command=(str(engine.path), REDIS_FILE),
        files={
            REDIS_FILE: render_redis_conf(conf),
            **(tls_files_of(machinery, instance, node) if conf.tls_port else {}),
        },
        address=node.address,
        port=node.port,
        owner=instance.id,
        front=front_of(machinery, instance, node),
    )


def tls_files_of(machinery: Machinery, instance: Instance, node: Node) -> Mapping[str, str]:
    """What clients that come by TLS are shown by the node, or by its front; made anew."""
    names = names_of(instance, node, machinery.dns_zone)
    identity = machinery.authority.issue(names, machinery.now(), machinery.certificates.days)
    return {IDENTITY_FILE: identity, AUTHORITY_FILE: machinery.authority.certificate}


def front_of(machinery: Machinery, instance: Instance, node: Node) -> NodeSpec | None:
    """What speaks TLS for a node whose engine cannot; None where nobody has to."""
    if not instance.enable_ssl or engine_of(machinery, instance).has_tls:
        return None
    # Each of an instance's fronts may serve its address: whoever is master has that at the engine's port.
    addresses = tuple(dict.fromkeys((node.address, instance.ip)))
    told = front.FrontConfiguration(addresses, instance.port, node.port, IDENTITY_FILE)
    return NodeSpec(
        id=front_id(node.id),
        command=(sys.executable, "-m", front.__name__, front.CONFIGURATION_FILE),
        files={front.CONFIGURATION_FILE: told.to_json(), **tls_files_of(machinery, instance, node)},
        address=node.address,
        port=instance.port,
        owner=node.id,
    )


def _placed(instance: Instance, node: Node, conf: RedisConf) -> RedisConf:
    """A node that Sentinels watch: the master has the address, if it follows masters, and the others copy it."""
    master = master_of(instance)
    if node.id == master.id:
        return replace(conf, vip=(instance.ip or None) if instance.mode.has_moving_address else None)
    # A replica named in its file asks its master only at the next tick of a second; a new one is told by command.
    return conf if instance.state is State.CREATING else replace(conf, replica_of=address_of(master))


async def ensure_unwatched(machinery: Machinery, instance: Instance) -> None:
    """No Sentinel watches the instance, and nobody moves its address."""
    await machinery.sentinels.ensure_forgotten(instance.id)
    remove_endpoint(machinery.vip_folder, instance.id)
