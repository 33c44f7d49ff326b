"""Queries about instances' accounts. Whole instances, accounts included, are read by `store/instances.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, insert, select, update

from cachestead.domain.accounts import Account, AccountRole, AccountStatus, PasswordState
from cachestead.domain.instances import InstanceId
from cachestead.store.database import Tx
from cachestead.store.tables import accounts
from cachestead.store.times import from_ms, to_ms


async def list_accounts_of(tx: Tx, instances: Sequence[InstanceId]) -> dict[InstanceId, list[Account]]:
    """The accounts of these instances, oldest first, by instance."""
    query = select(accounts).where(accounts.c.instance_id.in_(instances))
    found: dict[InstanceId, list[Account]] = {}
    for row in (await tx.execute(query.order_by(accounts.c.created_at, accounts.c.id))).mappings():
        found.setdefault(row["instance_id"], []).append(_account(row))
    return found


async def add_account(tx: Tx, account: Account) -> None:
    """A new account of an instance that is there."""
    await tx.execute(insert(accounts).values(**_row(account)))


async def save_account(tx: Tx, account: Account) -> None:
    """The account as it is now."""
    await tx.execute(update(accounts).where(accounts.c.id == account.id).values(**_row(account)))


async def remove_account(tx: Tx, account: str) -> None:
    """The account is on record no more."""
    await tx.execute(delete(accounts).where(accounts.c.id == account))


async def remove_accounts(tx: Tx, instance_id: InstanceId) -> None:
    """The instance has no accounts on record any more."""
    await tx.execute(delete(accounts).where(accounts.c.instance_id == instance_id))


def _row(account: Account) -> dict[str, Any]:
    return {
        "id": account.id,
        "instance_id": account.instance_id,
        "name": account.name,
        "role": account.role.value,
        "password_hash": account.password_hash,
        "status": account.status.value,
        "description": account.description,
        "created_at": to_ms(account.created_at),
        "password_failures": account.password_state.failures,
        "password_locked_until": to_ms(account.password_state.locked_until),
    }


def _account(row: Any) -> Account:
    return Account(
        id=row["id"],
        instance_id=row["instance_id"],
        name=row["name"],
        role=AccountRole(row["role"]),
        password_hash=row["password_hash"],
        status=AccountStatus(row["status"]),
        description=row["description"],
        created_at=from_ms(row["created_at"]),
        password_state=PasswordState(row["password_failures"], from_ms(row["password_locked_until"])),
    )
