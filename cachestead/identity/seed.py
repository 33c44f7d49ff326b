"""The tenants that the settings name: made at the first start, brought up to date at every other.

What nobody chose (ids, password, keys) is made up once and remembered, sealed, so that `cachestead env` can show
it again. Running it twice changes nothing. A tenant that leaves the settings stays: its instances are still there.
"""

from __future__ import annotations

import asyncio
import secrets
import string
import time
import uuid
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import SecretStr

from cachestead.identity.passwords import hash_password, is_password
from cachestead.identity.secrets import Vault
from cachestead.settings import IdentitySettings, RegionSettings, Settings, TenantSettings
from cachestead.store import facts
from cachestead.store import identity as records
from cachestead.store.database import Database, Tx

ADMINISTRATOR_ROLES = ("te_admin", "secu_admin")

_KEY_LETTERS = string.ascii_uppercase + string.digits
_SECRET_LETTERS = string.ascii_letters + string.digits


class SeedConflict(Exception):
    """The settings contradict what an earlier start recorded."""


@dataclass(frozen=True, slots=True)
class _Credentials:
    """What the administrator of a tenant needs in order to call."""

    user: str
    password: str = field(repr=False)
    access_key: str
    secret_key: str = field(repr=False)


async def ensure_tenants(database: Database, vault: Vault, settings: Settings) -> None:
    """Every tenant of the settings is there, with the credentials that the settings give it."""
    tenants: list[IdentitySettings | TenantSettings] = [settings.identity, *settings.tenants]
    if len({tenant.domain for tenant in tenants}) != len(tenants):
        raise SeedConflict("two tenants of the settings have the same domain name")
    for tenant in tenants:
        async with database.writing() as tx:
            await _ensure_tenant(tx, vault, tenant, settings.region)


async def client_environment(database: Database, vault: Vault, settings: Settings) -> dict[str, str]:
    """Everything that a client of the first tenant needs. Holds secrets: for its owner's eyes only."""
    async with database.reading() as tx:
        domain = await records.find_domain_named(tx, settings.identity.domain)
        projects = await records.list_projects(tx, domain.id) if domain else []
        project = next((project for project in projects if project.name == settings.region.id), None)
        if domain is None or project is None:
            raise LookupError("the first tenant does not exist yet; start the service once")
        network = await records.find_network(tx, project.id)
        credentials = await _remembered(tx, vault, domain)
        base = (await facts.find_fact(tx, "public_url") or settings.public_url).rstrip("/")
    if network is None or credentials is None:
        raise LookupError("the first tenant is incomplete; start the service once")
    return {
        "endpoint": base,
        "iam_endpoint": base,
        "access_key": credentials.access_key,
        "secret_key": credentials.secret_key,
        "project_id": project.id,
        "region": settings.region.id,
        "user": credentials.user,
        "password": credentials.password,
        "domain": domain.name,
        "vpc_id": network.vpc_id,
        "subnet_id": network.subnet_id,
        "security_group_id": network.security_group_id,
    }


async def _ensure_tenant(
    tx: Tx, vault: Vault, tenant: IdentitySettings | TenantSettings, region: RegionSettings
) -> None:
    domain = await _ensure_domain(tx, tenant.domain)
    wanted_id = tenant.project_id if isinstance(tenant, IdentitySettings) else None
    project = await _ensure_project(tx, domain, region.id, wanted_id)
    await _ensure_network(tx, project, region)
    before = await _remembered(tx, vault, domain)
    wanted = _Credentials(
        user=tenant.user,
        password=_chosen(tenant.password, before.password if before else None) or secrets.token_urlsafe(18),
        access_key=tenant.access_key or (before and before.access_key) or _made_up(_KEY_LETTERS, 20),
        secret_key=_chosen(tenant.secret_key, before.secret_key if before else None)
        or _made_up(_SECRET_LETTERS, 40),
    )
    user = await _ensure_user(tx, domain, wanted)
    if before is None or replace(before, password=wanted.password) != wanted:
        # Else it is there, or somebody has deleted it since: then it stays away.
        await _ensure_access_key(tx, vault, user, wanted)
    if before is not None and before.access_key != wanted.access_key:
        await records.remove_access_key(tx, before.access_key, user.id)
    if before != wanted:
        await facts.save_fact(tx, _fact(domain), vault.seal(_as_record(wanted)))


async def _ensure_domain(tx: Tx, name: str) -> records.Domain:
    domain = await records.find_domain_named(tx, name)
    if domain is None:
        domain = records.Domain(uuid.uuid4().hex, name)
        await records.add_domain(tx, domain)
    return domain


async def _ensure_project(tx: Tx, domain: records.Domain, name: str, wanted_id: str | None) -> records.Project:
    projects = await records.list_projects(tx, domain.id)
    project = next((project for project in projects if project.name == name), None)
    if project is not None:
        if wanted_id not in {None, project.id}:
            raise SeedConflict(
                f"identity.project_id is {wanted_id}, but project {name} was made as {project.id}; "
                "an id cannot be changed once instances may belong to it"
            )
        return project
    if wanted_id is not None and await records.find_project(tx, wanted_id) is not None:
        raise SeedConflict(f"identity.project_id {wanted_id} belongs to another project")
    project = records.Project(wanted_id or uuid.uuid4().hex, domain.id, name)
    await records.add_project(tx, project)
    return project


async def _ensure_network(tx: Tx, project: records.Project, region: RegionSettings) -> None:
    if await records.find_network(tx, project.id) is not None:
        return
    network = records.Network(
        project_id=project.id,
        vpc_id=str(uuid.uuid4()),
        vpc_name=region.vpc_name,
        subnet_id=str(uuid.uuid4()),
        subnet_name=region.subnet_name,
        security_group_id=str(uuid.uuid4()),
        security_group_name=region.security_group_name,
    )
    await records.add_network(tx, network)


async def _ensure_user(tx: Tx, domain: records.Domain, wanted: _Credentials) -> records.User:
    user = await records.find_user_named(tx, domain.id, wanted.user)
    if user is None:
        hashed = await asyncio.to_thread(hash_password, wanted.password)
        now = round(time.time() * 1000)
        user = records.User(
            uuid.uuid4().hex,
            domain.id,
            wanted.user,
            hashed,
            enabled=True,
            roles=ADMINISTRATOR_ROLES,
            created_at=now,
            password_changed_at=now,
        )
        await records.add_user(tx, user)
    elif not await asyncio.to_thread(is_password, wanted.password, user.password_hash):
        hashed = await asyncio.to_thread(hash_password, wanted.password)
        user = replace(user, password_hash=hashed, password_changed_at=round(time.time() * 1000))
        await records.save_user(tx, user)
    if user.roles != ADMINISTRATOR_ROLES:
        user = replace(user, roles=ADMINISTRATOR_ROLES)
        await records.save_user(tx, user)
    return user


async def _ensure_access_key(tx: Tx, vault: Vault, user: records.User, wanted: _Credentials) -> None:
    key = await records.find_access_key(tx, wanted.access_key)
    if key is None:
        sealed = vault.seal({"secret_key": wanted.secret_key})
        key = records.AccessKey(
            wanted.access_key, user.id, sealed, enabled=True, created_at=round(time.time() * 1000)
        )
        await records.add_access_key(tx, key)
        return
    owner = await records.find_user(tx, key.user_id)
    if owner is None or owner.domain_id != user.domain_id:
        raise SeedConflict(f"access key {wanted.access_key} already belongs to another tenant")
    if owner.id != user.id or vault.open(key.secret)["secret_key"] != wanted.secret_key:
        sealed = vault.seal({"secret_key": wanted.secret_key})
        await records.save_access_key(tx, replace(key, user_id=user.id, secret=sealed))


async def _remembered(tx: Tx, vault: Vault, domain: records.Domain) -> _Credentials | None:
    sealed = await facts.find_fact(tx, _fact(domain))
    return _Credentials(**vault.open(sealed)) if sealed else None


def _as_record(credentials: _Credentials) -> dict[str, Any]:
    return {
        "user": credentials.user,
        "password": credentials.password,
        "access_key": credentials.access_key,
        "secret_key": credentials.secret_key,
    }


def _fact(domain: records.Domain) -> str:
    return f"credentials.{domain.id}"


def _chosen(setting: SecretStr | None, before: str | None) -> str | None:
    return setting.get_secret_value() if setting is not None else before


def _made_up(letters: str, length: int) -> str:
    return "".join(secrets.choice(letters) for _ in range(length))
