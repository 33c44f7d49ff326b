"""Files as people upload them: RDB files, append-only files, and archives of such.

Blocking, and streaming. What an archive holds is not trusted: only plain files come out of it, under names of our
own, and no more bytes than allowed.
"""

from __future__ import annotations

import errno
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from cachestead.domain.backups import BackupFormat
from cachestead.engine.datafiles import MANIFEST
from cachestead.engine.errors import FileUnreadable

PIECE_BYTES = 1024 * 1024
_ENDINGS = (".rdb", ".aof")
_MANIFEST = ".manifest"
_BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, ValueError,
    LookupError, struct.error,
)  # fmt: skip
"""What the readers of archives raise at what is none."""


@dataclass(frozen=True)
class Loadable:
    """What an engine can load at once."""

    name: str
    """As its maker called it."""
    form: BackupFormat
    path: Path
    """A file, or a folder with the parts of an append-only file."""


def unpack(file: Path, name: str, folder: Path, most_bytes: int) -> list[Loadable]:
    """What there is to load in an uploaded file, in the order of names; an archive is emptied into the folder.

    The end of the name says what it is: `.rdb`, `.aof`, `.zip`, `.tar.gz` or `.tgz`. Raises `FileUnreadable`.
    """
    lower = name.lower()
    if not lower.endswith((".zip", ".tar.gz", ".tgz")):
        return [Loadable(name, _form_of(name), file)]
    found = _Unpacked(folder, most_bytes)
    try:
        with _members(file, most_bytes, is_zip=lower.endswith(".zip")) as members:
            for path, opened in members:
                found.take(path, opened)
    except _BROKEN as broken:
        # A full disk is not the archive's fault; that it leads before its own beginning is.
        if isinstance(broken, OSError) and broken.errno not in (None, errno.EINVAL):
            raise
        raise FileUnreadable(f"{name} is no archive that can be read: {broken}") from broken
    loadables = found.loadables()
    if not loadables:
        raise FileUnreadable(f"{name} has no .rdb and no .aof file in it")
    return loadables


def _form_of(name: str) -> BackupFormat:
    lower = name.lower()
    if not lower.endswith(_ENDINGS):
        raise FileUnreadable(f"{name}: the name of a file ends with .rdb, .aof, .zip, .tar.gz or .tgz")
    return BackupFormat(lower[-3:])


class _Unpacked:
    """What came out of an archive, by the folder that it was in there."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder, self._left = folder, most_bytes
        self._files: dict[PurePosixPath, Path] = {}

    def take(self, path: PurePosixPath, opened: IO[bytes]) -> None:
        """Keep a member, if it is of a kind that an engine reads."""
        if not path.name.lower().endswith((*_ENDINGS, _MANIFEST)) or path.name.startswith("."):
            return
        target = self._folder / str(len(self._files))
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with target.open("wb") as out:
            while piece := opened.read(PIECE_BYTES):
                self._left -= len(piece)
                if self._left < 0:
                    raise FileUnreadable("the archive holds more than is taken at once")
                out.write(piece)
        self._files[path] = target

    def loadables(self) -> list[Loadable]:
        """Parts of an append-only file belong together; everything else stands for itself."""
        parents = {path.parent for path in self._files if path.name.lower().endswith(_MANIFEST)}
        alone = [
            Loadable(str(path), _form_of(path.name), file)
            for path, file in self._files.items()
            if path.parent not in parents
        ]
        return sorted([*alone, *map(self._joined, parents)], key=lambda one: one.name)

    def _joined(self, parent: PurePosixPath) -> Loadable:
        parts = {path: file for path, file in self._files.items() if path.parent == parent}
        whole = self._folder / f"parts-{next(iter(parts.values())).name}"
        whole.mkdir(mode=0o700)
        manifest = next(path for path in parts if path.name.lower().endswith(_MANIFEST))
        for path, file in parts.items():
            file.rename(whole / (MANIFEST if path == manifest else path.name))
        return Loadable(str(manifest), BackupFormat.AOF, whole)


@contextmanager
def _members(file: Path, most_bytes: int, *, is_zip: bool) -> Iterator[Iterator[tuple[PurePosixPath, IO[bytes]]]]:
    if is_zip:
        with zipfile.ZipFile(file) as archive:
            yield _zipped(archive)
        return
    # A stream that tarfile unpacks itself is not compared with its checksum.
    with gzip.open(file) as unzipped:
        limited = _Limited(unzipped, 2 * most_bytes)
        with tarfile.open(fileobj=limited, mode="r|") as archive:
            yield _tarred(archive)
        while limited.read(PIECE_BYTES):
            """To the end, where the checksum is."""


class _Limited(io.RawIOBase):
    """What was packed, taken or not, as far as it may go on."""

    def __init__(self, unzipped: gzip.GzipFile, most_bytes: int) -> None:
        super().__init__()
        self._unzipped, self._left = unzipped, most_bytes

    def read(self, size: int = -1) -> bytes:
        """The next bytes; raises `FileUnreadable` once there are too many."""
        piece = self._unzipped.read(size)
        self._left -= len(piece)
        if self._left < 0:
            raise FileUnreadable("the archive holds more than is taken at once")
        return piece


def _zipped(archive: zipfile.ZipFile) -> Iterator[tuple[PurePosixPath, IO[bytes]]]:
    for member in archive.infolist():
        if not member.is_dir():
            with archive.open(member) as opened:
                yield PurePosixPath(member.filename), opened


def _tarred(archive: tarfile.TarFile) -> Iterator[tuple[PurePosixPath, IO[bytes]]]:
    for member in archive:
        if member.isfile() and (opened := archive.extractfile(member)):
            with opened:
                yield PurePosixPath(member.name), opened
