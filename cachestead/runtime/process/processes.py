"""Processes of this machine: who one is, how it is, starting and ending it.

A pid alone is nobody, because pids are used again. Here a process is its pid and the moment it started, counted
from a boot that is named too; that pair survives us and is what a node's record keeps. Reads /proc (Linux) and
falls back on psutil where there is none.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import psutil

NODE_GROUP = 64123
"""Group id of nodes' processes, where they can have one: what they send is known by it. Nobody belongs to it."""
PROC = Path("/proc")
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
"""All a node gets of ours; nothing from the control plane's own, which may hold secrets."""


@dataclass(frozen=True)
class ProcessIdentity:
    """One process, never mistaken for a later one with the same pid."""

    pid: int
    started: str
    """Boot and clock ticks since, as text that is only ever compared."""


@dataclass(frozen=True)
class Launch:
    """A process to start."""

    command: tuple[str, ...]
    folder: Path
    log: Path
    environment: Mapping[str, str]
    calls_for_others: bool = False
    """Whether it calls nodes on behalf of clients, and is to be let in where they are."""


def find_process(pid: int) -> ProcessIdentity | None:
    """The living process that has this pid now; one that ended and waits to be reaped does not count."""
    facts = _facts(pid)
    return None if facts is None or facts[0] in "ZX" else ProcessIdentity(pid, facts[1])


def is_alive(process: ProcessIdentity) -> bool:
    """Whether this very process still runs."""
    return find_process(process.pid) == process


def is_frozen(process: ProcessIdentity) -> bool:
    """Whether it exists but is stopped."""
    facts = _facts(process.pid)
    return facts is not None and facts[1] == process.started and facts[0] in "Tt"


def listens(process: ProcessIdentity, address: str, port: int) -> bool:
    """Whether it is this very process that accepts connections there."""
    try:
        sockets = psutil.Process(process.pid).net_connections(kind="tcp4")
    except psutil.Error:
        return False
    return any(one.status == psutil.CONN_LISTEN and one.laddr == (address, port) for one in sockets)


def may_have_group() -> bool:
    """Whether nodes can be given the group: only who may be anybody can."""
    return os.geteuid() == 0


def launch(order: Launch) -> ProcessIdentity:
    """Start it in a session of its own, so that nothing that ends us ends it. Raises `OSError`."""
    with order.log.open("ab") as log:
        child = subprocess.Popen(  # noqa: S603 - a command of ours, no shell
            order.command,
            cwd=order.folder,
            env={**ENVIRONMENT, **order.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            # Engines rewrite their files themselves and would let everybody read them.
            umask=0o077,
            close_fds=True,
            group=NODE_GROUP if may_have_group() and not order.calls_for_others else None,
        )
    # The object would complain that its process outlives it, which is what nodes are for; `reap` does the rest.
    child.returncode = 0
    identity = find_process(child.pid)
    return identity or ProcessIdentity(child.pid, "ended at once")


def find_in_folder(folder: Path, log: Path) -> ProcessIdentity | None:
    """The process that was started for this folder, whoever recorded it or not.

    It leads its session, works in the folder and writes the folder's log: true of a node, of no shell that
    happens to stand there, and of no child the node forks.
    """
    if not PROC.is_dir():
        return None
    for entry in PROC.iterdir():
        if entry.name.isdigit() and _works_in(entry, folder, log):
            return find_process(int(entry.name))
    return None


def send(process: ProcessIdentity, number: signal.Signals) -> None:
    """Signal this very process; fine if it is gone."""
    with contextlib.suppress(ProcessLookupError):
        if is_alive(process):
            os.kill(process.pid, number)


def reap(pid: int) -> None:
    """Let go of an ended child of ours; somebody else's is none of our business."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


async def wait_ended(process: ProcessIdentity, seconds: float) -> bool:
    """Whether the process ended within the time."""
    deadline = asyncio.get_running_loop().time() + seconds
    while is_alive(process):
        if asyncio.get_running_loop().time() >= deadline:
            return False
        await asyncio.sleep(0.005)
    reap(process.pid)
    return True


def _works_in(entry: Path, folder: Path, log: Path) -> bool:
    try:
        return (
            (entry / "cwd").readlink() == folder
            and (entry / "fd/1").readlink() == log
            and os.getsid(int(entry.name)) == int(entry.name)
        )
    except OSError:
        return False


def _facts(pid: int) -> tuple[str, str] | None:
    """State letter and start of a process."""
    try:
        # The name in brackets may hold anything; the fields after the last bracket are fixed.
        fields = (PROC / str(pid) / "stat").read_text().rpartition(") ")[2].split(" ")
    except (OSError, UnicodeDecodeError):
        return None if PROC.is_dir() else _facts_elsewhere(pid)
    # The first thread may end before the others, which hold the process' sockets for a moment longer.
    state = "S" if fields[0] in "ZX" and int(fields[17]) > 1 else fields[0]
    return state, f"{_boot()}/{fields[19]}"


def _facts_elsewhere(pid: int) -> tuple[str, str] | None:
    try:
        process = psutil.Process(pid)
        letters = {psutil.STATUS_STOPPED: "T", psutil.STATUS_ZOMBIE: "Z"}
        return letters.get(process.status(), "S"), f"{process.create_time():.2f}"
    except psutil.Error:
        return None


@lru_cache(maxsize=1)
def _boot() -> str:
    return (PROC / "sys/kernel/random/boot_id").read_text().strip()
