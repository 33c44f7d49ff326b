"""Restore an instance from one of its backups.

Before: the record is RESTORING, and the restoration is on record, waiting. After: the instance has what the backup
has and nothing else. Nobody reads or writes from the moment its nodes stop until all is there and counted. If it
fails before that: the instance has the data that it had, and serves; the record says why. Once a tenant may write
there is no way back, for that would lose what was written.

Files that fit go where engines look for their data: one for each shard, of the same slots, by the same engine. Of
others a staging engine sends the keys to whoever owns them now. The data of before lies beside until all is well.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from cachestead.domain.backups import Backup, BackupFile, BackupFormat, Restore, RestoreStatus, TaskError
from cachestead.domain.instances import Node
from cachestead.domain.jobs import Job, JobStatus
from cachestead.domain.shards import masters_of, replicas_of, shards_of
from cachestead.engine import cluster, datafiles, live, replication
from cachestead.engine.connection import call, with_patience
from cachestead.engine.copying import Progress, add_data
from cachestead.engine.datafiles import SetAside
from cachestead.engine.errors import CopyFailed, EngineRefused, LoadInterrupted
from cachestead.engine.info import observe_node
from cachestead.engine.polling import until
from cachestead.store import backups as backup_store
from cachestead.store import jobs as job_store
from cachestead.store.database import Tx
from cachestead.workflows.backup_files import fetch_file, telling
from cachestead.workflows.machinery import (
    address_of,
    client_of,
    engine_of,
    keeps_file,
    masters_now,
    running_of,
    users_of,
)
from cachestead.workflows.resize_instance import persist
from cachestead.workflows.roles import save_roles, with_roles_now
from cachestead.workflows.staging import LOAD_SECONDS, staging
from cachestead.workflows.steps import (
    SYNC_SECONDS,
    await_replication,
    open_endpoint,
    start_each,
    stop_all,
    unwatch_instance,
    verify,
    watch_instance,
)
from cachestead.workflows.workflow import Step, StepContext, Workflow, change_done, change_failed

FETCHED = 30.0
"""Percent at which all files are here."""
LOADED = 90.0
TELL_SECONDS = 0.5
HOLD_SECONDS = 120.0
"""How long writes may wait while an instance without files writes one."""
COUNT_SECONDS = 5.0
"""What has expired may not be counted as gone at once."""
_PAUSE = 0.05


async def fetch_files(ctx: StepContext) -> None:
    """The backup's files are here, beside the nodes' own, and are what was stored; the instance still serves."""
    restore, backup = await _load(ctx)
    await _save(ctx, replace(restore, status=RestoreStatus.RESTORING, updated_at=ctx.machinery.now()))
    await telling(_fetch_all(ctx, backup), partial(_say_why, ctx))


async def remove_fetched(ctx: StepContext) -> None:
    """What was fetched is gone."""
    _, backup = await _load(ctx)
    for file in backup.files:
        await asyncio.to_thread(_incoming(ctx, file).unlink, missing_ok=True)


async def stop_serving(ctx: StepContext) -> None:
    """Nothing runs, and the nodes' folders hold all that was acknowledged."""
    if await running_of(ctx.machinery, masters_of(ctx.instance)):
        now = await with_roles_now(ctx.machinery, ctx.instance)
        await save_roles(ctx.machinery, ctx.instance, now)
        ctx = replace(ctx, instance=now)
        if not keeps_file(ctx.machinery, ctx.instance):
            await asyncio.gather(*(_write_image(ctx, node) for node in masters_of(ctx.instance)))
    await stop_all(ctx, graceful=True)


async def serve_again(ctx: StepContext) -> None:
    """The instance serves what its nodes' folders hold."""

    async def act() -> None:
        await _start(ctx, closed=False)
        await _open(ctx)

    await persist(ctx, act)


async def place_files(ctx: StepContext) -> None:
    """What the nodes had is beside; masters start from the backup's files where these fit, else empty."""
    _, backup = await _load(ctx)
    for node in ctx.instance.nodes:
        await asyncio.to_thread(SetAside(ctx.machinery.runtime.node_folder(node.id)).take)
    masters = {shard.index: shard.master for shard in shards_of(ctx.instance)}
    for name, shard in (ctx.job.params["places"] or {}).items():
        file = next(one for one in backup.files if one.name == name)
        await asyncio.to_thread(_place, ctx, masters[shard], file, backup.format)


async def put_back(ctx: StepContext) -> None:
    """Nothing runs, and the nodes' folders hold what they held before; unless tenants were let in already."""
    if ctx.job.params.get("opened"):
        await remove_old(ctx)
        return
    await stop_all(ctx, graceful=False)
    for node in ctx.instance.nodes:
        await asyncio.to_thread(SetAside(ctx.machinery.runtime.node_folder(node.id)).give_back)


async def load_data(ctx: StepContext) -> None:
    """Every node has the backup's data, by count; nobody is let in."""
    await telling(persist(ctx, partial(_load_all, ctx)), partial(_say_why, ctx))


async def open_instance(ctx: StepContext) -> None:
    """Tenants may do what they may, at the instance's address, and whoever watches does."""
    await _note(ctx, opened=True)

    async def act() -> None:
        users, engine = users_of(ctx.machinery.vault, ctx.instance), engine_of(ctx.machinery, ctx.instance)
        await start_each(ctx, ctx.instance.nodes)
        for node in ctx.instance.nodes:
            await live.set_users(client_of(ctx.machinery, ctx.instance, node), users, engine)
        await _open(ctx)

    await telling(persist(ctx, act), partial(_say_why, ctx))


async def remove_old(ctx: StepContext) -> None:
    """What the instance had before is gone, and what was fetched."""
    await remove_fetched(ctx)
    for node in ctx.instance.nodes:
        await asyncio.to_thread(SetAside(ctx.machinery.runtime.node_folder(node.id)).drop)


async def _fetch_all(ctx: StepContext, backup: Backup) -> None:
    places = await _match(ctx, backup)
    if places is None and not engine_of(ctx.machinery, ctx.instance).has_acl:
        raise EngineRefused(f"{ctx.instance.binary} starts from files of its own making and shape only")
    await _note(ctx, places=places)
    tell, done = _Teller(ctx), 0

    async def passed(size: int) -> None:
        await tell(FETCHED * (done + size) / max(backup.size, 1), f"{done + size} of {backup.size} bytes fetched")

    for file in backup.files:
        await fetch_file(ctx.machinery.objects, backup.folder + file.name, file, _incoming(ctx, file), passed)
        done += file.size


async def _match(ctx: StepContext, backup: Backup) -> dict[str, int] | None:
    """Which shard starts from which of the backup's files, by name; None where they do not fit."""
    instance = ctx.instance
    shards = shards_of(instance)
    if backup.binary != str(engine_of(ctx.machinery, instance)) or len(backup.files) != len(shards):
        return None
    if backup.format is BackupFormat.AOF and not keeps_file(ctx.machinery, instance):
        return None
    if not instance.mode.is_clustered:
        [file] = backup.files
        return {file.name: shards[0].index} if file.slots is None else None
    now = await with_roles_now(ctx.machinery, instance)
    view = await cluster.observe_any(client_of(ctx.machinery, now, node) for node in now.nodes)
    seen = ((shard.index, view.find_at(address_of(shard.master))) for shard in shards_of(now))
    owners = {str(node.slots): index for index, node in seen if node}
    files = {file.name: owners.get(file.slots or "") for file in backup.files}
    places = {name: index for name, index in files.items() if index is not None}
    return places if len(set(places.values())) == len(shards) else None


async def _note(ctx: StepContext, **facts: Any) -> None:
    """Later steps, and undos, find this in what the job carries."""
    async with ctx.machinery.database.writing() as tx:
        await job_store.save_params(tx, ctx.job.id, {**ctx.job.params, **facts})


def _incoming(ctx: StepContext, file: BackupFile) -> Path:
    """Where a file of the backup is until it is needed."""
    first = min(ctx.instance.nodes, key=lambda node: (node.shard, node.ordinal))
    return ctx.machinery.runtime.node_folder(first.id) / f"restoring-{file.shard}"


async def _write_image(ctx: StepContext, node: Node) -> None:
    """A master without a file has one, of all that was acknowledged, and takes no writes."""
    client = client_of(ctx.machinery, ctx.instance, node)
    await live.hold_writes(client, HOLD_SECONDS)
    async with with_patience(client, HOLD_SECONDS) as patient:
        await call(patient, "SAVE")


def _place(ctx: StepContext, node: Node, file: BackupFile, form: BackupFormat) -> None:
    incoming, folder = _incoming(ctx, file), ctx.machinery.runtime.node_folder(node.id)
    engine = engine_of(ctx.machinery, ctx.instance)
    if not incoming.exists():
        return  # it is where it belongs
    if form is BackupFormat.AOF:
        datafiles.place_aof(incoming, folder, engine)
    else:
        datafiles.place_rdb(incoming, folder, engine, append_only=keeps_file(ctx.machinery, ctx.instance))


async def _load_all(ctx: StepContext) -> None:
    _, backup = await _load(ctx)
    await _start(ctx, closed=True)
    await await_replication(ctx)
    if ctx.job.params["places"] is None:
        await _copy_all(ctx, backup)
    await until(partial(_compare, ctx, backup), COUNT_SECONDS, CopyFailed)
    masters = [client_of(ctx.machinery, ctx.instance, node) for node in masters_of(ctx.instance)]
    for shard, master in zip(shards_of(ctx.instance), masters, strict=True):
        for node in shard.replicas:
            replica = client_of(ctx.machinery, ctx.instance, node)
            await replication.wait_caught_up(replica, master, SYNC_SECONDS)


async def _copy_all(ctx: StepContext, backup: Backup) -> None:
    """The masters, which are empty or have a part already, have the keys of all files."""
    machinery, masters = ctx.machinery, await masters_now(ctx.machinery, ctx.instance)
    engine = machinery.engines.find(backup.binary) or engine_of(machinery, ctx.instance)
    tell, done = _Teller(ctx), 0
    total = max(sum(file.keys or 0 for file in backup.files), 1)

    async def report(progress: Progress) -> None:
        copied = done + progress.keys_copied
        await tell(FETCHED + (LOADED - FETCHED) * copied / total, f"{copied} of {total} keys copied")

    for file in backup.files:
        async with staging(ctx) as place:
            copy = place.folder / "incoming"
            await asyncio.to_thread(_link, _incoming(ctx, file), copy)
            client, facts = await place.load(copy, backup.format, engine)
            await add_data(client, masters, report, quiet=True)
            done += facts.keys


def _link(file: Path, other: Path) -> None:
    other.hardlink_to(file)


async def _compare(ctx: StepContext, backup: Backup) -> str | None:
    """What is missing of the backup's data, as the masters count it."""
    seen = [await observe_node(client) for client in await masters_now(ctx.machinery, ctx.instance)]
    for facts in seen:
        if 0 < facts.maxmemory < facts.used_memory:
            raise CopyFailed(f"the data takes {facts.used_memory} bytes and a node may have {facts.maxmemory}")
    wanted = sum(file.lasting or 0 for file in backup.files)
    found = sum(facts.lasting_keys for facts in seen)
    return None if found == wanted else f"{found} keys without a deadline are there, of {wanted}"


async def _start(ctx: StepContext, *, closed: bool) -> None:
    """Masters run and have read what is in their folders; then replicas run."""
    masters = masters_of(ctx.instance)
    await start_each(ctx, masters, closed=closed)
    await asyncio.gather(*(_wait_loaded(ctx, node) for node in masters))
    await start_each(ctx, replicas_of(ctx.instance), closed=closed)


async def _wait_loaded(ctx: StepContext, node: Node) -> None:
    client = client_of(ctx.machinery, ctx.instance, node)

    async def look() -> str | None:
        if not await running_of(ctx.machinery, [node]):
            raise LoadInterrupted(f"{node.address} ended while it read its data")
        return "it is still reading" if (await observe_node(client)).loading else None

    await until(look, LOAD_SECONDS, CopyFailed, pause=_PAUSE)


async def _open(ctx: StepContext) -> None:
    """All is in step, the address is open and the Sentinels watch; images that were read do not come back."""
    await await_replication(ctx)
    if not keeps_file(ctx.machinery, ctx.instance):
        for node in ctx.instance.nodes:
            image = ctx.machinery.runtime.node_folder(node.id) / datafiles.RDB_FILE
            await asyncio.to_thread(image.unlink, missing_ok=True)
    await open_endpoint(ctx)
    await watch_instance(ctx)
    await verify(ctx)


class _Teller:
    """Writes down how far the restoration is, now and then."""

    def __init__(self, ctx: StepContext) -> None:
        self._ctx = ctx
        self._told_at = 0.0

    async def __call__(self, percent: float, sentence: str) -> None:
        now = asyncio.get_running_loop().time()
        if now < self._told_at + TELL_SECONDS:
            return
        self._told_at = now
        restore, _ = await _load(self._ctx)
        await _save(self._ctx, replace(restore, progress=max(restore.progress, percent)))
        await self._ctx.report(int(percent), sentence)


async def _say_why(ctx: StepContext, error: TaskError, reason: str) -> None:
    restore, _ = await _load(ctx)
    await _save(ctx, replace(restore, error=error, reason=reason))


async def _load(ctx: StepContext) -> tuple[Restore, Backup]:
    async with ctx.machinery.database.reading() as tx:
        restore = await _find(tx, ctx.job)
        backup = await backup_store.find_any_backup(tx, restore.backup_id)
    assert backup is not None, "a backup's record outlives restorations from it"
    return restore, backup


async def _save(ctx: StepContext, restore: Restore) -> None:
    async with ctx.machinery.database.writing() as tx:
        await backup_store.save_restore(tx, restore)


async def _find(tx: Tx, job: Job) -> Restore:
    found = await backup_store.find_any_restore(tx, job.params["restore_id"])
    assert found is not None, "a restoration's record stays while its job runs"
    return found


async def _settle(tx: Tx, job: Job, at: datetime) -> None:
    restore = replace(await _find(tx, job), updated_at=at)
    if job.status is JobStatus.SUCCESS:
        ended = replace(restore, status=RestoreStatus.SUCCEEDED, progress=100.0, error=None, reason=None)
    else:
        error, reason = restore.error or TaskError.NOT_SYNCHRONIZED, restore.reason or job.fail_reason
        ended = replace(restore, status=RestoreStatus.FAILED, error=error, reason=reason)
    await backup_store.save_restore(tx, ended)


RESTORE_INSTANCE = Workflow(
    "restore-instance",
    job_type="restoreInstanceJob",
    steps=(
        Step(fetch_files, undo=remove_fetched),
        Step(unwatch_instance, undo=watch_instance),
        Step(stop_serving, undo=serve_again),
        Step(place_files, undo=put_back),
        Step(load_data),
        Step(open_instance),
        Step(remove_old),
    ),
    succeed=change_done,
    fail=change_failed,
    settle=_settle,
    task="RestoreInstance",
)
