"""Migration tasks: bringing the data of backup files into an instance. Reference: sections 4.6.1 to 4.6.7."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cachestead import errors
from cachestead.domain.instances import Event, Instance, Mode
from cachestead.domain.migration_tasks import (
    Endpoint,
    FileSource,
    ImportedFile,
    ImportOrder,
    MigrationMethod,
    MigrationStatus,
    MigrationTask,
    MigrationType,
    check_import,
    check_task_ids,
)
from cachestead.engine.errors import EngineError
from cachestead.engine.info import observe_node
from cachestead.identity.callers import Caller
from cachestead.objects.errors import ObjectMissing, ObjectsError
from cachestead.operations.backups import check_usable
from cachestead.operations.changes import Change, change
from cachestead.operations.objects import importable
from cachestead.operations.passwords import verify_password
from cachestead.operations.service import Service
from cachestead.store import backups as backup_store
from cachestead.store import instances as instance_store
from cachestead.store import migration_tasks as store
from cachestead.store.database import Tx
from cachestead.workflows.import_backup import IMPORT_BACKUP
from cachestead.workflows.machinery import masters_now

_TOO_OLD = "3.0"


@dataclass(frozen=True)
class Ends:
    """A task with the instances at its ends as they are now; None where there is none, or not any more."""

    task: MigrationTask
    source: Instance | None
    target: Instance | None


@dataclass(frozen=True)
class Progress:
    """How far a task is, and how its target is doing; None of what nobody can say now."""

    task: MigrationTask
    target_keys: int | None = None
    input_kbps: float | None = None
    ops_per_second: int | None = None


async def create_import(service: Service, caller: Caller, order: ImportOrder) -> MigrationTask:
    """Files are on their way into the target; what it has stays, and equal keys are theirs.

    Raises the code of the first field that is wrong, `BackupNotUsable`, or the code of what else is running.
    """
    check_import(order)
    target = order.target
    if target.password is not None:
        await verify_password(service, caller, target.instance_id, target.password)
    task = _new_task(service, caller, order)
    if order.source != FileSource.BACKUP:
        task = replace(task, bucket=order.bucket, files=await _find_files(service, caller, order))
    async with service.database.writing() as tx:
        instance = await instance_store.lock_instance(tx, caller.project, target.instance_id)
        if instance.engine_version == _TOO_OLD:
            raise errors.EngineVersionNotSupported(f"instance {instance.id} is of {instance.engine_version}")
        task = replace(task, target=endpoint_of(instance))
        if order.source == FileSource.BACKUP:
            task = await _with_backup(tx, caller, task, order.backup_id or "")
        await change(
            tx,
            service,
            caller,
            instance,
            Change(IMPORT_BACKUP, Event.CHANGE_ASKED, {"migration_task_id": task.id}),
        )
        await store.add_task(tx, task)
    service.worker.nudge()
    return task


def _new_task(service: Service, caller: Caller, order: ImportOrder) -> MigrationTask:
    now = service.now()
    return MigrationTask(
        id=uuid.uuid4().hex,
        project_id=caller.project,
        name=order.name,
        type=MigrationType.IMPORT,
        method=MigrationMethod.FULL,
        status=MigrationStatus.MIGRATING,
        target=Endpoint(order.target.instance_id),
        created_at=now,
        updated_at=now,
        description=order.description,
    )


async def _find_files(service: Service, caller: Caller, order: ImportOrder) -> tuple[ImportedFile, ...]:
    """The files with their places, each of which is there."""
    return tuple([await _find_file(service, caller, order.bucket or "", file) for file in order.files])


async def _find_file(service: Service, caller: Caller, bucket: str, file: ImportedFile) -> ImportedFile:
    try:
        place, key = importable(service.objects.settings, bucket, file.name, caller.project)
        await service.objects.size(key, place)
    except ObjectMissing:
        raise errors.InvalidParameter(
            f"file_name: no file {file.name[:64]!r} in bucket {bucket[:64]!r}", name="file_name"
        ) from None
    except ObjectsError as failure:
        raise errors.InternalError(f"file_name: {file.name[:64]!r}: {failure}") from failure
    return replace(file, key=key)


def endpoint_of(instance: Instance) -> Endpoint:
    """The instance as an end of a task, by the addresses at which clients find it now."""
    addresses = instance.ip.split(",") if instance.mode is Mode.CLUSTER else [instance.ip]
    return Endpoint(instance.id, instance.name, ",".join(f"{one}:{instance.port}" for one in addresses))


async def _with_backup(tx: Tx, caller: Caller, task: MigrationTask, backup_id: str) -> MigrationTask:
    """The task with a usable backup of the project, and its instance as the source."""
    backup = check_usable(await backup_store.lock_backup(tx, caller.project, backup_id), backup_id)
    counted = [file.keys for file in backup.files if file.keys is not None]
    source = await instance_store.get_instance(tx, caller.project, backup.instance_id)
    return replace(
        task,
        backup_id=backup.id,
        source=endpoint_of(source),
        source_keys=sum(counted) if len(counted) == len(backup.files) else None,
    )


async def get_task(service: Service, caller: Caller, task_id: str) -> Ends:
    """A task of the project; raises `JobNotFound`."""
    async with service.database.reading() as tx:
        [found] = await _with_ends(tx, [await _find(tx, caller, task_id)])
    return found


async def list_tasks(
    service: Service, caller: Caller, name: str | None, *, offset: int, limit: int
) -> tuple[int, list[Ends]]:
    """How many of the project's tasks have this in their name, and the page asked for, newest first."""
    async with service.database.reading() as tx:
        count, tasks = await store.list_tasks(tx, caller.project, name, offset=offset, limit=limit)
        return count, await _with_ends(tx, tasks)


async def _find(tx: Tx, caller: Caller, task_id: str) -> MigrationTask:
    found = await store.find_task(tx, caller.project, task_id)
    if found is None:
        raise errors.JobNotFound(f"migration task {task_id[:64]}")
    return found


async def _with_ends(tx: Tx, tasks: Sequence[MigrationTask]) -> list[Ends]:
    ids = {end.instance_id for task in tasks for end in (task.source, task.target) if end and end.instance_id}
    known = await instance_store.find_any_living(tx, ids)

    def instance_at(end: Endpoint | None) -> Instance | None:
        return known.get(end.instance_id or "") if end else None

    return [Ends(task, instance_at(task.source), instance_at(task.target)) for task in tasks]


async def get_progress(service: Service, caller: Caller, task_id: str) -> Progress:
    """How far a task is, with what the target's masters say of themselves now; raises `JobNotFound`."""
    async with service.database.reading() as tx:
        task = await _find(tx, caller, task_id)
        target = await instance_store.find_any_instance(tx, task.target_instance_id)
    if target is None or not target.nodes:
        return Progress(task)
    try:
        facts = [await observe_node(client) for client in await masters_now(service.machinery, target)]
    except EngineError:
        return Progress(task)
    return Progress(
        task,
        target_keys=sum(one.keys for one in facts),
        input_kbps=sum(one.input_kbps for one in facts),
        ops_per_second=sum(one.ops_per_second for one in facts),
    )


async def delete_tasks(service: Service, caller: Caller, ids: Sequence[str]) -> list[str]:
    """These tasks are on record no more; the ids of those that were. Raises `TaskNotFinished`, and drops none."""
    gone = []
    async with service.database.writing() as tx:
        for task_id in check_task_ids(ids):
            task = await store.find_task(tx, caller.project, task_id)
            if task is None:
                continue
            if not task.status.is_final:
                raise errors.TaskNotFinished(f"migration task {task_id} is {task.status}")
            await store.remove_task(tx, task_id)
            gone.append(task_id)
    return gone
