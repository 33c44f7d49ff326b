"""Chapter 4.12: Background Task Management. What long work did, and how far it is."""

from __future__ import annotations

from typing import Annotated

from fastapi import Response

from cachestead.api.access import May
from cachestead.api.chapter import Chapter
from cachestead.api.formats import InstanceIdPath, Limit, Offset, TaskIdPath, read_compact_time
from cachestead.api.schemas.tasks import (
    DeleteCenterTask,
    DeletedTaskOut,
    JobOut,
    TaskProgressOut,
    TasksOut,
)
from cachestead.api.services import Use
from cachestead.identity.callers import Caller
from cachestead.operations import jobs
from cachestead.store import instances as instance_store
from cachestead.store import jobs as store

chapter = Chapter("4.12", "Background Task Management")
_TASKS = "/v2/{project_id}/instances/{instance_id}/tasks"


@chapter.get(_TASKS)
async def list_background_task(
    instance_id: InstanceIdPath,
    caller: Annotated[Caller, May["dcs:instance:getBackgroundTask"]],
    service: Use,
    offset: Offset = 0,
    limit: Limit = 10,
    start_time: str | None = None,
    begin_time: str | None = None,
    end_time: str | None = None,
) -> TasksOut:
    """List an instance's background tasks, newest first.

    The reference's example writes `begin_time` for `start_time`; both are taken.
    """
    wanted = store.TaskFilter(
        instance_id,
        begun_from=read_compact_time(start_time or begin_time, "start_time"),
        begun_until=read_compact_time(end_time, "end_time"),
    )
    async with service.database.reading() as tx:
        await instance_store.get_instance(tx, caller.project, instance_id)
        count, found = await store.list_tasks(tx, caller.project, wanted, offset=offset, limit=limit)
    return TasksOut.of(count, found)


@chapter.delete(_TASKS + "/{task_id}")
async def delete_background_task(
    instance_id: InstanceIdPath,
    task_id: TaskIdPath,
    caller: Annotated[Caller, May["dcs:instance:deleteBackgroundTask"]],
    service: Use,
) -> DeletedTaskOut:
    """Take a finished task off an instance's list."""
    await jobs.delete_task(service, caller, task_id, instance_id)
    return DeletedTaskOut()


@chapter.get(_TASKS + "/{task_id}/progress")
async def show_background_task_progress(
    instance_id: InstanceIdPath,
    task_id: TaskIdPath,
    caller: Annotated[Caller, May["dcs:job:get"]],
    service: Use,
) -> TaskProgressOut:
    """Show how far a task, or any job of the instance, is."""
    return TaskProgressOut.of(await jobs.get_job(service, caller, task_id, instance_id))


@chapter.get("/v2/{project_id}/jobs/{job_id}")
async def show_job_info(job_id: TaskIdPath, caller: Annotated[Caller, May["dcs:job:get"]], service: Use) -> JobOut:
    """Show a job."""
    return JobOut.of(await jobs.get_job(service, caller, job_id))


@chapter.get("/v2/{project_id}/tasks")
async def list_center_task(
    caller: Annotated[Caller, May["dcs:instance:getBackgroundTask"]],
    service: Use,
    offset: Offset = 0,
    limit: Limit = 10,
    start_time: str | None = None,
    end_time: str | None = None,
) -> TasksOut:
    """List the project's background tasks, newest first."""
    wanted = store.TaskFilter(
        begun_from=read_compact_time(start_time, "start_time"), begun_until=read_compact_time(end_time, "end_time")
    )
    async with service.database.reading() as tx:
        count, found = await store.list_tasks(tx, caller.project, wanted, offset=offset, limit=limit)
    return TasksOut.of(count, found)


@chapter.delete("/v2/{project_id}/tasks/{task_id}")
async def delete_center_task(
    task_id: TaskIdPath,
    caller: Annotated[Caller, May["dcs:instance:deleteBackgroundTask"]],
    service: Use,
    body: DeleteCenterTask | None = None,  # noqa: ARG001 - documented, without meaning
) -> Response:
    """Take a finished task off the project's list. Unlike its twin of an instance it answers without a body."""
    await jobs.delete_task(service, caller, task_id)
    return Response()
