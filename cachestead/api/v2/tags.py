"""Chapter 4.7: Tag Management. What people call their instances by besides the name."""

from __future__ import annotations

from typing import Annotated

from cachestead.api.access import May
from cachestead.api.chapter import Chapter
from cachestead.api.formats import InstanceIdPath
from cachestead.api.schemas.tags import CreateOrDeleteTags, TagsOut, TagValuesOut
from cachestead.api.services import Use
from cachestead.domain.rules import check_tag_changes
from cachestead.identity.callers import Caller
from cachestead.operations import tags
from cachestead.store import instances as instance_store
from cachestead.store import tags as store

chapter = Chapter("4.7", "Tag Management")


@chapter.get("/v2/{project_id}/dcs/tags")
async def list_tags_of_tenant(caller: Annotated[Caller, May["dcs:instance:list"]], service: Use) -> TagValuesOut:
    """List the tags of all instances: each key with its values."""
    async with service.database.reading() as tx:
        return TagValuesOut.of(await store.list_values_by_key(tx, caller.project))


@chapter.post("/v2/{project_id}/dcs/{instance_id}/tags/action", status=204)
async def batch_create_or_delete_tags(
    instance_id: InstanceIdPath,
    body: CreateOrDeleteTags,
    caller: Annotated[Caller, May["dcs:instance:modify"]],
    service: Use,
) -> None:
    """Add tags to an instance, or remove some of it, all or none. A key that is there takes the new value.

    What is removed may be named by its key alone; with a value, a tag of another value stays.
    """
    remove, changes = body.checked_action() == "delete", check_tag_changes(body.tags)
    await tags.change_tags(service, caller, instance_id, changes, remove=remove)


@chapter.get("/v2/{project_id}/instances/{instance_id}/tags")
async def show_tags(
    instance_id: InstanceIdPath, caller: Annotated[Caller, May["dcs:instance:get"]], service: Use
) -> TagsOut:
    """Show the tags of an instance."""
    async with service.database.reading() as tx:
        return TagsOut.of((await instance_store.get_instance(tx, caller.project, instance_id)).tags)
