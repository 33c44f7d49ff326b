"""The object store goes away: backups fail with their code, removals wait until it is back, and all else goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from installation import HA, Installation, client_of, eventually
from object_stores import BUCKET, S3Server, find_rclone
from postgresql import NewDatabase
from refusals import check_refused

pytestmark = pytest.mark.skipif(find_rclone() is None, reason="rclone is not installed")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[S3Server]:
    made = S3Server(tmp_path / "s3" / "buckets").start()
    yield made
    made.kill()


@pytest.fixture
def service(tmp_path: Path, server: S3Server, new_database: NewDatabase) -> Iterator[Installation]:
    """A service that keeps objects there, has little patience, and looks at what is to be removed all the time."""
    settings = {f"OBJECTS__{name.upper()}": str(value) for name, value in server.settings(bucket=BUCKET).items()}
    made = Installation(tmp_path / "data", new_database(), settings | {"BACKUPS__SECONDS": "0.5"})
    try:
        yield made.start()
    finally:
        made.remove()


def files_of(server: S3Server) -> list[Path]:
    return [path for path in (server.folder / BUCKET).rglob("*") if path.is_file()]


def record(api: httpx.Client, one: str, backup: str) -> dict[str, Any]:
    listed = api.get(f"{one}/backups").json()["backup_record_response"]
    return next(each for each in listed if each["backup_id"] == backup)


def ended(api: httpx.Client, one: str, backup: str) -> dict[str, Any]:
    return eventually(
        lambda: found if (found := record(api, one, backup))["status"] not in ("waiting", "backuping") else None
    )


def test_only_what_needs_the_store_suffers(service: Installation, server: S3Server):
    instance = service.create("far-from-its-backups", HA)
    one = f"/instances/{instance['instance_id']}"
    with service.http() as api:
        first, second = (ended(api, one, api.post(f"{one}/backups").json()["backup_id"]) for _ in range(2))
        assert (first["status"], second["status"]) == ("succeed", "succeed")
        assert len(files_of(server)) == 2
        server.kill()

        failed = ended(api, one, api.post(f"{one}/backups").json()["backup_id"])
        assert (failed["status"], failed["error_code"], failed["size"]) == ("failed", "dcs.08.0005", 0)
        check_refused(api.delete(f"{one}/backups/{first['backup_id']}"), "DCS.4101", first["backup_id"], 500)
        stuck = record(api, one, first["backup_id"])
        assert (stuck["status"], stuck["is_support_restore"], stuck["error_code"]) == (
            "succeed", "FALSE", "dcs.08.0003",
        )  # fmt: skip
        check_refused(api.post(f"{one}/restores", json={"backup_id": first["backup_id"]}), "DCS.4087")
        service.wait(instance["instance_id"])
        with client_of(instance) as client:
            assert client.set("goes", "on")

        server.start()
        eventually(lambda: record(api, one, first["backup_id"])["status"] == "deleted")
        assert len(files_of(server)) == 1

        server.kill()
        assert api.delete(one).status_code == 204
        service.wait_gone(instance["instance_id"])
        assert len(files_of(server)) == 1
        server.start()
        eventually(lambda: not files_of(server))
