"""Bodies of the monitored objects of chapter 4.15: the tree of dimensions, and what is on them.

The reference calls the dimension of proxies `dcs_cluster_proxy_node` where it lists dimensions, and lists the
proxies themselves under `dcs_cluster_proxy2_node`, which is what their figures carry (service limits, section 14).
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel

from cachestead import errors
from cachestead.domain.instances import Instance, Mode, Node, Proxy, State, node_name, proxy_name
from cachestead.domain.metrics import INSTANCE, NODE

_MEMCACHED = "dcs_memcached_instance_id"
"""Of an engine that is not offered: there is nothing on it."""
_PROXY = "dcs_cluster_proxy_node"


def check_dimension(name: str) -> None:
    """Raises `InvalidValue` for what is no primary dimension."""
    if name not in (INSTANCE, _MEMCACHED):
        raise errors.InvalidValue(f"dim_name: {INSTANCE} or {_MEMCACHED}", name="dim_name")


def is_ours(name: str) -> bool:
    """Whether instances are on this primary dimension."""
    return name == INSTANCE


class Child(BaseModel):
    """A dimension below the primary one."""

    dim_name: str
    dim_route: str

    @classmethod
    def of(cls, name: str) -> Child:
        """The dimension with its way from the primary one."""
        return cls(dim_name=name, dim_route=f"{INSTANCE},{name}")


class InstanceObject(BaseModel):
    """A monitored instance."""

    dcs_instance_id: str
    name: str
    status: str

    @classmethod
    def of(cls, instance: Instance) -> InstanceObject:
        """The instance."""
        return cls(dcs_instance_id=instance.id, name=instance.name, status=instance.state.value)


class NodeObject(BaseModel):
    """A monitored data node."""

    dcs_instance_id: str
    name: str
    dcs_cluster_redis_node: str
    status: str

    @classmethod
    def of(cls, instance: Instance, node: Node) -> NodeObject:
        """The node."""
        return cls(
            dcs_instance_id=instance.id,
            name=node_name(node),
            dcs_cluster_redis_node=node.id,
            status=_status(instance, node),
        )


class ProxyObject(BaseModel):
    """A monitored proxy."""

    dcs_instance_id: str
    name: str
    dcs_cluster_proxy2_node: str
    status: str

    @classmethod
    def of(cls, instance: Instance, proxy: Proxy) -> ProxyObject:
        """The proxy."""
        return cls(
            dcs_instance_id=instance.id,
            name=proxy_name(proxy),
            dcs_cluster_proxy2_node=proxy.id,
            status=_status(instance, proxy),
        )


def _status(instance: Instance, one: Node | Proxy) -> str:
    """A node's state in the words of an instance's, as the reference's example has it."""
    if instance.state in (State.RUNNING, State.ERROR):
        return (State.RUNNING if one.active else State.ERROR).value
    return instance.state.value


class ObjectsOut(BaseModel):
    """Answer of list_monitored_objects."""

    router: list[str]
    children: list[Child]
    instances: list[InstanceObject]
    total: int

    @classmethod
    def of(cls, dimension: str, count: int, page: Sequence[Instance]) -> ObjectsOut:
        """A page of instances, and how many there are in all."""
        below = [NODE, _PROXY] if is_ours(dimension) else []
        return cls(
            router=[dimension],
            children=[Child.of(name) for name in below],
            instances=[InstanceObject.of(one) for one in page],
            total=count,
        )


class ObjectsOfInstanceOut(BaseModel):
    """Answer of list_monitored_objects_of_instance."""

    router: list[str]
    children: list[Child]
    instances: list[InstanceObject]
    dcs_cluster_redis_node: list[NodeObject]
    dcs_cluster_proxy_node: list[ProxyObject]
    """Of Redis 3.0, which is not offered."""
    dcs_cluster_proxy2_node: list[ProxyObject]
    total: int

    @classmethod
    def of(cls, dimension: str, instance: Instance) -> ObjectsOfInstanceOut:
        """The instance with its nodes; the node of a single-node instance is the instance."""
        ours = is_ours(dimension)
        nodes = instance.nodes if ours and instance.mode is not Mode.SINGLE else ()
        proxies = instance.proxies if ours else ()
        below = [name for name, objects in ((NODE, nodes), (_PROXY, proxies)) if objects]
        return cls(
            router=[dimension],
            children=[Child.of(name) for name in below],
            instances=[InstanceObject.of(instance)] if ours else [],
            dcs_cluster_redis_node=[NodeObject.of(instance, node) for node in nodes],
            dcs_cluster_proxy_node=[],
            dcs_cluster_proxy2_node=[ProxyObject.of(instance, proxy) for proxy in proxies],
            total=int(ours),
        )
