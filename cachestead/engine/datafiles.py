"""Files that a node starts from and writes: where an engine looks for its data, and what a file is.

Blocking, as files are; long copies are the callers' to run in a thread.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from cachestead.engine.catalogue import Engine
from cachestead.engine.errors import FileUnreadable

RDB_FILE, AOF_FILE, AOF_FOLDER = "dump.rdb", "appendonly.aof", "appendonlydir"
MANIFEST = f"{AOF_FILE}.manifest"
_DATA = (RDB_FILE, AOF_FILE, AOF_FOLDER)
_MAGIC = (b"REDIS", b"VALKEY")
"""How RDB files begin, and append-only files whose first part is one."""


def has_rdb_magic(file: Path) -> bool:
    """Whether the file begins as an RDB image does."""
    with file.open("rb") as opened:
        return opened.read(6).startswith(_MAGIC)


def place_rdb(file: Path, folder: Path, engine: Engine, *, append_only: bool) -> None:
    """An engine started in this folder begins with what the RDB file has. The file is moved there.

    An engine that keeps an append-only file reads nothing else; an image is a good beginning of one.
    """
    if append_only:
        place_aof(file, folder, engine)
    else:
        file.replace(folder / RDB_FILE)


def place_aof(file: Path, folder: Path, engine: Engine) -> None:
    """The same of an append-only file, for an engine that keeps one."""
    if not _has_manifest(engine):
        file.replace(folder / AOF_FILE)
        return
    kind = "rdb" if has_rdb_magic(file) else "aof"
    base = f"{AOF_FILE}.1.base.{kind}"
    inner = folder / AOF_FOLDER
    inner.mkdir(mode=0o700, exist_ok=True)
    (inner / MANIFEST).write_text(f"file {base} seq 1 type b\n")
    # Last, so that whoever still finds the file where it was begins anew.
    file.replace(inner / base)


def place_aof_parts(parts: Path, folder: Path, engine: Engine) -> None:
    """The same of an append-only file that consists of several, in a folder with their manifest."""
    if not _has_manifest(engine):
        raise FileUnreadable(f"{engine} does not know append-only files of several parts")
    parts.replace(folder / AOF_FOLDER)


def rewritten_aof(folder: Path, engine: Engine) -> Path:
    """The file with all data that BGREWRITEAOF leaves in a node's folder."""
    if not _has_manifest(engine):
        return folder / AOF_FILE
    for line in (folder / AOF_FOLDER / MANIFEST).read_text().splitlines():
        words = line.split()
        if dict(zip(words[::2], words[1::2], strict=False)).get("type") == "b":
            return folder / AOF_FOLDER / words[1]
    raise FileNotFoundError(f"{MANIFEST} names no base")


class SetAside:
    """The data of a node that does not run, kept beside while another takes its place.

    Every call may be repeated, and goes on where one was interrupted: a folder's name says how far it is.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._going, self._kept, self._returning, self._dropped = (
            folder / f"before-restore{end}" for end in (".going", "", ".returning", ".dropped")
        )

    def take(self) -> None:
        """The node has no data; all it had is kept."""
        if self._kept.exists():
            return
        self._going.mkdir(mode=0o700, exist_ok=True)
        _move_data(self._folder, self._going)
        self._going.rename(self._kept)

    def give_back(self) -> None:
        """The node has what was taken, and nothing else; fine if nothing was."""
        if self._kept.exists():
            remove_data(self._folder)
            self._kept.rename(self._returning)
        for place in (self._going, self._returning):
            if place.exists():
                _move_data(place, self._folder)
                place.rmdir()

    def drop(self) -> None:
        """What was taken is not kept any longer; what is half removed is never given back."""
        shutil.rmtree(self._dropped, ignore_errors=True)
        if self._kept.exists():
            self._kept.rename(self._dropped)
            shutil.rmtree(self._dropped, ignore_errors=True)


def _move_data(source: Path, target: Path) -> None:
    for name in _DATA:
        if (source / name).exists():
            (source / name).rename(target / name)


def remove_data(folder: Path) -> None:
    """The node starts empty."""
    for name in _DATA:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _has_manifest(engine: Engine) -> bool:
    """Since 7.0 an append-only file is a folder of files, listed in one of them."""
    return engine.compatible_version >= (7, 0, 0)
