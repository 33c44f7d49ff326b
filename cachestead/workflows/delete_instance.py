"""Remove an instance.

Before: the record is DELETING. After: no process, folder, address, Sentinel entry or backup is left, and the
record is DELETED. A failure is tried again by the stuck-work reconciler: there is no way back for a deletion. Only
backups that cannot go yet, as the object store is away or somebody imports them, hold nothing up: they go later.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import structlog

from cachestead.domain.backups import BackupStatus
from cachestead.domain.instances import Event, Instance, advance
from cachestead.domain.jobs import Job
from cachestead.objects.errors import ObjectsError
from cachestead.store import backups as store
from cachestead.store.migration_tasks import is_imported
from cachestead.workflows.leaving_backups import remove_files
from cachestead.workflows.steps import release_records, remove_nodes, unwatch_instance
from cachestead.workflows.workflow import Step, StepContext, Workflow

log = structlog.get_logger()


async def remove_backups(ctx: StepContext) -> None:
    """The instance has no backups any more, or their removal has begun."""
    async with ctx.machinery.database.writing() as tx:
        backups = await store.list_any_backups_of(tx, ctx.instance.id)
        for backup in backups:
            await store.mark_leaving(tx, backup.id, BackupStatus.DELETED)
        idle = [backup for backup in backups if not await is_imported(tx, backup.id)]
    try:
        for backup in idle:
            await remove_files(ctx.machinery, backup)
    except ObjectsError as failure:
        log.warning("backups stay for a while", instance=ctx.instance.id, reason=str(failure))
        return
    async with ctx.machinery.database.writing() as tx:
        await store.remove_backups(tx, [backup.id for backup in idle])


def _succeed(instance: Instance, _job: Job, at: datetime) -> Instance:
    # What was secret is not kept for an instance that is gone.
    return replace(advance(instance, Event.DELETED, at), secrets="", nodes=(), proxies=())


def _fail(instance: Instance, job: Job, at: datetime) -> Instance:
    return replace(instance, fail_reason=job.fail_reason, updated_at=at)


DELETE_INSTANCE = Workflow(
    "delete-instance",
    job_type="deleteInstanceJob",
    steps=(Step(unwatch_instance), Step(remove_nodes), Step(remove_backups), Step(release_records)),
    succeed=_succeed,
    fail=_fail,
)
