"""`account …` against a stand-in, and once for real."""

import json

import pytest
from installation import Installation, client_of, eventually
from stand_in import ID, RUNNING

DEFAULT = {
    "account_id": "d", "account_name": "default", "account_type": "default", "account_role": "write",
    "status": "AVAILABLE", "description": None,
}  # fmt: skip
REPORTS = DEFAULT | {
    "account_id": "r",
    "account_name": "reports",
    "account_type": "normal",
    "account_role": "read",
}
PATH = f"/instances/{ID}/accounts"


@pytest.fixture
def sessions(service):
    """A service with an instance that has an account."""
    service.answers |= {
        ("GET", "/instances"): (200, {"instances": [RUNNING]}),
        ("GET", PATH): (200, {"accounts": [DEFAULT, REPORTS]}),
        ("POST", PATH): (200, {}),
        ("PUT", f"{PATH}/r"): (204, None),
        ("PUT", f"{PATH}/r/role"): (200, {"job_id": "job", "instance_id": ID}),
        ("PUT", f"{PATH}/r/password/reset"): (200, {"code": "1", "message": "done"}),
        ("DELETE", f"{PATH}/r"): (200, None),
    }
    return service


def test_a_password_is_made_up_and_printed_alone(sessions, run):
    result = run("account", "create", "sessions", "reports", "--role", "read", "--description", "Reads.")

    assert result.exit_code == 0, result.stderr
    assert sessions.sent("POST", PATH) == [
        {
            "account_name": "reports",
            "account_role": "read",
            "account_password": result.stdout.strip(),
            "description": "Reads.",
        }
    ]


def test_accounts_are_changed_by_their_names(sessions, run):
    assert run("account", "set-role", "sessions", "reports", "--role", "write").exit_code == 0
    assert run("account", "describe", "sessions", "reports", "Writes.").exit_code == 0
    result = run("account", "reset-password", "sessions", "reports")
    assert result.exit_code == 0, result.stderr
    assert run("account", "delete", "sessions", "reports", "--yes").exit_code == 0

    assert sessions.sent("PUT", f"{PATH}/r/role") == [{"account_role": "write"}]
    assert sessions.sent("PUT", f"{PATH}/r") == [{"description": "Writes."}]
    assert sessions.sent("PUT", f"{PATH}/r/password/reset") == [{"new_password": result.stdout.strip()}]
    assert len(sessions.sent("DELETE", f"{PATH}/r")) == 1


def test_nothing_is_deleted_without_a_yes(sessions, run):
    assert run("account", "delete", "sessions", "reports").exit_code != 0
    assert sessions.sent("DELETE", f"{PATH}/r") == []


def test_a_name_that_no_account_has_is_said(sessions, run):
    result = run("account", "set-role", "sessions", "nobody", "--role", "read")

    assert result.exit_code != 0
    assert "nobody" in result.stderr


def test_a_locked_password_is_a_failure(sessions, run):
    sessions.answers["PUT", f"{PATH}/r/password/reset"] = (
        200,
        {"code": "3", "message": "The password is locked."},
    )

    result = run("account", "reset-password", "sessions", "reports")

    assert result.exit_code != 0
    assert "locked" in result.stderr
    assert result.stdout == ""


def test_the_real_service(installation: Installation):
    instance = installation.create("with-accounts", engine_version="5.0")
    made = installation.run("account", "create", "with-accounts", "reports", "--role", "read")
    assert made.returncode == 0, made.stderr

    def is_listed() -> bool:
        listed = installation.run("account", "list", "with-accounts", "-o", "json")
        return [one["status"] for one in json.loads(listed.stdout)] == ["AVAILABLE"] * 2

    eventually(is_listed)
    with client_of(instance, made.stdout.strip(), username="reports") as client:
        assert client.get("k") is None
