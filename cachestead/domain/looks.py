"""What monitoring sees of a node or a proxy: one look, and the span between two.

Counters run since a process started. A span tells how far they came between two looks and never goes backwards: of
a process that was started in between, everything it has counted so far belongs to the span.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

NOT_SLOW = frozenset({"bgrewriteaof", "bgsave", "config", "migrate", "replicaof", "slaveof"})
"""Commands that make no slow log (service limits, section 14): they are slow by nature."""


@dataclass(frozen=True)
class SlowCommand:
    """An entry of a slow log."""

    name: str
    """In lower case."""
    microseconds: int


@dataclass(frozen=True)
class Look:
    """A node or a proxy as it was at one moment."""

    at: float
    """Seconds on a clock that never goes back."""
    run: str
    """Names the process: counters of another one began at zero."""
    is_master: bool
    is_well: bool
    """Whether it serves: a node that loads its data does not."""
    numbers: Mapping[str, float]
    """The numbers of INFO by field; those of its database lines are added up as `keys` and `expires`."""
    calls: Mapping[str, int] = field(default_factory=dict)
    """How often each command was called, by its name in lower case."""
    call_microseconds: int = 0
    """How long all calls took together."""
    durations: Mapping[int, int] = field(default_factory=dict)
    """Calls by how long they took: the upper edge of a class, a power of two of microseconds."""
    slow_id: int = -1
    """Id of the newest entry of the slow log."""
    slow: tuple[SlowCommand, ...] = ()
    """Entries that were not there at the look before."""
    replica_offsets: Mapping[str, int] = field(default_factory=dict)
    """What each replica has taken, by address; only a master tells."""

    @property
    def processor_seconds(self) -> float:
        """Processor time since the start, system and user. Raises `LookupError` where it is not told."""
        return self.get("used_cpu_sys") + self.get("used_cpu_user")

    def get(self, name: str) -> float:
        """A number of INFO. Raises `LookupError` where the engine does not tell it."""
        return self.numbers[name]


class NotMeasured(LookupError):
    """There is nothing yet to compare with."""


@dataclass(frozen=True)
class Span:
    """What happened between two looks at one node or proxy."""

    now: Look
    before: Look | None
    """None: counted from the start of the process, if that lies within the span."""
    seconds: float
    processor_shares: Sequence[float] = ()
    """Shares of one core that were used, in per cent, one for each sample."""
    bandwidth: float = 0.0
    """Bytes a second, in either direction, that its flavor gives it."""
    lag: float | None = None
    """Bytes that its master has written and it has not; of replicas."""

    @classmethod
    def between(cls, before: Look | None, now: Look, seconds: float) -> Span:
        """The span of two looks; `seconds` is how long it is taken to be where there was no look before."""
        return cls(now, before, now.at - before.at if before else seconds)

    @property
    def base(self) -> Look | None:
        """The look that counters are compared with; None: they began at zero. Raises `NotMeasured`."""
        if self.before is not None:
            return self.before if self.before.run == self.now.run else None
        if self.now.numbers.get("uptime_in_seconds", float("inf")) > self.seconds:
            raise NotMeasured
        return None

    def growth(self, name: str) -> float:
        """How far a counter came. Raises `LookupError` where that is not known."""
        return _growth(self.base.get(name) if self.base else 0.0, self.now.get(name))

    def calls(self, command: str | None = None) -> float:
        """How often a command was called, or all of them."""
        base = self.base.calls if self.base else {}
        names = self.now.calls if command is None else (command,)
        return sum(_growth(base.get(name, 0), self.now.calls.get(name, 0)) for name in names)

    @property
    def microseconds(self) -> float:
        """How long all calls took together."""
        return _growth(self.base.call_microseconds if self.base else 0, self.now.call_microseconds)

    @property
    def timed_calls(self) -> float:
        """How many calls have a time. A proxy takes none of those that wait by their nature."""
        return sum(self._durations().values()) or self.calls()

    @property
    def has_slow_log(self) -> bool:
        """Whether the slow log grew by something that is not slow by nature. Raises `NotMeasured`."""
        return self.base is not self.now and any(one.name not in NOT_SLOW for one in self.now.slow)

    @property
    def longest_microseconds(self) -> float:
        """The longest call: exact where the slow log has it, else the upper edge of its class.

        An engine without classes (older than Redis 7) tells only the average, which is less.
        """
        logged = max((one.microseconds for one in self.now.slow), default=0)
        edge = max(self._durations(), default=0)
        if logged >= edge / 2:
            return logged or (self.microseconds / calls if (calls := self.calls()) else 0)
        return edge

    def _durations(self) -> dict[int, float]:
        """Calls of this span by the upper edge of their class."""
        base = self.base.durations if self.base else {}
        if sum(base.values()) > sum(self.now.durations.values()):
            base = {}
        grown = {edge: count - base.get(edge, 0) for edge, count in self.now.durations.items()}
        return {edge: count for edge, count in grown.items() if count > 0}


def _growth(before: float, now: float) -> float:
    """Counters may be set back while the process goes on (CONFIG RESETSTAT)."""
    return now - before if now >= before else now


def processor_shares(samples: Sequence[tuple[float, float]]) -> tuple[float, ...]:
    """Shares of one core in per cent between samples of (moment, processor seconds), at most 100 as documented."""
    shares = []
    for (began, before), (ended, now) in pairwise(samples):
        if ended > began:
            shares.append(min(100.0, _growth(before, now) / (ended - began) * 100))
    return tuple(shares)
