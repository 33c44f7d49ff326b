"""Accounts: names besides `default` that clients of an instance log in as, to read only or to do what it may.

Passwords are known here by their SHA-256 hashes, as engines keep them. Reference: section 4.10 and
`service-limits` 12.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from cachestead import errors

DEFAULT = "default"
"""The account that every instance has."""
MOST = 18
"""How many an instance may have besides."""
VERSIONS = frozenset({"4.0", "5.0"})
"""Versions whose instances may have accounts, whatever their type."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_OURS = "cachestead"
"""How users of the service itself are called on nodes."""
_SPECIALS = "`~!@#$%^&*()-_=+\\|{}'\",<.>/?"


class AccountRole(StrEnum):
    """What an account may do, in the API's words."""

    READ = "read"
    WRITE = "write"


class AccountStatus(StrEnum):
    """States of an account, in the API's words."""

    CREATING = "CREATING"
    AVAILABLE = "AVAILABLE"
    UPDATING = "UPDATING"
    DELETING = "DELETING"
    DELETE_FAILED = "DELETEFAILED"
    ERROR = "ERROR"


@dataclass(frozen=True)
class PasswordState:
    """Wrong passwords in a row, and until when the password is locked."""

    failures: int = 0
    locked_until: datetime | None = None


@dataclass(frozen=True)
class Account:
    """An account as the records have it; `default` has no record."""

    id: str
    instance_id: str
    name: str
    role: AccountRole
    password_hash: str = field(repr=False)
    """SHA-256 in hexadecimal."""
    status: AccountStatus
    created_at: datetime
    description: str | None = None
    password_state: PasswordState = PasswordState()

    @property
    def is_in_force(self) -> bool:
        """Whether nodes and proxies are to know it."""
        return self.status not in (AccountStatus.DELETING, AccountStatus.ERROR)

    @property
    def is_default(self) -> bool:
        """Whether it is the one that every instance has."""
        return self.name == DEFAULT

    @property
    def reads_only(self) -> bool:
        """Whether it may not write."""
        return self.role is AccountRole.READ


def default_account_id(instance_id: str) -> str:
    """The id that the account `default` is listed under."""
    return str(uuid.uuid5(uuid.UUID(instance_id), "account/default"))


def hash_of(password: str) -> str:
    """How a password is kept: SHA-256 in hexadecimal."""
    return hashlib.sha256(password.encode()).hexdigest()


def check_version(version: str) -> None:
    """Nothing, where instances of the version may have accounts; else `EngineVersionNotSupported`."""
    if version not in VERSIONS:
        raise errors.EngineVersionNotSupported(
            f"accounts: instances of {' and '.join(sorted(VERSIONS))} have them"
        )


def check_account_name(name: str) -> str:
    """1-64 letters, digits, - and _, beginning with a letter; no user of the service itself, nor `default`."""
    if not _NAME.fullmatch(name):
        raise errors.InvalidAccount("account_name: 1-64 letters, digits, - and _, beginning with a letter")
    if name.lower() == DEFAULT or name.lower().startswith(_OURS):
        raise errors.InvalidAccount("account_name: this name is taken by the service")
    return name


def check_free(name: str, taken: Collection[str]) -> None:
    """Nothing, if the instance may have an account of this name besides those that it has.

    Raises `InvalidAccount` for a name that is taken, `QuotaLimitReached` where there are as many as there may be.
    """
    if name in taken:
        raise errors.InvalidAccount("account_name: the instance has an account of this name")
    if len(taken) >= MOST:
        raise errors.QuotaLimitReached(f"{len(taken)} of {MOST} accounts are in use")


def check_account_role(role: str) -> AccountRole:
    """`read` or `write`."""
    try:
        return AccountRole(role)
    except ValueError:
        raise errors.InvalidAccount("account_role: read or write") from None


def check_account_password(password: str, name: str, where: str = "account_password") -> str:
    """8-64 characters of at least three kinds, without a colon; not the name in either direction."""
    kinds = (
        any(c.isascii() and c.islower() for c in password),
        any(c.isascii() and c.isupper() for c in password),
        any(c.isascii() and c.isdigit() for c in password),
        any(c in _SPECIALS for c in password),
    )
    known = all(c.isascii() and (c.isalnum() or c in _SPECIALS) for c in password)
    if not 8 <= len(password) <= 64 or sum(kinds) < 3 or not known:
        raise errors.InvalidAccount(
            f"{where}: 8-64 characters with three of lower case, upper case, digits and {_SPECIALS}"
        )
    if password in (name, name[::-1]):
        raise errors.InvalidAccount(f"{where}: not the account's name, forwards or backwards")
    return password


def check_new_account_password(password: str, name: str) -> str:
    """The same where it takes the place of another one: there the name must not even be a part of it."""
    check_account_password(password, name, "new_password")
    if name in password or name[::-1] in password:
        raise errors.InvalidAccount("new_password: without the account's name, forwards or backwards")
    return password


def check_account_description(description: str | None) -> str | None:
    """Free text of at most 1024 characters."""
    if description is not None and len(description) > 1024:
        raise errors.InvalidAccount("description: at most 1024 characters")
    return description
