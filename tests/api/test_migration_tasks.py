"""Imports through the API: from a backup and from uploaded files, told as the contract says; and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from contract import departures
from installation import HA, PASSWORD, Installation, client_of, eventually
from postgresql import NewDatabase
from refusals import check_refused, look
from second_tenant import WITH_OTHER, sign_in

UNKNOWN = "00000000-0000-4000-8000-000000000000"
UNKNOWN_TASK = "0" * 32


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase) -> Iterator[Installation]:
    """A service with two tenants."""
    made = Installation(tmp_path_factory.mktemp("imports"), new_database(), WITH_OTHER)
    try:
        yield made.start()
    finally:
        made.remove()


@pytest.fixture(scope="module")
def api(service: Installation) -> Iterator[httpx.Client]:
    with service.http() as client:
        yield client


@pytest.fixture(scope="module")
def other(service: Installation) -> Iterator[httpx.Client]:
    """The other tenant; paths begin at its project."""
    with sign_in(service) as client:
        yield client


@pytest.fixture(scope="module")
def source(service: Installation) -> dict[str, Any]:
    """An instance with keys."""
    made = service.create("import-source", HA)
    with client_of(made) as client:
        client.mset({f"key-{number}": "source" for number in range(50)})
    return made


@pytest.fixture(scope="module")
def target(service: Installation) -> dict[str, Any]:
    """An instance to import into: a single node, which no restoration would take."""
    return service.create("import-target")


@pytest.fixture(scope="module")
def backup(api: httpx.Client, source: dict[str, Any]) -> str:
    """Id of a backup of the source."""
    path = f"/instances/{source['instance_id']}/backups"
    made = str(api.post(path, json={}).json()["backup_id"])

    def done() -> bool:
        [record] = api.get(path).json()["backup_record_response"]
        assert record["status"] != "failed", record
        return bool(record["status"] == "succeed")

    eventually(done)
    return made


@pytest.fixture(scope="module")
def uploaded(service: Installation, api: httpx.Client, source: dict[str, Any], backup: str) -> dict[str, Any]:
    """The backup's file as the tenant's own upload: bucket and name."""
    path = f"/instances/{source['instance_id']}/backups/{backup}/links"
    found = api.post(path, json={"expiration": 300}).json()
    content = httpx.get(found["links"][0]["link"]).content
    where = f"{service.endpoint}/objects/{found['bucket_name']}/{service.env['project_id']}/imports/dump.rdb"
    answer = api.put(where, content=content)
    assert answer.status_code == 200, answer.text
    return {"bucket_name": found["bucket_name"], "file_name": "imports/dump.rdb"}


def order(target: dict[str, Any], files: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A body for create_migration_task that is right, but for what is named."""
    return {
        "task_name": "import-1",
        "description": "of a test",
        "migration_type": "backupfile_import",
        "migration_method": "full_amount_migration",
        "backup_files": files,
        "target_instance": {"id": target["instance_id"], "name": target["name"], "password": PASSWORD},
    } | fields


def of_backup(backup: str) -> dict[str, Any]:
    return {"file_source": "backup_record", "backup_id": backup}


def of_files(uploaded: dict[str, Any], **file: Any) -> dict[str, Any]:
    named = {"file_name": uploaded["file_name"], "size": "754.0MB", "update_at": "2025-01-01 00:00:00"} | file
    return {"file_source": "self_build_obs", "bucket_name": uploaded["bucket_name"], "files": [named]}


def begin(api: httpx.Client, body: dict[str, Any]) -> str:
    """Id of a new task."""
    answer = api.post("/migration-task", json=body)
    assert answer.status_code == 200, answer.text
    assert list(departures(answer.json(), "CreateMigrationTaskResponse")) == []
    assert (answer.json()["name"], answer.json()["status"], answer.json()["error"]) == (
        body["task_name"], "MIGRATING", "",
    )  # fmt: skip
    return str(answer.json()["id"])


def ended(service: Installation, api: httpx.Client, task: str) -> dict[str, Any]:
    def look_at() -> dict[str, Any] | None:
        found = api.get(f"/migration-task/{task}").json()
        return found if found["status"] != "MIGRATING" else None

    found = eventually(look_at)
    service.wait(found["target_instance"]["id"])
    return dict(found)


def empty(instance: dict[str, Any], **keys: str) -> None:
    with client_of(instance) as client:
        client.flushall()
        if keys:
            client.mset(keys)


def keys_of(instance: dict[str, Any]) -> dict[str, str]:
    with client_of(instance) as client:
        names = sorted(client.scan_iter(count=1000))
        return dict(zip(names, client.mget(names), strict=True)) if names else {}


@pytest.mark.parametrize("source_of", ["backup", "file"])
def test_keys_come_and_others_stay(
    service: Installation,
    api: httpx.Client,
    target: dict[str, Any],
    backup: str,
    uploaded: dict[str, Any],
    source_of: str,
):
    empty(target, **{"own": "stays", "key-7": "old"})
    files = of_backup(backup) if source_of == "backup" else of_files(uploaded)
    task = ended(service, api, begin(api, order(target, files, task_name=f"import-{source_of}")))
    assert task["status"] == "SUCCESS", task
    assert keys_of(target) == {"own": "stays"} | {f"key-{number}": "source" for number in range(50)}


def test_a_task_is_told_as_the_contract_says(
    service: Installation, api: httpx.Client, target: dict[str, Any], source: dict[str, Any], backup: str
):
    task = begin(api, order(target, of_backup(backup), task_name="told-of"))
    shown = ended(service, api, task)
    assert list(departures(shown, "ShowMigrationTaskResponse")) == []
    assert (shown["source_instance"]["id"], shown["target_instance"]["id"]) == (
        source["instance_id"], target["instance_id"],
    )  # fmt: skip
    assert shown["backup_files"].items() >= of_backup(backup).items()
    assert shown["description"] == "of a test"
    assert shown["target_instance"]["addrs"] == f"{target['ip']}:{target['port']}"

    answer = api.get("/migration-tasks", params={"name": "told-of"}).json()
    assert list(departures(answer, "ListMigrationTaskResponse")) == []
    [listed] = answer["migration_tasks"]
    assert (answer["count"], listed["task_id"], listed["status"]) == (1, task, "SUCCESS")
    assert (listed["source_instance_name"], listed["target_instance_status"]) == ("import-source", "RUNNING")

    stats = api.get(f"/migration-task/{task}/stats").json()
    assert list(departures(stats, "ShowMigrationTaskStatsResponse")) == []
    with client_of(target) as client:
        assert (stats["source_dbsize"], stats["target_dbsize"]) == ("50", str(client.dbsize()))
    assert (stats["full_migration_progress"], stats["is_migrating"]) == ("100", False)


def test_files_are_told_as_they_were_named(
    service: Installation, api: httpx.Client, target: dict[str, Any], uploaded: dict[str, Any]
):
    bytes_of_it = ended(service, api, begin(api, order(target, of_files(uploaded, size=880232))))
    assert bytes_of_it["backup_files"]["files"][0]["size"] == "880232"
    shown = ended(service, api, begin(api, order(target, of_files(uploaded))))
    assert list(departures(shown, "ShowMigrationTaskResponse")) == []
    assert shown["backup_files"] == of_files(uploaded) | {"backup_id": None}
    assert shown["source_instance"] is None


def test_no_answer_and_no_record_has_a_password(
    service: Installation, api: httpx.Client, target: dict[str, Any], backup: str
):
    task = begin(api, order(target, of_backup(backup)))
    ended(service, api, task)
    texts = [api.get(path).text for path in (f"/migration-task/{task}", "/migration-tasks")]
    assert not any(PASSWORD in text for text in (*texts, service.log()))


def test_tasks_that_have_ended_are_deleted(
    service: Installation, api: httpx.Client, target: dict[str, Any], backup: str
):
    first = begin(api, order(target, of_backup(backup)))
    running = api.request("DELETE", "/migration-tasks/delete", json={"task_id_list": [first]})
    check_refused(running, "DCS.4957", first)
    ended(service, api, first)
    gone = api.request("DELETE", "/migration-tasks/delete", json={"task_id_list": [first, UNKNOWN_TASK]})
    assert (gone.status_code, gone.json()) == (200, {"task_id_list": [first]})
    check_refused(api.get(f"/migration-task/{first}"), "DCS.4133")
    check_refused(api.get(f"/migration-task/{first}/stats"), "DCS.4133")
    again = api.request("DELETE", "/migration-tasks/delete", json={"task_id_list": [first]})
    assert (again.status_code, again.json()) == (200, {"task_id_list": []})


def test_one_thing_at_a_time(
    service: Installation, api: httpx.Client, target: dict[str, Any], source: dict[str, Any], backup: str
):
    task = begin(api, order(target, of_backup(backup)))
    check_refused(api.delete(f"/instances/{source['instance_id']}/backups/{backup}"), "DCS.4017", backup)
    check_refused(api.post("/migration-task", json=order(target, of_backup(backup))), "DCS.4114")
    assert ended(service, api, task)["status"] == "SUCCESS"


def test_a_file_that_is_none_of_a_redis_fails_the_task_and_changes_nothing(
    service: Installation, api: httpx.Client, target: dict[str, Any], uploaded: dict[str, Any]
):
    empty(target, own="stays")
    bucket, project = uploaded["bucket_name"], service.env["project_id"]
    api.put(f"{service.endpoint}/objects/{bucket}/{project}/imports/broken.rdb", content=b"REDIS0011 or not")
    files = of_files(uploaded, file_name="imports/broken.rdb")
    task = ended(service, api, begin(api, order(target, files)))
    assert task["status"] == "FAILED"
    assert task["error_message"]
    [listed] = api.get("/migration-tasks", params={"limit": 1}).json()["migration_tasks"]
    assert (listed["task_id"], listed["error_message"]) == (task["task_id"], task["error_message"])
    assert keys_of(target) == {"own": "stays"}


BAD = [
    pytest.param({"task_name": "1x"}, "DCS.4062", "task_name", id="name"),
    pytest.param({"task_name": None}, "DCS.4062", "task_name", id="no name"),
    pytest.param({"description": "d" * 1025}, "DCS.4011", "description", id="description"),
    pytest.param({"migration_type": "online_migration"}, "DCS.4062", "migration_type", id="online"),
    pytest.param({"migration_method": "incremental_migration"}, "DCS.4062", "migration_method", id="method"),
    pytest.param({"backup_files": {"file_source": "ftp"}}, "DCS.4062", "file_source", id="source"),
    pytest.param({"backup_files": None}, "DCS.4062", "bucket_name", id="no files"),
    pytest.param({"backup_files": {"bucket_name": "b", "files": []}}, "DCS.4062", "files", id="empty files"),
    pytest.param({"backup_files": "all"}, "DCS.4062", "backup_files", id="files are a word"),
    pytest.param({"backup_files": of_backup(UNKNOWN)}, "DCS.4062", "backup_id", id="unknown backup"),
    pytest.param({"target_instance": {}}, "DCS.4062", "target_instance", id="no target"),
    pytest.param({"target_instance": {"id": UNKNOWN}}, "DCS.3022", None, id="unknown target"),
]


@pytest.mark.parametrize(("fields", "code", "field"), BAD)
def test_a_bad_order_is_refused(
    api: httpx.Client,
    target: dict[str, Any],
    backup: str,
    fields: dict[str, Any],
    code: str,
    field: str | None,
):
    before = (look(api), api.get("/migration-tasks").text)
    answer = api.post("/migration-task", json=order(target, of_backup(backup)) | fields)
    check_refused(answer, code, field, 404 if code == "DCS.3022" else 400)
    assert (look(api), api.get("/migration-tasks").text) == before


@pytest.mark.parametrize(
    "name",
    ["imports/none.rdb", "../imports/dump.rdb", "/etc/passwd", "{project}/../{other}/imports/dump.rdb", "backups"],
)
def test_a_file_that_is_not_there_is_refused(
    service: Installation,
    api: httpx.Client,
    other: httpx.Client,
    target: dict[str, Any],
    uploaded: dict[str, Any],
    name: str,
):
    theirs = str(other.base_url).rstrip("/").rsplit("/", 1)[-1]
    file = name.format(project=service.env["project_id"], other=theirs)
    check_refused(
        api.post("/migration-task", json=order(target, of_files(uploaded, file_name=file))),
        "DCS.4062",
        "file_name",
    )


def test_another_bucket_is_not_there(api: httpx.Client, target: dict[str, Any], uploaded: dict[str, Any]):
    files = of_files(uploaded | {"bucket_name": "somebody-s"})
    check_refused(api.post("/migration-task", json=order(target, files)), "DCS.4062", "file_name")


def test_a_wrong_password_is_refused_and_counts(service: Installation, api: httpx.Client, backup: str):
    made = service.create("import-locked")
    wrong = {"id": made["instance_id"], "password": "Wrong-passw0rd"}
    for _ in range(5):
        answer = api.post("/migration-task", json=order(made, of_backup(backup), target_instance=wrong))
        check_refused(answer, "DCS.4080", "password")
    right = wrong | {"password": PASSWORD}
    answer = api.post("/migration-task", json=order(made, of_backup(backup), target_instance=right))
    check_refused(answer, "DCS.4080", "locked")
    without = {"id": made["instance_id"]}
    task = begin(api, order(made, of_backup(backup), target_instance=without))
    assert ended(service, api, task)["status"] == "SUCCESS"


def test_another_tenant_finds_neither_task_nor_backup_nor_file(
    service: Installation,
    api: httpx.Client,
    other: httpx.Client,
    target: dict[str, Any],
    backup: str,
    uploaded: dict[str, Any],
):
    task = begin(api, order(target, of_backup(backup)))
    ended(service, api, task)
    check_refused(other.get(f"/migration-task/{task}"), "DCS.4133")
    check_refused(other.get(f"/migration-task/{task}/stats"), "DCS.4133")
    assert other.get("/migration-tasks").json() == {"count": 0, "migration_tasks": []}
    gone = other.request("DELETE", "/migration-tasks/delete", json={"task_id_list": [task]})
    assert gone.json() == {"task_id_list": []}
    assert api.get(f"/migration-task/{task}").status_code == 200
    answer = other.post("/migration-task", json=order(target, of_backup(backup), target_instance={"id": UNKNOWN}))
    check_refused(answer, "DCS.3022", status=404)
    answer = other.post("/migration-task", json=order(target, of_files(uploaded)))
    assert answer.json()["error_code"] in ("DCS.3022", "DCS.4062")
    for field in ("name", "ip"):
        assert target[field] not in answer.text


def test_a_task_outlives_its_instances(service: Installation, api: httpx.Client, target: dict[str, Any]):
    made = service.create("import-ends", HA)
    one = f"/instances/{made['instance_id']}"
    backup = api.post(f"{one}/backups").json()["backup_id"]
    eventually(lambda: api.get(f"{one}/backups").json()["backup_record_response"][0]["status"] == "succeed")
    task = begin(api, order(target, of_backup(backup)))
    assert api.delete(one).status_code == 204
    service.wait_gone(made["instance_id"])
    shown = ended(service, api, task)
    assert (shown["status"], shown["source_instance"]["name"]) == ("SUCCESS", "import-ends"), shown
    assert shown["source_instance"]["task_status"] == ""
