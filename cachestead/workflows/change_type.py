"""Make a master/standby instance of a single node, at the address it has.

Before: the record is EXTENDING, with the new nodes among its nodes. After: the instance has these nodes only. The
first of them, the heir, copied the single node and took its address in a moment when writes were held; it is the
master, and the Sentinels watch. No acknowledged write is lost; connections are. If it fails: the single node is
back, with all data.

Whether the single node runs, and in which role, says who has the data: as master it has it itself; where it does
not run, or copies, the heir has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from cachestead.domain.instances import Instance, Mode, Node, Role
from cachestead.domain.jobs import Job
from cachestead.engine import live, replication
from cachestead.engine.connection import Client
from cachestead.engine.endpoint import ensure_bound, ensure_unbound
from cachestead.engine.errors import EndpointTaken, FailoverFailed, ReplicationLate
from cachestead.engine.info import observe_role
from cachestead.engine.polling import until
from cachestead.workflows.machinery import address_of, client_of, engine_of, ensure_unwatched, running_of, users_of
from cachestead.workflows.resize_instance import (
    LIMIT,
    START,
    ensure_standby,
    named,
    persist,
    resize_failed,
    with_new_flavor,
)
from cachestead.workflows.steps import SYNC_SECONDS, remove_each, start_each, verify
from cachestead.workflows.workflow import Step, StepContext, Workflow

HELD_SECONDS = 8.0
"""How long writes are held at most; the single node must have ended before they go on."""
FREE_SECONDS = 5.0
"""How long the system may take to give the address of a process that ended to another."""


async def copy_data(ctx: StepContext) -> None:
    """The new nodes have the single node's data and follow it."""

    async def act() -> None:
        old, *copies = _nodes(ctx)
        await start_each(ctx, [old, *copies])
        clients = [_client(ctx, node) for node in copies]
        for client in clients:
            await replication.ensure_replica_of(client, address_of(old))
        await replication.wait_in_sync(clients, address_of(old), SYNC_SECONDS)

    await persist(ctx, act)


async def hand_over(ctx: StepContext) -> None:
    """The single node has ended, its heir is master and has the instance's address."""

    async def act() -> None:
        old, heir, *others = _nodes(ctx)
        if await running_of(ctx.machinery, [old]):
            await _end_caught_up(ctx, old, heir)
        await replication.ensure_master(_client(ctx, heir))
        await until(lambda: _not_bound(ctx, heir), FREE_SECONDS, FailoverFailed)
        for node in others:
            await replication.ensure_replica_of(_client(ctx, node), address_of(heir))

    await persist(ctx, act)


async def _end_caught_up(ctx: StepContext, old: Node, heir: Node) -> None:
    """The old node has ended, and the heir has everything that it acknowledged."""
    source = _client(ctx, old)
    await live.hold_writes(source, HELD_SECONDS)
    try:
        async with asyncio.timeout(HELD_SECONDS / 2):
            await replication.wait_caught_up(_client(ctx, heir), source, HELD_SECONDS / 2)
            await ctx.machinery.runtime.kill_node(old.id)
    except TimeoutError:
        raise ReplicationLate(f"{heir.address} did not catch up in {HELD_SECONDS / 2:g} s") from None
    await ctx.machinery.connections.forget(address_of(old))


async def _not_bound(ctx: StepContext, heir: Node) -> str | None:
    try:
        await ensure_bound(_client(ctx, heir), heir.address, ctx.instance.ip)
    except EndpointTaken as taken:
        return str(taken)
    return None


async def hand_back(ctx: StepContext) -> None:
    """The single node is master at its address, with the data of its heir if that had taken over."""

    async def act() -> None:
        old, heir, *_ = _nodes(ctx)
        if not await running_of(ctx.machinery, [old]):
            await replication.ensure_master(_client(ctx, heir))
            await ensure_unbound(_client(ctx, heir), heir.address)
            await live.drop_tenant_clients(_client(ctx, heir))
            # It must not come up empty and as master: from then on it would be held for the one that has the data.
            await start_each(replace(ctx, instance=_as_standby(ctx.instance, [heir, old])), [old])
        if await observe_role(_client(ctx, old)) == "slave":
            await replication.wait_in_sync([_client(ctx, old)], address_of(heir), SYNC_SECONDS)
            await replication.ensure_master(_client(ctx, old))
        await _set_users(ctx, ctx.instance, [old])
        await live.release_writes(_client(ctx, old))

    await persist(ctx, act)


async def watch_standby(ctx: StepContext) -> None:
    """The Sentinels watch the new nodes, whose users are those of their type."""

    async def act() -> None:
        instance = _as_standby(ctx.instance, named(ctx, "joining"))
        await _set_users(ctx, instance, instance.nodes)
        await ensure_standby(ctx, instance)

    await persist(ctx, act)


async def unwatch_standby(ctx: StepContext) -> None:
    """No Sentinel knows the instance."""
    await ensure_unwatched(ctx.machinery, ctx.instance)


async def remove_old(ctx: StepContext) -> None:
    """Nothing is left of the single node but its address, which its heir has."""
    await remove_each(ctx, named(ctx, "leaving"))


async def _set_users(ctx: StepContext, instance: Instance, nodes: Sequence[Node]) -> None:
    users, engine = users_of(ctx.machinery.vault, instance), engine_of(ctx.machinery, instance)
    for node in nodes:
        await live.set_users(_client(ctx, node), users, engine)


def _nodes(ctx: StepContext) -> list[Node]:
    """The single node, its heir, and the other new ones."""
    return [*named(ctx, "leaving"), *named(ctx, "joining")]


def _client(ctx: StepContext, node: Node) -> Client:
    return client_of(ctx.machinery, ctx.instance, node)


def _as_standby(instance: Instance, nodes: Sequence[Node]) -> Instance:
    """The master/standby instance of these nodes, of which the first is master."""
    master, *others = nodes
    roles = (replace(master, role=Role.MASTER), *(replace(node, role=Role.REPLICA) for node in others))
    return replace(instance, mode=Mode.HA, nodes=roles)


def _succeed(instance: Instance, job: Job, at: datetime) -> Instance:
    joined = [node for node in instance.nodes if node.id in job.params["joining"]]
    active = [replace(node, active=True) for node in joined]
    return with_new_flavor(_as_standby(instance, active), job, at)


CHANGE_TYPE = Workflow(
    "change-type",
    job_type="resizeInstanceJob",
    steps=(
        START,
        Step(copy_data),
        Step(hand_over, undo=hand_back),
        Step(watch_standby, undo=unwatch_standby),
        Step(remove_old),
        LIMIT,
        Step(verify),
    ),
    succeed=_succeed,
    fail=resize_failed,
    task="EXTEND",
)
