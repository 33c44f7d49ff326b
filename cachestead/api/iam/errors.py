"""Identity's own error shape, in which both keystone and the vendor's SDKs find what they look for.

Every refusal of a route in this package passes through `IamRoute`, so none has the framework's shape.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from cachestead.api.access import refusal_before_reading
from cachestead.errors import ServiceError
from cachestead.identity.refusals import IamError


class IamRoute(APIRoute):
    """A route whose refusals have identity's shape."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, with every refusal rendered."""
        handle = super().get_route_handler()

        async def handle_and_render(request: Request) -> Response:
            try:
                return await handle(request)
            except IamError as error:
                return _render(request, error.status, error.code, error.message)
            except ServiceError as error:
                return _render(request, error.status, error.code, error.sentence, error.detail)
            except (RequestValidationError, HTTPException) as error:
                refused = await refusal_before_reading(request)
                if refused is not None:
                    return _render(request, refused.status, refused.code, refused.sentence, refused.detail)
                return _unreadable(request, error)

        return handle_and_render


def _unreadable(request: Request, error: RequestValidationError | HTTPException) -> JSONResponse:
    if isinstance(error, RequestValidationError):
        return _render(request, 400, "IAM.0011", _complaint(error))
    return _render(request, error.status_code, "IAM.0011", "Request body is invalid.")


def _complaint(error: RequestValidationError) -> str:
    """Which field is wrong and why; never its value, which may be a password."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    return f"Request body is invalid: {place or 'body'}: {first['msg']}."


def _render(request: Request, status: int, code: str, message: str, detail: str | None = None) -> JSONResponse:
    known = getattr(request.state, "request_id", None)
    request_id = known or uuid.uuid4().hex
    content = {
        "error": {"code": status, "message": message, "title": HTTPStatus(status).phrase},
        "error_code": code,
        "error_msg": message,
        "request_id": request_id,
    }
    if detail is not None:
        content["error_ext_msg"] = detail
    headers = {} if known else {"X-Request-Id": request_id}
    return JSONResponse(content, status, headers)
