"""Groups of users, the custom policies of a domain, and which group has which role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from cachestead.domain.roles import Grant, Role, Scope
from cachestead.store.database import Tx
from cachestead.store.identity import NameTaken, User, list_users
from cachestead.store.tables import grants, group_members, groups, roles, users
from cachestead.store.times import from_ms, to_ms


@dataclass(frozen=True, slots=True)
class Group:
    """Users who may do the same."""

    id: str
    domain_id: str
    name: str
    description: str
    created_at: int


# --- groups ---------------------------------------------------------------------------------------------------


async def list_groups(tx: Tx, domain_id: str) -> list[Group]:
    """The domain's groups, by name."""
    query = select(groups).where(groups.c.domain_id == domain_id).order_by(groups.c.name)
    return [Group(**row) for row in (await tx.execute(query)).mappings()]


async def find_group(tx: Tx, domain_id: str, group_id: str) -> Group | None:
    """The domain's group with this id; its row is locked in a change."""
    own = (groups.c.domain_id == domain_id) & (groups.c.id == group_id)
    row = (await tx.execute(select(groups).where(own).with_for_update())).mappings().one_or_none()
    return None if row is None else Group(**row)


async def add_group(tx: Tx, group: Group) -> None:
    """Record a new group; raises `NameTaken`."""
    try:
        await tx.execute(insert(groups).values(asdict(group)))
    except IntegrityError:
        raise NameTaken(group.name) from None


async def save_group(tx: Tx, group: Group) -> None:
    """Record the group's present state; raises `NameTaken`."""
    try:
        await tx.execute(update(groups).where(groups.c.id == group.id).values(asdict(group)))
    except IntegrityError:
        raise NameTaken(group.name) from None


async def remove_group(tx: Tx, group_id: str) -> None:
    """Forget the group, who is in it and what it has."""
    await tx.execute(delete(grants).where(grants.c.group_id == group_id))
    await tx.execute(delete(group_members).where(group_members.c.group_id == group_id))
    await tx.execute(delete(groups).where(groups.c.id == group_id))


# --- members --------------------------------------------------------------------------------------------------


async def add_member(tx: Tx, group_id: str, user_id: str) -> None:
    """The user is in the group."""
    if not await is_member(tx, group_id, user_id):
        await tx.execute(insert(group_members).values(group_id=group_id, user_id=user_id))


async def remove_member(tx: Tx, group_id: str, user_id: str) -> bool:
    """The user is in the group no more; whether it was."""
    member = (group_members.c.group_id == group_id) & (group_members.c.user_id == user_id)
    return bool((await tx.execute(delete(group_members).where(member))).rowcount)


async def is_member(tx: Tx, group_id: str, user_id: str) -> bool:
    """Whether the user is in the group."""
    member = (group_members.c.group_id == group_id) & (group_members.c.user_id == user_id)
    return bool(await tx.scalar(select(func.count()).select_from(group_members).where(member)))


async def list_members(tx: Tx, domain_id: str, group_id: str) -> list[User]:
    """The users in the group, by name."""
    inside = select(group_members.c.user_id).where(group_members.c.group_id == group_id)
    return await list_users(tx, domain_id, users.c.id.in_(inside))


async def list_groups_of(tx: Tx, user_id: str) -> list[Group]:
    """The groups that the user is in, by name."""
    query = select(groups).join(group_members).where(group_members.c.user_id == user_id).order_by(groups.c.name)
    return [Group(**row) for row in (await tx.execute(query)).mappings()]


# --- custom policies ------------------------------------------------------------------------------------------


async def list_roles(tx: Tx, domain_id: str) -> list[Role]:
    """The domain's custom policies, by name."""
    query = select(roles).where(roles.c.domain_id == domain_id).order_by(roles.c.display_name)
    return [_role(row) for row in (await tx.execute(query)).mappings()]


async def find_role(tx: Tx, domain_id: str, role_id: str) -> Role | None:
    """The domain's custom policy with this id; its row is locked in a change."""
    own = (roles.c.domain_id == domain_id) & (roles.c.id == role_id)
    row = (await tx.execute(select(roles).where(own).with_for_update())).mappings().one_or_none()
    return None if row is None else _role(row)


async def add_role(tx: Tx, role: Role) -> None:
    """Record a new custom policy; raises `NameTaken`."""
    try:
        await tx.execute(insert(roles).values(_row(role)))
    except IntegrityError:
        raise NameTaken(role.display_name) from None


async def save_role(tx: Tx, role: Role) -> None:
    """Record the policy's present state; raises `NameTaken`."""
    try:
        await tx.execute(update(roles).where(roles.c.id == role.id).values(_row(role)))
    except IntegrityError:
        raise NameTaken(role.display_name) from None


async def remove_role(tx: Tx, role_id: str) -> None:
    """Forget a custom policy."""
    await tx.execute(delete(roles).where(roles.c.id == role_id))


# --- grants ---------------------------------------------------------------------------------------------------


async def add_grant(tx: Tx, grant: Grant) -> None:
    """The group has the role there."""
    if grant not in await list_grants(tx, grant.group_id):
        await tx.execute(insert(grants).values(asdict(grant)))


async def remove_grant(tx: Tx, grant: Grant) -> bool:
    """The group has the role there no more; whether it had."""
    same = [grants.c[name] == value for name, value in asdict(grant).items()]
    return bool((await tx.execute(delete(grants).where(*same))).rowcount)


async def list_grants(tx: Tx, group_id: str) -> list[Grant]:
    """Every role that the group has anywhere."""
    query = select(grants).where(grants.c.group_id == group_id).order_by(grants.c.role_id)
    return [_grant(row) for row in (await tx.execute(query)).mappings()]


async def count_grants(tx: Tx, role_ids: Sequence[str]) -> dict[str, int]:
    """How often each of these roles is granted; a role that never is, is missing."""
    query = select(grants.c.role_id, func.count().label("granted")).where(grants.c.role_id.in_(role_ids))
    return {row.role_id: row.granted for row in await tx.execute(query.group_by(grants.c.role_id))}


async def list_grants_of_user(tx: Tx, user_id: str) -> list[tuple[Grant, Role | None]]:
    """What the user has through its groups; with the role where it is a custom one."""
    query = (
        select(*grants.c, *(column.label(f"custom_{column.name}") for column in roles.c))
        .join(group_members, group_members.c.group_id == grants.c.group_id)
        .outerjoin(roles, roles.c.id == grants.c.role_id)
        .where(group_members.c.user_id == user_id)
        .order_by(grants.c.group_id, grants.c.role_id)
    )
    found = []
    for row in (await tx.execute(query)).mappings():
        custom = {column.name: row[f"custom_{column.name}"] for column in roles.c}
        found.append((_grant(row), None if custom["id"] is None else _role(custom)))
    return found


def _grant(row: Mapping[Any, Any]) -> Grant:
    return Grant(row["group_id"], row["role_id"], Scope(row["scope"]), row["project_id"])


def _role(row: Mapping[Any, Any]) -> Role:
    times = {"created_at": from_ms(row["created_at"]), "updated_at": from_ms(row["updated_at"])}
    return Role(**{**row, **times})


def _row(role: Role) -> dict[str, Any]:
    return {
        "id": role.id,
        "domain_id": role.domain_id,
        "name": role.name,
        "display_name": role.display_name,
        "type": role.type,
        "description": role.description,
        "document": dict(role.document),
        "created_at": to_ms(role.created_at),
        "updated_at": to_ms(role.updated_at),
    }
