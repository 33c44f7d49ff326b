"""Users of a domain: made, changed and removed by whoever may; everybody changes the own password.

The administrator that the settings name is theirs: the next start would undo what is changed here.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from cachestead.domain.users import find_email_fault, find_name_fault, find_password_fault
from cachestead.identity.callers import Caller
from cachestead.identity.passwords import hash_password
from cachestead.identity.refusals import bad_request, conflict, forbidden, not_found
from cachestead.identity.sign_in import SignIn
from cachestead.store import identity as store
from cachestead.store.database import Database, Tx
from cachestead.store.identity import NameTaken, User


@dataclass(frozen=True, slots=True)
class UserChanges:
    """What a user is to be; None leaves a thing as it is."""

    name: str | None = None
    password: str | None = field(default=None, repr=False)
    enabled: bool | None = None
    profile: Mapping[str, Any] = field(default_factory=dict)


async def create_user(database: Database, caller: Caller, wanted: UserChanges) -> User:
    """A new user, who may do nothing until it is in a group that has a role."""
    now = _now()
    user = User(uuid.uuid4().hex, caller.domain_id, wanted.name or "", "", enabled=True, roles=(), created_at=now)
    _check(user, wanted)
    # Without a password it signs requests only: no text has this hash.
    hashed = await asyncio.to_thread(hash_password, wanted.password or uuid.uuid4().hex + uuid.uuid4().hex)
    user = replace(_changed(user, wanted), password_hash=hashed, password_changed_at=now)
    try:
        async with database.writing() as tx:
            await store.add_user(tx, user)
    except NameTaken:
        raise _name_taken(user.name) from None
    return user


async def update_user(database: Database, caller: Caller, user_id: str, wanted: UserChanges) -> User:
    """The user as it is then. A new password ends its tokens and its temporary keys, and unlocks it."""
    hashed = await asyncio.to_thread(hash_password, wanted.password) if wanted.password else None
    try:
        async with database.writing() as tx:
            before = await _lock(tx, caller, user_id)
            touched = (wanted.name, wanted.password, wanted.enabled)
            if before.is_administrator and any(one is not None for one in touched):
                raise forbidden("Name, password and state of the administrator are those of the settings.")
            _check(before, wanted)
            after = _changed(before, wanted)
            if hashed is not None:
                after = _with_password(after, hashed)
            await store.save_user(tx, after)
    except NameTaken:
        raise _name_taken(wanted.name or "") from None
    return after


async def change_own_password(
    database: Database, sign_in: SignIn, caller: Caller, user_id: str, old: str, new: str
) -> None:
    """The caller's password is another; tokens that it got for the old one end."""
    if user_id != caller.user_id:
        raise forbidden("Only the user itself changes its password with the old one.")
    async with database.reading() as tx:
        user = await store.find_user(tx, user_id)
    if user is None or not await sign_in.is_password(old, user):
        raise bad_request("The original password is wrong.")
    if user.is_administrator:
        raise forbidden("The password of the administrator is that of the settings.")
    if old == new:
        raise bad_request("user.password: another one than before")
    _check(user, UserChanges(password=new))
    hashed = await asyncio.to_thread(hash_password, new)
    async with database.writing() as tx:
        found = await _lock(tx, caller, user_id)
        if found.password_hash != user.password_hash:
            raise conflict("The password was changed in the meantime.")
        profile = {**found.profile, "pwd_status": False}
        await store.save_user(tx, replace(_with_password(found, hashed), profile=profile))


async def delete_user(database: Database, caller: Caller, user_id: str) -> None:
    """The user is gone, with its access keys, its memberships and everything it was signed in with."""
    if user_id == caller.user_id:
        raise forbidden("Nobody deletes the user that is in use.")
    async with database.writing() as tx:
        user = await _lock(tx, caller, user_id)
        if user.is_administrator:
            raise forbidden("The administrator is named by the settings.")
        await store.remove_user(tx, user_id)


async def get_user(database: Database, caller: Caller, user_id: str) -> User:
    """A user of the caller's domain."""
    async with database.reading() as tx:
        user = await store.find_user(tx, user_id)
    if user is None or user.domain_id != caller.domain_id:
        raise not_found(f"Could not find user: {user_id[:64]}.")
    return user


async def _lock(tx: Tx, caller: Caller, user_id: str) -> User:
    user = await store.lock_user(tx, caller.domain_id, user_id)
    if user is None:
        raise not_found(f"Could not find user: {user_id[:64]}.")
    return user


def _check(user: User, wanted: UserChanges) -> None:
    name = user.name if wanted.name is None else wanted.name
    faults = {
        "name": find_name_fault(name) if wanted.name is not None else None,
        "password": find_password_fault(wanted.password, name) if wanted.password is not None else None,
        "email": find_email_fault(str(wanted.profile.get("email") or "")),
    }
    for place, fault in faults.items():
        if fault:
            raise bad_request(f"user.{place}: {fault}")


def _changed(user: User, wanted: UserChanges) -> User:
    return replace(
        user,
        name=user.name if wanted.name is None else wanted.name,
        enabled=user.enabled if wanted.enabled is None else wanted.enabled,
        profile={**user.profile, **wanted.profile},
    )


def _with_password(user: User, hashed: str) -> User:
    return replace(
        user, password_hash=hashed, password_changed_at=_now(), failures=0, failed_at=None, locked_until=None
    )


def _name_taken(name: str) -> Exception:
    return conflict(f"A user named {name[:64]} is there already.")


def _now() -> int:
    return round(time.time() * 1000)
