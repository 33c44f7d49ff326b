"""Chapter 4.3: Shards and Replicas. What nodes an instance consists of, and what is chosen about them."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from cachestead.api.access import May
from cachestead.api.chapter import Chapter
from cachestead.api.formats import InstanceIdPath, Offset
from cachestead.api.schemas.shards import AllNodesOut, GroupsOut, NodesOut, Priority, RemovedAddressOut
from cachestead.api.schemas.tasks import JobIdOut
from cachestead.api.services import Use
from cachestead.identity.callers import Caller
from cachestead.operations import replicas
from cachestead.store import instances as store

chapter = Chapter("4.3", "Shards and Replicas")
_GROUPS = "/v2/{project_id}/instance/{instance_id}/groups"  # singular, as the reference has it
_REPLICA = "/v2/{project_id}/instances/{instance_id}/groups/{group_id}/replications/{node_id}"


@chapter.post(_REPLICA + "/slave-priority", status=204)
async def update_slave_priority(
    instance_id: InstanceIdPath,
    group_id: str,
    node_id: str,
    body: Priority,
    caller: Annotated[Caller, May["dcs:instance:modify"]],
    service: Use,
) -> None:
    """Choose which replica is promoted first when the master fails: the smallest value; 0 is never promoted."""
    priority = body.slave_priority_weight
    await replicas.set_priority(service, caller, instance_id, group_id, node_id, priority)


@chapter.delete(_REPLICA + "/remove-ip")
async def delete_ip_from_domain_name(
    instance_id: InstanceIdPath,
    group_id: str,
    node_id: str,
    caller: Annotated[Caller, May["dcs:instance:modify"]],
    service: Use,
) -> RemovedAddressOut:
    """Take a replica out of the read-only domain name, for good; the last one stays."""
    job = await replicas.leave_domain_name(service, caller, instance_id, group_id, node_id)
    return RemovedAddressOut.of(job)


@chapter.post(_GROUPS + "/{group_id}/replications/{node_id}/async-switchover")
async def execute_cluster_switchover(
    instance_id: InstanceIdPath,
    group_id: str,
    node_id: str,
    caller: Annotated[Caller, May["dcs:instance:swap"]],
    service: Use,
) -> JobIdOut:
    """Let a replica be master of its shard of a cluster; no acknowledged write is lost."""
    return JobIdOut.of(await replicas.begin_shard_switch(service, caller, instance_id, group_id, node_id))


@chapter.get(_GROUPS)
async def list_group_replication_info(
    instance_id: InstanceIdPath, caller: Annotated[Caller, May["dcs:instance:get"]], service: Use
) -> GroupsOut:
    """List an instance's shards with their nodes, each shard's master first."""
    async with service.database.reading() as tx:
        return GroupsOut.of(await store.get_instance(tx, caller.project, instance_id))


@chapter.get("/v2/{project_id}/instances-logical-nodes")
async def batch_show_nodes_information(
    caller: Annotated[Caller, May["dcs:instance:list"]],
    service: Use,
    offset: Offset = 0,
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> AllNodesOut:
    """List the nodes of all instances, by instance, newest first; those being made have none yet."""
    async with service.database.reading() as tx:
        found = await store.list_instances_with_nodes(tx, caller.project, offset=offset, limit=limit)
    return AllNodesOut.of(*found)


@chapter.get("/v2/{project_id}/instances/{instance_id}/logical-nodes")
async def show_nodes_information(
    instance_id: InstanceIdPath,
    caller: Annotated[Caller, May["dcs:instance:get"]],
    service: Use,
    status: str | None = None,
) -> NodesOut:
    """List an instance's nodes; none while it is being made."""
    async with service.database.reading() as tx:
        return NodesOut.of(await store.get_instance(tx, caller.project, instance_id), status)
