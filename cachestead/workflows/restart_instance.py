"""Restart an instance's nodes and proxies, with other names for commands if that was asked.

Before: the record is RESTARTING. After: every node runs with the configuration of the record, in the role it had.
What was not persisted is gone, as the reference says. The Sentinels look away meanwhile, so that nobody takes a
restart for a loss. If it fails: ERROR, with the old names, and the health reconciler goes on trying to bring the
nodes up.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from cachestead.domain.instances import Event, Instance, advance
from cachestead.domain.jobs import Job
from cachestead.store import instances as store
from cachestead.workflows.steps import (
    await_replication,
    open_endpoint,
    start_nodes,
    stop_all,
    unwatch_instance,
    verify,
    watch_instance,
)
from cachestead.workflows.workflow import Step, StepContext, Workflow


async def stop_nodes(ctx: StepContext) -> None:
    """Nothing runs."""
    await stop_all(ctx, graceful=bool(ctx.job.params.get("graceful")))


async def save_new_names(ctx: StepContext) -> None:
    """The record has the new names, which the next start puts into force."""
    async with ctx.machinery.database.writing() as tx:
        await store.edit_instance(tx, ctx.instance.id, rename_commands=ctx.job.params["renames"])


async def save_old_names(ctx: StepContext) -> None:
    """The record has the names that it had before."""
    async with ctx.machinery.database.writing() as tx:
        await store.edit_instance(tx, ctx.instance.id, rename_commands=ctx.job.params["old_renames"])


def restarted(instance: Instance, _job: Job, at: datetime) -> Instance:
    """Every node runs, and nothing is wrong any more."""
    nodes = tuple(replace(node, active=True) for node in instance.nodes)
    return replace(advance(instance, Event.CHANGE_DONE, at), nodes=nodes, fail_reason=None)


def restart_failed(instance: Instance, job: Job, at: datetime) -> Instance:
    """The instance is in ERROR until its nodes have come up; it says why."""
    return replace(advance(instance, Event.CHANGE_FAILED, at), fail_reason=job.fail_reason)


AFTER_START = (Step(await_replication), Step(open_endpoint), Step(watch_instance), Step(verify))

RESTART_INSTANCE = Workflow(
    "restart-instance",
    job_type="restartInstanceJob",
    steps=(Step(unwatch_instance), Step(stop_nodes), Step(start_nodes), *AFTER_START),
    succeed=restarted,
    fail=restart_failed,
    task="RestartInstance",
)

RENAME_COMMANDS = Workflow(
    "rename-commands",
    job_type="renameCommandsJob",
    steps=(
        Step(unwatch_instance),
        Step(stop_nodes),
        Step(save_new_names, undo=save_old_names),
        # Nodes that came up know the new names only.
        Step(start_nodes, undo=stop_nodes),
        *AFTER_START,
    ),
    succeed=restarted,
    fail=restart_failed,
    task="RenameCommands",
)
