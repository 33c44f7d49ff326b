"""Queries about networks and addresses. An address has one owner; the table's key sees to it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import bindparam, delete, insert, select

from cachestead.domain.orders import Network
from cachestead.store.database import Tx
from cachestead.store.tables import addresses, networks

_NETWORK = select(networks).where(networks.c.project_id == bindparam("project"))


async def get_network(tx: Tx, project_id: str, cidr: str) -> Network:
    """The project's VPC, subnet and security group."""
    row = (await tx.execute(_NETWORK, {"project": project_id})).one()
    return Network(
        vpc_id=row.vpc_id,
        vpc_name=row.vpc_name,
        subnet_id=row.subnet_id,
        subnet_name=row.subnet_name,
        security_group_id=row.security_group_id,
        security_group_name=row.security_group_name,
        cidr=cidr,
    )


async def lock_allocation(tx: Tx) -> None:
    """From here to the end of the transaction nobody else counts quotas or takes addresses."""
    await tx.execute(select(networks.c.project_id).order_by(networks.c.project_id).with_for_update())


async def list_taken_addresses(tx: Tx) -> set[str]:
    """Every address that has an owner."""
    return set((await tx.scalars(select(addresses.c.address))).all())


async def add_addresses(tx: Tx, owner: str, taken: Sequence[str]) -> None:
    """The addresses belong to `owner` now; raises the database's error if one is taken."""
    await tx.execute(insert(addresses), [{"address": address, "owner": owner} for address in taken])


async def list_addresses_of(tx: Tx, owner: str) -> list[str]:
    """The addresses of an owner."""
    query = select(addresses.c.address).where(addresses.c.owner == owner).order_by(addresses.c.address)
    return list((await tx.scalars(query)).all())


async def remove_address(tx: Tx, address: str) -> None:
    """The address is free."""
    await tx.execute(delete(addresses).where(addresses.c.address == address))


async def remove_addresses_of(tx: Tx, owner: str) -> None:
    """The owner has no addresses any more."""
    await tx.execute(delete(addresses).where(addresses.c.owner == owner))
