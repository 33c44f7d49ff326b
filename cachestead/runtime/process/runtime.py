"""Nodes as processes of this machine.

A node is a folder under the runtime's root and at most one process that serves it. The folder's record is written
before a process starts and again when its pid is known; a process that was started but never recorded, because we
were killed in between, is found by the folder it works in. So nodes outlive us, are adopted again, and never run
twice.
"""

from __future__ import annotations

import asyncio
import resource
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

from cachestead.engine.addresses import NodeAddress, calling_from
from cachestead.runtime.interface import (
    AddressTaken,
    NodeId,
    NodeNotStarted,
    NodeSighting,
    NodeSpec,
    front_id,
    node_behind,
)
from cachestead.runtime.process.addresses import free_port, is_free
from cachestead.runtime.process.folder import NodeFolder, NodeRecord, write_private
from cachestead.runtime.process.processes import (
    Launch,
    ProcessIdentity,
    find_in_folder,
    is_alive,
    is_frozen,
    launch,
    listens,
    reap,
    send,
    wait_ended,
)
from cachestead.runtime.process.watch import ExitWatch

READY_SECONDS = 30.0
"""How long a node may take to listen; it does so before it loads its data."""
FREE_SECONDS = 1.0
"""How long an address may take to come free."""
STOP_SECONDS = 10.0
"""How long a node may take to end when asked."""
KILL_SECONDS = 5.0
POLL_SECONDS = 0.005
STARTS_AT_ONCE = 16
"""Processes being started at the same time; more only makes each wait longer."""


class ProcessRuntime:
    """A `NodeRuntime` on this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._records: dict[NodeId, NodeRecord] = {}
        self._watches: dict[NodeId, ExitWatch] = {}
        self._locks: defaultdict[NodeId, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._starts = asyncio.Semaphore(STARTS_AT_ONCE)
        self._exits: asyncio.Queue[NodeId | None] = asyncio.Queue()

    async def start(self) -> None:
        """Adopt the nodes that are there and begin to watch them."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        _raise_file_limit()
        for path in sorted(self._root.iterdir()):
            folder = NodeFolder(path)
            if path.is_dir() and (record := folder.read()) is not None:
                async with self._locks[record.id]:
                    await self._adopt(folder, record)

    async def ensure_node(self, spec: NodeSpec) -> NodeSighting:
        """The node runs and listens, with the front that it shall have. Raises `NodeNotStarted`."""
        seen = await self._ensure(spec)
        if spec.front is not None:
            await self._ensure(spec.front)
        elif front_id(spec.id) in self._records:
            await self._remove(front_id(spec.id))
        return seen

    async def _ensure(self, spec: NodeSpec) -> NodeSighting:
        async with self._locks[spec.id]:
            folder = self._folder(spec.id)
            process = await self._find_running(spec.id)
            if process is None:
                async with self._starts:
                    await self._begin(folder, spec)
            elif not is_frozen(process):
                await _wait_listening(folder, spec, process)
            return self._sighting(self._records[spec.id])

    async def replace_files(self, node: NodeId, files: Mapping[str, str]) -> None:
        """The node's folder, if there is one, has these files."""
        async with self._locks[node]:
            folder = self._folder(node)
            if folder.read() is not None:
                for name, text in files.items():
                    write_private(folder.path / name, text)

    async def stop_node(self, node: NodeId) -> None:
        """The node's process has ended: asked first, then killed."""
        await self._end_with_front(node, STOP_SECONDS)

    async def kill_node(self, node: NodeId) -> None:
        """The node's process has ended, at once."""
        await self._end_with_front(node, 0)

    async def _end_with_front(self, node: NodeId, grace: float) -> None:
        for one in (front_id(node), node):
            if one == node or one in self._records:
                async with self._locks[one]:
                    await self._end(one, grace)

    async def remove_node(self, node: NodeId) -> None:
        """Neither process nor folder is left."""
        if front_id(node) in self._records:
            await self._remove(front_id(node))
        await self._remove(node)

    async def _remove(self, node: NodeId) -> None:
        async with self._locks[node]:
            await self._end(node, 0)
            await asyncio.to_thread(self._folder(node).remove)
            self._records.pop(node, None)

    async def observe_nodes(self) -> list[NodeSighting]:
        """Every node with a folder here."""
        return [self._sighting(record) for record in list(self._records.values())]

    async def exits(self) -> AsyncIterator[NodeId]:
        """Nodes whose process ended unasked. Ends when the runtime is closed."""
        while (node := await self._exits.get()) is not None:
            yield node

    def last_words(self, node: NodeId, lines: int = 8) -> str:
        """The last lines of the node's log."""
        return self._folder(node).last_lines(lines)

    def free_port(self, address: str) -> int:
        """A port of the address that nothing listens on."""
        return free_port(address)

    def node_folder(self, node: NodeId) -> Path:
        """The folder of a node, there or not."""
        return self._folder(node).path

    async def close(self) -> None:
        """Stop watching; nodes go on."""
        for watch in self._watches.values():
            watch.close()
        self._watches.clear()
        self._exits.put_nowait(None)

    def _folder(self, node: NodeId) -> NodeFolder:
        if not node or "/" in node or node.startswith("."):
            raise ValueError(f"not a node id: {node!r}")
        return NodeFolder(self._root / node)

    async def _find_running(self, node: NodeId) -> ProcessIdentity | None:
        """The node's living process, adopted if it was not known yet."""
        folder = self._folder(node)
        if (record := folder.read()) is not None:
            await self._adopt(folder, record)
        known = self._records.get(node)
        return known.process if known else None

    async def _adopt(self, folder: NodeFolder, record: NodeRecord) -> None:
        process = record.process
        if process is None or not is_alive(process):
            process = await asyncio.to_thread(find_in_folder, folder.path, folder.log)
        if process != record.process:
            record = replace(record, process=process)
            folder.save(record)
        self._records[record.id] = record
        if process is not None:
            self._watch(record.id, process)

    async def _begin(self, folder: NodeFolder, spec: NodeSpec) -> None:
        """A new process serves the node; none is left if it does not come up."""
        is_front = node_behind(spec.id) is not None
        # Fronts share addresses: that they may is for the system to say.
        if not is_front:
            await _wait_free(spec)
        record = folder.prepare(spec)
        self._records[spec.id] = record
        order = Launch(spec.command, folder.path, folder.log, spec.environment, calls_for_others=is_front)
        try:
            process = await asyncio.to_thread(launch, order)
        except OSError as error:
            raise NodeNotStarted(spec.id, f"{spec.command[0]}: {error.strerror}") from error
        self._records[spec.id] = replace(record, process=process)
        folder.save(self._records[spec.id])
        try:
            await _wait_listening(folder, spec, process)
        except NodeNotStarted:
            await self._end(spec.id, 0)
            reap(process.pid)
            raise
        # Only now: a start that failed is told to who asked for it, not to everybody.
        self._watch(spec.id, process)

    async def _end(self, node: NodeId, grace: float) -> None:
        """No process is left. Its end is ours, so nobody is told."""
        process = await self._find_running(node)
        self._unwatch(node)
        if process is None:
            return
        ended = False
        if grace:
            send(process, signal.SIGTERM)
            # A stopped process hears nothing but this and KILL.
            send(process, signal.SIGCONT)
            ended = await wait_ended(process, grace)
        if not ended:
            send(process, signal.SIGKILL)
            await wait_ended(process, KILL_SECONDS)
        self._forget(node)
        self._folder(node).forget_process()

    def _watch(self, node: NodeId, process: ProcessIdentity) -> None:
        known = self._watches.get(node)
        if known is None or known.process != process:
            self._unwatch(node)
            self._watches[node] = ExitWatch(process, lambda ended: self._ended(node, ended))

    def _ended(self, node: NodeId, process: ProcessIdentity) -> None:
        """A process ended that nobody had asked to."""
        record = self._records.get(node)
        if record is not None and record.process == process:
            self._unwatch(node)
            self._forget(node)
            self._exits.put_nowait(node)

    def _unwatch(self, node: NodeId) -> None:
        if watch := self._watches.pop(node, None):
            watch.close()
            reap(watch.process.pid)

    def _forget(self, node: NodeId) -> None:
        """Know of no process of the node."""
        if node in self._records:
            self._records[node] = replace(self._records[node], process=None)

    def _sighting(self, record: NodeRecord) -> NodeSighting:
        process = record.process
        if process is None or not is_alive(process):
            return NodeSighting(record.id, running=False, owner=record.owner)
        return NodeSighting(record.id, True, process.pid, is_frozen(process), record.owner)


async def _wait_free(spec: NodeSpec) -> None:
    """Nobody listens where the node will: the system closes a dead process' sockets a moment after its end."""
    deadline = asyncio.get_running_loop().time() + FREE_SECONDS
    while not is_free(spec.address, spec.port):
        if asyncio.get_running_loop().time() > deadline:
            raise AddressTaken(spec.id, f"{spec.address}:{spec.port}: address already in use, or not ours")
        await asyncio.sleep(POLL_SECONDS)


async def _wait_listening(folder: NodeFolder, spec: NodeSpec, process: ProcessIdentity) -> None:
    """The node itself accepts connections. Raises `NodeNotStarted` with the end of its log."""
    deadline = asyncio.get_running_loop().time() + READY_SECONDS
    listening = False
    while not listening:
        # Somebody else may listen there by now, until the node finds out that it cannot.
        listening = await _accepts(spec.address, spec.port) and await _is_owner(process, spec)
        # A server that fails on its second address listens on the first one for a moment: look after that.
        await asyncio.sleep(POLL_SECONDS)
        if not is_alive(process):
            raise NodeNotStarted(spec.id, folder.last_lines() or "it ended at once and said nothing")
        if not listening and asyncio.get_running_loop().time() > deadline:
            raise NodeNotStarted(spec.id, f"it did not listen in {READY_SECONDS:g} s; {folder.last_lines()}")


async def _is_owner(process: ProcessIdentity, spec: NodeSpec) -> bool:
    return await asyncio.to_thread(listens, process, spec.address, spec.port)


async def _accepts(address: str, port: int) -> bool:
    try:
        async with asyncio.timeout(1):
            source = calling_from(NodeAddress(address, port))
            _, writer = await asyncio.open_connection(address, port, local_addr=source)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def _raise_file_limit() -> None:
    """As many open files as the machine lets us have: nodes inherit the limit, and each costs us descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
