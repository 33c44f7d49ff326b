"""Changing an instance's parameters, and reading what became of it. Reference: section 4.4."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cachestead import errors
from cachestead.domain.instances import Event, Instance
from cachestead.domain.jobs import Job
from cachestead.domain.parameters import (
    ConfigStatus,
    Parameter,
    ParameterChange,
    Values,
    Wanted,
    check_values,
    plan_change,
)
from cachestead.identity.callers import Caller
from cachestead.operations.changes import Change, change
from cachestead.operations.service import Service
from cachestead.store import instances as instance_store
from cachestead.store import jobs as job_store
from cachestead.store import parameters as store
from cachestead.workflows.change_parameters import CHANGE_PARAMETERS


@dataclass(frozen=True)
class Configuration:
    """An instance's parameters with their values, and how the last change of them is doing."""

    instance: Instance
    parameters: Sequence[Parameter]
    values: Values
    status: ConfigStatus
    changed_at: datetime


async def get_configuration(service: Service, caller: Caller, instance_id: str) -> Configuration:
    """The configuration as it is on record. Raises `InstanceNotFound`."""
    async with service.database.reading() as tx:
        instance = await instance_store.get_instance(tx, caller.project, instance_id)
        _, changes = await store.list_changes(tx, instance_id, offset=0, limit=1)
    flavor = service.flavors.get(instance.spec_code, instance.capacity_gb)
    return Configuration(
        instance=instance,
        parameters=service.parameters.parameters_of(instance.mode, flavor),
        values=service.parameters.values_of(instance.mode, flavor, instance.parameters),
        status=_status(instance, changes),
        changed_at=changes[0].updated_at if changes else instance.created_at,
    )


def _status(instance: Instance, changes: Sequence[ParameterChange]) -> ConfigStatus:
    """UPDATING until the instance is free for the next change."""
    if instance.task == CHANGE_PARAMETERS.lock:
        return ConfigStatus.UPDATING
    return changes[0].status if changes else ConfigStatus.SUCCESS


async def change_parameters(
    service: Service,
    caller: Caller,
    instance_id: str,
    wanted: Sequence[Wanted],
    changing: type[errors.ServiceError] = errors.Configuring,
) -> Job:
    """The values are on their way into force.

    Raises `InvalidParameterValue` for the first that cannot be, `changing` while other values are on their way, or
    the code of what else is running.
    """
    async with service.database.writing() as tx:
        instance = await instance_store.lock_instance(tx, caller.project, instance_id)
        flavor = service.flavors.get(instance.spec_code, instance.capacity_gb)
        values = check_values(service.parameters.parameters_of(instance.mode, flavor), wanted)
        if instance.task == CHANGE_PARAMETERS.lock:
            raise changing(f"instance {instance_id}")
        before = service.parameters.values_of(instance.mode, flavor, instance.parameters)
        params = {
            "names": sorted(values),
            "parameters": {**instance.parameters, **values},
            "old_parameters": instance.parameters,
        }
        details = {"updated_config_length": len(values)}
        job = await change(
            tx, service, caller, instance, Change(CHANGE_PARAMETERS, Event.CHANGE_ASKED, params, details)
        )
        made = ParameterChange(
            id=str(uuid.uuid4()),
            instance_id=instance.id,
            job_id=job.id,
            status=ConfigStatus.UPDATING,
            changes=plan_change(before, values),
            created_at=job.created_at,
            updated_at=job.created_at,
        )
        await store.add_change(tx, made)
    service.worker.nudge()
    return job


@dataclass(frozen=True)
class ChangeRecord:
    """A change, and why it failed, for as long as its job is kept."""

    change: ParameterChange
    fail_reason: str | None


async def get_change(service: Service, caller: Caller, instance_id: str, change_id: str) -> ChangeRecord:
    """A change of the instance's parameters. Raises `InvalidParameter` where there is none of the id."""
    async with service.database.reading() as tx:
        await instance_store.get_instance(tx, caller.project, instance_id)
        found = await store.find_change(tx, instance_id, change_id)
        if found is None:
            raise errors.InvalidParameter(f"history_id: no change {change_id[:64]}", name="history_id")
        job = await job_store.find_job(tx, caller.project, found.job_id)
    return ChangeRecord(found, job.fail_reason if job else None)
