"""Let a standby node take its living master's place, without losing a write.

Before: the instance is RUNNING with the task `SwapMaster`; the job says who was master when it was accepted.
After: another node is master and has the instance's address (unless proxies have it), the others follow it, and
the Sentinels agree. If it fails: one node is master and has the address, mostly the old one, and the record says
which. A run that finds another master than the accepted one has nothing to switch, so it never switches back.
"""

from __future__ import annotations

from dataclasses import replace

import structlog

from cachestead.domain.instances import Node, Role
from cachestead.domain.shards import master_of, replicas_of
from cachestead.engine import replication
from cachestead.engine.endpoint import ensure_bound, ensure_unbound
from cachestead.engine.errors import EngineError, FailoverFailed
from cachestead.engine.switchover import switch_master
from cachestead.engine.watched import WatchedShard
from cachestead.store import instances as store
from cachestead.store import jobs as job_store
from cachestead.workflows.machinery import address_of, client_of, running_of, sightings_now, watched_shard
from cachestead.workflows.roles import find_master
from cachestead.workflows.steps import verify
from cachestead.workflows.workflow import Step, StepContext, Workflow, change_done, change_failed

log = structlog.get_logger()

FOLLOW_SECONDS = 10.0
AGREE_SECONDS = 10.0


async def switch(ctx: StepContext) -> None:
    """A standby node is master and has the instance's address."""
    if await find_master(ctx.machinery, ctx.instance) != ctx.job.params["master"]:
        return
    shard = await _shard(ctx)
    # One that is still at an earlier failover would not begin another.
    await _wait_ready(ctx, len(shard.replicas))
    switched = await switch_master(ctx.machinery.sentinels, shard)
    log.info(
        "master switched",
        instance=ctx.instance.id,
        master=str(switched.winner),
        held_seconds=round(switched.held_seconds, 3),
        refused_seconds=round(switched.refused_seconds, 3),
    )


async def settle(ctx: StepContext) -> None:
    """Who is master now has the address, is on record as master, and the Sentinels are done and agree."""
    master = await find_master(ctx.machinery, ctx.instance)
    node = next(node for node in ctx.instance.nodes if node.id == master)
    if ctx.instance.mode.has_moving_address:
        await _move_address(ctx, node)
    async with ctx.machinery.database.writing() as tx:
        for one in ctx.instance.nodes:
            role = Role.MASTER if one.id == master else Role.REPLICA
            if one.role is not role:
                await store.save_node(tx, replace(one, role=role))
        if master != ctx.job.params["master"]:
            await job_store.save_details(tx, ctx.job.id, ctx.job.details | {"target_ip": node.address})
    await _await_agreement(ctx, node)


async def _move_address(ctx: StepContext, master: Node) -> None:
    for other in await _awake(ctx):
        if other.id != master.id:
            # The old master still has it if we died while it was being replaced.
            await ensure_unbound(client_of(ctx.machinery, ctx.instance, other), other.address)
    await ensure_bound(client_of(ctx.machinery, ctx.instance, master), master.address, ctx.instance.ip)


async def _await_agreement(ctx: StepContext, master: Node) -> None:
    """So that the next switch or failover may come right after."""
    standing = [node for node in await _awake(ctx) if node.id != master.id]
    try:
        await _wait_ready(ctx, len(standing))
    except EngineError as late:
        # One that is away hears it from the others when it is back; the switch is done all the same.
        log.warning("not all Sentinels are ready again", instance=ctx.instance.id, reason=str(late))


async def _wait_ready(ctx: StepContext, replicas: int) -> None:
    sentinels, name = ctx.machinery.sentinels, ctx.instance.id
    await sentinels.wait_calm(name, AGREE_SECONDS)
    async with sentinels.hurried():
        await sentinels.wait_ready(name, replicas, AGREE_SECONDS)


async def follow(ctx: StepContext) -> None:
    """Every running node has the master's data and follows it."""
    master, awake = address_of(master_of(ctx.instance)), await _awake(ctx)
    standing = [node for node in replicas_of(ctx.instance) if node in awake]
    clients = [client_of(ctx.machinery, ctx.instance, node) for node in standing]
    for client in clients:
        await replication.ensure_replica_of(client, master)
    await replication.wait_in_sync(clients, master, FOLLOW_SECONDS)


async def _shard(ctx: StepContext) -> WatchedShard:
    """The shard as it may be switched: replicas that do not run are nobody's candidates and not waited for.

    A frozen one is: if it woke up it could be promoted with less than it should have.
    """
    running = await running_of(ctx.machinery, ctx.instance.nodes)
    if frozen := running - {node.id for node in await _awake(ctx)}:
        raise FailoverFailed(f"{len(frozen)} nodes are frozen")
    present = [node for node in replicas_of(ctx.instance) if node.id in running]
    if not any(node.priority for node in present):
        raise FailoverFailed(f"none of {len(present)} running replicas may be promoted")
    return watched_shard(ctx.machinery, ctx.instance, present)


async def _awake(ctx: StepContext) -> list[Node]:
    """The instance's nodes that run and are not frozen."""
    seen = await sightings_now(ctx.machinery)
    return [
        node
        for node in ctx.instance.nodes
        if (sighting := seen.get(node.id)) and sighting.running and not sighting.frozen
    ]


SWITCH_MASTER = Workflow(
    "switch-master",
    job_type="masterStandbySwapJob",
    steps=(Step(switch, undo=settle), Step(settle), Step(follow), Step(verify)),
    succeed=change_done,
    fail=change_failed,
    task="masterStandbySwapJob",
    lock="SwapMaster",
)
