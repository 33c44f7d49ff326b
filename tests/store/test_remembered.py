"""What is remembered is what is there: a written change is seen by the next question."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from sqlalchemy import text

from cachestead.store.database import Database
from cachestead.store.remembered import Remembered


@pytest_asyncio.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'records.sqlite'}")
    async with database.writing() as tx:
        await tx.execute(text("create table counted (n integer)"))
    yield database
    await database.close()


async def add(database: Database) -> None:
    async with database.writing() as tx:
        await tx.execute(text("insert into counted values (1)"))


@pytest.mark.asyncio
async def test_an_answer_is_given_again_until_something_is_written(database: Database):
    looks = 0

    async def count() -> int:
        nonlocal looks
        looks += 1
        async with database.reading() as tx:
            return int(await tx.scalar(text("select count(*) from counted")) or 0)

    remembered: Remembered[int] = Remembered(database)
    assert [await remembered.get("all", count) for _ in range(3)] == [0, 0, 0]
    assert looks == 1
    await add(database)
    assert [await remembered.get("all", count) for _ in range(3)] == [1, 1, 1]
    assert looks == 2
    assert await remembered.get("another question", count) == 1
    assert looks == 3


@pytest.mark.asyncio
async def test_an_answer_that_a_change_overtook_is_not_kept(database: Database):
    remembered: Remembered[str] = Remembered(database)

    async def slow() -> str:
        await add(database)
        return "old"

    async def quick() -> str:
        return "new"

    assert await remembered.get("all", slow) == "old"
    assert await remembered.get("all", quick) == "new"


@pytest.mark.asyncio
async def test_nothing_is_remembered_where_others_write_too():
    elsewhere = Database("postgresql://nobody@127.0.0.1/none")
    remembered: Remembered[int] = Remembered(elsewhere)
    answers = iter((1, 2))

    async def next_one() -> int:
        return next(answers)

    assert [await remembered.get("all", next_one) for _ in range(2)] == [1, 2]
    await elsewhere.close()
