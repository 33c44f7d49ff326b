"""Queries about instances' proxies. Whole instances, proxies included, are read by `store/instances.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, insert, select, update

from cachestead.domain.instances import InstanceId, Proxy
from cachestead.store.database import Tx
from cachestead.store.tables import proxies


async def list_proxies_of(tx: Tx, instances: Sequence[InstanceId]) -> dict[InstanceId, list[Proxy]]:
    """The proxies of these instances, in order, by instance."""
    query = select(proxies).where(proxies.c.instance_id.in_(instances)).order_by(proxies.c.ordinal)
    found: dict[InstanceId, list[Proxy]] = {}
    for row in (await tx.execute(query)).mappings():
        found.setdefault(row["instance_id"], []).append(Proxy(**row))
    return found


async def find_instance_of_proxy(tx: Tx, proxy: str) -> InstanceId | None:
    """The instance a proxy belongs to, or None."""
    owner: InstanceId | None = await tx.scalar(select(proxies.c.instance_id).where(proxies.c.id == proxy))
    return owner


async def list_any_proxy_ids(tx: Tx) -> set[str]:
    """Ids of all proxies on record."""
    return set((await tx.scalars(select(proxies.c.id))).all())


async def add_proxies(tx: Tx, added: Sequence[Proxy]) -> None:
    """New proxies of an instance that is there."""
    if added:
        await tx.execute(insert(proxies), [_row(proxy) for proxy in added])


async def save_proxy(tx: Tx, proxy: Proxy) -> None:
    """The proxy as it is now."""
    await tx.execute(update(proxies).where(proxies.c.id == proxy.id).values(**_row(proxy)))


async def remove_proxy(tx: Tx, proxy: str) -> None:
    """The proxy is on record no more."""
    await tx.execute(delete(proxies).where(proxies.c.id == proxy))


async def remove_proxies(tx: Tx, instance_id: InstanceId) -> None:
    """The instance has no proxies on record any more."""
    await tx.execute(delete(proxies).where(proxies.c.instance_id == instance_id))


def _row(proxy: Proxy) -> dict[str, Any]:
    return {
        "id": proxy.id,
        "instance_id": proxy.instance_id,
        "ordinal": proxy.ordinal,
        "address": proxy.address,
        "port": proxy.port,
        "zone": proxy.zone,
        "active": proxy.active,
    }
