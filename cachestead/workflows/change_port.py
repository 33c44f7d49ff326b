"""Let an instance listen on another port.

Before: the instance is RUNNING with the task `UpdatePort`. After: every node listens on the new port only,
replicas follow their master there, the Sentinels watch it there, and the record has it. No data is lost,
connections are. If it fails: nodes, Sentinels and record are back on the old port. Behind proxies only these move,
at the address that they share. With SSL only the port for TLS moves: ours is beside it.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from cachestead.domain.instances import Node
from cachestead.domain.shards import master_of
from cachestead.engine import replication
from cachestead.engine.addresses import NodeAddress
from cachestead.engine.cluster import announce_port
from cachestead.engine.endpoint import ensure_port, ensure_tls_port
from cachestead.engine.errors import EngineUnreachable
from cachestead.engine.info import observe_role
from cachestead.store import instances as store
from cachestead.workflows.machinery import client_at, client_of, front_of
from cachestead.workflows.proxies import ensure_proxies
from cachestead.workflows.steps import await_replication, open_endpoint, unwatch_instance, verify, watch_instance
from cachestead.workflows.workflow import Step, StepContext, Workflow, change_done, change_failed


async def look_away(ctx: StepContext) -> None:
    """No Sentinel takes nodes that move for lost."""
    if not ctx.instance.mode.has_proxies:
        await unwatch_instance(ctx)


async def move_nodes(ctx: StepContext) -> None:
    """Every node listens on the new port, wherever it listened before."""
    await _move(ctx, int(ctx.job.params["port"]))


async def move_back(ctx: StepContext) -> None:
    """Every node listens on the port of the record."""
    await _move(ctx, ctx.instance.port)


async def _move(ctx: StepContext, port: int) -> None:
    if ctx.instance.mode.has_proxies:
        await ensure_proxies(ctx.machinery, replace(ctx.instance, port=port))
        return
    if ctx.instance.enable_ssl:
        await asyncio.gather(*(_move_tls(ctx, node, port) for node in ctx.instance.nodes))
        return
    ports = {ctx.instance.port, int(ctx.job.params["port"])}
    for node in ctx.instance.nodes:
        there = NodeAddress(node.address, port)
        if not await _answers(ctx, there):
            for elsewhere in (NodeAddress(node.address, one) for one in ports - {port}):
                await ensure_port(client_at(ctx.machinery, ctx.instance, elsewhere), port)
                await ctx.machinery.connections.forget(elsewhere)
        if ctx.instance.mode.is_clustered:
            await announce_port(client_at(ctx.machinery, ctx.instance, there), port)
        if ctx.instance.mode.is_watched and node.id != master_of(ctx.instance).id:
            master = NodeAddress(master_of(ctx.instance).address, port)
            await replication.ensure_replica_of(client_at(ctx.machinery, ctx.instance, there), master)


async def _move_tls(ctx: StepContext, node: Node, port: int) -> None:
    machinery, instance = ctx.machinery, replace(ctx.instance, port=port)
    front = front_of(machinery, instance, node)
    if front is None:
        await ensure_tls_port(client_of(machinery, instance, node), port)
    else:
        await machinery.runtime.kill_node(front.id)
        await machinery.runtime.ensure_node(front)


async def _answers(ctx: StepContext, address: NodeAddress) -> bool:
    try:
        await observe_role(client_at(ctx.machinery, ctx.instance, address))
    except EngineUnreachable:
        return False
    return True


async def save_port(ctx: StepContext) -> None:
    """The record has the new port."""
    await _save(ctx, int(ctx.job.params["port"]))


async def save_old_port(ctx: StepContext) -> None:
    """The record has the port that it had before."""
    await _save(ctx, int(ctx.job.details["old_port"]))


async def _save(ctx: StepContext, port: int) -> None:
    async with ctx.machinery.database.writing() as tx:
        await store.edit_instance(tx, ctx.instance.id, port=port)
        stay = ctx.instance.mode.has_proxies or ctx.instance.enable_ssl
        for node in () if stay else ctx.instance.nodes:
            await store.save_node(tx, replace(node, port=port))


CHANGE_PORT = Workflow(
    "change-port",
    job_type="modifyPortJob",
    steps=(
        Step(look_away, undo=watch_instance),
        Step(move_nodes, undo=move_back),
        Step(save_port, undo=save_old_port),
        Step(await_replication),
        Step(open_endpoint),
        Step(watch_instance, undo=look_away),
        Step(verify),
    ),
    succeed=change_done,
    fail=change_failed,
    task="UpdatePort",
    lock="UpdatePort",
)
