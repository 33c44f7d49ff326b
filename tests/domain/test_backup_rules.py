"""What may be asked of a backup, and which backups are kept."""

from __future__ import annotations

from datetime import timedelta

import pytest
from examples import INSTANCE_ID, NOW, PROJECT_ID, instance_like
from hypothesis import given
from hypothesis import strategies as st

from cachestead import errors
from cachestead.domain.backups import (
    MOST_PER_INSTANCE,
    Backup,
    BackupFormat,
    BackupStatus,
    BackupType,
    check_expiration,
    check_remark,
    choose_format,
    superfluous,
)
from cachestead.domain.instances import with_backup_policy

AUTO = {
    "backup_type": "auto",
    "save_days": 3,
    "periodical_backup_plan": {"period_type": "weekly", "backup_at": [1], "begin_at": "02:00-03:00"},
}


def backup(number: int, **changes: object) -> Backup:
    """The backup of a day, succeeded and by hand, but for what is said."""
    made = NOW + timedelta(days=number)
    fields: dict[str, object] = {
        "id": f"{number:03}",
        "instance_id": INSTANCE_ID,
        "project_id": PROJECT_ID,
        "name": "backup",
        "type": BackupType.MANUAL,
        "format": BackupFormat.RDB,
        "status": BackupStatus.SUCCEEDED,
        "created_at": made,
        "updated_at": made,
    }
    return Backup(**(fields | changes))


def by_plan(number: int, days: int = 1, **changes: object) -> Backup:
    return backup(number, type=BackupType.AUTO, save_days=days, **changes)


def test_a_remark_may_have_128_characters():
    assert check_remark("\u00e9" * 128)
    with pytest.raises(errors.RemarkTooLong):
        check_remark("r" * 129)


@pytest.mark.parametrize(
    ("wanted", "version", "found"),
    [
        (None, "7.0", BackupFormat.RDB),
        ("", "4.0", BackupFormat.RDB),
        ("aof", "7.0", BackupFormat.AOF),
        ("rdb", "4.0", BackupFormat.RDB),
        (None, "3.0", BackupFormat.AOF),
    ],
)
def test_formats(wanted: str | None, version: str, found: BackupFormat):
    assert choose_format(wanted, version) is found


@pytest.mark.parametrize(("wanted", "version"), [("zip", "7.0"), ("RDB", "7.0"), ("rdb", "3.0")])
def test_formats_that_cannot_be_had(wanted: str, version: str):
    with pytest.raises(errors.InvalidParameter, match="backup_format"):
        choose_format(wanted, version)


@pytest.mark.parametrize("seconds", [0, -1, 299, 86_401])
def test_links_are_good_for_minutes_to_a_day(seconds: int):
    assert (check_expiration(300), check_expiration(86_400)) == (300, 86_400)
    with pytest.raises(errors.InvalidParameter, match="expiration"):
        check_expiration(seconds)


def test_a_backup_by_plan_goes_when_its_days_are_over_and_the_last_one_never():
    kept = [by_plan(0), by_plan(1), by_plan(2)]
    assert superfluous(kept, NOW + timedelta(days=1)) == [kept[0]]
    assert superfluous(kept, NOW + timedelta(days=1) - timedelta(seconds=1)) == []
    assert superfluous(kept, NOW + timedelta(days=400)) == [kept[1], kept[0]]


def test_each_keeps_the_days_it_was_made_with():
    kept = [by_plan(0, days=7), by_plan(1, days=1), by_plan(2, days=1)]
    assert superfluous(kept, NOW + timedelta(days=3)) == [kept[1]]


def test_the_25th_drops_the_oldest_of_whatever_kind():
    kept = [*(backup(number) for number in range(20)), *(by_plan(number, days=7) for number in range(20, 25))]
    assert superfluous(kept, kept[-1].created_at) == [kept[0]]
    assert superfluous(kept[1:], kept[-1].created_at) == []


@given(
    st.lists(
        st.builds(
            backup,
            st.integers(0, 40),
            type=st.sampled_from(BackupType),
            status=st.sampled_from(BackupStatus),
            save_days=st.none() | st.integers(1, 7),
            leaves_as=st.none() | st.just(BackupStatus.EXPIRED),
        ),
        unique_by=lambda one: one.id,
        max_size=41,
    )
)
def test_what_is_left_is_never_too_much_and_never_nothing(backups: list[Backup]):
    over = superfluous(backups, NOW + timedelta(days=50))
    left = [one for one in backups if one not in over]
    usable = [one for one in left if one.is_usable]
    under_way = [one for one in left if one.is_under_way]
    assert all(one.is_usable for one in over)
    assert len(usable) <= max(MOST_PER_INSTANCE, 0) or len(under_way) > 0
    planned = [one for one in backups if one.type is BackupType.AUTO and one.is_usable]
    if planned and len(backups) <= MOST_PER_INSTANCE:
        assert max(planned, key=lambda one: one.created_at) in left


def test_a_policy_that_is_switched_to_manual_keeps_its_plan():
    set_up = with_backup_policy(instance_like(), AUTO, NOW)
    later = NOW + timedelta(hours=1)
    by_hand = with_backup_policy(set_up, {"backup_type": "manual"}, later)
    assert by_hand.backup_policy == AUTO | {"backup_type": "manual"}
    assert (by_hand.backup_policy_created_at, by_hand.backup_policy_updated_at) == (NOW, later)


def test_a_policy_that_stays_the_same_has_not_changed():
    set_up = with_backup_policy(instance_like(), AUTO, NOW)
    assert with_backup_policy(set_up, dict(AUTO), NOW + timedelta(days=1)) == set_up
