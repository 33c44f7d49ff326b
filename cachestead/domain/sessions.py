"""Sessions: clients that are connected to an instance, as the engine's CLIENT LIST knows them.

They are where clients are: at the proxies of an instance that has any, else at its data nodes. Reference: sections
4.16.1 to 4.16.4.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from cachestead import errors
from cachestead.domain.instances import Instance, Node, Proxy, State, busy_error, node_name, proxy_name

MOST_LISTED = 10_000
"""Sessions that a list holds, the oldest ones; it is as many as a node lets in unless it is told otherwise."""
MOST_KILLED = 1000
"""Addresses in a call; as many as a page of the list has."""
_FIRST_WITHOUT = "3.0"

Place = Node | Proxy
"""Where sessions are."""


@dataclass(frozen=True)
class Session:
    """One session. The fields are those of CLIENT LIST, by the names of `ClientInfo`."""

    id: int
    addr: str
    """Address and port of the client."""
    fd: int
    name: str
    cmd: str
    """The last command."""
    age: int
    """Seconds since it came."""
    idle: int
    """Seconds since its last command."""
    db: int
    flags: str
    sub: int
    psub: int
    multi: int
    """Commands queued in a transaction; -1 outside of one."""
    qbuf: int
    """Bytes, as the four that follow, of which `oll` is a number of replies."""
    qbuf_free: int
    obl: int
    oll: int
    omem: int
    events: str
    user: str


def places_of(instance: Instance) -> tuple[Place, ...]:
    """Where the instance's sessions are."""
    return instance.proxies if instance.mode.has_proxies else instance.nodes


def place_name(place: Place) -> str:
    """What the place is called in lists of nodes."""
    return node_name(place) if isinstance(place, Node) else proxy_name(place)


def find_place(instance: Instance, node: str | None) -> Place:
    """The data node or proxy of this id.

    Raises `InvalidNodeId` for a stranger's, and `NodeNotSupported` for a data node that only proxies talk to.
    """
    found = next((place for place in places_of(instance) if place.id == node), None)
    if found is not None:
        return found
    if any(one.id == node for one in instance.nodes):
        raise errors.NodeNotSupported(f"node_id: clients of instance {instance.id} are at its proxies")
    raise errors.InvalidNodeId(f"node_id: {(node or '')[:64]!r} is no node of instance {instance.id}")


def choose_places(instance: Instance, node: str | None, *, everywhere: bool) -> tuple[Place, ...]:
    """The named place, or all of them. Raises as `find_place` does, also for a name that is not needed."""
    named = () if everywhere and node is None else (find_place(instance, node),)
    return places_of(instance) if everywhere else named


def check_has_sessions(instance: Instance) -> None:
    """The instance runs and is of a version whose sessions can be managed."""
    if instance.engine_version == _FIRST_WITHOUT:
        raise errors.SessionsNotSupported(f"instance {instance.id} is of version {instance.engine_version}")
    if instance.state is not State.RUNNING:
        raise busy_error(instance)


def check_addresses(given: Sequence[str]) -> frozenset[str]:
    """Addresses of sessions (`10.0.0.5:41222`, `[fd00::5]:41222`), between 1 and `MOST_KILLED` of them."""
    if not 1 <= len(given) <= MOST_KILLED:
        raise _bad_addresses(f"between 1 and {MOST_KILLED} of them")
    for one in given:
        host, _, port = one.rpartition(":")
        if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536 and _is_address(host)):
            raise _bad_addresses(f"{one[:64]!r} is no address with a port")
    return frozenset(given)


def _is_address(host: str) -> bool:
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        return False
    return True


def _bad_addresses(detail: str) -> errors.InvalidParameter:
    return errors.InvalidParameter(f"client_addrs: {detail}", name="client_addrs")
