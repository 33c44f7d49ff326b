"""Groups and who is in them."""

from __future__ import annotations

from typing import Annotated, Any

from cachestead.api.access import May
from cachestead.api.iam import answers
from cachestead.api.iam.requests import ChangedGroupBody, NewGroupBody
from cachestead.api.iam.room import Room, answers_at, new_router
from cachestead.identity.callers import Caller
from cachestead.identity.refusals import forbidden
from cachestead.operations import groups as operations
from cachestead.store import groups as store

router = new_router()

_ONE = "/v3/groups/{group_id}"
_MEMBER = "/v3/groups/{group_id}/users/{user_id}"


@answers_at(router, "/v3/groups", "GET")
async def list_groups(
    caller: Annotated[Caller, May["iam:groups:listGroups"]],
    room: Room,
    name: str | None = None,
    domain_id: str | None = None,
) -> dict[str, Any]:
    """The groups of the domain, by exact name if one is given."""
    async with room.database.reading() as tx:
        groups = await store.list_groups(tx, caller.domain_id)
    found = [
        answers.render_group(room.public_url, group)
        for group in groups
        if name in {None, group.name} and domain_id in {None, group.domain_id}
    ]
    return answers.render_list(room.public_url, "/v3/groups", "groups", found)


@answers_at(router, "/v3/groups", "POST", status=201)
async def create_group(
    body: NewGroupBody, caller: Annotated[Caller, May["iam:groups:createGroup"]], room: Room
) -> dict[str, Any]:
    """Make a group of the caller's domain."""
    given = body.group
    _check_domain(caller, given.domain_id)
    group = await operations.create_group(room.database, caller, given.name, given.description or "")
    return {"group": answers.render_group(room.public_url, group)}


@answers_at(router, _ONE, "GET")
async def show_group(
    group_id: str, caller: Annotated[Caller, May["iam:groups:getGroup"]], room: Room
) -> dict[str, Any]:
    """One group of the domain."""
    async with room.database.reading() as tx:
        group = await operations.get_group(tx, caller, group_id)
    return {"group": answers.render_group(room.public_url, group)}


@answers_at(router, _ONE, "PATCH")
async def update_group(
    group_id: str, body: ChangedGroupBody, caller: Annotated[Caller, May["iam:groups:updateGroup"]], room: Room
) -> dict[str, Any]:
    """Give a group another name or description."""
    given = body.group
    _check_domain(caller, given.domain_id)
    group = await operations.update_group(room.database, caller, group_id, given.name, given.description)
    return {"group": answers.render_group(room.public_url, group)}


@answers_at(router, _ONE, "DELETE", status=204)
async def delete_group(
    group_id: str, caller: Annotated[Caller, May["iam:groups:deleteGroup"]], room: Room
) -> None:
    """Remove a group; its users stay, without its roles."""
    await operations.delete_group(room.database, caller, group_id)


@answers_at(router, f"{_ONE}/users", "GET")
async def list_users_for_group(
    group_id: str, caller: Annotated[Caller, May["iam:users:listUsersForGroup"]], room: Room
) -> dict[str, Any]:
    """The users in a group."""
    async with room.database.reading() as tx:
        await operations.get_group(tx, caller, group_id)
        users = await store.list_members(tx, caller.domain_id, group_id)
    found = [answers.render_user(room.public_url, user) for user in users]
    return answers.render_list(room.public_url, f"/v3/groups/{group_id}/users", "users", found)


@answers_at(router, _MEMBER, "PUT", status=204)
async def add_user_to_group(
    group_id: str, user_id: str, caller: Annotated[Caller, May["iam:permissions:addUserToGroup"]], room: Room
) -> None:
    """Put a user into a group."""
    await operations.add_member(room.database, caller, group_id, user_id)


@answers_at(router, _MEMBER, "GET", "HEAD", status=204)
async def check_user_in_group(
    group_id: str, user_id: str, caller: Annotated[Caller, May["iam:permissions:checkUserInGroup"]], room: Room
) -> None:
    """Nothing for a user who is in the group, not found for others."""
    await operations.check_member(room.database, caller, group_id, user_id)


@answers_at(router, _MEMBER, "DELETE", status=204)
async def remove_user_from_group(
    group_id: str,
    user_id: str,
    caller: Annotated[Caller, May["iam:permissions:removeUserFromGroup"]],
    room: Room,
) -> None:
    """Take a user out of a group."""
    await operations.remove_member(room.database, caller, group_id, user_id)


def _check_domain(caller: Caller, domain_id: str | None) -> None:
    if domain_id not in {None, caller.domain_id}:
        raise forbidden("The group would belong to another domain.")
