"""`GET /metrics`: the newest figures of all tenants' instances, and the service's own, as Prometheus reads them.

For whoever runs the service, not for tenants: it asks for a token of its own (decision 0014). Figures are those
that were sampled last; an instance that has not been seen for two intervals has none.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter, Depends, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from cachestead.api.access import Anyone
from cachestead.api.services import Services, Use
from cachestead.domain.instances import Instance, State
from cachestead.domain.metrics import INSTANCE, ITSELF, METRICS, NODE, PROXY, Figures, Metric, monitored_of
from cachestead.errors import InvalidToken, NoToken
from cachestead.store import identity, samples
from cachestead.store import instances as store

router = APIRouter(tags=["Prometheus"])

_LABELS = {
    INSTANCE: ("project_id", "project", "domain", "instance_id", "instance_name"),
    NODE: ("project_id", "project", "domain", "instance_id", "instance_name", "node", "address", "role", "shard"),
    PROXY: ("project_id", "project", "domain", "instance_id", "instance_name", "proxy", "address"),
}
"""Labels of what is measured of an instance, a node and a proxy."""
_PREFIXES = {INSTANCE: "cachestead_instance", NODE: "cachestead_node", PROXY: "cachestead_proxy"}
_STATES = tuple(state for state in State if state not in (State.CREATING, State.CREATEFAILED, State.DELETED))
_MISSED = 2
"""Intervals after which a figure is none."""


@dataclass(frozen=True)
class Scraped:
    """What was seen of an instance, with the names of its tenant."""

    instance: Instance
    project: str
    domain: str
    figures: Figures


async def _scraper(request: Request) -> None:
    """Whoever sends the token. Compared in constant time."""
    services: Services = request.app.state.services
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not given:
        raise NoToken("Authorization: Bearer, with the token of monitoring.token")
    if not secrets.compare_digest(given.strip().encode(), services.scrape_token.encode()):
        raise InvalidToken


@router.get("/metrics", dependencies=[Depends(_scraper)])
async def scrape(request: Request, caller: Anyone, service: Use) -> Response:  # noqa: ARG001 - the token is asked for
    """Everything that Prometheus collects."""
    services: Services = request.app.state.services
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    seen = await _newest(services, service.now())
    # In a thread: with many instances this is a lot of text.
    text = await asyncio.to_thread(encode, _Figures(services.registry, seen))
    return Response(text, headers={"content-type": content_type})


async def _newest(services: Services, now: datetime) -> list[Scraped]:
    interval = services.settings.monitoring.interval_seconds
    since = round((now.timestamp() - _MISSED * interval) * 1000)
    async with services.service.database.reading() as tx:
        records = await samples.list_any_newest(tx, since)
        found = [one async for one in store.each_instance(tx, _STATES) if one.id in records]
        names = await identity.list_any_project_names(tx)
    return [Scraped(one, *names.get(one.project_id, ("", "")), records[one.id]) for one in found]


class _Figures(Collector):
    """The service's own figures, and those of instances: a family for each level and metric."""

    def __init__(self, own: CollectorRegistry, seen: Sequence[Scraped]) -> None:
        self._own, self._seen = own, seen

    def collect(self) -> Iterator[Family]:
        """Every family that has a figure."""
        yield from self._own.collect()
        families: dict[tuple[str, str], GaugeMetricFamily] = {}
        for one in self._seen:
            labels = _labels_of(one)
            for monitored in monitored_of(one.instance):
                for name, value in one.figures.get(monitored.key, {}).items():
                    family = families.setdefault((monitored.level, name), _family(monitored.level, name))
                    family.add_metric(labels[monitored.key], value)
        yield from families.values()


def _family(level: str, name: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{_PREFIXES[level]}_{name}", _ABOUT.get(name, name), labels=_LABELS[level])


def _about(metric: Metric) -> str:
    return f"{metric.name} ({metric.unit})"


_ABOUT: Mapping[str, str] = {metric.id: _about(metric) for metric in METRICS}


def _labels_of(one: Scraped) -> dict[str, list[str]]:
    """Values of the labels by object."""
    instance = one.instance
    common = [instance.project_id, one.project, one.domain, instance.id, instance.name]
    nodes = {node.id: [*common, node.id, node.address, node.role, str(node.shard)] for node in instance.nodes}
    proxies = {proxy.id: [*common, proxy.id, proxy.address] for proxy in instance.proxies}
    return {ITSELF: common} | nodes | proxies
