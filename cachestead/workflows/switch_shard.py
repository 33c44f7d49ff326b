"""Let a replica of a cluster's shard take its living master's place, without losing a write.

Before: the instance is RUNNING with the task `SwapMaster`; the job says which node is to be master. After: it is,
by the view of most masters, and the record says so. If it fails: the shard has one master, mostly the old one.
"""

from __future__ import annotations

from cachestead.domain.instances import Instance, Node
from cachestead.domain.shards import shards_of
from cachestead.engine.cluster_failover import switch_over
from cachestead.workflows.machinery import Machinery, client_of, shards_at
from cachestead.workflows.roles import save_roles, with_roles_now
from cachestead.workflows.steps import verify
from cachestead.workflows.workflow import Step, StepContext, Workflow, change_done, change_failed

SWITCH_SECONDS = 30.0
"""Masters vote on one shard once in twice the node timeout, and who was not elected waits four times that long."""


async def promote(machinery: Machinery, instance: Instance, heir: Node) -> None:
    """The node is master of its shard; one that is already is left alone. `instance` has the roles of now."""
    reached = dict(zip(shards_of(instance), shards_at(machinery, instance), strict=True))
    for shard, clients in reached.items():
        if shard.index == heir.shard and shard.master.id != heir.id:
            voters = [other.master for other in reached.values() if other is not clients]
            await switch_over(clients, client_of(machinery, instance, heir), voters, SWITCH_SECONDS)


async def switch(ctx: StepContext) -> None:
    """The chosen node is master."""
    instance = await with_roles_now(ctx.machinery, ctx.instance)
    heir = next(node for node in instance.nodes if node.id == ctx.job.params["node"])
    await promote(ctx.machinery, instance, heir)


async def record_roles(ctx: StepContext) -> None:
    """The record has the roles that the cluster has."""
    await save_roles(ctx.machinery, ctx.instance, await with_roles_now(ctx.machinery, ctx.instance))


SWITCH_SHARD = Workflow(
    "switch-shard",
    job_type="masterStandbySwapJob",
    steps=(Step(switch, undo=record_roles), Step(record_roles), Step(verify)),
    succeed=change_done,
    fail=change_failed,
    task="masterStandbySwapJob",
    lock="SwapMaster",
)
