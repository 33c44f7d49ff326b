"""Staging engines: engines that only we talk to, for reading files that somebody made.

A staging engine loads one file and is then asked what is in it, told to write it in another format, or to send it
on. An append-only file is a list of commands, so whatever could reach out of the engine is under hidden names: a
file with such commands is refused, as one that is broken is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cachestead.engine.addresses import NodeAddress
from cachestead.engine.catalogue import Engine
from cachestead.engine.commands import AdminCommands, hidden_name
from cachestead.engine.config import config_text

_HIDDEN = (
    "ACL", "BGREWRITEAOF", "BGSAVE", "CLIENT", "CLUSTER", "CONFIG", "DEBUG", "FAILOVER", "LATENCY", "MIGRATE",
    "MODULE", "MONITOR", "PSYNC", "REPLCONF", "REPLICAOF", "SAVE", "SHUTDOWN", "SLAVEOF", "SYNC",
)  # fmt: skip
_SINCE = {"ACL": (6, 0, 0), "FAILOVER": (6, 2, 0), "REPLICAOF": (5, 0, 0), "MODULE": (4, 0, 0)}
DATABASES = 256
"""As many as an instance may have; more than that cannot be brought anywhere."""


@dataclass(frozen=True)
class StagingConf:
    """A staging engine as its configuration file has it."""

    engine: Engine
    node: NodeAddress
    secret: str = field(repr=False)
    append_only: bool
    """Whether it starts from an append-only file, and not from an RDB file."""


def staging_commands(engine: Engine, secret: str) -> AdminCommands:
    """What we call the commands that files may not use."""
    known = (name for name in _HIDDEN if engine.compatible_version >= _SINCE.get(name, (0, 0, 0)))
    return AdminCommands({name: hidden_name(name, secret) for name in known})


def render_staging_conf(conf: StagingConf) -> str:
    """The text of its `redis.conf`."""
    modern = conf.engine.compatible_version >= (7, 0, 0)
    settings = {
        "bind": conf.node.address,
        **({"bind-source-addr": conf.node.address} if modern else {}),
        "port": str(conf.node.port),
        "protected-mode": "no",
        "requirepass": conf.secret,
        "logfile": "",
        "dir": ".",
        "databases": str(DATABASES),
        "save": "",
        "appendonly": "yes" if conf.append_only else "no",
        "aof-load-truncated": "no",
        # What it writes is for those who want commands; an image with a tail would be an RDB file by another name.
        "aof-use-rdb-preamble": "no",
        "maxmemory": "0",
        "maxmemory-policy": "noeviction",
        **({"enable-protected-configs": "no"} if modern else {}),
        **({"enable-debug-command": "no", "enable-module-command": "no"} if modern else {}),
    }
    return config_text(settings, staging_commands(conf.engine, conf.secret).names)
