"""Who is connected to an instance: lists of sessions, and ending them.

A list is a snapshot of one node: a job takes it, callers read it page by page. A node is asked for one thing at a
time. Reference: sections 4.16.1 to 4.16.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cachestead import errors
from cachestead.domain.instances import Instance
from cachestead.domain.jobs import Job, JobStatus
from cachestead.domain.sessions import (
    Session,
    check_addresses,
    check_has_sessions,
    choose_places,
    find_place,
    place_name,
)
from cachestead.engine import sessions as engine
from cachestead.engine.errors import EngineError
from cachestead.identity.callers import Caller
from cachestead.operations.jobs import new_job
from cachestead.operations.service import Service
from cachestead.store import instances as instance_store
from cachestead.store import jobs as job_store
from cachestead.store import sessions as store
from cachestead.store.database import Tx
from cachestead.workflows.hang_up_kill_all_clients import HANG_UP_KILL_ALL_CLIENTS
from cachestead.workflows.scan_clients import SCAN_CLIENTS
from cachestead.workflows.sessions import client_at
from cachestead.workflows.workflow import Workflow

_KINDS = (SCAN_CLIENTS.name, HANG_UP_KILL_ALL_CLIENTS.name)
_PATIENCE = 30.0
"""How long a caller waits for a list that nobody took before."""


@dataclass(frozen=True)
class SessionPage:
    """Some sessions of a list, how many there are of them in all, and when it was taken."""

    taken_at: datetime
    count: int
    sessions: Sequence[Session]


async def scan_sessions(
    service: Service, caller: Caller, instance_id: str, node: str | None, *, anew: bool = True
) -> str:
    """Id of the job that takes a list of the node's sessions; not `anew`, of the one that took the last.

    Raises `TaskNotFinished` while something else is done to the node's sessions.
    """
    async with service.database.writing() as tx:
        instance = await instance_store.lock_instance(tx, caller.project, instance_id)
        check_has_sessions(instance)
        place = find_place(instance, node)
        await _check_idle(tx, instance, [place.id])
        known = None if anew else await store.find_list(tx, place.id)
        if known is not None:
            return known.job_id
        job = await _begin(tx, service, caller, instance, SCAN_CLIENTS, [place.id])
    service.worker.nudge()
    return job.id


async def list_sessions(
    service: Service,
    caller: Caller,
    instance_id: str,
    node: str | None,
    wanted: store.SessionFilter,
    *,
    offset: int,
    limit: int,
) -> SessionPage:
    """A page of the node's last list; where there is none, one is taken now. Raises as `scan_sessions` does."""
    async with service.database.reading() as tx:
        instance = await instance_store.get_instance(tx, caller.project, instance_id)
        check_has_sessions(instance)
        place = find_place(instance, node)
        await _check_idle(tx, instance, [place.id])
        known = await store.find_list(tx, place.id)
    if known is None:
        job = await scan_sessions(service, caller, instance_id, node)
        await _wait_for(service, job)
    async with service.database.reading() as tx:
        known = await store.find_list(tx, place.id)
        if known is None:
            raise errors.TaskNotFinished(f"node_id: there is no list of {place.address}'s sessions")
        count, page = await store.list_sessions(tx, place.id, wanted, offset=offset, limit=limit)
    return SessionPage(known.taken_at, count, page)


async def end_sessions(
    service: Service, caller: Caller, instance_id: str, node: str | None, addresses: Sequence[str]
) -> None:
    """The clients at these addresses are connected no more when the call answers.

    One that was on the node's last list and has left meanwhile counts as done. Raises `InvalidValue`, and ends
    none, for an address that no client has or had.
    """
    wanted = check_addresses(addresses)
    async with service.database.reading() as tx:
        instance = await instance_store.get_instance(tx, caller.project, instance_id)
        check_has_sessions(instance)
        place = find_place(instance, node)
        await _check_idle(tx, instance, [place.id])
        listed = await store.list_addresses(tx, place.id, wanted)
    client = client_at(service.machinery, instance, place)
    try:
        found = [one for one in await engine.list_sessions(client) if one.addr in wanted]
        unknown = wanted - {one.addr for one in found} - listed
        if unknown:
            raise errors.InvalidValue(f"client_addrs: no client is at {min(unknown)}", name="client_addrs")
        await engine.end_sessions(client, [one.id for one in found])
    except EngineError as error:
        raise errors.Recovering(f"node {place.address} does not answer") from error


async def end_all_sessions(
    service: Service, caller: Caller, instance_id: str, node: str | None, *, everywhere: bool
) -> Job:
    """The sessions of the node, or of all nodes, are being ended. Raises as `scan_sessions` does."""
    async with service.database.writing() as tx:
        instance = await instance_store.lock_instance(tx, caller.project, instance_id)
        check_has_sessions(instance)
        places = choose_places(instance, node, everywhere=everywhere)
        nodes = [place.id for place in places]
        await _check_idle(tx, instance, nodes)
        details = {"node_name": ",".join(place_name(place) for place in places)}
        job = await _begin(tx, service, caller, instance, HANG_UP_KILL_ALL_CLIENTS, nodes, details)
    service.worker.nudge()
    return job


async def _check_idle(tx: Tx, instance: Instance, nodes: Sequence[str]) -> None:
    for job in await job_store.list_unfinished_of(tx, instance.id, _KINDS):
        if set(nodes) & set(job.params["nodes"]):
            raise errors.TaskNotFinished(f"job {job.id} is {job.status}")


async def _begin(
    tx: Tx,
    service: Service,
    caller: Caller,
    instance: Instance,
    workflow: Workflow,
    nodes: Sequence[str],
    details: dict[str, Any] | None = None,
) -> Job:
    job = new_job(workflow, instance, caller, service.now(), {"nodes": list(nodes)}, details)
    await job_store.add_job(tx, job)
    return job


async def _wait_for(service: Service, job_id: str) -> None:
    ended = await service.worker.wait(job_id, _PATIENCE)
    if ended is None:
        raise errors.TaskNotFinished(f"job {job_id} is still at it after {_PATIENCE:g} s")
    if ended.status is not JobStatus.SUCCESS:
        raise errors.Recovering(f"job {job_id}: {ended.fail_reason}")
