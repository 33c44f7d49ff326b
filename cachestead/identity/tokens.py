"""Tokens: what a user gets for a password and sends back as `X-Auth-Token`.

A token is an encrypted, authenticated note of who signed in, for which project or domain, and until when. Nothing
is stored; whether the user still exists, is enabled and has the same password is looked up when the token is used.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import orjson
from cryptography import fernet

from cachestead.errors import InvalidToken, TokenExpired
from cachestead.identity.secrets import Vault


@dataclass(frozen=True, slots=True)
class Token:
    """What a token says. Times are UTC epoch milliseconds."""

    user_id: str
    domain_id: str
    project_id: str | None
    """None: the token is for the domain as a whole."""
    methods: tuple[str, ...]
    issued_at: int
    expires_at: int
    stamp: str
    """Mark of the password it was issued for."""


class Tokens:
    """Issues tokens and reads them."""

    def __init__(self, vault: Vault, hours: float, clock: Callable[[], float] = time.time) -> None:
        self._cipher = vault.derived("tokens")
        self._life_ms = round(hours * 3_600_000)
        self._clock = clock

    def new(
        self, *, user_id: str, domain_id: str, project_id: str | None, methods: tuple[str, ...], stamp: str
    ) -> Token:
        """A token that begins now."""
        now = self._now()
        return Token(user_id, domain_id, project_id, methods, now, now + self._life_ms, stamp)

    def issue(self, token: Token) -> str:
        """The text that the caller keeps."""
        note = {
            "u": token.user_id,
            "d": token.domain_id,
            "p": token.project_id,
            "m": token.methods,
            "i": token.issued_at,
            "e": token.expires_at,
            "s": token.stamp,
        }
        return self._cipher.encrypt(orjson.dumps(note)).decode()

    def verify(self, text: str) -> Token:
        """What the token says; raises `InvalidToken` or `TokenExpired`."""
        try:
            note = orjson.loads(self._cipher.decrypt(text.encode()))
            token = Token(note["u"], note["d"], note["p"], tuple(note["m"]), note["i"], note["e"], note["s"])
        except (fernet.InvalidToken, ValueError, KeyError):
            raise InvalidToken from None
        if token.expires_at <= self._now():
            raise TokenExpired
        return token

    def _now(self) -> int:
        return round(self._clock() * 1000)
