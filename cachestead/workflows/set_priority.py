"""Give a replica another place in the order of promotion.

Before: the instance is RUNNING with the task `SlavePriority`. After: the node has the priority, now and at its
next start, and the next failover goes by it. If it fails: the node and the record have the priority from before.
"""

from __future__ import annotations

from cachestead.domain.instances import Node
from cachestead.engine import cluster, live
from cachestead.store import instances as store
from cachestead.workflows.machinery import address_of, client_of
from cachestead.workflows.workflow import Step, StepContext, Workflow, change_done, change_failed

SENTINEL_SECONDS = 12.0
"""A Sentinel that cannot be hurried asks a node every ten seconds."""


async def set_on_node(ctx: StepContext) -> None:
    """The running node has the new priority."""
    await _set(ctx, int(ctx.job.params["priority"]))


async def set_back_on_node(ctx: StepContext) -> None:
    """The running node has the priority that it had before."""
    await _set(ctx, int(ctx.job.params["before"]))


async def _set(ctx: StepContext, priority: int) -> None:
    client = client_of(ctx.machinery, ctx.instance, _node(ctx))
    # SLAVE-PRIORITY: every engine knows it, REPLICA-PRIORITY only since 5.0.
    await live.set_directives(client, {"slave-priority": str(priority)})
    if ctx.instance.mode.is_clustered:
        await cluster.set_promotable(client, promotable=priority > 0)


async def save_priority(ctx: StepContext) -> None:
    """The record has the new priority: from here on a restart starts with it."""
    await _save(ctx, int(ctx.job.params["priority"]))


async def save_old_priority(ctx: StepContext) -> None:
    """The record has the priority that it had before."""
    await _save(ctx, int(ctx.job.params["before"]))


async def _save(ctx: StepContext, priority: int) -> None:
    async with ctx.machinery.database.writing() as tx:
        await store.save_priority(tx, _node(ctx).id, priority)


async def tell_sentinels(ctx: StepContext) -> None:
    """The Sentinels know the priority."""
    if ctx.instance.mode.is_watched:
        sentinels, name = ctx.machinery.sentinels, ctx.instance.id
        # At the end of a failover a Sentinel forgets what it knew of the replicas.
        await sentinels.wait_calm(name, SENTINEL_SECONDS)
        node, priority = address_of(_node(ctx)), int(ctx.job.params["priority"])
        async with sentinels.hurried():
            await sentinels.wait_priority(name, node, priority, SENTINEL_SECONDS)


def _node(ctx: StepContext) -> Node:
    return next(node for node in ctx.instance.nodes if node.id == ctx.job.params["node"])


SET_PRIORITY = Workflow(
    "set-priority",
    job_type="modifySlavePriorityJob",
    steps=(
        Step(set_on_node, undo=set_back_on_node),
        Step(save_priority, undo=save_old_priority),
        Step(tell_sentinels),
    ),
    succeed=change_done,
    fail=change_failed,
    lock="SlavePriority",
)
