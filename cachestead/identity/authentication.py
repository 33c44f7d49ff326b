"""From a request to its caller: by token or by signature.

Every request passes here, and what the records say at that moment counts: a disabled user or key, a new password,
a group's new role take effect at once. Where only this process writes, looks are remembered until something is
written.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from cachestead.domain.policies import parse_policy
from cachestead.domain.roles import Grant, Permissions, Role
from cachestead.errors import InvalidToken, NoToken, ProjectMismatch
from cachestead.identity import signatures
from cachestead.identity.callers import Caller
from cachestead.identity.passwords import password_stamp
from cachestead.identity.secrets import Vault
from cachestead.identity.system_roles import find_system_role, system_roles
from cachestead.identity.temporary_keys import TemporaryKey, TemporaryKeys
from cachestead.identity.tokens import Token, Tokens
from cachestead.settings import IdentitySettings
from cachestead.store import groups, remembered
from cachestead.store import identity as records
from cachestead.store.database import Database, Tx


@dataclass(frozen=True, slots=True)
class Account:
    """A user with everything that a request may need to know about it."""

    user: records.User
    domain: records.Domain
    projects: tuple[records.Project, ...]
    granted: tuple[tuple[Grant, Role], ...] = ()
    """What it has through its groups."""

    def caller(self, project: records.Project | None, until: int | None = None) -> Caller:
        """The user at work on this project, or on the domain, with credentials that end then."""
        return Caller(
            user_id=self.user.id,
            user_name=self.user.name,
            domain_id=self.domain.id,
            domain_name=self.domain.name,
            project_id=project.id if project else None,
            project_name=project.name if project else None,
            permissions=Permissions(self._roles(None), self._roles(project.id if project else None)),
            until=until,
        )

    def _roles(self, project_id: str | None) -> tuple[Role, ...]:
        own = (find_system_role(name) for name in self.user.roles)
        granted = (role for grant, role in self.granted if grant.is_in_force(project_id))
        return tuple({role.id: role for role in (*own, *granted) if role is not None}.values())

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
    granted = []
    for grant, custom in await groups.list_grants_of_user(tx, user.id):
        role = custom or system_roles().get(grant.role_id)
        if role is not None:
            granted.append((grant, role))
    return Account(user, domain, tuple(await records.list_projects(tx, domain.id)), tuple(granted))


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
        self.temporary_keys = TemporaryKeys(vault, clock)
        self.region = region
        self.settings = settings
        self.vault = vault
        self.clock = clock
        self._database = database
        self._holders: remembered.Remembered[_KeyHolder | None] = remembered.Remembered(database)
        self._accounts: remembered.Remembered[Account | None] = remembered.Remembered(database)

    async def authenticate(
        self, method: str, raw_path: bytes, query: bytes, headers: signatures.Headers, body: bytes | None
    ) -> Caller:
        """The caller; raises a `ServiceError` with status 401 for anything less.

        Without a body (None) the hash that was declared of it is believed.
        """
        found = {name: value.decode("latin-1") for name, value in headers if name in _CREDENTIALS}
        if token := found.get(b"x-auth-token"):
            return await self.authenticate_token(token)
        authorization = found.get(b"authorization")
        if not authorization:
            raise NoToken
        claim = signatures.parse_authorization(authorization)
        security_token = found.get(b"x-security-token")
        temporary = self.temporary_keys.read(security_token) if security_token else None
        if temporary is not None and temporary.access_key != claim.access_key:
            raise signatures.refusal(detail="The security token belongs to another access key.")
        holder = await (self._permanent(claim.access_key) if temporary is None else self._temporary(temporary))
        if holder is None:
            raise signatures.refusal(f"ak {claim.access_key} not exist")
        request = signatures.SignedRequest(method, raw_path, query, headers, body)
        skew = self.settings.clock_skew_seconds
        signatures.verify(claim, request, holder.secret_key, self.clock(), skew)
        if not (holder.enabled and holder.account.user.enabled):
            raise signatures.refusal(detail="The access key or its user is disabled.")
        project = self._chosen_project(holder.account, found.get(b"x-project-id", "").strip())
        return _signed_by(holder.account.caller(project), claim.access_key, temporary)

    async def authenticate_token(self, text: str) -> Caller:
        """The caller that a token stands for; raises `InvalidToken` or `TokenExpired`."""
        _token, caller = await self.read_token(text)
        return caller

    async def read_token(self, text: str) -> tuple[Token, Caller]:
        """A valid token and the caller it stands for now."""
        token = self.tokens.verify(text)
        account = await self.find_account(token.user_id)
        if (
            account is None
            or not account.user.enabled
            or password_stamp(account.user.password_hash) != token.stamp
        ):
            raise InvalidToken
        if token.project_id is None:
            return token, account.caller(None, token.expires_at)
        project = account.find_project(token.project_id)
        if project is None:
            raise InvalidToken
        return token, account.caller(project, token.expires_at)

    async def find_account(self, user_id: str) -> Account | None:
        """The account of a user as it is now."""

        async def look() -> Account | None:
            async with self._database.reading() as tx:
                return await find_account(tx, await records.find_user(tx, user_id))

        return await self._accounts.get(user_id, look)

    def _chosen_project(self, account: Account, project_id: str) -> records.Project | None:
        if not project_id:
            return account.default_project(self.region)
        project = account.find_project(project_id)
        if project is None:
            raise ProjectMismatch
        return project

    async def _permanent(self, access_key: str) -> _KeyHolder | None:
        async def look() -> _KeyHolder | None:
            async with self._database.reading() as tx:
                key = await records.find_access_key(tx, access_key)
                if key is None:
                    return None
                account = await find_account(tx, await records.find_user(tx, key.user_id))
            if account is None:
                return None
            return _KeyHolder(account, key.enabled, self.vault.open(key.secret)["secret_key"])

        return await self._holders.get(access_key, look)

    async def _temporary(self, key: TemporaryKey) -> _KeyHolder | None:
        account = await self.find_account(key.user_id)
        if account is None or password_stamp(account.user.password_hash) != key.stamp:
            return None
        parent = await self._permanent(key.parent) if key.parent else None
        enabled = key.parent is None or (parent is not None and parent.enabled)
        return _KeyHolder(account, enabled, key.secret_key)


_CREDENTIALS = frozenset({b"x-auth-token", b"authorization", b"x-project-id", b"x-security-token"})


def _signed_by(caller: Caller, access_key: str, temporary: TemporaryKey | None) -> Caller:
    if temporary is None:
        return replace(caller, access_key=access_key)
    limits = None if temporary.limits is None else parse_policy(temporary.limits)
    return replace(caller, access_key=access_key, is_temporary=True, limits=limits, until=temporary.expires_at)
