"""Taking an instance: the lock of every change, and what it must not undo."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from examples import INSTANCE_ID as ID
from examples import instance_like
from postgresql import NewDatabase

from cachestead.domain.instances import Instance, Node, Role, State
from cachestead.domain.sizes import MiB
from cachestead.store import instances as store
from cachestead.store.database import Database

INSTANCE = instance_like(
    name="old-name",
    secrets="old secrets",
    nodes=(Node("n" * 32, ID, 0, 0, "127.64.0.9", 6379, "az1", Role.MASTER),),
)


@pytest.fixture
async def database(tmp_path: Path, new_database: NewDatabase) -> AsyncIterator[Database]:
    """Records with one instance."""
    made = Database(new_database() or f"sqlite:///{tmp_path / 'records.sqlite'}")
    await made.migrate()
    async with made.writing() as tx:
        await store.add_instance(tx, INSTANCE, MiB(128))
    yield made
    await made.close()


async def read(database: Database) -> Instance:
    async with database.reading() as tx:
        return await store.get_instance(tx, INSTANCE.project_id, ID)


async def test_who_takes_it_leaves_alone_what_others_changed_since_it_was_read(database: Database):
    before = await read(database)
    async with database.writing() as tx:
        await store.edit_instance(tx, ID, name="new-name", secrets="new secrets")

    async with database.writing() as tx:
        assert await store.take_instance(tx, before, replace(before, state=State.ERROR))

    after = await read(database)
    assert (after.state, after.name, after.secrets) == (State.ERROR, "new-name", "new secrets")


@pytest.mark.parametrize(
    "meanwhile",
    [
        pytest.param({"state": State.RESTARTING}, id="another state"),
        pytest.param({"task": "modify"}, id="another task"),
    ],
)
async def test_nobody_takes_it_after_another_has(database: Database, meanwhile: dict[str, str]):
    before = await read(database)
    async with database.writing() as tx:
        await store.edit_instance(tx, ID, **meanwhile)

    async with database.writing() as tx:
        assert not await store.take_instance(tx, before, replace(before, name="lost", state=State.ERROR))

    assert (await read(database)).name == "old-name"


async def test_taking_without_a_change_still_asks_whether_it_is_free(database: Database):
    before = await read(database)
    async with database.writing() as tx:
        assert await store.take_instance(tx, before, before)
