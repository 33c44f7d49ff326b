"""What callers may write in the fields of an instance: one table per rule."""

from __future__ import annotations

from typing import Any

import pytest

from cachestead import errors
from cachestead.domain import rules


def cases(**table: Any) -> Any:
    """A parametrize argument list with ids in words."""
    return [pytest.param(value, id=name.replace("_", " ")) for name, value in table.items()]


@pytest.mark.parametrize(
    "name",
    cases(shortest="abcd", longest="a" * 64, digit_first="0abc", dashes_and_underscores="a-b_c-", digits="1234"),
)
def test_a_good_name_is_kept_as_it_is(name: str):
    assert rules.check_name(name) == name


@pytest.mark.parametrize(
    "name",
    cases(
        empty="",
        three_characters="abc",
        too_long="a" * 65,
        dash_first="-abc",
        underscore_first="_abc",
        space="ab cd",
        dot="ab.cd",
        letters_of_other_scripts="äbcd",
        digits_of_other_scripts="ab\u0661\u0662",
        final_newline="abcd\n",
        markup="<script>",
    ),
)
def test_a_bad_name_is_refused(name: str):
    with pytest.raises(errors.InvalidName) as refusal:
        rules.check_name(name)
    assert "name" in str(refusal.value.detail)


def test_a_name_that_gets_a_number_may_have_56_characters():
    assert rules.check_name("a" * 56, 2) == "a" * 56
    with pytest.raises(errors.InvalidName):
        rules.check_name("a" * 57, 2)


def test_a_description_has_at_most_1024_characters():
    assert rules.check_description(None) is None
    assert rules.check_description("") == ""
    assert rules.check_description("ä" * 1024) == "ä" * 1024
    with pytest.raises(errors.InvalidDescription):
        rules.check_description("a" * 1025)
    with pytest.raises(errors.InvalidDescription):
        rules.check_description("a\x00")


@pytest.mark.parametrize(
    "password",
    cases(
        lower_upper_digit="Passw0rdx",
        lower_upper_special="Password!",
        lower_digit_special="passw0rd!",
        upper_digit_special="PASSW0RD!",
        shortest="Passw0r!",
        longest="Aa1!" * 16,
        every_special="Aa1`~!@#$^&*()-_=+\\|{},<.>/?",
    ),
)
def test_a_strong_password_is_taken(password: str):
    assert rules.check_password(password) == password


@pytest.mark.parametrize(
    "password",
    cases(
        empty="",
        seven_characters="Passw0!",
        too_long="Aa1!" * 16 + "x",
        two_kinds="abcdefg1",
        one_kind="abcdefgh",
        space="Pass w0rd!",
        quote="Passw0rd'",
        double_quote='Passw0rd"',
        percent="Passw0rd%",
        newline="Passw0rd!\n",
        letters_of_other_scripts="Pässw0rd!",
        capitals_of_other_scripts="passwordÄÖÜ!",
        digits_of_other_scripts="Password\u0661\u0662",
    ),
)
def test_a_weak_or_unreadable_password_is_refused(password: str):
    with pytest.raises(errors.WeakPassword) as refusal:
        rules.check_password(password, "new_password")
    assert str(refusal.value.detail).startswith("new_password:")
    if password:
        assert password not in str(refusal.value)


@pytest.mark.parametrize("port", [1, 6379, 65535])
def test_a_port_is_taken(port: int):
    assert rules.check_port(port) == port


@pytest.mark.parametrize("port", [0, -1, 65536, 10**30])
def test_a_number_that_is_no_port_is_refused(port: int):
    with pytest.raises(errors.InvalidParameter, match="port"):
        rules.check_port(port)


@pytest.mark.parametrize(
    ("begin", "end", "kept"),
    [
        pytest.param(None, None, None, id="neither end"),
        pytest.param("18:00:00", "19:00:00", ("18:00:00", "19:00:00"), id="one hour"),
        pytest.param("02:00", "03:00", ("02:00:00", "03:00:00"), id="without seconds"),
        pytest.param("02", "06", ("02:00:00", "06:00:00"), id="four hours, hours alone"),
        pytest.param("23:00:00", "00:00:00", ("23:00:00", "00:00:00"), id="over midnight"),
        pytest.param("22:00:00", "02:00:00", ("22:00:00", "02:00:00"), id="four hours over midnight"),
    ],
)
def test_a_maintenance_window_is_kept_in_one_form(
    begin: str | None, end: str | None, kept: tuple[str, str] | None
):
    assert rules.check_maintenance_window(begin, end) == kept


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        pytest.param("18:00:00", None, id="no end"),
        pytest.param(None, "19:00:00", id="no begin"),
        pytest.param("", "", id="empty"),
        pytest.param("18:00:00", "20:00:00", id="two hours"),
        pytest.param("19:00:00", "18:00:00", id="backwards"),
        pytest.param("18:00:00", "18:00:00", id="no hours"),
        pytest.param("03:00:00", "07:00:00", id="four hours, not on offer"),
        pytest.param("18:30:00", "19:30:00", id="not on the hour"),
        pytest.param("24:00:00", "01:00:00", id="hour 24"),
        pytest.param("23:00:00", "24:00:00", id="until hour 24"),
        pytest.param("6pm", "7pm", id="words"),
        pytest.param("\u0661\u0668:00", "\u0661\u0669:00", id="digits of other scripts"),
        pytest.param("18:00:00\n", "19:00:00", id="final newline"),
    ],
)
def test_a_bad_maintenance_window_is_refused(begin: str | None, end: str | None):
    with pytest.raises(errors.InvalidMaintenanceWindow) as refusal:
        rules.check_maintenance_window(begin, end)
    assert "maintain_begin" in str(refusal.value.detail)


PLAN = {"period_type": "weekly", "backup_at": [1, 3], "begin_at": "00:00-01:00"}
POLICY = {"backup_type": "auto", "save_days": 1, "periodical_backup_plan": PLAN}


@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        pytest.param(POLICY, POLICY, id="whole"),
        pytest.param({"backup_type": "manual"}, {"backup_type": "manual"}, id="manual, nothing else"),
        pytest.param(
            POLICY | {"backup_type": "manual"}, POLICY | {"backup_type": "manual"}, id="manual with a plan"
        ),
        pytest.param(POLICY | {"save_days": "7"}, POLICY | {"save_days": 7}, id="days as text"),
        pytest.param(
            POLICY | {"periodical_backup_plan": PLAN | {"backup_at": ["7", "2"]}},
            POLICY | {"periodical_backup_plan": PLAN | {"backup_at": [2, 7]}},
            id="weekdays as texts, in any order",
        ),
        pytest.param(
            POLICY | {"periodical_backup_plan": PLAN | {"timezone_offset": "+0800", "begin_at": "23:00-00:00"}},
            POLICY | {"periodical_backup_plan": PLAN | {"timezone_offset": "+0800", "begin_at": "23:00-00:00"}},
            id="last hour, with a time zone",
        ),
        pytest.param(
            POLICY | {"surplus": 1, "periodical_backup_plan": PLAN | {"surplus": 1}}, POLICY, id="unknown keys go"
        ),
    ],
)
def test_a_backup_policy_is_kept_in_one_form(policy: dict[str, Any], kept: dict[str, Any]):
    assert rules.check_backup_policy(policy) == kept


def plan_with(**fields: Any) -> dict[str, Any]:
    return POLICY | {"periodical_backup_plan": PLAN | fields}


@pytest.mark.parametrize(
    ("policy", "error"),
    [
        pytest.param({}, errors.InvalidBackupType, id="empty"),
        pytest.param(POLICY | {"backup_type": "weekly"}, errors.InvalidBackupType, id="unknown type"),
        pytest.param(POLICY | {"backup_type": ["auto"]}, errors.InvalidBackupType, id="type is a list"),
        pytest.param(POLICY | {"save_days": None}, errors.InvalidSaveDays, id="auto without days"),
        pytest.param(POLICY | {"save_days": 0}, errors.InvalidSaveDays, id="no days"),
        pytest.param(POLICY | {"save_days": 8}, errors.InvalidSaveDays, id="eight days"),
        pytest.param(POLICY | {"save_days": True}, errors.InvalidSaveDays, id="days are a flag"),
        pytest.param(POLICY | {"save_days": 1.5}, errors.InvalidSaveDays, id="days and a half"),
        pytest.param(POLICY | {"save_days": float("nan")}, errors.InvalidSaveDays, id="days are no number"),
        pytest.param(
            {"backup_type": "manual", "save_days": 9}, errors.InvalidSaveDays, id="manual, too many days"
        ),
        pytest.param(POLICY | {"periodical_backup_plan": None}, errors.InvalidPeriodType, id="auto without plan"),
        pytest.param(POLICY | {"periodical_backup_plan": "x"}, errors.InvalidPeriodType, id="plan is a text"),
        pytest.param(plan_with(period_type="daily"), errors.InvalidPeriodType, id="daily"),
        pytest.param(plan_with(backup_at=[]), errors.InvalidBackupAt, id="no weekday"),
        pytest.param(plan_with(backup_at=[0]), errors.InvalidBackupAt, id="weekday 0"),
        pytest.param(plan_with(backup_at=[8]), errors.InvalidBackupAt, id="weekday 8"),
        pytest.param(plan_with(backup_at=[1, "1"]), errors.InvalidBackupAt, id="a weekday twice"),
        pytest.param(plan_with(backup_at=3), errors.InvalidBackupAt, id="weekdays are a number"),
        pytest.param(plan_with(backup_at=[[1]]), errors.InvalidBackupAt, id="weekday is a list"),
        pytest.param(plan_with(begin_at="00:30-01:30"), errors.InvalidBeginAt, id="not on the hour"),
        pytest.param(plan_with(begin_at="00:00-02:00"), errors.InvalidBeginAt, id="two hours"),
        pytest.param(plan_with(begin_at="24:00-25:00"), errors.InvalidBeginAt, id="hour 24"),
        pytest.param(plan_with(begin_at=None), errors.InvalidBeginAt, id="no begin"),
        pytest.param(plan_with(begin_at=["00:00-01:00"]), errors.InvalidBeginAt, id="begin is a list"),
        pytest.param(
            plan_with(begin_at="\u0660\u0660:00-\u0660\u0661:00"),
            errors.InvalidBeginAt,
            id="hours of other scripts",
        ),
        pytest.param(plan_with(timezone_offset=8), errors.InvalidParameter, id="time zone is a number"),
        pytest.param(plan_with(timezone_offset="+1300"), errors.InvalidParameter, id="time zone too far"),
        pytest.param(plan_with(timezone_offset="+1230"), errors.InvalidParameter, id="time zone a little too far"),
        pytest.param(
            plan_with(timezone_offset="+\u0660800"), errors.InvalidParameter, id="time zone of other scripts"
        ),
    ],
)
def test_a_bad_backup_policy_is_refused_with_the_code_of_its_field(
    policy: dict[str, Any], error: type[errors.ServiceError]
):
    with pytest.raises(error) as refusal:
        rules.check_backup_policy(policy)
    assert str(refusal.value.detail).startswith("instance_backup_policy.")


@pytest.mark.parametrize(
    ("renames", "kept"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({"keys": "my-keys_1"}, {"keys": "my-keys_1"}, id="one"),
        pytest.param({"keys": None, "scan": ""}, {}, id="null and empty change nothing"),
        pytest.param(dict.fromkeys(rules.RENAMEABLE), {}, id="every command may be named"),
    ],
)
def test_new_command_names_are_kept(renames: dict[str, Any], kept: dict[str, str]):
    assert rules.check_rename_commands(renames) == kept


@pytest.mark.parametrize(
    "renames",
    cases(
        command_that_cannot={"config": "xxxx"},
        command_in_capitals={"KEYS": "xxxx"},
        too_short={"keys": "abc"},
        too_long={"keys": "a" * 65},
        digit_first={"keys": "1abc"},
        space={"keys": "my keys"},
        line_break={"keys": "xxxx\nrequirepass"},
        number={"keys": 12345},
        two_with_one_name={"keys": "xxxx", "scan": "XXXX"},
        name_of_another_command={"keys": "hgetall"},
        name_of_a_dangerous_command={"keys": "shutdown"},
        own_name={"keys": "keys"},
        own_name_in_capitals={"keys": "KEYS"},
    ),
)
def test_bad_command_names_are_refused(renames: dict[str, Any]):
    with pytest.raises(errors.InvalidParameter) as refusal:
        rules.check_rename_commands(renames)
    assert str(refusal.value.detail).startswith("rename_commands:")


@pytest.mark.parametrize(
    ("tags", "kept"),
    [
        pytest.param([], {}, id="none"),
        pytest.param([{"key": "a", "value": "b"}], {"a": "b"}, id="one"),
        pytest.param([{"key": "a"}, {"key": "b", "value": None}], {"a": "", "b": ""}, id="without a value"),
        pytest.param([{"key": "größe _.:=+-@", "value": "x/y"}], {"größe _.:=+-@": "x/y"}, id="every character"),
        pytest.param([{"key": 1, "value": 2}], {"1": "2"}, id="numbers, as the example has them"),
        pytest.param([{"key": "k" * 36, "value": "v" * 43}], {"k" * 36: "v" * 43}, id="longest"),
    ],
)
def test_tags_are_kept_by_key(tags: list[dict[str, Any]], kept: dict[str, str]):
    assert rules.check_tags(tags) == kept


@pytest.mark.parametrize(
    "tags",
    cases(
        no_key=[{"value": "x"}],
        empty_key=[{"key": ""}],
        key_too_long=[{"key": "k" * 37}],
        key_with_spaces_around=[{"key": " a "}],
        key_with_a_slash=[{"key": "a/b"}],
        key_of_the_system=[{"key": "_sys_x"}],
        key_twice=[{"key": "a"}, {"key": "a"}],
        value_too_long=[{"key": "a", "value": "v" * 44}],
        value_with_a_bad_character=[{"key": "a", "value": "*"}],
        value_is_a_list=[{"key": "a", "value": ["x"]}],
        value_is_a_flag=[{"key": "a", "value": True}],
        too_many=[{"key": f"k{n}"} for n in range(21)],
    ),
)
def test_bad_tags_are_refused(tags: list[dict[str, Any]]):
    with pytest.raises(errors.InvalidParameter) as refusal:
        rules.check_tags(tags)
    assert str(refusal.value.detail).startswith("tags:")


@pytest.mark.parametrize(
    ("ids", "error"),
    [
        pytest.param(None, errors.InstancesMissing, id="null"),
        pytest.param([], errors.InstancesMissing, id="empty"),
        pytest.param([str(n) for n in range(51)], errors.TooManyInstances, id="51"),
        pytest.param([1], errors.InvalidInstanceId, id="a number"),
        pytest.param([None], errors.InvalidInstanceId, id="null inside"),
        pytest.param(["a", ["b"]], errors.InvalidInstanceId, id="a list inside"),
    ],
)
def test_bad_batches_are_refused(ids: list[Any] | None, error: type[errors.ServiceError]):
    with pytest.raises(error) as refusal:
        rules.check_instance_ids(ids)
    assert str(refusal.value.detail).startswith("instances")


def test_an_id_named_twice_counts_once_and_keeps_its_place():
    assert rules.check_instance_ids(["b", "a", "b"]) == ["b", "a"]


def test_fifty_ids_are_taken():
    assert len(rules.check_instance_ids([str(n) for n in range(50)])) == 50
