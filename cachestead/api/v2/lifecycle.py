"""Chapter 4.1: Lifecycle Management. Making, listing, showing, changing and removing instances."""

from __future__ import annotations

from typing import Annotated

from fastapi import Response

from cachestead import errors
from cachestead.api.access import May
from cachestead.api.chapter import Chapter
from cachestead.api.formats import InstanceIdPath, Limit, Offset, read_flag
from cachestead.api.schemas.lifecycle import (
    BatchOut,
    CreateInstance,
    CreateInstanceOut,
    InstanceIds,
    InstanceListed,
    InstanceOut,
    InstanceVersionOut,
    ListInstancesOut,
    ResizeInstance,
    UpdateInstance,
    read_capacity,
    read_tag_filter,
)
from cachestead.api.schemas.shards import DeletableReplicasOut
from cachestead.api.services import Use
from cachestead.domain.instances import Mode
from cachestead.domain.rules import check_instance_ids
from cachestead.domain.shards import deletable_replicas
from cachestead.identity.callers import Caller
from cachestead.operations import instances, resizing
from cachestead.operations.ssl import supports_ssl
from cachestead.store import instances as store

chapter = Chapter("4.1", "Lifecycle Management")
_ALL = "/v2/{project_id}/instances"
_ONE = "/v2/{project_id}/instances/{instance_id}"


@chapter.post(_ALL)
async def create_instance(
    body: CreateInstance, caller: Annotated[Caller, May["dcs:instance:create"]], service: Use
) -> CreateInstanceOut:
    """Make one or more instances. Each is CREATING and turns RUNNING, or CREATEFAILED with a reason."""
    return CreateInstanceOut.of(await instances.create_instances(service, caller, body.to_order()))


@chapter.get(_ALL)
async def list_instances(
    caller: Annotated[Caller, May["dcs:instance:list"]],
    service: Use,
    instance_id: str | None = None,
    include_failure: str | None = None,
    include_delete: str | None = None,
    name: str | None = None,
    offset: Offset = 0,
    limit: Limit = 10,
    status: str | None = None,
    name_equal: str | None = None,
    tags: str | None = None,
    ip: str | None = None,
    capacity: str | None = None,
) -> ListInstancesOut:
    """List instances, newest first.

    `name` matches parts of names; `name_equal` is a whole name, or "true" to match `name` as a whole.
    """
    whole = name if name_equal == "true" else None if name_equal in (None, "false") else name_equal
    wanted = store.InstanceFilter(
        instance_id=instance_id,
        name=None if name_equal == "true" else name,
        name_is=whole,
        status=status,
        ip=ip,
        capacity_gb=read_capacity(capacity),
        tags=tuple(read_tag_filter(tags).items()),
        with_failed=read_flag(include_failure, "include_failure"),
        with_deleted=read_flag(include_delete, "include_delete"),
    )

    async def look() -> ListInstancesOut:
        async with service.database.reading() as tx:
            network = await service.network_of(tx, caller.project)
            count, found = await store.list_instances(tx, caller.project, wanted, offset=offset, limit=limit)
        listed = [
            InstanceListed.of(
                one,
                service.flavors.get(one.spec_code, one.capacity_gb),
                network,
                dns_zone=service.region.dns_zone,
                has_ssl=supports_ssl(service, one),
            )
            for one in found
        ]
        return ListInstancesOut.model_construct(instance_num=count, instances=listed)

    page: ListInstancesOut = await service.pages.get((caller.project, wanted, offset, limit), look)
    return page


@chapter.delete(_ALL)
async def batch_delete_instances(
    caller: Annotated[Caller, May["dcs:instance:delete"]],
    service: Use,
    body: InstanceIds | None = None,
    all_failure: str | None = None,
) -> Response:
    """Remove up to 50 instances, or with `all_failure=true` every one whose creation failed."""
    if (all_failure or "").lower() == "true":
        await instances.delete_failed_instances(service, caller)
        return Response(status_code=204)
    if body is None:
        raise errors.EmptyBody("instances")
    outcomes = await instances.delete_instances(service, caller, check_instance_ids(body.instances))
    return Response(BatchOut.of(outcomes).model_dump_json(), media_type="application/json")


@chapter.get(_ONE)
async def show_instance(
    instance_id: InstanceIdPath, caller: Annotated[Caller, May["dcs:instance:get"]], service: Use
) -> InstanceOut:
    """Show an instance."""
    async with service.database.reading() as tx:
        instance = await store.get_instance(tx, caller.project, instance_id)
        network = await service.network_of(tx, caller.project)
    return InstanceOut.of(
        instance,
        service.flavors.get(instance.spec_code, instance.capacity_gb),
        network,
        dns_zone=service.region.dns_zone,
        has_ssl=supports_ssl(service, instance),
        zone_ids={zone.code: zone.id for zone in service.zones},
        now=service.now(),
    )


@chapter.put(_ONE, status=204)
async def update_instance(
    instance_id: InstanceIdPath,
    body: UpdateInstance,
    caller: Annotated[Caller, May["dcs:instance:modify"]],
    service: Use,
) -> None:
    """Change name, description, port, command names, maintenance window or backup policy."""
    await instances.update_instance(service, caller, instance_id, body.to_edit())


@chapter.delete(_ONE, status=204)
async def delete_single_instance(
    instance_id: InstanceIdPath, caller: Annotated[Caller, May["dcs:instance:delete"]], service: Use
) -> None:
    """Remove an instance with all its data. It answers 404 once it is gone."""
    await instances.delete_instance(service, caller, instance_id)


@chapter.post(_ONE + "/resize", status=204)
async def resize_instance(
    instance_id: InstanceIdPath,
    body: ResizeInstance,
    caller: Annotated[Caller, May["dcs:instance:scale"]],
    service: Use,
) -> None:
    """Change size, type, replicas or shards, at once or (`execute_immediately` false) in the maintenance window.

    The instance is EXTENDING and goes on serving; it turns RUNNING with the new flavor, or with the old one and a
    failed task that says why. A change of type (`instanceType`) cuts connections, and nothing can be written while
    data is copied.
    """
    await resizing.resize_instance(
        service, caller, instance_id, body.to_wish(), at_once=body.execute_immediately is not False
    )


@chapter.get(_ONE + "/version")
async def show_instance_version(
    instance_id: InstanceIdPath, caller: Annotated[Caller, May["dcs:instance:getUpgradeInfo"]], service: Use
) -> InstanceVersionOut:
    """Show which engine the instance really runs on; it may be newer than the version that was ordered."""
    async with service.database.reading() as tx:
        return InstanceVersionOut.of(await store.get_instance(tx, caller.project, instance_id))


@chapter.get(_ONE + "/deletable-replication")
async def validate_deletable_replica(
    instance_id: InstanceIdPath, caller: Annotated[Caller, May["dcs:instance:get"]], service: Use
) -> DeletableReplicasOut:
    """Tell which replicas of a cluster may be deleted: one of each shard, in one zone where that is possible."""
    async with service.database.reading() as tx:
        instance = await store.get_instance(tx, caller.project, instance_id)
    if instance.mode is not Mode.CLUSTER:
        raise errors.InvalidValue("instance_id: only native clusters are supported", name="instance_id")
    zone_ids = {zone.code: zone.id for zone in service.zones}
    return DeletableReplicasOut.of(instance, deletable_replicas(instance), zone_ids)
