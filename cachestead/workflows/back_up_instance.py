"""Back an instance up: a file for each shard in the object store, each read by an engine before it counts.

Before: the instance is RUNNING with the task `BackupInstance`, and the backup is on record, waiting. After: the
record has the files, with sizes, checksums and numbers of keys. Nothing of the instance changes and nobody waits:
replicas send the data where there are any. If it fails: no file is left, and the record says why.

Each file is of one moment, after the job began: what a client had an answer for before it is in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from cachestead.domain.backups import Backup, BackupFile, BackupFormat, BackupStatus, TaskError, file_name
from cachestead.domain.instances import Instance, Node
from cachestead.domain.jobs import Job, JobStatus
from cachestead.domain.shards import Shard, shards_of
from cachestead.engine import cluster, datafiles, replication
from cachestead.engine.connection import Client, call
from cachestead.engine.errors import EngineError, EngineRefused, FileUnreadable
from cachestead.engine.info import observe_node
from cachestead.engine.polling import until
from cachestead.engine.snapshots import stream_snapshot
from cachestead.objects.errors import ObjectsError
from cachestead.store import backups as backup_store
from cachestead.store.database import Tx
from cachestead.workflows import leaving_backups
from cachestead.workflows.backup_files import (
    Content,
    fetch_file,
    read_pieces,
    save_pieces,
    store_pieces,
    telling,
)
from cachestead.workflows.machinery import address_of, client_of, engine_of
from cachestead.workflows.roles import with_roles_now
from cachestead.workflows.staging import Staging, staging
from cachestead.workflows.workflow import Step, StepContext, Workflow, stays

CAUGHT_UP_SECONDS = 5.0
"""How long a replica may take to have what its master had; then the master is asked itself."""
ATTEMPTS = 3
"""How often a shard is asked for its data, or a file read: nodes may go, and others take their place."""
AGAIN_SECONDS = 2.0
REWRITE_SECONDS = 3600.0
TELL_SECONDS = 0.5
"""How often callers are told how far it is: it is written down each time."""
VERIFYING = 60.0
"""Percent at which all files are stored, and the first one is read again."""


async def take_snapshots(ctx: StepContext) -> None:
    """The object store has a file of every shard, and the record says which."""
    begun = ctx.machinery.now()
    backup = await _load(ctx)
    engine = engine_of(ctx.machinery, ctx.instance)
    backup = replace(backup, status=BackupStatus.BACKING_UP, execution_at=backup.execution_at or begun)
    await _save(ctx, replace(backup, mode=ctx.instance.mode, binary=str(engine), updated_at=begun))
    for shard in shards_of(ctx.instance):
        backup = await _load(ctx)
        if not any(file.shard == shard.index for file in backup.files):
            file = await telling(_patiently(partial(_take, ctx, backup, shard.index)), partial(_say_why, ctx))
            await _save(ctx, replace(await _load(ctx), files=(*backup.files, file)))


async def remove_files(ctx: StepContext) -> None:
    """No file of the backup is left, or whoever finishes removals knows that there may be some."""
    backup = await _load(ctx)
    try:
        await leaving_backups.remove_files(ctx.machinery, backup)
    except ObjectsError:
        async with ctx.machinery.database.writing() as tx:
            await backup_store.mark_leaving(tx, backup.id, BackupStatus.FAILED)


async def verify_files(ctx: StepContext) -> None:
    """Every file, as it is stored, was read by an engine, which counted its keys."""
    backup = await _load(ctx)
    for file in backup.files:
        if file.keys is None:
            counted = await telling(_patiently(partial(_count_keys, ctx, backup, file)), partial(_say_why, ctx))
            backup = await _load(ctx)
            files = tuple(counted if one.name == file.name else one for one in backup.files)
            await _save(ctx, replace(backup, files=files))


async def _patiently(act: Callable[[], Awaitable[BackupFile]]) -> BackupFile:
    """Do it, and again where nodes stood in the way."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return await act()
        except FileUnreadable:
            raise
        except EngineError:
            if attempt == ATTEMPTS:
                raise
            await asyncio.sleep(AGAIN_SECONDS)
    raise AssertionError("attempts have an end")


async def _take(ctx: StepContext, backup: Backup, index: int) -> BackupFile:
    now = await with_roles_now(ctx.machinery, ctx.instance)
    shard = next(one for one in shards_of(now) if one.index == index)
    node = await _choose(ctx, now, shard)
    slots = await _slots_of(ctx, now, shard)
    name = file_name(node.address, node.port, slots, ctx.machinery.now(), backup.format)
    file = BackupFile(name, index, slots)
    share = VERIFYING / len(shards_of(ctx.instance))
    progress = _Progress(ctx, len(backup.files) * share, share)
    client = client_of(ctx.machinery, now, node)
    progress.expected = (await observe_node(client)).used_memory
    content = await _store(ctx, backup.folder + name, backup.format, client, progress)
    return replace(file, size=content.size, sha256=content.sha256)


async def _store(ctx: StepContext, key: str, form: BackupFormat, client: Client, progress: _Progress) -> Content:
    objects = ctx.machinery.objects
    image = stream_snapshot(client)
    if form is BackupFormat.RDB:
        return await store_pieces(objects, key, image, progress.passed)
    async with staging(ctx) as place:
        return await store_pieces(objects, key, _as_commands(ctx, place, image, progress), _nothing)


async def _as_commands(
    ctx: StepContext, place: Staging, image: AsyncGenerator[bytes, None], progress: _Progress
) -> AsyncGenerator[bytes, None]:
    """The image as an engine writes it into an append-only file."""
    engine, incoming = engine_of(ctx.machinery, ctx.instance), place.folder / "incoming"
    await save_pieces(incoming, image, progress.passed)
    client, _ = await place.load(incoming, BackupFormat.RDB, engine)
    await call(client, "BGREWRITEAOF")

    async def look() -> str | None:
        facts = await observe_node(client)
        if facts.aof_rewriting or int(facts.raw.get("aof_rewrite_scheduled", 0)):
            return "it is still writing"
        if facts.raw.get("aof_last_bgrewrite_status") != "ok":
            raise FileUnreadable("the engine could not write it: is the disk full?")
        return None

    await until(look, REWRITE_SECONDS, EngineRefused, pause=0.05)
    async for piece in read_pieces(datafiles.rewritten_aof(place.folder, engine)):
        yield piece


async def _choose(ctx: StepContext, instance: Instance, shard: Shard) -> Node:
    """The shard's node to ask: a replica that has all its master had when it was asked; else the master."""
    master = client_of(ctx.machinery, instance, shard.master)
    for node in shard.replicas:
        replica = client_of(ctx.machinery, instance, node)
        try:
            if (await observe_node(replica)).in_sync_with(address_of(shard.master)):
                await replication.wait_caught_up(replica, master, CAUGHT_UP_SECONDS)
                return node
        except EngineError:
            continue
    return shard.master


async def _slots_of(ctx: StepContext, instance: Instance, shard: Shard) -> str | None:
    if not instance.mode.is_clustered:
        return None
    view = await cluster.observe_any(client_of(ctx.machinery, instance, node) for node in instance.nodes)
    found = view.find_at(address_of(shard.master))
    if found is None or not found.slots:
        raise EngineRefused(f"{shard.master.address} owns no slots")
    return str(found.slots)


async def _count_keys(ctx: StepContext, backup: Backup, file: BackupFile) -> BackupFile:
    done = sum(one.keys is not None for one in backup.files)
    share = (100 - VERIFYING) / len(backup.files)
    progress = _Progress(ctx, VERIFYING + done * share, share, file.size)
    async with staging(ctx) as place:
        incoming = place.folder / "incoming"
        await fetch_file(ctx.machinery.objects, backup.folder + file.name, file, incoming, progress.passed)
        _, facts = await place.load(incoming, backup.format, engine_of(ctx.machinery, ctx.instance))
        return replace(file, keys=facts.keys, lasting=facts.lasting_keys)


@dataclass
class _Progress:
    """How far one file is, for the record."""

    ctx: StepContext
    begin: float
    """Percent of the backup."""
    share: float
    expected: int = 0
    """Bytes, as far as can be said beforehand."""
    told_at: float = 0.0

    async def passed(self, size: int) -> None:
        """So many bytes went by."""
        now = asyncio.get_running_loop().time()
        if now < self.told_at + TELL_SECONDS:
            return
        self.told_at = now
        percent = self.begin + self.share * min(size / max(self.expected, 1), 0.95)
        backup = await _load(self.ctx)
        await _save(self.ctx, replace(backup, progress=max(backup.progress, percent)))
        await self.ctx.report(int(percent), f"{size} bytes of a shard")


async def _nothing(_size: int) -> None:
    """Nobody needs to be told."""


async def _say_why(ctx: StepContext, error: TaskError, reason: str) -> None:
    await _save(ctx, replace(await _load(ctx), error=error, reason=reason))


async def _load(ctx: StepContext) -> Backup:
    async with ctx.machinery.database.reading() as tx:
        return await _find(tx, ctx.job)


async def _save(ctx: StepContext, backup: Backup) -> None:
    async with ctx.machinery.database.writing() as tx:
        await backup_store.save_backup(tx, backup)


async def _find(tx: Tx, job: Job) -> Backup:
    found = await backup_store.find_any_backup(tx, job.params["backup_id"])
    assert found is not None, "a backup's record stays while its job runs"
    return found


async def _settle(tx: Tx, job: Job, at: datetime) -> None:
    backup = replace(await _find(tx, job), updated_at=at)
    if job.status is JobStatus.SUCCESS:
        ended = replace(backup, status=BackupStatus.SUCCEEDED, progress=100.0, error=None, reason=None)
    else:
        reason = backup.reason or job.fail_reason
        ended = replace(
            backup, status=BackupStatus.FAILED, files=(), error=backup.error or TaskError.TOOL_NOT_STARTED
        )
        ended = replace(ended, reason=reason)
    await backup_store.save_backup(tx, ended)


BACK_UP_INSTANCE = Workflow(
    "back-up-instance",
    job_type="backupInstanceJob",
    steps=(Step(take_snapshots, undo=remove_files), Step(verify_files)),
    succeed=stays,
    fail=stays,
    settle=_settle,
    task="BackupInstance",
    lock="BackupInstance",
)
