"""Chapter 4.5: Backup and Restoration."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response
from pydantic import BaseModel

from cachestead.api.access import May
from cachestead.api.chapter import Chapter
from cachestead.api.formats import InstanceIdPath, Limit, Offset
from cachestead.api.schemas.backups import (
    BackupIdOut,
    BackupRecordsOut,
    CopyInstance,
    LinksOut,
    ListBackupFileLinks,
    RestoreIdOut,
    RestoreInstance,
    RestoreRecordsOut,
    read_page,
)
from cachestead.api.services import Use
from cachestead.identity.callers import Caller
from cachestead.operations import backups
from cachestead.store import backups as store
from cachestead.store import instances as instance_store

chapter = Chapter("4.5", "Backup and Restoration")
_BACKUPS = "/v2/{project_id}/instances/{instance_id}/backups"
_RESTORES = "/v2/{project_id}/instances/{instance_id}/restores"


@chapter.post(_BACKUPS)
async def copy_instance(
    instance_id: InstanceIdPath,
    caller: Annotated[Caller, May["dcs:instance:backupData"]],
    service: Use,
    body: CopyInstance | None = None,
) -> BackupIdOut:
    """Back an instance up, one file for each shard, without a pause for its clients.

    Without `backup_format` the files are images of the data (RDB).
    """
    wanted = body or CopyInstance()
    made = await backups.back_up(service, caller, instance_id, wanted.remark or "", wanted.backup_format)
    return BackupIdOut(backup_id=made.id)


@chapter.get(_BACKUPS)
async def list_backup_records(
    instance_id: InstanceIdPath,
    caller: Annotated[Caller, May["dcs:instance:getDataBackupLog"]],
    service: Use,
    begin_time: str | None = None,
    begin_time_too: Annotated[str | None, Query(alias="beginTime")] = None,
    end_time: str | None = None,
    limit: Limit = 10,
    offset: Offset = 0,
) -> Response:
    """List an instance's backups, newest first; 204 if there is none.

    The reference's example writes `beginTime` for `begin_time`; both are taken.
    """
    page = read_page(begin_time or begin_time_too, end_time, offset, limit)
    async with service.database.reading() as tx:
        await instance_store.get_instance(tx, caller.project, instance_id)
        count, found = await store.list_backups(tx, caller.project, instance_id, page)
    return _listed(BackupRecordsOut.of(count, found) if count else None)


@chapter.delete(_BACKUPS + "/{backup_id}", status=204)
async def delete_backup_file(
    instance_id: InstanceIdPath,
    backup_id: str,
    caller: Annotated[Caller, May["dcs:instance:deleteDataBackupFile"]],
    service: Use,
) -> None:
    """Delete a backup's files. Its record stays for a while, as `deleted`."""
    await backups.delete_backup(service, caller, instance_id, backup_id)


@chapter.post(_BACKUPS + "/{backup_id}/links")
async def list_backup_file_links(
    instance_id: InstanceIdPath,
    backup_id: str,
    body: ListBackupFileLinks,
    caller: Annotated[Caller, May["dcs:instance:downloadBackupData"]],
    service: Use,
) -> LinksOut:
    """Make links to a backup's files that anybody may follow until they expire."""
    return LinksOut.of(await backups.link_files(service, caller, instance_id, backup_id, body.expiration))


@chapter.post(_RESTORES)
async def restore_instance(
    instance_id: InstanceIdPath,
    body: RestoreInstance,
    caller: Annotated[Caller, May["dcs:instance:restoreData"]],
    service: Use,
) -> RestoreIdOut:
    """Put an instance back to what it was when one of its backups was made. What came later is gone."""
    made = await backups.restore(service, caller, instance_id, body.backup_id, body.remark or "")
    return RestoreIdOut(restore_id=made.id)


@chapter.get(_RESTORES)
async def list_restore_records(
    instance_id: InstanceIdPath,
    caller: Annotated[Caller, May["dcs:instance:getDataRestoreLog"]],
    service: Use,
    begin_time: str | None = None,
    begin_time_too: Annotated[str | None, Query(alias="begin_Time")] = None,
    end_time: str | None = None,
    end_time_too: Annotated[str | None, Query(alias="end_Time")] = None,
    limit: Limit = 10,
    offset: Offset = 0,
) -> Response:
    """List an instance's restorations, newest first; 204 if there is none.

    The reference's example writes `begin_Time` and `end_Time`; both spellings are taken.
    """
    page = read_page(begin_time or begin_time_too, end_time or end_time_too, offset, limit)
    async with service.database.reading() as tx:
        await instance_store.get_instance(tx, caller.project, instance_id)
        count, found = await store.list_restores(tx, caller.project, instance_id, page)
    return _listed(RestoreRecordsOut.of(count, found) if count else None)


def _listed(records: BaseModel | None) -> Response:
    if records is None:
        return Response(status_code=204)
    return Response(records.model_dump_json(), media_type="application/json")
