"""Data of a node set aside and brought back: nothing is lost or mixed, wherever it is interrupted."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from filled import fill_node, functions, held
from real_engines import ENGINES, OLDER_ENGINES, Machine, eventually

from cachestead.engine.catalogue import Engine
from cachestead.engine.connection import Client
from cachestead.engine.datafiles import (
    AOF_FILE,
    AOF_FOLDER,
    MANIFEST,
    RDB_FILE,
    SetAside,
    has_rdb_magic,
    place_aof,
    place_aof_parts,
    place_rdb,
    rewritten_aof,
)
from cachestead.engine.errors import FileUnreadable
from cachestead.engine.snapshots import stream_snapshot

OTHERS = {"redis.conf": b"port 1", "nodes.conf": b"a cluster", "restoring-0": b"a file that waits"}
"""What stays where it is."""
FULL = {RDB_FILE: b"old", f"{AOF_FOLDER}/{MANIFEST}": b"file one", f"{AOF_FOLDER}/one": b"old, too"}
OLD_DATA = {
    "an image": {RDB_FILE: b"old"},
    "one append-only file": {AOF_FILE: b"old"},
    "a folder and an image": FULL,
    "nothing": {},
}
NEW_DATA = {
    "an image": {RDB_FILE: b"new"},
    "a folder": {f"{AOF_FOLDER}/{MANIFEST}": b"file two", f"{AOF_FOLDER}/two": b"new"},
    "nothing": {},
}

Prepare = Callable[[Path], SetAside]


class Interrupted(BaseException):
    """The process ended here; nobody may catch it."""


class Crash:
    """Ends the process before one of the changes that it makes to the file system."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._left: int | None = None
        for name in ("rename", "replace", "mkdir", "rmdir", "unlink"):
            monkeypatch.setattr(os, name, self._counted(getattr(os, name)))

    def _counted(self, change: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            if self._left is not None:
                if not self._left:
                    raise Interrupted
                self._left -= 1
            return change(*args, **kwargs)

        return call

    def before(self, change: int, act: Callable[[], None]) -> bool:
        """Whether the act was interrupted before that change of it; else it is done."""
        self._left = change
        try:
            act()
        except Interrupted:
            return True
        finally:
            self._left = None
        return False

    def wherever(self, tmp_path: Path, act: Callable[[SetAside], None], prepare: Prepare) -> Iterator[SetAside]:
        """What an act leaves that was interrupted, and begun again and interrupted again, at all pairs of points."""
        numbers = itertools.count()
        for first in itertools.count():
            for second in itertools.count():
                aside = prepare(tmp_path / str(next(numbers)))
                once = self.before(first, partial(act, aside))
                twice = self.before(second, partial(act, aside))
                yield aside
                if not twice:
                    break
            if not once:
                return


@pytest.fixture
def crash(monkeypatch: pytest.MonkeyPatch) -> Crash:
    return Crash(monkeypatch)


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)


def read(aside: SetAside) -> dict[str, bytes]:
    """Every file, with folders that are empty as files without a content."""
    folder = aside._folder
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*")}
    return {
        name: path.read_bytes() if path.is_file() else b""
        for name, path in found.items()
        if path.is_file() or not any(path.iterdir())
    }


def with_old(old: dict[str, bytes], folder: Path) -> SetAside:
    folder.mkdir()
    write(folder, OTHERS | old)
    return SetAside(folder)


def with_new(old: dict[str, bytes], new: dict[str, bytes], folder: Path) -> SetAside:
    aside = with_old(old, folder)
    aside.take()
    write(folder, new)
    return aside


@pytest.mark.parametrize("old", OLD_DATA.values(), ids=OLD_DATA.keys())
@pytest.mark.parametrize("goes_on", [True, False], ids=["goes on", "turns back"])
def test_taking_may_be_interrupted(crash: Crash, tmp_path: Path, old: dict[str, bytes], *, goes_on: bool):
    for aside in crash.wherever(tmp_path, SetAside.take, partial(with_old, old)):
        if goes_on:
            aside.take()
            kept = {f"before-restore/{name}": content for name, content in old.items()}
            assert read(aside) == OTHERS | (kept or {"before-restore": b""})
        aside.give_back()
        assert read(aside) == OTHERS | old


@pytest.mark.parametrize("new", NEW_DATA.values(), ids=NEW_DATA.keys())
@pytest.mark.parametrize("old", OLD_DATA.values(), ids=OLD_DATA.keys())
def test_giving_back_may_be_interrupted(
    crash: Crash, tmp_path: Path, old: dict[str, bytes], new: dict[str, bytes]
):
    for aside in crash.wherever(tmp_path, SetAside.give_back, partial(with_new, old, new)):
        aside.give_back()
        assert read(aside) == OTHERS | old


@pytest.mark.parametrize("old", OLD_DATA.values(), ids=OLD_DATA.keys())
@pytest.mark.parametrize("new", NEW_DATA.values(), ids=NEW_DATA.keys())
def test_dropping_may_be_interrupted_and_what_is_half_dropped_does_not_come_back(
    crash: Crash, tmp_path: Path, old: dict[str, bytes], new: dict[str, bytes]
):
    for aside in crash.wherever(tmp_path, SetAside.drop, partial(with_new, old, new)):
        aside.drop()
        assert read(aside) == OTHERS | new
        aside.give_back()
        assert read(aside) == OTHERS | new, "there is nothing to give back"


def test_what_cannot_be_dropped_is_not_taken_for_data_of_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The disk may refuse to forget; the next restoration keeps what the node has then."""
    aside = with_new(FULL, NEW_DATA["an image"], tmp_path / "node")
    with monkeypatch.context() as patched:
        patched.setattr(os, "unlink", _refuse)
        aside.drop()
    aside.take()
    aside.give_back()
    assert {name: content for name, content in read(aside).items() if "/" not in name} == OTHERS | NEW_DATA[
        "an image"
    ]
    aside.drop()
    assert read(aside) == OTHERS | NEW_DATA["an image"]


def _refuse(*_args: object, **_kwargs: object) -> None:
    raise OSError(5, "Input/output error")


def test_what_was_never_taken_need_not_be_given_back(tmp_path: Path):
    aside = with_old(FULL, tmp_path / "node")
    aside.give_back()
    aside.drop()
    assert read(aside) == OTHERS | FULL


@pytest.mark.parametrize("append_only", [True, False], ids=["appendonly", "image"])
@pytest.mark.parametrize("named", ["7.0", "6.0"])
def test_placing_may_be_interrupted(crash: Crash, tmp_path: Path, named: str, *, append_only: bool):
    engine = Engine(Path("redis-server"), "redis", (int(named[0]), 2, 0), "path")

    def place(aside: SetAside) -> None:
        if incoming(aside).exists():
            place_rdb(incoming(aside), aside._folder, engine, append_only=append_only)

    def incoming(aside: SetAside) -> Path:
        return aside._folder / "restoring-0"

    for aside in crash.wherever(tmp_path, place, partial(with_new, FULL, {})):
        place(aside)
        aside.drop()
        placed = read(aside)
        others = {name: content for name, content in OTHERS.items() if name != "restoring-0"}
        assert placed.items() >= others.items()
        assert OTHERS["restoring-0"] in (content for name, content in placed.items() if name not in others)


@pytest.fixture(params=[*ENGINES, *OLDER_ENGINES], ids=str)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Those that serve instances, and an older one."""
    return request.param


@pytest.fixture
async def filled(machine: Machine) -> Client:
    client = await machine.start(1)
    await fill_node(machine, client)
    return client


def folder_of(machine: Machine, number: int) -> Path:
    folder = machine.runtime.node_folder(f"node-{number}")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.mark.parametrize("append_only", [True, False], ids=["appendonly", "image"])
async def test_an_engine_starts_with_an_image_and_keeps_its_data(
    machine: Machine, filled: Client, tmp_path: Path, *, append_only: bool
):
    image = tmp_path / "image"
    image.write_bytes(b"".join([piece async for piece in stream_snapshot(filled)]))
    assert has_rdb_magic(image)
    place_rdb(image, folder_of(machine, 2), machine.engine, append_only=append_only)
    assert not image.exists()
    loaded = await machine.start(2, persistent=append_only)
    await assert_same(machine, filled, loaded)
    if append_only:
        await loaded.set("later", "kept")
        await machine.runtime.stop_node("node-2")
        again = await machine.start(2)
        assert await again.get("later") == "kept"
        await again.delete("later")
        await assert_same(machine, filled, again)


@pytest.mark.parametrize("preamble", ["yes", "no"])
async def test_an_engine_starts_with_an_append_only_file(machine: Machine, filled: Client, preamble: str):
    await filled.config_set("aof-use-rdb-preamble", preamble)
    await rewrite(filled)
    file = rewritten_aof(folder_of(machine, 1), machine.engine)
    assert has_rdb_magic(file) == (preamble == "yes")
    copy = folder_of(machine, 2) / "incoming"
    shutil.copy(file, copy)
    place_aof(copy, folder_of(machine, 2), machine.engine)
    await assert_same(machine, filled, await machine.start(2))


async def test_an_engine_starts_with_an_append_only_file_of_several_parts(
    machine: Machine, filled: Client, tmp_path: Path
):
    await rewrite(filled)
    await filled.set("later", "in the second part")
    parts = tmp_path / "parts"
    if machine.engine.compatible_version < (7, 0, 0):
        parts.mkdir()
        with pytest.raises(FileUnreadable, match="several parts"):
            place_aof_parts(parts, folder_of(machine, 2), machine.engine)
        return
    shutil.copytree(folder_of(machine, 1) / AOF_FOLDER, parts)
    place_aof_parts(parts, folder_of(machine, 2), machine.engine)
    await assert_same(machine, filled, await machine.start(2))


async def rewrite(client: Client) -> None:
    await client.execute_command("BGREWRITEAOF")

    async def done() -> bool:
        facts = await client.info("persistence")
        return not (facts["aof_rewrite_in_progress"] or facts["aof_rewrite_scheduled"])

    await eventually(done)


async def assert_same(machine: Machine, one: Client, other: Client) -> None:
    assert await held(machine, other) == await held(machine, one)
    assert await functions(machine, other) == await functions(machine, one)
