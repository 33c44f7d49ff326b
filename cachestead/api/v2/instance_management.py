"""Chapter 4.2: Instance Management. Passwords, restarts, states and figures."""

from __future__ import annotations

from typing import Annotated

from cachestead.api.access import May
from cachestead.api.chapter import Chapter
from cachestead.api.formats import InstanceIdPath, read_flag
from cachestead.api.schemas.lifecycle import BatchOut
from cachestead.api.schemas.management import (
    ChangePassword,
    ChangePasswordOut,
    ChangeStatus,
    InstanceStatistic,
    ResetPassword,
    ResetPasswordOut,
    StatisticsOut,
    StatusCounts,
    StatusCountsOut,
)
from cachestead.api.schemas.tasks import JobIdOut
from cachestead.api.services import Use
from cachestead.domain.rules import check_instance_ids
from cachestead.identity.callers import Caller
from cachestead.operations import instances, passwords, replicas, statistics
from cachestead.store import instances as store

chapter = Chapter("4.2", "Instance Management")
_ALL = "/v2/{project_id}/instances"
_ONE = "/v2/{project_id}/instances/{instance_id}"


@chapter.post(_ONE + "/swap", status=204)
async def change_master_standby(
    instance_id: InstanceIdPath, caller: Annotated[Caller, May["dcs:instance:swap"]], service: Use
) -> None:
    """Let a standby node be master; no acknowledged write is lost, and writes wait for a moment."""
    await replicas.switch_master(service, caller, instance_id)


@chapter.put(_ONE + "/async-swap")
async def change_master_standby_async(
    instance_id: InstanceIdPath, caller: Annotated[Caller, May["dcs:instance:swap"]], service: Use
) -> JobIdOut:
    """The same in the background: the answer names the job."""
    return JobIdOut.of(await replicas.begin_switch(service, caller, instance_id))


@chapter.put(_ONE + "/password")
async def update_password(
    instance_id: InstanceIdPath,
    body: ChangePassword,
    caller: Annotated[Caller, May["dcs:instance:modifyAuthInfo"]],
    service: Use,
) -> ChangePasswordOut:
    """Change the password, naming the old one. Five wrong ones in a row lock it for five minutes."""
    answer = await passwords.change_password(service, caller, instance_id, body.old_password, body.new_password)
    return ChangePasswordOut.of(answer)


@chapter.post(_ONE + "/password/reset")
async def reset_password(
    instance_id: InstanceIdPath,
    body: ResetPassword,
    caller: Annotated[Caller, May["dcs:instance:resetAuthInfo"]],
    service: Use,
) -> ResetPasswordOut:
    """Set a new password without the old one, or make the instance password-free."""
    answer = await passwords.reset_password(
        service, caller, instance_id, body.new_password, no_password=bool(body.no_password_access)
    )
    return ResetPasswordOut.of(answer)


@chapter.get(_ALL + "/status")
async def list_number_of_instances_in_different_status(
    caller: Annotated[Caller, May["dcs:instance:list"]], service: Use, include_failure: str | None = None
) -> StatusCountsOut:
    """Count the instances in each state."""
    with_failed = read_flag(include_failure, "include_failure")
    async with service.database.reading() as tx:
        counts = await store.count_by_state(tx, caller.project)
    fields = StatusCounts.of(counts, with_failed=with_failed)
    return StatusCountsOut(**fields, redis=StatusCounts(**fields))


@chapter.put(_ALL + "/status")
async def restart_or_flush_instances(
    body: ChangeStatus, caller: Annotated[Caller, May["dcs:instance:modifyStatus"]], service: Use
) -> BatchOut:
    """Restart instances or clear their data, up to 50 in a call; each tells for itself whether it was taken."""
    action, ids = body.checked_action(), check_instance_ids(body.instances)
    return BatchOut.of(await instances.change_status(service, caller, action, ids))


@chapter.get(_ALL + "/statistic")
async def list_statistics_of_running_instances(
    caller: Annotated[Caller, May["dcs:instance:list"]], service: Use
) -> StatisticsOut:
    """Figures of every running instance, read from the engines now."""
    loads = await statistics.observe_running(service, caller)
    return StatisticsOut(
        statistics=[
            InstanceStatistic.of(one.id, service.flavors.get(one.spec_code, one.capacity_gb).max_memory, load)
            for one, load in loads
        ]
    )
