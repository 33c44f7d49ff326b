"""Bodies of chapter 4.6, Data Migration."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from cachestead.api.bodies import RequestBody
from cachestead.api.formats import iso_time
from cachestead.domain.instances import Instance
from cachestead.domain.migration_tasks import (
    Endpoint,
    FileSource,
    ImportedFile,
    ImportOrder,
    MigrationTask,
    TargetOrder,
)
from cachestead.operations.migration_tasks import Ends, Progress


class FileBody(RequestBody):
    """A file of a bucket; size and time are taken down as they were given."""

    file_name: str
    size: str | None = None
    update_at: str | None = None

    def to_file(self) -> ImportedFile:
        """The file as a value."""
        return ImportedFile(self.file_name, size=self.size, updated_at=self.update_at)


class BackupFilesBody(RequestBody):
    """What is imported: files of a bucket, or a backup."""

    file_source: str | None = None
    bucket_name: str | None = None
    files: list[FileBody] | None = None
    backup_id: str | None = None


class TargetBody(RequestBody):
    """Where it goes. Only id and password count: the rest is on record."""

    id: str
    name: str | None = None
    password: str | None = Field(default=None, repr=False)
    task_status: str | None = None
    ip: str | None = None
    port: str | None = None
    addrs: str | None = None
    proxy_multi_db: bool | None = None
    db: str | None = None


class CreateMigrationTask(RequestBody):
    """Body of create_migration_task. `network_type` and `source_instance` are of migrations between servers."""

    task_name: str
    description: str | None = None
    migration_type: str
    migration_method: str
    backup_files: BackupFilesBody | None = None
    network_type: str | None = None
    source_instance: dict[str, Any] | None = Field(default=None, repr=False)
    target_instance: TargetBody

    def to_order(self) -> ImportOrder:
        """The order as a value."""
        source = self.backup_files or BackupFilesBody()
        return ImportOrder(
            name=self.task_name,
            type=self.migration_type,
            method=self.migration_method,
            target=TargetOrder(self.target_instance.id, self.target_instance.password),
            source=source.file_source,
            description=self.description,
            bucket=source.bucket_name,
            files=[file.to_file() for file in source.files or ()],
            backup_id=source.backup_id,
        )


class CreatedTaskOut(BaseModel):
    """Answer of create_migration_task."""

    id: str
    name: str
    status: str
    error: str = ""

    @classmethod
    def of(cls, task: MigrationTask) -> CreatedTaskOut:
        """The task as it begins."""
        return cls(id=task.id, name=task.name, status=task.status.value)


class TaskListed(BaseModel):
    """A task of the list. What it has no need of (a machine of its own, reconnecting) is null or empty."""

    task_id: str
    task_name: str
    status: str
    migration_type: str
    migration_method: str
    ecs_tenant_private_ip: str | None = None
    data_source: str
    source_instance_name: str
    source_instance_id: str
    target_instance_addrs: str
    target_instance_name: str
    target_instance_id: str
    created_at: str | None
    description: str | None
    source_instance_status: str
    target_instance_status: str
    source_instance_subnet_id: str
    target_instance_subnet_id: str
    source_instance_spec_code: str
    target_instance_spec_code: str
    error_message: str | None
    released_at: str | None = None
    version: str | None = None
    resume_mode: str | None = None
    supported_features: list[str] = []

    @classmethod
    def of(cls, ends: Ends) -> TaskListed:
        """The task as callers see it. Of an instance that is gone it has what was written down."""
        task = ends.task
        source, target = _end(task.source, ends.source), _end(task.target, ends.target)
        return cls(
            task_id=task.id,
            task_name=task.name,
            status=task.status.value,
            migration_type=task.type.value,
            migration_method=task.method.value,
            data_source=task.bucket or (task.source.addresses if task.source else ""),
            target_instance_addrs=task.target.addresses,
            created_at=iso_time(task.created_at),
            description=task.description,
            error_message=task.reason,
            **{f"source_instance_{key}": value for key, value in source.items()},
            **{f"target_instance_{key}": value for key, value in target.items()},
        )


def _end(end: Endpoint | None, instance: Instance | None) -> dict[str, str]:
    return {
        "id": (end and end.instance_id) or "",
        "name": instance.name if instance else end.name if end else "",
        "status": instance.state.value if instance else "",
        "subnet_id": instance.subnet_id if instance else "",
        "spec_code": instance.spec_code if instance else "",
    }


class TasksListedOut(BaseModel):
    """Answer of list_migration_task."""

    count: int
    migration_tasks: list[TaskListed]

    @classmethod
    def of(cls, count: int, tasks: list[Ends]) -> TasksListedOut:
        """A page of tasks."""
        return cls(count=count, migration_tasks=[TaskListed.of(one) for one in tasks])


class FileOut(BaseModel):
    """A file of an import, as it was ordered."""

    file_name: str
    size: str | None
    update_at: str | None


class BackupFilesOut(BaseModel):
    """What is imported."""

    file_source: str
    bucket_name: str | None
    files: list[FileOut]
    backup_id: str | None

    @classmethod
    def of(cls, task: MigrationTask) -> BackupFilesOut:
        """The files, or the backup."""
        files = [FileOut(file_name=one.name, size=one.size, update_at=one.updated_at) for one in task.files]
        source = FileSource.BACKUP if task.backup_id else FileSource.BUCKET
        return cls(file_source=source.value, bucket_name=task.bucket, files=files, backup_id=task.backup_id)


class EndOut(BaseModel):
    """An instance at one end of a task. Nobody is told its password."""

    addrs: str
    password: str | None = None
    task_status: str
    id: str
    ip: str
    port: str
    name: str
    proxy_multi_db: bool = False
    db: str = ""

    @classmethod
    def of(cls, end: Endpoint | None, instance: Instance | None) -> EndOut | None:
        """The end as it is now; None where a task has none."""
        if end is None:
            return None
        known = _end(end, instance)
        first, _, port = end.addresses.partition(",")[0].rpartition(":")
        return cls(
            addrs=end.addresses,
            task_status=known["status"],
            id=known["id"],
            ip=first,
            port=port,
            name=known["name"],
        )


class TaskOut(BaseModel):
    """Answer of show_migration_task; what it has no need of is null or empty."""

    task_id: str
    task_name: str
    description: str | None
    status: str
    migration_type: str
    migration_method: str
    ecs_tenant_private_ip: str | None = None
    backup_files: BackupFilesOut
    network_type: str | None = None
    source_instance: EndOut | None
    target_instance: EndOut | None
    created_at: str | None
    updated_at: str | None
    released_at: str | None = None
    version: str | None = None
    resume_mode: str | None = None
    supported_features: list[str] = []
    tenant_vpc_id: str | None
    tenant_subnet_id: str | None
    tenant_security_group_id: str | None
    bandwidth_limit_mb: str | None = None
    task_status: str
    error_message: str | None
    """Why it failed; an addition to the reference, whose list has it."""

    @classmethod
    def of(cls, ends: Ends) -> TaskOut:
        """The task as callers see it."""
        task, target = ends.task, ends.target
        return cls(
            task_id=task.id,
            task_name=task.name,
            description=task.description,
            status=task.status.value,
            migration_type=task.type.value,
            migration_method=task.method.value,
            backup_files=BackupFilesOut.of(task),
            source_instance=EndOut.of(task.source, ends.source),
            target_instance=EndOut.of(task.target, target),
            created_at=iso_time(task.created_at),
            updated_at=iso_time(task.updated_at),
            tenant_vpc_id=target.vpc_id if target else None,
            tenant_subnet_id=target.subnet_id if target else None,
            tenant_security_group_id=target.security_group_id if target else None,
            task_status=task.status.value,
            error_message=task.reason,
        )


class StatsOut(BaseModel):
    """Answer of show_migration_task_stats. Figures are texts, as the table has them; null is what nobody knows."""

    full_migration_progress: str
    offset: str = "0"
    """Files do not change: nothing is ever behind."""
    source_dbsize: str | None
    target_dbsize: str | None
    target_input_kbps: str | None
    target_ops: str | None
    is_migrating: bool

    @classmethod
    def of(cls, progress: Progress) -> StatsOut:
        """The figures now."""
        task = progress.task
        return cls(
            full_migration_progress=f"{task.progress:.0f}",
            source_dbsize=_text(task.source_keys),
            target_dbsize=_text(progress.target_keys),
            target_input_kbps=_text(progress.input_kbps and round(progress.input_kbps, 2)),
            target_ops=_text(progress.ops_per_second),
            is_migrating=not task.status.is_final,
        )


def _text(figure: float | None) -> str | None:
    return None if figure is None else str(figure)


class DeleteMigrationTasks(RequestBody):
    """Body of delete_migration_task."""

    task_id_list: list[str]


class DeletedTasksOut(BaseModel):
    """Answer of delete_migration_task."""

    task_id_list: list[str]
