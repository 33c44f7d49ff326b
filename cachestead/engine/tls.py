"""TLS of nodes: what they show to clients, and taking over a renewed certificate."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509

from cachestead.engine.addresses import NodeAddress, calling_from
from cachestead.engine.config import IDENTITY_FILE
from cachestead.engine.connection import Client, call

LOOK_SECONDS = 5.0


@dataclass(frozen=True)
class Shown:
    """The certificate that a node shows."""

    expires_at: datetime
    is_trusted: bool
    """Whether it is the authority's, of now, and for the address that was asked."""


async def look_at_certificate(node: NodeAddress, authority: str) -> Shown | None:
    """What a client that trusts the authority (PEM) sees there; None where nobody speaks TLS."""
    for is_trusted, context in ((True, ssl.create_default_context(cadata=authority)), (False, _trusting())):
        try:
            return Shown(await _shake_hands(node, context), is_trusted)
        except ssl.SSLCertVerificationError:
            continue
        except (OSError, TimeoutError):
            return None
    return None


async def reload_certificate(client: Client) -> None:
    """The node shows what is in its file now. Clients stay connected."""
    # Setting either of the two reads both again, also where the name is what it was.
    await call(client, "CONFIG SET", "tls-cert-file", IDENTITY_FILE)


async def _shake_hands(node: NodeAddress, context: ssl.SSLContext) -> datetime:
    """When the certificate that is shown ends."""
    async with asyncio.timeout(LOOK_SECONDS):
        _, writer = await asyncio.open_connection(
            node.address, node.port, ssl=context, server_hostname=node.address, local_addr=calling_from(node)
        )
    try:
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.transport.abort()
    return x509.load_der_x509_certificate(shown).not_valid_after_utc


def _trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
