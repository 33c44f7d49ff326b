"""The calls of Terraform's `dcs_backup`, `dcs_instance_restore` and `dcs_backup_import_task`, and how each waits."""

from __future__ import annotations

from typing import Any

import pytest
from go_client import GoClient, Json
from installation import HA, Installation, client_of, eventually


@pytest.fixture(scope="module")
def terraform(installation: Installation) -> GoClient:
    return GoClient(installation)


@pytest.fixture(scope="module")
def instance(installation: Installation) -> Json:
    return installation.create("terraform-backed-up", HA)


@pytest.fixture(scope="module")
def one(instance: Json) -> str:
    return f"/v2/{{}}/instances/{instance['instance_id']}"


def find(terraform: GoClient, path: str, size: int, **wanted: str) -> Json | None:
    """The record, looked for page by page as the resources do."""
    for page in terraform.pages(path, size):
        for record in page:
            if record.items() >= wanted.items():
                return dict(record)
    return None


def wait(terraform: GoClient, path: str, pending: set[str], **wanted: str) -> Json:
    def look() -> Json | None:
        found = find(terraform, path, 10, **wanted)
        assert found is not None
        if found["status"] in pending:
            return None
        return found

    found = eventually(look)
    assert found["status"] in ("succeed", "SUCCESS")
    return found


def test_a_backup_is_made_read_restored_imported_and_destroyed(
    terraform: GoClient, installation: Installation, instance: Json, one: str
) -> None:
    with client_of(instance) as client:
        client.set("key", "before")
    made = terraform.ask("POST", f"{one}/backups", {"remark": "by terraform", "backup_format": "rdb"}, ok={200})
    backup = wait(terraform, f"{one}/backups", {"waiting", "backuping"}, backup_id=made["backup_id"])
    texts = (
        "backup_name",
        "instance_id",
        "backup_type",
        "status",
        "created_at",
        "updated_at",
        "is_support_restore",
    )
    assert [name for name in texts if not (isinstance(backup[name], str) and backup[name])] == []
    assert (type(backup["size"]), backup["backup_format"], backup["remark"]) == (int, "rdb", "by terraform")

    with client_of(instance) as client:
        client.set("key", "after")
    restored = terraform.ask("POST", f"{one}/restores", {"backup_id": backup["backup_id"], "remark": ""})
    wait(terraform, f"{one}/restores", {"waiting", "restoring"}, restore_id=restored["restore_id"])
    terraform.wait_running(instance["instance_id"])
    with client_of(instance) as client:
        assert client.get("key") == "before"

    _import(terraform, instance, backup)

    terraform.ask("DELETE", f"{one}/backups/{backup['backup_id']}", ok={204})
    gone = find(terraform, f"{one}/backups", 10, backup_id=backup["backup_id"])
    assert gone is None or gone["status"] == "deleted"
    answer = terraform.send("DELETE", f"{one}/backups/{backup['backup_id']}")
    assert (answer.status_code, answer.json()["error_code"]) == (400, "DCS.4031")


def _import(terraform: GoClient, instance: Json, backup: Json) -> None:
    body: dict[str, Any] = {
        "task_name": "terraform-import",
        "description": "",
        "migration_type": "backupfile_import",
        "migration_method": "full_amount_migration",
        "backup_files": {"file_source": "backup_record", "backup_id": backup["backup_id"]},
        "target_instance": {"id": instance["instance_id"]},
    }
    task = terraform.ask("POST", "/v2/{}/migration-task", body)["id"]
    done = {"SUCCESS", "FAILED", "TERMINATED"}
    path = f"/v2/{{}}/migration-task/{task}"
    shown = eventually(lambda: found if (found := terraform.ask("GET", path))["status"] in done else None)
    assert (shown["status"], shown["task_name"]) == ("SUCCESS", "terraform-import")
    terraform.ask("DELETE", "/v2/{}/migration-tasks/delete", {"task_id_list": [task]}, ok={200})
    answer = terraform.send("GET", path)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "DCS.4133")
    assert find(terraform, "/v2/{}/migration-tasks", 10, task_id=task) is None


def test_busy_codes_are_those_it_waits_for(terraform: GoClient, instance: Json, one: str) -> None:
    """The provider asks again only after some codes; two backups in one plan meet such a one."""
    terraform.wait_running(instance["instance_id"])
    first = terraform.send("POST", f"{one}/backups", {})
    second = terraform.send("POST", f"{one}/backups", {})
    assert (first.status_code, second.json()["error_code"]) == (200, "DCS.4096")
    terraform.wait_running(instance["instance_id"])
