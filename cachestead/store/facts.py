"""What the installation remembers once: a value under a name."""

from __future__ import annotations

from sqlalchemy import insert, select, update

from cachestead.store.database import Tx
from cachestead.store.tables import facts


async def find_fact(tx: Tx, key: str) -> str | None:
    """The value, or None if it was never saved."""
    value: str | None = await tx.scalar(select(facts.c.value).where(facts.c.key == key))
    return value


async def save_fact(tx: Tx, key: str, value: str) -> None:
    """Remember the value, in place of an earlier one."""
    changed = await tx.execute(update(facts).where(facts.c.key == key).values(value=value))
    if changed.rowcount == 0:
        await tx.execute(insert(facts).values(key=key, value=value))
