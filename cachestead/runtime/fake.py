"""A runtime in memory that obeys the same contract: for tests of what is built on it, and for trying things out.

Nodes are entries in a table. What the outside world does to processes, a caller does here: `crash`, `freeze`, and
`refuse` for a node that must not come up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from cachestead.runtime.interface import (
    AddressTaken,
    NodeId,
    NodeNotStarted,
    NodeSighting,
    NodeSpec,
    front_id,
)


@dataclass(frozen=True)
class FakeNode:
    """A node as it is told to be."""

    spec: NodeSpec
    pid: int | None
    frozen: bool = False


class FakeRuntime:
    """A `NodeRuntime` without processes."""

    def __init__(self, root: Path = Path("fake-nodes")) -> None:
        self.nodes: dict[NodeId, FakeNode] = {}
        self.starts: list[NodeId] = []
        """Every start of a process there was, in order."""
        self._root = root
        self._refused: dict[NodeId, str] = {}
        self._pids = count(1000)
        self._exits: asyncio.Queue[NodeId | None] = asyncio.Queue()

    async def start(self) -> None:
        """Nothing to adopt that is not in the table."""

    async def ensure_node(self, spec: NodeSpec) -> NodeSighting:
        """The node runs, with the front that it shall have."""
        sighting = self._ensure(spec)
        if spec.front is not None:
            self._ensure(spec.front)
        else:
            self.nodes.pop(front_id(spec.id), None)
        return sighting

    def _ensure(self, spec: NodeSpec) -> NodeSighting:
        node = self.nodes.get(spec.id)
        if node is None or node.pid is None:
            self._check(spec)
            node = FakeNode(spec, next(self._pids))
            self.nodes[spec.id] = node
            self.starts.append(spec.id)
        return _sighting(node)

    async def replace_files(self, node: NodeId, files: Mapping[str, str]) -> None:
        """The node, if it is in the table, has these files."""
        if known := self.nodes.get(node):
            spec = replace(known.spec, files={**known.spec.files, **files})
            self.nodes[node] = replace(known, spec=spec)

    async def stop_node(self, node: NodeId) -> None:
        """The node does not run."""
        self._end(front_id(node))
        self._end(node)

    async def kill_node(self, node: NodeId) -> None:
        """The node does not run."""
        self._end(front_id(node))
        self._end(node)

    async def remove_node(self, node: NodeId) -> None:
        """The node is not in the table."""
        self.nodes.pop(front_id(node), None)
        self.nodes.pop(node, None)

    async def observe_nodes(self) -> list[NodeSighting]:
        """Every node in the table."""
        return [_sighting(node) for node in self.nodes.values()]

    async def exits(self) -> AsyncIterator[NodeId]:
        """Nodes that crashed. Ends when the runtime is closed."""
        while (node := await self._exits.get()) is not None:
            yield node

    def last_words(self, node: NodeId, lines: int = 8) -> str:  # noqa: ARG002 - what it says is short
        """Why the node was refused, if it was."""
        return self._refused.get(node, "")

    def free_port(self, address: str) -> int:
        """The next port that no node there has."""
        taken = {node.spec.port for node in self.nodes.values() if node.spec.address == address}
        return next(port for port in count(10000) if port not in taken)

    def node_folder(self, node: NodeId) -> Path:
        """Where the node's folder would be."""
        return self._root / node

    async def close(self) -> None:
        """Stop telling; the table stays."""
        self._exits.put_nowait(None)

    def crash(self, node: NodeId) -> None:
        """The node's process ends unasked."""
        self._end(node)
        self._exits.put_nowait(node)

    def freeze(self, node: NodeId) -> None:
        """The node's process is stopped."""
        self.nodes[node] = replace(self.nodes[node], frozen=True)

    def refuse(self, node: NodeId, reason: str) -> None:
        """The node will not come up."""
        self._refused[node] = reason

    def _end(self, node: NodeId) -> None:
        if node in self.nodes:
            self.nodes[node] = replace(self.nodes[node], pid=None, frozen=False)

    def _check(self, spec: NodeSpec) -> None:
        if reason := self._refused.get(spec.id):
            raise NodeNotStarted(spec.id, reason)
        place = (spec.address, spec.port)
        running = [node.spec for node in self.nodes.values() if node.pid is not None]
        if any((other.address, other.port) == place for other in running):
            raise AddressTaken(spec.id, f"{spec.address}:{spec.port}: address already in use")


def _sighting(node: FakeNode) -> NodeSighting:
    return NodeSighting(node.spec.id, node.pid is not None, node.pid, node.frozen, node.spec.owner)
