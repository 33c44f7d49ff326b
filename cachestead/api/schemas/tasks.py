"""Bodies of chapter 4.12, Background Task Management."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from cachestead.api.bodies import RequestBody
from cachestead.api.formats import epoch_text, iso_time
from cachestead.domain.jobs import Job, JobStatus

_FAILED = "DCS.4842"
"""The documented code for a job that failed; the job itself says why."""


class JobOut(BaseModel):
    """Answer of show_job_info."""

    job_id: str
    job_type: str
    status: str
    begin_time: str | None
    end_time: str | None
    fail_reason: str | None

    @classmethod
    def of(cls, job: Job) -> JobOut:
        """The job as callers see it."""
        return cls(
            job_id=job.id,
            job_type=job.type,
            status=job.status.value,
            begin_time=epoch_text(job.created_at),
            end_time=epoch_text(job.ended_at),
            fail_reason=job.fail_reason,
        )


class JobIdOut(BaseModel):
    """Answer of operations that begin a job and say which."""

    job_id: str

    @classmethod
    def of(cls, job: Job) -> JobIdOut:
        """The job to ask about."""
        return cls(job_id=job.id)


class TaskDetails(BaseModel):
    """What a task changed; only the fields of its kind are set."""

    old_capacity: str | None = None
    new_capacity: str | None = None
    enable_public_ip: bool | None = None
    public_ip_id: str | None = None
    public_ip_address: str | None = None
    enable_ssl: bool | None = None
    old_cache_mode: str | None = None
    new_cache_mode: str | None = None
    old_resource_spec_code: str | None = None
    new_resource_spec_code: str | None = None
    old_replica_num: int | None = None
    new_replica_num: int | None = None
    old_cache_type: str | None = None
    new_cache_type: str | None = None
    replica_ip: str | None = None
    replica_az: str | None = None
    group_name: str | None = None
    old_port: int | None = None
    new_port: int | None = None
    is_only_adjust_charging: bool | None = None
    account_name: str | None = None
    source_ip: str | None = None
    target_ip: str | None = None
    node_name: str | None = None
    rename_commands: list[str] | None = None
    updated_config_length: int | None = None


class TaskOut(BaseModel):
    """A background task."""

    id: str
    name: str | None
    details: TaskDetails
    user_name: str
    user_id: str
    params: str | None
    status: str
    created_at: str | None
    updated_at: str | None
    error_code: str | None = None
    enable_show: bool
    job_id: str

    @classmethod
    def of(cls, job: Job) -> TaskOut:
        """The task as callers see it. `params` stays empty: what matters to them is in the details."""
        return cls(
            id=job.id,
            name=job.task,
            details=TaskDetails(**job.details),
            user_name=job.user_name,
            user_id=job.user_id,
            params=None,
            status=job.task_status,
            created_at=iso_time(job.created_at),
            updated_at=iso_time(job.updated_at),
            error_code=_error_code(job),
            enable_show=bool(job.details),
            job_id=job.id,
        )


class TasksOut(BaseModel):
    """Answer of list_background_task and list_center_task."""

    task_count: str
    tasks: list[TaskOut]

    @classmethod
    def of(cls, count: int, jobs: list[Job]) -> TasksOut:
        """A page of tasks; the count is a text, as the table types it."""
        return cls(task_count=str(count), tasks=[TaskOut.of(job) for job in jobs])


class TaskProgressOut(BaseModel):
    """Answer of show_background_task_progress."""

    progress: int
    remain_time: int | None = None
    step_details: list[dict[str, Any]]

    @classmethod
    def of(cls, job: Job) -> TaskProgressOut:
        """Progress in percent and the step under way."""
        step: dict[str, Any] = {
            "step_id": job.id,
            "step_name": job.step,
            "step_status": job.task_status,
            "begin_time": iso_time(job.updated_at),
            "end_time": iso_time(job.ended_at),
            "error_code": _error_code(job),
            "sub_step_details": [],
        }
        if job.step_detail:
            part = {
                key.replace("step", "sub_step"): value for key, value in step.items() if key != "sub_step_details"
            }
            step["sub_step_details"] = [part | {"detail": job.step_detail}]
        return cls(progress=job.progress, step_details=[step] if job.step else [])


class DeletedTaskOut(BaseModel):
    """Answer of delete_background_task."""

    message: str = ""


class DeleteCenterTask(RequestBody):
    """Body of delete_center_task; its only field is described as an answer, and ignored."""

    message: str | None = None


def _error_code(job: Job) -> str | None:
    return _FAILED if job.status is JobStatus.FAIL else None
