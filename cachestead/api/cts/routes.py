"""The audit trail as Cloud Trace lists it: `GET /v3/{project_id}/traces`. Newest first, a page at a time."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query

from cachestead.api.access import May
from cachestead.api.services import Use
from cachestead.identity.callers import Caller
from cachestead.store import traces as store
from cachestead.store.traces import Trace, TraceFilter

router = APIRouter(tags=["Cloud Trace"], redirect_slashes=False)

_HOUR_MS = 3_600_000

Text = Annotated[str | None, Query(max_length=128)]
Moment = Annotated[int | None, Query(ge=0, le=2**53)]


@router.get("/v3/{project_id}/traces")
async def list_traces(
    project_id: str,
    caller: Annotated[Caller, May["cts:trace:list"]],
    service: Use,
    trace_type: Literal["system", "data"] = "system",
    limit: Annotated[int, Query(ge=1, le=200)] = 10,
    begin: Annotated[Moment, Query(alias="from")] = None,
    to: Moment = None,
    before: Annotated[Text, Query(alias="next")] = None,
    tracker_name: Text = None,
    service_type: Text = None,
    user: Text = None,
    resource_id: Text = None,
    resource_name: Text = None,
    resource_type: Text = None,
    trace_id: Text = None,
    trace_name: Text = None,
    trace_rating: Literal["normal", "warning", "incident"] | None = None,
    access_key_id: Text = None,
) -> dict[str, Any]:
    """What was done in the project and in its domain: of the last hour, or from one time to another.

    `next` is the marker of the page before. What is read or written on instances (`data`) leaves no traces.
    """
    now = round(time.time() * 1000)
    end = now if to is None else to
    wanted = TraceFilter(
        begin=end - _HOUR_MS if begin is None else begin,
        end=end,
        before=before,
        id=trace_id,
        name=trace_name,
        service=service_type,
        resource_type=resource_type,
        resource_id=resource_id,
        resource_name=resource_name,
        user_name=user,
        access_key=access_key_id,
        rating=trace_rating,
    )
    found: list[Trace] = []
    if trace_type == "system" and tracker_name in {None, "system"}:
        async with service.database.reading() as tx:
            found = await store.list_traces(tx, caller.domain_id, project_id, wanted, limit)
    marker = found[-1].id if found else None
    return {"traces": [_shown(one) for one in found], "meta_data": {"count": len(found), "marker": marker}}


def _shown(trace: Trace) -> dict[str, Any]:
    domain = {"id": trace.domain_id, "name": trace.domain_name}
    user = {"id": trace.user_id, "name": trace.user_name, "user_name": trace.user_name, "domain": domain}
    return {
        "trace_id": trace.id,
        "trace_name": trace.name,
        "trace_rating": trace.rating,
        "trace_type": "ApiCall",
        "tracker_name": "system",
        "service_type": trace.service,
        "resource_type": trace.resource_type,
        "resource_id": trace.resource_id,
        "resource_name": trace.resource_name,
        "resource_url": trace.path,
        "user": user | {"access_key_id": trace.access_key},
        "source_ip": trace.source_ip,
        "code": str(trace.status),
        "message": trace.error,
        "read_only": trace.read_only,
        "request_id": trace.request_id,
        "operation_id": trace.name,
        "time": trace.at,
        "record_time": trace.at,
    }
