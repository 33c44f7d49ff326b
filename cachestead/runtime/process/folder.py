"""A node's folder: its files, its record and its log.

Everything is readable by the owner only and every write is whole or not at all (a new file, then a rename). The
record keeps who the node is and which process serves it; never a secret, which are in the node's own files.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cachestead.runtime.interface import NodeId, NodeSpec
from cachestead.runtime.process.processes import ProcessIdentity

RECORD, LOG, OLD_LOG = "node.json", "node.log", "node.log.1"
LOG_BYTES = 16 * 1024 * 1024
"""A log that has grown beyond this is set aside at the next start; one older piece is kept."""


@dataclass(frozen=True)
class NodeRecord:
    """What the folder knows of its node."""

    id: NodeId
    owner: str
    address: str
    port: int
    process: ProcessIdentity | None = None


@dataclass(frozen=True)
class NodeFolder:
    """The folder of one node, made or not."""

    path: Path

    @property
    def log(self) -> Path:
        """Standard output and error of the node's processes, appended."""
        return self.path / LOG

    def prepare(self, spec: NodeSpec) -> NodeRecord:
        """Folder, files and record are there, before anything runs. Returns the record."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.chmod(0o700)
        for name, text in spec.files.items():
            write_private(self.path / name, text)
        for name, text in spec.initial_files.items():
            if not (self.path / name).exists():
                write_private(self.path / name, text)
        self._set_log_aside()
        record = NodeRecord(spec.id, spec.owner, spec.address, spec.port)
        self.save(record)
        return record

    def save(self, record: NodeRecord) -> None:
        """Write the record."""
        process = record.process
        write_private(
            self.path / RECORD,
            json.dumps(
                {
                    "id": record.id,
                    "owner": record.owner,
                    "address": record.address,
                    "port": record.port,
                    "pid": process.pid if process else None,
                    "started": process.started if process else None,
                }
            ),
        )

    def forget_process(self) -> None:
        """The record says that nothing runs."""
        if record := self.read():
            self.save(replace(record, process=None))

    def read(self) -> NodeRecord | None:
        """The record, or None where there is none that can be read."""
        try:
            return _record((self.path / RECORD).read_text())
        except (OSError, ValueError, KeyError):
            return None

    def last_lines(self, count: int = 8) -> str:
        """The end of the log, for people."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, self.log.stat().st_size - 512 * count))
                lines = log.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(lines[-count:])

    def remove(self) -> None:
        """Nothing is left; fine if nothing was there."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _set_log_aside(self) -> None:
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.path / OLD_LOG)
        os.close(os.open(self.log, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))


def write_private(path: Path, text: str, mode: int = 0o600) -> None:
    """The file holds this text, readable by its owner only; never half of it."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    fresh.replace(path)


def _record(text: str) -> NodeRecord:
    fields: Mapping[str, str | int | None] = json.loads(text)
    pid, started = fields["pid"], fields["started"]
    return NodeRecord(
        id=str(fields["id"]),
        owner=str(fields["owner"]),
        address=str(fields["address"]),
        port=int(fields["port"] or 0),
        process=None if pid is None else ProcessIdentity(int(pid), str(started)),
    )
