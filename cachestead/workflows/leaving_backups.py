"""Removing backups' files. The record says first that they leave and last that they are gone.

So a removal that was interrupted, or that the object store did not let happen, is found and finished by whoever
looks for backups that are leaving.
"""

from __future__ import annotations

from cachestead.domain.backups import Backup, TaskError
from cachestead.objects.errors import ObjectsError
from cachestead.store import backups as store
from cachestead.workflows.machinery import Machinery


async def finish_leaving(machinery: Machinery, backup: Backup) -> None:
    """No file of a backup that is leaving is there, and the record says so. Raises `ObjectsError`."""
    try:
        await remove_files(machinery, backup)
    except ObjectsError as failure:
        async with machinery.database.writing() as tx:
            await store.mark_staying(tx, backup.id, TaskError.NOT_DELETED, str(failure))
        raise
    async with machinery.database.writing() as tx:
        await store.mark_gone(tx, backup.id, machinery.now())


async def remove_files(machinery: Machinery, backup: Backup) -> None:
    """No file of the backup is there, on record or not. Raises `ObjectsError`."""
    await machinery.objects.remove([key async for key in machinery.objects.list(backup.folder)])
