"""Identity: tokens, projects, domains, regions, the catalogue, and version discovery.

The part of the public identity API that DCS clients use before and between their calls. Each path answers with and
without a slash at its end, because clients sign what they send and do not follow redirects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Header, Request
from fastapi.responses import JSONResponse

from cachestead.api.access import Anyone, SignedIn
from cachestead.api.iam import answers
from cachestead.api.iam.errors import IamRoute, not_found, unauthorized
from cachestead.api.iam.requests import SignInBody
from cachestead.errors import InvalidToken, TokenExpired
from cachestead.identity.authentication import Authenticator
from cachestead.identity.sign_in import SignIn, SignInRefused
from cachestead.store import identity as records
from cachestead.store.database import Database

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


@dataclass(frozen=True)
class Identity:
    """What the identity routes work with; `bootstrap` puts one into `app.state.identity`."""

    database: Database
    authenticator: Authenticator
    sign_in: SignIn
    public_url: str

    @property
    def region(self) -> str:
        """Id of the region."""
        return self.authenticator.region


def _identity(request: Request) -> Identity:
    found: Identity = request.app.state.identity
    return found


Room = Annotated[Identity, Depends(_identity)]

router = APIRouter(route_class=IamRoute, tags=["identity"])


def _answers(path: str, *methods: str, status: int = 200) -> Callable[[Endpoint], Endpoint]:
    """Register a route under its path, and under its path with a slash at the end."""

    def register(endpoint: Endpoint) -> Endpoint:
        for shown, each in ((True, path), (False, f"{path}/")):
            router.add_api_route(
                each,
                endpoint,
                methods=list(methods),
                status_code=status,
                include_in_schema=shown,
                operation_id=endpoint.__name__ if shown else None,
            )
        return endpoint

    return register


@router.get("/", status_code=300)
async def list_versions(_: Anyone, room: Room) -> dict[str, Any]:
    """The versions of the identity API, for clients that are given the bare address."""
    return {"versions": {"values": [answers.render_version(room.public_url)]}}


@_answers("/v3", "GET")
async def show_version(_: Anyone, room: Room) -> dict[str, Any]:
    """The version document of the identity API."""
    return {"version": answers.render_version(room.public_url)}


@_answers("/v3/auth/tokens", "POST", status=201)
async def create_token(_: Anyone, body: SignInBody, room: Room, nocatalog: str | None = None) -> JSONResponse:
    """Exchange a password, or a token of another scope, for a token."""
    try:
        grant = await room.sign_in.sign_in(body.proof(), body.scope())
    except SignInRefused as refused:
        raise unauthorized(str(refused)) from None
    except (InvalidToken, TokenExpired) as refused:
        raise unauthorized(refused.sentence) from None
    catalog = answers.render_catalog(room.public_url, room.region, grant.caller.project_id)
    content = answers.render_token(grant.token, grant.caller, None if nocatalog is not None else catalog)
    return JSONResponse(content, 201, {"X-Subject-Token": grant.text})


@_answers("/v3/auth/tokens", "GET", "HEAD")
async def show_token(
    caller: SignedIn,
    room: Room,
    x_subject_token: Annotated[str | None, Header()] = None,
    nocatalog: str | None = None,
) -> JSONResponse:
    """What a token of the caller's own domain says."""
    if not x_subject_token:
        raise not_found("Could not find token: the header X-Subject-Token is missing.")
    try:
        token, subject = await room.authenticator.read_token(x_subject_token)
    except (InvalidToken, TokenExpired):
        raise not_found("Could not find token: it is invalid or expired.") from None
    if subject.domain_id != caller.domain_id:
        raise not_found("Could not find token: it is invalid or expired.")
    catalog = answers.render_catalog(room.public_url, room.region, subject.project_id)
    content = answers.render_token(token, subject, None if nocatalog is not None else catalog)
    return JSONResponse(content, 200, {"X-Subject-Token": x_subject_token})


@_answers("/v3/auth/catalog", "GET")
async def show_catalog(caller: SignedIn, room: Room) -> dict[str, Any]:
    """Where the services of the caller's project are."""
    catalog = answers.render_catalog(room.public_url, room.region, caller.project_id)
    return answers.render_list(room.public_url, "/v3/auth/catalog", "catalog", catalog)


@_answers("/v3/projects", "GET")
async def list_projects(
    caller: SignedIn, room: Room, name: str | None = None, domain_id: str | None = None
) -> dict[str, Any]:
    """The projects of the caller's domain, by exact name if one is given."""
    async with room.database.reading() as tx:
        projects = await records.list_projects(tx, caller.domain_id)
    found = [
        answers.render_project(room.public_url, project)
        for project in projects
        if name in {None, project.name} and domain_id in {None, project.domain_id}
    ]
    return answers.render_list(room.public_url, "/v3/projects", "projects", found)


@_answers("/v3/projects/{wanted_id}", "GET")
async def show_project(wanted_id: str, caller: SignedIn, room: Room) -> dict[str, Any]:
    """One project of the caller's domain."""
    async with room.database.reading() as tx:
        project = await records.find_project(tx, wanted_id)
    if project is None or project.domain_id != caller.domain_id:
        raise not_found("Could not find project.")
    return {"project": answers.render_project(room.public_url, project)}


@_answers("/v3/auth/projects", "GET")
async def list_own_projects(caller: SignedIn, room: Room) -> dict[str, Any]:
    """The projects that the caller can get a token for."""
    async with room.database.reading() as tx:
        projects = await records.list_projects(tx, caller.domain_id)
    found = [answers.render_project(room.public_url, project) for project in projects]
    return answers.render_list(room.public_url, "/v3/auth/projects", "projects", found)


@_answers("/v3/auth/domains", "GET")
async def list_own_domains(caller: SignedIn, room: Room) -> dict[str, Any]:
    """The caller's domain: always one."""
    domain = records.Domain(caller.domain_id, caller.domain_name)
    found = [answers.render_domain(room.public_url, domain)]
    return answers.render_list(room.public_url, "/v3/auth/domains", "domains", found)


@_answers("/v3/regions", "GET")
async def list_regions(_caller: SignedIn, room: Room) -> dict[str, Any]:
    """The regions: always one."""
    found = [answers.render_region(room.public_url, room.region)]
    return answers.render_list(room.public_url, "/v3/regions", "regions", found)


@_answers("/v3/regions/{region_id}", "GET")
async def show_region(region_id: str, _caller: SignedIn, room: Room) -> dict[str, Any]:
    """One region."""
    if region_id != room.region:
        raise not_found("Could not find region.")
    return {"region": answers.render_region(room.public_url, room.region)}
