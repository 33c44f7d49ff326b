"""Backups of instances, and restorations from them, as values.

A backup has one file for each shard. Times are aware. Reference: sections 4.5.1 to 4.5.6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from cachestead.domain.instances import Mode

MOST_PER_INSTANCE = 24
"""The newest are kept, those by hand and by plan together."""


class BackupStatus(StrEnum):
    """States of a backup, in the API's spelling (section 4.5.6)."""

    WAITING = "waiting"
    BACKING_UP = "backuping"
    SUCCEEDED = "succeed"
    FAILED = "failed"
    EXPIRED = "expired"
    DELETED = "deleted"


class RestoreStatus(StrEnum):
    """States of a restoration (section 4.5.3)."""

    WAITING = "waiting"
    RESTORING = "restoring"
    SUCCEEDED = "succeed"
    FAILED = "failed"


class BackupType(StrEnum):
    """Who asked for it: somebody, or the instance's plan."""

    MANUAL = "manual"
    AUTO = "auto"


class BackupFormat(StrEnum):
    """Formats of a backup's files."""

    RDB = "rdb"
    AOF = "aof"


class TaskError(StrEnum):
    """Why a backup or a restoration failed: codes of its record."""

    TOOL_NOT_STARTED = "dcs.08.0001"
    TIMED_OUT = "dcs.08.0002"
    NOT_DELETED = "dcs.08.0003"
    NO_ACCESS_KEY = "dcs.08.0004"
    NO_BUCKET = "dcs.08.0005"
    """The object store took nothing: it is away, or full."""
    NO_SIZE = "dcs.08.0006"
    """What is stored is not what was sent."""
    NOT_SYNCHRONIZED = "dcs.08.0007"
    """The data could not be brought over."""
    INSTANCE_BUSY = "dcs.08.0008"


@dataclass(frozen=True)
class BackupFile:
    """One shard's file."""

    name: str
    shard: int
    slots: str | None
    """Ranges of slots that the shard owned (`0-5460 9000`); None outside of clusters."""
    size: int = 0
    """Bytes."""
    sha256: str = ""
    """Of the content, in hex."""
    keys: int | None = None
    """How many an engine found in it; None until one has loaded it."""
    lasting: int | None = None
    """How many of them have no deadline."""


@dataclass(frozen=True)
class Backup:
    """A backup as the records have it."""

    id: str
    instance_id: str
    project_id: str
    name: str
    type: BackupType
    format: BackupFormat
    status: BackupStatus
    created_at: datetime
    updated_at: datetime
    remark: str = ""
    progress: float = 0.0
    """Percent."""
    error: TaskError | None = None
    reason: str | None = None
    """What went wrong, in a sentence."""
    period: str | None = None
    """The hour of the plan that it is the run of, as `00:00-01:00`; None by hand."""
    execution_at: datetime | None = None
    files: tuple[BackupFile, ...] = ()
    mode: Mode = Mode.HA
    engine_version: str = ""
    binary: str = ""
    """Product and version of the engine that wrote it."""
    save_days: int | None = None
    """How long it is kept, as the plan said when it was made; None: until it is deleted."""

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def folder(self) -> str:
        """Where its files are in the bucket, with a final slash."""
        return f"{backups_folder(self.project_id, self.instance_id)}{self.id}/"

    @property
    def is_under_way(self) -> bool:
        """Whether something is still to happen by itself."""
        return self.status in (BackupStatus.WAITING, BackupStatus.BACKING_UP)

    @property
    def keys(self) -> list[str]:
        """Keys of its files in the bucket."""
        return [self.folder + file.name for file in self.files]


@dataclass(frozen=True)
class Restore:
    """A restoration as the records have it."""

    id: str
    instance_id: str
    project_id: str
    backup_id: str
    name: str
    status: RestoreStatus
    created_at: datetime
    updated_at: datetime
    remark: str = ""
    progress: float = 0.0
    """Percent."""
    error: TaskError | None = None
    reason: str | None = None
    backup_name: str = ""
    backup_remark: str = ""


def backups_folder(project_id: str, instance_id: str) -> str:
    """Where an instance's backups are in the bucket, with a final slash."""
    return f"{project_id}/backups/{instance_id}/"


def backup_name(at: datetime) -> str:
    """The name of a backup made at a time."""
    return f"backup_{at:%Y%m%d%H%M%S}"


def restore_name(at: datetime) -> str:
    """The name of a restoration begun at a time."""
    return f"restore_{at:%Y%m%d%H%M%S}"


def file_name(address: str, port: int, slots: str | None, at: datetime, form: BackupFormat) -> str:
    """The name of a shard's file: where its data came from, and when."""
    ranges = "" if slots is None else f"{slots.replace(' ', '_')[:_SLOTS_LENGTH]}_"
    return f"redis_{address}_{port}_{ranges}{at:%Y%m%d%H%M%S}.{form.value}"


_SLOTS_LENGTH = 120
"""Names of files have an end; which slots they are of is on record."""


def superfluous(backups: Sequence[Backup], now: datetime) -> list[Backup]:
    """Which of an instance's backups are over: those whose time is up, and those beyond the newest that are kept.

    Of those by plan one that succeeded stays, whatever its age. What is under way stays, and counts.
    """
    kept = sorted(
        (one for one in backups if one.is_under_way or one.status is BackupStatus.SUCCEEDED),
        key=lambda one: (one.created_at, one.id),
        reverse=True,
    )
    planned = [one for one in kept if one.type is BackupType.AUTO and not one.is_under_way]
    expired = [one for one in planned[1:] if one.save_days is not None and now >= _end(one)]
    left = [one for one in kept if one not in expired]
    return expired + [one for one in left[MOST_PER_INSTANCE:] if not one.is_under_way]


def _end(backup: Backup) -> datetime:
    return backup.created_at + timedelta(days=backup.save_days or 0)
