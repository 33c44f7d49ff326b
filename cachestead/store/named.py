"""Which instances a request is about: whatever of a project is named by its id, or by that of its work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import select

from cachestead.domain.instances import State
from cachestead.store.database import Tx
from cachestead.store.tables import backups, instance_tags, instances, jobs, migration_tasks, nodes

_AT_A_TIME = 500


@dataclass(frozen=True, slots=True)
class Named:
    """An instance with what policies may go by."""

    id: str
    enterprise_project_id: str
    tags: tuple[tuple[str, str], ...]


async def list_named(tx: Tx, project_id: str, ids: Iterable[str]) -> list[Named]:
    """The project's instances with these ids, or with work, nodes or backups that have them."""
    wanted, found = sorted(set(ids)), set[str]()
    for begin in range(0, len(wanted), _AT_A_TIME):
        found |= await _owners(tx, project_id, wanted[begin : begin + _AT_A_TIME])
    return await _describe_all(tx, sorted(found))


async def list_unfinished(tx: Tx, project_id: str) -> list[Named]:
    """The project's instances whose creation failed, or may have by the time that anybody looks again."""
    ids = select(instances.c.id).where(
        instances.c.project_id == project_id, instances.c.state.in_((State.CREATING, State.CREATEFAILED))
    )
    return await _describe_all(tx, (await tx.scalars(ids.order_by(instances.c.id))).all())


async def _owners(tx: Tx, project_id: str, ids: list[str]) -> set[str]:
    own = instances.c.project_id == project_id
    found = set((await tx.scalars(select(instances.c.id).where(own, instances.c.id.in_(ids)))).all())
    for table in (jobs, nodes, backups):
        owner = select(table.c.instance_id).join(instances, instances.c.id == table.c.instance_id)
        found |= set((await tx.scalars(owner.where(own, table.c.id.in_(ids)))).all())
    tasks = select(migration_tasks.c.source, migration_tasks.c.target).where(
        migration_tasks.c.project_id == project_id, migration_tasks.c.id.in_(ids)
    )
    for source, target in (await tx.execute(tasks)).all():
        found |= {side["instance_id"] for side in (source, target) if side and side["instance_id"]}
    return found


async def _describe_all(tx: Tx, ids: Sequence[str]) -> list[Named]:
    named = []
    for begin in range(0, len(ids), _AT_A_TIME):
        named += await _describe(tx, ids[begin : begin + _AT_A_TIME])
    return named


async def _describe(tx: Tx, ids: Sequence[str]) -> list[Named]:
    tags: dict[str, list[tuple[str, str]]] = {}
    rows = await tx.execute(select(instance_tags).where(instance_tags.c.instance_id.in_(ids)))
    for row in rows.mappings():
        tags.setdefault(row["instance_id"], []).append((row["key"], row["value"]))
    query = select(instances.c.id, instances.c.enterprise_project_id).where(instances.c.id.in_(ids))
    return [
        Named(row.id, row.enterprise_project_id, tuple(tags.get(row.id, ()))) for row in await tx.execute(query)
    ]
