"""Links to objects: followed by real clients, in whole and in part, and refused when they expired or were altered."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from installation import Installation, eventually
from object_stores import MIB, S3Server, find_rclone, pieces
from postgresql import NewDatabase
from refusals import check_refused

from cachestead import bootstrap, local
from cachestead.identity.secrets import Vault
from cachestead.objects.store import Objects
from cachestead.settings import ObjectSettings, ServerSettings, Settings
from cachestead.store.database import Database

CONTENT = os.urandom(9 * MIB + 77)
needs_curl = pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
KINDS = ["folder", "folder-encrypted", "s3", "s3-encrypted", "s3-through-us"]
OURS = [kind for kind in KINDS if kind != "s3"]
"""Those whose links lead to the service."""


class Linked:
    """An installation whose objects can be put and linked from here."""

    def __init__(self, installation: Installation, settings: ObjectSettings) -> None:
        self.installation = installation
        self.objects = asyncio.run(_open(installation, settings))

    def put(self, key: str, content: bytes) -> None:
        asyncio.run(self.objects.put(key, pieces(content)))

    def link(self, key: str, seconds: int = 60, *, ago: int = 0) -> str:
        now = datetime.now(UTC) - timedelta(seconds=ago)
        return asyncio.run(self.objects.link(key, seconds, now))


async def _open(installation: Installation, objects: ObjectSettings) -> Objects:
    """The same store that the service has, with its keys."""
    settings = Settings(
        data_dir=installation.folder, server=ServerSettings(port=installation.port), objects=objects
    )
    database = Database(installation.database_url or local.database_url(settings))
    try:
        keys = await local.find_object_keys(database, Vault.at(installation.folder))
    finally:
        await database.close()
    assert keys is not None
    return bootstrap.open_objects(settings, keys)


@pytest.fixture(scope="module", params=KINDS)
def linked(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase
) -> Iterator[Linked]:
    """A service over each kind of store."""
    kind: str = request.param
    folder = tmp_path_factory.mktemp("links")
    with contextlib.ExitStack() as stack:
        chosen: dict[str, Any] = {"encrypt": kind.endswith("encrypted"), "direct_links": "through" not in kind}
        if kind.startswith("s3"):
            if find_rclone() is None:
                pytest.skip("rclone is not installed")
            server = S3Server(folder / "s3" / "buckets")
            stack.callback(server.kill)
            chosen |= server.start().settings()
        words = {f"OBJECTS__{name.upper()}": str(value) for name, value in chosen.items()}
        made = Installation(folder / "data", new_database(), words)
        stack.callback(made.remove)
        linked = Linked(made.start(), ObjectSettings(**chosen))
        linked.put("links/dump.rdb", CONTENT)
        linked.put("links/empty", b"")
        yield linked


def ours(test: Any) -> Any:
    """Only for stores whose links lead to the service."""
    return pytest.mark.parametrize("linked", OURS, indirect=True)(test)


def test_a_link_gives_the_content(linked: Linked) -> None:
    answer = httpx.get(linked.link("links/dump.rdb"))

    assert answer.status_code == 200
    assert answer.content == CONTENT
    assert int(answer.headers["content-length"]) == len(CONTENT)
    assert httpx.get(linked.link("links/empty")).content == b""


def test_an_unusual_name_survives(linked: Linked) -> None:
    linked.put("links/ünusual & #1.rdb", b"content")

    assert httpx.get(linked.link("links/ünusual & #1.rdb")).content == b"content"


@needs_curl
def test_curl_saves_it_under_its_name(linked: Linked, tmp_path: Path) -> None:
    done = subprocess.run(["curl", "-sSfO", linked.link("links/dump.rdb")], cwd=tmp_path, check=False, timeout=30)

    assert done.returncode == 0
    # With the query or without, by the age of curl.
    [saved] = tmp_path.glob("dump.rdb*")
    assert saved.read_bytes() == CONTENT


@needs_curl
@ours
def test_curl_goes_on_where_it_was_cut_off(linked: Linked, tmp_path: Path) -> None:
    (tmp_path / "dump.rdb").write_bytes(CONTENT[: 4 * MIB])

    words = ["curl", "-sSf", "-C", "-", "-o", "dump.rdb", linked.link("links/dump.rdb")]
    assert subprocess.run(words, cwd=tmp_path, check=False, timeout=30).returncode == 0

    assert (tmp_path / "dump.rdb").read_bytes() == CONTENT


@ours
def test_head_tells_what_get_would(linked: Linked) -> None:
    answer = httpx.head(linked.link("links/dump.rdb"))

    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) == len(CONTENT)
    assert answer.headers["content-disposition"] == "attachment; filename=\"dump.rdb\"; filename*=UTF-8''dump.rdb"


@ours
@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("0-0", 0, 1),
        ("5-9", 5, 10),
        (f"{8 * MIB}-", 8 * MIB, None),
        ("-10", -10, None),
        ("0-", 0, None),
        (f"{len(CONTENT) - 1}-{10**17}", -1, None),
    ],
)
def test_a_part_is_given(linked: Linked, asked: str, start: int, stop: int | None) -> None:
    answer = httpx.get(linked.link("links/dump.rdb"), headers={"Range": f"bytes={asked}"})

    assert answer.status_code == 206
    assert answer.content == CONTENT[start:stop]
    assert re.fullmatch(rf"bytes \d+-\d+/{len(CONTENT)}", answer.headers["content-range"])


@ours
@pytest.mark.parametrize(
    "asked", ["bytes=0-1,5-6", "lines=1-2", "bytes=9-5", "bytes=-", "bytes=x-y", "bytes=" + "9" * 40 + "-"]
)
def test_what_is_no_range_of_bytes_gives_everything(linked: Linked, asked: str) -> None:
    answer = httpx.get(linked.link("links/dump.rdb"), headers={"Range": asked})

    assert (answer.status_code, len(answer.content)) == (200, len(CONTENT))


@ours
@pytest.mark.parametrize("asked", [f"bytes={len(CONTENT)}-", "bytes=-0"])
def test_a_range_behind_the_end_is_refused(linked: Linked, asked: str) -> None:
    answer = httpx.get(linked.link("links/dump.rdb"), headers={"Range": asked})

    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{len(CONTENT)}"


def test_an_expired_link_is_refused(linked: Linked) -> None:
    url = linked.link("links/dump.rdb", 1)

    def refused() -> bool:
        return httpx.get(url).status_code in {400, 403}  # rclone says 400 where AWS says 403

    assert eventually(refused)
    assert b"AccessDenied" in httpx.get(url).content


def test_an_altered_link_is_refused(linked: Linked) -> None:
    linked.put("links/other", b"secret")
    url = linked.link("links/dump.rdb")
    altered = [
        url.replace("dump.rdb", "other"),
        re.sub(r"(?<=ignature=)(.)", lambda found: "0" if found[0] != "0" else "1", url),
        re.sub(r"(?<=ignature=)\w+", "", url),
        re.sub(r"(?<=ignature=)\w+", "%C3%BC", url),
        re.sub(r"xpires=(\d+)", lambda found: f"xpires={int(found[1]) + 1}", url),
        re.sub(r"xpires=\d+", "xpires=9e9", url),
        re.sub(r"xpires=\d+", "xpires=", url),
        url.partition("?")[0],
    ]

    for one in altered:
        answer = httpx.get(one)
        assert answer.status_code in {400, 403}, one
        assert b"<Error><Code>" in answer.content.replace(b"\n", b"").replace(b"  ", b""), one


@ours
def test_a_link_is_for_reading_only(linked: Linked) -> None:
    url = linked.link("links/dump.rdb")

    for method in ("PUT", "DELETE", "POST"):
        assert httpx.request(method, url, content=b"x").status_code in {401, 404, 405}
    assert httpx.get(url).status_code == 200


@ours
def test_a_link_to_what_was_removed_finds_nothing(linked: Linked) -> None:
    linked.put("links/short-lived", b"x")
    url = linked.link("links/short-lived")
    asyncio.run(linked.objects.remove(["links/short-lived"]))

    answer = httpx.get(url)

    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/xml")
    assert "<Code>NoSuchKey</Code>" in answer.text


@pytest.mark.parametrize("linked", ["folder-encrypted"], indirect=True)
def test_damage_cuts_the_answer_off(linked: Linked) -> None:
    linked.put("links/damaged", os.urandom(6 * MIB))
    url = linked.link("links/damaged")
    file = linked.installation.folder / "objects" / "cachestead" / "links" / "damaged"
    content = bytearray(file.read_bytes())
    content[-100] ^= 1
    file.write_bytes(content)

    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(url)

    assert httpx.get(linked.link("links/dump.rdb")).content == CONTENT


@pytest.mark.parametrize("linked", ["folder"], indirect=True)
def test_a_reader_that_leaves_holds_nothing_open(linked: Linked) -> None:
    with httpx.stream("GET", linked.link("links/dump.rdb")) as answer:
        next(answer.iter_raw())

    assert linked.installation.process
    descriptors = Path(f"/proc/{linked.installation.process.pid}/fd")
    eventually(lambda: not any("dump.rdb" in str(one.readlink()) for one in descriptors.iterdir()))


def test_a_server_that_is_down_and_comes_back(tmp_path: Path, new_database: NewDatabase) -> None:
    if find_rclone() is None:
        pytest.skip("rclone is not installed")
    server = S3Server(tmp_path / "s3" / "buckets").start()
    chosen = server.settings(direct_links=False)
    words = {f"OBJECTS__{name.upper()}": str(value) for name, value in chosen.items()}
    made = Installation(tmp_path / "data", new_database(), words)
    try:
        linked = Linked(made.start(), ObjectSettings(**chosen))
        linked.put("links/dump.rdb", b"content")
        url, headers = linked.link("links/dump.rdb"), {"X-Auth-Token": made.token()}
        file = f"{made.endpoint}/objects/cachestead/{made.env['project_id']}/imports/x"
        server.kill()

        answer = httpx.get(url, timeout=20)
        assert (answer.status_code, "<Code>ServiceUnavailable</Code>" in answer.text) == (503, True)
        for answer in (
            httpx.put(file, headers=headers, content=b"x", timeout=20),
            httpx.delete(file, headers=headers, timeout=20),
            httpx.get(f"{made.endpoint}/objects/cachestead", headers=headers, timeout=20),
        ):
            check_refused(answer, "DCS.5000", status=500)
        server.start()
        assert httpx.get(url).content == b"content"
        assert httpx.put(file, headers=headers, content=b"x").status_code == 200
        assert chosen["secret_key"] not in made.log()
    finally:
        made.remove()
        server.kill()
