"""Put another tenant password into force, or none.

Before: the instance is RUNNING with the task `modify`; the job carries the new password sealed. After: every node,
or every proxy, takes the new one and the record has it. If a node refuses: all nodes have the old one again.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from cachestead.domain.instances import Instance
from cachestead.engine import live
from cachestead.store import instances as store
from cachestead.workflows.machinery import client_of, engine_of, users_of
from cachestead.workflows.proxies import ensure_proxies
from cachestead.workflows.workflow import Step, StepContext, Workflow, change_done, change_failed


async def set_on_nodes(ctx: StepContext) -> None:
    """Whoever clients log in to takes the new password, at once; open connections stay."""
    await _apply(ctx, _with_new_password(ctx))


async def set_back(ctx: StepContext) -> None:
    """Whoever clients log in to takes the password on record."""
    await _apply(ctx, ctx.instance)


async def _apply(ctx: StepContext, instance: Instance) -> None:
    if instance.mode.has_proxies:
        await ensure_proxies(ctx.machinery, instance)
        return
    users, engine = users_of(ctx.machinery.vault, instance), engine_of(ctx.machinery, instance)
    await asyncio.gather(
        *(live.set_users(client_of(ctx.machinery, ctx.instance, node), users, engine) for node in instance.nodes)
    )


def _with_new_password(ctx: StepContext) -> Instance:
    vault = ctx.machinery.vault
    new = vault.open(ctx.job.params["sealed"])["password"]
    sealed = vault.seal({**vault.open(ctx.instance.secrets), "password": new})
    free = bool(ctx.job.params["no_password_access"])
    return replace(ctx.instance, secrets=sealed, no_password_access=free)


async def save_password(ctx: StepContext) -> None:
    """The record has the new password: from here on a restart starts with it."""
    new = _with_new_password(ctx)
    changed = {"secrets": new.secrets, "no_password_access": new.no_password_access}
    async with ctx.machinery.database.writing() as tx:
        await store.edit_instance(tx, ctx.instance.id, **changed)
    # One that had to be started again meanwhile came up with what was on record then.
    await ensure_proxies(ctx.machinery, new)


async def save_old_password(ctx: StepContext) -> None:
    """The record has the password that it had before."""
    before = ctx.job.params["before"]
    async with ctx.machinery.database.writing() as tx:
        await store.edit_instance(tx, ctx.instance.id, **before)


CHANGE_PASSWORD = Workflow(
    "change-password",
    job_type="modifyPasswordJob",
    steps=(Step(set_on_nodes, undo=set_back), Step(save_password, undo=save_old_password)),
    succeed=change_done,
    fail=change_failed,
    task="modify",
    lock="modify",
)
