"""Looking for secrets everywhere that an installation leaves something, in every form that they may be kept in."""

from __future__ import annotations

import base64
import contextlib
import shutil
import subprocess
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote, quote_plus

import psutil
from installation import Installation
from postgresql import find_binaries

_SHORTEST = 16
_INTERVAL = 0.05
"""Seconds between looks at command lines. Programs that live shorter may be missed, but not each time."""


@dataclass
class Secrets:
    """Everything that nobody may read, with what it is."""

    known: dict[str, str] = field(default_factory=dict)

    def new(self, what: str) -> str:
        """A new password that the service's rules accept."""
        return self.keep(f"Aa1-{uuid.uuid4().hex[:20]}", what)

    def keep(self, secret: str, what: str) -> str:
        """A secret that somebody else has made."""
        assert len(secret) >= _SHORTEST, what
        self.known[secret] = what
        return secret

    def found_in(self, content: bytes) -> set[str]:
        """What they are that occur in it."""
        return {what for secret, what in self.known.items() if is_in(secret, content)}


def is_in(secret: str, content: bytes) -> bool:
    """Whether the text occurs, as it is or in one of the forms that programs write texts in."""
    return any(form in content for form in _forms(secret.encode()))


def _forms(secret: bytes) -> Iterator[bytes]:
    yield secret
    yield quote(secret).encode()
    yield quote_plus(secret).encode()
    yield secret.hex().encode()
    yield secret.decode().encode("utf-16-le")
    for before in range(3):
        # Three ways to fall into groups of three bytes; what depends on the neighbours is cut off.
        encoded = base64.b64encode(b"\0" * before + secret)[4 if before else 0 :]
        whole = encoded[: len(encoded) // 4 * 4 - 4]
        yield whole
        yield whole.replace(b"+", b"-").replace(b"/", b"_")


@dataclass
class CommandLines:
    """Every command line that any process of this machine had in the meantime."""

    seen: set[bytes] = field(default_factory=set)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(_INTERVAL):
            for entry in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    self.seen.add(entry.read_bytes())


def node_environments(installation: Installation) -> Iterator[bytes]:
    """The environments of the installation's nodes and proxies."""
    for process in installation.node_processes():
        with contextlib.suppress(OSError):
            yield Path(f"/proc/{process.pid}/environ").read_bytes()


def files_of(installation: Installation) -> Iterator[Path]:
    """Every file in the data directory, the database and its log among them."""
    for path in sorted(installation.folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path


def written_to(installation: Installation, names: str) -> bytes:
    """All that is in files of the data directory that are named like this."""
    return b"".join(path.read_bytes() for path in installation.folder.glob(names))


def dumped(installation: Installation) -> bytes:
    """All that PostgreSQL keeps, in words; nothing where records are files."""
    if installation.database_url is None:
        return b""
    binaries = find_binaries()
    program = shutil.which("pg_dump") or (binaries and str(binaries / "pg_dump"))
    assert program
    return subprocess.run([program, installation.database_url], capture_output=True, check=True).stdout


def is_private(path: Path) -> bool:
    """Whether only its owner may read the file."""
    return path.stat().st_mode & 0o077 == 0


def processes_of(installation: Installation) -> list[psutil.Process]:
    """The service with what it has started, and the nodes."""
    assert installation.process
    service = psutil.Process(installation.process.pid)
    return [service, *service.children(recursive=True), *installation.node_processes()]
