"""The migrations and the tables say the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from postgresql import NewDatabase
from sqlalchemy import create_engine

from cachestead.store.database import Database
from cachestead.store.tables import domains, metadata


@pytest.fixture
def url(tmp_path: Path, new_database: NewDatabase) -> str:
    """An empty database."""
    return new_database() or f"sqlite:///{tmp_path / 'records.sqlite'}"


async def test_migrated_records_have_the_tables_of_the_code(url: str) -> None:
    database = Database(url)
    await database.migrate()
    await database.migrate()
    await database.close()

    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


async def test_a_change_that_raises_leaves_nothing(url: str) -> None:
    database = Database(url)
    await database.migrate()

    async def change() -> None:
        async with database.writing() as tx:
            await tx.execute(domains.insert().values(id="a" * 32, name="half"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await change()

    async with database.reading() as tx:
        assert (await tx.execute(domains.select())).all() == []
    await database.close()
