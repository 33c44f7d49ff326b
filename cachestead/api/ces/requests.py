"""What clients ask Cloud Eye for, read into values: which figure, of which object, from when to when."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from cachestead.api.ces.errors import CesError, bad_field, bad_page, bad_parameter
from cachestead.domain.history import FILTERS, KEPT, MINUTE, PERIODS, SAMPLED, start_of
from cachestead.domain.metrics import INSTANCE, ITSELF, NAMESPACE, NODE, PROXY

_NAMESPACE = re.compile(r"[A-Za-z][A-Za-z0-9_]*\.[A-Za-z][A-Za-z0-9_]*")
_METRIC = re.compile(r"[A-Za-z][A-Za-z0-9_\-]{0,95}")
_DIMENSION = re.compile(r"[A-Za-z][A-Za-z0-9_\-]{0,31}")
_VALUE = re.compile(r"[A-Za-z0-9_.*/#()][A-Za-z0-9_\-./#()]{0,255}")
_MOST_POINTS = 3000
"""Of all figures of a question together, at a sample a minute."""
_EARLIEST, _LATEST = 1_111_111_111_111, 9_999_999_999_999
_OLD_PROXY = "dcs_cluster_proxy_node"
"""How older texts call the dimension of proxies."""
Dimensions = tuple[tuple[str, str], ...]
Refuse = Callable[[str, str], CesError]
"""What makes the error of a field, by its name and what is wrong with it."""


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Dimension(_Body):
    """A dimension and the id of an object on it."""

    name: str
    value: str


class MetricBody(_Body):
    """A figure."""

    namespace: str
    metric_name: str
    dimensions: Annotated[list[Dimension], Field(min_length=1, max_length=4)]


class BatchBody(_Body):
    """Body of the query for several figures. The period is a text; numbers are taken, too."""

    metrics: Annotated[list[MetricBody], Field(min_length=1, max_length=500)]
    begin: Annotated[int, Field(alias="from")]
    to: int
    period: str | int
    filter: str


@dataclass(frozen=True)
class Wanted:
    """One figure of one object."""

    namespace: str
    metric: str
    dimensions: Dimensions

    @property
    def instance_id(self) -> str | None:
        """The instance it is of."""
        return dict(self.dimensions).get(INSTANCE)

    @property
    def key(self) -> str | None:
        """The object's place in what is kept of the instance; None for dimensions that nothing has."""
        others = [(name, value) for name, value in self.dimensions if name != INSTANCE]
        if not others:
            return ITSELF
        [(name, value), *more] = others
        return value if not more and name in (NODE, PROXY) else None


@dataclass(frozen=True)
class Course:
    """From when to when, how finely, and what of each period."""

    begin: int
    end: int
    """Epoch milliseconds; the end is not in it."""
    period: int
    filter: str


def read_dimensions(query: Mapping[str, str]) -> Dimensions:
    """`dim.0=name,value` and so on. Raises `CesError`."""
    found = []
    for number in range(4):
        if text := query.get(f"dim.{number}"):
            name, comma, value = text.partition(",")
            if not comma:
                raise bad_parameter(f"dim.{number}", "must be name,value")
            found.append((name, value))
    return _checked(found, bad_parameter, "dim")


def read_wanted(namespace: str | None, metric: str | None, dimensions: Dimensions) -> Wanted:
    """The figure that a URL names; all of its parts must be there. Raises `CesError`."""
    if not dimensions:
        raise bad_parameter("dim.0", "is missing")
    check_names(namespace or "", metric or "", bad_parameter)
    return Wanted(namespace or "", metric or "", dimensions)


def read_body(body: MetricBody) -> Wanted:
    """The same in a body."""
    check_names(body.namespace, body.metric_name, bad_field)
    dimensions = [(one.name, one.value) for one in body.dimensions]
    return Wanted(body.namespace, body.metric_name, _checked(dimensions, bad_field, "dimensions"))


def check_names(namespace: str, metric: str, refuse: Refuse) -> None:
    """Raises the error of a namespace or of a metric's name that cannot be one."""
    if not (3 <= len(namespace) <= 32 and _NAMESPACE.fullmatch(namespace)):
        raise refuse("namespace", "must be service.item")
    if not _METRIC.fullmatch(metric):
        raise refuse("metric_name", "must begin with a letter and have letters, digits, _ and - only")


def read_course(begin: Any, end: Any, period: Any, filter_: Any, refuse: Refuse, figures: int = 1) -> Course:
    """The course asked for of so many figures; one that is too long begins later, as documented.

    Raises what `refuse` makes.
    """
    for name, value in (("from", begin), ("to", end)):
        if not isinstance(value, int) or not _EARLIEST <= value <= _LATEST:
            raise refuse(name, "must be a time in milliseconds")
    if begin >= end:
        raise refuse("from", "must be before to")
    if str(period) not in {str(known) for known in PERIODS}:
        raise refuse("period", f"must be one of {', '.join(map(str, PERIODS))}")
    if filter_ not in FILTERS:
        raise refuse("filter", f"must be one of {', '.join(FILTERS)}")
    seconds = int(period)
    longest = KEPT.get(seconds, KEPT[SAMPLED]).longest_seconds
    longest = min(longest, _MOST_POINTS // figures * max(seconds, MINUTE))
    begin = max(begin, end - longest * 1000)
    return Course(begin if seconds == SAMPLED else start_of(begin, seconds), end, seconds, filter_)


@dataclass(frozen=True)
class Marker:
    """Where a list of metrics goes on: after this one."""

    metric: str
    dimensions: Dimensions

    @property
    def instance_id(self) -> str:
        """The instance it is of; empty if it says none."""
        return dict(self.dimensions).get(INSTANCE, "")

    def __str__(self) -> str:
        return f"{NAMESPACE}.{self.metric}." + ",".join(f"{name}:{value}" for name, value in self.dimensions)


def read_marker(text: str) -> Marker | None:
    """The place a list goes on from; None for its begin. Raises `CesError`."""
    if not text:
        return None
    parts = text.split(".", 3)
    pairs = [tuple(part.split(":", 1)) for part in parts[-1].split(",")]
    if len(parts) != 4 or not all(len(pair) == 2 for pair in pairs):
        raise bad_page("start: must be namespace.metric_name.name:value, as the page before gave it")
    return Marker(parts[2], tuple((pair[0], pair[1]) for pair in pairs))


def _checked(dimensions: Sequence[tuple[str, str]], refuse: Refuse, where: str) -> Dimensions:
    for name, value in dimensions:
        if not _DIMENSION.fullmatch(name):
            raise refuse(where, "the name of a dimension must begin with a letter")
        if not _VALUE.fullmatch(value):
            raise refuse(where, f"{name} has no id")
    if len({name for name, _ in dimensions}) < len(dimensions):
        raise refuse(where, "a dimension is there twice")
    return tuple((PROXY if name == _OLD_PROXY else name, value) for name, value in dimensions)
