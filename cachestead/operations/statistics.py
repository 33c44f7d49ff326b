"""Figures of running instances, read from their engines at the moment of asking. Reference: section 4.2.6."""

from __future__ import annotations

from cachestead.domain.instances import Instance, State
from cachestead.engine.observing import InstanceLoad
from cachestead.identity.callers import Caller
from cachestead.operations.service import Service
from cachestead.store import instances as store


async def observe_running(service: Service, caller: Caller) -> list[tuple[Instance, InstanceLoad]]:
    """Each running instance of the project with its figures; one that does not answer is left out."""
    async with service.database.reading() as tx:
        running = await store.list_project_instances(tx, caller.project, State.RUNNING)
    loads = await service.observe(running)
    return [(one, loads[one.id]) for one in running if one.id in loads]
