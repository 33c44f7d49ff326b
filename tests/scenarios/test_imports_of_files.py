"""Files that other people's engines made, brought into instances of every type: all of a file, or nothing."""

from __future__ import annotations

import io
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from archived import (
    LIBRARY,
    back_up,
    contents,
    fill,
    fill_every_type,
    import_ended,
    import_order,
    masters_of,
)
from crashes import settled
from installation import CLUSTER, HA, PROXY, SPLIT, Installation, client_of, eventually, free_port
from postgresql import NewDatabase
from real_engines import ENGINES, OLDER_ENGINES
from witnesses import assert_nothing_is_left_over, stored_backups

from cachestead.engine.catalogue import Engine

FOUR_SHARDS = "redis.cluster.xu1.large.r2.s8.32"
TYPES: dict[str, dict[str, Any]] = {
    HA: {},
    SPLIT: {"capacity": 1},
    FOUR_SHARDS: {"capacity": 32},
    PROXY: {"capacity": 4},
}
MAKERS = [*ENGINES, *OLDER_ENGINES]
READER = ENGINES[0]
"""The engine that instances run on here."""
TAGS = ("{a}", "{b}", "{c}")


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase) -> Iterator[Installation]:
    """One that may promise more memory than machines that run tests have."""
    settings = {"CAPACITY__MEMORY_MB": str(1024 * 1024)}
    installation = Installation(tmp_path_factory.mktemp("installation"), new_database(), settings)
    try:
        yield installation.start()
        assert_nothing_is_left_over(installation)
    finally:
        installation.remove()


@pytest.fixture(scope="module")
def instances(installation: Installation) -> dict[str, dict[str, Any]]:
    """One of each type."""
    return {flavor: installation.create("target", flavor, **fields) for flavor, fields in TYPES.items()}


@contextmanager
def running(engine: Engine, folder: Path, *words: str) -> Iterator[redis.Redis]:
    """An engine of somebody else's, over a folder; it stops as engines do."""
    folder.mkdir(exist_ok=True)
    port = free_port()
    settings = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder), *words]
    with (folder.parent / "engine.log").open("ab") as log:
        process = subprocess.Popen([str(engine.path), *settings], stdout=log, stderr=log)
    client = redis.Redis("127.0.0.1", port, protocol=2)
    try:
        eventually(client.ping)
        yield client
        client.shutdown(nosave=True)
        process.wait(10)
    finally:
        client.close()
        process.kill()
        process.wait(10)


def make(engine: Engine, folder: Path, databases: int = 1) -> None:
    """A folder with an image and an append-only file, of the same data."""
    with running(engine, folder, "--appendonly", "yes") as client:
        for tag in TAGS:
            fill_every_type(client, tag)
        for number in range(databases):
            client.execute_command("SELECT", number)
            client.set(f"of database {number}", "x")
            client.set("of all", number)
        if has_parts(engine):
            client.execute_command("FUNCTION", "LOAD", LIBRARY)
        client.bgrewriteaof()
        eventually(lambda: not client.info("persistence")["aof_rewrite_in_progress"])
        client.set("written since", 1)
        client.save()


def has_parts(engine: Engine) -> bool:
    return engine.compatible_version >= (7, 0, 0)


@pytest.fixture(scope="module", params=MAKERS, ids=str)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Engine, Path]:
    """An engine, and a folder that it filled."""
    folder = tmp_path_factory.mktemp("made") / "data"
    make(request.param, folder)
    return request.param, folder


def held(folder: Path, engine: Engine) -> dict[int, dict[bytes, bytes]]:
    """What an engine finds in an image."""
    with running(engine, folder) as client:
        return contents([client])


def upload(installation: Installation, name: str, content: bytes) -> dict[str, Any]:
    """The files of an order."""
    with installation.http() as api:
        where = f"{installation.endpoint}/objects/cachestead/{installation.env['project_id']}/imports/{name}"
        answer = api.put(where, content=content)
    assert answer.status_code == 200, answer.text
    file = {"file_name": f"imports/{name}", "size": "1MB", "update_at": "2025-01-01 00:00:00"}
    return {"file_source": "self_build_obs", "bucket_name": "cachestead", "files": [file]}


def packed(files: dict[str, bytes]) -> bytes:
    """A tar.gz."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def append_only(engine: Engine, folder: Path) -> tuple[str, bytes]:
    """What somebody would upload of an append-only file: the file, or its parts together."""
    if not has_parts(engine):
        return "appendonly.aof", (folder / "appendonly.aof").read_bytes()
    parts = {f"appendonlydir/{path.name}": path.read_bytes() for path in (folder / "appendonlydir").iterdir()}
    return "appendonly.tar.gz", packed(parts)


def imported(installation: Installation, instance: dict[str, Any], files: dict[str, Any]) -> dict[str, Any]:
    with installation.http() as api:
        answer = api.post("/migration-task", json=import_order(instance, files))
    assert answer.status_code == 200, answer.text
    return import_ended(installation)


def begun_with(installation: Installation, instance: dict[str, Any]) -> dict[bytes, bytes]:
    """The instance has one key that files have, and one of its own, whose digest is told."""
    masters = masters_of(installation, instance)
    for master in masters:
        master.flushall()
    with client_of(instance) if instance["cache_mode"] != "cluster" else cluster_client(instance) as client:
        client.set("own", "stays")
        client.set("of database 0", "is replaced")
    return {b"own": contents(masters)[0][b"own"]}


def cluster_client(instance: dict[str, Any]) -> redis.RedisCluster:
    return redis.RedisCluster(instance["ip"].split(",")[0], instance["port"], password="Passw0rd!x")


@pytest.mark.parametrize(
    ("flavor", "form"),
    [(HA, "rdb"), (HA, "aof"), (SPLIT, "aof"), (FOUR_SHARDS, "rdb"), (FOUR_SHARDS, "aof"), (PROXY, "rdb")],
)
def test_files_of_every_engine_come_into_every_type(
    installation: Installation,
    instances: dict[str, dict[str, Any]],
    made: tuple[Engine, Path],
    flavor: str,
    form: str,
):
    engine, folder = made
    instance = instances[flavor]
    own = begun_with(installation, instance)
    before = contents(masters_of(installation, instance))
    name, content = (
        ("dump.rdb", (folder / "dump.rdb").read_bytes()) if form == "rdb" else append_only(engine, folder)
    )
    task = imported(installation, instance, upload(installation, name, content))

    found = contents(masters_of(installation, instance))
    if engine.product == "valkey" and READER.product == "redis":
        # An older engine cannot use what a newer one sends, and that is said before a key is there.
        assert task["status"] == "FAILED", task
        assert "newer engine" in task["error_message"]
        assert found == before
        return
    assert task["status"] == "SUCCESS", task
    reader = READER if engine.product in (READER.product, "redis") else engine
    assert found == {0: held(folder, reader)[0] | own}
    if has_parts(engine):
        for master in masters_of(installation, instance):
            assert len(master.execute_command("FUNCTION", "LIST")) == 1
            master.execute_command("FUNCTION", "FLUSH")


@pytest.fixture(scope="module")
def all_shards(
    installation: Installation, tmp_path_factory: pytest.TempPathFactory
) -> tuple[bytes, dict[bytes, bytes]]:
    """A zip of the files of all shards of a cluster, and what the cluster held."""
    cluster = installation.create("source", CLUSTER, capacity=4)
    fill(installation, cluster, 1000)
    backup = back_up(installation, cluster)
    bucket = installation.folder / "objects" / "cachestead"
    files = [bucket / one for one in stored_backups(installation) if backup["backup_id"] in one]
    assert len(files) == 3
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for file in files:
            archive.write(file, f"backup/{file.name}")
    expected = contents(masters_of(installation, cluster))[0]
    with installation.http() as api:
        api.delete(f"/instances/{cluster['instance_id']}")
    installation.wait_gone(cluster["instance_id"])
    return out.getvalue(), expected


@pytest.mark.parametrize("flavor", TYPES)
def test_all_shards_of_a_cluster_come_in_one_archive(
    installation: Installation,
    instances: dict[str, dict[str, Any]],
    all_shards: tuple[bytes, dict[bytes, bytes]],
    flavor: str,
):
    content, expected = all_shards
    instance = instances[flavor]
    for master in masters_of(installation, instance):
        master.flushall()
    task = imported(installation, instance, upload(installation, "shards.zip", content))
    assert task["status"] == "SUCCESS", task
    assert contents(masters_of(installation, instance)) == {0: expected}


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with files of keys in three databases."""
    folder = tmp_path_factory.mktemp("databases") / "data"
    make(READER, folder, 3)
    return folder


@pytest.mark.parametrize("flavor", TYPES)
def test_several_databases_stay_become_one_or_are_refused(
    installation: Installation,
    instances: dict[str, dict[str, Any]],
    databases: Path,
    flavor: str,
):
    content, there = (databases / "dump.rdb").read_bytes(), held(databases, READER)
    instance = instances[flavor]
    own = begun_with(installation, instance)
    before = contents(masters_of(installation, instance))
    task = imported(installation, instance, upload(installation, "databases.rdb", content))
    found = contents(masters_of(installation, instance))
    if flavor == FOUR_SHARDS:
        assert task["status"] == "FAILED", task
        assert "a cluster has one database" in task["error_message"]
        assert found == before
    elif flavor == PROXY:
        assert task["status"] == "SUCCESS", task
        assert found == {0: there[0] | there[1] | there[2] | own}, "later ones over earlier ones"
    else:
        assert task["status"] == "SUCCESS", task
        assert found == {**there, 0: there[0] | own}


@pytest.mark.parametrize(
    "what", ["a truncated image", "a part is missing", "a part is cut off", "one of two is bad"]
)
def test_what_cannot_be_read_whole_changes_nothing(
    installation: Installation,
    instances: dict[str, dict[str, Any]],
    databases: Path,
    what: str,
):
    image = (databases / "dump.rdb").read_bytes()
    parts = {path.name: path.read_bytes() for path in databases.glob("appendonlydir/*")}
    if what == "a part is missing":
        parts.pop(next(name for name in parts if "incr" in name))
    if what == "a part is cut off":
        name = next(name for name in parts if "incr" in name)
        parts[name] = parts[name][:-5]
    name, content = {
        "a truncated image": ("cut.rdb", image[:-10_000]),
        "one of two is bad": ("two.tar.gz", packed({"a.rdb": image, "b.rdb": image[: len(image) // 2]})),
    }.get(what, ("parts.tgz", packed(parts)))
    instance = instances[HA]
    begun_with(installation, instance)
    before = contents(masters_of(installation, instance))
    task = imported(installation, instance, upload(installation, name, content))
    assert task["status"] == "FAILED", task
    assert contents(masters_of(installation, instance)) == before
    now = settled(installation, instance["instance_id"])
    assert now is not None
    assert now["status"] == "RUNNING"
