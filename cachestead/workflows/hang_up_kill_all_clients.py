"""End every session of some nodes.

Before: the instance runs. After: each session that was there during the job is over; clients may have come again.
If it fails: a node did not answer; those of the others are over all the same. The instance itself is not touched,
and the service's own connections, replication among them, go on.
"""

from __future__ import annotations

import asyncio

from cachestead.domain.sessions import Place, find_place
from cachestead.engine import sessions
from cachestead.workflows.sessions import client_at
from cachestead.workflows.workflow import Step, StepContext, Workflow


async def end_sessions(ctx: StepContext) -> None:
    """No session that was there is left."""

    async def end(place: Place) -> None:
        client = client_at(ctx.machinery, ctx.instance, place)
        await sessions.end_sessions(client, [one.id for one in await sessions.list_sessions(client)])

    places = [find_place(ctx.instance, node) for node in ctx.job.params["nodes"]]
    outcomes = await asyncio.gather(*(end(place) for place in places), return_exceptions=True)
    for outcome in outcomes:
        if outcome is not None:
            raise outcome


HANG_UP_KILL_ALL_CLIENTS = Workflow(
    "hang-up-kill-all-clients",
    job_type="killAllClientsJob",
    steps=(Step(end_sessions),),
    task="KillAllClients",
)
