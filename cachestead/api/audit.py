"""Changes, sign-ins and refusals of somebody known leave a trace: who, what, when, from where, with which result.

Bodies are never looked at, so no secret can get into one. What succeeded is written down before the caller is
told; what was refused after it, so that the time of a refusal tells nothing.
"""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cachestead.api.access import OUTCOME
from cachestead.identity.callers import Caller
from cachestead.operations.audit import Trail
from cachestead.store.traces import Trace

_READING = {"GET", "HEAD", "OPTIONS"}
_SERVICES = {"v3": "IAM", "v3.0": "IAM", "V1.0": "CES", "objects": "OBS"}
_TYPES = ("credential", "user", "group", "role", "instance", "task", "job", "template", "bucket")
_IDS = ("instance_id", "template_id", "task_id", "job_id", "access_key", "role_id", "group_id", "user_id", "name")
_KINDS = {"access_key": "credential", "name": "object"}
_MOST_OF_A_REFUSAL = 4096


class Audit:
    """ASGI middleware, around authentication: it reads what that has found when the answer begins."""

    def __init__(self, app: ASGIApp, trail: Trail) -> None:
        self._app, self._trail = app, trail

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, refusal = 500, b""

        async def send_and_trace(message: Message) -> None:
            nonlocal status, refusal
            if message["type"] == "http.response.start":
                status = message["status"]
                if status < 400:
                    await self._trace(scope, status, b"")
                await send(message)
                return
            if status >= 400 and len(refusal) < _MOST_OF_A_REFUSAL:
                refusal += message.get("body", b"")
            await send(message)
            if status >= 400 and not message.get("more_body", False):
                await self._trace(scope, status, refusal)

        await self._app(scope, receive, send_and_trace)

    async def _trace(self, scope: Scope, status: int, refusal: bytes) -> None:
        state = scope.get("state", {})
        caller = state.get("traced") or state.get(OUTCOME)
        reading = scope["method"] in _READING
        if isinstance(caller, Caller) and not (reading and status not in (401, 403)):
            await self._trail.record(_trace_of(scope, caller, status, _error_of(refusal)))


def _trace_of(scope: Scope, caller: Caller, status: int, error: str | None) -> Trace:
    route, place = scope.get("route"), scope.get("path_params", {})
    service = _SERVICES.get(scope["path"].split("/")[1], "DCS")
    named = next((one for one in _IDS if place.get(one)), None)
    client = scope.get("client")
    kind = _KINDS.get(named, named.removesuffix("_id")) if named else _kind_of(scope["path"])
    return Trace(
        id=str(uuid.uuid4()),
        domain_id=caller.domain_id,
        project_id=None if service == "IAM" else caller.project_id,
        at=round(time.time() * 1000),
        name=(route.name if isinstance(route, APIRoute) else "unknown")[:64],
        service=service,
        resource_type=kind,
        resource_id=str(place[named])[:64] if named else None,
        user_id=caller.user_id,
        user_name=caller.user_name,
        domain_name=caller.domain_name,
        access_key=caller.access_key,
        source_ip=client[0] if client else "",
        path=scope["path"].replace("\x00", "")[:255],
        read_only=scope["method"] in _READING,
        status=status,
        error=error,
        request_id=scope.get("state", {}).get("request_id", ""),
    )


def _kind_of(path: str) -> str:
    return next((kind for kind in _TYPES if kind in path), "token" if path.startswith("/v3/auth") else "other")


def _error_of(refusal: bytes) -> str | None:
    """The code of a refusal; its sentence may quote what the caller wrote."""
    try:
        body: Any = json.loads(refusal) if refusal else None
    except ValueError:
        return None
    code = body.get("error_code") if isinstance(body, dict) else None
    return str(code)[:32] if code else None
