"""Steps that several workflows share. Each looks first; each may run twice."""

from __future__ import annotations

import asyncio

from cachestead.domain.instances import Node
from cachestead.engine import live, replication
from cachestead.engine.connection import connected
from cachestead.engine.endpoint import ensure_bound
from cachestead.engine.addresses import NodeAddress
from cachestead.store import instances as store
from cachestead.store import networks
from cachestead.workflows.machinery import (
    address_of,
    client_of,
    has_standby,
    master_of,
    open_secrets,
    replicas_of,
    spec_of,
)
from cachestead.workflows.workflow import StepContext

SYNC_SECONDS = 600.0
"""How long a replica may take to copy its master before the work is given up."""


async def start_nodes(ctx: StepContext) -> None:
    """Every node runs, the master before those that copy it."""
    await _ensure(ctx, master_of(ctx.instance))
    await asyncio.gather(*(_ensure(ctx, node) for node in replicas_of(ctx.instance)))


async def _ensure(ctx: StepContext, node: Node) -> None:
    await ctx.machinery.runtime.ensure_node(spec_of(ctx.machinery, ctx.instance, node))


async def remove_nodes(ctx: StepContext) -> None:
    """No process and no folder of the instance is left."""
    await asyncio.gather(*(ctx.machinery.runtime.remove_node(node.id) for node in ctx.instance.nodes))
    for node in ctx.instance.nodes:
        await ctx.machinery.connections.forget(address_of(node))


async def release_records(ctx: StepContext) -> None:
    """The instance has no addresses and no nodes on record."""
    async with ctx.machinery.database.writing() as tx:
        await networks.remove_addresses_of(tx, ctx.instance.id)
        await store.remove_nodes(tx, ctx.instance.id)


async def await_replication(ctx: StepContext) -> None:
    """Every replica has all of its master's data."""
    master = address_of(master_of(ctx.instance))
    for node in replicas_of(ctx.instance):
        client = client_of(ctx.machinery, ctx.instance, node)
        await replication.ensure_replica_of(client, master)
        await replication.wait_in_sync(client, master, SYNC_SECONDS)


async def open_endpoint(ctx: StepContext) -> None:
    """The instance's address is the master's."""
    if has_standby(ctx.instance):
        master = master_of(ctx.instance)
        await ensure_bound(client_of(ctx.machinery, ctx.instance, master), master.address, ctx.instance.ip)


async def watch_instance(ctx: StepContext) -> None:
    """The Sentinels watch the master and know its replicas, and can move the address by themselves."""
    if not has_standby(ctx.instance):
        return
    secrets = open_secrets(ctx.machinery.vault, ctx.instance)
    ctx.machinery.endpoints.write(ctx.instance.id, ctx.instance.ip, secrets.admin, ctx.instance.nodes)
    await ctx.machinery.sentinels.ensure_monitored(
        ctx.instance.id,
        address_of(master_of(ctx.instance)),
        secrets.admin,
        script=ctx.machinery.endpoints.script,
        down_after_ms=ctx.machinery.failover.down_after_ms,
    )
    await ctx.machinery.sentinels.wait_known_replicas(ctx.instance.id, len(ctx.instance.nodes) - 1)


async def unwatch_instance(ctx: StepContext) -> None:
    """No Sentinel knows the instance."""
    if has_standby(ctx.instance):
        await ctx.machinery.sentinels.ensure_forgotten(ctx.instance.id)
        ctx.machinery.endpoints.remove(ctx.instance.id)


async def verify(ctx: StepContext) -> None:
    """A client with the tenant's password writes and reads a key at the instance's address."""
    password = open_secrets(ctx.machinery.vault, ctx.instance).password
    address = NodeAddress(ctx.instance.ip, ctx.instance.port)
    async with connected(address, password, user=None) as client:
        await live.probe(client, f"cachestead:probe:{ctx.job.id}")
