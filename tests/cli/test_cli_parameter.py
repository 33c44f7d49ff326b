"""`parameter …` and `template …`: against a stand-in that fails when told to, and once for real."""

import json

import pytest
from stand_in import ID, RUNNING

from cachestead.cli.parameter import _complete_assignment
from cachestead.cli.template import complete_template

TIMEOUT = {
    "param_id": "1", "param_name": "timeout", "param_value": "60", "default_value": "0", "value_range": "0-7200",
    "description": "Seconds.", "value_type": "Interger", "need_restart": False,
}  # fmt: skip
APPENDFSYNC = TIMEOUT | {"param_name": "appendfsync", "param_value": "no", "default_value": "no"}
JOB = {"job_id": "job", "status": "SUCCESS", "fail_reason": None}
OWN = {
    "template_id": "own-1", "name": "web", "type": "user", "engine_version": "7.0", "cache_mode": "ha", "description": "",
}  # fmt: skip
SYSTEM = OWN | {"template_id": "22", "name": "Default-Redis-7.0-ha-generic-DRAM", "type": "sys"}


@pytest.fixture
def sessions(service):
    """A service with an instance."""
    service.answers |= {
        ("GET", "/instances"): (200, {"instances": [RUNNING]}),
        ("GET", f"/instances/{ID}"): (200, RUNNING),
        ("GET", f"/instances/{ID}/configs"): (200, {"redis_config": [TIMEOUT, APPENDFSYNC]}),
        ("PUT", f"/instances/{ID}/async-configs"): (200, {"job_id": "job"}),
        ("GET", "/jobs/job"): (200, JOB),
    }
    return service


@pytest.fixture
def templates(service):
    """A service with a template of each kind: the first call lists one's own."""
    service.answers |= {
        ("GET", "/config-templates"): [(200, {"templates": [OWN]}), (200, {"templates": [SYSTEM]})],
        ("GET", "/config-templates/own-1"): (200, OWN | {"params": [TIMEOUT, APPENDFSYNC]}),
        ("GET", "/config-templates/22"): (200, SYSTEM | {"params": [APPENDFSYNC]}),
        ("POST", "/config-templates"): (200, {"id": "own-1"}),
        ("PUT", "/config-templates/own-1"): (200, {"result": "success"}),
        ("DELETE", "/config-templates/own-1"): (200, {"result": "success"}),
    }
    return service


def test_parameters_are_listed_with_what_they_may_be(sessions, run):
    result = run("parameter", "list", "sessions")

    assert result.exit_code == 0, result.stderr
    assert "0-7200" in result.stdout
    assert "appendfsync" in result.stdout


def test_parameters_at_their_default_can_be_left_out(sessions, run):
    result = run("parameter", "list", "sessions", "--changed", "-o", "json")

    assert json.loads(result.stdout) == [TIMEOUT]


def test_parameters_are_set_by_name(sessions, run):
    result = run("parameter", "set", "sessions", "timeout=5", "notify-keyspace-events=", "--wait")

    assert result.exit_code == 0, result.stderr
    [body] = sessions.sent("PUT", f"/instances/{ID}/async-configs")
    assert body == {
        "redis_config": [
            {"param_name": "timeout", "param_value": "5"},
            {"param_name": "notify-keyspace-events", "param_value": ""},
        ]
    }


def test_a_change_that_failed_says_why(sessions, run):
    sessions.answers["GET", "/jobs/job"] = (200, JOB | {"status": "FAIL", "fail_reason": "the engine said no"})

    result = run("parameter", "set", "sessions", "timeout=5", "--wait")

    assert result.exit_code == 1
    assert "the engine said no" in result.stderr


@pytest.mark.parametrize("words", [["timeout"], ["=5"], ["timeout=5", "x"]], ids=" ".join)
def test_what_is_no_assignment_is_refused_before_anything_is_asked(sessions, run, words):
    result = run("parameter", "set", "sessions", *words)

    assert result.exit_code == 1
    assert "NAME=VALUE" in result.stderr
    assert sessions.requests == []


def test_changes_are_listed_and_one_is_shown(sessions, run):
    change = {"history_id": "h1", "type": "config_param", "created_at": "2026", "status": "FAILURE"}
    detail = change | {
        "fail_reason": "no", "redis_config": [{"param_name": "timeout", "old_value": "0", "new_value": "5"}],
    }  # fmt: skip
    sessions.answers |= {
        ("GET", f"/instances/{ID}/config-histories"): (200, {"history_num": 1, "histories": [change]}),
        ("GET", f"/instances/{ID}/config-histories/h1"): (200, detail),
    }

    assert "FAILURE" in run("parameter", "history", "sessions").stdout
    assert "0 -> 5" in run("parameter", "history", "sessions", "h1").stdout
    assert json.loads(run("parameter", "history", "sessions", "h1", "-o", "json").stdout) == detail


def test_own_templates_are_listed_before_the_system_s(templates, run):
    result = run("template", "list", "--type", "rw-split", "-o", "json")

    assert [one["name"] for one in json.loads(result.stdout)] == ["web", SYSTEM["name"]]
    queries = [query for method, path, query, _, _ in templates.requests if path.endswith("/config-templates")]
    assert ["type=user" in queries[0], "type=sys" in queries[1]] == [True, True]
    assert "cache_mode=ha_rw_split" in queries[0]


def test_a_template_shows_what_is_not_the_default(templates, run):
    result = run("template", "show", "web", "--changed")

    assert result.exit_code == 0, result.stderr
    assert "timeout" in result.stdout
    assert "appendfsync" not in result.stdout


def test_a_template_is_made_of_another(templates, run):
    result = run(
        "template", "create", "web", "--from", SYSTEM["name"], "timeout=60", "--description", "for the web"
    )

    assert result.exit_code == 0, result.stderr
    [body] = templates.sent("POST", "/config-templates")
    assert body == {
        "template_id": "22", "type": "sys", "name": "web", "params": {"timeout": "60"}, "description": "for the web",
    }  # fmt: skip


def test_a_template_is_changed_and_deleted(templates, run):
    assert run("template", "update", "web", "timeout=5", "--name", "shop").exit_code == 0
    assert templates.sent("PUT", "/config-templates/own-1") == [{"name": "shop", "params": {"timeout": "5"}}]
    templates.answers["GET", "/config-templates"] = (200, {"templates": [OWN]})
    assert run("template", "delete", "web", input="n\n").exit_code == 1
    assert templates.sent("DELETE", "/config-templates/own-1") == []
    assert run("template", "delete", "web", "--yes").exit_code == 0


def test_a_change_of_nothing_is_refused(templates, run):
    result = run("template", "update", "web")

    assert result.exit_code == 1
    assert templates.requests == []


def test_an_unknown_template_is_said_to_be_none(templates, run):
    templates.answers["GET", "/config-templates"] = (200, {"templates": []})

    result = run("template", "show", "nonsense")

    assert result.exit_code == 1
    assert "nonsense" in result.stderr


def test_shells_complete_names(sessions, templates, run):
    class Context:
        params = {"instance": "sessions"}  # noqa: RUF012

    assert complete_template("De") == [SYSTEM["name"]]
    assert _complete_assignment(Context(), "time") == ["timeout="]
    sessions.answers["GET", "/instances"] = (500, {})
    assert _complete_assignment(Context(), "") == []


@pytest.mark.timeout(600)
def test_the_commands_do_what_they_say(installation):
    made = installation.run(
        "template", "create", "web-defaults", "--from", "Default-Redis-7.0-single-generic-DRAM", "timeout=9"
    )
    assert made.returncode == 0, made.stderr
    created = installation.run(
        "instance", "create", "tuned", "--type", "single", "--template", "web-defaults", "--no-password", "--wait"
    )
    assert created.returncode == 0, created.stderr
    done = installation.run("parameter", "set", "tuned", "slowlog-max-len=7", "--wait")
    assert done.returncode == 0, done.stderr
    listed = json.loads(installation.run("parameter", "list", "tuned", "--changed", "-o", "json").stdout)
    assert {one["param_name"]: one["param_value"] for one in listed} == {"timeout": "9", "slowlog-max-len": "7"}
    [change] = json.loads(installation.run("parameter", "history", "tuned", "-o", "json").stdout)
    assert change["status"] == "SUCCESS"
    refused = installation.run("parameter", "set", "tuned", "timeout=7201")
    assert (refused.returncode, "DCS.4066" in refused.stderr, "0-7200" in refused.stderr) == (1, True, True)
    assert installation.run("template", "delete", "web-defaults", "--yes").returncode == 0
