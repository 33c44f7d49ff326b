"""When an instance's maintenance window is open. Windows are hours of the day in UTC; one may go over midnight."""

from __future__ import annotations

from datetime import datetime, timedelta

_DAY = timedelta(days=1)


def next_opening(begin: str, end: str, now: datetime) -> datetime:
    """The moment from `now` on at which the window (`HH:00:00` both) is open: now, if it is."""
    first, last = int(begin[:2]), int(end[:2])
    length = timedelta(hours=(last - first) % 24)
    today = now.replace(hour=first, minute=0, second=0, microsecond=0)
    if today - _DAY <= now < today - _DAY + length or today <= now < today + length:
        return now
    return today if now < today else today + _DAY
