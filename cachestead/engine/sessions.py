"""Sessions at a data node or a proxy: who is connected, and ending connections.

Both speak of their clients in CLIENT LIST's words. The service's own connections are none of a tenant's business:
they are neither listed nor ended here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields

from cachestead.domain.sessions import Session
from cachestead.engine.acl import ADMIN, OURS
from cachestead.engine.connection import Client, call, call_each
from cachestead.engine.errors import EngineRefused

_AT_ONCE = 500
_LOOKS = 100
_LINKS = frozenset("MS")
"""Flags of connections to a master and to a replica."""
_INTERNAL = OURS | {"(superuser)"}
"""Users that no tenant is. The last one is what engines call a connection of their own making."""
_NUMBERS = frozenset(one.name for one in fields(Session) if one.type == "int")


async def list_sessions(client: Client) -> list[Session]:
    """The tenant's sessions there now, the oldest first. Raises `EngineUnreachable`, `EngineRefused`."""
    try:
        return read_sessions(await call(client, "CLIENT LIST"))
    except (KeyError, ValueError) as error:
        raise EngineRefused("what CLIENT LIST says cannot be read") from error


async def end_sessions(client: Client, ids: Iterable[int]) -> None:
    """These sessions are over. By id, because another client may come from the address of one that just left."""
    pending = list(ids)
    for first in range(0, len(pending), _AT_ONCE):
        commands = [("CLIENT KILL", "ID", one) for one in pending[first : first + _AT_ONCE]]
        await call_each(client, commands)


async def end_waiting(client: Client, user: str) -> None:
    """The user's sessions that wait in a blocking command are over: engines ask for rights before the wait only.

    Raises `EngineUnreachable`, `EngineRefused`.
    """
    sessions = await list_sessions(client)
    await end_sessions(client, (one.id for one in sessions if one.user == user and "b" in one.flags))


async def end_strangers(client: Client, is_admitted: Callable[[str], bool]) -> None:
    """No tenant's session there is from an address that is not admitted. New ones must be refused already.

    Raises `EngineUnreachable`, `EngineRefused`.
    """
    were_none = False
    for _ in range(_LOOKS):
        sessions = await list_sessions(client)
        strangers = [one.id for one in sessions if not is_admitted(one.addr.rpartition(":")[0])]
        await end_sessions(client, strangers)
        # Who was connected, and not yet seen by the engine, is by the next look.
        if were_none and not strangers:
            return
        were_none = not strangers
    raise EngineRefused("strangers go on coming")


def read_sessions(rows: Iterable[Mapping[str, str]]) -> list[Session]:
    """The tenant's sessions out of a CLIENT LIST."""
    return [_session(row) for row in rows if not _is_ours(row)]


def _is_ours(row: Mapping[str, str]) -> bool:
    if _LINKS & set(row["flags"]):
        return True
    # An engine without users knows the service by the name of its connections.
    return row["user"] in _INTERNAL if "user" in row else row.get("name") == ADMIN


def _session(row: Mapping[str, str]) -> Session:
    given = {name.replace("-", "_"): value for name, value in row.items()}
    known = {one.name: given.get(one.name, "") for one in fields(Session)}
    numbers = {name: int(known[name] or 0) for name in _NUMBERS}
    return Session(**(known | numbers | {"user": known["user"] or "default"}))  # type: ignore[arg-type]
