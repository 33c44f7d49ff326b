"""The audit trail: who did what, when, from where and with which result. Holds no bodies, and so no secrets."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from sqlalchemy import delete, insert, or_, select

from cachestead.store.database import Tx
from cachestead.store.tables import instances, traces

_C = traces.c


@dataclass(frozen=True, slots=True)
class Trace:
    """One call."""

    id: str
    domain_id: str
    project_id: str | None
    """None: it is about the domain."""
    at: int
    """UTC epoch milliseconds."""
    name: str
    service: str
    resource_type: str
    resource_id: str | None
    user_id: str
    user_name: str
    domain_name: str
    access_key: str | None
    source_ip: str
    path: str
    read_only: bool
    status: int
    error: str | None
    request_id: str
    resource_name: str | None = None

    @property
    def rating(self) -> str:
        """How it ended: `normal`, `warning` (refused) or `incident` (failed)."""
        return "normal" if self.status < 400 else "warning" if self.status < 500 else "incident"


@dataclass(frozen=True, slots=True)
class TraceFilter:
    """Which traces are meant; what is None does not matter."""

    begin: int
    end: int
    before: str | None = None
    """Id of the trace that the wanted ones are older than."""
    id: str | None = None
    name: str | None = None
    service: str | None = None
    resource_type: str | None = None
    resource_id: str | None = None
    resource_name: str | None = None
    user_name: str | None = None
    access_key: str | None = None
    rating: str | None = None


_RATINGS = {"normal": (0, 400), "warning": (400, 500), "incident": (500, 1000)}


async def add_trace(tx: Tx, trace: Trace) -> Trace:
    """Keep a trace; what is kept, with the instance's name where it is about one."""
    if trace.resource_type == "instance" and trace.resource_id and trace.project_id:
        own = (instances.c.id == trace.resource_id) & (instances.c.project_id == trace.project_id)
        trace = replace(trace, resource_name=await tx.scalar(select(instances.c.name).where(own)))
    await tx.execute(insert(traces).values(asdict(trace)))
    return trace


async def list_traces(tx: Tx, domain_id: str, project_id: str, wanted: TraceFilter, limit: int) -> list[Trace]:
    """The newest that match, of the project and of its domain."""
    query = select(traces).where(
        _C.domain_id == domain_id,
        or_(_C.project_id == project_id, _C.project_id.is_(None)),
        _C.at >= wanted.begin,
        _C.at <= wanted.end,
    )
    for column, value in (
        (_C.id, wanted.id),
        (_C.name, wanted.name),
        (_C.service, wanted.service),
        (_C.resource_type, wanted.resource_type),
        (_C.resource_id, wanted.resource_id),
        (_C.resource_name, wanted.resource_name),
        (_C.user_name, wanted.user_name),
        (_C.access_key, wanted.access_key),
    ):
        if value is not None:
            query = query.where(column == value)
    if wanted.rating is not None:
        least, below = _RATINGS.get(wanted.rating, (0, 0))
        query = query.where(_C.status >= least, _C.status < below)
    if wanted.before is not None:
        last = (await tx.execute(select(_C.at).where(_C.id == wanted.before, _C.domain_id == domain_id))).scalar()
        if last is None:
            return []
        query = query.where(or_(_C.at < last, (_C.at == last) & (_C.id < wanted.before)))
    rows = await tx.execute(query.order_by(_C.at.desc(), _C.id.desc()).limit(limit))
    return [Trace(**row) for row in rows.mappings()]


async def remove_traces_before(tx: Tx, moment: int) -> None:
    """Forget what is older than this, in UTC epoch milliseconds."""
    await tx.execute(delete(traces).where(_C.at < moment))
