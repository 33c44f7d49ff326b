"""Signing in: a password, or a token that is still good, becomes a token for a project or a domain.

A wrong name, a wrong password, a disabled and a locked user are one and the same refusal and cost the same.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace

from cachestead.identity.attempts import Addresses, count_failure, forgive, is_locked
from cachestead.identity.authentication import Account, Authenticator, find_account
from cachestead.identity.callers import Caller
from cachestead.identity.passwords import is_password, password_stamp
from cachestead.identity.tokens import Token
from cachestead.store import identity as records
from cachestead.store.database import Database, Tx


class SignInRefused(Exception):
    """The credentials are wrong, or do not reach the scope that was asked for."""

    def __init__(self, sentence: str, account: Account | None = None) -> None:
        super().__init__(sentence)
        self.account = account
        """Whose they were to be, for the audit trail."""


class TooManySignIns(Exception):
    """Too many were refused to this address."""


_REFUSAL_SECONDS = 0.25
"""The least time that a refusal takes."""
_WRONG = "The username or password is wrong."


@dataclass(frozen=True, slots=True)
class Reference:
    """Something named by its id or its name."""

    id: str | None = None
    name: str | None = None

    def fits(self, thing: records.Domain | records.Project) -> bool:
        """Whether this is the thing that is meant; a reference that says nothing fits everything."""
        return self.id in {None, thing.id} and self.name in {None, thing.name}


@dataclass(frozen=True, slots=True)
class Password:
    """A user, by id or by name and domain, and its password."""

    user: Reference
    domain: Reference
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class EarlierToken:
    """A token to be exchanged for one of another scope."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ProjectScope:
    """The token is to be for this project; one that says nothing is the region's."""

    project: Reference = Reference()
    domain: Reference = Reference()


@dataclass(frozen=True, slots=True)
class DomainScope:
    """The token is to be for the domain as a whole."""

    domain: Reference


@dataclass(frozen=True, slots=True)
class Grant:
    """A new token: its text, what it says, and the caller it stands for."""

    text: str = field(repr=False)
    token: Token
    caller: Caller


class SignIn:
    """Issues tokens."""

    def __init__(self, database: Database, authenticator: Authenticator) -> None:
        self._database = database
        self._authenticator = authenticator
        # Hashing is slow on purpose; more than two at once would take the machine from everybody else.
        self._hashing = asyncio.Semaphore(2)
        self._addresses = Addresses(authenticator.settings.failures_per_minute)

    async def sign_in(
        self, proof: Password | EarlierToken, scope: ProjectScope | DomainScope, address: str = ""
    ) -> Grant:
        """A token for whoever asks from this address.

        Raises `SignInRefused` and `TooManySignIns`, or `InvalidToken` and `TokenExpired` for an earlier token.
        """
        if self._addresses.is_held_off(address):
            raise TooManySignIns
        earliest = time.monotonic() + _REFUSAL_SECONDS
        try:
            return await self._sign_in(proof, scope)
        except SignInRefused:
            self._addresses.count(address)
            # A failure of somebody is written down, one of nobody is not: the time must not tell which it was.
            await asyncio.sleep(earliest - time.monotonic())
            raise

    async def _sign_in(self, proof: Password | EarlierToken, scope: ProjectScope | DomainScope) -> Grant:
        earlier = None
        if isinstance(proof, Password):
            account = await self._check_password(proof)
        else:
            earlier, caller = await self._authenticator.read_token(proof.text)
            account = await self._account(caller.user_id)
        project = self._scoped_project(account, scope)
        tokens = self._authenticator.tokens
        token = tokens.new(
            user_id=account.user.id,
            domain_id=account.domain.id,
            project_id=project.id if project else None,
            methods=("password",),
            stamp=password_stamp(account.user.password_hash),
        )
        if earlier is not None:
            # An exchange must not lengthen a life.
            token = replace(token, methods=("token", *earlier.methods[-1:]), expires_at=earlier.expires_at)
        return Grant(tokens.issue(token), token, account.caller(project))

    async def _check_password(self, proof: Password) -> Account:
        async with self._database.reading() as tx:
            account = await find_account(tx, await _find_user(tx, proof))
        right = await self.is_password(proof.password, account.user if account else None)
        if account is None:
            raise SignInRefused(_WRONG)
        if not right or not account.user.enabled:
            raise SignInRefused(_WRONG, account)
        return account

    async def is_password(self, password: str, user: records.User | None) -> bool:
        """Whether it is the user's, who may be nobody. A wrong one counts; of a locked user every one is wrong."""
        async with self._hashing:
            right = await asyncio.to_thread(is_password, password, user.password_hash if user else None)
        if user is None:
            return False
        # What was counted while this one was looked at counts, too: guesses at once are not more guesses.
        async with self._database.reading() as tx:
            found = await records.find_user(tx, user.id)
        if right and found is not None and found == forgive(found):
            return True
        async with self._database.writing() as tx:
            now = round(self._authenticator.clock() * 1000)
            found = await records.lock_user(tx, user.domain_id, user.id)
            if found is None or is_locked(found, now):
                return False
            await records.save_user(
                tx, forgive(found) if right else count_failure(found, self._authenticator.settings, now)
            )
        return right

    async def _account(self, user_id: str) -> Account:
        async with self._database.reading() as tx:
            account = await find_account(tx, await records.find_user(tx, user_id))
        if account is None:
            raise SignInRefused(_WRONG)
        return account

    def _scoped_project(self, account: Account, scope: ProjectScope | DomainScope) -> records.Project | None:
        if not scope.domain.fits(account.domain):
            raise SignInRefused("The user does not belong to the domain that the token was asked for.", account)
        if isinstance(scope, DomainScope):
            return None
        if scope == ProjectScope():
            return account.default_project(self._authenticator.region)
        project = next((project for project in account.projects if scope.project.fits(project)), None)
        if project is None:
            raise SignInRefused("The user has no access to the project that the token was asked for.", account)
        return project


async def _find_user(tx: Tx, proof: Password) -> records.User | None:
    if proof.user.id is not None:
        user = await records.find_user(tx, proof.user.id)
        return user if user and proof.user.name in {None, user.name} else None
    if proof.domain.id is not None:
        domain = await records.find_domain(tx, proof.domain.id)
    else:
        domain = await records.find_domain_named(tx, proof.domain.name or "")
    if domain is None or not proof.domain.fits(domain):
        return None
    return await records.find_user_named(tx, domain.id, proof.user.name or "")
