"""Bodies of chapter 4.3, Shards and Replicas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Annotated

from pydantic import BaseModel, Field, StrictInt

from cachestead import errors
from cachestead.api.bodies import Refused, RequestBody
from cachestead.domain.instances import (
    Instance,
    Node,
    Proxy,
    Role,
    State,
    group_id,
    group_name,
    node_name,
    proxy_name,
    replication_id,
)
from cachestead.domain.jobs import Job
from cachestead.domain.ssl import client_port

_STATUSES = ("Creating", "Active", "Inactive", "Deleting", "AddSharding")


class Priority(RequestBody):
    """Body of update_slave_priority."""

    slave_priority_weight: Annotated[StrictInt, Field(ge=0, le=100), Refused(errors.InvalidPriority)]


class Dimension(BaseModel):
    """What monitoring calls the node: a name and an id."""

    name: str
    value: str

    @classmethod
    def both(cls, node: Node | Proxy) -> list[Dimension]:
        """The instance's first, then the node's."""
        kind = "dcs_cluster_redis_node" if isinstance(node, Node) else "dcs_cluster_proxy2_node"
        return [cls(name="dcs_instance_id", value=node.instance_id), cls(name=kind, value=node.id)]


class ReplicationOut(BaseModel):
    """A node in its shard."""

    replication_role: str
    replication_ip: str
    is_replication: bool = False
    replication_id: str
    node_id: str
    status: str
    az_code: str
    dimensions: list[Dimension]

    @classmethod
    def of(cls, node: Node) -> ReplicationOut:
        """The node as last seen."""
        return cls(
            replication_role=node.role.value,
            replication_ip=node.address,
            replication_id=replication_id(node.id),
            node_id=node.id,
            status="Active" if node.active else "Inactive",
            az_code=node.zone,
            dimensions=Dimension.both(node),
        )


class GroupOut(BaseModel):
    """A shard with its nodes."""

    group_id: str
    group_name: str
    replication_list: list[ReplicationOut]

    @classmethod
    def of(cls, instance_id: str, shard: int, nodes: Sequence[Node]) -> GroupOut:
        """The shard; its master comes first, which is where clients read an instance's first zone."""
        master_first = sorted(nodes, key=lambda node: node.role is not Role.MASTER)
        return cls(
            group_id=group_id(instance_id, shard),
            group_name=group_name(shard),
            replication_list=[ReplicationOut.of(node) for node in master_first],
        )


class GroupsOut(BaseModel):
    """Answer of list_group_replication_info."""

    group_list: list[GroupOut]
    group_count: int

    @classmethod
    def of(cls, instance: Instance) -> GroupsOut:
        """The instance's shards in order; none once its nodes are gone."""
        by_shard = groupby(instance.nodes, key=lambda node: node.shard)
        groups = [GroupOut.of(instance.id, shard, list(nodes)) for shard, nodes in by_shard]
        return cls(group_list=groups, group_count=len(groups))


class NodeOut(BaseModel):
    """A node by itself."""

    logical_node_id: str
    name: str
    status: str
    az_code: str
    node_role: str = "redis-server"
    node_type: str
    node_ip: str
    node_port: str
    node_id: str
    is_access: bool
    group_id: str
    group_name: str
    priority_weight: int
    is_remove_ip: bool
    replication_id: str | None
    dimensions: list[Dimension]

    @classmethod
    def of(cls, instance: Instance, node: Node) -> NodeOut:
        """The node as last seen. Clients reach it by its own address, unless there are proxies."""
        return cls(
            logical_node_id=node.id,
            name=node_name(node),
            status=_status(instance, active=node.active),
            az_code=node.zone,
            node_type=node.role.value,
            node_ip=node.address,
            node_port=str(client_port(instance, node)),
            node_id=node.id,
            is_access=not instance.proxies,
            group_id=group_id(instance.id, node.shard),
            group_name=group_name(node.shard),
            priority_weight=node.priority,
            is_remove_ip=not node.in_domain_name,
            replication_id=replication_id(node.id),
            dimensions=Dimension.both(node),
        )

    @classmethod
    def of_proxy(cls, instance: Instance, proxy: Proxy) -> NodeOut:
        """A proxy as last seen. It belongs to no shard, and what is chosen about replicas it has none of."""
        return cls(
            logical_node_id=proxy.id,
            name=proxy_name(proxy),
            status=_status(instance, active=proxy.active),
            az_code=proxy.zone,
            node_role="redis-proxy",
            node_type="proxy",
            node_ip=proxy.address,
            node_port=str(proxy.port),
            node_id=proxy.id,
            is_access=False,
            group_id="",
            group_name="",
            priority_weight=0,
            is_remove_ip=False,
            replication_id=None,
            dimensions=Dimension.both(proxy),
        )


def _status(instance: Instance, *, active: bool) -> str:
    if instance.state is State.DELETING:
        return "Deleting"
    return "Active" if active else "Inactive"


def _nodes_of(instance: Instance) -> list[NodeOut]:
    """The instance's nodes and proxies; none while it is made, for they are nothing yet."""
    if instance.state is State.CREATING:
        return []
    nodes = [NodeOut.of(instance, node) for node in instance.nodes]
    return [*nodes, *(NodeOut.of_proxy(instance, proxy) for proxy in instance.proxies)]


class NodesOut(BaseModel):
    """Answer of show_nodes_information."""

    instance_id: str
    total: int
    nodes: list[NodeOut]

    @classmethod
    def of(cls, instance: Instance, status: str | None) -> NodesOut:
        """The instance's nodes, or those in a state; raises `InvalidValue` for what is no state of a node."""
        if status and status not in _STATUSES:
            raise errors.InvalidValue(f"status: one of {', '.join(_STATUSES)}", name="status")
        nodes = [node for node in _nodes_of(instance) if status in (None, "", node.status)]
        return cls(instance_id=instance.id, total=len(nodes), nodes=nodes)


class InstanceNodes(BaseModel):
    """An instance with its nodes."""

    instance_id: str
    node_count: int
    nodes: list[NodeOut]

    @classmethod
    def of(cls, instance: Instance) -> InstanceNodes:
        """All of them."""
        nodes = _nodes_of(instance)
        return cls(instance_id=instance.id, node_count=len(nodes), nodes=nodes)


class AllNodesOut(BaseModel):
    """Answer of batch_show_nodes_information."""

    count: int
    instances: list[InstanceNodes]

    @classmethod
    def of(cls, count: int, page: Sequence[Instance]) -> AllNodesOut:
        """A page of instances, and how many there are in all."""
        return cls(count=count, instances=[InstanceNodes.of(one) for one in page])


class RemovedAddressOut(BaseModel):
    """Answer of delete_ip_from_domain_name: the SDK reads `job_id`, Terraform `jobId`."""

    job_id: str
    jobId: str  # noqa: N815 - the word on the wire

    @classmethod
    def of(cls, job: Job) -> RemovedAddressOut:
        """The job that does it."""
        return cls(job_id=job.id, jobId=job.id)


class DeletableReplica(BaseModel):
    """A replica that may be deleted."""

    replication_id: str
    node_id: str
    replication_ip: str
    group_id: str
    group_name: str
    available_zone: str

    @classmethod
    def of(cls, instance: Instance, node: Node, zone_ids: Mapping[str, str]) -> DeletableReplica:
        """The replica; its zone by id, or by code where the region has it no more."""
        return cls(
            replication_id=replication_id(node.id),
            node_id=node.id,
            replication_ip=f"{node.address}:{client_port(instance, node)}",
            group_id=group_id(node.instance_id, node.shard),
            group_name=group_name(node.shard),
            available_zone=zone_ids.get(node.zone, node.zone),
        )


class DeletableReplicasOut(BaseModel):
    """Answer of validate_deletable_replica."""

    check_result: bool
    available_zone: str
    replication_list: list[DeletableReplica]

    @classmethod
    def of(cls, instance: Instance, replicas: Sequence[Node], zone_ids: Mapping[str, str]) -> DeletableReplicasOut:
        """The set that may go; the zones it is in as one text, as a rule just one."""
        found = [DeletableReplica.of(instance, node, zone_ids) for node in replicas]
        zones = dict.fromkeys(one.available_zone for one in found)
        return cls(check_result=bool(found), available_zone=",".join(zones), replication_list=found)
