"""The part of the Cloud Eye API that dashboards and SDKs read figures with: namespace SYS.DCS, and no other.

Whoever may see an instance may see its figures. Of what is not there, or another tenant's, there are none: the
answer is empty, as for an object that was never sampled.
"""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query, Request

from cachestead.api.access import May
from cachestead.api.ces.answers import (
    BatchOut,
    MetricDataOut,
    MetricOut,
    MetricsOut,
    PageOut,
    Series,
    SeriesOut,
)
from cachestead.api.ces.errors import CesRoute, bad_field, bad_parameter
from cachestead.api.ces.listing import Listing, Measured
from cachestead.api.ces.requests import (
    BatchBody,
    Course,
    Marker,
    Wanted,
    read_body,
    read_course,
    read_dimensions,
    read_marker,
    read_wanted,
)
from cachestead.api.services import Use
from cachestead.domain.history import MINUTE, SAMPLED, Record, series
from cachestead.domain.metrics import BY_ID, NAMESPACE
from cachestead.identity.callers import Caller
from cachestead.store import instances as store
from cachestead.store import samples
from cachestead.store.database import Tx

router = APIRouter(route_class=CesRoute, tags=["Cloud Eye"])

_OWN = "/V1.0/{project_id}"

Lister = Annotated[Caller, May["dcs:instance:list"]]
Reader = Annotated[Caller, May["dcs:instance:get"]]


@router.get(_OWN + "/metrics")
async def list_metrics(
    request: Request,
    caller: Lister,
    service: Use,
    namespace: str = NAMESPACE,
    metric_name: str = "",
    start: str = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
    order: str = "asc",
) -> MetricsOut:
    """List what is measured of the project's instances, by object; `start` is the `marker` of the page before."""
    dimensions, after = read_dimensions(request.query_params), read_marker(start)
    if order not in ("asc", "desc"):
        raise bad_parameter("order", "must be asc or desc")
    total, page = 0, list[Measured]()
    if namespace == NAMESPACE:
        async with service.database.reading() as tx:
            listing = Listing(tx, caller.project, metric_name, dimensions)
            total = await listing.count()
            page = await listing.page(after, limit, backwards=order == "desc")
    marker = str(Marker(page[-1][0].id, page[-1][1])) if page else ""
    return MetricsOut(
        metrics=[MetricOut.of(metric, of) for metric, of in page],
        meta_data=PageOut(count=len(page), marker=marker, total=total),
    )


@router.get(_OWN + "/metric-data")
async def show_metric_data(
    request: Request,
    caller: Reader,
    service: Use,
    begin: Annotated[int | None, Query(alias="from")] = None,
    to: int | None = None,
    period: int | None = None,
    filter_: Annotated[str | None, Query(alias="filter")] = None,
    namespace: str | None = None,
    metric_name: str | None = None,
) -> MetricDataOut:
    """Show the course of one figure. What is asked of each period carries its own name in the answer."""
    wanted = read_wanted(namespace, metric_name, read_dimensions(request.query_params))
    course = read_course(begin, to, period, filter_, bad_parameter)
    async with service.database.reading() as tx:
        found = await _Reading(tx, caller.project, course).series(wanted)
    return MetricDataOut.of(wanted, course, _unit(wanted), found)


@router.post(_OWN + "/batch-query-metric-data")
async def batch_list_metric_data(body: BatchBody, caller: Reader, service: Use) -> BatchOut:
    """Show the courses of up to 500 figures, in the order asked for."""
    course = read_course(body.begin, body.to, body.period, body.filter, bad_field, len(body.metrics))
    wanted = [read_body(one) for one in body.metrics]
    async with service.database.reading() as tx:
        reading = _Reading(tx, caller.project, course)
        return BatchOut(
            metrics=[SeriesOut.of(one, course, _unit(one), await reading.series(one)) for one in wanted]
        )


class _Reading:
    """Records of a course, each instance's read once."""

    def __init__(self, tx: Tx, project: str, course: Course) -> None:
        self._tx, self._project, self._course = tx, project, course
        self._records: dict[str, list[tuple[int, Record]]] = {}

    async def series(self, wanted: Wanted) -> Series:
        """The course of one figure; empty for what the project does not have."""
        if wanted.namespace != NAMESPACE or wanted.instance_id is None or wanted.key is None:
            return []
        records = await self._records_of(wanted.instance_id)
        return series(records, wanted.key, wanted.metric, self._course.period)

    async def _records_of(self, instance_id: str) -> list[tuple[int, Record]]:
        if instance_id not in self._records:
            self._records[instance_id] = await self._read(instance_id)
        return self._records[instance_id]

    async def _read(self, instance_id: str) -> list[tuple[int, Record]]:
        # There may be many: others shall have their turn in between.
        await asyncio.sleep(0)
        instance = await store.find_any_instance(self._tx, instance_id)
        if instance is None or instance.project_id != self._project:
            return []
        course = self._course
        kept = SAMPLED if course.period == MINUTE else course.period
        return await samples.list_samples(self._tx, instance_id, kept, course.begin, course.end)


def _unit(wanted: Wanted) -> str:
    found = BY_ID.get(wanted.metric)
    return found.unit if found and wanted.namespace == NAMESPACE else ""
