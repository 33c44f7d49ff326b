"""Chapter 4.16: Session Management. Who is connected to an instance, and ending connections."""

from __future__ import annotations

from typing import Annotated

from cachestead.api.access import May
from cachestead.api.chapter import Chapter
from cachestead.api.formats import InstanceIdPath, Limit, Offset
from cachestead.api.schemas.sessions import (
    ClientsOut,
    HangUpClients,
    HangUpKillAllClients,
    ScanClients,
    read_session_filter,
)
from cachestead.api.schemas.tasks import JobIdOut
from cachestead.api.services import Use
from cachestead.identity.callers import Caller
from cachestead.operations import sessions

chapter = Chapter("4.16", "Session Management")
_CLIENTS = "/v2/{project_id}/instances/{instance_id}/clients"


@chapter.post(_CLIENTS)
async def scan_clients(
    instance_id: InstanceIdPath,
    body: ScanClients,
    caller: Annotated[Caller, May["dcs:clients:list"]],
    service: Use,
) -> JobIdOut:
    """Take a list of a node's sessions. With `clean_cache` false one that was taken before will do."""
    anew = body.clean_cache is not False
    return JobIdOut(job_id=await sessions.scan_sessions(service, caller, instance_id, body.node_id, anew=anew))


@chapter.get(_CLIENTS)
async def list_clients(
    instance_id: InstanceIdPath,
    caller: Annotated[Caller, May["dcs:clients:list"]],
    service: Use,
    node_id: str | None = None,
    offset: Offset = 0,
    limit: Limit = 10,
    addr: str | None = None,
    sort: str | None = None,
    order: str | None = None,
) -> ClientsOut:
    """List the sessions of a node as they were at `time`: a proxy where the instance has any, else a data node.

    It is the list that was taken last; if none was, one is taken now. `addr` may be a part of the address.
    """
    wanted = read_session_filter(addr, sort, order)
    page = await sessions.list_sessions(service, caller, instance_id, node_id, wanted, offset=offset, limit=limit)
    return ClientsOut.of(page)


@chapter.post(_CLIENTS + "/kill", status=204)
async def hang_up_clients(
    instance_id: InstanceIdPath,
    body: HangUpClients,
    caller: Annotated[Caller, May["dcs:clients:kill"]],
    service: Use,
) -> None:
    """End the sessions of a node that come from these addresses, and no others."""
    await sessions.end_sessions(service, caller, instance_id, body.node_id, body.client_addrs)


@chapter.post(_CLIENTS + "/kill-all")
async def hang_up_kill_all_clients(
    instance_id: InstanceIdPath,
    body: HangUpKillAllClients,
    caller: Annotated[Caller, May["dcs:clients:kill"]],
    service: Use,
) -> JobIdOut:
    """End every session of a node, or of all nodes; clients may come again."""
    everywhere = bool(body.kill_all_nodes)
    job = await sessions.end_all_sessions(service, caller, instance_id, body.node_id, everywhere=everywhere)
    return JobIdOut.of(job)
