from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# What the tests open stands beside the rooms' folders.
sys.path.insert(0, str(Path(__file__).parent.parent))

from object_stores import S3Server, find_rclone, open_store

from cachestead.objects.store import Objects


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    if find_rclone() is None:
        pytest.skip("rclone is not installed")
    server = S3Server(tmp_path_factory.mktemp("s3") / "buckets")
    try:
        yield server.start()
    finally:
        server.kill()


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[S3Server]:
    """A server of one test's own, which it may kill."""
    if find_rclone() is None:
        pytest.skip("rclone is not installed")
    server = S3Server(tmp_path / "s3" / "buckets")
    try:
        yield server.start()
    finally:
        server.kill()


@pytest.fixture(params=["folder", "folder-encrypted", "s3", "s3-encrypted"])
def settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Settings of every kind of store."""
    kind, _, sealed = request.param.partition("-")
    server = request.getfixturevalue("shared_server").settings() if kind == "s3" else {}
    return server | {"encrypt": bool(sealed)}


@pytest.fixture
def objects(tmp_path: Path, settings: dict[str, Any]) -> Objects:
    return open_store(tmp_path / "objects", **settings)
