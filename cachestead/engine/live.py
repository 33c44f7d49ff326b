"""Changes to a node that is running: parameters, users, data.

What is changed here must also be in the node's next configuration file, which is rendered whole from the record;
nothing is written back by the engine.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

from cachestead.engine.acl import OURS, REPLICA, NodeUsers, set_user_arguments
from cachestead.engine.catalogue import Engine
from cachestead.engine.connection import Client, call
from cachestead.engine.errors import EngineRefused
from cachestead.engine.parameters import directives_of


async def set_parameters(client: Client, parameters: Mapping[str, str], engine: Engine, maxmemory: int) -> None:
    """The DCS parameters are in force; those without a directive are skipped.

    All or none, if the engine takes several at once.
    """
    directives = directives_of(parameters, engine, maxmemory)
    if directives and engine.has_joint_setting:
        await call(client, "CONFIG SET", *(word for directive in directives.items() for word in directive))
    else:
        await set_directives(client, directives)


async def set_directives(client: Client, directives: Mapping[str, str]) -> None:
    """The engine's own directives are in force."""
    for name, value in directives.items():
        await call(client, "CONFIG SET", name, value)


@dataclass(frozen=True)
class Limits:
    """What a flavor decides for a node."""

    maxmemory: int
    """Bytes."""
    maxclients: int
    persistent: bool
    """Whether there is an append-only file."""
    stale_reads: bool = True
    """Whether a replica that lost its master goes on answering."""


async def set_limits(client: Client, limits: Limits, parameters: Mapping[str, str], engine: Engine) -> None:
    """The limits are in force, and the parameters, of which one of the same name goes before a limit."""
    directives = {
        "maxmemory": str(limits.maxmemory),
        "maxclients": str(limits.maxclients),
        "appendonly": _yes_no(limits.persistent),
        **({"replica-serve-stale-data": _yes_no(limits.stale_reads)} if engine.version >= (5, 0, 0) else {}),
        **directives_of(parameters, engine, limits.maxmemory),
    }
    clients = {"maxclients": directives.pop("maxclients")}
    await set_directives(client, directives)
    # A machine that cannot have as many open files says no; the configuration file would get fewer, too.
    with contextlib.suppress(EngineRefused):
        await set_directives(client, clients)


def _yes_no(wanted: bool) -> str:  # noqa: FBT001
    return "yes" if wanted else "no"


async def set_users(client: Client, users: NodeUsers, engine: Engine) -> None:
    """The node's users and passwords are these. Clients that are logged in stay so, unless their user is gone.

    On an engine without users there is one password, the tenant's, which replicas use too.
    """
    if not engine.has_acl:
        password = users.tenant_password or ""
        await set_directives(client, {"masterauth": password, "requirepass": password})
        return
    await set_directives(client, {"masteruser": REPLICA, "masterauth": users.replica_secret})
    wanted = set_user_arguments(users, engine)
    for arguments in wanted:
        await call(client, "ACL SETUSER", *arguments)
    gone = await _tenant_users(client) - {name for name, *_ in wanted}
    if gone:
        await call(client, "ACL DELUSER", *sorted(gone))


async def _tenant_users(client: Client) -> set[str]:
    """Users of the node that are not the service's own."""
    return {str(name) for name in await call(client, "ACL USERS")} - OURS


async def flush(client: Client) -> None:
    """No key is left in any database."""
    # In the background: the node goes on answering while memory is given back.
    await call(client, "FLUSHALL", "ASYNC")


async def hold_writes(client: Client, seconds: float) -> None:
    """Writes wait, for so long at most; a second call begins anew."""
    await call(client, "CLIENT", "PAUSE", int(seconds * 1000), "WRITE")


async def release_writes(client: Client) -> None:
    """Writes that waited go on."""
    await call(client, "CLIENT", "UNPAUSE")


async def drop_tenant_clients(client: Client) -> None:
    """Every connection but ours, the replicas' and the masters' is closed."""
    for user in await _tenant_users(client):
        for kind in ("normal", "pubsub"):
            await call(client, "CLIENT KILL", "TYPE", kind, "USER", user)


async def probe(client: Client, key: str) -> None:
    """A key can be written, read and removed. Raises `EngineRefused` if another value comes back."""
    await call(client, "SET", key, key, "EX", 60)
    if await call(client, "GET", key) != key:
        raise EngineRefused(f"{key} did not come back")
    await call(client, "DEL", key)
