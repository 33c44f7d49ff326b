"""Cloud Eye's error shape, with the fields beside it in which the vendor's SDKs look first.

Every refusal of a route in this package passes through `CesRoute`, so none has the framework's shape.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from cachestead.api import access
from cachestead.errors import InvalidProjectId, ProjectMismatch, ServiceError

_MESSAGES = {
    400: "The request cannot be understood.",
    401: "The caller is not known.",
    403: "The caller may not do this.",
    404: "There is no such thing.",
}


class CesError(Exception):
    """A refusal of the Cloud Eye API."""

    def __init__(self, code: str, detail: str) -> None:
        self.code, self.detail = code, detail
        super().__init__(f"{code} {detail}")


def bad_parameter(name: str, problem: str) -> CesError:
    """A parameter of the URL is missing or wrong."""
    return CesError("ces.0013", f"{name}: {problem}")


def bad_page(problem: str) -> CesError:
    """The place to go on from is none."""
    return CesError("ces.0006", problem)


def bad_field(name: str, problem: str) -> CesError:
    """A field of the body is missing or wrong."""
    return CesError("ces.0014", f"{name}: {problem}")


class CesRoute(APIRoute):
    """A route whose refusals have Cloud Eye's shape."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with every refusal rendered."""
        handle = super().get_route_handler()

        async def handle_and_render(request: Request) -> Response:
            try:
                return await handle(request)
            except CesError as error:
                return _render(400, error.code, error.detail)
            except ServiceError as error:
                return _of_service(error)
            except (RequestValidationError, HTTPException) as error:
                refused = await access.refusal_before_reading(request)
                return _of_service(refused) if refused else _unreadable(error)

        return handle_and_render


def _of_service(error: ServiceError) -> JSONResponse:
    """A refusal that all routes share, under its own code for SDKs and under Cloud Eye's for others."""
    if isinstance(error, InvalidProjectId | ProjectMismatch):
        code = "ces.0003"
    else:
        code = {401: "ces.0015", 403: "ces.0017", 404: "ces.0016"}.get(error.status, "ces.0011")
    text = f"{error.sentence} {error.detail}" if error.detail else error.sentence
    return _render(error.status, code, text, error.code)


def _unreadable(error: RequestValidationError | HTTPException) -> JSONResponse:
    if isinstance(error, HTTPException):
        return _render(400, "ces.0014", "The body is not JSON.")
    first = error.errors()[0]
    place, *where = first["loc"]
    name = ".".join(str(part) for part in where) or str(place)
    if place != "body":
        return _render(400, "ces.0013", f"{name}: {first['msg']}")
    return _render(400, "ces.0014" if where else "ces.0001", f"{name}: {first['msg']}")


def _render(status: int, code: str, detail: str, own_code: str | None = None) -> JSONResponse:
    text = detail[:1024]
    content = {
        "code": status,
        "element": HTTPStatus(status).phrase,
        "message": _MESSAGES.get(status, "The request was refused."),
        "details": {"code": code, "details": text},
        "error_code": own_code or code,
        "error_msg": text,
    }
    return JSONResponse(content, status)
