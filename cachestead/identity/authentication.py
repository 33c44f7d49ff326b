"""From a request to its caller: by token or by signature.

Every request passes here, so what the records say about a user is remembered for a few seconds: a disabled user or
key, or a new password, takes effect within `REMEMBER_SECONDS`. Secret keys stay in memory for that long only.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from cachestead.errors import InvalidToken, NoToken, ProjectMismatch
from cachestead.identity import signatures
from cachestead.identity.callers import Caller
from cachestead.identity.passwords import password_stamp
from cachestead.identity.secrets import Vault
from cachestead.identity.tokens import Token, Tokens
from cachestead.settings import IdentitySettings
from cachestead.store import identity as records
from cachestead.store.database import Database, Tx

T = TypeVar("T")

REMEMBER_SECONDS = 3.0
"""How long a look at the records is good for."""
_REMEMBER_AT_MOST = 1024


@dataclass(frozen=True, slots=True)
class Account:
    """A user with everything that a request may need to know about it."""

    user: records.User
    domain: records.Domain
    projects: tuple[records.Project, ...]

    def caller(self, project: records.Project | None) -> Caller:
        """The user at work on this project, or on the domain."""
        return Caller(
            user_id=self.user.id,
            user_name=self.user.name,
            domain_id=self.domain.id,
            domain_name=self.domain.name,
            project_id=project.id if project else None,
            project_name=project.name if project else None,
            roles=self.user.roles,
        )

    def find_project(self, project_id: str) -> records.Project | None:
        """The domain's project with this id."""
        return next((project for project in self.projects if project.id == project_id), None)

    def default_project(self, region: str) -> records.Project | None:
        """The project named as the region, which is the one that clients mean without saying."""
        return next((project for project in self.projects if project.name == region), None)


@dataclass(frozen=True, slots=True)
class _KeyHolder:
    account: Account
    enabled: bool
    secret_key: str = field(repr=False)


async def find_account(tx: Tx, user: records.User | None) -> Account | None:
    """The account of a user."""
    if user is None:
        return None
    domain = await records.find_domain(tx, user.domain_id)
    if domain is None:
        return None
    return Account(user, domain, tuple(await records.list_projects(tx, domain.id)))


class Authenticator:
    """Tells who sent a request."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        settings: IdentitySettings,
        region: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.tokens = Tokens(vault, settings.token_hours, clock)
        self.region = region
        self._database = database
        self._vault = vault
        self._skew = settings.clock_skew_seconds
        self._clock = clock
        self._holders: _Remembered[_KeyHolder] = _Remembered()
        self._accounts: _Remembered[Account] = _Remembered()

    async def authenticate(
        self, method: str, raw_path: bytes, query: bytes, headers: signatures.Headers, body: bytes | None
    ) -> Caller:
        """The caller; raises a `ServiceError` with status 401 for anything less.

        Without a body (None) the hash that was declared of it is believed.
        """
        token = authorization = project_id = b""
        for name, value in headers:
            if name == b"x-auth-token":
                token = value
            elif name == b"authorization":
                authorization = value
            elif name == b"x-project-id":
                project_id = value
        if token:
            return await self.authenticate_token(token.decode("latin-1"))
        if not authorization:
            raise NoToken
        claim = signatures.parse_authorization(authorization.decode("latin-1"))
        holder = await self._holder(claim.access_key)
        if holder is None:
            raise signatures.refusal(f"ak {claim.access_key} not exist")
        request = signatures.SignedRequest(method, raw_path, query, headers, body)
        signatures.verify(claim, request, holder.secret_key, self._clock(), self._skew)
        if not (holder.enabled and holder.account.user.enabled):
            raise signatures.refusal(detail="The access key or its user is disabled.")
        return holder.account.caller(self._chosen_project(holder.account, project_id.decode("latin-1").strip()))

    async def authenticate_token(self, text: str) -> Caller:
        """The caller that a token stands for; raises `InvalidToken` or `TokenExpired`."""
        _token, caller = await self.read_token(text)
        return caller

    async def read_token(self, text: str) -> tuple[Token, Caller]:
        """A valid token and the caller it stands for now."""
        token = self.tokens.verify(text)
        account = await self._account(token.user_id)
        if (
            account is None
            or not account.user.enabled
            or password_stamp(account.user.password_hash) != token.stamp
        ):
            raise InvalidToken
        if token.project_id is None:
            return token, account.caller(None)
        project = account.find_project(token.project_id)
        if project is None:
            raise InvalidToken
        return token, account.caller(project)

    def _chosen_project(self, account: Account, project_id: str) -> records.Project | None:
        if not project_id:
            return account.default_project(self.region)
        project = account.find_project(project_id)
        if project is None:
            raise ProjectMismatch
        return project

    async def _holder(self, access_key: str) -> _KeyHolder | None:
        holder = self._holders.recall(access_key)
        if holder is not None:
            return holder
        async with self._database.reading() as tx:
            key = await records.find_access_key(tx, access_key)
            if key is None:
                return None
            account = await find_account(tx, await records.find_user(tx, key.user_id))
        if account is None:
            return None
        holder = _KeyHolder(account, key.enabled, self._vault.open(key.secret)["secret_key"])
        self._holders.remember(access_key, holder)
        return holder

    async def _account(self, user_id: str) -> Account | None:
        account = self._accounts.recall(user_id)
        if account is not None:
            return account
        async with self._database.reading() as tx:
            account = await find_account(tx, await records.find_user(tx, user_id))
        if account is not None:
            self._accounts.remember(user_id, account)
        return account


class _Remembered(Generic[T]):
    """A few values, each for a few seconds."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[float, T]] = {}

    def recall(self, key: str) -> T | None:
        found = self._values.get(key)
        if found is None:
            return None
        until, value = found
        if until < time.monotonic():
            del self._values[key]
            return None
        return value

    def remember(self, key: str, value: T) -> None:
        if len(self._values) >= _REMEMBER_AT_MOST:
            del self._values[next(iter(self._values))]
        self._values[key] = (time.monotonic() + REMEMBER_SECONDS, value)
