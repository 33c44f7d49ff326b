"""What a runtime is: the narrow protocol behind which nodes run.

A node is one process (a Redis-compatible server, a Sentinel, later a proxy) with an address of its own. A runtime
starts, ends, removes and watches nodes; it knows no tenant, no flavor and no quota. Every call may be repeated:
a call looks first and does what is missing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path
from typing import Protocol

NodeId = str


@dataclass(frozen=True)
class NodeSpec:
    """A node as it should be."""

    id: NodeId
    """Derived from what it belongs to, never made up, so that a second attempt finds the first one's node."""
    command: tuple[str, ...]
    """Program and arguments; the working folder is the node's own, which holds `files`."""
    files: Mapping[str, str] = field(repr=False)
    """Text files the node needs, by name; written readable by the owner only."""
    address: str
    port: int
    owner: str = ""
    """What it belongs to, for people who look at the machine."""
    environment: Mapping[str, str] = field(default_factory=dict)
    initial_files: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Files that the node rewrites itself (a Sentinel's), written only where they are not there yet."""
    front: NodeSpec | None = None
    """A second process that lives as long as the node does, in a folder of its own, and meets its clients."""


@dataclass(frozen=True)
class NodeSighting:
    """A node as it was just seen."""

    id: NodeId
    running: bool
    pid: int | None = None
    """Process id where nodes are processes of this machine, else None."""
    frozen: bool = False
    """The process exists but is stopped (signal STOP, debugger)."""
    owner: str = ""


_FRONT = ".front"


def front_id(node: NodeId) -> NodeId:
    """The id of a node's front."""
    return node + _FRONT


def node_behind(front: NodeId) -> NodeId | None:
    """The id of the node that this is the front of; None if it is nobody's."""
    return front.removesuffix(_FRONT) if front.endswith(_FRONT) else None


class NodeRuntime(Protocol):
    """Where nodes run."""

    async def start(self) -> None:
        """Adopt the nodes that are already there and begin to watch them."""

    async def ensure_node(self, spec: NodeSpec) -> NodeSighting:
        """The node runs and listens on its address, and so does its front. What runs is left as it is.

        Raises `NodeNotStarted` with the last lines of the node's own log, or `AddressTaken`.
        """

    async def replace_files(self, node: NodeId, files: Mapping[str, str]) -> None:
        """The node's folder has these files; whether it runs or not, it is left as it is. Fine if it is gone."""

    async def stop_node(self, node: NodeId) -> None:
        """The node's process has ended: asked first, killed if it does not listen. Its folder stays.

        Here and below a node's front goes before it.
        """

    async def kill_node(self, node: NodeId) -> None:
        """The node's process has ended, at once."""

    async def remove_node(self, node: NodeId) -> None:
        """Neither process nor folder is left; a node that is not there is fine."""

    async def observe_nodes(self) -> list[NodeSighting]:
        """Every node the runtime knows, running or not."""

    def exits(self) -> AsyncIterator[NodeId]:
        """Nodes whose process ended without being asked to, as it happens (within 100 ms)."""

    def last_words(self, node: NodeId, lines: int = 8) -> str:
        """The end of the node's own log; empty where there is none."""

    def free_port(self, address: str) -> int:
        """A port of the address that nothing listens on."""

    def node_folder(self, node: NodeId) -> Path:
        """Where the node's files, data and log are."""

    async def close(self) -> None:
        """Stop watching. Nodes go on."""


@dataclass(frozen=True)
class Guard:
    """Addresses that only some may connect to."""

    places: tuple[str, ...]
    """The guarded addresses, whatever the port."""
    admitted: tuple[IPv4Network, ...]
    """Who may; no two overlap."""


class Guards(Protocol):
    """Who keeps strangers from nodes."""

    async def is_permitted(self) -> bool:
        """Whether guards can be set here."""

    async def ensure(self, guards: Sequence[Guard]) -> None:
        """Exactly these guards are set: others are refused at once. Who is connected stays.

        Raises `GuardsNotSet`.
        """

    async def clear(self) -> None:
        """No guard is set. Raises `GuardsNotSet` if that cannot be told."""


class GuardsNotSet(Exception):
    """The machine does not let us guard addresses."""


class NodeNotStarted(Exception):
    """A node's process did not come up."""

    def __init__(self, node: NodeId, reason: str) -> None:
        super().__init__(f"node {node} did not start: {reason}")
        self.node, self.reason = node, reason


class AddressTaken(NodeNotStarted):
    """Another process listens where the node would, or the machine has no such address."""
