"""The HTTP application: routes together, and the one place that turns exceptions into answers.

Every answer carries `X-Request-Id`; every error has the documented shape, whatever raised it. Authentication comes
first: a request that is both unsigned and malformed is told that it is unsigned.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cachestead import errors
from cachestead.api import access, exposition, objects
from cachestead.api.audit import Audit
from cachestead.api.bodies import RequestBody
from cachestead.api.ces import routes as ces
from cachestead.api.cts import routes as cts
from cachestead.api.defences import RateLimit, SecurityHeaders
from cachestead.api.iam import routes as iam
from cachestead.api.services import Services
from cachestead.api.v2 import CHAPTERS
from cachestead.objects.errors import ObjectMissing, ObjectsError

log = structlog.get_logger()

ROUTERS = (
    *(chapter.router for chapter in CHAPTERS),
    ces.router,
    cts.router,
    exposition.router,
    objects.router,
    iam.router,
)
"""All routes. Identity's come last, with one that takes what is left of its paths."""


def build_app(services: Services) -> FastAPI:
    """The application over what `bootstrap` built."""
    app = FastAPI(
        title="Cachestead",
        description="A Distributed Cache Service you run yourself.",
        version="2.0",
        redirect_slashes=False,
        strict_content_type=False,
        docs_url=None,
        redoc_url=None,
    )
    app.state.services = services
    app.state.identity = services.identity
    for router in ROUTERS:
        app.include_router(router)
    app.add_exception_handler(errors.ServiceError, _answer_service_error)
    app.add_exception_handler(ObjectsError, _answer_objects_error)
    app.add_exception_handler(RequestValidationError, _answer_unreadable)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_middleware(RateLimit, limits=services.settings.limits, clock=time.monotonic)
    app.add_middleware(
        access.Authentication,
        authenticator=services.identity.authenticator,
        max_body_bytes=services.settings.server.max_body_bytes,
        body_seconds=services.settings.limits.body_seconds,
    )
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Audit, trail=services.trail)
    app.add_middleware(RequestLog)
    return app


class RequestLog:
    """Gives each request an id, logs it when it is over, and answers 500 in the documented shape."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = secrets.token_hex(16)
        scope.setdefault("state", {})["request_id"] = request_id
        begun, status, is_answered = time.perf_counter(), 500, False

        async def send_with_id(message: Message) -> None:
            nonlocal status, is_answered
            if message["type"] == "http.response.start":
                is_answered = True
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            log.exception("request failed", method=scope["method"], path=scope["path"], request_id=request_id)
            if not is_answered:  # else it is cut off, which the client notices
                await _answer(scope, errors.InternalError())(scope, receive, send_with_id)
        finally:
            log.debug(
                "request",
                method=scope["method"],
                path=scope["path"],
                status=status,
                ms=round((time.perf_counter() - begun) * 1000, 1),
                request_id=request_id,
            )


def _answer(scope: Scope, error: errors.ServiceError, status: int | None = None) -> JSONResponse:
    body: dict[str, Any] = {
        "error_code": error.code,
        "error_msg": error.sentence[:1024],
        "error_ext_msg": error.detail[:1024] if error.detail else None,
    }
    if error.status == 401:
        body["request_id"] = scope.get("state", {}).get("request_id")
    return JSONResponse(body, status or error.status)


async def _answer_service_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, errors.ServiceError)
    if error.status >= 500:
        log.error("operation failed", error=str(error), cause=repr(error.__cause__))
    return _answer(request.scope, error)


async def _answer_unreadable(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    refused = await access.refusal_before_reading(request)
    return _answer(request.scope, refused or _refusal(request, error))


async def _answer_objects_error(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, ObjectMissing):
        return _answer(request.scope, errors.UrlNotFound(request.url.path[:200]))
    log.error("objects failed", error=str(error))
    return _answer(request.scope, errors.InternalError("object storage"))


def _refusal(request: Request, error: RequestValidationError) -> errors.ServiceError:
    """The documented error for what FastAPI could not read."""
    first = error.errors()[0]
    place, *where = first["loc"]
    problem = str(first["msg"])[:200]
    if place != "body":
        name = str(where[0]) if where else str(place)
        return errors.InvalidValue(f"{name}: {problem}", name=name)
    if first["type"] == "missing" and not where:
        return errors.EmptyBody()
    model = _body_model(request)
    if first["type"] == "json_invalid" or not where or model is None:
        return errors.MalformedBody(problem)
    return model.refusal(where, problem)


def _body_model(request: Request) -> type[RequestBody] | None:
    route = request.scope.get("route")
    if not isinstance(route, APIRoute):
        return None
    for parameter in route.dependant.body_params:
        for kind in getattr(parameter.field_info.annotation, "__args__", (parameter.field_info.annotation,)):
            if isinstance(kind, type) and issubclass(kind, RequestBody):
                return kind
    return None


def _methods_of(scope: Scope) -> set[str]:
    """Every method that this path has; the framework names those of the first route only."""
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    return {
        method for route in routes if route.matches(scope)[0] is not Match.NONE for method in route.methods or ()
    }


async def _answer_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    match error.status_code:
        case 404:
            return _answer(request.scope, errors.UrlNotFound(request.url.path[:200]))
        case 405:
            answer = _answer(request.scope, errors.MethodNotAllowed(request.method))
            answer.headers["Allow"] = ", ".join(sorted(_methods_of(request.scope)))
            return answer
        case 400:
            refused = await access.refusal_before_reading(request)
            return _answer(request.scope, refused or errors.MalformedBody(str(error.detail)[:200]))
        case status:
            return _answer(request.scope, errors.InternalError(str(error.detail)[:200]), status)
