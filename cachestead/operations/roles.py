"""Custom policies. What one says is in force for whoever has it from the next request on."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from cachestead.domain.policies import PolicyMalformed, parse_policy
from cachestead.domain.roles import TYPES, Role, find_role_name_fault
from cachestead.identity.callers import Caller
from cachestead.identity.refusals import IamError, bad_request, conflict, forbidden, not_found
from cachestead.identity.system_roles import system_roles
from cachestead.store import groups as store
from cachestead.store.database import Database, Tx
from cachestead.store.identity import NameTaken

MAX_ROLES = 200
"""Custom policies of a domain, as in the public service."""


@dataclass(frozen=True, slots=True)
class RoleOrder:
    """A custom policy as somebody wants it."""

    display_name: str
    type: str
    description: str
    document: Mapping[str, Any]


async def create_role(database: Database, caller: Caller, order: RoleOrder) -> Role:
    """A new custom policy, which nobody has yet."""
    _check(order)
    now, role_id = datetime.now(UTC), uuid.uuid4().hex
    role = Role(
        id=role_id,
        name=f"custom_{caller.domain_id}_{role_id[:8]}",
        display_name=order.display_name,
        type=order.type,
        description=order.description,
        document=order.document,
        domain_id=caller.domain_id,
        created_at=now,
        updated_at=now,
    )
    try:
        async with database.writing() as tx:
            if len(await store.list_roles(tx, caller.domain_id)) >= MAX_ROLES:
                raise forbidden(f"A domain may have {MAX_ROLES} custom policies.")
            await store.add_role(tx, role)
    except NameTaken:
        raise _name_taken(order) from None
    return role


async def update_role(database: Database, caller: Caller, role_id: str, order: RoleOrder) -> Role:
    """The custom policy as it is then."""
    _check(order)
    try:
        async with database.writing() as tx:
            before = await _get_custom(tx, caller, role_id)
            after = replace(
                before,
                display_name=order.display_name,
                type=order.type,
                description=order.description,
                document=order.document,
                updated_at=datetime.now(UTC),
            )
            await store.save_role(tx, after)
    except NameTaken:
        raise _name_taken(order) from None
    return after


async def delete_role(database: Database, caller: Caller, role_id: str) -> None:
    """The custom policy is gone; one that a group has cannot go."""
    async with database.writing() as tx:
        await _get_custom(tx, caller, role_id)
        if await store.count_grants(tx, [role_id]):
            raise conflict("A group has the policy: revoke it first.")
        await store.remove_role(tx, role_id)


async def get_custom(database: Database, caller: Caller, role_id: str) -> tuple[Role, int]:
    """A custom policy of the caller's domain, and how often it is granted."""
    async with database.reading() as tx:
        role = await _get_custom(tx, caller, role_id)
        return role, (await store.count_grants(tx, [role_id])).get(role_id, 0)


async def _get_custom(tx: Tx, caller: Caller, role_id: str) -> Role:
    if role_id in system_roles():
        raise forbidden("Policies of the system stay as they are.")
    role = await store.find_role(tx, caller.domain_id, role_id)
    if role is None:
        raise not_found(f"Could not find role: {role_id[:64]}.")
    return role


def _check(order: RoleOrder) -> None:
    if fault := find_role_name_fault(order.display_name):
        raise bad_request(f"role.display_name: {fault}")
    if order.type not in TYPES:
        raise bad_request(f"role.type: one of {', '.join(TYPES)}")
    try:
        parse_policy(order.document)
    except PolicyMalformed as fault:
        raise bad_request(f"role.{fault}") from None


def _name_taken(order: RoleOrder) -> IamError:
    return conflict(f"A policy named {order.display_name[:64]} is there already.")
