"""Temporary access keys: a key pair that expires by itself, with a security token that says whose it is.

Nothing is stored. The security token holds, encrypted and authenticated, everything that the service has to know,
the secret key included, and is worth nothing without that secret key. Whether the user is still there, enabled and
has the same password, and whether the permanent key that the pair was made with still is, is looked up when it is
used.
"""

from __future__ import annotations

import secrets
import string
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson
from cryptography import fernet

from cachestead.identity import signatures
from cachestead.identity.secrets import Vault

_LETTERS = string.ascii_uppercase + string.digits
_SECRET_LETTERS = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class TemporaryKey:
    """What a security token says. Times are UTC epoch milliseconds."""

    access_key: str
    secret_key: str = field(repr=False)
    user_id: str
    stamp: str
    """Mark of the user's password at the time."""
    parent: str | None
    """The permanent key that asked for it; None: a token did."""
    expires_at: int
    limits: Mapping[str, Any] | None
    """A policy beyond which it does not reach, as a document."""


class TemporaryKeys:
    """Issues temporary keys and reads their security tokens."""

    def __init__(self, vault: Vault, clock: Callable[[], float] = time.time) -> None:
        self._cipher = vault.derived("security tokens")
        self._clock = clock

    def issue(
        self,
        *,
        user_id: str,
        stamp: str,
        parent: str | None,
        seconds: int,
        until: int | None,
        limits: Mapping[str, Any] | None,
    ) -> tuple[TemporaryKey, str]:
        """A new pair and its security token; it ends at `until` if that is earlier."""
        ends = round(self._clock() * 1000) + seconds * 1000
        key = TemporaryKey(
            access_key="T" + "".join(secrets.choice(_LETTERS) for _ in range(19)),
            secret_key="".join(secrets.choice(_SECRET_LETTERS) for _ in range(40)),
            user_id=user_id,
            stamp=stamp,
            parent=parent,
            expires_at=ends if until is None else min(ends, until),
            limits=limits,
        )
        return key, self._cipher.encrypt(orjson.dumps(asdict(key))).decode()

    def read(self, security_token: str) -> TemporaryKey:
        """What a security token says; raises `IncorrectAuthentication` for one that is not good any more."""
        try:
            key = TemporaryKey(**orjson.loads(self._cipher.decrypt(security_token.encode())))
        except (fernet.InvalidToken, ValueError, TypeError):
            raise signatures.refusal(detail="The security token is invalid.") from None
        if key.expires_at <= self._clock() * 1000:
            raise signatures.refusal(detail="The security token has expired.")
        return key
