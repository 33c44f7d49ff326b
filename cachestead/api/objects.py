"""Objects over HTTP: links that anybody may follow until they expire, and tenants' uploads.

None of it is in the reference: the public service leaves both to its object storage. So what a link answers looks
as it does there, errors included: a program that reads it does not notice which of the two it talks to.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any
from urllib.parse import quote
from xml.sax.saxutils import escape

import structlog
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from cachestead.api.access import STREAMED, Anyone, May
from cachestead.api.services import Use
from cachestead.errors import RequestTooLarge
from cachestead.identity.callers import Caller
from cachestead.objects.errors import ObjectMissing, ObjectsError
from cachestead.operations import objects as operations
from cachestead.operations.objects import Upload
from cachestead.operations.service import Service

log = structlog.get_logger()
router = APIRouter(prefix=STREAMED.rstrip("/"), tags=["Objects"], redirect_slashes=False)

_HASH = re.compile(r"[0-9a-f]{64}")
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_CLIENT_LEFT = 499
"""The status that others log for a client that did not wait. Nobody sees it."""

Json = dict[str, Any]


@router.get("")
async def show_buckets(caller: Annotated[Caller, May["dcs:migrationTask:list"]], service: Use) -> Json:
    """The bucket for uploads, and others that the project may import from."""
    settings = service.objects.settings
    others = [one.name for one in settings.import_buckets if caller.project in one.projects]
    return {"bucket_name": settings.bucket, "import_buckets": others}


@router.get("/{bucket}")
async def list_uploads(
    bucket: str,
    caller: Annotated[Caller, May["dcs:migrationTask:list"]],
    service: Use,
    prefix: Annotated[str, Query(max_length=1024)] = "imports/",
) -> Json:
    """The project's uploads, by name; of those only the ones that begin with the prefix."""
    _check_bucket(service, bucket)
    found = [_shown(service, one) for one in await operations.list_uploads(service, caller.project)]
    return {"bucket_name": bucket, "files": [one for one in found if one["file_name"].startswith(prefix)]}


@router.put("/{bucket}/{project_id}/imports/{name:path}", response_model=None)
async def upload_file(
    bucket: str,
    project_id: str,
    name: str,
    request: Request,
    caller: Annotated[Caller, May["dcs:migrationTask:create"]],  # noqa: ARG001 - whose project it has to be
    service: Use,
) -> Response | Json:
    """Keep a file so that it can be imported, in place of one of the same name. The body is the file."""
    _check_bucket(service, bucket)
    limits = service.objects.settings
    if int(request.headers.get("content-length", "0")) > limits.max_upload_bytes:
        raise RequestTooLarge(f"{limits.max_upload_bytes} bytes")
    signed = request.headers.get("x-sdk-content-sha256", "")
    content_hash = signed if _HASH.fullmatch(signed) else None
    chunks = _awaited(request.stream(), limits.timeout_seconds)
    try:
        async with aclosing(chunks):
            return _shown(service, await operations.add_upload(service, project_id, name, chunks, content_hash))
    except ClientDisconnect:
        return Response(status_code=_CLIENT_LEFT)


@router.delete("/{bucket}/{project_id}/imports/{name:path}", status_code=204)
async def delete_file(
    bucket: str,
    project_id: str,
    name: str,
    caller: Annotated[Caller, May["dcs:migrationTask:delete"]],  # noqa: ARG001 - whose project it has to be
    service: Use,
) -> None:
    """Remove an uploaded file."""
    _check_bucket(service, bucket)
    await operations.remove_upload(service, project_id, name)


@router.api_route("/{bucket}/{key:path}", methods=["GET", "HEAD"])
async def follow_link(
    bucket: str,
    key: str,
    request: Request,
    caller: Anyone,  # noqa: ARG001 - the signature is asked for
    service: Use,
    expires: str = "",
    signature: str = "",
) -> Response:
    """The content that a link leads to, or the part of it that is asked for."""
    objects = service.objects
    if not objects.links.is_signed(bucket, key, expires, signature):
        return _refused(request, 403, "SignatureDoesNotMatch", "The link is not signed, or was changed.")
    if int(expires) < service.now().timestamp():
        return _refused(request, 403, "AccessDenied", "Request has expired")
    try:
        size = await objects.size(key, bucket)
    except ObjectMissing:
        return _refused(request, 404, "NoSuchKey", "The specified key does not exist.")
    except ObjectsError as error:
        log.error("link not answered", key=key, error=str(error))  # noqa: TRY400 - the library's traces say no more
        return _refused(request, 503, "ServiceUnavailable", "The object cannot be read now.")
    return _answer(service, request, bucket, key, size)


def _answer(service: Service, request: Request, bucket: str, key: str, size: int) -> Response:
    span = None if "if-range" in request.headers else find_range(request.headers.get("range", ""), size)
    start, stop = span or (0, size)
    if span and start >= stop:
        refused = _refused(request, 416, "InvalidRange", "The requested range is not satisfiable")
        refused.headers["Content-Range"] = f"bytes */{size}"
        return refused
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Length": str(stop - start),
        "Content-Disposition": _disposition(key.rpartition("/")[2]),
        "Content-Type": "application/octet-stream",
        "X-Content-Type-Options": "nosniff",
    }
    if span:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    status = 206 if span else 200
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    pieces = service.objects.read(key, bucket, start=start, stop=stop if span else None)
    return StreamingResponse(pieces, status, headers)


def _disposition(name: str) -> str:
    """The name to save it under, for clients that know RFC 6266 and for those that do not."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def find_range(header: str, size: int) -> tuple[int, int] | None:
    """What a `Range` header asks for: from the first byte until before the second, which may be none.

    None where everything is meant: without the header, or with several ranges or other units.
    """
    found = _RANGE.fullmatch(header.replace(" ", ""))
    if found is None or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        return max(size - int(last), 0), size
    if last and int(last) < int(first):
        return None
    return int(first), min(int(last) + 1, size) if last else size


async def _awaited(chunks: AsyncIterator[bytes], seconds: float) -> AsyncGenerator[bytes]:
    """The chunks of a client that goes on sending; one that stops for so long has left."""
    while True:
        try:
            async with asyncio.timeout(seconds):
                chunk = await anext(chunks, None)
        except TimeoutError:
            raise ClientDisconnect from None
        if chunk is None:
            return
        yield chunk


def _shown(service: Service, upload: Upload) -> Json:
    return {
        "bucket_name": service.objects.bucket,
        "file_name": f"imports/{upload.name}",
        "size": upload.size,
    }


def _check_bucket(service: Service, bucket: str) -> None:
    if bucket != service.objects.bucket:
        raise ObjectMissing(bucket)


def _refused(request: Request, status: int, code: str, message: str) -> Response:
    request_id = request.scope["state"]["request_id"]
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{escape(message)}</Message><RequestId>{request_id}</RequestId></Error>\n"
    )
    return Response(body, status, media_type="application/xml")
