"""Where a server listens, as one value that every room of the engine shares."""

from __future__ import annotations

from typing import NamedTuple


class NodeAddress(NamedTuple):
    """Address and port of a node; equal to the plain pair."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.address}:{self.port}"
