"""Chapter 4.3: Shards and Replicas. What nodes an instance consists of."""

from __future__ import annotations

from typing import Annotated

from cachestead.api.access import May
from cachestead.api.chapter import Chapter
from cachestead.api.formats import InstanceIdPath
from cachestead.api.schemas.shards import GroupsOut
from cachestead.api.services import Use
from cachestead.identity.callers import Caller
from cachestead.store import instances as store

chapter = Chapter("4.3", "Shards and Replicas")
_GROUPS = "/v2/{project_id}/instance/{instance_id}/groups"  # singular, as the reference has it


@chapter.get(_GROUPS)
async def list_group_replication_info(
    instance_id: InstanceIdPath, caller: Annotated[Caller, May["dcs:instance:get"]], service: Use
) -> GroupsOut:
    """List an instance's shards with their nodes, each shard's master first."""
    async with service.database.reading() as tx:
        return GroupsOut.of(await store.get_instance(tx, caller.project, instance_id))
