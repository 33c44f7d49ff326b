"""Give an instance other nodes, of another type, with the same data and at the same address.

Before: the record is EXTENDING, with nodes and proxies of both types. After: the instance is of the new type and
has the new ones only. Tenants could read all the time, but not write while the data was copied; connections are
lost when the address moves. If it fails: the old nodes serve as before, with all that was acknowledged. Where the
new ones served already, that is copied back.
"""

from __future__ import annotations

from cachestead.workflows.resize_instance import persist, resize_failed
from cachestead.workflows.sides import (
    as_it_was,
    as_it_will_be,
    become,
    has_moved,
    let_in,
    move_back,
    move_over,
    prepare,
    remove_new,
    remove_old,
    transfer,
    verify_new,
)
from cachestead.workflows.workflow import Step, StepContext, Workflow


async def start_new(ctx: StepContext) -> None:
    """The new nodes and proxies run in their shape; nobody is let in."""

    async def act() -> None:
        await prepare(ctx, as_it_will_be(ctx))

    await persist(ctx, act)


async def copy_over(ctx: StepContext) -> None:
    """The new nodes have all data; nobody may write at the old ones."""

    async def act() -> None:
        if not await has_moved(ctx):
            await transfer(ctx, as_it_was(ctx), as_it_will_be(ctx))

    await persist(ctx, act)


async def open_old(ctx: StepContext) -> None:
    """Tenants may write at the old nodes again."""
    await persist(ctx, lambda: let_in(ctx, as_it_was(ctx)))


REPLACE_NODES = Workflow(
    "replace-nodes",
    job_type="resizeInstanceJob",
    steps=(
        Step(start_new, undo=remove_new),
        Step(copy_over, undo=open_old),
        Step(move_over, undo=move_back),
        Step(verify_new),
        Step(remove_old),
    ),
    succeed=become,
    fail=resize_failed,
    task="EXTEND",
)
