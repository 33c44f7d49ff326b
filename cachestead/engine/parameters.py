"""DCS parameters in the engine's own directives.

One translation for both roads: the configuration file and CONFIG SET on a running node. A parameter without a
directive (the proxy's, the access rules', the watcher's) is not here and is skipped; its room takes care of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from cachestead.engine.catalogue import Engine

SAME_NAME = frozenset(
    {
        "appendfsync", "appendonly", "latency-monitor-threshold", "maxclients", "maxmemory-policy",
        "notify-keyspace-events", "proto-max-bulk-len", "repl-backlog-size", "repl-backlog-ttl", "repl-timeout",
        "set-max-intset-entries", "slowlog-log-slower-than", "slowlog-max-len", "timeout",
    }
)  # fmt: skip
"""Parameters that are a directive of the same name and meaning."""
RENAMED_IN_7 = {
    "hash-max-ziplist-entries": "hash-max-listpack-entries",
    "hash-max-ziplist-value": "hash-max-listpack-value",
    "zset-max-ziplist-entries": "zset-max-listpack-entries",
    "zset-max-ziplist-value": "zset-max-listpack-value",
    "lua-time-limit": "busy-reply-threshold",
}
_HARD, _SOFT = "client-output-buffer-slave-hard-limit", "client-output-buffer-slave-soft-limit"
_SECONDS = "client-output-buffer-limit-slave-soft-seconds"
REPLICA_BUFFER = frozenset({_HARD, _SOFT, _SECONDS})
"""Three parameters that the engine takes as one directive."""
KEYS_PER_EFFORT = 5
"""One step of active-expire-effort looks at 5 more keys than the usual 20."""


def directives_of(parameters: Mapping[str, str], engine: Engine, maxmemory: int) -> dict[str, str]:
    """Directives and their values; `maxmemory` in bytes, for the defaults that are a share of it."""
    directives: dict[str, str] = {}
    for name, value in parameters.items():
        directives |= _directive(name, value, engine)
    if REPLICA_BUFFER & parameters.keys():
        directives["client-output-buffer-limit"] = _replica_buffer(parameters, engine, maxmemory)
    return directives


def busy_directive(engine: Engine) -> str:
    """After how long a script counts as busy, under the name this engine has for it."""
    return RENAMED_IN_7["lua-time-limit"] if engine.compatible_version >= (7, 0, 0) else "lua-time-limit"


def expire_effort(keys_per_round: int) -> int:
    """The effort (1 to 10) that looks at as many keys per round."""
    return min(10, max(1, 1 + math.ceil((keys_per_round - 20) / KEYS_PER_EFFORT)))


def _directive(name: str, value: str, engine: Engine) -> dict[str, str]:
    version = engine.compatible_version
    if name in SAME_NAME:
        return {name: value}
    if name in RENAMED_IN_7:
        return {RENAMED_IN_7[name] if version >= (7, 0, 0) else name: value}
    if name == "active-expire-num" and version >= (6, 0, 0):
        return {"active-expire-effort": str(expire_effort(int(value)))}
    if name == "list-max-ziplist-entries":
        # Since 3.2 a list is a chain of compact nodes; a positive figure is the number of elements per node.
        return {"list-max-listpack-size" if version >= (7, 0, 0) else "list-max-ziplist-size": value}
    return {}


def _replica_buffer(parameters: Mapping[str, str], engine: Engine, maxmemory: int) -> str:
    share = str(maxmemory // 10)
    word = "replica" if engine.compatible_version >= (5, 0, 0) else "slave"
    hard, soft = parameters.get(_HARD, share), parameters.get(_SOFT, share)
    return f"{word} {hard} {soft} {parameters.get(_SECONDS, '60')}"
