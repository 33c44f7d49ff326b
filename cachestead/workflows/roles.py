"""Who is master now, asked of the engines: records follow, and long work cannot wait for them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from cachestead.domain.instances import Instance, Mode, Role
from cachestead.domain.shards import Shard, shards_of
from cachestead.engine.cluster import ClusterView, observe_any
from cachestead.engine.errors import EngineError
from cachestead.engine.info import observe_role
from cachestead.store import instances as store
from cachestead.workflows.machinery import Machinery, address_of, client_of, has_standby


async def with_roles_now(machinery: Machinery, instance: Instance) -> Instance:
    """The instance with the roles its nodes have; where nobody can tell, those on record."""
    if instance.mode is Mode.CLUSTER:
        view = await observe_any(client_of(machinery, instance, node) for node in instance.nodes)
        masters = {_master_in(view, shard) for shard in shards_of(instance)}
    elif has_standby(instance):
        masters = {await _watched_master(machinery, instance)}
    else:
        return instance
    return replace(
        instance,
        nodes=tuple(
            replace(node, role=Role.MASTER if node.id in masters else Role.REPLICA) for node in instance.nodes
        ),
    )


async def save_roles(machinery: Machinery, before: Instance, now: Instance) -> None:
    """The record has the nodes as they are now; whoever answered is active."""
    recorded = {node.id: node for node in before.nodes}
    async with machinery.database.writing() as tx:
        for node in now.nodes:
            if replace(node, active=True) != recorded[node.id]:
                await store.save_node(tx, replace(node, active=True))


def _master_in(view: ClusterView, shard: Shard) -> str:
    """The id of the shard's node that owns slots; of a shard without any, of the node that follows nobody."""
    seen = [(node, view.find_at(address_of(node))) for node in shard.nodes]
    masters = [(node, found) for node, found in seen if found and found.is_master]
    owners = [node.id for node, found in masters if found.slots]
    return next(iter(owners or [node.id for node, _ in masters]), shard.master.id)


async def _watched_master(machinery: Machinery, instance: Instance) -> str:
    roles = await asyncio.gather(
        *(observe_role(client_of(machinery, instance, node)) for node in instance.nodes), return_exceptions=True
    )
    masters = [node.id for node, role in zip(instance.nodes, roles, strict=True) if role == "master"]
    if len(masters) == 1:
        return masters[0]
    try:
        named = await machinery.sentinels.find_master(instance.id)
    except EngineError:
        named = None
    recorded = next(node.id for node in instance.nodes if node.role is Role.MASTER)
    return next((node.id for node in instance.nodes if address_of(node) == named), recorded)
