"""What happens to backups without anybody asking: made by plan, removed when their time is up, dropped at last.

Every function looks at the records again before it changes them, so it may be called as often as one likes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from cachestead import errors
from cachestead.domain.backups import Backup, BackupStatus, TaskError, superfluous
from cachestead.domain.instances import Instance, State
from cachestead.domain.roles import Permissions
from cachestead.domain.schedules import LONGEST_PAUSE, Plan, is_due, plan_of
from cachestead.identity.callers import Caller
from cachestead.operations.backups import begin, new_backup, use_of
from cachestead.operations.service import Service
from cachestead.store import backups as store
from cachestead.store import instances as instance_store
from cachestead.workflows.leaving_backups import remove_files

_PLANNED = (State.RUNNING, State.RESTARTING, State.FLUSHING, State.EXTENDING, State.RESTORING, State.ERROR)
"""States of instances whose plans are in force, though not in each of them a backup can begin."""


async def list_due(service: Service) -> list[str]:
    """Ids of the instances that are to be backed up now."""
    now = service.now()
    async with service.database.reading() as tx:
        planned = await instance_store.list_any_planned(tx, _PLANNED)
        runs: dict[str, list[Backup]] = {}
        for run in await store.list_any_runs(tx, now - LONGEST_PAUSE) if planned else ():
            runs.setdefault(run.instance_id, []).append(run)
    plans = {one.id: _plan(one) for one in planned}
    return [one for one, plan in plans.items() if plan and is_due(plan, runs.get(one, ()), now)]


async def back_up_by_plan(service: Service, instance_id: str) -> Backup | None:
    """The backup that is due, on its way; failed, where the instance is busy; None, where none is due any more."""
    async with service.database.writing() as tx:
        instance = await instance_store.lock_any_instance(tx, instance_id)
        plan = _plan(instance)
        now = service.now()
        runs = await store.list_any_runs(tx, now - LONGEST_PAUSE, instance_id)
        if instance.state not in _PLANNED or plan is None or not is_due(plan, runs, now):
            return None
        backup = new_backup(service, instance, None, plan=plan)
        try:
            await begin(tx, service, _owner(instance), instance, backup)
        except errors.ServiceError as busy:
            failed = replace(backup, status=BackupStatus.FAILED, error=TaskError.INSTANCE_BUSY, reason=str(busy))
            await store.add_backup(tx, failed)
            return failed
    service.worker.nudge()
    return backup


def _plan(instance: Instance) -> Plan | None:
    return plan_of(instance.backup_policy, instance.backup_policy_updated_at)


def _owner(instance: Instance) -> Caller:
    """Who ordered the instance also ordered its plan."""
    return Caller(instance.user_id, instance.user_name, "", "", instance.project_id, None, Permissions())


async def expire(service: Service) -> None:
    """Backups whose time is up, or that are too many, are leaving; those that somebody reads wait."""
    async with service.database.reading() as tx:
        instances = await store.list_any_with_backups(tx)
    for instance_id in instances:
        async with service.database.reading() as tx:
            over = superfluous(await store.list_any_backups_of(tx, instance_id), service.now())
        if over:
            await _expire(service, instance_id)


async def _expire(service: Service, instance_id: str) -> None:
    async with service.database.writing() as tx:
        await instance_store.lock_any_instance(tx, instance_id)
        over = superfluous(await store.list_any_backups_of(tx, instance_id), service.now())
        for backup in over:
            now = await store.lock_backup(tx, backup.project_id, backup.id)
            if now is not None and now.is_usable and await use_of(tx, now) is None:
                await store.mark_leaving(tx, now.id, BackupStatus.EXPIRED)


async def list_leaving(service: Service) -> list[Backup]:
    """Backups whose removal has begun and has not come to its end; not those that somebody still reads."""
    async with service.database.reading() as tx:
        return [one for one in await store.list_any_leaving(tx) if await use_of(tx, one) is None]


async def list_old(service: Service, keep: timedelta) -> Sequence[Backup]:
    """Backups that have had no files for so long that nobody will ask for their records."""
    # Runs by plan say that an opening is done with: as long as that matters they stay.
    async with service.database.reading() as tx:
        return await store.list_any_over_before(tx, service.now() - max(keep, LONGEST_PAUSE))


async def drop_record(service: Service, backup: Backup) -> None:
    """The backup is on record no more, nor is a file that a failure may have left. Raises `ObjectsError`."""
    await remove_files(service.machinery, backup)
    async with service.database.writing() as tx:
        await store.remove_backups(tx, [backup.id])
