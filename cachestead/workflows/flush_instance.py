"""Clear an instance's data.

Before: the record is FLUSHING. After: no database of any master has a key, and the replicas follow. If it fails:
RUNNING again, with the job telling why.
"""

from __future__ import annotations

import asyncio

from cachestead.engine import live
from cachestead.workflows.machinery import masters_now
from cachestead.workflows.workflow import Step, StepContext, Workflow, change_done, change_failed


async def flush_masters(ctx: StepContext) -> None:
    """No master holds a key."""
    masters = await masters_now(ctx.machinery, ctx.instance)
    await asyncio.gather(*(live.flush(master) for master in masters))


FLUSH_INSTANCE = Workflow(
    "flush-instance",
    job_type="flushInstanceJob",
    steps=(Step(flush_masters),),
    succeed=change_done,
    fail=change_failed,
    task="FlushInstance",
)
