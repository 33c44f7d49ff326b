"""The query behind the instances' domain names: small, because every question asks it."""

from __future__ import annotations

from sqlalchemy import select

from cachestead.domain.instances import InstanceId, Mode, Role, State
from cachestead.domain.names import NamedInstance, NamedNode
from cachestead.store.database import Tx
from cachestead.store.tables import instances, nodes

_NAMELESS = (State.DELETED, State.CREATEFAILED)


async def find_named_instance(tx: Tx, instance: InstanceId) -> NamedInstance | None:
    """An instance of any project as its names need it; None for what is gone or was never made."""
    own, of_node = (instances.c.mode, instances.c.ip), (nodes.c.role, nodes.c.active, nodes.c.in_domain_name)
    query = (
        select(*own, nodes.c.address, *of_node)
        .select_from(instances.outerjoin(nodes, nodes.c.instance_id == instances.c.id))
        .where(instances.c.id == instance, instances.c.state.not_in(_NAMELESS))
        .order_by(nodes.c.shard, nodes.c.ordinal)
    )
    rows = (await tx.execute(query)).all()
    if not rows:
        return None
    found = tuple(
        NamedNode(row.address, Role(row.role), row.active, row.in_domain_name)
        for row in rows
        if row.address is not None
    )
    return NamedInstance(Mode(rows[0].mode), rows[0].ip, found)
