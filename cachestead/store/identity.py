"""Domains, projects, users, access keys and the network of each project.

Secrets pass through here only as they are stored: password hashes and sealed text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from cachestead.store.database import Tx
from cachestead.store.tables import access_keys, domains, group_members, networks, projects, users

Record = TypeVar("Record")


class NameTaken(Exception):
    """Something of this name is there already. The transaction is over."""


@dataclass(frozen=True, slots=True)
class Domain:
    """An account: what users and projects belong to."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Project:
    """What instances belong to; its name is the region's."""

    id: str
    domain_id: str
    name: str


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may sign in."""

    id: str
    domain_id: str
    name: str
    password_hash: str = field(repr=False)
    enabled: bool
    roles: tuple[str, ...]
    """Names of system roles of its own: of a domain's administrator. Others have those of their groups."""
    profile: dict[str, Any] = field(default_factory=dict)
    """What identity keeps about it and nothing here goes by: description, mail address and the like."""
    created_at: int = 0
    password_changed_at: int = 0
    failures: int = 0
    """Wrong passwords in a row."""
    failed_at: int | None = None
    """When the last of them came."""
    locked_until: int | None = None

    @property
    def is_administrator(self) -> bool:
        """Whether it is the one that the settings name."""
        return bool(self.roles)


@dataclass(frozen=True, slots=True)
class AccessKey:
    """A key pair for signing requests; the secret is sealed."""

    access_key: str
    user_id: str
    secret: str = field(repr=False)
    enabled: bool
    created_at: int
    description: str = ""


@dataclass(frozen=True, slots=True)
class Network:
    """The VPC, subnet and security group of a project."""

    project_id: str
    vpc_id: str
    vpc_name: str
    subnet_id: str
    subnet_name: str
    security_group_id: str
    security_group_name: str


async def _find(tx: Tx, make: Callable[..., Record], query: Select[Any]) -> Record | None:
    row = (await tx.execute(query)).mappings().one_or_none()
    return None if row is None else make(**row)


async def find_domain(tx: Tx, domain_id: str) -> Domain | None:
    """The domain with this id."""
    return await _find(tx, Domain, select(domains).where(domains.c.id == domain_id))


async def find_domain_named(tx: Tx, name: str) -> Domain | None:
    """The domain with this name."""
    return await _find(tx, Domain, select(domains).where(domains.c.name == name))


async def list_projects(tx: Tx, domain_id: str) -> list[Project]:
    """The domain's projects, by name."""
    rows = await tx.execute(select(projects).where(projects.c.domain_id == domain_id).order_by(projects.c.name))
    return [Project(**row) for row in rows.mappings()]


async def list_any_project_names(tx: Tx) -> dict[str, tuple[str, str]]:
    """Names of every project and its domain, by the project's id: for whoever runs the service."""
    query = select(projects.c.id, projects.c.name, domains.c.name.label("domain")).join(domains)
    return {row.id: (row.name, row.domain) for row in await tx.execute(query)}


async def find_project(tx: Tx, project_id: str) -> Project | None:
    """The project with this id, of whichever domain: for checks at the start, not for callers."""
    return await _find(tx, Project, select(projects).where(projects.c.id == project_id))


async def find_user(tx: Tx, user_id: str) -> User | None:
    """The user with this id."""
    return await _find_user(tx, users.c.id == user_id)


async def find_user_named(tx: Tx, domain_id: str, name: str) -> User | None:
    """The domain's user of this name."""
    return await _find_user(tx, (users.c.domain_id == domain_id) & (users.c.name == name))


async def lock_user(tx: Tx, domain_id: str, user_id: str) -> User | None:
    """The domain's user with this id, with its row locked until the transaction ends."""
    own = (users.c.domain_id == domain_id) & (users.c.id == user_id)
    return await _find(tx, _user, select(users).where(own).with_for_update())


async def list_users(tx: Tx, domain_id: str, *conditions: ColumnElement[bool]) -> list[User]:
    """The domain's users, by name."""
    query = select(users).where(users.c.domain_id == domain_id, *conditions).order_by(users.c.name)
    return [_user(**row) for row in (await tx.execute(query)).mappings()]


async def remove_user(tx: Tx, user_id: str) -> None:
    """Forget the user with its keys and its memberships."""
    await tx.execute(delete(access_keys).where(access_keys.c.user_id == user_id))
    await tx.execute(delete(group_members).where(group_members.c.user_id == user_id))
    await tx.execute(delete(users).where(users.c.id == user_id))


async def _find_user(tx: Tx, condition: ColumnElement[bool]) -> User | None:
    return await _find(tx, _user, select(users).where(condition))


def _user(roles: list[str], **columns: Any) -> User:
    return User(roles=tuple(roles), **columns)


async def find_access_key(tx: Tx, access_key: str) -> AccessKey | None:
    """The key pair with this access key."""
    return await _find(tx, AccessKey, select(access_keys).where(access_keys.c.access_key == access_key))


async def list_access_keys(tx: Tx, user_id: str) -> list[AccessKey]:
    """The user's key pairs, the oldest first."""
    query = select(access_keys).where(access_keys.c.user_id == user_id)
    rows = await tx.execute(query.order_by(access_keys.c.created_at, access_keys.c.access_key))
    return [AccessKey(**row) for row in rows.mappings()]


async def find_network(tx: Tx, project_id: str) -> Network | None:
    """The project's network."""
    return await _find(tx, Network, select(networks).where(networks.c.project_id == project_id))


async def add_domain(tx: Tx, domain: Domain) -> None:
    """Record a new domain."""
    await tx.execute(insert(domains).values(asdict(domain)))


async def add_project(tx: Tx, project: Project) -> None:
    """Record a new project."""
    await tx.execute(insert(projects).values(asdict(project)))


async def add_user(tx: Tx, user: User) -> None:
    """Record a new user; raises `NameTaken`."""
    try:
        await tx.execute(insert(users).values({**asdict(user), "roles": list(user.roles)}))
    except IntegrityError:
        raise NameTaken(user.name) from None


async def save_user(tx: Tx, user: User) -> None:
    """Record the user's present state; raises `NameTaken`."""
    values = {**asdict(user), "roles": list(user.roles)}
    try:
        await tx.execute(update(users).where(users.c.id == user.id).values(values))
    except IntegrityError:
        raise NameTaken(user.name) from None


async def add_access_key(tx: Tx, key: AccessKey) -> None:
    """Record a new key pair."""
    await tx.execute(insert(access_keys).values(asdict(key)))


async def save_access_key(tx: Tx, key: AccessKey) -> None:
    """Record the key pair's present state."""
    await tx.execute(update(access_keys).where(access_keys.c.access_key == key.access_key).values(asdict(key)))


async def remove_access_key(tx: Tx, access_key: str, user_id: str) -> None:
    """Forget this key pair of the user."""
    mine = (access_keys.c.access_key == access_key) & (access_keys.c.user_id == user_id)
    await tx.execute(delete(access_keys).where(mine))


async def add_network(tx: Tx, network: Network) -> None:
    """Record a project's network."""
    await tx.execute(insert(networks).values(asdict(network)))
