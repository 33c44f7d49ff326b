"""Queries about figures that were sampled.

One row for an instance and a moment, with the figures of all its objects: they are sampled together, asked for
together and forgotten together. A row is compressed, because its names are the same again and again. Rows know no
project; who asks for them has found the instance first.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import orjson
from sqlalchemy import delete, func, insert, select

from cachestead.domain.history import KEPT, SAMPLED, Record
from cachestead.domain.instances import InstanceId
from cachestead.domain.metrics import Figures
from cachestead.store.database import Tx
from cachestead.store.tables import samples

_LEVEL = 6


async def add_samples(tx: Tx, period: int, at: int, records: Mapping[InstanceId, Record]) -> None:
    """What was seen of instances at a moment (epoch milliseconds); what is on record for it already stays."""
    there = select(samples.c.instance_id).where(samples.c.period == period, samples.c.at == at)
    known = set((await tx.scalars(there)).all())
    rows = [
        {"instance_id": one, "period": period, "at": at, "figures": zlib.compress(orjson.dumps(record), _LEVEL)}
        for one, record in records.items()
        if one not in known
    ]
    if rows:
        await tx.execute(insert(samples), rows)


async def list_samples(
    tx: Tx, instance_id: InstanceId, period: int, begin: int, end: int
) -> list[tuple[int, Record]]:
    """An instance's records from `begin` until before `end`, oldest first."""
    query = (
        select(samples.c.at, samples.c.figures)
        .where(
            samples.c.instance_id == instance_id,
            samples.c.period == period,
            samples.c.at >= begin,
            samples.c.at < end,
        )
        .order_by(samples.c.at)
    )
    return [(row.at, _record(row.figures)) for row in await tx.execute(query)]


async def list_any_newest(tx: Tx, since: int) -> dict[InstanceId, Figures]:
    """The newest figures of every instance that was seen at or after a moment."""
    seen = (samples.c.period == SAMPLED, samples.c.at >= since)
    newest = select(samples.c.instance_id, func.max(samples.c.at).label("at")).where(*seen)
    last = newest.group_by(samples.c.instance_id).subquery()
    query = select(samples.c.instance_id, samples.c.figures).join(
        last, (samples.c.instance_id == last.c.instance_id) & (samples.c.at == last.c.at)
    )
    rows = await tx.execute(query.where(samples.c.period == SAMPLED))
    return {row.instance_id: _record(row.figures) for row in rows}


async def list_any_unsummarised(tx: Tx, period: int, before: int) -> list[tuple[int, InstanceId]]:
    """Periods, by their begin, and instances that have finer records but no summary; only periods that are over.

    `before` is where the period begins that is not over yet.
    """
    last = await tx.scalar(select(func.max(samples.c.at)).where(samples.c.period == period))
    length = period * 1000
    begin = samples.c.at - samples.c.at % length
    query = (
        select(begin.label("begin"), samples.c.instance_id)
        .where(
            samples.c.period == KEPT[period].made_of,
            samples.c.at >= (0 if last is None else last + length),
            samples.c.at < before,
        )
        .distinct()
        .order_by("begin")
    )
    return [(row.begin, row.instance_id) for row in await tx.execute(query)]


async def remove_any_before(tx: Tx, period: int, moment: int) -> int:
    """Forget what is older; returns how many rows."""
    done = await tx.execute(delete(samples).where(samples.c.period == period, samples.c.at < moment))
    return done.rowcount


def _record(figures: bytes) -> Any:
    return orjson.loads(zlib.decompress(figures))
