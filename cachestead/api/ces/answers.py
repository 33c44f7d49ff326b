"""The shapes of Cloud Eye's answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import BaseModel

from cachestead.api.ces.requests import Course, Dimensions, Wanted
from cachestead.domain.history import Summary
from cachestead.domain.metrics import NAMESPACE, Metric

Point = dict[str, float | int | str]
"""What was asked for under its own name, with the moment and, of single figures, the unit."""
Series = Sequence[tuple[int, Summary]]


class DimensionOut(BaseModel):
    """A dimension and the id of an object on it."""

    name: str
    value: str


class MetricOut(BaseModel):
    """A figure that is measured."""

    namespace: str
    metric_name: str
    dimensions: list[DimensionOut]
    unit: str

    @classmethod
    def of(cls, metric: Metric, dimensions: Dimensions) -> MetricOut:
        """The metric of an object."""
        return cls(
            namespace=NAMESPACE, metric_name=metric.id, dimensions=_dimensions(dimensions), unit=metric.unit
        )


class PageOut(BaseModel):
    """How much there is, and where the next page begins."""

    count: int
    marker: str
    total: int


class MetricsOut(BaseModel):
    """Answer of the list of metrics."""

    metrics: list[MetricOut]
    meta_data: PageOut


class MetricDataOut(BaseModel):
    """Answer about one figure."""

    datapoints: list[Point]
    metric_name: str

    @classmethod
    def of(cls, wanted: Wanted, course: Course, unit: str, series: Series) -> MetricDataOut:
        """Its course, each point with the unit."""
        points = [point | {"unit": unit} for point in _points(course, series)]
        return cls(datapoints=points, metric_name=wanted.metric)


class SeriesOut(BaseModel):
    """One of several figures."""

    namespace: str
    metric_name: str
    dimensions: list[DimensionOut]
    datapoints: list[Point]
    unit: str

    @classmethod
    def of(cls, wanted: Wanted, course: Course, unit: str, series: Series) -> SeriesOut:
        """Its course."""
        return cls(
            namespace=wanted.namespace,
            metric_name=wanted.metric,
            dimensions=_dimensions(wanted.dimensions),
            datapoints=list(_points(course, series)),
            unit=unit,
        )


class BatchOut(BaseModel):
    """Answer about several figures."""

    metrics: list[SeriesOut]


def _points(course: Course, series: Series) -> Iterable[Point]:
    return ({course.filter: round(one.value(course.filter), 6), "timestamp": at} for at, one in series)


def _dimensions(dimensions: Dimensions) -> list[DimensionOut]:
    return [DimensionOut(name=name, value=value) for name, value in dimensions]
