"""Users, as identity (v3) and the vendor (v3.0) have them. Everybody sees the own one and changes its password."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Request, Response

from cachestead.api.access import May, SignedIn, check_own_access
from cachestead.api.iam import answers
from cachestead.api.iam.requests import ChangedUserBody, NewPasswordBody, NewUserBody
from cachestead.api.iam.room import Room, answers_at, new_router
from cachestead.identity.callers import Caller
from cachestead.identity.refusals import forbidden
from cachestead.operations import users as operations
from cachestead.store import groups as group_store
from cachestead.store import identity as store

router = new_router()

_ONE = "/v3/users/{user_id}"
_ONE_IN_DETAIL = "/v3.0/OS-USER/users/{user_id}"


@answers_at(router, "/v3/users", "GET")
async def list_users(
    caller: Annotated[Caller, May["iam:users:listUsers"]],
    room: Room,
    name: str | None = None,
    domain_id: str | None = None,
    enabled: bool | None = None,  # noqa: FBT001 - a filter
) -> dict[str, Any]:
    """The users of the domain, by exact name if one is given."""
    async with room.database.reading() as tx:
        users = await store.list_users(tx, caller.domain_id)
    found = [
        answers.render_user(room.public_url, user)
        for user in users
        if name in {None, user.name} and domain_id in {None, user.domain_id} and enabled in {None, user.enabled}
    ]
    return answers.render_list(room.public_url, "/v3/users", "users", found)


@answers_at(router, "/v3/users", "POST", status=201)
async def keystone_create_user(
    body: NewUserBody, caller: Annotated[Caller, May["iam:users:createUser"]], room: Room
) -> dict[str, Any]:
    """Make a user of the caller's domain."""
    _check_domain(caller, body.user.domain_id)
    user = await operations.create_user(room.database, caller, body.user.changes())
    return {"user": answers.render_user(room.public_url, user)}


@answers_at(router, "/v3.0/OS-USER/users", "POST", status=201)
async def create_user(
    body: NewUserBody, caller: Annotated[Caller, May["iam:users:createUser"]], room: Room
) -> dict[str, Any]:
    """Make a user of the caller's domain, with mail address, phone and the like."""
    _check_domain(caller, body.user.domain_id)
    user = await operations.create_user(room.database, caller, body.user.changes())
    return {"user": answers.render_user_detail(room.public_url, user)}


@answers_at(router, _ONE, "GET")
async def keystone_show_user(user_id: str, caller: SignedIn, request: Request, room: Room) -> dict[str, Any]:
    """One user of the domain; oneself without any permission."""
    await check_own_access(request, caller, user_id, "iam:users:getUser")
    return {
        "user": answers.render_user(room.public_url, await operations.get_user(room.database, caller, user_id))
    }


@answers_at(router, _ONE_IN_DETAIL, "GET")
async def show_user(user_id: str, caller: SignedIn, request: Request, room: Room) -> dict[str, Any]:
    """One user of the domain with all that is kept of it; oneself without any permission."""
    await check_own_access(request, caller, user_id, "iam:users:getUser")
    user = await operations.get_user(room.database, caller, user_id)
    return {"user": answers.render_user_detail(room.public_url, user)}


@answers_at(router, _ONE, "PATCH")
async def keystone_update_user(
    user_id: str, body: ChangedUserBody, caller: Annotated[Caller, May["iam:users:updateUser"]], room: Room
) -> dict[str, Any]:
    """Change a user of the domain: what is left out stays."""
    _check_domain(caller, body.user.domain_id)
    user = await operations.update_user(room.database, caller, user_id, body.user.changes())
    return {"user": answers.render_user(room.public_url, user)}


@answers_at(router, _ONE_IN_DETAIL, "PUT")
async def update_user(
    user_id: str, body: ChangedUserBody, caller: Annotated[Caller, May["iam:users:updateUser"]], room: Room
) -> dict[str, Any]:
    """The same, with mail address, phone and the like."""
    user = await operations.update_user(room.database, caller, user_id, body.user.changes())
    return {"user": answers.render_user_detail(room.public_url, user)}


@answers_at(router, _ONE, "DELETE", status=204)
async def delete_user(user_id: str, caller: Annotated[Caller, May["iam:users:deleteUser"]], room: Room) -> None:
    """Remove a user with its access keys; what it made stays."""
    await operations.delete_user(room.database, caller, user_id)


@answers_at(router, f"{_ONE}/password", "POST", status=204)
async def update_own_password(user_id: str, body: NewPasswordBody, caller: SignedIn, room: Room) -> Response:
    """Change one's own password. Tokens that were got with the old one end."""
    old, new = body.user.original_password.get_secret_value(), body.user.password.get_secret_value()
    await operations.change_own_password(room.database, room.sign_in, caller, user_id, old, new)
    return Response(status_code=204)


@answers_at(router, f"{_ONE}/groups", "GET")
async def list_groups_for_user(user_id: str, caller: SignedIn, request: Request, room: Room) -> dict[str, Any]:
    """The groups that a user is in; one's own without any permission."""
    await check_own_access(request, caller, user_id, "iam:groups:listGroupsForUser")
    user = await operations.get_user(room.database, caller, user_id)
    async with room.database.reading() as tx:
        found = await group_store.list_groups_of(tx, user.id)
    shown = [answers.render_group(room.public_url, one) for one in found]
    return answers.render_list(room.public_url, f"/v3/users/{user.id}/groups", "groups", shown)


def _check_domain(caller: Caller, domain_id: str | None) -> None:
    if domain_id not in {None, caller.domain_id}:
        raise forbidden("The user would belong to another domain.")
