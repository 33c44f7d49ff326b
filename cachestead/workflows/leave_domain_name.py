"""Take a replica out of the read-only domain name, or out of those that proxies read from.

Before: the instance is RUNNING with the task `RemoveIpFromDns`. After: the name does not resolve to the node, also
when it was master meanwhile; the node itself goes on as it was. If it fails: the name is as before.
"""

from __future__ import annotations

from cachestead.store import instances as store
from cachestead.workflows.proxies import ensure_proxies
from cachestead.workflows.workflow import Step, StepContext, Workflow, change_done, change_failed


async def take_out(ctx: StepContext) -> None:
    """The name no longer resolves to the node, and no proxy reads from it."""
    await _save(ctx, wanted=False)


async def put_back(ctx: StepContext) -> None:
    """The name, or the proxies, use the node as they did before."""
    await _save(ctx, wanted=bool(ctx.job.params["before"]))


async def _save(ctx: StepContext, *, wanted: bool) -> None:
    async with ctx.machinery.database.writing() as tx:
        await store.save_in_domain_name(tx, ctx.job.params["node"], wanted=wanted)
        saved = await store.lock_any_instance(tx, ctx.instance.id)
    await ensure_proxies(ctx.machinery, saved)


LEAVE_DOMAIN_NAME = Workflow(
    "leave-domain-name",
    job_type="removeIpFromDnsJob",
    steps=(Step(take_out, undo=put_back),),
    succeed=change_done,
    fail=change_failed,
    task="RemoveIpFromDns",
    lock="RemoveIpFromDns",
)
