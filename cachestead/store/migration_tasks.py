"""Queries about migration tasks. What a caller can reach goes by project; `any` is for ourselves."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, select, update

from cachestead.domain.backups import TaskError
from cachestead.domain.migration_tasks import (
    Endpoint,
    ImportedFile,
    MigrationMethod,
    MigrationStatus,
    MigrationTask,
    MigrationType,
)
from cachestead.store.database import Tx
from cachestead.store.tables import migration_tasks
from cachestead.store.times import from_ms, to_ms

_C = migration_tasks.c


async def add_task(tx: Tx, task: MigrationTask) -> None:
    """A new task."""
    await tx.execute(insert(migration_tasks).values(**_row(task)))


async def save_task(tx: Tx, task: MigrationTask) -> None:
    """The task's fields as they are now."""
    await tx.execute(update(migration_tasks).where(_C.id == task.id).values(**_row(task)))


async def find_task(tx: Tx, project_id: str, task_id: str) -> MigrationTask | None:
    """One task of a project, or None."""
    found = await find_any_task(tx, task_id)
    return found if found and found.project_id == project_id else None


async def find_any_task(tx: Tx, task_id: str) -> MigrationTask | None:
    """One task of any project, or None."""
    row = (await tx.execute(select(migration_tasks).where(_C.id == task_id))).mappings().first()
    return None if row is None else _task(row)


async def list_tasks(
    tx: Tx, project_id: str, name: str | None, *, offset: int, limit: int
) -> tuple[int, list[MigrationTask]]:
    """How many tasks of a project have this in their name, and the page asked for, newest first."""
    wanted = [_C.project_id == project_id]
    if name is not None:
        wanted.append(_C.name.icontains(name, autoescape=True))
    count = await tx.scalar(select(func.count()).select_from(migration_tasks).where(*wanted)) or 0
    page = select(migration_tasks).where(*wanted).order_by(_C.created_at.desc(), _C.id.desc())
    rows = (await tx.execute(page.offset(offset).limit(limit))).mappings()
    return count, [_task(row) for row in rows]


async def is_imported(tx: Tx, backup_id: str) -> bool:
    """Whether a task that has not ended reads the backup's files."""
    query = select(_C.id).where(_C.backup_id == backup_id, _C.ended_at.is_(None))
    return (await tx.execute(query.limit(1))).first() is not None


async def remove_task(tx: Tx, task_id: str) -> None:
    """The task is on record no more."""
    await tx.execute(delete(migration_tasks).where(_C.id == task_id))


async def remove_any_ended_before(tx: Tx, moment: datetime) -> None:
    """Drop tasks that ended before a moment."""
    await tx.execute(delete(migration_tasks).where(_C.ended_at < to_ms(moment)))


def _row(task: MigrationTask) -> dict[str, Any]:
    return {
        "id": task.id,
        "project_id": task.project_id,
        "name": task.name,
        "description": task.description,
        "type": task.type.value,
        "method": task.method.value,
        "status": task.status.value,
        "source": asdict(task.source) if task.source else None,
        "target": asdict(task.target),
        "backup_id": task.backup_id,
        "bucket": task.bucket,
        "files": [asdict(file) for file in task.files],
        "progress": task.progress,
        "source_keys": task.source_keys,
        "error": task.error.value if task.error else None,
        "reason": task.reason,
        "created_at": to_ms(task.created_at),
        "updated_at": to_ms(task.updated_at),
        "ended_at": to_ms(task.ended_at),
    }


def _task(row: Any) -> MigrationTask:
    return MigrationTask(
        id=row["id"],
        project_id=row["project_id"],
        name=row["name"],
        description=row["description"],
        type=MigrationType(row["type"]),
        method=MigrationMethod(row["method"]),
        status=MigrationStatus(row["status"]),
        source=Endpoint(**row["source"]) if row["source"] else None,
        target=Endpoint(**row["target"]),
        backup_id=row["backup_id"],
        bucket=row["bucket"],
        files=tuple(ImportedFile(**one) for one in row["files"]),
        progress=row["progress"],
        source_keys=row["source_keys"],
        error=TaskError(row["error"]) if row["error"] else None,
        reason=row["reason"],
        created_at=from_ms(row["created_at"]),
        updated_at=from_ms(row["updated_at"]),
        ended_at=from_ms(row["ended_at"]),
    )
