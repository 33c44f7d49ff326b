"""Backups by plan, their retention and their removal. The clock is moved; records and objects are real.

Jobs are saved and nobody runs them: a backup stays as it was saved until a test says how it ended.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dbos import DBOS
from examples import INSTANCE_ID as ONE
from examples import PROJECT_ID, instance_like
from installation import free_port
from object_stores import BUCKET, S3Server, find_rclone, keys_of, pieces
from postgresql import NewDatabase

from cachestead import bootstrap
from cachestead.bootstrap import Application
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
from cachestead.domain.jobs import JobStatus
from cachestead.domain.sizes import MiB
from cachestead.operations.service import Service
from cachestead.reconcilers.backups import Backups
from cachestead.settings import load_settings
from cachestead.store import backups as store
from cachestead.store import instances, jobs
from cachestead.workflows.back_up_instance import BACK_UP_INSTANCE

MONDAY = datetime(2025, 5, 5, tzinfo=UTC)
OPENING = MONDAY + timedelta(hours=2)
POLICY = {
    "backup_type": "auto",
    "save_days": 3,
    "periodical_backup_plan": {"period_type": "weekly", "backup_at": [1, 4], "begin_at": "02:00-03:00"},
}
KEEP = timedelta(days=30)
INSTANCE = instance_like(
    mode=Mode.HA,
    backup_policy=POLICY,
    backup_policy_created_at=MONDAY,
    backup_policy_updated_at=MONDAY,
    nodes=(Node("n" * 32, ONE, 0, 0, "127.64.0.9", 6379, "az1", Role.MASTER),),
)


async def build(folder: Path, new_database: NewDatabase, **settings: Any) -> Application:
    """The product, built, with an instance that has a plan; nobody runs jobs."""
    made = await bootstrap.build(
        load_settings(
            data_dir=folder,
            server={"port": free_port()},
            store={"database_url": new_database()},
            region={"subnet_cidr": f"127.{random.randint(130, 150)}.{random.randint(0, 15) * 16}.0/20"},
            **settings,
        )
    )
    async with made.database.writing() as tx:
        await instances.add_instance(tx, INSTANCE, MiB(0))
    return made


async def close(application: Application) -> None:
    DBOS.destroy()
    await application.machinery.sentinels.close()
    await application.machinery.connections.close()
    await application.database.close()


@pytest.fixture
async def application(tmp_path: Path, new_database: NewDatabase) -> AsyncIterator[Application]:
    made = await build(tmp_path / "data", new_database)
    yield made
    await close(made)


@pytest.fixture
async def s3(tmp_path: Path) -> AsyncIterator[S3Server]:
    if find_rclone() is None:
        pytest.skip("rclone is not installed")
    server = S3Server(tmp_path / "s3" / "buckets").start()
    yield server
    server.kill()


def at(application: Application, moment: datetime) -> Backups:
    """The reconciler, at a time."""
    service: Service = application.http.state.services.service
    moved = replace(service, machinery=replace(service.machinery, now=lambda: moment))
    return Backups(moved, KEEP)


async def backups_of(application: Application) -> list[Backup]:
    """Oldest first."""
    async with application.database.reading() as tx:
        return (await store.list_any_backups_of(tx, ONE))[::-1]


async def end(application: Application, status: BackupStatus, at: datetime) -> None:
    """The newest backup comes to its end, and the instance is free."""
    async with application.database.writing() as tx:
        newest, *_ = await store.list_any_backups_of(tx, ONE)
        await store.save_backup(tx, replace(newest, status=status, updated_at=at))
        for job in await jobs.list_unfinished_of(tx, ONE, [BACK_UP_INSTANCE.name]):
            await jobs.save_job(tx, replace(job, status=JobStatus.SUCCESS, ended_at=at))
        await instances.edit_instance(tx, ONE, task=None, state=State.RUNNING)


async def add(application: Application, made: datetime, **fields: Any) -> Backup:
    """A backup that succeeded, with its file in the store."""
    name = f"{made:%d%H%M%S}"
    backup = Backup(
        id=name.ljust(36, "0"),
        instance_id=ONE,
        project_id=PROJECT_ID,
        name=f"backup_{name}",
        type=fields.pop("type", BackupType.MANUAL),
        format=BackupFormat.RDB,
        status=fields.pop("status", BackupStatus.SUCCEEDED),
        created_at=made,
        updated_at=made,
        files=(BackupFile("file.rdb", 0, None, 5),),
        **fields,
    )
    await application.machinery.objects.put(backup.folder + "file.rdb", pieces(b"REDIS"))
    async with application.database.writing() as tx:
        await store.add_backup(tx, backup)
    return backup


async def statuses(application: Application) -> dict[str, BackupStatus]:
    return {one.id: one.status for one in await backups_of(application)}


async def test_an_opening_begins_one_backup_with_its_job(application: Application):
    await at(application, OPENING - timedelta(seconds=1)).run_pass()
    assert await backups_of(application) == []

    for minute in (0, 1, 30):
        await at(application, OPENING + timedelta(minutes=minute)).run_pass()

    [made] = await backups_of(application)
    assert (made.type, made.status, made.created_at) == (BackupType.AUTO, BackupStatus.WAITING, OPENING)
    assert (made.format, made.period, made.save_days) == (BackupFormat.RDB, "02:00-03:00", 3)
    async with application.database.reading() as tx:
        [job] = await jobs.list_unfinished_of(tx, ONE, [BACK_UP_INSTANCE.name])
        instance = await instances.find_any_instance(tx, ONE)
    assert job.params == {"backup_id": made.id}
    assert (job.user_name, instance and instance.task) == (INSTANCE.user_name, "BackupInstance")

    await end(application, BackupStatus.SUCCEEDED, OPENING)
    await at(application, OPENING + timedelta(hours=2)).run_pass()
    assert len(await backups_of(application)) == 1
    await at(application, OPENING + timedelta(days=3)).run_pass()
    assert len(await backups_of(application)) == 2


async def test_two_services_at_once_begin_one_backup(application: Application):
    await asyncio.gather(*(at(application, OPENING).run_pass() for _ in range(8)))

    assert len(await backups_of(application)) == 1


async def test_what_was_missed_is_made_up_for_once(application: Application):
    back = OPENING + timedelta(days=16, hours=5)
    await at(application, back).run_pass()
    await end(application, BackupStatus.SUCCEEDED, back)
    await at(application, back + timedelta(hours=1)).run_pass()

    [made] = await backups_of(application)
    assert made.created_at == back


async def test_a_busy_instance_is_asked_again_in_the_next_hours_and_then_left_alone(application: Application):
    async with application.database.writing() as tx:
        await instances.edit_instance(tx, ONE, state=State.EXTENDING)
    for minute in range(0, 6 * 60, 10):
        await at(application, OPENING + timedelta(minutes=minute)).run_pass()

    failed = await backups_of(application)
    assert [one.created_at for one in failed] == [OPENING + timedelta(hours=hour) for hour in range(3)]
    assert {(one.status, one.error) for one in failed} == {(BackupStatus.FAILED, TaskError.INSTANCE_BUSY)}
    assert "DCS.4113" in (failed[0].reason or "")


async def test_a_backup_that_failed_is_tried_again(application: Application):
    await at(application, OPENING).run_pass()
    await end(application, BackupStatus.FAILED, OPENING)
    await at(application, OPENING + timedelta(minutes=59)).run_pass()
    assert len(await backups_of(application)) == 1
    await at(application, OPENING + timedelta(hours=1)).run_pass()
    await end(application, BackupStatus.SUCCEEDED, OPENING + timedelta(hours=1))
    await at(application, OPENING + timedelta(hours=2)).run_pass()
    assert [one.status for one in await backups_of(application)] == [BackupStatus.FAILED, BackupStatus.SUCCEEDED]


@pytest.mark.parametrize("state", [State.CREATING, State.DELETING, State.FROZEN])
async def test_an_instance_that_is_not_in_use_is_left_alone(application: Application, state: State):
    async with application.database.writing() as tx:
        await instances.edit_instance(tx, ONE, state=state)
    await at(application, OPENING).run_pass()
    assert await backups_of(application) == []


async def test_days_on_a_plan_that_is_switched_off_are_not_made_up_for(application: Application):
    async with application.database.writing() as tx:
        await instances.edit_instance(tx, ONE, backup_policy=POLICY | {"backup_type": "manual"})
    await at(application, OPENING).run_pass()
    again = OPENING + timedelta(hours=5)
    async with application.database.writing() as tx:
        await instances.edit_instance(tx, ONE, backup_policy=POLICY, backup_policy_updated_at=again)
    await at(application, again).run_pass()
    assert await backups_of(application) == []
    await at(application, OPENING + timedelta(days=3)).run_pass()
    assert len(await backups_of(application)) == 1


async def test_what_is_too_old_or_too_much_leaves_with_its_files(application: Application):
    before = MONDAY - timedelta(days=20)
    by_hand = [await add(application, before + timedelta(minutes=n)) for n in range(22)]
    by_plan = [
        await add(application, before + timedelta(hours=n), type=BackupType.AUTO, save_days=days)
        for n, days in ((1, 1), (2, 7), (3, 1), (4, 1))
    ]
    await at(application, before + timedelta(days=2)).run_pass()

    gone = {one for one, status in (await statuses(application)).items() if status is BackupStatus.EXPIRED}
    assert gone == {by_plan[0].id, by_plan[2].id}, "those of one day; the last one stays"
    assert len(await keys_of(application.machinery.objects)) == 24

    await add(application, before + timedelta(days=2))
    await at(application, before + timedelta(days=2)).run_pass()
    found = await statuses(application)
    assert found[by_hand[0].id] is BackupStatus.EXPIRED
    assert sum(status is BackupStatus.SUCCEEDED for status in found.values()) == 24
    assert by_hand[0].keys[0] not in await keys_of(application.machinery.objects)


async def test_what_is_being_restored_from_stays_until_that_is_over(application: Application):
    oldest, *_ = [await add(application, MONDAY - timedelta(days=2, minutes=-n)) for n in range(25)]
    restore = Restore(
        id="r" * 36, instance_id=ONE, project_id=PROJECT_ID, backup_id=oldest.id, name="restore",
        status=RestoreStatus.RESTORING, created_at=MONDAY, updated_at=MONDAY,
    )  # fmt: skip
    async with application.database.writing() as tx:
        await store.add_restore(tx, restore)
    await at(application, MONDAY).run_pass()
    assert (await statuses(application))[oldest.id] is BackupStatus.SUCCEEDED

    async with application.database.writing() as tx:
        await store.save_restore(tx, replace(restore, status=RestoreStatus.SUCCEEDED))
    await at(application, MONDAY).run_pass()
    assert (await statuses(application))[oldest.id] is BackupStatus.EXPIRED


@pytest.mark.parametrize("leaves_as", [BackupStatus.DELETED, BackupStatus.FAILED])
async def test_a_removal_that_was_cut_off_is_finished(application: Application, leaves_as: BackupStatus):
    backup = await add(application, MONDAY)
    async with application.database.writing() as tx:
        await store.mark_leaving(tx, backup.id, leaves_as)
    await at(application, MONDAY).run_pass()
    assert await statuses(application) == {backup.id: leaves_as}
    assert await keys_of(application.machinery.objects) == []


async def test_records_of_what_is_over_go_in_the_end_with_whatever_a_failure_left(application: Application):
    failed = await add(application, MONDAY, status=BackupStatus.FAILED)
    kept = await add(application, MONDAY + timedelta(minutes=1))
    await at(application, MONDAY + KEEP).run_pass()
    assert failed.id in await statuses(application)
    await at(application, MONDAY + KEEP + timedelta(seconds=1)).run_pass()
    found = await statuses(application)
    assert (failed.id in found, found[kept.id]) == (False, BackupStatus.SUCCEEDED)
    assert await keys_of(application.machinery.objects) == kept.keys


async def test_a_store_that_is_away_delays_removals_and_nothing_else(
    tmp_path: Path, new_database: NewDatabase, s3: S3Server
):
    application = await build(tmp_path / "data", new_database, objects=s3.settings(bucket=BUCKET))
    backup = await add(application, MONDAY - timedelta(days=1))
    async with application.database.writing() as tx:
        await store.mark_leaving(tx, backup.id, BackupStatus.EXPIRED)
    s3.kill()

    await at(application, OPENING).run_pass()

    waiting, made = await backups_of(application)
    assert (waiting.status, waiting.error) == (BackupStatus.SUCCEEDED, TaskError.NOT_DELETED)
    assert made.type is BackupType.AUTO
    s3.start()
    await at(application, OPENING).run_pass()
    gone, _ = await backups_of(application)
    assert (gone.status, gone.error) == (BackupStatus.EXPIRED, None)
    await close(application)
