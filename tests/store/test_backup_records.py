"""Backups and restorations on record: who uses them, who sees them, and how they leave."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from examples import INSTANCE_ID, NOW, PROJECT_ID, instance_like
from postgresql import NewDatabase

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
from cachestead.domain.instances import Mode, Node, Role, State
from cachestead.domain.sizes import MiB
from cachestead.store import backups as store
from cachestead.store import instances
from cachestead.store.backups import Page
from cachestead.store.database import Database

NODE = Node("n" * 32, INSTANCE_ID, 0, 0, "127.64.0.9", 6379, "az1", Role.MASTER)
INSTANCE = instance_like(nodes=(NODE,))
BACKUP = Backup(
    id="b" * 36,
    instance_id=INSTANCE_ID,
    project_id=PROJECT_ID,
    name="backup_20250501000000",
    type=BackupType.AUTO,
    format=BackupFormat.AOF,
    status=BackupStatus.SUCCEEDED,
    created_at=NOW,
    updated_at=NOW,
    remark="r",
    progress=100.0,
    period="02:00-03:00",
    execution_at=NOW,
    files=(BackupFile("f.aof", 0, "0-5460 9000", 2**33, "ab", 7),),
    mode=Mode.CLUSTER,
    engine_version="7.0",
    binary="valkey 9",
    save_days=3,
)
RESTORE = Restore(
    id="r" * 36,
    instance_id=INSTANCE_ID,
    project_id=PROJECT_ID,
    backup_id=BACKUP.id,
    name="restore_20250501000000",
    status=RestoreStatus.WAITING,
    created_at=NOW,
    updated_at=NOW,
)


@pytest.fixture
async def database(tmp_path: Path, new_database: NewDatabase) -> AsyncIterator[Database]:
    """Records of an instance with the backup."""
    made = Database(new_database() or f"sqlite:///{tmp_path / 'records.sqlite'}")
    await made.migrate()
    async with made.writing() as tx:
        await instances.add_instance(tx, INSTANCE, MiB(0))
        await store.add_backup(tx, BACKUP)
    yield made
    await made.close()


async def test_a_backup_comes_back_as_it_was_saved(database: Database):
    changed = replace(
        BACKUP, leaves_as=BackupStatus.EXPIRED, error=TaskError.NO_SIZE, reason="short", save_days=None, files=()
    )
    async with database.writing() as tx:
        assert await store.find_backup(tx, PROJECT_ID, INSTANCE_ID, BACKUP.id) == BACKUP
        await store.save_backup(tx, changed)
        assert await store.lock_backup(tx, PROJECT_ID, BACKUP.id) == changed


async def test_another_project_or_instance_sees_no_backup(database: Database):
    async with database.writing() as tx:
        assert await store.find_backup(tx, "q" * 32, INSTANCE_ID, BACKUP.id) is None
        assert await store.find_backup(tx, PROJECT_ID, "i" * 36, BACKUP.id) is None
        assert await store.lock_backup(tx, "q" * 32, BACKUP.id) is None
        assert await store.list_backups(tx, "q" * 32, INSTANCE_ID, Page(0, 10)) == (0, [])


async def test_a_span_is_of_whole_seconds_and_both_ends_are_in_it(database: Database):
    later = [
        replace(BACKUP, id=str(n) * 36, created_at=NOW + timedelta(seconds=n, milliseconds=500)) for n in (1, 2)
    ]
    async with database.writing() as tx:
        for one in later:
            await store.add_backup(tx, one)
        second = NOW + timedelta(seconds=1)
        count, found = await store.list_backups(
            tx, PROJECT_ID, INSTANCE_ID, Page(0, 10, made_from=second, made_until=second)
        )
        total, page = await store.list_backups(tx, PROJECT_ID, INSTANCE_ID, Page(1, 1))

    assert (count, [one.id for one in found]) == (1, ["1" * 36])
    assert (total, [one.id for one in page]) == (3, ["1" * 36])


async def test_a_restoration_uses_a_backup_until_it_has_ended(database: Database):
    async with database.writing() as tx:
        assert not await store.is_restored(tx, BACKUP.id)
        await store.add_restore(tx, RESTORE)
        assert await store.is_restored(tx, BACKUP.id)
        await store.save_restore(tx, replace(RESTORE, status=RestoreStatus.FAILED))
        assert not await store.is_restored(tx, BACKUP.id)


async def test_a_backup_that_leaves_is_found_until_it_is_gone(database: Database):
    async with database.writing() as tx:
        await store.mark_gone(tx, BACKUP.id, NOW)
        assert await store.find_any_backup(tx, BACKUP.id) == BACKUP, "nobody said that it leaves"

        await store.mark_leaving(tx, BACKUP.id, BackupStatus.EXPIRED)
        await store.mark_staying(tx, BACKUP.id, TaskError.NOT_DELETED, "no answer")
        [leaving] = await store.list_any_leaving(tx)
        assert (leaving.error, leaving.reason, leaving.is_usable) == (TaskError.NOT_DELETED, "no answer", False)

        later = NOW + timedelta(hours=1)
        await store.mark_gone(tx, BACKUP.id, later)
        await store.mark_staying(tx, BACKUP.id, TaskError.NOT_DELETED, "too late to say so")
        gone = await store.find_any_backup(tx, BACKUP.id)
        assert gone == replace(BACKUP, status=BackupStatus.EXPIRED, updated_at=later)
        assert await store.list_any_leaving(tx) == []


async def test_a_backup_that_failed_says_why_when_its_files_are_gone_too(database: Database):
    failed = replace(BACKUP, status=BackupStatus.FAILED, error=TaskError.NO_BUCKET, reason="full")
    async with database.writing() as tx:
        await store.save_backup(tx, failed)
        await store.mark_leaving(tx, BACKUP.id, BackupStatus.FAILED)
        await store.mark_staying(tx, BACKUP.id, TaskError.NOT_DELETED, "no answer")
        assert [one.error for one in await store.list_any_leaving(tx)] == [TaskError.NO_BUCKET]
        await store.mark_gone(tx, BACKUP.id, failed.updated_at)
        assert await store.find_any_backup(tx, BACKUP.id) == failed


async def test_records_of_what_is_over_are_found_by_when_that_was(database: Database):
    over = [
        replace(BACKUP, id=str(number) * 36, status=status)
        for number, status in enumerate((BackupStatus.FAILED, BackupStatus.EXPIRED, BackupStatus.DELETED))
    ]
    async with database.writing() as tx:
        for one in over:
            await store.add_backup(tx, one)
        await store.add_backup(
            tx, replace(BACKUP, id="l" * 36, status=BackupStatus.FAILED, leaves_as=BackupStatus.DELETED)
        )
        assert await store.list_any_over_before(tx, NOW) == []
        found = await store.list_any_over_before(tx, NOW + timedelta(milliseconds=1))
        assert {one.id for one in found} == {one.id for one in over}


async def test_runs_by_plan_since_a_moment(database: Database):
    async with database.writing() as tx:
        await store.add_backup(tx, replace(BACKUP, id="m" * 36, type=BackupType.MANUAL))
        assert await store.list_any_runs(tx, NOW) == [BACKUP]
        assert await store.list_any_runs(tx, NOW, "i" * 36) == []
        assert await store.list_any_runs(tx, NOW + timedelta(milliseconds=1)) == []


async def test_removed_backups_take_their_restorations_along(database: Database):
    async with database.writing() as tx:
        await store.add_restore(tx, replace(RESTORE, status=RestoreStatus.SUCCEEDED))
        await store.remove_backups(tx, [BACKUP.id])
        assert await store.list_restores(tx, PROJECT_ID, INSTANCE_ID, Page(0, 10)) == (0, [])
        assert await store.list_any_backups_of(tx, INSTANCE_ID) == []


async def test_only_automatic_policies_are_planned(database: Database):
    auto, manual = ({"backup_type": kind} for kind in ("auto", "manual"))
    async with database.writing() as tx:
        assert await instances.list_any_planned(tx, [State.RUNNING]) == []
        await instances.edit_instance(tx, INSTANCE_ID, backup_policy=manual)
        assert await instances.list_any_planned(tx, [State.RUNNING]) == []
        await instances.edit_instance(
            tx, INSTANCE_ID, backup_policy=auto, backup_policy_created_at=NOW, backup_policy_updated_at=NOW
        )
        [planned] = await instances.list_any_planned(tx, [State.RUNNING, State.ERROR])
        assert (planned.id, planned.backup_policy_created_at, planned.backup_policy_updated_at) == (
            INSTANCE_ID, NOW, NOW,
        )  # fmt: skip
        assert await instances.list_any_planned(tx, [State.ERROR]) == []
