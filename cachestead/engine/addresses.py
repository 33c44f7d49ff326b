"""Where a server listens, as one value that every room of the engine shares."""

from __future__ import annotations

from typing import NamedTuple


class NodeAddress(NamedTuple):
    """Address and port of a node; equal to the plain pair."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"


def calling_from(node: NodeAddress) -> tuple[str, int] | None:
    """Where the control plane calls a node of this machine from: the node's own address, at any port.

    An instance's own addresses are admitted wherever others are not. None for a node of another machine.
    """
    return (node.address, 0) if node.address.startswith("127.") else None
