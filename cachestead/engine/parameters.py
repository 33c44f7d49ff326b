"""DCS parameters in the engine's own directives.

One translation for both roads: the configuration file and CONFIG SET on a running node. A parameter without a
directive (the proxy's, the access rules', the watcher's) is not here and is skipped; its room takes care of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

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
KEYS_PER_ROUND, KEYS_PER_EFFORT, MOST_EFFORT = 20, 5, 10
"""Keys that a round of looking for expired ones takes at the least effort, and that each further step adds."""
USUAL_HZ, MOST_HZ = 10, 500


def set_together(names: Iterable[str]) -> frozenset[str]:
    """These parameters and those that the engine takes in one directive with one of them."""
    named = frozenset(names)
    return named | REPLICA_BUFFER if named & REPLICA_BUFFER else named


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
    return min(MOST_EFFORT, max(1, 1 + math.ceil((keys_per_round - KEYS_PER_ROUND) / KEYS_PER_EFFORT)))


def _expire_directives(keys_per_round: int, engine: Engine) -> dict[str, str]:
    """Beyond what the effort can do there are more rounds in a second; an engine without it has nothing else."""
    has_effort = engine.compatible_version >= (6, 0, 0)
    most = KEYS_PER_ROUND + (MOST_EFFORT - 1) * KEYS_PER_EFFORT if has_effort else KEYS_PER_ROUND
    rounds = max(USUAL_HZ, math.ceil(USUAL_HZ * keys_per_round / most))
    effort = {"active-expire-effort": str(expire_effort(keys_per_round))} if has_effort else {}
    return effort | {"hz": str(min(MOST_HZ, rounds))}


def _directive(name: str, value: str, engine: Engine) -> dict[str, str]:
    version = engine.compatible_version
    if name in SAME_NAME:
        return {name: value}
    if name in RENAMED_IN_7:
        return {RENAMED_IN_7[name] if version >= (7, 0, 0) else name: value}
    if name == "active-expire-num":
        return _expire_directives(int(value), engine)
    if name == "list-max-ziplist-entries":
        # Since 3.2 a list is a chain of compact nodes; a positive figure is the number of elements per node.
        return {"list-max-listpack-size" if version >= (7, 0, 0) else "list-max-ziplist-size": value}
    return {}


def _replica_buffer(parameters: Mapping[str, str], engine: Engine, maxmemory: int) -> str:
    share = str(maxmemory // 10)
    word = "replica" if engine.compatible_version >= (5, 0, 0) else "slave"
    hard, soft = parameters.get(_HARD, share), parameters.get(_SOFT, share)
    return f"{word} {hard} {soft} {parameters.get(_SECONDS, '60')}"
