"""Keys that were written a moment ago, which replicas may not have yet.

Who reads one of them through the same proxy is served by the master: a client finds what it wrote, and what others
wrote through this proxy before. What came through another proxy is seen when the replica has it. Only hashes are
kept: two keys with the same one are both read from the master, which is never wrong.
"""

from __future__ import annotations

from collections.abc import Iterable


class RecentKeys:
    """Two generations of hashes: what was written since the last turn, and since the one before."""

    __slots__ = ("before", "is_everything", "now")

    def __init__(self) -> None:
        self.now: set[int] = set()
        self.before: set[int] = set()
        self.is_everything = 0
        """For how many turns everything counts as written."""

    def add(self, keys: Iterable[bytes]) -> None:
        """These are written now."""
        self.now.update(map(hash, keys))

    def add_everything(self) -> None:
        """No key is what it was."""
        self.is_everything = 2

    def has_any(self, keys: Iterable[bytes]) -> bool:
        """Whether one of them was written."""
        hashes = set(map(hash, keys))
        return bool(self.is_everything) or not (self.now.isdisjoint(hashes) and self.before.isdisjoint(hashes))

    def turn(self) -> None:
        """Time has passed: forget what was written before the last turn."""
        self.now, self.before = set(), self.now
        self.is_everything = max(self.is_everything - 1, 0)
