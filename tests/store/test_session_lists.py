"""Lists of sessions on record: replaced whole, read in order and by pages, dropped when their time is over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from examples import INSTANCE_ID as ID
from examples import NOW
from postgresql import NewDatabase
from sqlalchemy import func, select
from test_taking_an_instance import INSTANCE

from cachestead.domain.sessions import MOST_LISTED, Session
from cachestead.domain.sizes import MiB
from cachestead.store import instances, sessions
from cachestead.store.database import Database
from cachestead.store.sessions import SORTABLE, SessionFilter, SessionList
from cachestead.store.tables import sessions as rows

NODE, OTHER = "n" * 32, "m" * 32
ONE = Session(
    id=1, addr="10.0.0.1:1", fd=8, name="", cmd="get", age=0, idle=0, db=0, flags="N", sub=0, psub=0, multi=-1,
    qbuf=0, qbuf_free=2**33, obl=0, oll=0, omem=0, events="r", user="default",
)  # fmt: skip
SESSIONS = [
    replace(ONE, id=number, addr=f"10.0.0.{number % 3}:{5000 + number}", age=number % 4) for number in range(12)
]


@pytest.fixture
async def database(tmp_path: Path, new_database: NewDatabase) -> AsyncIterator[Database]:
    """Records of an instance with a list of its node's sessions."""
    made = Database(new_database() or f"sqlite:///{tmp_path / 'records.sqlite'}")
    await made.migrate()
    async with made.writing() as tx:
        await instances.add_instance(tx, INSTANCE, MiB(128))
        await sessions.save_list(tx, SessionList(NODE, ID, "j" * 32, NOW), SESSIONS)
        await sessions.save_list(tx, SessionList(OTHER, ID, "k" * 32, NOW), [ONE])
    yield made
    await made.close()


async def ids(database: Database, offset: int = 0, limit: int = 100, **wanted: object) -> tuple[int, list[int]]:
    async with database.reading() as tx:
        count, page = await sessions.list_sessions(tx, NODE, SessionFilter(**wanted), offset=offset, limit=limit)
    return count, [one.id for one in page]


async def test_sessions_come_back_as_they_were(database: Database) -> None:
    async with database.reading() as tx:
        assert await sessions.list_sessions(tx, NODE, SessionFilter(), offset=0, limit=100) == (12, SESSIONS)
        assert await sessions.find_list(tx, NODE) == SessionList(NODE, ID, "j" * 32, NOW)
        assert await sessions.find_list(tx, "x" * 32) is None


async def test_pages_are_of_one_order(database: Database) -> None:
    by_age = sorted(SESSIONS, key=lambda one: (-one.age, one.id))
    pages = [await ids(database, offset=place, limit=5, sort="age", descending=True) for place in (0, 5, 10, 15)]
    assert [count for count, _ in pages] == [12] * 4
    assert [one for _, page in pages for one in page] == [one.id for one in by_age]


@pytest.mark.parametrize("field", sorted(SORTABLE))
async def test_every_field_orders(database: Database, field: str) -> None:
    _, found = await ids(database, sort=field)
    known = {one.id: getattr(one, "addr" if field == "peer" else field) for one in SESSIONS}
    assert found == sorted(known, key=lambda one: (known[one], one))


@pytest.mark.parametrize(
    ("addr", "found"),
    [("10.0.0.1:", [1, 4, 7, 10]), ("5011", [11]), ("10.0.0.2:5002", [2]), ("%", []), ("10_0", [])],
)
async def test_a_part_of_the_address_is_enough(database: Database, addr: str, found: list[int]) -> None:
    assert await ids(database, addr=addr) == (len(found), found)


async def test_addresses_are_looked_up_on_one_list(database: Database) -> None:
    async with database.reading() as tx:
        asked = ["10.0.0.1:5001", "10.0.0.1:1", "10.9.9.9:1"]
        assert await sessions.list_addresses(tx, NODE, asked) == {"10.0.0.1:5001"}


async def test_a_new_list_takes_the_place_of_the_last(database: Database) -> None:
    later = SessionList(NODE, ID, "l" * 32, NOW + timedelta(hours=1))
    async with database.writing() as tx:
        await sessions.save_list(tx, later, [])
    assert await ids(database) == (0, [])
    async with database.reading() as tx:
        assert await sessions.find_list(tx, NODE) == later
        assert (await sessions.list_sessions(tx, OTHER, SessionFilter(), offset=0, limit=9))[0] == 1


async def test_lists_whose_time_is_over_go_with_their_sessions(database: Database) -> None:
    async with database.writing() as tx:
        await sessions.save_list(tx, SessionList(OTHER, ID, "k" * 32, NOW + timedelta(hours=1)), [ONE])
        assert await sessions.remove_lists_before(tx, NOW) == 0
        assert await sessions.remove_lists_before(tx, NOW + timedelta(minutes=1)) == 1
        assert await sessions.find_list(tx, NODE) is None
        assert await tx.scalar(select(func.count()).select_from(rows)) == 1


async def test_the_largest_list_is_kept_whole(database: Database) -> None:
    many = [replace(ONE, id=number, addr=f"10.0.0.1:{number}") for number in range(MOST_LISTED)]
    async with database.writing() as tx:
        await sessions.save_list(tx, SessionList(NODE, ID, "l" * 32, NOW), many)
    assert await ids(database, offset=MOST_LISTED - 1) == (MOST_LISTED, [MOST_LISTED - 1])
