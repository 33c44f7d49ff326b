"""Migration tasks: data that is brought into an instance, as values, and what callers may order.

A task imports the files of a backup, or files that somebody put into a bucket. Reference: sections 4.6.1 to 4.6.7.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from cachestead import errors
from cachestead.domain.backups import TaskError

MOST_FILES = 100
"""Files of one import."""
MOST_DELETED = 50
"""Tasks that one call deletes."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{3,63}")
_LONGEST_DESCRIPTION = 1024
_LONGEST_FILE_NAME = 512
_ENDINGS = (".rdb", ".aof", ".zip", ".tar.gz", ".tgz")
_SIZE = re.compile(r"[0-9]{1,18}(\.[0-9]{1,6})? ?([KMGT]?B)?", re.IGNORECASE)
_NO_TEXT = re.compile(r"[\x00-\x1f\x7f]")


class MigrationType(StrEnum):
    """How data comes: from files, or from a server."""

    IMPORT = "backupfile_import"
    ONLINE = "online_migration"


class MigrationMethod(StrEnum):
    """Whether changes made meanwhile are followed."""

    FULL = "full_amount_migration"
    INCREMENTAL = "incremental_migration"


class MigrationStatus(StrEnum):
    """States of a task that runs by itself to its end."""

    MIGRATING = "MIGRATING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    TERMINATED = "TERMINATED"

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens to the task."""
        return self is not MigrationStatus.MIGRATING


class FileSource(StrEnum):
    """Whose files are imported."""

    BUCKET = "self_build_obs"
    BACKUP = "backup_record"


@dataclass(frozen=True)
class ImportedFile:
    """A file as the caller named it."""

    name: str
    size: str | None = None
    """As given (`754.0MB`, or bytes); it decides nothing."""
    updated_at: str | None = None
    """As given."""
    key: str = ""
    """Where it is in the bucket."""


@dataclass(frozen=True)
class Endpoint:
    """A Redis at one end of a task: an instance of ours, or a server by its addresses."""

    instance_id: str | None
    name: str = ""
    addresses: str = ""
    """`ip:port`, separated by commas."""
    secret: str = field(default="", repr=False)
    """Its password, sealed; empty where none is needed to do the work."""


@dataclass(frozen=True)
class MigrationTask:
    """A task as the records have it."""

    id: str
    project_id: str
    name: str
    type: MigrationType
    method: MigrationMethod
    status: MigrationStatus
    target: Endpoint
    created_at: datetime
    updated_at: datetime
    description: str | None = None
    source: Endpoint | None = None
    """None where files are imported that are of no instance of ours."""
    backup_id: str | None = None
    """The backup whose files are imported; else `bucket` and `files` say which."""
    bucket: str | None = None
    files: tuple[ImportedFile, ...] = ()
    progress: float = 0.0
    """Percent."""
    source_keys: int | None = None
    """How many keys there are to bring; None until somebody has counted."""
    error: TaskError | None = None
    reason: str | None = None
    """What went wrong, in a sentence."""
    ended_at: datetime | None = None

    @property
    def target_instance_id(self) -> str:
        """Id of the instance that takes the data."""
        return self.target.instance_id or ""


@dataclass(frozen=True)
class TargetOrder:
    """Where data is to go, and the password that was sent with it."""

    instance_id: str
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class ImportOrder:
    """What a caller asked for, types right, values not yet judged."""

    name: str
    type: str
    method: str
    target: TargetOrder
    source: str | None = None
    """One of `FileSource`; None is a bucket."""
    description: str | None = None
    bucket: str | None = None
    files: Sequence[ImportedFile] = ()
    backup_id: str | None = None


def check_import(order: ImportOrder) -> None:
    """The order can be had, as far as it can be said without records. Raises the code of the first bad field."""
    _check_name(order.name)
    if len(order.description or "") > _LONGEST_DESCRIPTION or "\x00" in (order.description or ""):
        raise errors.InvalidDescription("description")
    if order.type != MigrationType.IMPORT:
        raise _bad("migration_type", f"{MigrationType.IMPORT}; servers have operations of their own")
    if order.method != MigrationMethod.FULL:
        raise _bad("migration_method", f"{MigrationMethod.FULL}; files do not change any more")
    source = order.source or FileSource.BUCKET
    if source == FileSource.BACKUP:
        if not order.backup_id:
            raise _bad("backup_id", "needed")
    elif source == FileSource.BUCKET:
        _check_files(order)
    else:
        raise _bad("file_source", f"{FileSource.BUCKET} or {FileSource.BACKUP}")


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise _bad("task_name", "4-64 letters, digits, _ and -, beginning with a letter")


def _check_files(order: ImportOrder) -> None:
    if not order.bucket:
        raise _bad("bucket_name", "needed")
    if not 1 <= len(order.files) <= MOST_FILES:
        raise _bad("files", f"between 1 and {MOST_FILES} of them")
    names = [file.name for file in order.files]
    if any(not name or len(name.encode()) > _LONGEST_FILE_NAME or _NO_TEXT.search(name) for name in names):
        raise _bad("file_name", f"up to {_LONGEST_FILE_NAME} bytes of text")
    if not all(name.lower().endswith(_ENDINGS) for name in names):
        raise _bad("file_name", f"one of {', '.join(_ENDINGS)} at its end")
    if len(set(names)) < len(names):
        raise _bad("files", "each once")
    if any(file.size is not None and not _SIZE.fullmatch(file.size) for file in order.files):
        raise _bad("size", "bytes, or a number with a unit as 754.0MB")


def _bad(name: str, detail: str) -> errors.InvalidParameter:
    return errors.InvalidParameter(f"{name}: {detail}", name=name)


def check_task_ids(given: Sequence[str]) -> list[str]:
    """Ids of tasks to delete, each once."""
    if not 1 <= len(given) <= MOST_DELETED:
        raise _bad("task_id_list", f"between 1 and {MOST_DELETED} of them")
    return list(dict.fromkeys(given))
