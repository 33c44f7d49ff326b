"""Roles: the policies that there are (v3), and a domain's own (v3.0)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query

from cachestead.api.access import May
from cachestead.api.iam import answers
from cachestead.api.iam.requests import RoleOrderBody
from cachestead.api.iam.room import Room, answers_at, new_router
from cachestead.domain.roles import Role
from cachestead.identity.callers import Caller
from cachestead.identity.system_roles import system_roles
from cachestead.operations import groups as group_operations
from cachestead.operations import roles as operations
from cachestead.store import groups as store

router = new_router()

Page = Annotated[int, Query(ge=1)]
PerPage = Annotated[int, Query(ge=1, le=300)]
_CUSTOM = "/v3.0/OS-ROLE/roles"
_ONE_CUSTOM = "/v3.0/OS-ROLE/roles/{role_id}"


@answers_at(router, "/v3/roles", "GET")
async def list_roles(
    caller: Annotated[Caller, May["iam:roles:listRoles"]],
    room: Room,
    name: str | None = None,
    display_name: str | None = None,
    domain_id: str | None = None,
    page: Page = 1,
    per_page: PerPage = 300,
) -> dict[str, Any]:
    """The system's roles or, with its id, the domain's own."""
    if domain_id is None:
        roles = list(system_roles().values())
    elif domain_id == caller.domain_id:
        async with room.database.reading() as tx:
            roles = await store.list_roles(tx, caller.domain_id)
    else:
        roles = []
    found = [role for role in roles if name in {None, role.name} and display_name in {None, role.display_name}]
    shown = [answers.render_role(room.public_url, role) for role in _page(found, page, per_page)]
    return answers.render_list(room.public_url, "/v3/roles", "roles", shown) | {"total_number": len(found)}


@answers_at(router, "/v3/roles/{role_id}", "GET")
async def show_role(
    role_id: str, caller: Annotated[Caller, May["iam:roles:getRole"]], room: Room
) -> dict[str, Any]:
    """One role of the system or of the domain."""
    async with room.database.reading() as tx:
        role = await group_operations.get_role(tx, caller, role_id)
    return {"role": answers.render_role(room.public_url, role)}


@answers_at(router, _CUSTOM, "GET")
async def list_custom_policies(
    caller: Annotated[Caller, May["iam:roles:listRoles"]], room: Room, page: Page = 1, per_page: PerPage = 300
) -> dict[str, Any]:
    """The domain's own policies, and how often each is granted."""
    async with room.database.reading() as tx:
        roles = await store.list_roles(tx, caller.domain_id)
        granted = await store.count_grants(tx, [role.id for role in roles])
    shown = [
        answers.render_role(room.public_url, role, granted.get(role.id, 0))
        for role in _page(roles, page, per_page)
    ]
    return answers.render_list(room.public_url, _CUSTOM, "roles", shown) | {"total_number": len(roles)}


@answers_at(router, _CUSTOM, "POST", status=201)
async def create_custom_policy(
    body: RoleOrderBody, caller: Annotated[Caller, May["iam:roles:createRole"]], room: Room
) -> dict[str, Any]:
    """Write a policy, of version 1.1 or 5.0."""
    role = await operations.create_role(room.database, caller, body.order())
    return {"role": answers.render_role(room.public_url, role, 0)}


@answers_at(router, _ONE_CUSTOM, "GET")
async def show_custom_policy(
    role_id: str, caller: Annotated[Caller, May["iam:roles:getRole"]], room: Room
) -> dict[str, Any]:
    """One of the domain's own policies."""
    role, references = await operations.get_custom(room.database, caller, role_id)
    return {"role": answers.render_role(room.public_url, role, references)}


@answers_at(router, _ONE_CUSTOM, "PATCH")
async def update_custom_policy(
    role_id: str, body: RoleOrderBody, caller: Annotated[Caller, May["iam:roles:updateRole"]], room: Room
) -> dict[str, Any]:
    """Write one of the domain's own policies anew. It counts from the next request on."""
    await operations.update_role(room.database, caller, role_id, body.order())
    role, references = await operations.get_custom(room.database, caller, role_id)
    return {"role": answers.render_role(room.public_url, role, references)}


@answers_at(router, _ONE_CUSTOM, "DELETE")
async def delete_custom_policy(
    role_id: str, caller: Annotated[Caller, May["iam:roles:deleteRole"]], room: Room
) -> None:
    """Remove one of the domain's own policies that nobody has."""
    await operations.delete_role(room.database, caller, role_id)


def _page(roles: list[Role], page: int, per_page: int) -> list[Role]:
    return roles[(page - 1) * per_page : page * per_page]
