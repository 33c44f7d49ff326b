"""Steps that several workflows share. Each looks first; each may run twice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from cachestead.domain.instances import Node
from cachestead.domain.shards import master_of, masters_of, replicas_of
from cachestead.domain.slots import key_in
from cachestead.engine import cluster, live, replication
from cachestead.engine.addresses import NodeAddress
from cachestead.engine.commands import AdminCommands
from cachestead.engine.connection import connected
from cachestead.engine.endpoint import ensure_bound
from cachestead.engine.errors import EngineRefused
from cachestead.engine.polling import until
from cachestead.store import accounts as account_store
from cachestead.store import instances as store
from cachestead.store import networks
from cachestead.store import proxies as proxy_store
from cachestead.workflows import proxies
from cachestead.workflows.guarding import ensure_guarded_for
from cachestead.workflows.machinery import (
    READ_ONLY,
    Login,
    address_of,
    client_of,
    ensure_unwatched,
    ensure_watched,
    login_of,
    open_secrets,
    shards_at,
    spec_of,
)
from cachestead.workflows.workflow import StepContext

SYNC_SECONDS = 600.0
"""How long a replica may take to copy its master before the work is given up."""
CLUSTER_SECONDS = 60.0
"""How long the nodes of a cluster may take to agree."""
VERIFY_SECONDS = 10.0
"""How long an instance may refuse a client at first."""
WATCH_SECONDS = 30.0
"""How long the Sentinels may take to know an instance."""


async def start_nodes(ctx: StepContext) -> None:
    """Every node runs, the master before those that copy it."""
    for nodes in (masters_of(ctx.instance), replicas_of(ctx.instance)):
        await start_each(ctx, nodes)


async def start_each(ctx: StepContext, nodes: Sequence[Node], *, closed: bool = False) -> None:
    """These nodes run, guarded first; those that are started let no tenant in where they are `closed`."""
    await ensure_guarded_for(ctx.machinery, ctx.instance)
    specs = [spec_of(ctx.machinery, ctx.instance, node, closed=closed) for node in nodes]
    await asyncio.gather(*(ctx.machinery.runtime.ensure_node(spec) for spec in specs))


async def stop_all(ctx: StepContext, *, graceful: bool) -> None:
    """Nothing runs: proxies first, for clients are better told nothing than of nodes that are gone.

    Replicas end before their master, which would have nobody to send the last writes to.
    """
    runtime, instance = ctx.machinery.runtime, ctx.instance
    stop = runtime.stop_node if graceful else runtime.kill_node
    nodes = (replicas_of(instance), masters_of(instance))
    for ids in ([one.id for one in some] for some in (instance.proxies, *nodes)):
        await asyncio.gather(*map(stop, ids))
    for address in (*map(proxies.address_of, instance.proxies), *map(address_of, instance.nodes)):
        await ctx.machinery.connections.forget(address)


async def remove_nodes(ctx: StepContext) -> None:
    """No process and no folder of the instance is left."""
    await proxies.remove_proxies(ctx.machinery, ctx.instance.proxies)
    await remove_each(ctx, ctx.instance.nodes)


async def remove_each(ctx: StepContext, nodes: Sequence[Node]) -> None:
    """No process and no folder of these nodes is left."""
    await asyncio.gather(*(ctx.machinery.runtime.remove_node(node.id) for node in nodes))
    for node in nodes:
        await ctx.machinery.connections.forget(address_of(node))


async def release_records(ctx: StepContext) -> None:
    """The instance has no addresses, nodes, proxies and accounts on record."""
    async with ctx.machinery.database.writing() as tx:
        await networks.remove_addresses_of(tx, ctx.instance.id)
        await store.remove_nodes(tx, ctx.instance.id)
        await proxy_store.remove_proxies(tx, ctx.instance.id)
        await account_store.remove_accounts(tx, ctx.instance.id)


async def await_replication(ctx: StepContext) -> None:
    """Every replica has all of its master's data; the nodes of a cluster are one cluster."""
    if ctx.instance.mode.is_clustered:
        await cluster.form_cluster(shards_at(ctx.machinery, ctx.instance), CLUSTER_SECONDS)
        return
    master = address_of(master_of(ctx.instance))
    clients = [client_of(ctx.machinery, ctx.instance, node) for node in replicas_of(ctx.instance)]
    for client in clients:
        await replication.ensure_replica_of(client, master)
    await replication.wait_in_sync(clients, master, SYNC_SECONDS)


async def open_endpoint(ctx: StepContext) -> None:
    """The instance's address is the master's, or the proxies', which run."""
    if ctx.instance.mode.has_moving_address:
        master = master_of(ctx.instance)
        await ensure_bound(client_of(ctx.machinery, ctx.instance, master), master.address, ctx.instance.ip)
    await proxies.ensure_proxies(ctx.machinery, ctx.instance)


async def watch_instance(ctx: StepContext) -> None:
    """The Sentinels watch the master and know its replicas: they replace it by themselves, with its address."""
    if not ctx.instance.mode.is_watched:
        return
    await ensure_watched(ctx.machinery, ctx.instance)
    replicas = len(ctx.instance.nodes) - 1
    await ctx.machinery.sentinels.wait_ready(ctx.instance.id, replicas, WATCH_SECONDS)


async def unwatch_instance(ctx: StepContext) -> None:
    """No Sentinel knows the instance."""
    if ctx.instance.mode.is_watched:
        await ensure_unwatched(ctx.machinery, ctx.instance)


async def verify(ctx: StepContext) -> None:
    """The tenant's client, if it may, writes and reads a key at the instance's address; in each shard."""
    login = _login(ctx)
    authority = ctx.machinery.authority.certificate if ctx.instance.enable_ssl else None
    gone = ctx.job.params.get("leaving", ())
    serving = tuple(proxy for proxy in ctx.instance.proxies if proxy.id not in gone)
    await proxies.wait_serving(ctx.machinery, replace(ctx.instance, proxies=serving), VERIFY_SECONDS)

    async def look() -> None:
        for address, key in await _probes(ctx):
            how = {"user": login.user, "commands": login.commands, "authority": authority}
            async with connected(address, login.secret, **how) as client:
                await live.probe(client, key)

    # Where a master has just changed, not every node of a cluster has heard of it.
    await until(look, VERIFY_SECONDS, EngineRefused)


def _login(ctx: StepContext) -> Login:
    """The tenant's; our own where tenants may not write."""
    if ctx.instance.parameters.get(READ_ONLY) == "yes":
        return login_of(ctx.machinery, ctx.instance)
    return Login(None, open_secrets(ctx.machinery.vault, ctx.instance).password, AdminCommands())


def _open_to_clients(ctx: StepContext, address: NodeAddress) -> NodeAddress:
    """Where clients come to the node that is at this address for us."""
    return NodeAddress(address.address, ctx.instance.port) if ctx.instance.enable_ssl else address


async def _probes(ctx: StepContext) -> list[tuple[NodeAddress, str]]:
    """Where to write which key."""
    key, mode = f"cachestead:probe:{ctx.job.id}", ctx.instance.mode
    shared = NodeAddress(ctx.instance.ip, ctx.instance.port)
    if not mode.is_clustered:
        return [(shared, key)]
    view = await cluster.observe_any(client_of(ctx.machinery, ctx.instance, node) for node in ctx.instance.nodes)
    return [
        (shared if mode.has_proxies else _open_to_clients(ctx, view.nodes[owner].address), key_in(slots, key))
        for owner, slots in view.owners.items()
        if slots
    ]
