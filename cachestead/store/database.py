"""The connection to the database, and the two ways to use it.

`reading()` for looks, `writing()` for changes: a block that ends well is committed whole, one that raises leaves
nothing. On SQLite a change takes the write lock at its start (BEGIN IMMEDIATE), so that two changes queue instead
of failing half-way; on PostgreSQL rows are locked as usual.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import aiosqlite
import orjson
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, event
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

Tx = AsyncConnection
"""What the query modules take: a connection inside a transaction."""

_MIGRATIONS = Path(__file__).parent / "migrations"


class Database:
    """The records, behind `reading()` and `writing()`."""

    def __init__(self, url: str, pool_size: int = 10) -> None:
        self.url = _with_async_driver(url)
        self.is_sqlite = make_url(self.url).get_backend_name() == "sqlite"
        self._write_lock = asyncio.Lock()
        self._changes = 0
        if self.is_sqlite:
            self._engine = _sqlite_engine(self.url, _LocalConnection, "BEGIN")
            self._writer = _sqlite_engine(self.url, aiosqlite.Connection, "BEGIN IMMEDIATE")
        else:
            self._engine = self._writer = _server_engine(self.url, pool_size)

    @property
    def generation(self) -> int | None:
        """Another number after every change; None where other processes may write too."""
        return self._changes if self.is_sqlite else None

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Tx]:
        """A consistent look at the records."""
        async with self._engine.connect() as connection:
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Tx]:
        """A change: committed at the end, rolled back on any exception."""
        if not self.is_sqlite:
            async with self._engine.begin() as connection:
                yield connection
            return
        # Within one process a lock is fairer and quicker than SQLite's own waiting.
        async with self._write_lock:
            try:
                async with self._writer.begin() as connection:
                    yield connection
            finally:
                self._changes += 1

    async def migrate(self) -> None:
        """Bring the schema to the newest version; nothing happens if it is."""

        def upgrade(connection: Connection) -> None:
            config = Config()
            config.set_main_option("script_location", str(_MIGRATIONS))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

        async with self._writer.begin() as connection:
            await connection.run_sync(upgrade)

    async def close(self) -> None:
        """Give the connections back."""
        await self._engine.dispose()
        await self._writer.dispose()


def _with_async_driver(url: str) -> str:
    parsed = make_url(url)
    driver = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+psycopg"}.get(parsed.get_backend_name())
    if driver is None:
        raise ValueError(
            f"store.database_url: {parsed.get_backend_name()} is not supported; use sqlite or postgresql"
        )
    return parsed.set(drivername=driver).render_as_string(hide_password=False)


def _server_engine(url: str, pool_size: int) -> AsyncEngine:
    return create_async_engine(url, pool_size=pool_size, max_overflow=pool_size, pool_pre_ping=True)


class _LocalConnection(aiosqlite.Connection):
    """Runs each call where it is made.

    A look at a local file takes microseconds, and waits for no writer (WAL); the way to a thread and back, four
    times for each query, takes longer than all else together. A commit waits for the disk, so writers use threads.
    """

    async def _connect(self) -> Self:
        self._connection = self._connector()
        return self

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)


def _sqlite_engine(url: str, kind: type[aiosqlite.Connection], begin_with: str) -> AsyncEngine:
    path = make_url(url).database or ""

    async def connect() -> aiosqlite.Connection:
        made = kind(lambda: sqlite3.connect(path, timeout=30, isolation_level=None), iter_chunk_size=64)
        made._thread.daemon = True  # noqa: SLF001 - or a connection that is not closed keeps the process
        return await made

    engine = create_async_engine(url, async_creator=connect, json_deserializer=orjson.loads)

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        # On the driver's own cursor: one statement without results needs nothing of what SQLAlchemy adds.
        cursor = connection.connection.cursor()
        cursor.execute(begin_with)
        cursor.close()

    return engine
