"""Put proxies before an instance's nodes, or take them away. The nodes stay, with their data.

Before: the record is EXTENDING, with the proxies of both types. After: the instance's address is the proxies', or
the master's, and tenants log in there. Connections are lost; no acknowledged write is. If it fails: the address is
where it was.
"""

from __future__ import annotations

from cachestead.workflows.proxies import ensure_proxies
from cachestead.workflows.resize_instance import LIMIT, persist, resize_failed
from cachestead.workflows.sides import (
    as_it_will_be,
    become,
    closed,
    move_back,
    move_over,
    remove_new,
    remove_old,
    verify_new,
)
from cachestead.workflows.workflow import Step, StepContext, Workflow


async def start_proxies(ctx: StepContext) -> None:
    """The new proxies run; they have no address yet for tenants to come to."""
    await persist(ctx, lambda: ensure_proxies(ctx.machinery, closed(as_it_will_be(ctx))))


MOVE_ADDRESS = Workflow(
    "move-address",
    job_type="resizeInstanceJob",
    steps=(
        Step(start_proxies, undo=remove_new),
        LIMIT,
        Step(move_over, undo=move_back),
        Step(verify_new),
        Step(remove_old),
    ),
    succeed=become,
    fail=resize_failed,
    task="EXTEND",
)
