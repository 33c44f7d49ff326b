"""What the control plane must call a command on one node.

Commands are renamed for two reasons: a tenant asked for it (`rename-command` of FLUSHALL and a few more), or the
engine has no ACL and the dangerous ones are hidden behind names that only who knows the admin secret can derive.
Either way our own calls go through this mapping, in `connection.py`, and nobody else has to think of it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

from cachestead.engine.catalogue import Engine

HIDDEN = (
    "BGREWRITEAOF", "BGSAVE", "CLUSTER", "CONFIG", "DEBUG", "LASTSAVE", "MIGRATE", "MODULE", "REPLICAOF", "SAVE",
    "SHUTDOWN", "SLAVEOF",
)  # fmt: skip
"""Hidden on engines without ACL. PSYNC and SYNC stay: replicas call them by their own names."""
_SINCE = {"REPLICAOF": (5, 0, 0), "MODULE": (4, 0, 0)}


@dataclass(frozen=True)
class AdminCommands:
    """Names on the wire, by the command's own name in capitals."""

    names: Mapping[str, str] = field(default_factory=dict, repr=False)

    def on_wire(self, command: str) -> str:
        """The name to send."""
        return self.names.get(command.upper(), command)


def admin_commands(engine: Engine, secret: str, renamed: Mapping[str, str] | None = None) -> AdminCommands:
    """Every command that has another name on a node of this engine: the tenant's renames and our own."""
    names = {command.upper(): name for command, name in (renamed or {}).items()}
    if not engine.has_acl:
        names |= {command: hidden_name(command, secret) for command in _known(engine)}
    return AdminCommands(names)


def hidden_name(command: str, secret: str) -> str:
    """A name that cannot be guessed and need not be stored."""
    digest = hmac.new(secret.encode(), command.upper().encode(), hashlib.sha256).hexdigest()
    return f"cs{digest[:32]}"


def _known(engine: Engine) -> list[str]:
    return [name for name in HIDDEN if engine.version >= _SINCE.get(name, (0, 0, 0))]
