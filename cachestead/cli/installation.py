"""The installation on this machine: its settings, whether its service runs, and how to end that.

A running service holds a lock on `run/cachestead.lock` in the data folder. The lock, not the file or the number in
it, says whether the service runs: the system lets go of it however the service ends.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cachestead.cli.failures import CommandFailed
from cachestead.settings import Settings, load_settings


def read_settings(data_dir: Path | None = None, config: Path | None = None, **flags: dict[str, Any]) -> Settings:
    """The settings that file, environment and flags make; groups of flags lose what was not given."""
    given: dict[str, Any] = {}
    for group, values in flags.items():
        present = {key: value for key, value in values.items() if value is not None}
        if present:
            given[group] = present
    if data_dir is not None:
        given["data_dir"] = data_dir
    try:
        return load_settings(config, **given)
    except FileNotFoundError as exc:
        raise CommandFailed(f"There is no settings file {exc}.") from exc
    except tomllib.TOMLDecodeError as exc:
        raise CommandFailed(f"The settings file is not valid TOML: {exc}.") from exc
    except ValidationError as exc:
        # The input is left out of the message: it may be a password.
        found = [
            f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in exc.errors(include_input=False)
        ]
        raise CommandFailed("Settings are not valid: " + "; ".join(found) + ".") from exc


def running_pid(settings: Settings) -> int | None:
    """The process id of the service that runs on this data folder, or None."""
    try:
        with _lock_file(settings).open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read().split()[0])
    except (FileNotFoundError, ValueError, IndexError):
        # No file, or a lock so fresh that its number is not written yet.
        return None
    return None


def stop_service(settings: Settings) -> bool:
    """End the service gently and wait for it; False if none was running."""
    pid = running_pid(settings)
    if pid is None:
        return False
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return True
    except PermissionError as exc:
        raise CommandFailed(f"The service (process {pid}) belongs to another user.") from exc
    patience = settings.server.stop_grace_seconds + 20
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if running_pid(settings) is None:
            return True
        time.sleep(0.1)
    raise CommandFailed(
        f"The service (process {pid}) has not stopped within {patience:.0f} s.",
        advice=f"Its log says what it waits for. After `kill -9 {pid}` work continues at the next start.",
    )


def _lock_file(settings: Settings) -> Path:
    return settings.data_dir / "run" / "cachestead.lock"
