"""The shapes of identity answers: what keystone-like clients read, field by field."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cachestead.domain.roles import Role
from cachestead.identity.callers import Caller
from cachestead.identity.tokens import Token
from cachestead.store.groups import Group
from cachestead.store.identity import AccessKey, Domain, Project, User
from cachestead.store.times import to_ms

_SERVICES = (
    # OpenStack clients look for `identity`, `dcs` and `ces`, OTC's Terraform provider for `dcsv1`.
    ("identity", "keystone", "/v3", False),
    ("iam", "iam", "/v3.0", False),
    ("dcs", "dcs", "/v1.0", True),
    ("dcsv1", "dcsv1", "/v1.0", True),
    ("dcsv2", "dcsv2", "/v2", True),
    ("ces", "ces", "/V1.0", True),
)


def render_token(token: Token, caller: Caller, catalog: list[dict[str, Any]] | None) -> dict[str, Any]:
    """The body that describes a token; the token itself travels in `X-Subject-Token`."""
    domain = {"id": caller.domain_id, "name": caller.domain_name}
    body: dict[str, Any] = {
        "methods": list(token.methods),
        "issued_at": render_time(token.issued_at),
        "expires_at": render_time(token.expires_at),
        "user": {"id": caller.user_id, "name": caller.user_name, "domain": domain},
        "roles": [{"id": role, "name": role} for role in caller.roles],
    }
    if caller.project_id is None:
        body["domain"] = domain
    else:
        body["project"] = {"id": caller.project_id, "name": caller.project_name, "domain": domain}
    if catalog is not None:
        body["catalog"] = catalog
    return {"token": body}


def render_time(epoch_ms: int) -> str:
    """UTC with microseconds and a Z, which every client's parser takes."""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def render_catalog(base: str, region: str, project_id: str | None) -> list[dict[str, Any]]:
    """Where each service is; services of a project are left out of a domain's catalogue."""
    catalog = []
    for kind, name, path, of_project in _SERVICES:
        if of_project and project_id is None:
            continue
        endpoint = {
            "id": f"{kind}-{region}-public",
            "interface": "public",
            "region": region,
            "region_id": region,
            "url": f"{base}{path}/{project_id}" if of_project else f"{base}{path}",
        }
        catalog.append({"id": f"{kind}-{region}", "type": kind, "name": name, "endpoints": [endpoint]})
    return catalog


def render_project(base: str, project: Project) -> dict[str, Any]:
    """A project as identity lists it."""
    return {
        "id": project.id,
        "name": project.name,
        "domain_id": project.domain_id,
        "parent_id": project.domain_id,
        "is_domain": False,
        "enabled": True,
        "description": "",
        "links": {"self": f"{base}/v3/projects/{project.id}"},
    }


def render_domain(base: str, domain: Domain) -> dict[str, Any]:
    """A domain as identity lists it."""
    return {
        "id": domain.id,
        "name": domain.name,
        "enabled": True,
        "description": "",
        "links": {"self": f"{base}/v3/domains/{domain.id}"},
    }


def render_region(base: str, region: str) -> dict[str, Any]:
    """The region as identity lists it."""
    return {
        "id": region,
        "type": "public",
        "description": "",
        "parent_region_id": None,
        "locales": {"en-us": region, "zh-cn": region},
        "links": {"self": f"{base}/v3/regions/{region}"},
    }


def render_user(base: str, user: User) -> dict[str, Any]:
    """A user as identity's own interface (v3) shows it."""
    profile = user.profile
    return {
        "id": user.id,
        "name": user.name,
        "domain_id": user.domain_id,
        "enabled": user.enabled,
        "description": profile.get("description") or "",
        "email": profile.get("email"),
        "pwd_status": bool(profile.get("pwd_status")),
        "access_mode": profile.get("access_mode") or "default",
        "password_expires_at": None,
        "last_project_id": None,
        "links": {"self": f"{base}/v3/users/{user.id}"},
    }


def render_user_detail(base: str, user: User) -> dict[str, Any]:
    """A user as the vendor's interface (v3.0) shows it."""
    more = {name: user.profile.get(name) for name in ("phone", "areacode", "xuser_id", "xuser_type")}
    return {
        **render_user(base, user),
        **more,
        "is_domain_owner": user.is_administrator,
        "create_time": _plain_time(user.created_at),
        "pwd_create_time": _plain_time(user.password_changed_at),
        "modify_pwd_time": _plain_time(user.password_changed_at),
    }


def render_group(base: str, group: Group) -> dict[str, Any]:
    """A group."""
    return {
        "id": group.id,
        "name": group.name,
        "domain_id": group.domain_id,
        "description": group.description,
        "create_time": group.created_at,
        "links": {"self": f"{base}/v3/groups/{group.id}"},
    }


def render_role(base: str, role: Role, references: int | None = None) -> dict[str, Any]:
    """A role with its policy, and how often it is granted where that is asked for."""
    shown = {
        "id": role.id,
        "name": role.name,
        "display_name": role.display_name,
        "catalog": "BASE" if role.domain_id is None else "CUSTOMED",
        "type": role.type,
        "description": role.description,
        "domain_id": role.domain_id,
        "policy": role.document,
        "created_time": None if role.created_at is None else str(to_ms(role.created_at)),
        "updated_time": None if role.updated_at is None else str(to_ms(role.updated_at)),
        "links": {"self": f"{base}/v3/roles/{role.id}"},
    }
    return shown if references is None else shown | {"references": references}


def render_access_key(key: AccessKey, secret: str | None = None) -> dict[str, Any]:
    """An access key; with its secret once, when it is made."""
    shown = {
        "access": key.access_key,
        "user_id": key.user_id,
        "status": "active" if key.enabled else "inactive",
        "create_time": render_time(key.created_at),
        "description": key.description,
    }
    return shown if secret is None else shown | {"secret": secret}


def _plain_time(epoch_ms: int) -> str:
    """UTC with tenths of seconds and without a zone, as the vendor's users have it."""
    return datetime.fromtimestamp(epoch_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-5]


def render_list(base: str, path: str, key: str, items: list[dict[str, Any]]) -> dict[str, Any]:
    """A list under its key, with the links that pagers follow."""
    return {key: items, "links": {"self": f"{base}{path}", "next": None, "previous": None}}


def render_version(base: str) -> dict[str, Any]:
    """The one version of the identity API, for discovery."""
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": f"{base}/v3/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    }
