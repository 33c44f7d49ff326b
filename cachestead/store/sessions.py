"""Queries about lists of sessions: the newest of each node. Whoever asks has found the instance by its project."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime

from sqlalchemy import ColumnElement, delete, func, insert, select

from cachestead.domain.sessions import Session
from cachestead.store.database import Tx
from cachestead.store.tables import session_lists, sessions
from cachestead.store.times import from_ms, to_ms

_FIELDS = tuple(one.name for one in fields(Session))
_COLUMNS = {name: sessions.c[name] for name in _FIELDS} | {"peer": sessions.c.addr}
SORTABLE = frozenset(_COLUMNS)


@dataclass(frozen=True)
class SessionList:
    """When a node was asked for its sessions, and the job that did."""

    node: str
    instance_id: str
    job_id: str
    taken_at: datetime


@dataclass(frozen=True)
class SessionFilter:
    """Which sessions of a list, in what order; without `sort` the oldest first."""

    addr: str | None = None
    """Part of the address."""
    sort: str | None = None
    """One of `SORTABLE`."""
    descending: bool = False


async def save_list(tx: Tx, made: SessionList, found: Sequence[Session]) -> None:
    """The node's list is this one; the one before is gone."""
    await tx.execute(delete(session_lists).where(session_lists.c.node_id == made.node))
    await tx.execute(
        insert(session_lists).values(
            node_id=made.node,
            instance_id=made.instance_id,
            job_id=made.job_id,
            taken_at=to_ms(made.taken_at),
        )
    )
    if found:
        await tx.execute(insert(sessions), [asdict(one) | {"node_id": made.node} for one in found])


async def find_list(tx: Tx, node: str) -> SessionList | None:
    """The node's list, or None where nobody asked for one or its time is over."""
    row = (await tx.execute(select(session_lists).where(session_lists.c.node_id == node))).mappings().first()
    if row is None:
        return None
    return SessionList(row["node_id"], row["instance_id"], row["job_id"], from_ms(row["taken_at"]))


async def list_sessions(
    tx: Tx, node: str, wanted: SessionFilter, *, offset: int, limit: int
) -> tuple[int, list[Session]]:
    """How many of the node's list match, and the page asked for."""
    conditions: list[ColumnElement[bool]] = [sessions.c.node_id == node]
    if wanted.addr:
        conditions.append(sessions.c.addr.contains(wanted.addr, autoescape=True))
    count = await tx.scalar(select(func.count()).select_from(sessions).where(*conditions)) or 0
    column = _COLUMNS[wanted.sort or "id"]
    page = (
        select(*(sessions.c[name] for name in _FIELDS))
        .where(*conditions)
        .order_by(column.desc() if wanted.descending else column, sessions.c.id)
        .offset(offset)
        .limit(limit)
    )
    return count, [Session(**row) for row in (await tx.execute(page)).mappings()]


async def list_addresses(tx: Tx, node: str, among: Collection[str]) -> set[str]:
    """Those of these addresses that are on the node's list."""
    query = select(sessions.c.addr).where(sessions.c.node_id == node, sessions.c.addr.in_(among))
    return set((await tx.scalars(query)).all())


async def remove_lists_before(tx: Tx, moment: datetime) -> int:
    """Drop lists that were taken before a moment, with their sessions; returns how many."""
    done = await tx.execute(delete(session_lists).where(session_lists.c.taken_at < to_ms(moment)))
    return done.rowcount
