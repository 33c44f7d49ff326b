"""When an instance is to be backed up by its plan.

A plan opens at a whole hour (UTC) of some weekdays. What an opening asks for is done once; if the service was
away, once after the last opening that was missed. A run that failed is tried again in the next hour, three times a
day at most, as the public service does it. Reference: section 4.1.6 and `service-limits` 8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cachestead.domain.backups import Backup, BackupStatus

MOST_ATTEMPTS = 3
"""For one opening, and on one day."""
LONGEST_PAUSE = timedelta(days=8)
"""How far back runs matter: a plan opens once a week at least."""


@dataclass(frozen=True)
class Plan:
    """A weekly plan that is in force."""

    days: frozenset[int]
    """1 is Monday."""
    hour: int
    """UTC."""
    since: datetime
    save_days: int
    period: str
    """The hour as callers write it: `02:00-03:00`."""


def plan_of(policy: Mapping[str, Any] | None, since: datetime | None) -> Plan | None:
    """The plan of a backup policy that was set then; None where backups are made by hand."""
    if policy is None or since is None or policy["backup_type"] != "auto":
        return None
    weekly = policy["periodical_backup_plan"]
    return Plan(
        days=frozenset(weekly["backup_at"]),
        hour=int(weekly["begin_at"][:2]),
        since=since,
        save_days=policy["save_days"],
        period=weekly["begin_at"],
    )


def last_opening(plan: Plan, now: datetime) -> datetime | None:
    """When the plan opened last, from the moment on that it was set; None if it has not yet."""
    today = now.replace(hour=plan.hour, minute=0, second=0, microsecond=0)
    for back in range(LONGEST_PAUSE.days):
        opening = today - timedelta(days=back)
        if opening <= now and opening.isoweekday() in plan.days:
            return opening if opening >= plan.since else None
    return None


def is_due(plan: Plan, runs: Sequence[Backup], now: datetime) -> bool:
    """Whether a backup is to be made now; `runs` are the instance's by plan, since `LONGEST_PAUSE` at least."""
    opening = last_opening(plan, now)
    if opening is None:
        return False
    attempts = [run for run in runs if run.created_at >= opening]
    if any(run.status is not BackupStatus.FAILED for run in attempts) or any(run.is_under_way for run in runs):
        return False
    today = [run for run in runs if run.created_at.date() == now.date()]
    if max(len(attempts), len(today)) >= MOST_ATTEMPTS:
        return False
    return all(_hour_of(run.created_at) < _hour_of(now) for run in attempts)


def _hour_of(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)
