"""Clear an instance's data.

Before: the record is FLUSHING. After: no database of the master has a key, and the replicas follow. If it fails:
RUNNING again, with the job telling why.
"""

from __future__ import annotations

from datetime import datetime

from cachestead.domain.instances import Event, Instance, advance
from cachestead.domain.jobs import Job
from cachestead.engine import live
from cachestead.workflows.machinery import client_of, master_of
from cachestead.workflows.workflow import Step, StepContext, Workflow


async def flush_master(ctx: StepContext) -> None:
    """The master holds no keys."""
    await live.flush(client_of(ctx.machinery, ctx.instance, master_of(ctx.instance)))


def _succeed(instance: Instance, _job: Job, at: datetime) -> Instance:
    return advance(instance, Event.CHANGE_DONE, at)


def _fail(instance: Instance, _reason: str, at: datetime) -> Instance:
    return advance(instance, Event.CHANGE_FAILED, at)


FLUSH_INSTANCE = Workflow(
    "flush-instance",
    job_type="flushInstanceJob",
    steps=(Step(flush_master),),
    succeed=_succeed,
    fail=_fail,
    task="FlushInstance",
)
