"""`instance whitelist …` against a stand-in."""

import json

import pytest
from stand_in import ID, RUNNING

PATH = f"/instance/{ID}/whitelist"
OFFICE = {"group_name": "office", "ip_list": ["10.0.0.0/24", "10.1.2.3"]}


@pytest.fixture
def sessions(service):
    """A service with an instance that has a whitelist, switched off."""
    service.answers |= {
        ("GET", "/instances"): (200, {"instances": [RUNNING]}),
        ("GET", PATH): (200, {"instance_id": ID, "enable_whitelist": False, "whitelist": [OFFICE]}),
        ("PUT", PATH): (204, None),
    }
    return service


def test_the_list_is_written_group_by_group(sessions, run):
    result = run(
        "instance", "whitelist", "set", "sessions", "--group", "office=10.0.0.0/24,10.1.2.3", "--group", "me=127.0.0.1"
    )  # fmt: skip

    assert result.exit_code == 0, result.stderr
    me = {"group_name": "me", "ip_list": ["127.0.0.1"]}
    assert sessions.sent("PUT", PATH) == [{"enable_whitelist": True, "whitelist": [OFFICE, me]}]


def test_a_switch_keeps_the_list(sessions, run):
    assert run("instance", "whitelist", "on", "sessions").exit_code == 0
    assert run("instance", "whitelist", "off", "sessions").exit_code == 0

    switched = [{"enable_whitelist": value, "whitelist": [OFFICE]} for value in (True, False)]
    assert sessions.sent("PUT", PATH) == switched


def test_an_empty_list_is_not_switched_on(sessions, run):
    sessions.answers[("GET", PATH)] = (200, {"enable_whitelist": False, "whitelist": []})

    result = run("instance", "whitelist", "on", "sessions")

    assert result.exit_code == 1
    assert "nobody" in result.stderr
    assert sessions.sent("PUT", PATH) == []


def test_a_group_has_a_name_and_addresses(sessions, run):
    assert run("instance", "whitelist", "set", "sessions", "--group", "10.0.0.1").exit_code == 1
    assert sessions.sent("PUT", PATH) == []


def test_it_is_shown_for_people_and_programs(sessions, run):
    shown = run("instance", "whitelist", "show", "sessions")
    assert "off" in shown.stderr
    assert "10.0.0.0/24, 10.1.2.3" in shown.stdout
    assert json.loads(run("instance", "whitelist", "show", "sessions", "-o", "json").stdout)["whitelist"] == [
        OFFICE
    ]
