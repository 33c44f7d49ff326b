"""Jobs and the background task list: making them, reading them, taking them off the list.

Reference: sections 4.12.1 to 4.12.4.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from cachestead import errors
from cachestead.domain.instances import Instance
from cachestead.domain.jobs import Job, JobStatus
from cachestead.identity.callers import Caller
from cachestead.operations.service import Service
from cachestead.store import jobs as store
from cachestead.workflows.workflow import Workflow


def new_job(
    workflow: Workflow,
    instance: Instance,
    caller: Caller,
    at: datetime,
    params: Mapping[str, Any] | None = None,
    details: Mapping[str, Any] | None = None,
) -> Job:
    """The job of a workflow on an instance, not yet begun."""
    return Job(
        id=uuid.uuid4().hex,
        project_id=instance.project_id,
        instance_id=instance.id,
        kind=workflow.name,
        type=workflow.job_type,
        task=workflow.task,
        status=JobStatus.INIT,
        user_id=caller.user_id,
        user_name=caller.user_name,
        created_at=at,
        updated_at=at,
        params=dict(params or {}),
        details=dict(details or {}),
    )


async def get_job(service: Service, caller: Caller, job_id: str, instance_id: str | None = None) -> Job:
    """A job of the caller's project (and of an instance, if one is named); raises `JobNotFound`."""
    async with service.database.reading() as tx:
        job = await store.find_job(tx, caller.project, job_id)
    if job is None or instance_id not in (None, job.instance_id):
        raise errors.JobNotFound(f"job {job_id}")
    return job


async def delete_task(service: Service, caller: Caller, task_id: str, instance_id: str | None = None) -> None:
    """Take a task off the list. Raises `JobNotFound`, or `TaskNotFinished` while it runs.

    One that waits for its maintenance window is called off thereby.
    """
    async with service.database.writing() as tx:
        task = await store.find_task(tx, caller.project, task_id)
        if task is None or instance_id not in (None, task.instance_id):
            raise errors.JobNotFound(f"task {task_id}")
        if task.due_at is not None:
            now = service.now()
            off = replace(task, status=JobStatus.FAIL, fail_reason="called off", due_at=None)
            await store.save_job(tx, replace(off, updated_at=now, ended_at=now))
        elif not task.status.is_final:
            raise errors.TaskNotFinished(f"task {task_id} is {task.task_status}")
        await store.hide_task(tx, task_id)
