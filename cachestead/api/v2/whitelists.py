"""Chapter 4.11: Network Security, as far as it is about whitelists. Whose connections an instance takes."""

from __future__ import annotations

from typing import Annotated

from cachestead.api.access import May
from cachestead.api.chapter import Chapter
from cachestead.api.formats import InstanceIdPath
from cachestead.api.schemas.whitelists import ChangeWhitelist, WhitelistJobOut, WhitelistOut
from cachestead.api.services import Use
from cachestead.identity.callers import Caller
from cachestead.operations import whitelists
from cachestead.store import instances as store

chapter = Chapter("4.11", "Network Security")
_ONE = "/v2/{project_id}/instance/{instance_id}/whitelist"


@chapter.put(_ONE, status=204)
async def update_ip_whitelist(
    instance_id: InstanceIdPath,
    body: ChangeWhitelist,
    caller: Annotated[Caller, May["dcs:whitelist:modify"]],
    service: Use,
) -> None:
    """Write an instance's whitelist, in place of the one there is. It is in force when the call answers.

    Clients from other addresses are refused from then on, and disconnected. Switched off, or without any group, it
    lets everybody in. There may be 4 groups and 20 addresses and networks in all.
    """
    await whitelists.change_whitelist(service, caller, instance_id, body.to_whitelist())


@chapter.put(_ONE + "-async")
async def update_ip_whitelist_async(
    instance_id: InstanceIdPath,
    body: ChangeWhitelist,
    caller: Annotated[Caller, May["dcs:whitelist:modify"]],
    service: Use,
) -> WhitelistJobOut:
    """The same without waiting for it; the answer names the job."""
    return WhitelistJobOut(job_id=await whitelists.begin_change(service, caller, instance_id, body.to_whitelist()))


@chapter.get(_ONE)
async def show_ip_whitelist(
    instance_id: InstanceIdPath, caller: Annotated[Caller, May["dcs:whitelist:list"]], service: Use
) -> WhitelistOut:
    """Show an instance's whitelist as it was written last."""
    async with service.database.reading() as tx:
        return WhitelistOut.of(await store.get_instance(tx, caller.project, instance_id))
