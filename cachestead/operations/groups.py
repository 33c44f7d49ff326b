"""Groups: who is in them, and which roles they have where. What a user may do is what its groups have."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace

from cachestead.domain.roles import Grant, Role, Scope
from cachestead.domain.users import find_group_fault
from cachestead.identity.callers import Caller
from cachestead.identity.refusals import IamError, bad_request, conflict, not_found
from cachestead.identity.system_roles import system_roles
from cachestead.store import groups as store
from cachestead.store import identity
from cachestead.store.database import Database, Tx
from cachestead.store.groups import Group
from cachestead.store.identity import NameTaken, User


async def create_group(database: Database, caller: Caller, name: str, description: str) -> Group:
    """A new group, of nobody and without a role."""
    _check_name(name)
    group = Group(uuid.uuid4().hex, caller.domain_id, name, description, round(time.time() * 1000))
    try:
        async with database.writing() as tx:
            await store.add_group(tx, group)
    except NameTaken:
        raise _name_taken(name) from None
    return group


async def update_group(
    database: Database, caller: Caller, group_id: str, name: str | None, description: str | None
) -> Group:
    """The group under another name or with another description; None leaves it."""
    if name is not None:
        _check_name(name)
    try:
        async with database.writing() as tx:
            before = await get_group(tx, caller, group_id)
            after = replace(
                before,
                name=before.name if name is None else name,
                description=before.description if description is None else description,
            )
            await store.save_group(tx, after)
    except NameTaken:
        raise _name_taken(name or "") from None
    return after


async def delete_group(database: Database, caller: Caller, group_id: str) -> None:
    """The group is gone, and its members have its roles no more."""
    async with database.writing() as tx:
        await get_group(tx, caller, group_id)
        await store.remove_group(tx, group_id)


async def add_member(database: Database, caller: Caller, group_id: str, user_id: str) -> None:
    """The user is in the group; it may have been before."""
    async with database.writing() as tx:
        await get_group(tx, caller, group_id)
        await _get_user(tx, caller, user_id)
        await store.add_member(tx, group_id, user_id)


async def remove_member(database: Database, caller: Caller, group_id: str, user_id: str) -> None:
    """The user is in the group no more."""
    async with database.writing() as tx:
        await get_group(tx, caller, group_id)
        if not await store.remove_member(tx, group_id, user_id):
            raise not_found("The user is not in the group.")


async def check_member(database: Database, caller: Caller, group_id: str, user_id: str) -> None:
    """Nothing, or not found where the user is not in the group."""
    async with database.reading() as tx:
        await get_group(tx, caller, group_id)
        if not await store.is_member(tx, group_id, user_id):
            raise not_found("The user is not in the group.")


async def grant_role(database: Database, caller: Caller, grant: Grant) -> None:
    """The group has the role there; it may have had it before."""
    async with database.writing() as tx:
        await _check_place(tx, caller, grant)
        await get_role(tx, caller, grant.role_id)
        await store.add_grant(tx, grant)


async def revoke_role(database: Database, caller: Caller, grant: Grant) -> None:
    """The group has the role there no more."""
    async with database.writing() as tx:
        await _check_place(tx, caller, grant)
        if not await store.remove_grant(tx, grant):
            raise not_found("The group does not have the role there.")


async def check_grant(database: Database, caller: Caller, grant: Grant) -> None:
    """Nothing, or not found where the group does not have the role there."""
    async with database.reading() as tx:
        await _check_place(tx, caller, grant)
        if grant not in await store.list_grants(tx, grant.group_id):
            raise not_found("The group does not have the role there.")


async def list_granted_roles(
    database: Database, caller: Caller, group_id: str, scope: Scope, project_id: str = ""
) -> list[Role]:
    """The roles that the group has there."""
    async with database.reading() as tx:
        await _check_place(tx, caller, Grant(group_id, "", scope, project_id))
        granted = await store.list_grants(tx, group_id)
        wanted = [one.role_id for one in granted if (one.scope, one.project_id) == (scope, project_id)]
        return [await get_role(tx, caller, one) for one in wanted]


async def get_group(tx: Tx, caller: Caller, group_id: str) -> Group:
    """A group of the caller's domain."""
    group = await store.find_group(tx, caller.domain_id, group_id)
    if group is None:
        raise not_found(f"Could not find group: {group_id[:64]}.")
    return group


async def get_role(tx: Tx, caller: Caller, role_id: str) -> Role:
    """A role of the system or of the caller's domain."""
    role = system_roles().get(role_id) or await store.find_role(tx, caller.domain_id, role_id)
    if role is None:
        raise not_found(f"Could not find role: {role_id[:64]}.")
    return role


async def _check_place(tx: Tx, caller: Caller, grant: Grant) -> None:
    await get_group(tx, caller, grant.group_id)
    if grant.scope is Scope.PROJECT:
        project = await identity.find_project(tx, grant.project_id)
        if project is None or project.domain_id != caller.domain_id:
            raise not_found("Could not find project.")


async def _get_user(tx: Tx, caller: Caller, user_id: str) -> User:
    user = await identity.lock_user(tx, caller.domain_id, user_id)
    if user is None:
        raise not_found(f"Could not find user: {user_id[:64]}.")
    return user


def _check_name(name: str) -> None:
    if fault := find_group_fault(name):
        raise bad_request(f"group.name: {fault}")


def _name_taken(name: str) -> IamError:
    return conflict(f"A group named {name[:64]} is there already.")
