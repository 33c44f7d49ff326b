"""Bring the keys of backup files into an instance that goes on serving.

Before: the instance is RUNNING with the task `ImportBackup`, and the migration task is on record. After: the
instance has every key of the files besides its own; of equal keys those of the files. If it fails: what has come
stays, and the record says why. No key comes before every file was read whole by an engine.

A staging engine reads each file, one of the instance's own kind where that can, and sends keys to their owners.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from cachestead.domain.backups import BackupFile, TaskError
from cachestead.domain.instances import Mode
from cachestead.domain.jobs import Job, JobStatus
from cachestead.domain.migration_tasks import MigrationStatus, MigrationTask
from cachestead.engine.archives import Loadable, unpack
from cachestead.engine.connection import Client
from cachestead.engine.copying import Progress, add_data
from cachestead.engine.errors import FileUnreadable
from cachestead.engine.info import NodeFacts
from cachestead.store import backups as backup_store
from cachestead.store import migration_tasks as task_store
from cachestead.store.database import Tx
from cachestead.workflows.backup_files import check_content, save_pieces, telling
from cachestead.workflows.machinery import engine_of, masters_now
from cachestead.workflows.staging import Staging, staging
from cachestead.workflows.workflow import Step, StepContext, Workflow, stays

CHECKED = 30.0
"""Percent at which every file was read."""
TELL_SECONDS = 0.5
MOST_BYTES = 10 * 1024**3
"""What one archive may hold: the public service's limit for the memory that a file may need."""


@dataclass(frozen=True)
class _Source:
    """A file in a bucket; of a backup's it is known what is in it."""

    bucket: str
    key: str
    stored: BackupFile | None = None


Act = Callable[[Client, NodeFacts], Awaitable[None]]


async def read_files(ctx: StepContext) -> None:
    """Every file was read by an engine, and the record says how many keys there are."""
    await telling(_read_all(ctx), partial(_say_why, ctx))


async def send_keys(ctx: StepContext) -> None:
    """The instance has every key of the files."""
    await telling(_send_all(ctx), partial(_say_why, ctx))


async def _read_all(ctx: StepContext) -> None:
    sources, keys = await _sources(ctx), 0

    async def count(_client: Client, facts: NodeFacts) -> None:
        nonlocal keys
        keys += facts.keys

    for number, source in enumerate(sources, 1):
        await _load_each(ctx, source, count)
        await _save(ctx, progress=CHECKED * number / len(sources))
    await _save(ctx, source_keys=keys)


async def _send_all(ctx: StepContext) -> None:
    task, clock, told_at, done = await _load(ctx), asyncio.get_running_loop().time, 0.0, 0
    total = max(task.source_keys or 0, 1)

    async def report(progress: Progress) -> None:
        nonlocal told_at
        if clock() >= told_at + TELL_SECONDS:
            told_at, copied = clock(), done + progress.keys_copied
            percent = CHECKED + (99 - CHECKED) * min(copied / total, 1)
            await _save(ctx, progress=percent)
            await ctx.report(int(percent), f"{copied} of {total} keys copied")

    async def send(client: Client, facts: NodeFacts) -> None:
        nonlocal done
        targets = await masters_now(ctx.machinery, ctx.instance)
        # Proxies know one database and take every other for it, as those of the public service do.
        await add_data(client, targets, report, one_database=ctx.instance.mode is Mode.PROXY)
        done += facts.keys

    for source in await _sources(ctx):
        await _load_each(ctx, source, send)


async def _load_each(ctx: StepContext, source: _Source, act: Act) -> None:
    """Act on an engine with what is in the file, or with each file of an archive, one after another."""
    async with staging(ctx) as place:
        incoming = place.folder / "incoming"
        content = await save_pieces(incoming, ctx.machinery.objects.read(source.key, source.bucket))
        if source.stored:
            check_content(content, source.stored)
        unpacked = place.folder / "unpacked"
        for one in await asyncio.to_thread(unpack, incoming, source.key, unpacked, MOST_BYTES):
            client, facts = await _load_by_any(ctx, place, one)
            await act(client, facts)


async def _load_by_any(ctx: StepContext, place: Staging, one: Loadable) -> tuple[Client, NodeFacts]:
    """The instance's own engine reads it, if it can; else the first that can. Raises what the own one said."""
    refusal: FileUnreadable | None = None
    own = engine_of(ctx.machinery, ctx.instance)
    for engine in (own, *(other for other in ctx.machinery.engines.engines if other != own)):
        attempt = place.folder / "attempt"
        await asyncio.to_thread(_link, one.path, attempt)
        try:
            return await place.load(attempt, one.form, engine)
        except FileUnreadable as unreadable:
            refusal = refusal or unreadable
    assert refusal is not None
    raise FileUnreadable(f"{one.name}: {refusal}") from refusal


def _link(path: Path, other: Path) -> None:
    """The same content at another place, in place of what an earlier attempt left there."""
    if other.is_dir():
        shutil.rmtree(other)
    else:
        other.unlink(missing_ok=True)
    if path.is_dir():
        shutil.copytree(path, other, copy_function=os.link)
    else:
        other.hardlink_to(path)


async def _sources(ctx: StepContext) -> list[_Source]:
    task, own = await _load(ctx), ctx.machinery.objects.bucket
    if task.backup_id is None:
        return [_Source(task.bucket or own, file.key) for file in task.files]
    async with ctx.machinery.database.reading() as tx:
        backup = await backup_store.find_any_backup(tx, task.backup_id)
    assert backup is not None, "a backup that is imported is not removed"
    return [_Source(own, backup.folder + file.name, file) for file in backup.files]


async def _say_why(ctx: StepContext, error: TaskError, reason: str) -> None:
    await _save(ctx, error=error, reason=reason)


async def _load(ctx: StepContext) -> MigrationTask:
    async with ctx.machinery.database.reading() as tx:
        return await _find(tx, ctx.job)


async def _save(ctx: StepContext, **changes: Any) -> None:
    async with ctx.machinery.database.writing() as tx:
        task = await _find(tx, ctx.job)
        await task_store.save_task(tx, replace(task, updated_at=ctx.machinery.now(), **changes))


async def _find(tx: Tx, job: Job) -> MigrationTask:
    found = await task_store.find_any_task(tx, job.params["migration_task_id"])
    assert found is not None, "a migration task's record stays while its job runs"
    return found


async def _settle(tx: Tx, job: Job, at: datetime) -> None:
    task = replace(await _find(tx, job), updated_at=at, ended_at=at)
    if job.status is JobStatus.SUCCESS:
        ended = replace(task, status=MigrationStatus.SUCCESS, progress=100.0, error=None, reason=None)
    else:
        error, reason = task.error or TaskError.NOT_SYNCHRONIZED, task.reason or job.fail_reason
        ended = replace(task, status=MigrationStatus.FAILED, error=error, reason=reason)
    await task_store.save_task(tx, ended)


IMPORT_BACKUP = Workflow(
    "import-backup",
    job_type="importBackupJob",
    steps=(Step(read_files), Step(send_keys)),
    succeed=stays,
    fail=stays,
    settle=_settle,
    task="ImportBackup",
    lock="ImportBackup",
)
