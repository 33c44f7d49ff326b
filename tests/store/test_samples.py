"""What is kept of figures: once for a moment, summarised when a period is over, and no longer than told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from postgresql import NewDatabase
from sqlalchemy import func, select

from cachestead.domain.history import KEPT, SAMPLED, Summary
from cachestead.reconcilers.sampler import Sampler
from cachestead.settings import MonitoringSettings
from cachestead.store import samples
from cachestead.store.database import Database
from cachestead.store.tables import samples as table

ONE, TWO = "1" * 36, "2" * 36
MINUTE, DAY = 60_000, 86_400_000
BEGIN = 1_700_006_400_000
"""The begin of a day."""


@pytest.fixture
async def database(tmp_path, new_database: NewDatabase) -> AsyncIterator[Database]:
    made = Database(new_database() or f"sqlite:///{tmp_path / 'records.sqlite'}")
    await made.migrate()
    yield made
    await made.close()


class Clock:
    """A sampler that has no nodes to look at, at a time that the test decides."""

    def __init__(self, database: Database, **settings: int) -> None:
        self.at = BEGIN
        self.database = database
        machinery = SimpleNamespace(database=database, now=lambda: datetime.fromtimestamp(self.at / 1000, UTC))
        self.sampler = Sampler(machinery, MonitoringSettings(**settings))  # type: ignore[arg-type]

    async def sampled(self, at: int, *instances: str, keys: float = 1.0) -> None:
        """The instances had so many keys."""
        self.at = at
        async with self.database.writing() as tx:
            await samples.add_samples(tx, SAMPLED, at, {one: {"": {"keys": keys}} for one in instances})
        await self.sampler.summarise(at)


async def summaries(database: Database, instance: str, period: int) -> dict[int, tuple[int, float]]:
    """Count and average of an instance's keys by the begin of each summary, from the beginning."""
    async with database.reading() as tx:
        found = await samples.list_samples(tx, instance, period, BEGIN - DAY, BEGIN + 4000 * DAY)
    made = {at: Summary.of(record[""]["keys"]) for at, record in found}
    return {at - BEGIN: (one.count, one.value("average")) for at, one in made.items()}


async def test_a_moment_is_on_record_once(database: Database):
    async with database.writing() as tx:
        await samples.add_samples(tx, SAMPLED, BEGIN, {ONE: {"": {"keys": 1.0}}})
    async with database.writing() as tx:
        await samples.add_samples(tx, SAMPLED, BEGIN, {ONE: {"": {"keys": 2.0}}, TWO: {"": {"keys": 3.0}}})
    async with database.reading() as tx:
        assert await samples.list_samples(tx, ONE, SAMPLED, BEGIN, BEGIN + 1) == [(BEGIN, {"": {"keys": 1.0}})]
        assert await samples.list_samples(tx, TWO, SAMPLED, BEGIN, BEGIN + 1) == [(BEGIN, {"": {"keys": 3.0}})]
        assert await samples.list_samples(tx, TWO, SAMPLED, BEGIN - 1, BEGIN) == []


async def test_the_newest_figures_are_of_each_instance_and_not_old(database: Database):
    async with database.writing() as tx:
        await samples.add_samples(tx, SAMPLED, BEGIN, {ONE: {"": {"keys": 1.0}}, TWO: {"": {"keys": 2.0}}})
        await samples.add_samples(tx, SAMPLED, BEGIN + MINUTE, {ONE: {"": {"keys": 3.0}}})
        await samples.add_samples(tx, 300, BEGIN + MINUTE, {ONE: {"": {"keys": [1, 1, 1, 1, 0]}}})
        assert await samples.list_any_newest(tx, BEGIN) == {ONE: {"": {"keys": 3.0}}, TWO: {"": {"keys": 2.0}}}
        assert await samples.list_any_newest(tx, BEGIN + 1) == {ONE: {"": {"keys": 3.0}}}


async def test_a_period_is_summarised_when_it_is_over(database: Database):
    clock = Clock(database)
    for minute in range(5):
        await clock.sampled(BEGIN + minute * MINUTE, ONE, keys=minute)
        assert await summaries(database, ONE, 300) == {}
    await clock.sampled(BEGIN + 5 * MINUTE, ONE, keys=50)
    assert await summaries(database, ONE, 300) == {0: (5, 2.0)}
    for minute in range(6, 61):
        await clock.sampled(BEGIN + minute * MINUTE, ONE, keys=50)
    assert (await summaries(database, ONE, 1200))[0] == (20, (0 + 1 + 2 + 3 + 4 + 15 * 50) / 20)
    assert await summaries(database, ONE, 3600) == {0: (60, (10 + 55 * 50) / 60)}


async def test_what_was_left_by_a_stop_is_summarised_later_and_once(database: Database):
    await Clock(database).sampled(BEGIN, ONE, keys=1)
    late = BEGIN + 3 * DAY // 2
    for _ in range(2):
        await Clock(database).sampled(late, ONE, TWO, keys=9)
    assert await summaries(database, ONE, 300) == {0: (1, 1.0)}
    assert (await summaries(database, ONE, 86400), await summaries(database, TWO, 86400)) == ({0: (1, 1.0)}, {})
    await Clock(database).sampled(late + DAY, ONE)
    assert set(await summaries(database, TWO, 3600)) == {late - BEGIN}


async def test_records_are_bounded_however_long_it_goes_on(database: Database):
    clock, counts = Clock(database), []
    for hour in range(24 * 13):
        await clock.sampled(BEGIN + hour * 60 * MINUTE, ONE)
        if hour % 24 == 23:
            async with database.reading() as tx:
                query = select(table.c.period, func.count()).group_by(table.c.period)
                counts.append({row[0]: row[1] for row in await tx.execute(query)})
    # An hour more than the days that are kept: the one that has just begun. Longer periods go on for longer.
    assert counts[-1][SAMPLED] == counts[2][SAMPLED] == 24 * KEPT[SAMPLED].keep_days + 1
    assert counts[-1][300] == counts[-2][300] == 24 * KEPT[300].keep_days
    assert counts[-1][1200] == counts[-1][3600] == 24 * 13 - 1


async def test_records_of_instances_that_are_gone_go_with_time(database: Database):
    clock = Clock(database)
    for hour in range(30):
        await clock.sampled(BEGIN + hour * 60 * MINUTE, ONE)
    for day in range(1, 2000, 50):
        await clock.sampled(BEGIN + day * DAY)
    async with database.reading() as tx:
        assert await tx.scalar(select(func.count()).select_from(table)) == 0


async def test_nothing_is_kept_for_longer_than_the_setting_says(database: Database):
    clock = Clock(database, keep_days=1)
    for hour in range(0, 24 * 4, 4):
        await clock.sampled(BEGIN + hour * 60 * MINUTE, ONE)
    async with database.reading() as tx:
        oldest = await tx.scalar(select(func.min(table.c.at)))
    assert oldest == clock.at - DAY
