"""Migration tasks on record: they come back as they were, by project, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from examples import INSTANCE_ID, NOW, PROJECT_ID
from postgresql import NewDatabase

from cachestead.domain.backups import TaskError
from cachestead.domain.migration_tasks import (
    Endpoint,
    ImportedFile,
    MigrationMethod,
    MigrationStatus,
    MigrationTask,
    MigrationType,
)
from cachestead.store import migration_tasks as store
from cachestead.store.database import Database

TASK = MigrationTask(
    id="t" * 36,
    project_id=PROJECT_ID,
    name="first-import",
    type=MigrationType.IMPORT,
    method=MigrationMethod.FULL,
    status=MigrationStatus.MIGRATING,
    target=Endpoint(INSTANCE_ID, "example", "127.64.0.9:6379"),
    created_at=NOW,
    updated_at=NOW,
    bucket="cachestead",
    files=(
        ImportedFile("imports/a.rdb", "754.0MB", key=f"{PROJECT_ID}/imports/a.rdb"),
        ImportedFile("imports/b.rdb"),
    ),
)


@pytest.fixture
async def database(tmp_path: Path, new_database: NewDatabase) -> AsyncIterator[Database]:
    """Records with the task."""
    made = Database(new_database() or f"sqlite:///{tmp_path / 'records.sqlite'}")
    await made.migrate()
    async with made.writing() as tx:
        await store.add_task(tx, TASK)
    yield made
    await made.close()


async def test_a_task_comes_back_as_it_was_saved(database: Database):
    ended = replace(
        TASK,
        status=MigrationStatus.FAILED,
        source=Endpoint("s" * 36, "from", "127.64.0.7:6379", "sealed"),
        backup_id="b" * 36,
        bucket=None,
        files=(),
        progress=40.5,
        source_keys=2**40,
        error=TaskError.NOT_SYNCHRONIZED,
        reason="the file ends too early",
        ended_at=NOW + timedelta(seconds=1),
    )

    async with database.writing() as tx:
        before = await store.find_any_task(tx, TASK.id)
        await store.save_task(tx, ended)
        after = await store.find_task(tx, PROJECT_ID, TASK.id)

    assert (before, after) == (TASK, ended)


async def test_another_project_sees_no_task(database: Database):
    async with database.reading() as tx:
        assert await store.find_task(tx, "q" * 32, TASK.id) is None
        assert await store.list_tasks(tx, "q" * 32, None, offset=0, limit=10) == (0, [])


async def test_pages_are_newest_first_and_by_part_of_the_name(database: Database):
    later = [
        replace(TASK, id=str(n) * 36, name=f"task_{n}", created_at=NOW + timedelta(seconds=n)) for n in range(1, 4)
    ]
    async with database.writing() as tx:
        for task in later:
            await store.add_task(tx, task)

    async with database.reading() as tx:
        count, page = await store.list_tasks(tx, PROJECT_ID, None, offset=1, limit=2)
        named, found = await store.list_tasks(tx, PROJECT_ID, "TASK_", offset=0, limit=10)

    assert (count, [task.name for task in page]) == (4, ["task_2", "task_1"])
    assert (named, [task.name for task in found]) == (3, ["task_3", "task_2", "task_1"])


async def test_a_backup_is_read_until_its_task_has_ended(database: Database):
    reading = replace(TASK, id="r" * 36, backup_id="b" * 36)
    async with database.writing() as tx:
        await store.add_task(tx, reading)
        assert await store.is_imported(tx, "b" * 36)
        assert not await store.is_imported(tx, "c" * 36)

        await store.save_task(tx, replace(reading, ended_at=NOW, status=MigrationStatus.SUCCESS))
        assert not await store.is_imported(tx, "b" * 36)
