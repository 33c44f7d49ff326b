"""A staging engine for the length of a block within one step.

It reads a file that somebody made, where nothing can be lost by it. Its folder and its process go with the block;
of a service that was killed they go when the step runs again.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from cachestead.domain.backups import BackupFormat
from cachestead.engine import datafiles
from cachestead.engine.addresses import NodeAddress
from cachestead.engine.catalogue import Engine
from cachestead.engine.config import REDIS_FILE
from cachestead.engine.connection import Client, connect
from cachestead.engine.errors import EngineError, FileUnreadable, LoadInterrupted
from cachestead.engine.info import NodeFacts, observe_node
from cachestead.engine.polling import until
from cachestead.engine.staging import StagingConf, render_staging_conf, staging_commands
from cachestead.runtime.interface import AddressTaken, NodeNotStarted, NodeSpec
from cachestead.workflows.machinery import Machinery, sightings_now
from cachestead.workflows.workflow import StepContext

LOAD_SECONDS = 3600.0
"""How long an engine may read a file; it ends earlier if it cannot."""
ANSWER_SECONDS = 60.0
"""An engine that reads a file answers between pieces of it only."""
_PAUSE = 0.05
_PORTS = 5
"""How many ports are tried: between choice and use another process may take one."""
_WARNING = " # "
"""What stands before a warning in an engine's log."""
_UP = "Server initialized"
"""What an engine says before it reads. What it says before that is about itself."""
_OF_MACHINE = "WARNING"
"""How warnings about the machine begin."""
_FUNCTION = " -> "
"""What stands between a place in the engine's own code and what is wrong."""
_LINES = 100
"""How much of a log is read: of some files engines say a lot."""


@dataclass
class Staging:
    """A place for one staging engine, which may load one file after another."""

    machinery: Machinery
    node: str
    owner: str
    client: Client | None = None

    @property
    def folder(self) -> Path:
        """Files that an engine is to load come here, so that they need not be copied."""
        return self.machinery.runtime.node_folder(self.node)

    async def load(self, file: Path, form: BackupFormat, engine: Engine) -> tuple[Client, NodeFacts]:
        """An engine that has loaded the file, and what it found. The file is its own from now on.

        A folder has the parts of an append-only file.
        Raises `FileUnreadable` with what the engine said; `LoadInterrupted`, `NodeNotStarted`.
        """
        append_only = form is BackupFormat.AOF
        await self.clear(file)
        await asyncio.to_thread(_place, file, self.folder, form, engine)
        secret = secrets.token_urlsafe(32)
        address = await self._start(engine, secret, append_only=append_only)
        commands = staging_commands(engine, secret)
        self.client = connect(address, secret, user=None, commands=commands, answer_seconds=ANSWER_SECONDS)
        return self.client, await self._wait_loaded(self.client)

    async def clear(self, kept: Path | None = None) -> None:
        """Neither engine nor data is there; a file that is still to be loaded may be."""
        if self.client is not None:
            await self.client.aclose()
            self.client = None
        if kept is None:
            await self.machinery.runtime.remove_node(self.node)
            return
        await self.machinery.runtime.kill_node(self.node)
        await asyncio.to_thread(datafiles.remove_data, self.folder)

    async def _start(self, engine: Engine, secret: str, *, append_only: bool) -> NodeAddress:
        runtime, host = self.machinery.runtime, self.machinery.staging_host
        for attempt in range(1, _PORTS + 1):
            address = NodeAddress(host, runtime.free_port(host))
            spec = NodeSpec(
                id=self.node,
                command=(str(engine.path), REDIS_FILE),
                files={REDIS_FILE: render_staging_conf(StagingConf(engine, address, secret, append_only))},
                address=address.address,
                port=address.port,
                owner=self.owner,
            )
            try:
                await runtime.ensure_node(spec)
            except AddressTaken:
                if attempt == _PORTS:
                    raise
            except NodeNotStarted as ended:
                # It listens before it reads, unless the file ends it at once.
                raise self._failure() from ended
            else:
                break
        return address

    async def _wait_loaded(self, client: Client) -> NodeFacts:
        seen: list[NodeFacts] = []

        async def look() -> str | None:
            sighting = (await sightings_now(self.machinery)).get(self.node)
            if sighting is None or not sighting.running:
                raise self._failure()
            seen[:] = [await observe_node(client)]
            return "it is still reading" if seen[0].loading else None

        await until(look, LOAD_SECONDS, FileUnreadable, pause=_PAUSE)
        return seen[0]

    def _failure(self) -> EngineError:
        """What the engine warned of first once it was up; if of nothing, the file is not at fault."""
        words = self.machinery.runtime.last_words(self.node, _LINES).rpartition(_UP)[2]
        warnings = [line.split(_WARNING, 1)[1] for line in words.splitlines() if _WARNING in line]
        told = [warning.rpartition(_FUNCTION)[2] for warning in warnings if not warning.startswith(_OF_MACHINE)]
        return FileUnreadable(told[0][:300]) if told else LoadInterrupted("an engine ended while it read a file")


@asynccontextmanager
async def staging(ctx: StepContext, number: int = 0) -> AsyncIterator[Staging]:
    """A place for a staging engine of the job, empty. The number tells several at once apart."""
    place = Staging(ctx.machinery, node=f"staging-{ctx.job.id}-{number}", owner=ctx.job.id)
    await place.clear()
    await asyncio.to_thread(place.folder.mkdir, mode=0o700, parents=True)
    try:
        yield place
    finally:
        await place.clear()


def _place(file: Path, folder: Path, form: BackupFormat, engine: Engine) -> None:
    if file.is_dir():
        datafiles.place_aof_parts(file, folder, engine)
    elif form is BackupFormat.AOF:
        datafiles.place_aof(file, folder, engine)
    else:
        datafiles.place_rdb(file, folder, engine, append_only=False)
