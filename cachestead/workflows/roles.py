"""Who is master now, asked of the engines: records follow, and long work cannot wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from cachestead.domain.healing import NodeSeen, plan_healing
from cachestead.domain.instances import Instance, Node, Role
from cachestead.domain.shards import Shard, shards_of
from cachestead.engine.addresses import NodeAddress
from cachestead.engine.cluster import ClusterView, observe_any
from cachestead.engine.errors import EngineError, FailoverFailed
from cachestead.engine.info import NodeFacts, observe_node
from cachestead.runtime.interface import NodeSighting
from cachestead.store import instances as store
from cachestead.workflows.machinery import (
    Machinery,
    address_of,
    client_of,
    keeps_file,
    sightings_now,
)

Facts = Mapping[str, NodeFacts | None]
"""What nodes say, by id; None of one that does not answer."""


async def with_roles_now(machinery: Machinery, instance: Instance) -> Instance:
    """The instance with the roles its nodes have; where nobody can tell, those on record.

    Raises `FailoverFailed` while a master that keeps no file is lost and its replica is not: whoever started it
    now would have it come back empty, and its replica after it.
    """
    if instance.mode.is_clustered:
        view = await observe_any(client_of(machinery, instance, node) for node in instance.nodes)
        masters = {_master_in(view, shard) for shard in shards_of(instance)}
    elif instance.mode.is_watched:
        masters = {await find_master(machinery, instance)}
    else:
        return instance
    nodes = (replace(one, role=Role.MASTER if one.id in masters else Role.REPLICA) for one in instance.nodes)
    now = replace(instance, nodes=tuple(nodes))
    if not keeps_file(machinery, instance):
        await _check_masters_run(machinery, now)
    return now


async def _check_masters_run(machinery: Machinery, instance: Instance) -> None:
    sightings = await sightings_now(machinery)
    running = {node.id for node in instance.nodes if node.id in sightings and sightings[node.id].running}
    for shard in shards_of(instance):
        if shard.master.id in running:
            continue
        facts = await observe_facts(machinery, replace(instance, nodes=shard.replicas), sightings)
        # One that does not answer may have data.
        if any(node in running and (found is None or found.has_data) for node, found in facts.items()):
            raise FailoverFailed(f"{shard.master.address} is lost, and nobody has taken its place yet")


async def save_roles(machinery: Machinery, before: Instance, now: Instance) -> None:
    """The record has the nodes as they are now; whoever answered is active."""
    recorded = {node.id: node for node in before.nodes}
    async with machinery.database.writing() as tx:
        for node in now.nodes:
            if replace(node, active=True) != recorded[node.id]:
                await store.save_node(tx, replace(node, active=True))


async def find_master(machinery: Machinery, instance: Instance) -> str:
    """Id of the node that is master of a watched instance, by what the nodes say, else by the Sentinels."""
    sightings = await sightings_now(machinery)
    facts = await observe_facts(machinery, instance, sightings)
    try:
        watched = await machinery.sentinels.find_master(instance.id)
    except EngineError:
        watched = None
    return plan_healing(instance, seen_of(instance, sightings, facts), node_at(instance, watched)).master


async def observe_facts(
    machinery: Machinery, instance: Instance, sightings: Mapping[str, NodeSighting]
) -> dict[str, NodeFacts | None]:
    """What the instance's nodes say now, those that have a process that is not frozen."""

    async def ask(node: Node) -> NodeFacts | None:
        sighting = sightings.get(node.id)
        if sighting is None or not sighting.running or sighting.frozen:
            return None
        try:
            return await observe_node(client_of(machinery, instance, node))
        except EngineError:
            return None

    found = await asyncio.gather(*(ask(node) for node in instance.nodes))
    return dict(zip((node.id for node in instance.nodes), found, strict=True))


def seen_of(instance: Instance, sightings: Mapping[str, NodeSighting], facts: Facts) -> dict[str, NodeSeen]:
    """The same as `domain/healing.py` judges it."""
    return {
        node.id: NodeSeen(
            running=node.id in sightings and sightings[node.id].running,
            role=Role(found.role) if (found := facts[node.id]) else None,
            follows=node_at(instance, found.master) if found else None,
            has_data=found is not None and found.has_data,
            offset=found.offset if found else 0,
        )
        for node in instance.nodes
    }


def node_at(instance: Instance, address: NodeAddress | None) -> str | None:
    """Id of the instance's node at an address, or None."""
    return next((node.id for node in instance.nodes if address_of(node) == address), None)


def _master_in(view: ClusterView, shard: Shard) -> str:
    """The id of the shard's node that owns slots; of a shard without any, of the node that follows nobody."""
    seen = [(node, view.find_at(address_of(node))) for node in shard.nodes]
    masters = [(node, found) for node, found in seen if found and found.is_master]
    owners = [node.id for node, found in masters if found.slots]
    return next(iter(owners or [node.id for node, _ in masters]), shard.master.id)
