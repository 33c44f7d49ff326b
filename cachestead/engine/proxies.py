"""What the control plane asks of a proxy, at the proxy's own address and as our own user.

A proxy speaks the engines' protocol, so clients are those of `connection.py`. What it is told is a text here: what
that means is between `cachestead/proxy/` and who writes it.
"""

from __future__ import annotations

from cachestead.engine.connection import Client, call
from cachestead.engine.errors import ProxyLate
from cachestead.engine.polling import until

_OK = "ok"


async def configure(client: Client, configuration: str) -> None:
    """The proxy obeys this configuration from now on. Raises `EngineRefused` for one that it cannot obey."""
    await call(client, "PROXY", "CONFIGURE", configuration)


async def wait_serving(client: Client, seconds: float) -> None:
    """The proxy knows a master for every slot and takes clients.

    Raises `ProxyLate` with what is missing where it does not within the time.
    """

    async def look() -> str | None:
        state = str(await call(client, "PROXY", "STATE"))
        return None if state == _OK else state

    await until(look, seconds, ProxyLate)


async def ping(client: Client) -> None:
    """The proxy answers. Raises `EngineUnreachable`."""
    await call(client, "PING")
