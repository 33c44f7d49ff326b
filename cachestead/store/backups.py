"""Queries about backups and restorations. What a caller can reach goes by project; `any` is for ourselves."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Table, delete, func, insert, select, update

from cachestead.domain.backups import (
    Backup,
    BackupFile,
    BackupFormat,
    BackupStatus,
    BackupType,
    Restore,
    RestoreStatus,
    TaskError,
)
from cachestead.domain.instances import Mode
from cachestead.store.database import Tx
from cachestead.store.tables import backups, restores
from cachestead.store.times import from_ms, to_ms


@dataclass(frozen=True)
class Page:
    """Which records of an instance: made within a span of whole seconds, and which of those, newest first."""

    offset: int
    limit: int
    made_from: datetime | None = None
    made_until: datetime | None = None


async def add_backup(tx: Tx, backup: Backup) -> None:
    """A new backup."""
    await tx.execute(insert(backups).values(**_backup_row(backup)))


async def save_backup(tx: Tx, backup: Backup) -> None:
    """The backup's fields as they are now."""
    await tx.execute(update(backups).where(backups.c.id == backup.id).values(**_backup_row(backup)))


async def find_backup(tx: Tx, project_id: str, instance_id: str, backup_id: str) -> Backup | None:
    """One backup of a project's instance, or None."""
    found = await find_any_backup(tx, backup_id)
    return found if found and (found.project_id, found.instance_id) == (project_id, instance_id) else None


async def lock_backup(tx: Tx, project_id: str, backup_id: str) -> Backup | None:
    """One backup of any of a project's instances, its row locked until the transaction ends; or None.

    Whoever begins to use its files and whoever begins to remove them both ask this first.
    """
    await tx.execute(select(backups.c.id).where(backups.c.id == backup_id).with_for_update())
    found = await find_any_backup(tx, backup_id)
    return found if found and found.project_id == project_id else None


async def find_any_backup(tx: Tx, backup_id: str) -> Backup | None:
    """One backup of any project, or None."""
    row = (await tx.execute(select(backups).where(backups.c.id == backup_id))).mappings().first()
    return None if row is None else _backup(row)


async def list_backups(tx: Tx, project_id: str, instance_id: str, page: Page) -> tuple[int, list[Backup]]:
    """How many backups of a project's instance there are in the span, and the page asked for, newest first."""
    count, rows = await _page(tx, backups, project_id, instance_id, page)
    return count, [_backup(row) for row in rows]


async def list_any_backups_of(tx: Tx, instance_id: str) -> list[Backup]:
    """Every backup of an instance, newest first."""
    query = select(backups).where(backups.c.instance_id == instance_id)
    rows = await tx.execute(query.order_by(backups.c.created_at.desc(), backups.c.id.desc()))
    return [_backup(row) for row in rows.mappings()]


async def list_any_with_backups(tx: Tx) -> list[str]:
    """Ids of instances that have backups with files, or under way."""
    alive = [status.value for status in (BackupStatus.WAITING, BackupStatus.BACKING_UP, BackupStatus.SUCCEEDED)]
    query = select(backups.c.instance_id).where(backups.c.status.in_(alive)).distinct()
    return list((await tx.scalars(query)).all())


async def list_any_runs(tx: Tx, since: datetime, instance_id: str | None = None) -> list[Backup]:
    """Backups by plan that were begun since then, of every instance or one, oldest first."""
    wanted = [backups.c.type == BackupType.AUTO.value, backups.c.created_at >= to_ms(since)]
    if instance_id is not None:
        wanted.append(backups.c.instance_id == instance_id)
    rows = await tx.execute(select(backups).where(*wanted).order_by(backups.c.created_at, backups.c.id))
    return [_backup(row) for row in rows.mappings()]


async def list_any_leaving(tx: Tx) -> list[Backup]:
    """Backups whose files are being removed, oldest first."""
    query = select(backups).where(backups.c.leaves_as.is_not(None))
    rows = await tx.execute(query.order_by(backups.c.created_at, backups.c.id))
    return [_backup(row) for row in rows.mappings()]


async def list_any_over_before(tx: Tx, moment: datetime) -> list[Backup]:
    """Backups that came to an end without files, or lost them, before a moment."""
    over = [status.value for status in (BackupStatus.FAILED, BackupStatus.EXPIRED, BackupStatus.DELETED)]
    query = select(backups).where(
        backups.c.status.in_(over), backups.c.leaves_as.is_(None), backups.c.updated_at < to_ms(moment)
    )
    return [_backup(row) for row in (await tx.execute(query)).mappings()]


async def mark_leaving(tx: Tx, backup_id: str, leaves_as: BackupStatus) -> None:
    """The backup's files are to be removed; nothing else may begin with them."""
    await tx.execute(update(backups).where(backups.c.id == backup_id).values(leaves_as=leaves_as.value))


async def mark_staying(tx: Tx, backup_id: str, error: TaskError, reason: str) -> None:
    """The files of a backup that is leaving could not be removed yet; one that failed says why it did."""
    leaving = (backups.c.id == backup_id, backups.c.leaves_as != BackupStatus.FAILED.value)
    await tx.execute(update(backups).where(*leaving).values(error=error.value, reason=reason))


async def mark_gone(tx: Tx, backup_id: str, at: datetime) -> None:
    """The files of a backup that was leaving are removed: it is in the state that it was to have then."""
    leaving = update(backups).where(backups.c.id == backup_id, backups.c.leaves_as.is_not(None))
    good = leaving.where(backups.c.leaves_as != BackupStatus.FAILED.value)
    await tx.execute(good.values(error=None, reason=None))
    await tx.execute(leaving.values(status=backups.c.leaves_as, leaves_as=None, updated_at=to_ms(at)))


async def is_restored(tx: Tx, backup_id: str) -> bool:
    """Whether a restoration from the backup is under way."""
    open_ones = (RestoreStatus.WAITING.value, RestoreStatus.RESTORING.value)
    query = select(restores.c.id).where(restores.c.backup_id == backup_id, restores.c.status.in_(open_ones))
    return (await tx.execute(query.limit(1))).first() is not None


async def remove_backups(tx: Tx, backup_ids: Collection[str]) -> None:
    """These backups, and the restorations from them, are on record no more."""
    await tx.execute(delete(restores).where(restores.c.backup_id.in_(backup_ids)))
    await tx.execute(delete(backups).where(backups.c.id.in_(backup_ids)))


async def add_restore(tx: Tx, restore: Restore) -> None:
    """A new restoration."""
    await tx.execute(insert(restores).values(**_restore_row(restore)))


async def save_restore(tx: Tx, restore: Restore) -> None:
    """The restoration's fields as they are now."""
    await tx.execute(update(restores).where(restores.c.id == restore.id).values(**_restore_row(restore)))


async def find_any_restore(tx: Tx, restore_id: str) -> Restore | None:
    """One restoration of any project, or None."""
    row = (await tx.execute(select(restores).where(restores.c.id == restore_id))).mappings().first()
    return None if row is None else _restore(row)


async def list_restores(tx: Tx, project_id: str, instance_id: str, page: Page) -> tuple[int, list[Restore]]:
    """How many restorations of a project's instance there are in the span, and the page, newest first."""
    count, rows = await _page(tx, restores, project_id, instance_id, page)
    return count, [_restore(row) for row in rows]


async def _page(tx: Tx, table: Table, project_id: str, instance_id: str, page: Page) -> tuple[int, Any]:
    wanted: list[ColumnElement[bool]] = [table.c.project_id == project_id, table.c.instance_id == instance_id]
    if page.made_from is not None:
        wanted.append(table.c.created_at >= to_ms(page.made_from))
    if page.made_until is not None:
        wanted.append(table.c.created_at < to_ms(page.made_until) + 1000)
    count = await tx.scalar(select(func.count()).select_from(table).where(*wanted)) or 0
    query = select(table).where(*wanted).order_by(table.c.created_at.desc(), table.c.id.desc())
    return count, (await tx.execute(query.offset(page.offset).limit(page.limit))).mappings()


def _backup_row(backup: Backup) -> dict[str, Any]:
    return {
        "id": backup.id,
        "instance_id": backup.instance_id,
        "project_id": backup.project_id,
        "name": backup.name,
        "type": backup.type.value,
        "format": backup.format.value,
        "status": backup.status.value,
        "remark": backup.remark,
        "progress": backup.progress,
        "error": backup.error.value if backup.error else None,
        "reason": backup.reason,
        "period": backup.period,
        "created_at": to_ms(backup.created_at),
        "updated_at": to_ms(backup.updated_at),
        "execution_at": to_ms(backup.execution_at),
        "files": [asdict(file) for file in backup.files],
        "mode": backup.mode.value,
        "engine_version": backup.engine_version,
        "binary": backup.binary,
        "save_days": backup.save_days,
        "leaves_as": backup.leaves_as.value if backup.leaves_as else None,
    }


def _backup(row: Any) -> Backup:
    return Backup(
        id=row["id"],
        instance_id=row["instance_id"],
        project_id=row["project_id"],
        name=row["name"],
        type=BackupType(row["type"]),
        format=BackupFormat(row["format"]),
        status=BackupStatus(row["status"]),
        remark=row["remark"],
        progress=row["progress"],
        error=TaskError(row["error"]) if row["error"] else None,
        reason=row["reason"],
        period=row["period"],
        created_at=from_ms(row["created_at"]),
        updated_at=from_ms(row["updated_at"]),
        execution_at=from_ms(row["execution_at"]),
        files=tuple(BackupFile(**one) for one in row["files"]),
        mode=Mode(row["mode"]),
        engine_version=row["engine_version"],
        binary=row["binary"],
        save_days=row["save_days"],
        leaves_as=BackupStatus(row["leaves_as"]) if row["leaves_as"] else None,
    )


def _restore_row(restore: Restore) -> dict[str, Any]:
    return {
        "id": restore.id,
        "instance_id": restore.instance_id,
        "project_id": restore.project_id,
        "backup_id": restore.backup_id,
        "name": restore.name,
        "status": restore.status.value,
        "remark": restore.remark,
        "progress": restore.progress,
        "error": restore.error.value if restore.error else None,
        "reason": restore.reason,
        "created_at": to_ms(restore.created_at),
        "updated_at": to_ms(restore.updated_at),
        "backup_name": restore.backup_name,
        "backup_remark": restore.backup_remark,
    }


def _restore(row: Any) -> Restore:
    return Restore(
        id=row["id"],
        instance_id=row["instance_id"],
        project_id=row["project_id"],
        backup_id=row["backup_id"],
        name=row["name"],
        status=RestoreStatus(row["status"]),
        remark=row["remark"],
        progress=row["progress"],
        error=TaskError(row["error"]) if row["error"] else None,
        reason=row["reason"],
        created_at=from_ms(row["created_at"]),
        updated_at=from_ms(row["updated_at"]),
        backup_name=row["backup_name"],
        backup_remark=row["backup_remark"],
    )
