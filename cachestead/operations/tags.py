"""Tags of instances: adding and removing them. Reference: section 4.7.2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from cachestead import errors
from cachestead.domain.instances import State
from cachestead.domain.rules import add_tags, remove_tags
from cachestead.identity.callers import Caller
from cachestead.operations.service import Service
from cachestead.store import instances as instance_store
from cachestead.store import tags as store


async def change_tags(
    service: Service, caller: Caller, instance_id: str, tags: Mapping[str, str], *, remove: bool
) -> None:
    """The instance has the tags, or has them no more. Raises `InvalidParameter` where it would have too many."""
    async with service.database.writing() as tx:
        instance = await instance_store.lock_instance(tx, caller.project, instance_id)
        if instance.state is State.DELETING:
            raise errors.InstanceNotFound(f"instance {instance_id}")
        after = (remove_tags if remove else add_tags)(instance.tags, tags)
        if after != instance.tags:
            await store.save_tags(tx, instance_id, after)
            await instance_store.save_instance(tx, replace(instance, updated_at=service.now()))
