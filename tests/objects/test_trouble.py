"""Stores in trouble: down, silent, refusing, full. Told within a bounded time, and nothing half-done is left."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from object_stores import MIB, S3Server, content_of, keys_of, open_store, pieces
from pydantic import ValidationError

from cachestead.objects.buckets import open_bucket
from cachestead.objects.errors import ObjectDamaged, ObjectMissing, ObjectsError, ObjectsUnavailable
from cachestead.objects.keys import ObjectKeys
from cachestead.objects.store import Objects
from cachestead.settings import ObjectSettings

BOUND = 12.0
"""Seconds: patience of the settings here is two for a silence and two for repetitions."""


@pytest.fixture
def objects(tmp_path: Path, s3: S3Server) -> Objects:
    return open_store(tmp_path / "objects", **s3.settings())


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Path]:
    """A folder with room for 8 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("no right to mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def files_in(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file()]


async def check_unavailable(*works: object) -> None:
    for work in works:
        begun = time.monotonic()
        with pytest.raises(ObjectsUnavailable) as caught:
            await work  # type: ignore[misc]
        assert time.monotonic() - begun < BOUND
        assert "a-secret-for-tests" not in str(caught.value)


def calls(objects: Objects) -> list[object]:
    """One of each."""

    async def link() -> None:
        await objects.link("key", 60, datetime.now(UTC))

    return [
        objects.put("key", pieces(b"x")),
        content_of(objects, "key"),
        objects.size("key"),
        objects.remove(["key"]),
        keys_of(objects, "tests"),
        link(),
    ]


async def test_a_server_that_is_down_is_told(objects: Objects, s3: S3Server) -> None:
    s3.kill()

    await check_unavailable(*calls(objects))


async def test_a_server_that_is_silent_is_told(objects: Objects, s3: S3Server) -> None:
    s3.freeze()

    await asyncio.gather(*(check_unavailable(one) for one in calls(objects)))


async def test_a_server_that_refuses_is_told(tmp_path: Path, s3: S3Server) -> None:
    objects = open_store(tmp_path / "objects", **s3.settings(secret_key="another"))

    await check_unavailable(*calls(objects))
    with pytest.raises(ObjectsUnavailable, match="SignatureDoesNotMatch"):
        await content_of(objects, "key")


async def test_a_bucket_that_is_not_there_is_told(tmp_path: Path, s3: S3Server) -> None:
    objects = open_store(tmp_path / "objects", **s3.settings(bucket="no-such-bucket"))

    for content in (b"x", bytes(6 * MIB)):
        with pytest.raises(ObjectsUnavailable, match="no-such-bucket"):
            await objects.put("key", pieces(content))
    with pytest.raises(ObjectMissing):
        await content_of(objects, "key")


async def test_a_server_that_dies_while_we_put(objects: Objects, s3: S3Server) -> None:
    async def dying() -> AsyncIterator[bytes]:
        for n in range(30):
            if n == 15:
                s3.kill()
            yield os.urandom(MIB)

    await check_unavailable(objects.put("key", dying()))

    s3.start()
    with pytest.raises(ObjectMissing):
        await content_of(objects, "key")
    assert await keys_of(objects) == []


async def test_a_server_that_dies_while_we_read(objects: Objects, s3: S3Server) -> None:
    await objects.put("key", pieces(*[os.urandom(MIB)] * 64))

    async def read() -> None:
        async for _ in objects.read("key"):
            s3.kill()

    await check_unavailable(read())


async def test_a_server_that_falls_silent_while_we_read(objects: Objects, s3: S3Server) -> None:
    await objects.put("key", pieces(*[os.urandom(MIB)] * 64))

    async def read() -> None:
        async for _ in objects.read("key"):
            s3.freeze()

    await check_unavailable(read())


async def test_a_server_that_comes_back_is_used_again(objects: Objects, s3: S3Server) -> None:
    s3.kill()
    await check_unavailable(objects.size("key"))
    s3.start()

    await objects.put("key", pieces(b"content"))

    assert await content_of(objects, "key") == b"content"


@pytest.mark.parametrize("encrypt", [False, True])
async def test_a_full_disk_is_told_and_nothing_is_left(full: Path, *, encrypt: bool) -> None:
    objects = open_store(full, encrypt=encrypt)
    await objects.put("kept", pieces(bytes(MIB)))

    for size in (5, 20):
        with pytest.raises(ObjectsUnavailable, match="No space left"):
            await objects.put("key", pieces(*[os.urandom(MIB)] * size, *[os.urandom(MIB)] * 5))

    with pytest.raises(ObjectMissing):
        await content_of(objects, "key")
    assert await keys_of(objects) == ["kept"]
    assert files_in(full) == ["kept"]
    await objects.put("key", pieces(bytes(MIB)))


async def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    objects = open_store(tmp_path, encrypt=True)
    await objects.put("key", pieces(os.urandom(MIB)))
    file = tmp_path / "cachestead" / "key"

    for content in (file.read_bytes()[:-1], file.read_bytes()[:200], file.read_bytes()[:30]):
        file.write_bytes(content)
        with pytest.raises(ObjectDamaged):
            await content_of(objects, "key")


async def test_files_are_their_owner_s_alone(tmp_path: Path) -> None:
    objects = open_store(tmp_path / "objects")

    for size in (1, 12):
        await objects.put(f"folder/{size}", pieces(*[bytes(MIB)] * size))
        file = tmp_path / "objects" / "cachestead" / "folder" / f"{size}"
        assert file.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "objects").stat().st_mode & 0o777 == 0o700


async def test_folders_that_are_empty_go(tmp_path: Path) -> None:
    objects = open_store(tmp_path)
    await objects.put("a/b/c", pieces(b"x"))

    await objects.remove(["a/b/c"])

    assert list((tmp_path / "cachestead").iterdir()) == []
    await objects.put("a/b/c", pieces(b"x"))


CHILD = """
import asyncio, json, os, re, sys
from pathlib import Path

sys.path.insert(0, "tests")
from object_stores import MIB, open_store

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

async def chunks():
    if sys.argv[3] == "dies":
        print("putting", flush=True)
    for n in range(int(sys.argv[4])):
        yield os.urandom(MIB)
        if sys.argv[3] == "dies" and n == 20:
            os._exit(9)

async def main():
    objects = open_store(Path(sys.argv[1]), **json.loads(sys.argv[2]))
    Path("/proc/self/clear_refs").write_text("5")
    before = peak()
    await objects.put("key", chunks())
    size = 0
    async for piece in objects.read("key"):
        size += len(piece)
    assert size == int(sys.argv[4]) * MIB
    print((peak() - before) // 1024, flush=True)
    # As the service ends: the library's threads do not like an interpreter that takes itself apart.
    os._exit(0)

asyncio.run(main())
"""


def run_child(folder: Path, settings: object, what: str, mib: int) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", CHILD, str(folder), json.dumps(settings), what, str(mib)]
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root)}
    return subprocess.run(
        words, capture_output=True, text=True, timeout=60, check=False, cwd=root, env=environment
    )


@pytest.mark.parametrize("kind", ["folder", "folder-encrypted", "s3", "s3-encrypted"])
def test_memory_does_not_grow_with_the_object(tmp_path: Path, kind: str, shared_server: S3Server) -> None:
    settings = (shared_server.settings() if kind.startswith("s3") else {}) | {"encrypt": "encrypted" in kind}

    # Parts here have 5 MiB: one is collected, two are sent.
    done = run_child(tmp_path, settings, "lives", 192)

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 96


@pytest.mark.parametrize("kind", ["folder", "s3"])
async def test_a_put_that_died_leaves_nothing_to_read(tmp_path: Path, kind: str, shared_server: S3Server) -> None:
    settings = shared_server.settings() if kind == "s3" else {}
    reader = open_store(tmp_path / "objects", ObjectKeys.made_up(), **settings)
    await reader.remove(["key"])

    done = run_child(tmp_path / "objects", settings, "dies", 60)

    assert done.returncode == 9, done.stderr
    with pytest.raises(ObjectsError):
        await content_of(reader, "key")
    assert "key" not in await keys_of(reader)


def test_what_a_dead_process_left_is_swept_at_the_next_start(tmp_path: Path) -> None:
    run_child(tmp_path, {}, "dies", 60)
    assert any((tmp_path / "cachestead").iterdir())

    open_store(tmp_path)

    assert list((tmp_path / "cachestead").iterdir()) == []


async def test_links_of_a_server_are_its_own(objects: Objects, s3: S3Server) -> None:
    await objects.put("folder/a b.rdb", pieces(b"content"))

    url = await objects.link("folder/a b.rdb", 60, datetime.now(UTC))

    assert url.startswith(f"{s3.endpoint}/cachestead/folder/a%20b.rdb?")
    assert (await asyncio.to_thread(httpx.get, url)).content == b"content"


async def test_variables_of_the_environment_are_about_something_else(
    tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ENDPOINT_URL", "ENDPOINT_URL_S3", "ENDPOINT"):
        monkeypatch.setenv(f"AWS_{name}", "http://127.0.0.1:1")
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"):
        monkeypatch.setenv(f"AWS_{name}", "somebody-else")
    objects = open_store(tmp_path / "objects", **s3.settings())

    await objects.put("key", pieces(b"content"))

    assert await content_of(objects, "key") == b"content"


async def test_the_bucket_may_be_part_of_the_host_s_name() -> None:
    keys: dict[str, Any] = {"access_key": "key", "secret_key": "a-secret-for-tests"}
    settings = ObjectSettings(endpoint="https://obs.example.com:8443/", virtual_host=True, **keys)

    url = await open_bucket("some-bucket", settings, Path()).sign("folder/dump.rdb", 60)

    assert url
    assert url.startswith("https://some-bucket.obs.example.com:8443/folder/dump.rdb?")


@pytest.mark.parametrize(
    "wrong",
    [
        {"endpoint": "https://obs.example.com"},
        {"endpoint": "https://obs.example.com", "access_key": "key"},
        {"access_key": "key", "secret_key": "secret"},
        {"endpoint": "obs.example.com", "access_key": "key", "secret_key": "secret"},
        {"endpoint": "https://obs.example.com/path", "access_key": "key", "secret_key": "secret"},
        {"bucket": "../elsewhere"},
        {"bucket": "Upper"},
        {"import_buckets": [{"name": "other", "projects": ["not an id"]}]},
    ],
    ids=str,
)
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ObjectSettings(**wrong)
