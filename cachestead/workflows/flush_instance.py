"""Clear an instance's data.

Before: the record is FLUSHING. After: no database of the master has a key, and the replicas follow. If it fails:
RUNNING again, with the job telling why.
"""

from __future__ import annotations

from cachestead.engine import live
from cachestead.workflows.machinery import client_of, master_of
from cachestead.workflows.workflow import Step, StepContext, Workflow, change_done, change_failed


async def flush_master(ctx: StepContext) -> None:
    """The master holds no keys."""
    await live.flush(client_of(ctx.machinery, ctx.instance, master_of(ctx.instance)))


FLUSH_INSTANCE = Workflow(
    "flush-instance",
    job_type="flushInstanceJob",
    steps=(Step(flush_master),),
    succeed=change_done,
    fail=change_failed,
    task="FlushInstance",
)
