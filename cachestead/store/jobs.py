"""Queries about jobs. What a caller can reach goes by project; `any` is for the control plane itself."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, select, update

from cachestead.domain.jobs import Job, JobStatus
from cachestead.store.database import Tx
from cachestead.store.tables import jobs
from cachestead.store.times import from_ms, to_ms

_UNFINISHED = (JobStatus.INIT, JobStatus.RUNNING)


@dataclass(frozen=True)
class TaskFilter:
    """Which background tasks: of one instance or the whole project, begun within a span of whole seconds."""

    instance_id: str | None = None
    begun_from: datetime | None = None
    begun_until: datetime | None = None


async def add_job(tx: Tx, job: Job) -> None:
    """A new job."""
    await tx.execute(insert(jobs).values(**_row(job)))


async def save_job(tx: Tx, job: Job) -> None:
    """The job's fields as they are now."""
    await tx.execute(update(jobs).where(jobs.c.id == job.id).values(**_row(job)))


async def save_details(tx: Tx, job_id: str, details: dict[str, Any]) -> None:
    """What the task list says of the job; steps find out some of it."""
    await tx.execute(update(jobs).where(jobs.c.id == job_id).values(details=details))


async def save_params(tx: Tx, job_id: str, params: dict[str, Any]) -> None:
    """What the job carries from one step to the next."""
    await tx.execute(update(jobs).where(jobs.c.id == job_id).values(params=params))


async def find_job(tx: Tx, project_id: str, job_id: str) -> Job | None:
    """One job of a project, or None."""
    found = await find_any_job(tx, job_id)
    return found if found and found.project_id == project_id else None


async def find_any_job(tx: Tx, job_id: str) -> Job | None:
    """One job of any project, or None."""
    row = (await tx.execute(select(jobs).where(jobs.c.id == job_id))).mappings().first()
    return None if row is None else _job(row)


async def list_any_unfinished(tx: Tx) -> list[Job]:
    """Jobs that are to be done now, oldest first."""
    query = (
        select(jobs)
        .where(jobs.c.status.in_(_UNFINISHED), jobs.c.due_at.is_(None))
        .order_by(jobs.c.created_at, jobs.c.id)
    )
    return [_job(row) for row in (await tx.execute(query)).mappings()]


async def list_any_due(tx: Tx, now: datetime) -> list[Job]:
    """Jobs that wait for a maintenance window whose time has come, oldest first."""
    query = select(jobs).where(jobs.c.status.in_(_UNFINISHED), jobs.c.due_at <= to_ms(now))
    return [_job(row) for row in (await tx.execute(query.order_by(jobs.c.created_at, jobs.c.id))).mappings()]


async def move_waiting(tx: Tx, instance_id: str, due: datetime) -> None:
    """The instance's jobs that wait for its maintenance window are due at another time."""
    waiting = (jobs.c.instance_id == instance_id, jobs.c.status.in_(_UNFINISHED), jobs.c.due_at.is_not(None))
    await tx.execute(update(jobs).where(*waiting).values(due_at=to_ms(due)))


async def has_waiting(tx: Tx, instance_id: str) -> bool:
    """Whether a job of the instance waits for its maintenance window."""
    query = select(jobs.c.id).where(
        jobs.c.instance_id == instance_id, jobs.c.status.in_(_UNFINISHED), jobs.c.due_at.is_not(None)
    )
    return (await tx.execute(query)).first() is not None


async def list_unfinished_of(tx: Tx, instance_id: str, kinds: Collection[str]) -> list[Job]:
    """The instance's jobs of these kinds that have not ended."""
    query = select(jobs).where(
        jobs.c.instance_id == instance_id, jobs.c.status.in_(_UNFINISHED), jobs.c.kind.in_(kinds)
    )
    return [_job(row) for row in (await tx.execute(query)).mappings()]


async def list_tasks(
    tx: Tx, project_id: str, wanted: TaskFilter, *, offset: int, limit: int
) -> tuple[int, list[Job]]:
    """How many background tasks match, and the page asked for, newest first."""
    conditions = [jobs.c.project_id == project_id, jobs.c.task.is_not(None), jobs.c.hidden.is_(False)]
    if wanted.instance_id is not None:
        conditions.append(jobs.c.instance_id == wanted.instance_id)
    if wanted.begun_from is not None:
        conditions.append(jobs.c.created_at >= to_ms(wanted.begun_from))
    if wanted.begun_until is not None:
        conditions.append(jobs.c.created_at < to_ms(wanted.begun_until) + 1000)
    count = await tx.scalar(select(func.count()).select_from(jobs).where(*conditions)) or 0
    page = (
        select(jobs).where(*conditions).order_by(jobs.c.created_at.desc(), jobs.c.id).offset(offset).limit(limit)
    )
    return count, [_job(row) for row in (await tx.execute(page)).mappings()]


async def find_task(tx: Tx, project_id: str, task_id: str) -> Job | None:
    """One background task that is still listed, or None."""
    query = select(jobs).where(
        jobs.c.id == task_id, jobs.c.project_id == project_id, jobs.c.task.is_not(None), jobs.c.hidden.is_(False)
    )
    row = (await tx.execute(query)).mappings().first()
    return None if row is None else _job(row)


async def hide_task(tx: Tx, task_id: str) -> None:
    """The task is listed no more; the job's record stays until its time is over."""
    await tx.execute(update(jobs).where(jobs.c.id == task_id).values(hidden=True))


async def list_any_ended_before(tx: Tx, moment: datetime, kind: str | None = None) -> list[str]:
    """Ids of finished jobs, or of those of a kind, that ended before a moment."""
    over = [jobs.c.ended_at < to_ms(moment), jobs.c.status.not_in(_UNFINISHED)]
    if kind is not None:
        over.append(jobs.c.kind == kind)
    return list((await tx.scalars(select(jobs.c.id).where(*over))).all())


async def remove_jobs(tx: Tx, job_ids: Sequence[str]) -> None:
    """These jobs are on record no more."""
    await tx.execute(delete(jobs).where(jobs.c.id.in_(job_ids)))


def _row(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "project_id": job.project_id,
        "instance_id": job.instance_id,
        "kind": job.kind,
        "type": job.type,
        "task": job.task,
        "status": job.status.value,
        "step": job.step,
        "step_detail": job.step_detail,
        "progress": job.progress,
        "params": job.params,
        "details": job.details,
        "user_id": job.user_id,
        "user_name": job.user_name,
        "created_at": to_ms(job.created_at),
        "updated_at": to_ms(job.updated_at),
        "due_at": to_ms(job.due_at),
        "ended_at": to_ms(job.ended_at),
        "fail_reason": job.fail_reason,
    }


def _job(row: Any) -> Job:
    return Job(
        id=row["id"],
        project_id=row["project_id"],
        instance_id=row["instance_id"],
        kind=row["kind"],
        type=row["type"],
        task=row["task"],
        status=JobStatus(row["status"]),
        step=row["step"],
        step_detail=row["step_detail"],
        progress=row["progress"],
        params=row["params"],
        details=row["details"],
        user_id=row["user_id"],
        user_name=row["user_name"],
        created_at=from_ms(row["created_at"]),
        updated_at=from_ms(row["updated_at"]),
        due_at=from_ms(row["due_at"]),
        ended_at=from_ms(row["ended_at"]),
        fail_reason=row["fail_reason"],
    )
