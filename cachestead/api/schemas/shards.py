"""Bodies of chapter 4.3, Shards and Replicas."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from pydantic import BaseModel

from cachestead.domain.instances import Instance, Node, Role, group_id, replication_id


class Dimension(BaseModel):
    """What monitoring calls the node: a name and an id."""

    name: str
    value: str


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
            dimensions=[
                Dimension(name="dcs_instance_id", value=node.instance_id),
                Dimension(name="dcs_cluster_redis_node", value=node.id),
            ],
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
            group_name=f"group-{shard}",
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
