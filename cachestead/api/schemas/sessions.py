"""Bodies of chapter 4.16, Session Management."""

from __future__ import annotations

from dataclasses import asdict

from pydantic import BaseModel

from cachestead import errors
from cachestead.api.bodies import RequestBody
from cachestead.api.formats import iso_time
from cachestead.domain.sessions import Session
from cachestead.operations.sessions import SessionPage
from cachestead.store.sessions import SORTABLE, SessionFilter

NETWORK = "vpc"
"""Clients reach an instance at its address in its VPC, and at no other."""


class ScanClients(RequestBody):
    """Body of scan_clients. Without `clean_cache` a list is taken: that is what the call is for."""

    node_id: str | None = None
    clean_cache: bool | None = None


class HangUpClients(RequestBody):
    """Body of hang_up_clients."""

    node_id: str | None = None
    client_addrs: list[str]


class HangUpKillAllClients(RequestBody):
    """Body of hang_up_kill_all_clients."""

    node_id: str | None = None
    kill_all_nodes: bool | None = None


class ClientInfo(BaseModel):
    """A session. Ids are texts, figures numbers."""

    id: str
    addr: str
    fd: str
    name: str
    cmd: str
    age: int
    idle: int
    db: str
    flags: str
    sub: int
    psub: int
    multi: int
    qbuf: int
    qbuf_free: int
    obl: int
    oll: int
    omem: int
    events: str
    network: str
    peer: str
    user: str

    @classmethod
    def of(cls, session: Session) -> ClientInfo:
        """The session as callers see it; no gateway stands before the client's own address."""
        fields = asdict(session) | {name: str(getattr(session, name)) for name in ("id", "fd", "db")}
        return cls(**fields, network=NETWORK, peer=session.addr)


class ClientsOut(BaseModel):
    """Answer of list_clients."""

    time: str | None
    clients: list[ClientInfo]
    count: int

    @classmethod
    def of(cls, page: SessionPage) -> ClientsOut:
        """A page of a list."""
        clients = [ClientInfo.of(session) for session in page.sessions]
        return cls(time=iso_time(page.taken_at), clients=clients, count=page.count)


def read_session_filter(addr: str | None, sort: str | None, order: str | None) -> SessionFilter:
    """The query's filter and order; raises `InvalidParameter` for a field or an order that there is not."""
    known = SORTABLE | {"network"}
    if sort and sort not in known:
        raise errors.InvalidParameter(f"sort: one of {', '.join(sorted(known))}", name="sort")
    direction = (order or "asc").lower()
    if direction not in ("asc", "desc"):
        raise errors.InvalidParameter("order: asc or desc", name="order")
    if sort == "network":
        # All clients are on the same one.
        return SessionFilter(addr or None)
    return SessionFilter(addr or None, sort or None, descending=direction == "desc")
