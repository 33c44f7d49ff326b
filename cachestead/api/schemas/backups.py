"""Bodies of chapter 4.5, Backup and Restoration."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel

from cachestead.api.bodies import RequestBody
from cachestead.api.formats import iso_time, read_compact_time
from cachestead.domain.backups import Backup, Restore
from cachestead.operations.backups import Links
from cachestead.store.backups import Page


class CopyInstance(RequestBody):
    """Body of copy_instance; all of it may be left out."""

    remark: str | None = None
    backup_format: str | None = None


class BackupIdOut(BaseModel):
    """Answer of copy_instance."""

    backup_id: str


class BackupRecord(BaseModel):
    """A backup. Progress and the flag are texts."""

    backup_id: str
    period: str | None
    backup_name: str
    instance_id: str
    size: int
    backup_type: str
    created_at: str | None
    updated_at: str | None
    progress: str
    error_code: str | None
    remark: str
    status: str
    is_support_restore: str
    execution_at: str | None
    backup_format: str

    @classmethod
    def of(cls, backup: Backup) -> BackupRecord:
        """The backup as callers see it; one that has not begun was to run when it was asked for."""
        return cls(
            backup_id=backup.id,
            period=backup.period,
            backup_name=backup.name,
            instance_id=backup.instance_id,
            size=backup.size,
            backup_type=backup.type.value,
            created_at=iso_time(backup.created_at),
            updated_at=iso_time(backup.updated_at),
            progress=progress_text(backup.progress),
            error_code=backup.error.value if backup.error else None,
            remark=backup.remark,
            status=backup.status.value,
            is_support_restore="TRUE" if backup.is_usable else "FALSE",
            execution_at=iso_time(backup.execution_at or backup.created_at),
            backup_format=backup.format.value,
        )


class BackupRecordsOut(BaseModel):
    """Answer of list_backup_records."""

    total_num: int
    backup_record_response: list[BackupRecord]

    @classmethod
    def of(cls, count: int, backups: list[Backup]) -> BackupRecordsOut:
        """A page of backups."""
        return cls(total_num=count, backup_record_response=[BackupRecord.of(one) for one in backups])


class ListBackupFileLinks(RequestBody):
    """Body of list_backup_file_links."""

    expiration: int


class LinkOut(BaseModel):
    """Where one file is."""

    file_name: str
    link: str


class LinksOut(BaseModel):
    """Answer of list_backup_file_links."""

    file_path: str
    bucket_name: str
    links: list[LinkOut]

    @classmethod
    def of(cls, found: Links) -> LinksOut:
        """The links."""
        links = [LinkOut(file_name=name, link=url) for name, url in found.links]
        return cls(file_path=found.folder, bucket_name=found.bucket, links=links)


class RestoreInstance(RequestBody):
    """Body of restore_instance."""

    backup_id: str
    remark: str | None = None


class RestoreIdOut(BaseModel):
    """Answer of restore_instance."""

    restore_id: str


class RestoreRecord(BaseModel):
    """A restoration."""

    backup_id: str
    restore_id: str
    backup_name: str
    updated_at: str | None
    restore_remark: str
    created_at: str | None
    progress: str
    error_code: str | None
    restore_name: str
    backup_remark: str | None
    status: str

    @classmethod
    def of(cls, restore: Restore) -> RestoreRecord:
        """The restoration as callers see it."""
        return cls(
            backup_id=restore.backup_id,
            restore_id=restore.id,
            backup_name=restore.backup_name,
            updated_at=iso_time(restore.updated_at),
            restore_remark=restore.remark,
            created_at=iso_time(restore.created_at),
            progress=progress_text(restore.progress),
            error_code=restore.error.value if restore.error else None,
            restore_name=restore.name,
            backup_remark=restore.backup_remark or None,
            status=restore.status.value,
        )


class RestoreRecordsOut(BaseModel):
    """Answer of list_restore_records."""

    restore_record_response: list[RestoreRecord]
    total_num: int

    @classmethod
    def of(cls, count: int, restores: list[Restore]) -> RestoreRecordsOut:
        """A page of restorations."""
        return cls(total_num=count, restore_record_response=[RestoreRecord.of(one) for one in restores])


def progress_text(percent: float) -> str:
    """100.00."""
    return f"{percent:.2f}"


def read_page(begin_time: str | None, end_time: str | None, offset: int, limit: int) -> Page:
    """Which records are asked for."""
    made_from: datetime | None = read_compact_time(begin_time, "begin_time")
    return Page(offset, limit, made_from=made_from, made_until=read_compact_time(end_time, "end_time"))
