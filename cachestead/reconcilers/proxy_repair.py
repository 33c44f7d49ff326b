"""Bringing an instance's proxies back: each that has ended, or does not answer, is started anew.

A proxy has nothing to lose but its connections, so there is nothing to decide. It saves nothing: whoever called
knows what the record may become.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

import structlog

from cachestead.domain.instances import Instance, Proxy, State
from cachestead.engine import proxies as engine
from cachestead.engine.errors import EngineError
from cachestead.runtime.interface import NodeNotStarted, NodeSighting
from cachestead.workflows.machinery import Machinery
from cachestead.workflows.proxies import address_of, client_of, spec_of

log = structlog.get_logger()

Sightings = Mapping[str, NodeSighting]

HEALED = (State.RUNNING, State.ERROR, State.FLUSHING, State.EXTENDING)
"""States in which no workflow ends proxies, except those that it has taken off the record's active ones."""


def healed_proxies(instance: Instance) -> tuple[Proxy, ...]:
    """The proxies that shall run: while an instance changes its shape, those that clients came through already."""
    if instance.state not in HEALED:
        return ()
    return tuple(proxy for proxy in instance.proxies if proxy.active or instance.state is not State.EXTENDING)


async def are_well(machinery: Machinery, instance: Instance, sightings: Sightings) -> bool:
    """Whether all of them answer and are known to."""
    wanted = healed_proxies(instance)
    return all(proxy.active for proxy in wanted) and all(
        await asyncio.gather(*(_answers(machinery, instance, proxy, sightings) for proxy in wanted))
    )


async def repair_proxies(machinery: Machinery, instance: Instance, sightings: Sightings) -> list[Proxy]:
    """The proxies that shall run, as they are now."""
    wanted = healed_proxies(instance)
    return list(await asyncio.gather(*(_repair(machinery, instance, proxy, sightings) for proxy in wanted)))


async def _repair(machinery: Machinery, instance: Instance, proxy: Proxy, sightings: Sightings) -> Proxy:
    if await _answers(machinery, instance, proxy, sightings):
        return replace(proxy, active=True)
    if proxy.id in sightings and sightings[proxy.id].running:
        log.warning("proxy does not answer and will be ended", instance=instance.id, proxy=proxy.id)
        await machinery.runtime.kill_node(proxy.id)
    await machinery.connections.forget(address_of(proxy))
    try:
        await machinery.runtime.ensure_node(spec_of(machinery, instance, proxy))
    except NodeNotStarted as error:
        log.warning("healing failed", instance=instance.id, reason=str(error))
        return replace(proxy, active=False)
    log.info("proxy started again", instance=instance.id, proxy=proxy.id)
    return replace(proxy, active=True)


async def _answers(machinery: Machinery, instance: Instance, proxy: Proxy, sightings: Sightings) -> bool:
    sighting = sightings.get(proxy.id)
    if sighting is None or not sighting.running or sighting.frozen:
        return False
    try:
        await engine.ping(client_of(machinery, instance, proxy))
    except EngineError:
        return False
    return True
