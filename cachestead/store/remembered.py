"""Answers that stay right until something is written.

Clients poll: they ask the same again and again while nothing changes. Where this process is the only one that
writes, it knows when that is so, and what it answered before is the answer. Elsewhere nothing is remembered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from cachestead.store.database import Database

_MOST = 256

Answer = TypeVar("Answer")


class Remembered(Generic[Answer]):
    """The newest answers by question. They are shared: nobody may change them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: dict[Hashable, Answer] = {}
        self._generation: int | None = None

    async def get(self, question: Hashable, answer: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer; looked up if anything was written since it was."""
        now = self._database.generation
        if now is None:
            return await answer()
        if now != self._generation:
            self._kept.clear()
            self._generation = now
        if question in self._kept:
            return self._kept[question]
        made = await answer()
        if self._generation == self._database.generation and len(self._kept) < _MOST:
            self._kept[question] = made
        return made
