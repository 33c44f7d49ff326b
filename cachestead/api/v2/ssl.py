"""Chapter 4.11: SSL. Connections of clients that are encrypted, and the certificate that they trust."""

from __future__ import annotations

from typing import Annotated

from fastapi import Response

from cachestead.api.access import May
from cachestead.api.chapter import Chapter
from cachestead.api.formats import InstanceIdPath
from cachestead.api.schemas.ssl import CertificateOut, SslOut, SwitchSsl, SwitchSslOut
from cachestead.api.services import Use
from cachestead.identity.callers import Caller
from cachestead.operations import ssl

chapter = Chapter("4.11", "SSL")
_ONE = "/v2/{project_id}/instances/{instance_id}"


@chapter.put(_ONE + "/ssl")
async def update_ssl_switch(
    instance_id: InstanceIdPath,
    body: SwitchSsl,
    caller: Annotated[Caller, May["dcs:ssl:modify"]],
    service: Use,
) -> SwitchSslOut:
    """Let clients come by TLS only, or without it again. The instance restarts; its address and port stay."""
    return SwitchSslOut.of(await ssl.switch_ssl(service, caller, instance_id, enabled=body.enabled))


@chapter.get(_ONE + "/ssl")
async def show_instance_ssl_detail(
    instance_id: InstanceIdPath, caller: Annotated[Caller, May["dcs:ssl:get"]], service: Use
) -> Response:
    """Show how the instance is reached by TLS, and how long its certificates are good; 204 while SSL is off."""
    seen = await ssl.describe_ssl(service, caller, instance_id)
    if seen is None:
        return Response(status_code=204)
    return Response(SslOut.of(seen).model_dump_json(), media_type="application/json")


@chapter.post(_ONE + "/ssl-certs/download")
async def download_ssl_cert(
    instance_id: InstanceIdPath, caller: Annotated[Caller, May["dcs:ssl:get"]], service: Use
) -> CertificateOut:
    """Make a link to a zip file with `ca.crt`, which clients trust; anybody may follow it for a day."""
    return CertificateOut.of(await ssl.link_certificate(service, caller, instance_id))
