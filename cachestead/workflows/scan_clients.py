"""List the sessions of a node.

Before: nothing is asked of the instance but that it runs. After: the node's list on record is what it said during
the job. If it fails: the list that was there before stays. The instance itself is not touched.
"""

from __future__ import annotations

from cachestead.domain.sessions import MOST_LISTED, find_place
from cachestead.engine.sessions import list_sessions
from cachestead.store import sessions as store
from cachestead.workflows.sessions import client_at
from cachestead.workflows.workflow import Step, StepContext, Workflow


async def save_sessions(ctx: StepContext) -> None:
    """The node's sessions are on record, the oldest ones where there are more than a list holds."""
    [node] = ctx.job.params["nodes"]
    found = await list_sessions(client_at(ctx.machinery, ctx.instance, find_place(ctx.instance, node)))
    made = store.SessionList(node, ctx.instance.id, ctx.job.id, ctx.machinery.now())
    async with ctx.machinery.database.writing() as tx:
        await store.save_list(tx, made, found[:MOST_LISTED])


SCAN_CLIENTS = Workflow("scan-clients", job_type="scanClientsJob", steps=(Step(save_sessions),))
