"""The shapes of identity answers: what keystone-like clients read, field by field."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from cachestead.identity.callers import Caller
from cachestead.identity.tokens import Token
from cachestead.store.identity import Domain, Project

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
