"""What is kept of past figures, for how long and how finely.

A figure is kept as it was sampled for two days. From then on there are summaries: of five minutes, made of what
was sampled; of twenty, made of those; and so on. A summary knows what callers may ask for: average, least,
greatest, sum and variance. Periods, spans and lives are those of the public service (Cloud Eye).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

SAMPLED = 1
"""The period that stands for figures as they were sampled."""
MINUTE = 60
"""Not kept: made of what was sampled, when asked for."""
FILTERS = ("average", "max", "min", "sum", "variance")
_HOUR, _DAY = 3600, 86400


@dataclass(frozen=True)
class Period:
    """How one kind of record is kept."""

    seconds: int
    made_of: int
    """The period it summarises; its own for what was sampled."""
    keep_days: int
    longest_seconds: int
    """The longest span that can be asked for at once."""


KEPT: dict[int, Period] = {
    one.seconds: one
    for one in (
        Period(SAMPLED, SAMPLED, 2, 4 * _HOUR),
        Period(300, SAMPLED, 10, _DAY),
        Period(1200, 300, 20, 3 * _DAY),
        Period(3600, 1200, 155, 10 * _DAY),
        Period(14400, 3600, 300, 30 * _DAY),
        Period(86400, 14400, 1825, 180 * _DAY),
    )
}
"""Records by period, the finest first."""
PERIODS = tuple(sorted((*KEPT, MINUTE)))
"""Periods that callers may ask for."""


@dataclass(frozen=True)
class Summary:
    """Several figures as one."""

    count: int
    total: float
    least: float
    greatest: float
    squares: float
    """Squared differences from the average, added up."""

    @classmethod
    def of(cls, stored: float | Sequence[float]) -> Self:
        """What was stored: a figure, or a summary as `stored` made it."""
        if isinstance(stored, int | float):
            return cls(1, stored, stored, stored, 0.0)
        count, *rest = stored
        return cls(int(count), *rest)

    def __add__(self, other: Summary) -> Summary:
        count, total = self.count + other.count, self.total + other.total
        apart = other.total / other.count - self.total / self.count
        return Summary(
            count,
            total,
            min(self.least, other.least),
            max(self.greatest, other.greatest),
            self.squares + other.squares + apart * apart * self.count * other.count / count,
        )

    @property
    def stored(self) -> list[float]:
        """As numbers, for the record."""
        return [self.count, self.total, self.least, self.greatest, self.squares]

    def value(self, filter_: str) -> float:
        """One of `FILTERS`."""
        match filter_:
            case "average":
                return self.total / self.count
            case "max":
                return self.greatest
            case "min":
                return self.least
            case "sum":
                return self.total
        return self.squares / self.count


Record = Mapping[str, Mapping[str, float | Sequence[float]]]
"""What is kept of an instance for one moment or one period: figures or summaries, by object and metric."""


def start_of(moment: int, seconds: int) -> int:
    """Where the period that a moment lies in begins, both in epoch milliseconds."""
    return moment - moment % (seconds * 1000)


def roll_up(records: Iterable[Record]) -> dict[str, dict[str, list[float]]]:
    """One record of several, each figure with what the others say of it."""
    found: dict[str, dict[str, Summary]] = {}
    for record in records:
        for key, figures in record.items():
            row = found.setdefault(key, {})
            for name, stored in figures.items():
                summary = Summary.of(stored)
                row[name] = row[name] + summary if name in row else summary
    return {key: {name: one.stored for name, one in row.items()} for key, row in found.items()}


def series(records: Iterable[tuple[int, Record]], key: str, metric: str, period: int) -> list[tuple[int, Summary]]:
    """The course of one figure out of records in order: moments in epoch milliseconds, and summaries."""
    found: dict[int, Summary] = {}
    for at, record in records:
        if (stored := record.get(key, {}).get(metric)) is not None:
            moment = at if period == SAMPLED else start_of(at, period)
            summary = Summary.of(stored)
            found[moment] = found[moment] + summary if moment in found else summary
    return list(found.items())
