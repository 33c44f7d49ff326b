"""Backing instances up, putting them back, and what becomes of the files. Reference: section 4.5.

The files are made and read by workflows. Whoever begins to use a backup's files and whoever begins to remove them
lock its record first, so that neither happens to the other.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from cachestead import errors
from cachestead.domain.backups import (
    MOST_LINKS,
    Backup,
    BackupStatus,
    BackupType,
    Restore,
    RestoreStatus,
    backup_name,
    check_expiration,
    check_remark,
    choose_format,
    restore_name,
)
from cachestead.domain.instances import Event, Instance, Mode
from cachestead.domain.schedules import Plan
from cachestead.identity.callers import Caller
from cachestead.objects.errors import ObjectsError
from cachestead.operations.changes import Change, change
from cachestead.operations.service import Service
from cachestead.store import backups as store
from cachestead.store import instances as instance_store
from cachestead.store import migration_tasks as task_store
from cachestead.store.database import Tx
from cachestead.workflows.back_up_instance import BACK_UP_INSTANCE
from cachestead.workflows.leaving_backups import finish_leaving
from cachestead.workflows.restore_instance import RESTORE_INSTANCE


async def back_up(
    service: Service, caller: Caller, instance_id: str, remark: str, wanted_format: str | None
) -> Backup:
    """A backup is on its way.

    Raises `RemarkTooLong`, `BackupNotSupported` for a single-node instance, or the code of what else is running.
    """
    check_remark(remark)
    async with service.database.writing() as tx:
        instance = await instance_store.lock_instance(tx, caller.project, instance_id)
        check_has_backups(instance)
        backup = await begin(tx, service, caller, instance, new_backup(service, instance, wanted_format, remark))
    service.worker.nudge()
    return backup


def check_has_backups(instance: Instance) -> None:
    """The instance can be backed up; raises `BackupNotSupported`."""
    if instance.mode is Mode.SINGLE:
        raise errors.BackupNotSupported(f"instance {instance.id} has a single node")


def new_backup(
    service: Service, instance: Instance, wanted_format: str | None, remark: str = "", plan: Plan | None = None
) -> Backup:
    """A backup of the instance as it is now, not yet begun: by hand, or by its plan."""
    now = service.now()
    return Backup(
        id=str(uuid.uuid4()),
        instance_id=instance.id,
        project_id=instance.project_id,
        name=backup_name(now),
        type=BackupType.AUTO if plan else BackupType.MANUAL,
        format=choose_format(wanted_format, instance.engine_version),
        status=BackupStatus.WAITING,
        created_at=now,
        updated_at=now,
        remark=remark,
        period=plan.period if plan else None,
        mode=instance.mode,
        engine_version=instance.engine_version,
        binary=instance.binary,
        save_days=plan.save_days if plan else None,
    )


async def begin(tx: Tx, service: Service, caller: Caller, instance: Instance, backup: Backup) -> Backup:
    """Save the backup with the job that makes it; raises the code of what else is running, and saves nothing."""
    wanted = Change(BACK_UP_INSTANCE, Event.CHANGE_ASKED, {"backup_id": backup.id})
    await change(tx, service, caller, instance, wanted)
    await store.add_backup(tx, backup)
    return backup


async def delete_backup(service: Service, caller: Caller, instance_id: str, backup_id: str) -> None:
    """The backup's files are gone, and its record says so.

    Raises `BackupGone`, the code of what uses it, or `BackupNotDeleted` where the object store does not answer:
    the removal has begun then, and is finished later.
    """
    async with service.database.writing() as tx:
        backup = await _lock_backup(tx, caller, instance_id, backup_id)
        if backup is None or backup.status is BackupStatus.DELETED:
            raise errors.BackupGone(f"backup {backup_id[:64]} is gone")
        busy = await use_of(tx, backup)
        if busy is not None:
            raise busy
        await store.mark_leaving(tx, backup.id, BackupStatus.DELETED)
    try:
        await finish_leaving(service.machinery, backup)
    except ObjectsError as failure:
        raise errors.BackupNotDeleted(f"backup {backup.id}: {failure}") from failure


async def use_of(tx: Tx, backup: Backup) -> errors.ServiceError | None:
    """The error for removing a backup whose files somebody writes or reads; None if nobody does."""
    if backup.is_under_way:
        return errors.BackupRunning(f"backup {backup.id} is {backup.status}")
    if await store.is_restored(tx, backup.id):
        return errors.RestoreRunning(f"instance {backup.instance_id} is restored from backup {backup.id}")
    if await task_store.is_imported(tx, backup.id):
        return errors.JobStillRunning(f"a migration task imports backup {backup.id}")
    return None


@dataclass(frozen=True)
class Links:
    """Where a backup's files are for whoever has no account, and in which bucket and folder they lie."""

    bucket: str
    folder: str
    links: Sequence[tuple[str, str]]
    """Name of each file with its URL."""


async def link_files(service: Service, caller: Caller, instance_id: str, backup_id: str, seconds: int) -> Links:
    """URLs of the backup's files, good for so many seconds; raises `BackupNotUsable` unless it succeeded."""
    check_expiration(seconds)
    async with service.database.reading() as tx:
        await instance_store.get_instance(tx, caller.project, instance_id)
        backup = check_usable(await store.find_backup(tx, caller.project, instance_id, backup_id), backup_id)
    try:
        links = [
            (file.name, await service.objects.link(backup.folder + file.name, seconds, service.now()))
            for file in backup.files[:MOST_LINKS]
        ]
    except ObjectsError as failure:
        raise errors.InternalError(f"backup {backup_id}: {failure}") from failure
    return Links(service.objects.bucket, backup.folder, links)


def check_usable(backup: Backup | None, backup_id: str) -> Backup:
    """The backup, which is there and has succeeded. Raises `InvalidParameter`, `BackupNotUsable`."""
    if backup is None:
        raise errors.InvalidParameter(f"backup_id: no backup {backup_id[:64]}", name="backup_id")
    if not backup.is_usable:
        state = f"{backup.status}, its files are being removed" if backup.leaves_as else backup.status
        raise errors.BackupNotUsable(f"backup_id: {backup.id} is {state}")
    return backup


async def restore(service: Service, caller: Caller, instance_id: str, backup_id: str, remark: str) -> Restore:
    """The instance is on its way back to what it was when the backup was made.

    Raises `RemarkTooLong`, `BackupNotSupported`, `BackupNotUsable`, `InvalidParameter` for a backup that is not
    the instance's, or the code of what else is running.
    """
    check_remark(remark)
    async with service.database.writing() as tx:
        instance = await instance_store.lock_instance(tx, caller.project, instance_id)
        check_has_backups(instance)
        backup = check_usable(await _lock_backup(tx, caller, instance_id, backup_id), backup_id)
        now = service.now()
        made = Restore(
            id=str(uuid.uuid4()),
            instance_id=instance.id,
            project_id=instance.project_id,
            backup_id=backup.id,
            name=restore_name(now),
            status=RestoreStatus.WAITING,
            created_at=now,
            updated_at=now,
            remark=remark,
            backup_name=backup.name,
            backup_remark=backup.remark,
        )
        await change(
            tx, service, caller, instance, Change(RESTORE_INSTANCE, Event.RESTORE_ASKED, {"restore_id": made.id})
        )
        await store.add_restore(tx, made)
    service.worker.nudge()
    return made


async def _lock_backup(tx: Tx, caller: Caller, instance_id: str, backup_id: str) -> Backup | None:
    """A backup of the caller's instance, which must be there."""
    await instance_store.get_instance(tx, caller.project, instance_id)
    found = await store.lock_backup(tx, caller.project, backup_id)
    return found if found and found.instance_id == instance_id else None
