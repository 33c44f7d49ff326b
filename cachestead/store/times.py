"""Times in records: UTC epoch milliseconds, aware datetimes outside."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import overload


@overload
def to_ms(at: datetime) -> int: ...
@overload
def to_ms(at: None) -> None: ...
def to_ms(at: datetime | None) -> int | None:
    """A time as it is stored."""
    return None if at is None else round(at.timestamp() * 1000)


@overload
def from_ms(stored: int) -> datetime: ...
@overload
def from_ms(stored: None) -> None: ...
def from_ms(stored: int | None) -> datetime | None:
    """A stored time, aware."""
    return None if stored is None else datetime.fromtimestamp(stored / 1000, UTC)
