"""Access keys, permanent and temporary. Everybody has a few of the own."""

from __future__ import annotations

from typing import Any

from fastapi import Request

from cachestead.api.access import SignedIn, check_own_access
from cachestead.api.iam import answers
from cachestead.api.iam.requests import ChangedCredentialBody, NewCredentialBody, TemporaryKeyBody
from cachestead.api.iam.room import Room, answers_at, new_router
from cachestead.errors import InvalidToken, TokenExpired
from cachestead.identity.refusals import bad_request, unauthorized
from cachestead.operations import access_keys as operations
from cachestead.operations import users as user_operations
from cachestead.store import identity as store

router = new_router()

_ALL = "/v3.0/OS-CREDENTIAL/credentials"
_ONE = "/v3.0/OS-CREDENTIAL/credentials/{access_key}"


@answers_at(router, _ALL, "GET")
async def list_permanent_access_keys(
    caller: SignedIn, request: Request, room: Room, user_id: str | None = None
) -> dict[str, Any]:
    """The access keys of a user, of oneself if none is named."""
    owner = user_id or caller.user_id
    await check_own_access(request, caller, owner, "iam:credentials:listCredentials")
    await user_operations.get_user(room.database, caller, owner)
    async with room.database.reading() as tx:
        keys = await store.list_access_keys(tx, owner)
    return {"credentials": [answers.render_access_key(key) for key in keys]}


@answers_at(router, _ALL, "POST", status=201)
async def create_permanent_access_key(
    body: NewCredentialBody, caller: SignedIn, request: Request, room: Room
) -> dict[str, Any]:
    """Make an access key. Its secret key is in this answer and in no other."""
    given = body.credential
    await check_own_access(request, caller, given.user_id, "iam:credentials:createCredential")
    key, secret = await operations.create_access_key(
        room.database, room.authenticator, caller, given.user_id, given.description or ""
    )
    return {"credential": answers.render_access_key(key, secret)}


@answers_at(router, _ONE, "GET")
async def show_permanent_access_key(
    access_key: str, caller: SignedIn, request: Request, room: Room
) -> dict[str, Any]:
    """One access key, without its secret."""
    await _check(request, caller, room, access_key, "iam:credentials:getCredential")
    async with room.database.reading() as tx:
        key = await operations.get_access_key(tx, caller, access_key)
    return {"credential": answers.render_access_key(key)}


@answers_at(router, _ONE, "PUT")
async def update_permanent_access_key(
    access_key: str, body: ChangedCredentialBody, caller: SignedIn, request: Request, room: Room
) -> dict[str, Any]:
    """Disable or enable an access key, or describe it."""
    await _check(request, caller, room, access_key, "iam:credentials:updateCredential")
    given = body.credential
    enabled = None if given.status is None else given.status == "active"
    key = await operations.update_access_key(
        room.database, caller, access_key, enabled=enabled, description=given.description
    )
    return {"credential": answers.render_access_key(key)}


@answers_at(router, _ONE, "DELETE", status=204)
async def delete_permanent_access_key(access_key: str, caller: SignedIn, request: Request, room: Room) -> None:
    """Remove an access key; requests that it signs are refused at once."""
    await _check(request, caller, room, access_key, "iam:credentials:deleteCredential")
    await operations.delete_access_key(room.database, caller, access_key)


@answers_at(router, "/v3.0/OS-CREDENTIAL/securitytokens", "POST", status=201)
async def create_temporary_access_key(body: TemporaryKeyBody, caller: SignedIn, room: Room) -> dict[str, Any]:
    """Make an access key that expires, for `duration_seconds` (900), with the security token that goes with it."""
    given = body.auth.identity
    if given.methods != ["token"]:
        raise bad_request("auth.identity.methods: token; there are no agencies here")
    life = given.token
    asking = caller
    if life is not None and life.id is not None:
        try:
            asking = await room.authenticator.authenticate_token(life.id.get_secret_value())
        except (InvalidToken, TokenExpired) as refused:
            raise unauthorized(refused.sentence) from None
        if asking.user_id != caller.user_id:
            raise unauthorized("The token is another user's.")
    seconds = life.duration_seconds if life is not None and life.duration_seconds is not None else 900
    key, security_token = await operations.create_temporary_key(room.authenticator, asking, seconds, given.policy)
    return {
        "credential": {
            "access": key.access_key,
            "secret": key.secret_key,
            "securitytoken": security_token,
            "expires_at": answers.render_time(key.expires_at),
        }
    }


async def _check(request: Request, caller: SignedIn, room: Room, access_key: str, action: str) -> None:
    """The caller may, or the key is its own."""
    async with room.database.reading() as tx:
        key = await store.find_access_key(tx, access_key)
    await check_own_access(request, caller, key.user_id if key else "", action)
