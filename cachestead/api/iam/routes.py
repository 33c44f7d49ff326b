"""Identity: tokens, projects, domains, regions, the catalogue, and version discovery.

The part of the public identity API that DCS clients use before and between their calls; the modules beside this
one are about who there is and what they may do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Header, Request
from fastapi.responses import JSONResponse

from cachestead.api.access import Anyone, SignedIn
from cachestead.api.iam import answers, credentials, grants, groups, roles, users
from cachestead.api.iam.requests import SignInBody
from cachestead.api.iam.room import Endpoint, Room, answers_at, new_router
from cachestead.errors import InvalidToken, TokenExpired
from cachestead.identity.refusals import not_found, too_many, unauthorized
from cachestead.identity.sign_in import SignInRefused, TooManySignIns
from cachestead.store import identity as records

_ALL_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]

router = new_router()


def _answers(path: str, *methods: str, status: int = 200) -> Callable[[Endpoint], Endpoint]:
    return answers_at(router, path, *methods, status=status)


@router.get("/", status_code=300)
async def list_versions(_: Anyone, room: Room) -> dict[str, Any]:
    """The versions of the identity API, for clients that are given the bare address."""
    return {"versions": {"values": [answers.render_version(room.public_url)]}}


@_answers("/v3", "GET")
async def show_version(_: Anyone, room: Room) -> dict[str, Any]:
    """The version document of the identity API."""
    return {"version": answers.render_version(room.public_url)}


@_answers("/v3/auth/tokens", "POST", status=201)
async def create_token(
    _: Anyone, body: SignInBody, request: Request, room: Room, nocatalog: str | None = None
) -> JSONResponse:
    """Exchange a password, or a token of another scope, for a token."""
    address = request.client.host if request.client else ""
    try:
        grant = await room.sign_in.sign_in(body.proof(), body.scope(), address)
    except SignInRefused as refused:
        if refused.account is not None:
            request.state.traced = refused.account.caller(None)
        raise unauthorized(str(refused)) from None
    except TooManySignIns:
        raise too_many("Too many sign-ins from this address were refused; try again in a minute.") from None
    except (InvalidToken, TokenExpired) as refused:
        raise unauthorized(refused.sentence) from None
    request.state.traced = grant.caller
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


for _part in (users, groups, grants, roles, credentials):
    router.routes.extend(_part.router.routes)


@router.api_route("/v3/{rest:path}", methods=_ALL_METHODS, include_in_schema=False)
@router.api_route("/v3.0/{rest:path}", methods=_ALL_METHODS, include_in_schema=False)
async def refuse_unknown(_: Anyone, rest: str) -> None:
    """Whatever else is asked of identity: refused in its own shape. Must stay the last route here."""
    raise not_found(f"Could not find {rest[:200]}: this part of the identity API is not offered.")
