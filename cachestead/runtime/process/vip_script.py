"""What `move_vip.py` needs to do its work while we are away: the script Sentinel calls, and a file per shard.

The file names the instance address, the shard's nodes with their folders, and how to log in; it is the only place
beside the nodes' own files where an admin secret is on disk in clear, hence readable by the owner only.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cachestead.engine.acl import ADMIN
from cachestead.engine.addresses import NodeAddress
from cachestead.engine.commands import AdminCommands
from cachestead.runtime.process import move_vip
from cachestead.runtime.process.folder import write_private

SCRIPT = "move-vip.sh"


@dataclass(frozen=True)
class ShardNode:
    """A node that may hold the instance address."""

    node: NodeAddress
    folder: Path


@dataclass(frozen=True)
class ShardEndpoint:
    """The instance address of a shard that Sentinels watch under `name`."""

    name: str
    vip: str
    nodes: Sequence[ShardNode]
    secret: str = field(repr=False)
    user: str | None = ADMIN
    commands: AdminCommands = field(default_factory=AdminCommands)


def write_script(folder: Path) -> Path:
    """The script is there, for this interpreter; returns its path, which is what Sentinel is told."""
    endpoints_folder(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    script = folder / SCRIPT
    call = [sys.executable, "-IS", str(Path(move_vip.__file__).resolve()), str(endpoints_folder(folder).resolve())]
    write_private(script, f'#!/bin/sh\nexec {shlex.join(call)} "$@"\n', mode=0o700)
    return script


def write_endpoint(folder: Path, endpoint: ShardEndpoint) -> None:
    """The shard's file says this."""
    endpoints_folder(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(endpoint_file(folder, endpoint.name), render_endpoint(endpoint))


def remove_endpoint(folder: Path, name: str) -> None:
    """The shard has no file, so a failover of it moves nothing."""
    endpoint_file(folder, name).unlink(missing_ok=True)


def render_endpoint(endpoint: ShardEndpoint) -> str:
    """The text of a shard's file."""
    return json.dumps(
        {
            "vip": endpoint.vip,
            "user": endpoint.user,
            "secret": endpoint.secret,
            "config": endpoint.commands.on_wire("CONFIG"),
            "nodes": [
                {"address": one.node.address, "port": one.node.port, "folder": str(one.folder)}
                for one in endpoint.nodes
            ],
        },
        indent=1,
    )


def endpoints_folder(folder: Path) -> Path:
    """Where the shards' files are."""
    return folder / "endpoints"


def endpoint_file(folder: Path, name: str) -> Path:
    """A shard's file."""
    return endpoints_folder(folder) / f"{name}.json"
