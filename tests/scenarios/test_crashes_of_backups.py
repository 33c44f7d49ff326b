"""The service is killed in the middle of a backup, a restoration or an import, and started again.

Afterwards the record says what is true: it succeeded, and the data is exactly that; or it failed, and the instance
has exactly what it had. It serves, and nothing is left over.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from archived import back_up, digest, ended, fill, flush, import_ended, import_order, masters_of, restore
from configured import Configured
from crashes import ANSWERED, Crash, settled
from installation import HA, HA_3, SINGLE, Installation, client_of, eventually
from object_stores import BUCKET, S3Server, find_rclone
from postgresql import NewDatabase
from records import reading
from resizes import resized
from sqlalchemy import select, update
from witnesses import agreed, assert_nothing_is_left_over

from cachestead.store.tables import backups

KEYS = 2000
THREE_SHARDS, FOUR_SHARDS = "redis.cluster.xu1.large.r2.s8.24", "redis.cluster.xu1.large.r2.s8.32"


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase) -> Iterator[Installation]:
    """One that may promise more memory than machines that run tests have."""
    settings = {"CAPACITY__MEMORY_MB": str(1024 * 1024)}
    folder: Path = tmp_path_factory.mktemp("installation")
    installation = Installation(folder, new_database(), settings)
    try:
        yield installation.start()
    finally:
        installation.remove()


@pytest.fixture
def crash(installation: Installation) -> Iterator[Crash]:
    """The means to kill the service; nothing is left over of it."""
    yield Crash(installation)
    if installation.process is None:
        installation.start()
    assert_nothing_is_left_over(installation)


@pytest.fixture(scope="module")
def kept(installation: Installation) -> dict[str, Any]:
    """A master with two replicas, and data."""
    instance = installation.create("kept", HA_3, capacity=1)
    fill(installation, instance, KEYS)
    return instance


@pytest.fixture(scope="module")
def reshaped(installation: Installation) -> tuple[dict[str, Any], dict[str, Any]]:
    """A cluster that got another shard since its backup, and the backup."""
    instance = installation.create("reshaped", THREE_SHARDS, capacity=24)
    fill(installation, instance, KEYS)
    backup = back_up(installation, instance)
    resized(installation, instance, FOUR_SHARDS, 32)
    for master in masters_of(installation, instance):
        assert len(master.execute_command("FUNCTION", "LIST")) == 1, "the new shard has the function, too"
    return instance, backup


@pytest.mark.parametrize(
    ("form", "moment", "later"),
    [
        ("rdb", ANSWERED, 0),
        ("rdb", "take_snapshots", 0),
        ("rdb", "verify_files", 0),
        ("aof", "take_snapshots", 0.1),
    ],
)
def test_a_backup_is_made_although_the_service_is_killed(
    installation: Installation, crash: Crash, kept: dict[str, Any], form: str, moment: str, later: float
):
    path = f"/instances/{kept['instance_id']}/backups"
    before = digest(installation, kept)
    crash.during(lambda api: api.post(path, json={"backup_format": form}), moment, later)

    backup = ended(installation, kept, "backups")
    assert (backup["status"], backup["backup_format"]) == ("succeed", form), backup
    settled(installation, kept["instance_id"])
    assert digest(installation, kept) == before
    flush(installation, kept)
    assert restore(installation, kept, backup)["status"] == "succeed"
    assert digest(installation, kept) == before


def assert_one_or_the_other(
    installation: Installation, instance: dict[str, Any], before: dict[Any, Any], wanted: dict[Any, Any]
) -> None:
    """The restoration succeeded, and the data is the backup's; or failed, and the data is what it was."""
    record = ended(installation, instance, "restores")
    now = settled(installation, instance["instance_id"])
    assert now is not None
    assert now["status"] == "RUNNING"
    found = digest(installation, instance)
    if record["status"] == "succeed":
        assert found == wanted
    else:
        assert record["error_code"].startswith("dcs.08.000"), record
        assert found == before
    eventually(lambda: agreed(installation, now))
    for master in masters_of(installation, instance):
        assert len(master.execute_command("FUNCTION", "LIST")) == 1


_STEPS = ("fetch_files", "unwatch_instance", "stop_serving", "place_files", "load_data", "open_instance")


@pytest.mark.parametrize(
    ("form", "moment", "later"),
    [
        *(("rdb", moment, 0) for moment in (ANSWERED, *_STEPS, "remove_old")),
        ("rdb", "load_data", 0.3),
        ("aof", "load_data", 0.1),
    ],
)
def test_a_restoration_from_files_ends_although_the_service_is_killed(
    installation: Installation, crash: Crash, kept: dict[str, Any], form: str, moment: str, later: float
):
    check_crash_of_restore(installation, crash, kept, form, moment, later)


def check_crash_of_restore(
    installation: Installation, crash: Crash, instance: dict[str, Any], form: str, moment: str, later: float
) -> None:
    """Whatever moment it is, the data is the backup's or what it was, and the record says which."""
    backup = back_up(installation, instance, backup_format=form)
    wanted = digest(installation, instance)
    with client_of(instance) as client:
        client.set("since", time.monotonic_ns())
        client.delete("key:1", "key:2")
    before = digest(installation, instance)
    assert before != wanted
    path = f"/instances/{instance['instance_id']}/restores"
    crash.during(lambda api: api.post(path, json={"backup_id": backup["backup_id"]}), moment, later)

    assert_one_or_the_other(installation, instance, before, wanted)


@pytest.mark.parametrize(
    ("moment", "later"),
    [("place_files", 0), ("load_data", 0.5), ("open_instance", 0)],
)
def test_a_restoration_by_keys_ends_although_the_service_is_killed(
    installation: Installation,
    crash: Crash,
    reshaped: tuple[dict[str, Any], dict[str, Any]],
    moment: str,
    later: float,
):
    instance, backup = reshaped
    assert restore(installation, instance, backup)["status"] == "succeed"
    wanted = digest(installation, instance)
    flush(installation, instance)
    fill(installation, instance, 100)
    before = digest(installation, instance)
    assert before != wanted
    path = f"/instances/{instance['instance_id']}/restores"
    crash.during(lambda api: api.post(path, json={"backup_id": backup["backup_id"]}), moment, later)

    assert_one_or_the_other(installation, instance, before, wanted)


def test_a_restoration_by_keys_that_does_not_count_up_gives_everything_back(
    installation: Installation, crash: Crash, reshaped: tuple[dict[str, Any], dict[str, Any]]
):
    """The record is made to promise a key that no file has; the service is killed while it counts, or undoes."""
    instance, backup = reshaped
    before = digest(installation, instance)
    counted = of_backup(installation, backup["backup_id"])
    write_files(
        installation, backup["backup_id"], [{**counted[0], "lasting": counted[0]["lasting"] + 1}, *counted[1:]]
    )
    path = f"/instances/{instance['instance_id']}/restores"
    try:
        crash.during(lambda api: api.post(path, json={"backup_id": backup["backup_id"]}), "load_data", 7)
        record = ended(installation, instance, "restores")
    finally:
        write_files(installation, backup["backup_id"], counted)
    assert (record["status"], record["error_code"]) == ("failed", "dcs.08.0007"), record
    assert_one_or_the_other(installation, instance, before, {})


def of_backup(installation: Installation, backup_id: str) -> list[dict[str, Any]]:
    """Its files on record."""
    with reading(installation) as connection:
        return list(connection.scalar(select(backups.c.files).where(backups.c.id == backup_id)))


def write_files(installation: Installation, backup_id: str, files: list[dict[str, Any]]) -> None:
    with reading(installation) as connection:
        connection.execute(update(backups).where(backups.c.id == backup_id).values(files=files))
        connection.commit()


@pytest.fixture(scope="module")
def without_files(installation: Installation) -> dict[str, Any]:
    """A master and its standby whose data is in memory only."""
    instance = installation.create("without-files", HA)
    with installation.http() as api:
        assert Configured(installation, api, instance).set(appendonly="no") == "SUCCESS"
    fill(installation, instance, KEYS)
    return instance


@pytest.mark.parametrize(
    ("form", "moment", "later"),
    [
        ("rdb", "stop_serving", 0.05),
        ("rdb", "load_data", 0.1),
        ("aof", "load_data", 0.3),
    ],
)
def test_data_that_is_in_memory_only_is_not_lost_either(
    installation: Installation, crash: Crash, without_files: dict[str, Any], form: str, moment: str, later: float
):
    """Such nodes cannot start from a file of commands: then keys come one by one."""
    check_crash_of_restore(installation, crash, without_files, form, moment, later)


@pytest.mark.parametrize(("moment", "later"), [(ANSWERED, 0), ("read_files", 0.1), ("send_keys", 0.1)])
def test_an_import_ends_although_the_service_is_killed(
    installation: Installation, crash: Crash, kept: dict[str, Any], moment: str, later: float
):
    backup = back_up(installation, kept)
    target = installation.create("target", SINGLE)
    with client_of(target) as client:
        client.mset({"own": "stays", "key:3": "is replaced"})
    order = import_order(target, {"file_source": "backup_record", "backup_id": backup["backup_id"]})
    crash.during(lambda api: api.post("/migration-task", json=order), moment, later)

    task = import_ended(installation)
    assert task["status"] == "SUCCESS", task
    wanted = digest(installation, kept)[0][0]
    with client_of(target) as client:
        assert client.get("own") == "stays"
        assert client.get("key:3") == "value of 3"
        assert client.dbsize() == wanted + 1
    assert_nothing_is_left_over(installation)
    with installation.http() as api:
        assert api.delete(f"/instances/{target['instance_id']}").status_code == 204
    installation.wait_gone(target["instance_id"])


@pytest.mark.skipif(find_rclone() is None, reason="rclone is not installed")
def test_a_backup_on_a_server_is_made_although_the_service_is_killed(tmp_path: Path, new_database: NewDatabase):
    server = S3Server(tmp_path / "s3" / "buckets").start()
    settings = {f"OBJECTS__{name.upper()}": str(value) for name, value in server.settings(bucket=BUCKET).items()}
    installation = Installation(tmp_path / "data", new_database(), settings)
    try:
        instance = installation.start().create("far-away", HA)
        fill(installation, instance, KEYS)
        before = digest(installation, instance)
        path = f"/instances/{instance['instance_id']}/backups"
        Crash(installation).during(lambda api: api.post(path, json={}), "take_snapshots", 0.05)

        backup = ended(installation, instance, "backups")
        assert backup["status"] == "succeed", backup

        def only_file() -> str:
            """The server takes back what was half sent when it sees that the sender is gone."""
            [file] = [path for path in (server.folder / BUCKET).rglob("*") if path.is_file()]
            return str(file)

        assert backup["backup_id"] in eventually(only_file)
        settled(installation, instance["instance_id"])
        flush(installation, instance)
        assert restore(installation, instance, backup)["status"] == "succeed"
        assert digest(installation, instance) == before
        assert_nothing_is_left_over(installation)
    finally:
        installation.remove()
        server.kill()
