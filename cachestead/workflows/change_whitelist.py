"""Put an instance's whitelist into force as it is on record.

Before: the instance is RUNNING with the task `ModifyWhitelist`, and the record has what is wanted already, so
that nodes and proxies which start meanwhile are guarded by it. After: nobody else gets in, and nobody else is
connected. If a node refuses: the whitelist is the one there was, and in force.
"""

from __future__ import annotations

import asyncio
from functools import partial

from cachestead.domain.instances import Instance, Node
from cachestead.domain.whitelists import Whitelist, WhitelistGroup, is_admitted
from cachestead.engine.errors import EngineUnreachable
from cachestead.engine.sessions import end_strangers
from cachestead.store import instances as store
from cachestead.workflows.guarding import ensure_guarded, guard_of
from cachestead.workflows.machinery import Machinery, client_of, running_of
from cachestead.workflows.proxies import ensure_proxies
from cachestead.workflows.workflow import Step, StepContext, Workflow, change_done, change_failed


async def guard(ctx: StepContext) -> None:
    """Only who is on the record's whitelist is let in from now on."""
    await _apply(ctx.machinery, ctx.instance)


async def set_back(ctx: StepContext) -> None:
    """The record has the whitelist that it had before, and it is in force."""
    before = Whitelist(
        ctx.job.params["enabled"],
        tuple(WhitelistGroup(name, tuple(addresses)) for name, addresses in ctx.job.params["groups"]),
    )
    async with ctx.machinery.database.writing() as tx:
        await store.edit_instance(tx, ctx.instance.id, whitelist=before)
        instance = await store.lock_any_instance(tx, ctx.instance.id)
    await _apply(ctx.machinery, instance)


async def disconnect_strangers(ctx: StepContext) -> None:
    """No client is connected that would not be let in. Proxies have seen to theirs."""
    if ctx.instance.whitelist.is_in_force and not ctx.instance.mode.has_proxies:
        await asyncio.gather(*(_end_strangers(ctx.machinery, ctx.instance, node) for node in ctx.instance.nodes))


async def _apply(machinery: Machinery, instance: Instance) -> None:
    await ensure_guarded(machinery)
    if instance.mode.has_proxies:
        async with machinery.turns.healing_proxies(instance.id):
            await ensure_proxies(machinery, instance)


async def _end_strangers(machinery: Machinery, instance: Instance, node: Node) -> None:
    """A node that does not run has no clients."""
    may_stay = partial(is_admitted, networks=guard_of(machinery, instance).admitted)
    try:
        await end_strangers(client_of(machinery, instance, node), may_stay)
    except EngineUnreachable:
        if await running_of(machinery, [node]):
            raise


CHANGE_WHITELIST = Workflow(
    "update-ip-whitelist",
    job_type="modifyWhitelistJob",
    steps=(Step(guard, undo=set_back), Step(disconnect_strangers)),
    succeed=change_done,
    fail=change_failed,
    task="ModifyWhitelist",
    lock="ModifyWhitelist",
)
