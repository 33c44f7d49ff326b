"""The audit trail as it is kept: listed by page and filter, forgotten in time, and written to files that end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from postgresql import NewDatabase

from cachestead.operations.audit import Trail
from cachestead.settings import AuditSettings
from cachestead.store.database import Database
from cachestead.store.traces import Trace, TraceFilter, add_trace, list_traces, remove_traces_before

DOMAIN, PROJECT = "d" * 32, "p" * 32
NOW = 1_700_000_000_000
MIB = 1024 * 1024
ENOUGH = 2500
"""Traces that fill more than two files of a MiB."""


@pytest.fixture
async def database(tmp_path: Path, new_database: NewDatabase) -> AsyncIterator[Database]:
    made = Database(new_database() or f"sqlite:///{tmp_path / 'records.sqlite'}")
    await made.migrate()
    yield made
    await made.close()


def trace(number: int, **fields: object) -> Trace:
    made = Trace(
        id=f"{number:08d}-0000-4000-8000-000000000000",
        domain_id=DOMAIN,
        project_id=PROJECT,
        at=NOW,
        name="create_user",
        service="IAM",
        resource_type="user",
        resource_id=None,
        user_id="u" * 32,
        user_name="ann",
        domain_name="cachestead",
        access_key=None,
        source_ip="127.0.0.1",
        path="/v3/users",
        read_only=False,
        status=201,
        error=None,
        request_id="r" * 32,
    )
    return replace(made, **fields)


async def listed(database: Database, limit: int = 100, project: str = PROJECT, **wanted: object) -> list[int]:
    """The numbers of what matches."""
    found = TraceFilter(begin=0, end=2 * NOW, **wanted)
    async with database.reading() as tx:
        return [int(one.id[:8]) for one in await list_traces(tx, DOMAIN, project, found, limit)]


async def add(database: Database, *traces: Trace) -> None:
    async with database.writing() as tx:
        for one in traces:
            await add_trace(tx, one)


async def test_pages_follow_each_other_where_many_have_the_same_time(database: Database) -> None:
    await add(database, *(trace(number, at=NOW + number // 4) for number in range(10)))
    seen, before = [], None
    while page := await listed(database, 3, before=before):
        seen += page
        before = trace(page[-1]).id
    assert seen == list(range(9, -1, -1))
    assert await listed(database, before="of nothing") == []


async def test_others_traces_are_not_there(database: Database) -> None:
    await add(
        database, trace(1), trace(2, project_id=None), trace(3, project_id="q" * 32), trace(4, domain_id="e" * 32)
    )
    assert await listed(database) == [2, 1]
    assert await listed(database, project="q" * 32) == [3, 2]
    assert await listed(database, before=trace(4).id) == []


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"name": "x"}, {"name": "x"}),
        ({"service": "DCS"}, {"service": "DCS"}),
        ({"resource_type": "key"}, {"resource_type": "key"}),
        ({"resource_id": "x"}, {"resource_id": "x"}),
        ({"resource_name": "x"}, {"resource_name": "x"}),
        ({"user_name": "ben"}, {"user_name": "ben"}),
        ({"access_key": "K"}, {"access_key": "K"}),
        ({"status": 403}, {"rating": "warning"}),
        ({"status": 500}, {"rating": "incident"}),
    ],
    ids=lambda one: next(iter(one)),
)
async def test_a_filter_finds_what_it_names(
    database: Database, fields: dict[str, object], wanted: dict[str, object]
) -> None:
    await add(database, trace(1), trace(2, **fields))
    assert await listed(database, **wanted) == [2]


async def test_what_is_older_than_told_is_forgotten(database: Database) -> None:
    await add(database, trace(1, at=NOW - 1), trace(2), trace(3, at=NOW + 1))
    async with database.writing() as tx:
        await remove_traces_before(tx, NOW)
    assert await listed(database) == [3, 2]


async def test_files_are_private_end_and_are_no_more_than_told(database: Database, tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    trail = Trail(database, AuditSettings(file=folder / "trail.jsonl", file_mb=1, files=1))
    for number in range(ENOUGH):
        long = {"path": "x" * 255, "resource_name": "x" * 128, "user_name": "x" * 64, "domain_name": "x" * 64}
        await trail.record(trace(number, **long))
    trail.close()
    files = sorted(folder.iterdir())
    assert [one.name for one in files] == ["trail.jsonl", "trail.jsonl.1"]
    assert all(one.stat().st_mode & 0o777 == 0o600 for one in files)
    assert all(one.stat().st_size <= MIB for one in files)
    lines = [json.loads(line) for one in reversed(files) for line in one.read_text().splitlines()]
    numbers = [int(line["id"][:8]) for line in lines]
    assert numbers == list(range(numbers[0], ENOUGH))
    assert lines[-1]["rating"] == "normal"
