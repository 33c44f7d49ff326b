"""A PostgreSQL server for tests: a private one over a temporary folder, ended with the test run."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg

NewDatabase = Callable[[], str | None]
"""Makes the URL of an empty database; None stands for SQLite in the data directory."""

_ACCOUNT = "postgres"


def find_binaries() -> Path | None:
    """Where initdb and postgres are on this machine, the newest first; None without them."""
    packaged = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    on_path = shutil.which("initdb")
    places = [*packaged, *([Path(on_path).resolve().parent] if on_path else [])]
    return next((place for place in places if (place / "initdb").exists() and (place / "postgres").exists()), None)


@dataclass
class PostgresServer:
    """A running server."""

    port: int
    process: subprocess.Popen[bytes]
    folder: Path

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"')
        return self._url(name)

    def _url(self, name: str) -> str:
        return f"postgresql://{_ACCOUNT}@127.0.0.1:{self.port}/{name}"

    def close(self) -> None:
        """Ended, with everything it kept."""
        self.process.terminate()
        self.process.wait(20)
        shutil.rmtree(self.folder, ignore_errors=True)


def start_server(folder: Path) -> PostgresServer:
    """A server over an empty folder. As root it runs as the packaged account: PostgreSQL refuses root."""
    binaries = find_binaries()
    assert binaries, "PostgreSQL is not installed"
    account = {"user": _ACCOUNT, "group": _ACCOUNT} if os.geteuid() == 0 else {}
    folder.mkdir(parents=True)
    if account:
        entry = pwd.getpwnam(_ACCOUNT)
        os.chown(folder, entry.pw_uid, entry.pw_gid)
        for parent in folder.parents:
            if parent.stat().st_uid == os.geteuid() and not parent.stat().st_mode & 0o001:
                parent.chmod(parent.stat().st_mode | 0o011)
    data = folder / "data"
    initdb = [str(binaries / "initdb"), "-D", str(data), "-U", _ACCOUNT, "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run(initdb, check=True, capture_output=True, **account)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    options = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
    command = [str(binaries / "postgres"), "-D", str(data), "-p", str(port), "-c", "max_connections=300", *options]
    with (folder.parent / f"{folder.name}.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, **account)
    server = PostgresServer(port, process, folder)
    deadline = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(server._url("postgres")).close()
        except psycopg.OperationalError:
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError("PostgreSQL did not start") from None
            time.sleep(0.05)
        else:
            return server
