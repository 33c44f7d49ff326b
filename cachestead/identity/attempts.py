"""How often somebody may try: wrong passwords lock a user, refused sign-ins hold an address off.

A locked user is refused in the words and at the cost of a wrong password, whatever the password: who tries learns
neither that there is such a user nor when the guess was right.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import replace

from cachestead.settings import IdentitySettings
from cachestead.store.identity import User

_WINDOW_SECONDS = 60.0
_MOST_ADDRESSES = 10_000


def is_locked(user: User, now: int) -> bool:
    """Whether the user may not sign in with a password at this time (UTC epoch milliseconds)."""
    return user.locked_until is not None and user.locked_until > now


def count_failure(user: User, settings: IdentitySettings, now: int) -> User:
    """The user after one more wrong password."""
    if settings.lockout_attempts == 0 or is_locked(user, now):
        return user
    life = round(settings.lockout_minutes * 60_000)
    is_in_a_row = user.failed_at is not None and now - user.failed_at < life
    failures = user.failures + 1 if is_in_a_row else 1
    locked_until = now + life if failures >= settings.lockout_attempts else None
    return replace(user, failures=failures, failed_at=now, locked_until=locked_until)


def forgive(user: User) -> User:
    """The user after a right password."""
    return replace(user, failures=0, failed_at=None, locked_until=None)


class Addresses:
    """Refused sign-ins of the last minute, by the address they came from."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._refused: dict[str, deque[float]] = {}

    def is_held_off(self, address: str) -> bool:
        """Whether there were too many."""
        refused = self._refused.get(address)
        if refused is None:
            return False
        while refused and refused[0] < time.monotonic() - _WINDOW_SECONDS:
            refused.popleft()
        if not refused:
            del self._refused[address]
        return len(refused) >= self._most

    def count(self, address: str) -> None:
        """One more."""
        if address not in self._refused and len(self._refused) >= _MOST_ADDRESSES:
            del self._refused[next(iter(self._refused))]
        self._refused.setdefault(address, deque(maxlen=self._most)).append(time.monotonic())
