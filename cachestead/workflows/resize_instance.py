"""Change an instance's size or shape while clients use it.

Before: the record is EXTENDING, with the nodes that are to come among its nodes; the job names both flavors, who
comes and who goes. After: the nodes are those of the new flavor and keep its limits; a cluster's slots are spread
evenly over its shards. No acknowledged write is lost, no slot is ever without an owner. If it fails: the instance
is RUNNING as it was before, with the same data.

A master may be lost meanwhile: Sentinels or the cluster replace it as ever, so each step asks who is master now,
starts again what ended, and goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime

import structlog

from cachestead.domain.flavors import Flavor
from cachestead.domain.instances import Event, Instance, Mode, Node, Proxy, advance
from cachestead.domain.jobs import Job
from cachestead.domain.shards import instance_address, master_of, replicas_of, shards_of
from cachestead.domain.slots import plan_rebalance
from cachestead.engine import cluster, replication, slot_migration
from cachestead.engine.connection import Client
from cachestead.engine.copying import bring_functions
from cachestead.engine.endpoint import ensure_bound
from cachestead.engine.errors import CopyFailed, EngineError, SlotsInDanger
from cachestead.engine.live import set_limits
from cachestead.engine.slot_migration import Progress, Road
from cachestead.engine.switchover import switch_master
from cachestead.runtime.interface import NodeNotStarted
from cachestead.store import instances as store
from cachestead.store import proxies as proxy_store
from cachestead.workflows.machinery import (
    address_of,
    client_of,
    engine_of,
    ensure_unwatched,
    ensure_watched,
    limits_of,
    node_values,
    open_secrets,
    running_of,
    shards_at,
    watched_shard,
)
from cachestead.workflows.proxies import ensure_proxies, remove_proxies
from cachestead.workflows.roles import save_roles, with_roles_now
from cachestead.workflows.steps import (
    CLUSTER_SECONDS,
    SYNC_SECONDS,
    WATCH_SECONDS,
    remove_each,
    start_each,
    verify,
)
from cachestead.workflows.switch_shard import promote
from cachestead.workflows.workflow import Step, StepContext, Workflow

log = structlog.get_logger()

PATIENCE_SECONDS = 180.0
"""How long a step goes on trying where nodes are lost meanwhile."""
AGAIN_SECONDS = 1.0
_MOVING = (20, 90)
"""Percent of the job at which slots begin to move, and at which all have."""


async def start_joining(ctx: StepContext) -> None:
    """The nodes that are to come run; they know nobody yet."""
    await start_each(ctx, named(ctx, "joining"))


async def remove_joining(ctx: StepContext) -> None:
    """The nodes that were to come are gone again, and nobody knows them."""
    await persist(ctx, lambda: _drop(ctx, named(ctx, "joining")))


async def join_nodes(ctx: StepContext) -> None:
    """All nodes are members: each copies its master, and the Sentinels or the cluster know it."""
    await persist(ctx, lambda: _settle(ctx, ctx.instance.nodes))


async def bring_functions_along(ctx: StepContext) -> None:
    """New shards have the functions of those there were: whoever calls one may come to any."""
    await persist(ctx, lambda: _bring_functions(ctx))


async def drop_leaving(ctx: StepContext) -> None:
    """The nodes that are to go serve nobody, are gone, and nobody knows them."""
    await persist(ctx, lambda: _drop(ctx, named(ctx, "leaving")))


async def set_new_proxies(ctx: StepContext) -> None:
    """The proxies are those of the new flavor, and know which nodes stay."""
    code, capacity = ctx.job.params["flavor"]
    wanted = replace(ctx.instance, spec_code=code, capacity_gb=capacity)
    await persist(ctx, lambda: _settle_proxies(ctx, wanted, gone="leaving"))


async def set_old_proxies(ctx: StepContext) -> None:
    """The proxies are those there were, and know of none but the nodes there were."""
    await persist(ctx, lambda: _settle_proxies(ctx, ctx.instance, gone="joining"))


async def widen_limits(ctx: StepContext) -> None:
    """Every node may take what the larger of both flavors allows: slots may move either way."""
    await _limit(ctx, max(_old_flavor(ctx), _new_flavor(ctx), key=lambda flavor: flavor.node_memory))


async def set_new_limits(ctx: StepContext) -> None:
    """Every node keeps the limits of the new flavor."""
    await _limit(ctx, _new_flavor(ctx))


async def set_old_limits(ctx: StepContext) -> None:
    """Every node keeps the limits that it had."""
    await _limit(ctx, _old_flavor(ctx))


async def spread_slots(ctx: StepContext) -> None:
    """The shards that stay share all slots evenly; others have none."""
    await persist(ctx, lambda: _balance(ctx, named(ctx, "leaving")))


async def gather_slots(ctx: StepContext) -> None:
    """The shards there were before share all slots evenly; new ones have none."""
    await persist(ctx, lambda: _balance(ctx, named(ctx, "joining")))


def named(ctx: StepContext, which: str) -> list[Node]:
    """The nodes that are `joining` or `leaving`."""
    return [node for node in ctx.instance.nodes if node.id in ctx.job.params[which]]


def without(ctx: StepContext, instance: Instance, gone: str) -> Instance:
    """The instance without the nodes and proxies that are `joining` or `leaving`."""
    ids = ctx.job.params[gone]
    return replace(
        instance,
        nodes=tuple(node for node in instance.nodes if node.id not in ids),
        proxies=tuple(proxy for proxy in instance.proxies if proxy.id not in ids),
    )


def _old_flavor(ctx: StepContext) -> Flavor:
    return ctx.machinery.flavors.get(*ctx.job.params["old_flavor"])


def _new_flavor(ctx: StepContext) -> Flavor:
    return ctx.machinery.flavors.get(*ctx.job.params["flavor"])


async def persist(ctx: StepContext, act: Callable[[], Awaitable[None]]) -> None:
    """Do it; what lost nodes stand in the way of is done again once they run."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + PATIENCE_SECONDS
    while True:
        try:
            await act()
        except (EngineError, NodeNotStarted) as failure:
            if clock() > deadline or isinstance(failure, CopyFailed):
                raise
            log.info("once more", instance=ctx.instance.id, step=ctx.job.step, reason=str(failure))
            await asyncio.sleep(AGAIN_SECONDS)
        else:
            return


async def _bring_functions(ctx: StepContext) -> None:
    now = await with_roles_now(ctx.machinery, ctx.instance)
    masters = [shard.master for shard in shards_of(now)]
    old, new = (
        [
            client_of(ctx.machinery, now, node)
            for node in masters
            if (node.id in ctx.job.params["joining"]) == joins
        ]
        for joins in (False, True)
    )
    await bring_functions(old, new)


async def _limit(ctx: StepContext, flavor: Flavor) -> None:
    engine = engine_of(ctx.machinery, ctx.instance)
    limits, values = limits_of(flavor), node_values(ctx.machinery, ctx.instance, flavor)

    async def act() -> None:
        present = await _present(ctx, named(ctx, "leaving"))
        for node in present.nodes:
            client = client_of(ctx.machinery, present, node)
            await set_limits(client, limits, values, engine)

    await persist(ctx, act)


async def _present(ctx: StepContext, leaving: Sequence[Node]) -> Instance:
    """The instance with the nodes that are there, all running; of those that leave some may be gone already."""
    instance = await with_roles_now(ctx.machinery, ctx.instance)
    left = {node.id for node in leaving} - await running_of(ctx.machinery, leaving)
    instance = replace(instance, nodes=tuple(node for node in instance.nodes if node.id not in left))
    await start_each(replace(ctx, instance=instance), instance.nodes)
    return instance


async def _settle(ctx: StepContext, nodes: Sequence[Node]) -> None:
    """These nodes and no others are the instance: they run, replicas copy, and whoever watches knows them."""
    machinery = ctx.machinery
    instance = await with_roles_now(machinery, replace(ctx.instance, nodes=tuple(nodes)))
    await start_each(replace(ctx, instance=instance), nodes)
    if instance.mode.is_clustered:
        shards = shards_at(machinery, instance)
        await cluster.ensure_only([client for shard in shards for client in shard.nodes], CLUSTER_SECONDS)
        await cluster.form_cluster(shards, CLUSTER_SECONDS)
    elif instance.mode.is_watched:
        await ensure_standby(ctx, instance)
    await save_roles(machinery, ctx.instance, await with_roles_now(machinery, instance))


async def ensure_standby(ctx: StepContext, instance: Instance) -> None:
    """The replicas copy the master, and the Sentinels know these nodes and no others.

    The master has the instance's address, if that moves.
    """
    machinery, master = ctx.machinery, master_of(instance)
    others = [node for node in instance.nodes if node.id != master.id]
    replicas = [client_of(machinery, instance, node) for node in others]
    if instance.mode.has_moving_address:
        await ensure_bound(client_of(machinery, instance, master), master.address, instance.ip)
    for replica in replicas:
        await replication.ensure_replica_of(replica, address_of(master))
    await replication.wait_in_sync(replicas, address_of(master), SYNC_SECONDS)
    known = await machinery.sentinels.find_master(instance.id)
    watched = {one.node for one in await machinery.sentinels.known_replicas(instance.id)} if known else set()
    if known and (known, watched) != (address_of(master), {address_of(node) for node in others}):
        # A Sentinel forgets a replica only with its master, and asks for new ones every ten seconds.
        await ensure_unwatched(machinery, instance)
    await ensure_watched(machinery, instance)
    await machinery.sentinels.wait_ready(instance.id, len(others), WATCH_SECONDS)


async def _drop(ctx: StepContext, gone: Sequence[Node]) -> None:
    """These nodes serve nobody any more, have ended, and whoever watches has forgotten them."""
    staying = [node for node in ctx.instance.nodes if node not in gone]
    if await running_of(ctx.machinery, gone):
        await _save_away(ctx, gone)
        await _relieve(ctx, gone)
        await _take_from_proxies(ctx, staying)
    await remove_each(ctx, gone)
    await _settle(ctx, staying)


async def _take_from_proxies(ctx: StepContext, staying: Sequence[Node]) -> None:
    """No proxy reads from any other node. Roles are theirs to find out."""
    served = tuple(replace(node, active=True) for node in staying)
    active = tuple(proxy for proxy in ctx.instance.proxies if proxy.active)
    await ensure_proxies(ctx.machinery, replace(ctx.instance, nodes=served, proxies=active))


async def _settle_proxies(ctx: StepContext, instance: Instance, gone: str) -> None:
    """The proxies of the instance run and know its nodes, without those that are named as gone."""
    if not instance.mode.has_proxies:
        return
    staying = without(ctx, instance, gone)
    going = [proxy for proxy in instance.proxies if proxy not in staying.proxies]
    async with ctx.machinery.turns.healing_proxies(instance.id):
        await _save_proxies_away(ctx, going)
        # What they are at is answered before their connections end.
        await asyncio.gather(*(ctx.machinery.runtime.stop_node(proxy.id) for proxy in going))
        await remove_proxies(ctx.machinery, going)
    served = tuple(replace(node, active=True) for node in staying.nodes)
    await ensure_proxies(ctx.machinery, replace(staying, nodes=served))


async def _save_proxies_away(ctx: StepContext, going: Iterable[Proxy]) -> None:
    """Nobody starts them again."""
    async with ctx.machinery.database.writing() as tx:
        for proxy in going:
            await proxy_store.save_proxy(tx, replace(proxy, active=False))


async def _save_away(ctx: StepContext, gone: Iterable[Node]) -> None:
    """No domain name answers them from here on."""
    async with ctx.machinery.database.writing() as tx:
        for node in gone:
            await store.save_node(tx, replace(node, active=False))


async def _relieve(ctx: StepContext, gone: Sequence[Node]) -> None:
    """None of the nodes is master of anything. Raises `SlotsInDanger` where nobody is there to take over."""
    machinery = ctx.machinery
    instance = await with_roles_now(machinery, ctx.instance)
    ids = {node.id for node in gone}
    if instance.mode.is_watched and master_of(instance).id in ids:
        # The Sentinels choose whom.
        await switch_master(machinery.sentinels, watched_shard(machinery, instance, replicas_of(instance)))
    elif instance.mode.is_clustered:
        await _switch_owners(ctx, instance, ids)


async def _switch_owners(ctx: StepContext, instance: Instance, gone: set[str]) -> None:
    machinery = ctx.machinery
    view = await cluster.observe_any(client_of(machinery, instance, node) for node in instance.nodes)
    for shard in shards_of(instance):
        owner = view.find_at(address_of(shard.master))
        if shard.master.id not in gone or owner is None or not owner.slots:
            continue
        heirs = [node for node in shard.replicas if node.id not in gone]
        if not heirs:
            raise SlotsInDanger(f"{shard.master.address} owns {owner.slots} and has no replica that stays")
        await promote(machinery, instance, heirs[0])


async def _balance(ctx: StepContext, without: Sequence[Node]) -> None:
    """All shards but those of `without` share all slots evenly."""
    machinery, instance = ctx.machinery, await _present(ctx, without)
    everyone = [client_of(machinery, instance, node) for node in instance.nodes]
    views = await cluster.observe_all(everyone)
    masters = [client for client, view in zip(everyone, views, strict=True) if view.myself.is_master]
    road = _road(ctx)
    # What an earlier attempt left: slots without an owner, where its target was lost, and slots half moved.
    await cluster.ensure_slots(masters)
    await _end_earlier(masters, road)
    view = await cluster.wait_agreed(everyone, CLUSTER_SECONDS, spread=True)
    leaving = {node.shard for node in without}
    targets = [
        found.id
        for shard in shards_of(instance)
        if shard.index not in leaving and (found := view.find_at(address_of(shard.master)))
    ]
    moves = plan_rebalance(view.owners, targets)
    total, moved, keys = sum(len(move.slots) for move in moves), 0, 0

    async def report(progress: Progress) -> None:
        done = moved + progress.slots_moved
        first, last = _MOVING
        await ctx.report(
            first + (last - first) * done // total,
            f"{done} of {total} slots moved, {keys + progress.keys_moved} keys",
        )

    for move in moves:
        outcome = await slot_migration.move_slots(masters, move, road, report)
        moved, keys = moved + outcome.slots_moved, keys + outcome.keys_moved


def _road(ctx: StepContext) -> Road:
    engine = engine_of(ctx.machinery, ctx.instance)
    secrets = open_secrets(ctx.machinery.vault, ctx.instance)
    return Road(atomic=engine.has_atomic_slot_migration, secret=secrets.replica)


async def _end_earlier(masters: Sequence[Client], road: Road) -> None:
    """Nothing is on its way: what an earlier attempt began is called off, or finished where keys have moved."""
    if road.atomic:
        for master in masters:
            await slot_migration.cancel_migrations(master)
        return
    for move in await slot_migration.half_moved(masters):
        await slot_migration.move_slots(masters, move, road)


def with_new_flavor(instance: Instance, job: Job, at: datetime) -> Instance:
    """The instance with the flavor that was asked for, without the nodes and proxies that left."""
    code, capacity = job.params["flavor"]
    resized = replace(advance(instance, Event.CHANGE_DONE, at), spec_code=code, capacity_gb=capacity)
    return _reshaped(resized, job.params["leaving"])


def resize_failed(instance: Instance, job: Job, at: datetime) -> Instance:
    """The instance without the nodes and proxies that were to come."""
    return _reshaped(advance(instance, Event.CHANGE_FAILED, at), job.params["joining"])


def _reshaped(instance: Instance, gone: Sequence[str]) -> Instance:
    nodes = tuple(node for node in instance.nodes if node.id not in gone)
    proxies = tuple(replace(proxy, active=True) for proxy in instance.proxies if proxy.id not in gone)
    zones = tuple(dict.fromkeys((*instance.az_codes, *(node.zone for node in nodes))))
    own = [node.address for node in nodes]
    ip = instance_address(instance.mode, own) if instance.mode is Mode.CLUSTER else instance.ip
    return replace(instance, nodes=nodes, proxies=proxies, az_codes=zones, ip=ip)


def _resize(name: str, steps: tuple[Step, ...], task: str = "EXTEND") -> Workflow:
    return Workflow(
        name,
        job_type="resizeInstanceJob",
        steps=(*steps, PROXIES, Step(verify)),
        succeed=with_new_flavor,
        fail=resize_failed,
        task=task,
    )


PROXIES = Step(set_new_proxies, undo=set_old_proxies)
START = Step(start_joining, undo=remove_joining)
_DROP = Step(drop_leaving, undo=join_nodes)
_WIDEN = Step(widen_limits, undo=set_old_limits)
LIMIT = Step(set_new_limits, undo=set_old_limits)

CHANGE_CAPACITY = _resize("change-capacity", (LIMIT,))
ADD_REPLICAS = _resize("add-replicas", (START, Step(join_nodes), LIMIT), task="AddReplica")
REMOVE_REPLICAS = _resize("remove-replicas", (_DROP, LIMIT), task="DelReplica")
ADD_SHARDS = _resize(
    "add-shards",
    (START, Step(join_nodes), Step(bring_functions_along), _WIDEN, Step(spread_slots, undo=gather_slots), LIMIT),
)
REMOVE_SHARDS = _resize("remove-shards", (_WIDEN, Step(spread_slots, undo=gather_slots), _DROP, LIMIT))
