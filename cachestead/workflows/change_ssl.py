"""Let clients come to an instance by TLS, or without it again: a restart with other ports.

Before: the record is RESTARTING. After: every node listens at the instance's port as asked, with a certificate of
its own if that is by TLS, and at the port of its record without; a client that trusts the authority has written
and read a key. What was not persisted is gone. If it fails: ERROR with the old ports, and the health reconciler
goes on trying to bring the nodes up.
"""

from __future__ import annotations

from dataclasses import replace

from cachestead.domain.ssl import port_of_nodes
from cachestead.store import instances as store
from cachestead.workflows.restart_instance import AFTER_START, restart_failed, restarted
from cachestead.workflows.steps import start_nodes, stop_all, unwatch_instance, verify
from cachestead.workflows.workflow import Step, StepContext, Workflow, change_done, change_failed


async def stop_nodes(ctx: StepContext) -> None:
    """Nothing runs; replicas have what their master had."""
    await stop_all(ctx, graceful=True)


async def save_switch(ctx: StepContext) -> None:
    """The record has it as asked, which the next start puts into force."""
    await _save(ctx, enabled=bool(ctx.job.params["enabled"]))


async def save_old_switch(ctx: StepContext) -> None:
    """The record has it as it was before."""
    await _save(ctx, enabled=not ctx.job.params["enabled"])


async def _save(ctx: StepContext, *, enabled: bool) -> None:
    port = port_of_nodes(ctx.instance, enabled=enabled)
    async with ctx.machinery.database.writing() as tx:
        await store.edit_instance(tx, ctx.instance.id, enable_ssl=enabled)
        for node in ctx.instance.nodes:
            await store.save_node(tx, replace(node, port=port))


CHANGE_SSL = Workflow(
    "change-ssl",
    job_type="modifySslJob",
    steps=(
        Step(unwatch_instance),
        Step(stop_nodes),
        Step(save_switch, undo=save_old_switch),
        # Nodes that came up know the new ports only.
        Step(start_nodes, undo=stop_nodes),
        *AFTER_START,
    ),
    succeed=restarted,
    fail=restart_failed,
    task="ModifySsl",
)

KEEP_SSL = Workflow(
    "keep-ssl",
    job_type="modifySslJob",
    steps=(Step(verify),),
    succeed=change_done,
    fail=change_failed,
    task="ModifySsl",
    lock="ModifySsl",
)
"""Asked for what is so already, as by a client that did not hear our answer: nobody is disconnected for it."""
