"""Backups through the API: made, listed, downloaded, put back and deleted; and everything that is refused."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from contract import departures
from installation import HA, Installation, client_of, eventually
from postgresql import NewDatabase
from refusals import check_refused, look
from second_tenant import WITH_OTHER, sign_in

UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase) -> Iterator[Installation]:
    """A service with two tenants."""
    made = Installation(tmp_path_factory.mktemp("backups"), new_database(), WITH_OTHER)
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
def instance(service: Installation) -> dict[str, Any]:
    """A master/standby instance with a key."""
    made = service.create("backed-up", HA)
    with client_of(made) as client:
        client.set("before", "1")
    return made


@pytest.fixture(scope="module")
def one(instance: dict[str, Any]) -> str:
    """Path of the instance."""
    return f"/instances/{instance['instance_id']}"


@pytest.fixture(scope="module")
def lonely(service: Installation) -> str:
    """Path of a single-node instance."""
    return f"/instances/{service.create('lonely')['instance_id']}"


@pytest.fixture(scope="module")
def backup(api: httpx.Client, one: str) -> dict[str, Any]:
    """A backup that is there, and has the key."""
    return back_up(api, one, remark="the first")


def back_up(api: httpx.Client, one: str, **body: Any) -> dict[str, Any]:
    """A backup that succeeded, as it is listed."""
    made = api.post(f"{one}/backups", json=body)
    assert made.status_code == 200, made.text
    return settled(api, one, made.json()["backup_id"])


def settled(api: httpx.Client, one: str, backup_id: str, status: str = "succeed") -> dict[str, Any]:
    def look_at() -> dict[str, Any] | None:
        found = find(api, one, backup_id)
        assert found["status"] != "failed" or status == "failed", found
        return found if found["status"] == status else None

    return eventually(look_at)


def find(api: httpx.Client, one: str, backup_id: str) -> dict[str, Any]:
    listed = api.get(f"{one}/backups", params={"limit": 1000}).json()["backup_record_response"]
    return next(each for each in listed if each["backup_id"] == backup_id)


def links_of(api: httpx.Client, one: str, backup: dict[str, Any], seconds: int = 300) -> dict[str, Any]:
    answer = api.post(f"{one}/backups/{backup['backup_id']}/links", json={"expiration": seconds})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_without_a_backup_or_a_restoration_there_is_nothing_to_list(api: httpx.Client, lonely: str):
    for path in ("backups", "restores"):
        answer = api.get(f"{lonely}/{path}")
        assert (answer.status_code, answer.content) == (204, b"")


def test_a_backup_is_listed_as_the_contract_says(backup: dict[str, Any], instance: dict[str, Any]):
    assert list(departures(backup, "BackupRecordResponse")) == []
    assert (
        backup.items()
        >= {
            "instance_id": instance["instance_id"],
            "remark": "the first",
            "backup_type": "manual",
            "backup_format": "rdb",
            "progress": "100.00",
            "is_support_restore": "TRUE",
            "error_code": None,
            "period": None,
        }.items()
    )
    assert backup["size"] > 0
    assert re.fullmatch(r"backup_[0-9]{14}", backup["backup_name"])
    assert backup["created_at"] <= backup["execution_at"] <= backup["updated_at"]


def test_a_link_is_all_that_curl_needs(api: httpx.Client, one: str, backup: dict[str, Any], tmp_path: Path):
    found = links_of(api, one, backup)
    assert list(departures(found, "ListBackupFileLinksResponse")) == []
    [link] = found["links"]
    assert link["file_name"].endswith(".rdb")
    assert found["file_path"].endswith(f"/{backup['backup_id']}/")
    done = subprocess.run(
        ["curl", "--silent", "--fail", "--output", tmp_path / "file", link["link"]], check=False, timeout=30
    )
    assert done.returncode == 0
    content = (tmp_path / "file").read_bytes()
    assert (len(content), content[:5]) == (backup["size"], b"REDIS") or content[:6] == b"VALKEY"


def test_a_link_leads_to_nothing_else(api: httpx.Client, one: str, backup: dict[str, Any]):
    [link] = links_of(api, one, backup)["links"]
    later = re.sub(r"(expires=)([0-9]+)", lambda found: f"{found[1]}{int(found[2]) + 1}", link["link"])
    assert later != link["link"]
    assert httpx.get(later).status_code == 403
    assert httpx.get(link["link"].partition("?")[0]).status_code in (401, 403)


def test_both_spellings_of_a_span_are_taken(api: httpx.Client, one: str, backup: dict[str, Any]):
    made = datetime.fromisoformat(backup["created_at"])
    early, late = ((made + timedelta(days=days)).astimezone(UTC).strftime("%Y%m%d%H%M%S") for days in (-1, 1))

    def count(**query: str) -> int:
        answer = api.get(f"{one}/backups", params=query)
        return answer.json()["total_num"] if answer.status_code == 200 else 0

    assert count(begin_time=early, end_time=late) == count() > 0
    assert count(begin_time=late) == count(beginTime=late) == count(end_time=early) == 0
    for path, name in (("backups", "begin_time"), ("backups", "end_time"), ("restores", "begin_Time")):
        check_refused(api.get(f"{one}/{path}", params={name: "2025"}), "DCS.4062", name.lower())


def test_pages_are_newest_first(api: httpx.Client, one: str, backup: dict[str, Any]):
    newer = back_up(api, one, backup_format="aof")
    assert (newer["backup_format"], newer["remark"]) == ("aof", "")
    listed = api.get(f"{one}/backups").json()
    assert listed["total_num"] == len(listed["backup_record_response"]) >= 2
    ids = [each["backup_id"] for each in listed["backup_record_response"]]
    assert ids.index(newer["backup_id"]) < ids.index(backup["backup_id"])
    page = api.get(f"{one}/backups", params={"offset": 1, "limit": 1}).json()
    assert [each["backup_id"] for each in page["backup_record_response"]] == ids[1:2]
    beyond = api.get(f"{one}/backups", params={"offset": 100})
    assert (beyond.status_code, beyond.json()["backup_record_response"]) == (200, [])


def test_an_instance_goes_back_to_what_it_was(
    service: Installation, api: httpx.Client, one: str, backup: dict[str, Any], instance: dict[str, Any]
):
    with client_of(instance) as client:
        client.mset({"before": "2", "after": "1"})
    answer = api.post(f"{one}/restores", json={"backup_id": backup["backup_id"], "remark": "back"})
    assert answer.status_code == 200, answer.text
    restored = answer.json()["restore_id"]
    service.wait(instance["instance_id"])
    record = api.get(f"{one}/restores").json()["restore_record_response"][0]
    assert list(departures(record, "InstanceRestoreInfo")) == []
    assert (
        record.items()
        >= {
            "restore_id": restored,
            "backup_id": backup["backup_id"],
            "backup_name": backup["backup_name"],
            "backup_remark": "the first",
            "restore_remark": "back",
            "status": "succeed",
            "progress": "100.00",
            "error_code": None,
        }.items()
    )
    with client_of(instance) as client:
        assert client.mget("before", "after") == ["1", None]


def test_one_backup_at_a_time(api: httpx.Client, one: str, instance: dict[str, Any]):
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: api.post(f"{one}/backups"), range(8)))
    [made] = [answer for answer in answers if answer.status_code == 200]
    for answer in answers:
        if answer is not made:
            check_refused(answer, "DCS.4096", instance["instance_id"])
    settled(api, one, made.json()["backup_id"])


def test_what_is_under_way_is_neither_deleted_nor_used(api: httpx.Client, one: str):
    def ask() -> tuple[str, list[httpx.Response]] | None:
        """The answers, if the backup was under way until after the last of them."""
        made = api.post(f"{one}/backups", json={}).json()["backup_id"]
        answers = [
            api.delete(f"{one}/backups/{made}"),
            api.post(f"{one}/backups/{made}/links", json={"expiration": 300}),
            api.post(f"{one}/restores", json={"backup_id": made}),
        ]
        listed = find(api, one, made)
        settled(api, one, made)
        in_time = (listed["status"], listed["is_support_restore"]) in {
            ("waiting", "FALSE"),
            ("backuping", "FALSE"),
        }
        return (made, answers) if in_time else None

    made, answers = eventually(ask)
    for answer, code in zip(answers, ("DCS.4096", "DCS.4087", "DCS.4087"), strict=True):
        check_refused(answer, code, made)


def test_a_deleted_backup_is_gone_for_good(api: httpx.Client, one: str):
    made = back_up(api, one)
    [link] = links_of(api, one, made)["links"]
    gone = api.delete(f"{one}/backups/{made['backup_id']}")
    assert (gone.status_code, gone.content) == (204, b"")
    listed = find(api, one, made["backup_id"])
    assert (listed["status"], listed["is_support_restore"]) == ("deleted", "FALSE")
    assert httpx.get(link["link"]).status_code == 404
    check_refused(api.delete(f"{one}/backups/{made['backup_id']}"), "DCS.4031")
    check_refused(api.post(f"{one}/restores", json={"backup_id": made["backup_id"]}), "DCS.4087", "backup_id")


def test_a_backup_is_deleted_once_however_many_ask(api: httpx.Client, one: str):
    path = f"{one}/backups/{back_up(api, one)['backup_id']}"
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: api.delete(path), range(4)))
    assert {answer.status_code for answer in answers} <= {204, 400}
    assert 204 in {answer.status_code for answer in answers}
    check_refused(api.delete(path), "DCS.4031")


def test_a_backup_is_either_deleted_or_restored_from(
    service: Installation, api: httpx.Client, one: str, instance: dict[str, Any]
):
    for _ in range(3):
        made = back_up(api, one)["backup_id"]
        with ThreadPoolExecutor(2) as threads:
            restoring = threads.submit(api.post, f"{one}/restores", json={"backup_id": made})
            deleting = threads.submit(api.delete, f"{one}/backups/{made}")
        outcome = (restoring.result().status_code, deleting.result().status_code)
        assert outcome in {(200, 400), (400, 204)}, (restoring.result().text, deleting.result().text)
        if outcome == (200, 400):
            check_refused(deleting.result(), "DCS.4097", made)
            service.wait(instance["instance_id"])
            newest = api.get(f"{one}/restores").json()["restore_record_response"][0]
            assert (newest["backup_id"], newest["status"]) == (made, "succeed")
        else:
            check_refused(restoring.result(), "DCS.4087", "backup_id")


BAD_BACKUPS = [
    pytest.param({"remark": "r" * 129}, "DCS.4098", "remark", id="long remark"),
    pytest.param({"remark": ["r"]}, "DCS.4062", "remark", id="remark is a list"),
    pytest.param({"backup_format": "zip"}, "DCS.4062", "backup_format", id="unknown format"),
    pytest.param({"backup_format": 7}, "DCS.4062", "backup_format", id="format is a number"),
]


@pytest.mark.parametrize(("body", "code", "field"), BAD_BACKUPS)
def test_a_bad_backup_is_refused(api: httpx.Client, one: str, body: dict[str, Any], code: str, field: str):
    before = api.get(f"{one}/backups").text
    check_refused(api.post(f"{one}/backups", json=body), code, field)
    assert api.get(f"{one}/backups").text == before


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        pytest.param({}, "DCS.4062", "backup_id", id="no backup"),
        pytest.param({"backup_id": UNKNOWN}, "DCS.4062", "backup_id", id="unknown backup"),
        pytest.param({"backup_id": "../" * 40}, "DCS.4062", "backup_id", id="no id"),
        pytest.param({"backup_id": UNKNOWN, "remark": "r" * 129}, "DCS.4098", "remark", id="long remark"),
        pytest.param({"backup_id": {}}, "DCS.4062", "backup_id", id="backup is an object"),
    ],
)
def test_a_bad_restoration_is_refused(api: httpx.Client, one: str, body: dict[str, Any], code: str, field: str):
    before = look(api)
    check_refused(api.post(f"{one}/restores", json=body), code, field)
    assert look(api) == before


@pytest.mark.parametrize(
    "body", [{}, *({"expiration": one} for one in (299, 86_401, 0, -1, "soon", 10**30, None))]
)
def test_bad_links_are_refused(api: httpx.Client, one: str, backup: dict[str, Any], body: dict[str, Any]):
    answer = api.post(f"{one}/backups/{backup['backup_id']}/links", json=body)
    check_refused(answer, "DCS.4062", "expiration")


def test_an_unknown_backup_has_no_links(api: httpx.Client, one: str):
    check_refused(api.post(f"{one}/backups/{UNKNOWN}/links", json={"expiration": 300}), "DCS.4062", "backup_id")
    check_refused(api.delete(f"{one}/backups/{UNKNOWN}"), "DCS.4031")


def test_a_single_node_keeps_nothing_to_back_up(api: httpx.Client, lonely: str, backup: dict[str, Any]):
    check_refused(api.post(f"{lonely}/backups", json={}), "DCS.4095")
    check_refused(api.post(f"{lonely}/restores", json={"backup_id": backup["backup_id"]}), "DCS.4095")


def test_a_backup_is_its_own_instance_s_only(api: httpx.Client, lonely: str, backup: dict[str, Any]):
    path = f"{lonely}/backups/{backup['backup_id']}"
    check_refused(api.delete(path), "DCS.4031")
    check_refused(api.post(f"{path}/links", json={"expiration": 300}), "DCS.4062", "backup_id")


def test_another_tenant_finds_no_instance_with_backups(other: httpx.Client, one: str, backup: dict[str, Any]):
    path = f"{one}/backups/{backup['backup_id']}"
    for method, where, body in (
        ("POST", f"{one}/backups", {}),
        ("GET", f"{one}/backups", None),
        ("DELETE", path, None),
        ("POST", f"{path}/links", {"expiration": 300}),
        ("POST", f"{one}/restores", {"backup_id": backup["backup_id"]}),
        ("GET", f"{one}/restores", None),
    ):
        check_refused(other.request(method, where, json=body), "DCS.3022", status=404)


def test_the_policy_says_since_when_it_is_so(api: httpx.Client, one: str):
    plan = {"period_type": "weekly", "backup_at": ["3", 1], "begin_at": "02:00-03:00"}
    auto = {"backup_type": "auto", "save_days": 3, "periodical_backup_plan": plan}

    def put(policy: dict[str, Any]) -> dict[str, Any]:
        assert api.put(one, json={"instance_backup_policy": policy}).status_code == 204
        return dict(api.get(one).json()["instance_backup_policy"])

    made = put(auto)
    assert made["created_at"] == made["updated_at"]
    assert put(auto) == made, "nothing has changed"
    by_hand = put({"backup_type": "manual"})
    assert by_hand["created_at"] == made["created_at"] < by_hand["updated_at"]
    assert by_hand["policy"] == made["policy"] | {"backup_type": "manual"}
    assert put(auto)["policy"] == made["policy"]
    put({"backup_type": "manual"})


def test_backups_go_with_their_instance(service: Installation, api: httpx.Client):
    made = service.create("short-lived", HA)
    one = f"/instances/{made['instance_id']}"
    [link] = links_of(api, one, back_up(api, one))["links"]
    assert httpx.get(link["link"]).status_code == 200
    assert api.delete(one).status_code == 204
    service.wait_gone(made["instance_id"])
    assert httpx.get(link["link"]).status_code == 404
    check_refused(api.get(f"{one}/backups"), "DCS.3022", status=404)
    assert not [
        path
        for path in (service.folder / "objects").rglob("*")
        if made["instance_id"] in str(path) and path.is_file()
    ]


def test_what_is_stored_is_what_was_written_down(
    service: Installation, api: httpx.Client, one: str, backup: dict[str, Any]
):
    """The copy in the store has the size on record, and is the one that the link leads to."""
    [link] = links_of(api, one, backup)["links"]
    [stored] = (service.folder / "objects").rglob(link["file_name"])
    content = httpx.get(link["link"]).content
    assert hashlib.sha256(stored.read_bytes()).digest() == hashlib.sha256(content).digest()
