"""Queries about changes of parameters. Whoever asks for a caller has read the caller's instance first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import and_, delete, exists, func, insert, or_, select, update

from cachestead.domain.instances import State
from cachestead.domain.parameters import ConfigStatus, ParameterChange, ValueChange
from cachestead.store.database import Tx
from cachestead.store.tables import instances, parameter_changes
from cachestead.store.times import from_ms, to_ms

_C = parameter_changes.c


async def add_change(tx: Tx, change: ParameterChange) -> None:
    """A new change."""
    row = {
        "id": change.id,
        "instance_id": change.instance_id,
        "job_id": change.job_id,
        "status": change.status.value,
        "changes": [asdict(one) for one in change.changes],
        "created_at": to_ms(change.created_at),
        "updated_at": to_ms(change.updated_at),
    }
    await tx.execute(insert(parameter_changes).values(**row))


async def end_change(tx: Tx, instance_id: str, job_id: str, status: ConfigStatus, at: datetime) -> None:
    """The job's change of the instance has come to this end."""
    of_job = (_C.instance_id == instance_id, _C.job_id == job_id)
    await tx.execute(update(parameter_changes).where(*of_job).values(status=status.value, updated_at=to_ms(at)))


async def list_any_open(tx: Tx) -> list[ParameterChange]:
    """Changes that have not come to an end, oldest first."""
    query = select(parameter_changes).where(_C.status == ConfigStatus.UPDATING.value)
    return [_change(row) for row in (await tx.execute(query.order_by(_C.created_at, _C.id))).mappings()]


async def end_any_failed(tx: Tx, change_ids: Sequence[str], at: datetime) -> None:
    """Those of the changes that have not come to an end have failed."""
    still_open = (_C.id.in_(change_ids), _C.status == ConfigStatus.UPDATING.value)
    failed = {"status": ConfigStatus.FAILURE.value, "updated_at": to_ms(at)}
    await tx.execute(update(parameter_changes).where(*still_open).values(failed))


async def remove_ended_before(tx: Tx, moment: datetime) -> None:
    """Drop changes that ended before a moment; and all of instances that are deleted.

    The newest of an instance stays: it says since when its parameters are as they are.
    """
    newer = parameter_changes.alias()
    gone = select(instances.c.id).where(instances.c.state == State.DELETED.value)
    old = and_(
        _C.updated_at < to_ms(moment),
        _C.status != ConfigStatus.UPDATING.value,
        exists().where(newer.c.instance_id == _C.instance_id, newer.c.created_at > _C.created_at),
    )
    await tx.execute(delete(parameter_changes).where(or_(old, _C.instance_id.in_(gone))))


async def find_change(tx: Tx, instance_id: str, change_id: str) -> ParameterChange | None:
    """One change of an instance, or None."""
    query = select(parameter_changes).where(_C.instance_id == instance_id, _C.id == change_id)
    row = (await tx.execute(query)).mappings().first()
    return None if row is None else _change(row)


async def list_changes(tx: Tx, instance_id: str, *, offset: int, limit: int) -> tuple[int, list[ParameterChange]]:
    """How many changes the instance had, and the page asked for, newest first."""
    of_instance = _C.instance_id == instance_id
    count = await tx.scalar(select(func.count()).select_from(parameter_changes).where(of_instance)) or 0
    page = select(parameter_changes).where(of_instance).order_by(_C.created_at.desc(), _C.id.desc())
    rows = (await tx.execute(page.offset(offset).limit(limit))).mappings()
    return count, [_change(row) for row in rows]


def _change(row: Any) -> ParameterChange:
    return ParameterChange(
        id=row["id"],
        instance_id=row["instance_id"],
        job_id=row["job_id"],
        status=ConfigStatus(row["status"]),
        changes=tuple(ValueChange(**one) for one in row["changes"]),
        created_at=from_ms(row["created_at"]),
        updated_at=from_ms(row["updated_at"]),
    )
