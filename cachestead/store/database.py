"""The connection to the database, and the two ways to use it.

`reading()` for looks, `writing()` for changes: a block that ends well is committed whole, one that raises leaves
nothing. On SQLite a change takes the write lock at its start (BEGIN IMMEDIATE), so that two changes queue instead
of failing half-way; on PostgreSQL rows are locked as usual.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

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
        self._engine = _sqlite_engine(self.url) if self.is_sqlite else _server_engine(self.url, pool_size)
        self._writer = self._engine.execution_options(cachestead_writes=True)

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
        async with self._write_lock, self._writer.begin() as connection:
            yield connection

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


def _sqlite_engine(url: str) -> AsyncEngine:
    engine = create_async_engine(url, connect_args={"timeout": 30, "isolation_level": None})

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("cachestead_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
