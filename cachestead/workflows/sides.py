"""Both sides of a change of type: the instance as it was, and as it will be.

Each side is a whole `Instance`, so everything that is done to instances can be done to it. One of them serves at
any moment: it has the instance's address, its nodes are active on record, and tenants may write there. On the
other one nobody but us writes. `transfer` brings all data over while nobody writes at all; `hand_over` moves the
address.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from cachestead.domain.instances import Instance, Mode, Node, State
from cachestead.domain.jobs import Job
from cachestead.domain.shards import master_of, masters_of, replicas_of, shards_of
from cachestead.engine import cluster, live, replication
from cachestead.engine.connection import Client
from cachestead.engine.copying import Progress, copy_data
from cachestead.engine.endpoint import ensure_bound, ensure_unbound
from cachestead.engine.errors import EndpointTaken, EngineUnreachable, FailoverFailed
from cachestead.engine.polling import until
from cachestead.store import instances as store
from cachestead.store import proxies as proxy_store
from cachestead.workflows.machinery import (
    READ_ONLY,
    address_of,
    client_of,
    engine_of,
    ensure_unwatched,
    flavor_of,
    limits_of,
    node_values,
    running_of,
    shards_at,
    users_of,
)
from cachestead.workflows.proxies import ensure_proxies, remove_proxies, wait_serving
from cachestead.workflows.resize_instance import ensure_standby, named, persist, with_new_flavor, without
from cachestead.workflows.roles import save_roles, with_roles_now
from cachestead.workflows.steps import CLUSTER_SECONDS, SYNC_SECONDS, remove_each, start_each, verify
from cachestead.workflows.workflow import StepContext

FREE_SECONDS = 5.0
"""How long the system may take to give the address of a process that ended to another."""
SERVE_SECONDS = 20.0
"""How long proxies may take to find the masters."""
TELL_SECONDS = 0.5
"""How often callers are told how far the copy is: it is written down each time."""
COPYING = (10, 85)
"""Percent of the job at which the copy begins, and at which it has all."""


def as_it_was(ctx: StepContext) -> Instance:
    """The instance without what is to come."""
    return _in_service(without(ctx, ctx.instance, "joining"))


def as_it_will_be(ctx: StepContext) -> Instance:
    """The instance without what is to go, in its new type."""
    code, capacity = ctx.job.params["flavor"]
    after = replace(without(ctx, ctx.instance, "leaving"), spec_code=code, capacity_gb=capacity)
    return _in_service(_of_type(after, Mode(ctx.job.params["mode"])))


def become(instance: Instance, job: Job, at: datetime) -> Instance:
    """The record when all is done: the type and flavor that were asked for, without what went."""
    return _of_type(with_new_flavor(instance, job, at), Mode(job.params["mode"]))


def _of_type(instance: Instance, mode: Mode) -> Instance:
    """The same of another type. Behind proxies no tenant can say that nothing may be written, nor take it back."""
    if not mode.has_proxies:
        return replace(instance, mode=mode)
    kept = {name: value for name, value in instance.parameters.items() if name != READ_ONLY}
    return replace(instance, mode=mode, parameters=kept)


def _in_service(side: Instance) -> Instance:
    return replace(side, nodes=tuple(replace(node, active=True) for node in side.nodes))


async def has_moved(ctx: StepContext) -> bool:
    """Whether the new nodes serve, by the record as it is now: then only they have what tenants wrote."""
    async with ctx.machinery.database.reading() as tx:
        now = await store.find_any_instance(tx, ctx.instance.id)
    return now is not None and any(node.active for node in now.nodes if node.id in ctx.job.params["joining"])


def _read_only(side: Instance) -> Instance:
    """The same where tenants may read and not write."""
    return replace(side, parameters={**side.parameters, READ_ONLY: "yes"})


def closed(side: Instance) -> Instance:
    """The same without an address, where tenants have no business."""
    return replace(_read_only(side), ip="")


async def prepare(ctx: StepContext, side: Instance) -> Instance:
    """The side runs in its shape, and nobody is let in; the side as it is, with its roles."""
    machinery, side = ctx.machinery, closed(side)
    # A replica that is told by its file whom to copy takes a second longer than one that is told by command.
    fresh = replace(ctx, instance=replace(side, state=State.CREATING))
    for nodes in (masters_of(side), replicas_of(side)):
        await start_each(fresh, nodes)
    await _set_users(ctx, side)
    if side.mode.is_clustered:
        await cluster.form_cluster(shards_at(machinery, side), CLUSTER_SECONDS)
    side = await with_roles_now(machinery, side)
    if not side.mode.is_clustered:
        await _replicate(ctx, side)
    await ensure_proxies(machinery, side)
    return side


async def _replicate(ctx: StepContext, side: Instance) -> None:
    """Replicas copy the master, and have all that it had when they began to."""
    [master], replicas = _clients(ctx, side, masters_of(side)), _clients(ctx, side, replicas_of(side))
    for replica in replicas:
        await replication.ensure_replica_of(replica, address_of(master_of(side)))
    await replication.wait_in_sync(replicas, address_of(master_of(side)), SYNC_SECONDS)
    for replica in replicas:
        await replication.wait_caught_up(replica, master, SYNC_SECONDS)


async def transfer(ctx: StepContext, source: Instance, target: Instance) -> None:
    """The target, where nobody is let in, has all that the source acknowledged; the source takes no writes."""
    prepared = await prepare(ctx, target)
    held = await with_roles_now(ctx.machinery, _read_only(source))
    await start_each(replace(ctx, instance=held), held.nodes)
    # Replicas too: one that is promoted meanwhile takes no writes either.
    await _set_users(ctx, held)

    clock = asyncio.get_running_loop().time
    told_at = 0.0

    async def report(progress: Progress) -> None:
        nonlocal told_at
        if clock() < told_at + TELL_SECONDS:
            return
        told_at = clock()
        first, last = COPYING
        share = (last - first) * progress.keys_copied // max(progress.keys_total, 1)
        await ctx.report(first + share, f"{progress.keys_copied} of {progress.keys_total} keys copied")

    await copy_data(_clients(ctx, held, masters_of(held)), _clients(ctx, prepared, masters_of(prepared)), report)
    for shard in shards_of(prepared):
        [master, *replicas] = _clients(ctx, prepared, shard.nodes)
        for replica in replicas:
            await replication.wait_caught_up(replica, master, SYNC_SECONDS)
    await wait_serving(ctx.machinery, prepared, SERVE_SECONDS)


async def hand_over(ctx: StepContext, source: Instance, target: Instance) -> None:
    """The target has the instance's address and serves; the source serves nobody."""
    await _save_serving(ctx, source, target)
    await close(ctx, source)
    await let_in(ctx, target)


async def move_over(ctx: StepContext) -> None:
    """The instance as it will be serves."""
    await persist(ctx, lambda: hand_over(ctx, as_it_was(ctx), as_it_will_be(ctx)))


async def move_back(ctx: StepContext) -> None:
    """The instance as it was serves, with all that the other side acknowledged while it served."""

    async def act() -> None:
        before, after = as_it_was(ctx), as_it_will_be(ctx)
        if await has_moved(ctx):
            await transfer(ctx, after, before)
        await hand_over(ctx, after, before)

    await persist(ctx, act)


async def verify_new(ctx: StepContext) -> None:
    """A client writes and reads a key where tenants do."""
    await verify(replace(ctx, instance=as_it_will_be(ctx)))


async def remove_new(ctx: StepContext) -> None:
    """Nothing is left of what was to come."""
    await _remove(ctx, "joining")


async def remove_old(ctx: StepContext) -> None:
    """Nothing is left of what was to go."""
    await _remove(ctx, "leaving")


async def _remove(ctx: StepContext, which: str) -> None:
    gone = ctx.job.params[which]
    await remove_proxies(ctx.machinery, [proxy for proxy in ctx.instance.proxies if proxy.id in gone])
    await remove_each(ctx, named(ctx, which))


async def close(ctx: StepContext, side: Instance) -> None:
    """The side has no address, nobody moves it back there, and its clients are gone."""
    machinery = ctx.machinery
    if side.mode.has_proxies:
        async with machinery.turns.healing_proxies(side.id):
            async with machinery.database.writing() as tx:
                for proxy in side.proxies:
                    await proxy_store.save_proxy(tx, replace(proxy, active=False))
            await remove_proxies(machinery, side.proxies)
    if side.mode.is_watched:
        await ensure_unwatched(machinery, side)
    if side.mode.has_moving_address:
        running = await running_of(machinery, side.nodes)
        for node in side.nodes:
            if node.id in running:
                await _turn_out(ctx, side, node)


async def _turn_out(ctx: StepContext, side: Instance, node: Node) -> None:
    client = client_of(ctx.machinery, side, node)
    try:
        await ensure_unbound(client, node.address)
        await live.drop_tenant_clients(client)
    except EngineUnreachable:
        # A frozen process keeps the address; its data is in its file.
        await ctx.machinery.runtime.kill_node(node.id)


async def _set_limits(ctx: StepContext, side: Instance) -> None:
    """Every node of the side keeps to what the side's type and flavor say."""
    machinery, flavor = ctx.machinery, flavor_of(ctx.machinery, side)
    engine, values = engine_of(machinery, side), node_values(machinery, side, flavor)
    clients = _clients(ctx, side, side.nodes)
    await asyncio.gather(*(live.set_limits(client, limits_of(flavor), values, engine) for client in clients))


async def let_in(ctx: StepContext, side: Instance) -> None:
    """The side has the instance's address, tenants may do there what they may, and whoever watches does."""
    machinery = ctx.machinery
    side = await with_roles_now(machinery, side)
    await start_each(replace(ctx, instance=side), side.nodes)
    await _set_users(ctx, side)
    await _set_limits(ctx, side)
    if side.mode.has_moving_address:
        await until(lambda: _not_bound(ctx, side), FREE_SECONDS, FailoverFailed)
    if side.mode.has_proxies and side.mode.is_watched:
        # Clients read there next, and know what they wrote to the master.
        await _replicate(ctx, side)
    await ensure_proxies(machinery, side)
    if side.mode.is_watched:
        async with machinery.sentinels.hurried():
            await ensure_standby(ctx, side)
    await wait_serving(machinery, side, SERVE_SECONDS)
    await save_roles(machinery, ctx.instance, await with_roles_now(machinery, side))


async def _not_bound(ctx: StepContext, side: Instance) -> str | None:
    master = master_of(side)
    try:
        await ensure_bound(client_of(ctx.machinery, side, master), master.address, side.ip)
    except EndpointTaken as taken:
        return str(taken)
    return None


async def _save_serving(ctx: StepContext, source: Instance, target: Instance) -> None:
    """The record says who serves, before anybody is let in."""
    serving = {node.id for node in target.nodes}
    async with ctx.machinery.database.writing() as tx:
        for node in (*source.nodes, *target.nodes):
            await store.save_node(tx, replace(node, active=node.id in serving))


async def _set_users(ctx: StepContext, side: Instance) -> None:
    """Every node of the side has the side's users."""
    users, engine = users_of(ctx.machinery.vault, side), engine_of(ctx.machinery, side)
    clients = _clients(ctx, side, side.nodes)
    await asyncio.gather(*(live.set_users(client, users, engine) for client in clients))


def _clients(ctx: StepContext, side: Instance, nodes: Sequence[Node]) -> list[Client]:
    return [client_of(ctx.machinery, side, node) for node in nodes]
