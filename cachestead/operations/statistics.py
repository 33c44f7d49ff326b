"""Figures of running instances, read from their engines at the moment of asking. Reference: section 4.2.6."""

from __future__ import annotations

import asyncio

from cachestead.domain.instances import Instance, State
from cachestead.engine.errors import EngineError
from cachestead.engine.info import observe_node
from cachestead.engine.observing import InstanceLoad, add_up
from cachestead.identity.callers import Caller
from cachestead.operations.service import Service
from cachestead.store import instances as store
from cachestead.workflows.machinery import masters_now

_AT_ONCE = 32


async def observe_running(service: Service, caller: Caller) -> list[tuple[Instance, InstanceLoad]]:
    """Each running instance of the project with its figures; one that does not answer is left out."""
    async with service.database.reading() as tx:
        running = await store.list_project_instances(tx, caller.project, State.RUNNING)
    slots = asyncio.Semaphore(_AT_ONCE)

    async def observe(instance: Instance) -> tuple[Instance, InstanceLoad] | None:
        async with slots:
            try:
                masters = await masters_now(service.machinery, instance)
                return instance, add_up(await asyncio.gather(*(observe_node(master) for master in masters)))
            except EngineError:
                return None

    seen = await asyncio.gather(*(observe(one) for one in running if one.nodes))
    return [one for one in seen if one is not None]
