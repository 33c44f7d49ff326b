"""Put other values of parameters into force.

Before: the instance is RUNNING with the task `ModifyConfig`; the job carries the values chosen before and after,
and its change is on record as UPDATING. After: every node and proxy keeps to the new values, and starts with them.
If one refuses: all keep to the old ones, and the change is on record as FAILURE. While one cannot be told so, the
change stays UPDATING, and the health reconciler goes on.

The record comes first. What is not there while the others are told, or is started meanwhile, comes up by it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace

from cachestead.domain.instances import Instance, Node
from cachestead.domain.parameters import ConfigStatus
from cachestead.engine import live
from cachestead.engine.errors import EngineBusy, EngineRefused, EngineUnreachable
from cachestead.engine.parameters import set_together
from cachestead.store import instances as store
from cachestead.store import parameters as parameter_store
from cachestead.workflows.machinery import (
    READ_ONLY,
    Machinery,
    client_of,
    engine_of,
    flavor_of,
    node_values,
    running_of,
    users_of,
)
from cachestead.workflows.proxies import ensure_proxies
from cachestead.workflows.workflow import Step, StepContext, Workflow, change_done, change_failed

PATIENCE_SECONDS = 30.0
"""How long a node that runs may give no answer."""
AGAIN_SECONDS = 0.1


async def save_values(ctx: StepContext) -> None:
    """The record has the new values: from here on whatever starts has them."""
    async with ctx.machinery.database.writing() as tx:
        await store.edit_instance(tx, ctx.instance.id, parameters=ctx.job.params["parameters"])


async def save_old_values(ctx: StepContext) -> None:
    """The record has the values that it had before."""
    async with ctx.machinery.database.writing() as tx:
        await store.edit_instance(tx, ctx.instance.id, parameters=ctx.job.params["old_parameters"])


async def set_values(ctx: StepContext) -> None:
    """Nodes and proxies keep to the new values."""
    await _apply(ctx, ctx.job.params["parameters"])


async def set_old_values(ctx: StepContext) -> None:
    """Nodes and proxies keep to the values that they had before, and the change is on record as failed."""
    await save_old_values(ctx)
    await _apply(ctx, ctx.job.params["old_parameters"])
    await _save_end(ctx, ConfigStatus.FAILURE)


async def save_success(ctx: StepContext) -> None:
    """The change is on record as done."""
    await _save_end(ctx, ConfigStatus.SUCCESS)


async def _save_end(ctx: StepContext, status: ConfigStatus) -> None:
    async with ctx.machinery.database.writing() as tx:
        at = ctx.machinery.now()
        await parameter_store.end_change(tx, ctx.instance.id, ctx.job.id, status, at)


async def _apply(ctx: StepContext, chosen: Mapping[str, str]) -> None:
    instance = replace(ctx.instance, parameters=dict(chosen))
    await ensure_in_force(ctx.machinery, instance, ctx.job.params["names"], PATIENCE_SECONDS)


async def ensure_in_force(
    machinery: Machinery, instance: Instance, names: Collection[str], patience: float = 0
) -> None:
    """Nodes and proxies that run keep to the instance's values of these parameters.

    Raises what the first said that does not: `EngineRefused`, or `EngineUnreachable` after so many seconds.
    """
    told = await asyncio.gather(
        *(_tell_node(machinery, instance, node, names, patience) for node in instance.nodes),
        return_exceptions=True,
    )
    for refusal in told:
        if isinstance(refusal, BaseException):
            raise refusal
    async with machinery.turns.healing_proxies(instance.id):
        await ensure_proxies(machinery, instance)


async def _tell_node(
    machinery: Machinery, instance: Instance, node: Node, names: Collection[str], patience: float
) -> None:
    """The node keeps to the values, or does not run. One that a script keeps busy is as good as silent."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + patience
    while True:
        try:
            await _set_on_node(machinery, instance, node, names)
        except (EngineUnreachable, EngineBusy):
            if not await running_of(machinery, [node]):
                return
            if clock() > deadline:
                raise
            await asyncio.sleep(AGAIN_SECONDS)
        else:
            return


async def _set_on_node(machinery: Machinery, instance: Instance, node: Node, names: Collection[str]) -> None:
    engine, flavor = engine_of(machinery, instance), flavor_of(machinery, instance)
    client = client_of(machinery, instance, node)
    values, together = node_values(machinery, instance, flavor), set_together(names)
    named = {name: value for name, value in values.items() if name in together}
    await live.set_parameters(client, named, engine, flavor.node_memory)
    if READ_ONLY not in names:
        return
    if engine.has_acl:
        await live.set_users(client, users_of(machinery.vault, instance), engine)
    elif values.get(READ_ONLY) == "yes":
        raise EngineRefused(f"{engine} cannot keep one user from writing")


CHANGE_PARAMETERS = Workflow(
    "change-parameters",
    job_type="modifyConfigJob",
    steps=(
        Step(save_values, undo=save_old_values),
        Step(set_values, undo=set_old_values),
        Step(save_success),
    ),
    succeed=change_done,
    fail=change_failed,
    task="ModifyConfig",
    lock="ModifyConfig",
)
