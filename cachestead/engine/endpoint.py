"""The instance address (VIP) on a node: taking it and letting it go.

A master binds it beside its own address. Two nodes cannot listen on one address and port, so a second one is
refused, which is what keeps an instance from having two masters. Every call looks at the node's bind list first.
"""

from __future__ import annotations

from cachestead.engine.addresses import NodeAddress
from cachestead.engine.config import bind_value
from cachestead.engine.connection import Client, address_of, call
from cachestead.engine.errors import EndpointTaken, EngineRefused


async def ensure_bound(client: Client, own: str, vip: str) -> None:
    """The node listens on its own address and on the instance's. Raises `EndpointTaken`."""
    await _ensure_bind(client, bind_value(own, vip), vip)


async def ensure_unbound(client: Client, own: str) -> None:
    """The node listens on its own address only; clients of the instance address stay connected until they end."""
    await _ensure_bind(client, bind_value(own, None), own)


async def bound_addresses(client: Client) -> list[str]:
    """What the node listens on."""
    return (await _get(client, "bind")).split()


async def ensure_port(client: Client, port: int) -> None:
    """The node listens on this port, on all its addresses; open connections stay.

    The connection used here goes on too, but its successors need a client for the new port.
    """
    if await _get(client, "port") != str(port):
        await _set(client, "port", str(port), address_of(client).address)


async def ensure_tls_port(client: Client, port: int) -> None:
    """The node listens on this port with TLS, on all its addresses; open connections stay.

    Nodes of a cluster say the port that they began with until what they announce changes.
    """
    if await _get(client, "tls-port") != str(port):
        await _set(client, "tls-port", str(port), address_of(client).address)
    if await _get(client, "tls-cluster") == "yes":
        for announced in (str(port), "0"):
            await _set(client, "cluster-announce-tls-port", announced, address_of(client).address)


async def _ensure_bind(client: Client, wanted: str, vip: str) -> None:
    if " ".join(await bound_addresses(client)) != wanted:
        await _set(client, "bind", wanted, vip)


async def _get(client: Client, name: str) -> str:
    """One directive; read as pairs, because a renamed CONFIG has no parser."""
    answer = await call(client, "CONFIG GET", name)
    return str(answer.get(name, "") if isinstance(answer, dict) else answer[1])


async def _set(client: Client, name: str, value: str, address: str) -> None:
    try:
        await call(client, "CONFIG SET", name, value)
    except EngineRefused as error:
        # The engine says only that it could not listen; with addresses of ours, that is because another does.
        if "bind" in str(error).lower() or "listen" in str(error).lower():
            raise EndpointTaken(address, NodeAddress(*address_of(client))) from error
        raise
