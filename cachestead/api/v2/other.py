"""Chapter 4.15: Other APIs. Flavors, zones, maintenance windows, quotas, monitored objects."""

from __future__ import annotations

from typing import Annotated

from cachestead import errors
from cachestead.api.access import May, SignedIn
from cachestead.api.chapter import Chapter
from cachestead.api.formats import InstanceIdPath, InstanceIdQuery, Limit, Offset
from cachestead.api.schemas.monitored import ObjectsOfInstanceOut, ObjectsOut, check_dimension, is_ours
from cachestead.api.schemas.other import FlavorOut, FlavorsOut, MaintenanceWindowsOut, QuotaOut, ZoneOut, ZonesOut
from cachestead.api.services import Use
from cachestead.domain.flavors import FlavorFilter
from cachestead.identity.callers import Caller
from cachestead.operations.capacity import free_memory
from cachestead.store import instances as store

chapter = Chapter("4.15", "Other APIs")


@chapter.get("/v2/{project_id}/flavors")
async def list_flavors(
    caller: SignedIn,
    service: Use,
    spec_code: str | None = None,
    cache_mode: str | None = None,
    engine: str | None = None,
    engine_version: str | None = None,
    cpu_type: str | None = None,
    capacity: str | None = None,
    spec_type: str | None = None,
    instance_id: InstanceIdQuery | None = None,
) -> FlavorsOut:
    """List flavors, each with the zones that have room for one now.

    With `instance_id`, those of the instance's engine and version.
    """
    if spec_type not in (None, "instance", "node"):
        raise errors.InvalidParameter("spec_type: instance or node", name="spec_type")
    async with service.database.reading() as tx:
        if instance_id is not None:
            instance = await store.get_instance(tx, caller.project, instance_id)
            engine_version = engine_version or instance.engine_version
        room = free_memory(service, await store.get_promised_memory(tx))
    wanted = FlavorFilter(spec_code, cache_mode, engine, engine_version, cpu_type, capacity)
    return FlavorsOut(
        flavors=[
            FlavorOut.of(flavor, service.zones if flavor.promised_memory <= room else ())
            for flavor in service.flavors.list(wanted)
        ],
        spec_type=spec_type or "instance",
    )


@chapter.get("/v2/instances/maintain-windows")
async def list_maintenance_windows(caller: SignedIn) -> MaintenanceWindowsOut:  # noqa: ARG001
    """List the maintenance windows."""
    return MaintenanceWindowsOut.all()


@chapter.get("/v2/{project_id}/quota")
async def show_quota_of_tenant(caller: SignedIn, service: Use) -> QuotaOut:
    """Show the project's quotas and what is used of them."""
    async with service.database.reading() as tx:
        usage = await store.get_usage(tx, caller.project)
    return QuotaOut.of(service.quotas, usage)


@chapter.get("/v2/available-zones")
async def list_available_zones(caller: SignedIn, service: Use) -> ZonesOut:  # noqa: ARG001
    """List the zones; one is available while the smallest flavor fits the machine's memory."""
    async with service.database.reading() as tx:
        room = free_memory(service, await store.get_promised_memory(tx))
    smallest = min(flavor.promised_memory for flavor in service.flavors.flavors)
    available = "true" if room >= smallest else "false"
    return ZonesOut(
        region_id=service.region.id,
        available_zones=[
            ZoneOut(id=zone.id, code=zone.code, name=zone.name, port="8403", resource_availability=available)
            for zone in service.zones
        ],
    )


@chapter.get("/v2/{project_id}/dims/monitored-objects/{instance_id}")
async def list_monitored_objects_of_instance(
    instance_id: InstanceIdPath,
    dim_name: str,
    caller: Annotated[Caller, May["dcs:instance:get"]],
    service: Use,
) -> ObjectsOfInstanceOut:
    """List what is monitored of an instance: itself, its nodes and its proxies."""
    check_dimension(dim_name)
    async with service.database.reading() as tx:
        instance = await store.get_instance(tx, caller.project, instance_id)
    return ObjectsOfInstanceOut.of(dim_name, instance)


@chapter.get("/v2/{project_id}/dims/monitored-objects")
async def list_monitored_objects(
    dim_name: str,
    caller: Annotated[Caller, May["dcs:instance:list"]],
    service: Use,
    offset: Offset = 0,
    limit: Limit = 10,
) -> ObjectsOut:
    """List the instances that are monitored, newest first; their nodes are listed instance by instance."""
    check_dimension(dim_name)
    if not is_ours(dim_name):
        return ObjectsOut.of(dim_name, 0, [])
    async with service.database.reading() as tx:
        count, page = await store.list_instances_with_nodes(tx, caller.project, offset=offset, limit=limit)
    return ObjectsOut.of(dim_name, count, page)
