"""Keeping strangers from addresses of this machine before any node sees them, by the kernel's packet filter.

Only packets that begin a connection are looked at, so what is connected costs nothing and stays; without guards
there is no table. All guards are written as one table, whole and at once, and its last chain is named after its
text: who finds that name finds everything as it was written. The program is `nft`; it needs root.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network
from pathlib import Path

from cachestead.runtime.interface import Guard, GuardsNotSet
from cachestead.runtime.process.processes import NODE_GROUP, may_have_group

PROGRAM_FOLDERS = ("/usr/sbin", "/sbin")
"""Where `nft` is on machines whose users have no such folder on their PATH."""
OWN_MARK = 0x10000000
"""On what our nodes begin, which no guard stops: engines that send keys call from addresses that are not
of their choice."""
_SAMPLE = Guard(("127.0.0.1",), (IPv4Network("127.0.0.1"),))


class PacketFilter:
    """The guards of one installation."""

    def __init__(self, folder: Path, patience: float = 10.0) -> None:
        """The data folder names the table, so that installations leave each other's alone.

        `patience` is how long `nft` may take, in seconds.
        """
        self.table = f"cachestead_{hashlib.sha256(bytes(folder.resolve())).hexdigest()[:12]}"
        self._program, self._patience = find_program(), patience
        self._is_usable = self._is_clear = False
        """Whether we may use the filter, and whether there is no table, as far as is known."""

    async def is_permitted(self) -> bool:
        """Whether this machine lets us guard anything, and nodes can be known by their group."""
        if not self._is_usable and self._program is not None and may_have_group():
            with contextlib.suppress(GuardsNotSet):
                # The kernel looks at all of it and does nothing: modules may be missing, or the right.
                self._is_usable = await self._run("--check", "-f", "-", text=render(self.table, [_SAMPLE]))
        return self._is_usable

    async def ensure(self, guards: Sequence[Guard]) -> None:
        """Exactly these guards are set. Raises `GuardsNotSet`."""
        if not guards:
            await self.clear()
            return
        self._is_clear = False
        if not await self._run("list", "chain", "ip", self.table, mark_of(guards)):
            await self._write(render(self.table, guards))

    async def clear(self) -> None:
        """No guard is set. Raises `GuardsNotSet` if that cannot be told."""
        if self._is_clear or self._program is None:
            return
        # Who may not look has set none.
        if await self._run("list", "table", "ip", self.table):
            await self._write(f"delete table ip {self.table}\n")
        self._is_clear = True

    async def _run(self, *words: str, text: str = "") -> bool:
        return (await self._call(*words, text=text))[0] == 0

    async def _write(self, text: str) -> None:
        code, said = await self._call("-f", "-", text=text)
        if code:
            raise GuardsNotSet(said.splitlines()[0] if said else f"nft ended with {code}")

    async def _call(self, *words: str, text: str = "") -> tuple[int, str]:
        if self._program is None:
            raise GuardsNotSet("the program nft is not installed")
        command = [self._program, *words]
        try:
            ended = await asyncio.to_thread(
                subprocess.run,
                command,
                input=text,
                capture_output=True,
                text=True,
                timeout=self._patience,
                check=False,
            )
        except subprocess.TimeoutExpired as silence:
            raise GuardsNotSet(f"nft did not end within {self._patience:g} s") from silence
        return ended.returncode, ended.stderr


def find_program() -> str | None:
    """Where `nft` is; None if it is not installed."""
    return shutil.which("nft", path=os.pathsep.join((os.environ.get("PATH", os.defpath), *PROGRAM_FOLDERS)))


def render(table: str, guards: Iterable[Guard]) -> str:
    """The table's text, which takes the place of the one there is."""
    guards = list(guards)
    elements = ",\n      ".join(
        f"{place} : jump guard_{n}" for n, one in enumerate(guards) for place in one.places
    )
    chains = "".join(
        f"  chain guard_{n} {{\n"
        f"    ip saddr {{ {', '.join(map(str, one.admitted))} }} return\n"
        "    reject with tcp reset\n"
        "  }\n"
        for n, one in enumerate(guards)
    )
    return (
        f"add table ip {table}\n"
        f"delete table ip {table}\n"
        f"table ip {table} {{\n"
        "  map guarded {\n"
        "    type ipv4_addr : verdict\n"
        f"    elements = {{\n      {elements}\n    }}\n"
        "  }\n"
        f"{chains}"
        "  chain outgoing {\n"
        "    type filter hook output priority filter\n"
        f"    tcp flags & (syn | ack) == syn meta skgid {NODE_GROUP} meta mark set meta mark | {OWN_MARK:#x}\n"
        "  }\n"
        "  chain incoming {\n"
        "    type filter hook input priority filter\n"
        f"    tcp flags & (syn | ack) == syn meta mark & {OWN_MARK:#x} == 0 ip daddr vmap @guarded\n"
        "  }\n"
        f"  chain {mark_of(guards)} {{\n"
        "  }\n"
        "}\n"
    )


def mark_of(guards: Iterable[Guard]) -> str:
    """The name of the chain that says what was written."""
    return f"as_{hashlib.sha256(repr(list(guards)).encode()).hexdigest()[:24]}"
