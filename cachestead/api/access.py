"""Who may call what: authentication of every request, and access as a parameter type.

`Authentication` reads the body once (but for uploads), finds out who sent it and leaves the outcome (a `Caller` or
the refusal) in the request's state; it refuses nothing itself but a body that is too large or too slow. The route
decides, by the type of its `caller` parameter: `May["dcs:instance:list"]` for an action of table 5-1, `SignedIn`
where the table names none, `Anyone` for what is public. A route without such a parameter is public by omission,
which `access_of` lets a test find.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import unquote_to_bytes

import orjson
from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cachestead.api.subjects import BODY, find_subjects
from cachestead.errors import (
    InvalidParameter,
    InvalidProjectId,
    NoToken,
    ProjectMismatch,
    RequestTooLarge,
    RequestTooSlow,
    ServiceError,
)
from cachestead.identity.actions import ACTIONS, OTHER_ACTIONS, check_allowed
from cachestead.identity.authentication import Authenticator
from cachestead.identity.callers import Caller

_PROJECT_ID = re.compile(r"[0-9a-fA-F]{32}")
OUTCOME = "authentication"
"""Where the caller, or the refusal, is in the request's state."""
STREAMED = "/objects/"
"""Below this path bodies of PUT are as large as they are: they are handed on as they come."""


class Authentication:
    """ASGI middleware: who sent this request is known before any route runs."""

    def __init__(
        self, app: ASGIApp, authenticator: Authenticator, max_body_bytes: int, body_seconds: float
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._limit, self._seconds = max_body_bytes, body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Authenticate, then hand the request on with its body as it came."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = None
        if not _is_streamed(scope):
            try:
                async with asyncio.timeout(self._seconds):
                    body = await self._read(scope["headers"], receive)
            except TimeoutError:
                await send_refusal(RequestTooSlow(), scope, send, [(b"connection", b"close")])
                return
            except RequestTooLarge as refusal:
                await send_refusal(refusal, scope, send)
                return
            if body is None:
                return  # The client went away while it was sending: there is nobody to answer.
        state = scope.setdefault("state", {})
        state[BODY] = body
        try:
            state[OUTCOME] = await self._authenticator.authenticate(
                scope["method"], scope["raw_path"], scope["query_string"], scope["headers"], body
            )
        except ServiceError as refusal:
            state[OUTCOME] = refusal
        await self._app(scope, receive if body is None else _replay(body, receive), send)

    async def _read(self, headers: list[tuple[bytes, bytes]], receive: Receive) -> bytes | None:
        """The whole body; None if it never came to its end."""
        for name, value in headers:
            if name == b"content-length" and int(value) > self._limit:
                raise RequestTooLarge
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self._limit:
                raise RequestTooLarge
            chunks.append(chunk)
            if not message.get("more_body", False):
                return b"".join(chunks)


async def refusal_before_reading(request: Request) -> ServiceError | None:
    """Why this request would have been refused before its body was looked at, or None.

    FastAPI reads the body before it asks for access; whoever may not call at all is told that first.
    """
    route = request.scope.get("route")
    kind = access_of(route) if isinstance(route, APIRoute) else None
    if kind in (None, "public"):
        return None
    try:
        caller = _caller_of(request)
        if kind != "signed in":
            await check_access(request, caller, str(kind))
    except ServiceError as refusal:
        return refusal
    return None


async def check_access(request: Request, caller: Caller, action: str) -> None:
    """Nothing if the caller may do the action on all that the request names; else the documented refusal."""
    room = request.app.state.identity
    subjects = await find_subjects(request, caller, action, room.region, room.database)
    check_allowed(caller, action, subjects)


def _is_streamed(scope: Scope) -> bool:
    return scope["method"] == "PUT" and str(scope["path"]).startswith(STREAMED)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body once more, and then what the connection gives."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def send_refusal(
    refusal: ServiceError, scope: Scope, send: Send, more: list[tuple[bytes, bytes]] | None = None
) -> None:
    """Answer a request in the documented shape before any route has seen it; `more` are further headers."""
    known = scope.get("state", {}).get("request_id")
    request_id = known or uuid.uuid4().hex
    answer = {
        "error_code": refusal.code,
        "error_msg": refusal.sentence,
        "error_ext_msg": refusal.detail,
        "request_id": request_id,
    }
    body = orjson.dumps(answer)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *(more or ())]
    if known is None:
        headers.append((b"x-request-id", request_id.encode()))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def caller_in(scope: Scope) -> Caller | None:
    """Who sent an authenticated request; None if nobody is known."""
    outcome = scope.get("state", {}).get(OUTCOME)
    return outcome if isinstance(outcome, Caller) else None


def _caller_of(request: Request) -> Caller:
    """The caller of this request, who must be one and must not reach for another's project."""
    outcome: Caller | ServiceError = request.scope.get("state", {}).get(OUTCOME) or NoToken()
    if isinstance(outcome, ServiceError):
        raise outcome
    project_id = request.path_params.get("project_id")
    if project_id is not None and project_id != outcome.project_id:
        if not _PROJECT_ID.fullmatch(project_id):
            raise InvalidProjectId
        raise ProjectMismatch
    return outcome


@dataclass(frozen=True)
class Access:
    """What a route asks of its caller. As a dependency it yields the caller, or None if nobody is asked for."""

    kind: str
    """`public`, `signed in`, or the action."""

    async def __call__(self, request: Request) -> Caller | None:
        """The caller, once everything asked for holds and the URL can be read."""
        caller = None
        if self.kind != "public":
            caller = _caller_of(request)
            if self.kind != "signed in":
                await check_access(request, caller, self.kind)
        if "\x00" in request.scope["path"] or b"\x00" in unquote_to_bytes(request.scope["query_string"]):
            # No database takes it.
            raise InvalidParameter("NUL", name="URL")
        return caller


async def check_own_access(request: Request, caller: Caller, user_id: str, action: str) -> None:
    """The same, and nothing for what is the caller's own; a temporary key owns nothing."""
    if user_id != caller.user_id or caller.is_temporary:
        await check_access(request, caller, action)


class May:
    """`caller: Annotated[Caller, May["dcs:instance:list"]]`: the caller may do this in the path's project."""

    def __class_getitem__(cls, action: str) -> Any:
        """The dependency that checks the action; one that neither table 5-1 nor identity has is a mistake."""
        if action not in ACTIONS | OTHER_ACTIONS:
            raise LookupError(f"{action} is not an action")
        return Depends(Access(action))


SignedIn = Annotated[Caller, Depends(Access("signed in"))]
"""Any caller, in its own project: for operations without an action of their own."""

Anyone = Annotated[None, Depends(Access("public"))]
"""No credentials needed."""


def access_of(route: APIRoute) -> str | None:
    """The route's action, `signed in` or `public`; None if it does not say."""
    return next(_kinds(route.dependant), None)


def _kinds(dependant: Dependant) -> Iterator[str]:
    for dependency in dependant.dependencies:
        if isinstance(dependency.call, Access):
            yield dependency.call.kind
        yield from _kinds(dependency)
