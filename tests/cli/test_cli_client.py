"""What the command line says about answers, good and bad. A stand-in answers, because the real service never does
what half of these tests need: nothing, HTML, a lost token."""

import json

import pytest
from stand_in import ID, PROJECT, RUNNING
from typer.testing import CliRunner

from cachestead.cli.main import app


def test_the_list_is_a_table_or_json(service, run):
    service.answers["GET", "/instances"] = (200, {"instances": [RUNNING], "instance_num": 1})

    table, data = run("instance", "list"), run("instance", "list", "-o", "json")

    assert ID in table.stdout
    assert "NAME" in table.stdout
    assert json.loads(data.stdout) == [RUNNING]


def test_calls_carry_the_token_of_a_sign_in_to_the_project(service, run):
    service.answers["GET", "/instances"] = (200, {"instances": []})

    run("instance", "list")

    (_, _, _, sign_in, _), (_, _, _, _, headers) = service.requests
    assert headers["X-Auth-Token"] == "the-token"
    assert sign_in["auth"]["scope"] == {"project": {"id": PROJECT}}
    assert sign_in["auth"]["identity"]["password"]["user"] == {
        "name": "admin", "password": "pass word", "domain": {"name": "cachestead"},
    }  # fmt: skip


def test_long_lists_are_fetched_page_by_page(service, run):
    pages = [[RUNNING | {"name": f"n{page}-{n}"} for n in range(200)] for page in range(2)] + [[RUNNING]]
    service.answers["GET", "/instances"] = [(200, {"instances": page}) for page in pages]

    result = run("instance", "list", "-o", "json")

    assert len(json.loads(result.stdout)) == 401
    assert [query.split("offset=")[1].split("&")[0] for _, _, query, _, _ in service.requests[1:]] == [
        "0",
        "200",
        "400",
    ]


TOO_MANY = {"error_code": "APIGW.0308", "error_msg": "The throttling threshold has been reached."}


def test_who_is_told_to_come_again_does(service, run):
    early = (429, TOO_MANY, {"Retry-After": "0"})
    service.answers["POST", "/v3/auth/tokens"] = [early, (201, {"token": {}})]
    service.answers["GET", f"/instances/{ID}"] = [(200, RUNNING), early, (200, RUNNING)]

    result = run("instance", "wait", ID)

    assert result.exit_code == 0, result.stderr
    assert service.answers["GET", f"/instances/{ID}"] == [(200, RUNNING)]


@pytest.mark.parametrize(
    "headers", [{"Retry-After": "3600"}, {"Retry-After": "tomorrow"}, {}], ids=["later", "a word", "never"]
)
def test_what_takes_too_long_is_not_waited_for(service, run, headers):
    service.answers["GET", f"/instances/{ID}"] = (429, TOO_MANY, headers)

    result = run("instance", "show", ID)

    assert result.exit_code == 1
    assert result.stderr.startswith("APIGW.0308")
    assert len(service.sent("GET", f"/instances/{ID}")) == 1


def test_a_refusal_shows_code_sentence_and_detail(service, run):
    service.answers["GET", f"/instances/{ID}"] = (
        400, {"error_code": "DCS.4061", "error_msg": "Invalid instance ID format.", "error_ext_msg": "not a UUID"},
    )  # fmt: skip

    result = run("instance", "show", ID)

    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.splitlines()[0] == "DCS.4061: Invalid instance ID format. (not a UUID)"
    assert "request-1" in result.stderr


def test_a_refused_sign_in_shows_the_identity_services_words(service, run):
    service.answers["POST", "/v3/auth/tokens"] = (
        401,
        {"error": {"code": 401, "message": "Wrong password.", "title": "Unauthorized"}},
    )

    result = run("quota")

    assert result.exit_code == 1
    assert "401: Wrong password." in result.stderr


def test_an_answer_that_is_no_json_is_still_a_sentence(service, run):
    service.answers["GET", "/quota"] = (502, b"<html>Bad gateway</html>")

    result = run("quota")

    assert result.exit_code == 1
    assert "HTTP 502" in result.stderr


def test_no_service_is_a_sentence_with_advice(service, run):
    service.server.shutdown()
    service.server.server_close()

    result = run("instance", "list")

    assert result.exit_code == 1
    assert f"No service answers at {service.endpoint}" in result.stderr
    assert "cachestead up" in result.stderr


def test_an_unknown_name_is_a_sentence(service, run):
    service.answers["GET", "/instances"] = (200, {"instances": [RUNNING | {"name": "sessions-2"}]})

    result = run("instance", "show", "sessions")

    assert result.exit_code == 1
    assert "There is no instance called sessions" in result.stderr


def test_a_name_that_two_have_is_not_guessed(service, run):
    service.answers["GET", "/instances"] = (200, {"instances": [RUNNING, RUNNING | {"instance_id": "other"}]})

    result = run("instance", "delete", "sessions", "--yes")

    assert result.exit_code == 1
    assert ID in result.stderr
    assert "other" in result.stderr


def test_nothing_is_deleted_without_a_yes(service, run):
    service.answers["GET", "/instances"] = (200, {"instances": [RUNNING]})

    result = run("instance", "delete", "sessions", input="n\n")

    assert result.exit_code == 1
    assert service.sent("DELETE", f"/instances/{ID}") == []


def test_deleting_waits_until_the_instance_is_gone(service, run):
    gone = (404, {"error_code": "DCS.3022", "error_msg": "This DCS instance does not exist."})
    service.answers["GET", "/instances"] = (200, {"instances": [RUNNING]})
    service.answers["DELETE", f"/instances/{ID}"] = (204, None)
    service.answers["GET", f"/instances/{ID}"] = [(200, RUNNING | {"status": "DELETING"}), gone]

    result = run("instance", "delete", "sessions", "--yes", "--wait")

    assert result.exit_code == 0
    assert "sessions: DELETING" in result.stderr
    assert "sessions: gone" in result.stderr


def _ready_to_create(service, *looks):
    service.answers["GET", "/flavors"] = (200, {"flavors": [
        {
            "spec_code": RUNNING["spec_code"], "cache_mode": "ha", "capacity": ["0.125"], "replica_count": 2,
            "cpu_type": "x86_64", "product_type": "generic",
        },
    ]})  # fmt: skip
    service.answers["GET", "/v2/available-zones"] = (
        200,
        {"available_zones": [{"code": "a"}, {"code": "b"}, {"code": "c"}]},
    )
    service.answers["POST", "/instances"] = (
        200,
        {"instances": [{"instance_id": ID, "instance_name": "sessions"}]},
    )
    service.answers["GET", f"/instances/{ID}"] = [(200, RUNNING | look) for look in looks]


def test_creating_shows_steps_and_the_made_up_password(service, run, monkeypatch):
    monkeypatch.delenv("CACHESTEAD_INSTANCE_PASSWORD", raising=False)
    _ready_to_create(service, {"status": "CREATING"}, {"status": "CREATING"}, {"status": "RUNNING"})
    service.answers["GET", f"/instances/{ID}/tasks"] = (200, {"tasks": [{"id": "t", "status": "EXECUTING"}]})
    service.answers["GET", f"/instances/{ID}/tasks/t/progress"] = (
        200, {"progress": 40, "step_details": [{"step_name": "reserve", "end_time": "x"}, {"step_name": "start nodes"}]},
    )  # fmt: skip

    result = run("instance", "create", "sessions", "--wait")

    assert result.exit_code == 0, result.stderr
    (body,) = service.sent("POST", "/instances")
    assert body["az_codes"] == ["a", "b"]
    assert f"Password: {body['password']}" in result.stderr
    assert "sessions: CREATING, start nodes" in result.stderr
    assert "sessions: RUNNING" in result.stderr
    assert ID in result.stdout


def test_progress_is_not_needed(service, run):
    _ready_to_create(service, {"status": "CREATING"}, {"status": "RUNNING"})

    assert run("instance", "create", "sessions", "--no-password", "--wait").exit_code == 0


def test_json_has_the_made_up_password(service, run, monkeypatch):
    monkeypatch.delenv("CACHESTEAD_INSTANCE_PASSWORD", raising=False)
    _ready_to_create(service, {"status": "CREATING"})

    result = run("instance", "create", "sessions", "-o", "json")

    (made,) = json.loads(result.stdout)
    assert made["password"] == service.sent("POST", "/instances")[0]["password"]


def test_a_failed_creation_fails_the_wait(service, run):
    _ready_to_create(service, {"status": "CREATING"}, {"status": "CREATEFAILED"})

    result = run("instance", "create", "sessions", "--no-password", "--wait")

    assert result.exit_code == 1
    assert "sessions CREATEFAILED" in result.stderr


def test_a_wait_has_an_end(service, run):
    _ready_to_create(service, {"status": "CREATING"})

    result = run("instance", "wait", ID, "--timeout", "1")

    assert result.exit_code == 1
    assert "Not running within 1 s: sessions." in result.stderr


def test_a_locked_password_is_not_reported_as_changed(service, run):
    service.answers["GET", f"/instances/{ID}"] = (200, RUNNING)
    service.answers["POST", f"/instances/{ID}/password/reset"] = (
        200,
        {"code": "3", "message": "instance is locked"},
    )

    result = run("instance", "reset-password", ID)

    assert result.exit_code == 1
    assert "instance is locked" in result.stderr
    assert result.stdout == ""


def test_a_restart_that_is_not_accepted_is_reported(service, run):
    service.answers["GET", f"/instances/{ID}"] = (200, RUNNING)
    service.answers["PUT", "/instances/status"] = (200, {"results": [{"instance": ID, "result": "failed"}]})

    result = run("instance", "restart", ID)

    assert result.exit_code == 1
    assert "sessions" in result.stderr


def test_openstack_variables_are_enough(service, monkeypatch, tmp_path):
    service.answers["GET", "/quota"] = (
        200,
        {"quotas": {"resources": [{"type": "ram", "unit": "GB", "quota": 5, "used": 1}]}},
    )
    for name in ("CACHESTEAD_ENDPOINT", "CACHESTEAD_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "CACHESTEAD_DATA_DIR": str(tmp_path / "absent"), "OS_AUTH_URL": service.endpoint + "/v3", "OS_USERNAME": "admin",
        "OS_PASSWORD": "p", "OS_USER_DOMAIN_NAME": "d", "OS_PROJECT_ID": PROJECT,
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    pytest.importorskip("cachestead.main")

    result = CliRunner().invoke(app, ["quota"])

    assert result.exit_code == 0, result.stderr
    assert "ram" in result.stdout


def test_missing_variables_are_named(run, monkeypatch):
    monkeypatch.delenv("CACHESTEAD_PASSWORD")

    result = run("quota")

    assert result.exit_code == 1
    assert "lack: password" in result.stderr
