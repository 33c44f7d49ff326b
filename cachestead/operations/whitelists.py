"""An instance's whitelist: what is written takes the place of what there was.

The record has what is wanted before the work begins; the workflow puts it in force. Reference: sections 4.11.4 and
4.11.5.
"""

from __future__ import annotations

from cachestead import errors
from cachestead.domain.instances import Event
from cachestead.domain.jobs import JobStatus
from cachestead.domain.whitelists import Whitelist
from cachestead.identity.callers import Caller
from cachestead.operations.changes import Change, change
from cachestead.operations.service import Service
from cachestead.store import instances as store
from cachestead.workflows.change_whitelist import CHANGE_WHITELIST

_PATIENCE = 60.0


async def change_whitelist(service: Service, caller: Caller, instance_id: str, wanted: Whitelist) -> None:
    """The whitelist is in force. Raises as `begin_change` does, or `InternalError` if it could not be enforced."""
    job_id = await begin_change(service, caller, instance_id, wanted)
    job = await service.worker.wait(job_id, _PATIENCE)
    if job is None or job.status is not JobStatus.SUCCESS:
        raise errors.InternalError("the whitelist is not in force")


async def begin_change(service: Service, caller: Caller, instance_id: str, wanted: Whitelist) -> str:
    """The whitelist is on its way into force; the job's id.

    Raises `InstanceTypeNotSupported` where nothing can keep clients from nodes, or the code of what is under way.
    """
    is_guarded = await service.machinery.guards.is_permitted()
    async with service.database.writing() as tx:
        instance = await store.lock_instance(tx, caller.project, instance_id)
        if wanted.is_in_force and not instance.mode.has_proxies and not is_guarded:
            raise errors.InstanceTypeNotSupported("whitelist: this machine has no packet filter that may be used")
        before = instance.whitelist
        params = {"enabled": before.enabled, "groups": [[one.name, list(one.addresses)] for one in before.groups]}
        job = await change(tx, service, caller, instance, Change(CHANGE_WHITELIST, Event.CHANGE_ASKED, params))
        await store.edit_instance(tx, instance.id, whitelist=wanted)
    service.worker.nudge()
    return job.id
