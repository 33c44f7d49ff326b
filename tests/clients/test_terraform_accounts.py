"""Terraform's resource of an account, from its creation to the task that it waits for at its end."""

from __future__ import annotations

import pytest
from go_client import GoClient, Json
from installation import HA, Installation, client_of, eventually

WORD = "Acc0unt-word"


@pytest.fixture(scope="module")
def terraform(installation: Installation) -> GoClient:
    return GoClient(installation)


def test_account_is_created_changed_and_destroyed(terraform: GoClient, installation: Installation) -> None:
    instance = installation.create("terraformed", HA, engine_version="5.0")
    one = f"/v2/{{}}/instances/{instance['instance_id']}"
    every = f"{one}/accounts"

    def named(name: str) -> Json | None:
        listed = terraform.ask("GET", every)["accounts"]
        return next((each for each in listed if each["account_name"] == name), None)

    def wait() -> Json:
        found = eventually(lambda: (account := named("someone")) and account["status"] == "AVAILABLE" and account)
        assert isinstance(found, dict)
        return found

    body = {"account_name": "someone", "account_role": "read", "account_password": WORD, "description": "a"}
    # The provider reads a JSON body whatever the reference says.
    assert terraform.ask("POST", every, body) == {}
    account = wait()
    path = f"{every}/{account['account_id']}"
    # The lock is gone with the state: the next call needs no second try.
    assert terraform.ask("PUT", f"{path}/role", {"account_role": "write"}, ok={200})["job_id"]
    assert wait()["account_role"] == "write"
    reset = terraform.ask("PUT", f"{path}/password/reset", {"new_password": WORD + "2"}, ok={200})
    assert reset["code"] == "1"
    assert terraform.ask("PUT", path, {"description": ""}, ok={204}) is None
    assert wait()["description"] == ""
    with client_of(instance, WORD + "2", username="someone") as client:
        assert client.set("k", "1")
    assert terraform.ask("DELETE", path, ok={200, 204}) is None

    def is_deleted() -> bool:
        tasks = terraform.ask("GET", f"{one}/tasks")["tasks"]
        task = next(each for each in tasks if each["name"] == "DeleteAcl")
        assert task["status"] in ("EXECUTING", "SUCCESS")
        return bool(task["status"] == "SUCCESS")

    eventually(is_deleted)
    assert named("someone") is None
