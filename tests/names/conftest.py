from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

# What the tests ask with stands beside the rooms' folders.
sys.path.insert(0, str(Path(__file__).parent.parent))

from answered_names import LOOPBACK, TTL, ZONE, Clock, Names

from cachestead.names.answers import Answers
from cachestead.names.directory import Directory
from cachestead.names.responder import Responder
from cachestead.store.database import Database


@pytest.fixture
async def database(tmp_path: Path, new_database: Callable[[], str | None]) -> AsyncIterator[Database]:
    database = Database(new_database() or f"sqlite:///{tmp_path / 'records.sqlite'}")
    await database.migrate()
    yield database
    await database.close()


@pytest.fixture
async def names(database: Database) -> AsyncIterator[Names]:
    clock = Clock()
    answers = Answers(ZONE, TTL, LOOPBACK, Directory(database, clock).find)
    responder = Responder(answers, LOOPBACK, 0)
    await responder.start()
    yield Names(database, clock, responder)
    await responder.stop()
