"""When a plan opens, and which openings a backup is made for, as a clock is moved over days."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from examples import INSTANCE_ID, PROJECT_ID
from hypothesis import given
from hypothesis import strategies as st

from cachestead.domain.backups import Backup, BackupFormat, BackupStatus, BackupType
from cachestead.domain.schedules import MOST_ATTEMPTS, Plan, is_due, last_opening, plan_of

MONDAY = datetime(2025, 5, 5, tzinfo=UTC)
"""Midnight."""
POLICY = {
    "backup_type": "auto",
    "save_days": 3,
    "periodical_backup_plan": {"period_type": "weekly", "backup_at": [1, 4], "begin_at": "02:00-03:00"},
}
PLAN = Plan(frozenset({1, 4}), 2, MONDAY, 3, "02:00-03:00")


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """A time, `day` days after Monday."""
    return MONDAY + timedelta(days=day, hours=hour, minutes=minute)


def run(begun: datetime, status: BackupStatus = BackupStatus.FAILED) -> Backup:
    return Backup(
        id=begun.isoformat(),
        instance_id=INSTANCE_ID,
        project_id=PROJECT_ID,
        name="backup",
        type=BackupType.AUTO,
        format=BackupFormat.RDB,
        status=status,
        created_at=begun,
        updated_at=begun,
    )


def test_a_plan_is_what_an_automatic_policy_says():
    assert plan_of(POLICY, MONDAY) == PLAN


@pytest.mark.parametrize(
    ("policy", "since"),
    [(None, None), (POLICY | {"backup_type": "manual"}, MONDAY), ({"backup_type": "manual"}, MONDAY)],
    ids=["none", "switched to manual", "manual without a plan"],
)
def test_by_hand_there_is_no_plan(policy: dict[str, object] | None, since: datetime | None):
    assert plan_of(policy, since) is None


@pytest.mark.parametrize(
    ("now", "opening"),
    [
        pytest.param(at(0, 1, 59), None, id="before the first"),
        pytest.param(at(0, 2), at(0, 2), id="on the hour"),
        pytest.param(at(0, 23), at(0, 2), id="later that day"),
        pytest.param(at(3, 1), at(0, 2), id="before the second"),
        pytest.param(at(3, 2), at(3, 2), id="the second"),
        pytest.param(at(7, 1), at(3, 2), id="a week later"),
        pytest.param(at(30, 12), at(28, 2), id="a month later"),
    ],
)
def test_the_last_opening(now: datetime, opening: datetime | None):
    assert last_opening(PLAN, now) == opening


def test_openings_from_before_the_plan_was_set_are_none():
    assert last_opening(replace(PLAN, since=at(0, 2, 1)), at(0, 3)) is None
    assert last_opening(replace(PLAN, since=at(0, 2)), at(0, 3)) == at(0, 2)


@pytest.mark.parametrize("status", [one for one in BackupStatus if one is not BackupStatus.FAILED])
def test_an_opening_with_a_run_that_did_not_fail_is_done_with(status: BackupStatus):
    assert not is_due(PLAN, [run(at(0, 2), status)], at(0, 3))


def test_a_run_of_an_earlier_opening_does_not_count():
    assert is_due(PLAN, [run(at(0, 2), BackupStatus.SUCCEEDED)], at(3, 2))


def test_nothing_begins_while_a_run_is_under_way():
    assert not is_due(PLAN, [run(at(0, 2), BackupStatus.BACKING_UP)], at(3, 2))


def test_a_run_that_failed_is_tried_again_in_the_next_hour_three_times_in_all():
    runs = [run(at(0, 2, 1))]
    assert not is_due(PLAN, runs, at(0, 2, 59))
    assert is_due(PLAN, runs, at(0, 3))
    runs.append(run(at(0, 3)))
    assert not is_due(PLAN, runs, at(0, 3, 30))
    assert is_due(PLAN, runs, at(0, 4))
    runs.append(run(at(0, 4)))
    assert not is_due(PLAN, runs, at(0, 5))
    assert not is_due(PLAN, runs, at(2, 5)), "given up until the next opening"
    assert is_due(PLAN, runs, at(3, 2))


def test_what_was_missed_is_made_up_for_once():
    assert is_due(PLAN, [], at(13, 7))
    assert not is_due(PLAN, [run(at(13, 7), BackupStatus.SUCCEEDED)], at(13, 8))


@given(
    days=st.frozensets(st.integers(1, 7), min_size=1),
    hour=st.integers(0, 23),
    since=st.integers(0, 7 * 24 * 60),
    looks=st.lists(st.integers(0, 21 * 24 * 60), min_size=1, max_size=200),
    outcomes=st.lists(st.sampled_from([BackupStatus.FAILED, BackupStatus.SUCCEEDED]), min_size=1),
)
def test_whenever_somebody_looks(
    days: frozenset[int], hour: int, since: int, looks: list[int], outcomes: list[BackupStatus]
):
    plan = Plan(days, hour, MONDAY + timedelta(minutes=since), 1, "")
    runs: list[Backup] = []
    for minute in sorted(looks):
        now = MONDAY + timedelta(minutes=minute)
        if is_due(plan, runs, now):
            runs.append(run(now, outcomes[len(runs) % len(outcomes)]))
            assert not is_due(plan, runs, now), "a second look begins no second run"
        opening = last_opening(plan, now)
        if opening is not None:
            assert plan.since <= opening <= now
            assert opening.isoweekday() in days
            assert opening.hour == hour
            since_then = [one for one in runs if one.created_at >= opening]
            assert since_then or is_crowded(runs, now), "an opening that somebody saw has its run"
            assert sum(one.status is BackupStatus.SUCCEEDED for one in since_then) <= 1
            assert len(since_then) <= MOST_ATTEMPTS
    for day in {one.created_at.date() for one in runs}:
        assert sum(one.created_at.date() == day for one in runs) <= MOST_ATTEMPTS
    hours = [one.created_at.replace(minute=0) for one in runs if one.status is BackupStatus.FAILED]
    assert len(hours) == len(set(hours)), "an hour has one attempt"


def is_crowded(runs: list[Backup], now: datetime) -> bool:
    """Whether the day has had its attempts."""
    return sum(one.created_at.date() == now.date() for one in runs) >= MOST_ATTEMPTS
