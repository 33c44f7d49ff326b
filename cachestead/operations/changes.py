"""One change at a time per instance: taking the lock and saving the job go together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cachestead.domain.instances import Event, Instance, advance, busy_error
from cachestead.domain.jobs import Job
from cachestead.identity.callers import Caller
from cachestead.operations.jobs import new_job
from cachestead.operations.service import Service
from cachestead.store import instances as store
from cachestead.store import jobs as job_store
from cachestead.store.database import Tx
from cachestead.workflows.workflow import Workflow


@dataclass(frozen=True)
class Change:
    """A workflow to start, the event that takes the instance there, and what the job carries."""

    workflow: Workflow
    event: Event
    params: Mapping[str, Any] | None = None
    details: Mapping[str, Any] | None = None


async def change(tx: Tx, service: Service, caller: Caller, instance: Instance, wanted: Change) -> Job:
    """Take the lock on the instance and save the job of the change. Raises the code of what is running."""
    after = await take_for(tx, service, instance, wanted)
    job = new_job(wanted.workflow, after, caller, service.now(), wanted.params, wanted.details)
    await job_store.add_job(tx, job)
    return job


async def take_for(tx: Tx, service: Service, instance: Instance, wanted: Change) -> Instance:
    """Take the lock on the instance; its job is the caller's to save. Raises the code of what is running."""
    if instance.task is not None:
        raise busy_error(instance)
    after = replace(advance(instance, wanted.event, service.now()), task=wanted.workflow.lock)
    if not await store.take_instance(tx, instance, after):
        raise busy_error(instance)
    return after
