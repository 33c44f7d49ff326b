"""Where replies are awaited.

A request on its way is a tuple of where its reply goes (a batch and a place in it), what it is, and its bytes. All
kinds of batch look the same to those who bring replies: they set `results[index]`, count `left` down, and call
`done` when nothing is left. So a client's replies leave in its own order, however shards answer, and several
requests cost one write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from cachestead.proxy.commands import Command


class Batch(Protocol):
    """Some requests that are answered together."""

    at: float
    """When they came, on the loop's clock."""
    left: int
    results: list[bytes]

    def done(self) -> None:
        """Every result is there."""

    def lost(self) -> None:
        """A write was lost on its way: nobody knows whether it was done. Its result will not come."""

    def sink(self, index: int) -> Sink | None:
        """Who takes a large reply in pieces; None if it has to come in one."""


Sink = Callable[[bytes, "Flow"], None]


class Flow(Protocol):
    """A stream that can be held up while its reader is slow."""

    def hold(self) -> None:
        """Bring nothing more for now."""

    def go_on(self) -> None:
        """Bring what is next."""


Entry = tuple[Batch, int, Command, bytes]
"""A request on its way."""


def put(entry: Entry, reply: bytes) -> None:
    """The reply of a request is there."""
    batch = entry[0]
    batch.results[entry[1]] = reply
    batch.left -= 1
    if not batch.left:
        batch.done()


class Gathering:
    """Parts of one request; what they answer is merged into its own result."""

    __slots__ = ("at", "into", "left", "merge", "results")

    def __init__(self, into: Entry, parts: int, merge: Callable[[list[bytes]], bytes]) -> None:
        self.at, self.into, self.left, self.merge = into[0].at, into, parts, merge
        self.results: list[bytes] = [b""] * parts

    def done(self) -> None:
        """Merge."""
        put(self.into, self.merge(self.results))

    def lost(self) -> None:
        """The whole is lost with its part."""
        self.into[0].lost()

    def sink(self, index: int) -> Sink | None:
        """Parts are merged, so each has to be whole."""
        del index
        return None


class Waiting:
    """Requests that a coroutine waits for."""

    __slots__ = ("at", "future", "left", "results")

    def __init__(self, at: float, count: int) -> None:
        self.at, self.left = at, count
        self.results: list[bytes] = [b""] * count
        self.future: asyncio.Future[list[bytes]] = asyncio.get_running_loop().create_future()

    def done(self) -> None:
        """Wake who waits."""
        if not self.future.done():
            self.future.set_result(self.results)

    def lost(self) -> None:
        """Tell who waits."""
        if not self.future.done():
            self.future.set_exception(LostInFlight())

    def sink(self, index: int) -> Sink | None:
        """Who waits wants the whole."""
        del index
        return None


class Nobody:
    """Where a reply goes that nobody wants."""

    __slots__ = ("at", "left", "results")

    def __init__(self, at: float) -> None:
        self.at, self.left = at, 1
        self.results: list[bytes] = [b""]

    def done(self) -> None:
        """Nothing."""

    def lost(self) -> None:
        """Nothing."""

    def sink(self, index: int) -> None:
        """Nobody."""


class LostInFlight(Exception):
    """A connection ended while a write was on it: whether it was done is not known."""
