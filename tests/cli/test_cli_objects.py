"""`object …`, `doctor` and `env --format age` over a real service and a real server."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pyrage
import pytest
from installation import Installation
from postgresql import NewDatabase

sys.path.insert(0, str(Path(__file__).parent.parent))

from object_stores import MIB, S3Server, find_rclone


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase) -> Iterator[Installation]:
    """A service that encrypts."""
    made = Installation(tmp_path_factory.mktemp("objects"), new_database(), {"OBJECTS__ENCRYPT": "true"})
    try:
        yield made.start()
    finally:
        made.remove()


def finding(installation: Installation) -> dict[str, str]:
    report = json.loads(installation.run("doctor", "-o", "json").stdout)
    return next(one for one in report["findings"] if one["subject"] == "objects")


def listed(service: Installation, *words: str) -> dict[str, int]:
    done = service.run("object", "list", "-o", "json", *words)
    assert done.returncode == 0, done.stderr
    return {one["file_name"]: one["size"] for one in json.loads(done.stdout)}


def test_files_come_and_go(service: Installation, tmp_path: Path) -> None:
    first, second = tmp_path / "a b.rdb", tmp_path / "b.rdb"
    first.write_bytes(os.urandom(20 * MIB))
    second.write_bytes(b"x")

    assert service.run("object", "upload", str(first), str(second)).returncode == 0
    assert service.run("object", "upload", str(second), "--folder", "carts").returncode == 0

    assert listed(service) == {"imports/a b.rdb": 20 * MIB, "imports/b.rdb": 1, "imports/carts/b.rdb": 1}
    assert listed(service, "--prefix", "carts/") == {"imports/carts/b.rdb": 1}
    done = service.run("object", "delete", "imports/a b.rdb", "b.rdb", "carts/b.rdb", "--yes")
    assert done.returncode == 0, done.stderr
    assert listed(service) == {}


def test_two_files_of_one_name_are_refused(service: Installation, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "dump.rdb").write_bytes(b"x")

    done = service.run("object", "upload", str(tmp_path / "a/dump.rdb"), str(tmp_path / "b/dump.rdb"))

    assert (done.returncode, done.stderr.strip()) == (1, "Two of the files have the same name.")
    assert listed(service) == {}


def test_what_is_not_there_is_said(service: Installation) -> None:
    done = service.run("object", "delete", "never-was", "-y")

    assert done.returncode == 1
    assert "DCS.4001" in done.stderr


def test_files_are_decrypted_without_the_service(service: Installation, tmp_path: Path) -> None:
    file = tmp_path / "secret.rdb"
    file.write_bytes(b"of a tenant")
    assert service.run("object", "upload", str(file)).returncode == 0

    identity = service.run("env", "--format", "age").stdout.strip()

    [kept] = (service.folder / "objects").rglob("secret.rdb")
    assert b"of a tenant" not in kept.read_bytes()
    assert pyrage.decrypt(kept.read_bytes(), [pyrage.x25519.Identity.from_str(identity)]) == b"of a tenant"
    service.run("object", "delete", "secret.rdb", "-y")


def test_the_doctor_tries_the_store(service: Installation) -> None:
    found = finding(service)

    assert found["grade"] == "ok"
    assert found["found"].endswith("takes and gives")
    assert not any(service.folder.rglob("doctor*"))


def test_the_doctor_makes_nothing_before_the_first_start(tmp_path: Path) -> None:
    found = finding(Installation(tmp_path / "new"))

    assert found["grade"] == "ok"
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("problem", ["down", "keys", "bucket", None])
def test_the_doctor_says_what_is_wrong_with_a_server(tmp_path: Path, problem: str | None) -> None:
    if find_rclone() is None:
        pytest.skip("rclone is not installed")
    server = S3Server(tmp_path / "s3" / "buckets").start()
    try:
        settings = server.settings()
        if problem == "down":
            server.kill()
        elif problem == "keys":
            settings["secret_key"] = "another-secret"
        elif problem == "bucket":
            settings["bucket"] = "no-such-bucket"
        words = {f"OBJECTS__{name.upper()}": str(value) for name, value in settings.items()}
        found = finding(Installation(tmp_path / "data", settings=words))
    finally:
        server.kill()

    told = {
        "down": "error sending request",
        "keys": "SignatureDoesNotMatch",
        "bucket": "no-such-bucket",
        None: "takes",
    }
    assert told[problem] in found["found"]
    assert found["grade"] == ("remark" if problem else "ok")
    assert settings["secret_key"] not in json.dumps(found)
