"""Chapter 4.6: Data Migration. So far: importing backup files."""

from __future__ import annotations

from typing import Annotated

from cachestead.api.access import May
from cachestead.api.chapter import Chapter
from cachestead.api.formats import Limit, Offset, TaskIdPath
from cachestead.api.schemas.migration import (
    CreatedTaskOut,
    CreateMigrationTask,
    DeletedTasksOut,
    DeleteMigrationTasks,
    StatsOut,
    TaskOut,
    TasksListedOut,
)
from cachestead.api.services import Use
from cachestead.identity.callers import Caller
from cachestead.operations import migration_tasks

chapter = Chapter("4.6", "Data Migration")
_TASKS = "/v2/{project_id}/migration-tasks"
_TASK = "/v2/{project_id}/migration-task"


@chapter.post(_TASK)
async def create_migration_task(
    body: CreateMigrationTask, caller: Annotated[Caller, May["dcs:migrationTask:create"]], service: Use
) -> CreatedTaskOut:
    """Import a backup, or files that were uploaded, into an instance.

    What the instance has stays, but for keys that the files have too.
    """
    return CreatedTaskOut.of(await migration_tasks.create_import(service, caller, body.to_order()))


@chapter.get(_TASKS)
async def list_migration_task(
    caller: Annotated[Caller, May["dcs:migrationTask:list"]],
    service: Use,
    offset: Offset = 0,
    limit: Limit = 10,
    name: str | None = None,
) -> TasksListedOut:
    """List the project's migration tasks, newest first; `name` may be a part of theirs."""
    count, found = await migration_tasks.list_tasks(service, caller, name or None, offset=offset, limit=limit)
    return TasksListedOut.of(count, found)


@chapter.delete(_TASKS + "/delete")
async def delete_migration_task(
    body: DeleteMigrationTasks, caller: Annotated[Caller, May["dcs:migrationTask:delete"]], service: Use
) -> DeletedTasksOut:
    """Take tasks that have ended off the list; the answer names those that were on it."""
    gone = await migration_tasks.delete_tasks(service, caller, body.task_id_list)
    return DeletedTasksOut(task_id_list=gone)


@chapter.get(_TASK + "/{task_id}")
async def show_migration_task(
    task_id: TaskIdPath, caller: Annotated[Caller, May["dcs:migrationTask:get"]], service: Use
) -> TaskOut:
    """Show a migration task."""
    return TaskOut.of(await migration_tasks.get_task(service, caller, task_id))


@chapter.get(_TASK + "/{task_id}/stats")
async def show_migration_task_stats(
    task_id: TaskIdPath, caller: Annotated[Caller, May["dcs:migrationTask:get"]], service: Use
) -> StatsOut:
    """Show how far a migration task is, and how its target is doing at this moment."""
    return StatsOut.of(await migration_tasks.get_progress(service, caller, task_id))
