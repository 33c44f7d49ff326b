"""Queries about changes of parameters. Whoever asks for a caller has read the caller's instance first."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select, update

from cachestead.domain.parameters import ConfigStatus, ParameterChange, ValueChange
from cachestead.store.database import Tx
from cachestead.store.tables import parameter_changes
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
