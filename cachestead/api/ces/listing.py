"""The list of what is measured: every metric of every object, instance by instance in the order of their ids.

A project may have tens of thousands. A page reads the instances it shows and no others; how many entries there are
in all follows from how many objects there are of each kind.
"""

from __future__ import annotations

from cachestead.api.ces.requests import Dimensions, Marker
from cachestead.domain.instances import Instance, Mode
from cachestead.domain.metrics import INSTANCE, NODE, PROXY, Metric, metrics_of, monitored_of
from cachestead.store import instances as store
from cachestead.store.database import Tx
from cachestead.store.proxies import find_instance_of_proxy

Measured = tuple[Metric, Dimensions]
"""A metric of an object."""
_OWNER = {NODE: store.find_instance_of_node, PROXY: find_instance_of_proxy}


class Listing:
    """What is measured of a project's objects, of one metric or all, of the objects of these dimensions or all."""

    def __init__(self, tx: Tx, project: str, metric_name: str, dimensions: Dimensions) -> None:
        self._tx, self._project = tx, project
        self._metric_name, self._dimensions = metric_name, dimensions

    async def count(self) -> int:
        """How many entries the whole list has."""
        wanted = await self._wanted()
        if any(name != INSTANCE for name, _ in self._dimensions):
            # Of one object, or of none.
            every = store.each_monitored_instance(self._tx, self._project, wanted)
            return sum([len(self._measured_of(one)) async for one in every])
        counts = await store.count_monitored_objects(self._tx, self._project, wanted)
        return sum(
            objects * len(self._metrics_of(level, mode))
            for mode, of in counts.items()
            for level, objects in ((INSTANCE, of.instances), (NODE, of.nodes), (PROXY, of.proxies))
        )

    async def page(self, after: Marker | None, limit: int, *, backwards: bool) -> list[Measured]:
        """The entries after the marker, or the first ones, at most so many."""
        found: list[Measured] = []
        wanted, start = await self._wanted(), after.instance_id if after else None
        every = store.each_monitored_instance(self._tx, self._project, wanted, start, backwards=backwards)
        async for instance in every:
            measured = self._measured_of(instance)
            if backwards:
                measured.reverse()
            if after and instance.id == after.instance_id:
                measured = _rest(measured, after)
            found += measured[: limit - len(found)]
            if len(found) == limit:
                break
        return found

    async def _wanted(self) -> store.Monitored:
        """The instances that may have entries."""
        levels = (INSTANCE, NODE, PROXY)
        modes = frozenset(mode for mode in Mode if any(self._metrics_of(level, mode) for level in levels))
        return store.Monitored(modes, await self._instance_id())

    async def _instance_id(self) -> str | None:
        """The only instance that can have objects of these dimensions; None where any can."""
        if not self._dimensions:
            return None
        name, value = self._dimensions[0]
        if name == INSTANCE:
            return value
        # Nothing has another dimension, and some ids are nobody's: as good as an instance that there is not.
        return await _OWNER[name](self._tx, value) or "" if name in _OWNER else ""

    def _metrics_of(self, level: str, mode: Mode) -> list[Metric]:
        return [metric for metric in metrics_of(level, mode) if self._metric_name in ("", metric.id)]

    def _measured_of(self, instance: Instance) -> list[Measured]:
        return [
            (metric, one.dimensions)
            for one in monitored_of(instance)
            if set(self._dimensions) <= set(one.dimensions)
            for metric in self._metrics_of(one.level, instance.mode)
        ]


def _rest(measured: list[Measured], marker: Marker) -> list[Measured]:
    """What comes after the marker; nothing of this instance if what it names has gone meanwhile."""
    names = [(metric.id, of) for metric, of in measured]
    mark = (marker.metric, marker.dimensions)
    return measured[names.index(mark) + 1 :] if mark in names else []
