"""Access keys: everybody has a few of the own, and whoever may looks after those of others.

A secret key is told once, when the pair is made. It is stored sealed, because signatures are checked with it.
"""

from __future__ import annotations

import secrets
import string
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cachestead.domain.policies import PolicyMalformed, parse_policy
from cachestead.domain.users import KEYS_PER_USER
from cachestead.identity.authentication import Authenticator
from cachestead.identity.callers import Caller
from cachestead.identity.passwords import password_stamp
from cachestead.identity.refusals import bad_request, conflict, forbidden, not_found, unauthorized
from cachestead.identity.temporary_keys import TemporaryKey
from cachestead.store import identity as store
from cachestead.store.database import Database, Tx
from cachestead.store.identity import AccessKey

_LETTERS = string.ascii_uppercase + string.digits
_SECRET_LETTERS = string.ascii_letters + string.digits
SECONDS = (900, 86_400)
"""How long a temporary key may live: at least, and at most."""


async def create_access_key(
    database: Database, authenticator: Authenticator, caller: Caller, user_id: str, description: str
) -> tuple[AccessKey, str]:
    """A new pair of the user, and the secret key in clear: the only time that it is told."""
    secret = "".join(secrets.choice(_SECRET_LETTERS) for _ in range(40))
    key = AccessKey(
        # The first letter tells them from temporary ones, which begin with T.
        "P" + "".join(secrets.choice(_LETTERS) for _ in range(19)),
        user_id,
        authenticator.vault.seal({"secret_key": secret}),
        enabled=True,
        created_at=round(time.time() * 1000),
        description=description,
    )
    async with database.writing() as tx:
        if await store.lock_user(tx, caller.domain_id, user_id) is None:
            raise not_found(f"Could not find user: {user_id[:64]}.")
        if len(await store.list_access_keys(tx, user_id)) >= KEYS_PER_USER:
            raise conflict(f"A user may have {KEYS_PER_USER} access keys.")
        await store.add_access_key(tx, key)
    return key, secret


async def update_access_key(
    database: Database, caller: Caller, access_key: str, *, enabled: bool | None, description: str | None
) -> AccessKey:
    """The pair, usable or not; None leaves a thing as it is."""
    async with database.writing() as tx:
        before = await get_access_key(tx, caller, access_key)
        after = replace(
            before,
            enabled=before.enabled if enabled is None else enabled,
            description=before.description if description is None else description,
        )
        await store.save_access_key(tx, after)
    return after


async def delete_access_key(database: Database, caller: Caller, access_key: str) -> None:
    """The pair is good for nothing any more, nor are temporary ones that were made with it."""
    async with database.writing() as tx:
        key = await get_access_key(tx, caller, access_key)
        await store.remove_access_key(tx, access_key, key.user_id)


async def get_access_key(tx: Tx, caller: Caller, access_key: str) -> AccessKey:
    """A pair of a user of the caller's domain."""
    key = await store.find_access_key(tx, access_key)
    owner = await store.find_user(tx, key.user_id) if key else None
    if key is None or owner is None or owner.domain_id != caller.domain_id:
        raise not_found(f"Could not find credential: {access_key[:64]}.")
    return key


async def create_temporary_key(
    authenticator: Authenticator, caller: Caller, seconds: int, limits: Mapping[str, Any] | None
) -> tuple[TemporaryKey, str]:
    """A temporary pair of the caller and its security token.

    It ends with the token that it was asked for with, so that none lives longer through it.
    """
    if caller.is_temporary:
        raise forbidden("A temporary access key makes no other.")
    if not SECONDS[0] <= seconds <= SECONDS[1]:
        raise bad_request(f"auth.identity.token.duration_seconds: {SECONDS[0]} to {SECONDS[1]}")
    if limits is not None:
        try:
            parse_policy(limits)
        except PolicyMalformed as fault:
            raise bad_request(f"auth.identity.{fault}") from None
    account = await authenticator.find_account(caller.user_id)
    if account is None:
        raise unauthorized("The user is gone.")
    return authenticator.temporary_keys.issue(
        user_id=caller.user_id,
        stamp=password_stamp(account.user.password_hash),
        parent=caller.access_key,
        seconds=seconds,
        until=caller.until,
        limits=limits,
    )
