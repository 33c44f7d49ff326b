"""Make an instance.

Before: the record is CREATING, with nodes, proxies, addresses and secrets. After: every node and proxy runs,
replicas are in sync, the Sentinels watch, and a key was written and read at the instance's address. If it fails:
nothing is left but the record, CREATEFAILED with a reason.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from cachestead.domain.instances import Event, Instance, advance
from cachestead.domain.jobs import Job
from cachestead.store import instances as store
from cachestead.workflows.machinery import engine_of
from cachestead.workflows.steps import (
    await_replication,
    open_endpoint,
    release_records,
    remove_nodes,
    start_nodes,
    unwatch_instance,
    verify,
    watch_instance,
)
from cachestead.workflows.workflow import Step, StepContext, Workflow


async def choose_engine(ctx: StepContext) -> None:
    """The record names the binary that the instance will stay on."""
    if not ctx.instance.binary:
        chosen = str(engine_of(ctx.machinery, ctx.instance))
        async with ctx.machinery.database.writing() as tx:
            await store.edit_instance(tx, ctx.instance.id, binary=chosen)


def _succeed(instance: Instance, _job: Job, at: datetime) -> Instance:
    nodes = tuple(replace(node, active=True) for node in instance.nodes)
    proxies = tuple(replace(proxy, active=True) for proxy in instance.proxies)
    return replace(advance(instance, Event.CREATED, at), launched_at=at, nodes=nodes, proxies=proxies)


def _fail(instance: Instance, job: Job, at: datetime) -> Instance:
    return replace(advance(instance, Event.CREATION_FAILED, at), fail_reason=job.fail_reason)


CREATE_INSTANCE = Workflow(
    "create-instance",
    job_type="createInstanceJob",
    steps=(
        Step(choose_engine, undo=release_records),
        Step(start_nodes, undo=remove_nodes),
        Step(await_replication),
        Step(open_endpoint),
        Step(watch_instance, undo=unwatch_instance),
        Step(verify),
    ),
    succeed=_succeed,
    fail=_fail,
    task="CreateInstance",
)
