"""Queries about tags. An instance is read with its own; see `instances.py`."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import delete, insert, select

from cachestead.domain.instances import State
from cachestead.store.database import Tx
from cachestead.store.tables import instance_tags, instances


async def save_tags(tx: Tx, instance_id: str, tags: Mapping[str, str]) -> None:
    """The instance has these tags and no others."""
    await tx.execute(delete(instance_tags).where(instance_tags.c.instance_id == instance_id))
    if tags:
        rows = [{"instance_id": instance_id, "key": key, "value": value} for key, value in tags.items()]
        await tx.execute(insert(instance_tags), rows)


async def list_values_by_key(tx: Tx, project_id: str) -> dict[str, list[str]]:
    """Every tag of the project's instances: the values of each key, both in order."""
    query = (
        select(instance_tags.c.key, instance_tags.c.value)
        .join(instances, instances.c.id == instance_tags.c.instance_id)
        .where(instances.c.project_id == project_id, instances.c.state != State.DELETED)
        .distinct()
    )
    found: dict[str, list[str]] = {}
    # Databases order texts each in their own way.
    for key, value in sorted((await tx.execute(query)).tuples()):
        found.setdefault(key, []).append(value)
    return found
