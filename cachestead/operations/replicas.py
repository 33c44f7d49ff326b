"""What a tenant chooses about replicas: who is promoted first, who is in the domain name, and a planned switch.

Reference: sections 4.2.1, 4.3.1 and 4.3.2.
"""

from __future__ import annotations

from cachestead import errors
from cachestead.domain import replicas as rules
from cachestead.domain.instances import Event, Node, busy_error, group_name, node_name
from cachestead.domain.jobs import Job, JobStatus
from cachestead.domain.shards import shards_of
from cachestead.identity.callers import Caller
from cachestead.operations.changes import Change, change
from cachestead.operations.service import Service
from cachestead.store import instances as store
from cachestead.workflows.leave_domain_name import LEAVE_DOMAIN_NAME
from cachestead.workflows.set_priority import SET_PRIORITY
from cachestead.workflows.switch_master import SWITCH_MASTER
from cachestead.workflows.switch_shard import SWITCH_SHARD

PATIENCE = 30.0
"""How long a caller waits for work that takes a second or two."""


async def set_priority(
    service: Service, caller: Caller, instance_id: str, group: str, node: str, priority: int
) -> None:
    """The replica has the priority when the call answers, and the next failover goes by it."""
    async with service.database.writing() as tx:
        instance = await store.lock_instance(tx, caller.project, instance_id)
        if not instance.nodes:
            raise busy_error(instance)
        rules.check_has_priorities(instance)
        shard, replica = rules.find_replica(instance, group, node)
        rules.check_priority(shard, replica, priority)
        params = {"node": replica.id, "priority": priority, "before": replica.priority}
        job = await change(tx, service, caller, instance, Change(SET_PRIORITY, Event.CHANGE_ASKED, params))
    if failure := await _failure(service, job):
        raise errors.InternalError(f"the priority was not changed: {failure}")


async def leave_domain_name(service: Service, caller: Caller, instance_id: str, group: str, node: str) -> Job:
    """The read-only domain name will not resolve to the replica; asking again does nothing more."""
    async with service.database.writing() as tx:
        instance = await store.lock_instance(tx, caller.project, instance_id)
        rules.check_has_readers(instance)
        if not instance.nodes:
            raise busy_error(instance)
        shard, replica = rules.find_replica(instance, group, node)
        rules.check_leaves_name(shard, replica)
        params = {"node": replica.id, "before": replica.in_domain_name}
        wanted = Change(LEAVE_DOMAIN_NAME, Event.CHANGE_ASKED, params, _details(replica))
        job = await change(tx, service, caller, instance, wanted)
    service.worker.nudge()
    return job


async def switch_master(service: Service, caller: Caller, instance_id: str) -> None:
    """A standby node is master when the call answers. Raises `SwitchoverFailed`: mostly the old one goes on."""
    if failure := await _failure(service, await begin_switch(service, caller, instance_id)):
        raise errors.SwitchoverFailed(failure)


async def begin_switch(service: Service, caller: Caller, instance_id: str) -> Job:
    """A standby node is on its way to be master."""
    async with service.database.writing() as tx:
        instance = await store.lock_instance(tx, caller.project, instance_id)
        if not instance.mode.is_watched:
            raise errors.SwitchoverNotSupported(f"instance {instance_id} is of type {instance.mode}")
        if not instance.nodes:
            raise busy_error(instance)
        [shard] = shards_of(instance)
        # Who takes over is found out by the workflow: the best of the replicas that are in step then.
        details = {"group_name": group_name(shard.index), "source_ip": shard.master.address}
        wanted = Change(SWITCH_MASTER, Event.CHANGE_ASKED, {"master": shard.master.id}, details)
        job = await change(tx, service, caller, instance, wanted)
        # Said last: what else stands in the way passes sooner, and nothing is saved where this is raised.
        if not rules.can_be_promoted(shard):
            raise errors.SwitchoverFailed(f"instance {instance_id} has no replica that may take over now")
    service.worker.nudge()
    return job


async def begin_shard_switch(service: Service, caller: Caller, instance_id: str, group: str, node: str) -> Job:
    """The replica of a cluster is on its way to be its shard's master (an operation of the SDK's)."""
    async with service.database.writing() as tx:
        instance = await store.lock_instance(tx, caller.project, instance_id)
        if not instance.mode.is_clustered:
            raise errors.SwitchoverNotSupported(f"instance {instance_id} is of type {instance.mode}")
        if not instance.nodes:
            raise busy_error(instance)
        shard, replica = rules.find_replica(instance, group, node)
        details = _details(replica) | {"source_ip": shard.master.address, "target_ip": replica.address}
        wanted = Change(SWITCH_SHARD, Event.CHANGE_ASKED, {"node": replica.id}, details)
        job = await change(tx, service, caller, instance, wanted)
        if not replica.active:
            raise errors.SwitchoverFailed(f"node {replica.address} does not answer")
    service.worker.nudge()
    return job


def _details(replica: Node) -> dict[str, str]:
    """What the background task list says of a replica that was chosen (DetailsBody)."""
    return {
        "replica_ip": replica.address,
        "replica_az": replica.zone,
        "group_name": group_name(replica.shard),
        "node_name": node_name(replica),
    }


async def _failure(service: Service, job: Job) -> str | None:
    """Why the job did not succeed while the caller waited; None if it did."""
    service.worker.nudge()
    ended = await service.worker.wait(job.id, PATIENCE)
    if ended is None:
        return f"job {job.id} is still at it after {PATIENCE:g} s"
    return None if ended.status is JobStatus.SUCCESS else f"job {job.id}: {ended.fail_reason}"
