"""Configuration files of data nodes and Sentinels.

Whole and pure: a snapshot in, the text of the file out, never a patch of what is there. Two things hold for every
node: it is known by its own address wherever it goes (own bind address first, outgoing connections from it,
announced by it), and it writes snapshots for nobody but us (`save ""`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cachestead.domain.instances import Mode
from cachestead.engine.acl import ADMIN, REPLICA, NodeUsers, password_rule, user_lines
from cachestead.engine.addresses import NodeAddress
from cachestead.engine.catalogue import Engine
from cachestead.engine.commands import admin_commands
from cachestead.engine.errors import PortImpossible
from cachestead.engine.parameters import busy_directive, directives_of

REDIS_FILE, SENTINEL_FILE = "redis.conf", "sentinel.conf"
IDENTITY_FILE, AUTHORITY_FILE = "tls.pem", "ca.crt"
"""Key and certificate in one file, so that both are replaced in one move; and whom the node trusts."""
BUS_PORT = 16379
"""Where nodes of a cluster listen for each other, whatever their port for clients: that one may change while they
run, and they would lose each other if the bus went with it. Before 7.0 the bus is always 10000 above."""
PUBSUB_BUFFER = "pubsub 33554432 8388608 60"
"""A subscriber that falls behind is dropped at 32 MB, or at 8 MB for a minute: the public service's figures."""

Lines = Iterator[tuple[str, str]]


@dataclass(frozen=True)
class RedisConf:
    """A data node as its configuration file has it."""

    engine: Engine
    address: str
    port: int
    users: NodeUsers
    maxmemory: int
    """Bytes."""
    vip: str | None = None
    """The instance address, bound beside the node's own while it is master."""
    replica_of: NodeAddress | None = None
    databases: int = 256
    maxclients: int = 10000
    """The engine itself takes less if the machine's limit of open files is lower."""
    rename_commands: Mapping[str, str] = field(default_factory=dict)
    """The tenant's renames: command to new name."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """DCS parameters to apply, over the directives below."""
    priority: int = 100
    """Smaller is promoted sooner; 0 is never promoted."""
    persistent: bool = True
    """Whether there is an append-only file: without one a restart empties the node."""
    tls_port: int | None = None
    """Where clients are met with TLS, beside `port`, with what is in the two files above."""
    cluster_node_timeout_ms: int = 5000
    """How long a node of a cluster may be silent before the others hold it for lost, where nobody hints."""


@dataclass(frozen=True)
class SentinelConf:
    """A Sentinel as its first configuration file has it; from then on it keeps the file itself."""

    engine: Engine
    address: str
    port: int
    secret: str = field(repr=False)


def render_redis_conf(conf: RedisConf) -> str:
    """The text of a data node's `redis.conf`."""
    ordered = directives_of(conf.parameters, conf.engine, conf.maxmemory)
    settings = dict(_settings(conf)) | ordered
    # One line per class of client: the parameters speak of replicas only.
    buffers = _text([f"client-output-buffer-limit {PUBSUB_BUFFER}"])
    access = [_text(_access(conf))] if _access(conf) else []
    return "\n".join([buffers, config_text(settings, _renames(conf)), *access])


def config_text(settings: Mapping[str, str], renames: Mapping[str, str]) -> str:
    """The text of a configuration file with these directives, and commands renamed."""
    lines = [_line(name, value) for name, value in settings.items()]
    return _text(lines, [f"rename-command {_quoted(name)} {_quoted(new)}" for name, new in renames.items()])


def render_sentinel_conf(conf: SentinelConf) -> str:
    """The text of a Sentinel's first `sentinel.conf`."""
    own = [("bind", conf.address), *_outgoing(conf.engine, conf.address), ("port", str(conf.port)), *_PROCESS]
    sentinel = [
        ("myid", sentinel_id(conf.address, conf.port)),
        ("announce-ip", conf.address),
        ("announce-port", str(conf.port)),
        ("resolve-hostnames", "no"),
        # The failover script is set per master at run time; only who has the secret can do that.
        ("deny-scripts-reconfig", "no"),
        ("sentinel-user", ADMIN),
        ("sentinel-pass", _quoted(conf.secret)),
    ]
    return _text(
        [_line(name, value) for name, value in own],
        ["user default off", f"user {ADMIN} on {password_rule(conf.secret)} ~* &* +@all"],
        [f"sentinel {name} {value}" for name, value in sentinel],
    )


def sentinel_id(address: str, port: int) -> str:
    """A Sentinel's id, derived: one that lost its folder comes back as itself and does not add to the quorum."""
    return hashlib.sha1(f"sentinel {address}:{port}".encode(), usedforsecurity=False).hexdigest()


def bind_value(address: str, vip: str | None) -> str:
    """The bind list. The node's own address leads: older engines call out from the first one."""
    return address if vip is None or vip == address else f"{address} {vip}"


_PROCESS = (
    # Protected mode counts only 127.0.0.1 as local and would refuse replicas; bind list and passwords guard us.
    ("protected-mode", "no"),
    ("daemonize", "no"),
    # To standard output, which the runtime has pointed at the node's own log file.
    ("logfile", ""),
    ("dir", "."),
)


def _settings(conf: RedisConf) -> Lines:
    yield "bind", bind_value(conf.address, conf.vip)
    yield from _outgoing(conf.engine, conf.address)
    yield f"{_replica_word(conf.engine)}-announce-ip", conf.address
    yield "port", str(conf.port)
    yield from _tls(conf)
    yield from _PROCESS
    yield from _memory_and_clients(conf)
    yield from _persistence(conf)
    yield from _replication(conf)
    yield from _cluster(conf)
    yield from _guards(conf.engine)


def _tls(conf: RedisConf) -> Lines:
    if conf.tls_port is None:
        return
    yield "tls-port", str(conf.tls_port)
    yield "tls-cert-file", IDENTITY_FILE
    yield "tls-key-file", IDENTITY_FILE
    yield "tls-ca-cert-file", AUTHORITY_FILE
    yield "tls-auth-clients", "no"
    if conf.users.mode.is_clustered:
        # Only so do nodes tell clients by TLS the port for TLS; they follow each other there, too.
        yield "tls-cluster", "yes"
        yield "tls-replication", "yes"


def _outgoing(engine: Engine, address: str) -> Lines:
    if engine.compatible_version >= (7, 0, 0):
        yield "bind-source-addr", address


def _cluster(conf: RedisConf) -> Lines:
    if not conf.users.mode.is_clustered:
        return
    yield "cluster-enabled", "yes"
    yield "cluster-config-file", "nodes.conf"
    yield "cluster-node-timeout", str(conf.cluster_node_timeout_ms)
    # Only the address: nodes listen on the very ports that they are known by.
    yield "cluster-announce-ip", conf.address
    yield from _bus(conf)
    # A shard that is lost takes its own keys with it and not those of the others.
    yield "cluster-require-full-coverage", "no"
    # However long a replica was cut off: what it has is better than a shard that stays away.
    yield f"cluster-{_replica_word(conf.engine)}-validity-factor", "0"
    # Who belongs to which shard is our record; a node that changed shards by itself would not be in its zone.
    if conf.engine.compatible_version >= (7, 0, 0):
        yield "cluster-allow-replica-migration", "no"
    else:
        yield "cluster-migration-barrier", "1000"
    if conf.priority == 0:
        yield f"cluster-{_replica_word(conf.engine)}-no-failover", "yes"


def _bus(conf: RedisConf) -> Lines:
    if conf.engine.compatible_version >= (7, 0, 0):
        if conf.port == BUS_PORT:
            raise PortImpossible(conf.port, "the nodes of a cluster listen there for each other")
        yield "cluster-port", str(BUS_PORT)
    elif conf.port + 10000 > 65535:
        raise PortImpossible(conf.port, f"{conf.engine} needs the port 10000 above for its cluster")


def _memory_and_clients(conf: RedisConf) -> Lines:
    yield "databases", str(1 if conf.users.mode.is_clustered else conf.databases)
    yield "maxmemory", str(conf.maxmemory)
    yield "maxmemory-policy", "volatile-lru"
    yield "maxclients", str(conf.maxclients)
    yield "timeout", "0"
    yield "tcp-keepalive", "300"
    yield busy_directive(conf.engine), "5000"
    if conf.engine.compatible_version >= (6, 2, 0):
        yield "oom-score-adj", "no"


def _persistence(conf: RedisConf) -> Lines:
    yield "save", ""
    yield "appendonly", "yes" if conf.persistent else "no"
    # A cluster whose nodes all died at once comes back with its data, but for the last second.
    yield "appendfsync", "everysec" if conf.users.mode.is_clustered else "no"
    yield "dbfilename", "dump.rdb"
    yield "appendfilename", "appendonly.aof"


def _replication(conf: RedisConf) -> Lines:
    word = _replica_word(conf.engine)
    yield "repl-diskless-sync", "yes"
    yield "repl-diskless-sync-delay", "0"
    if conf.replica_of is not None:
        yield f"{word}of", f"{conf.replica_of.address} {conf.replica_of.port}"
    if conf.priority != RedisConf.priority:
        yield f"{word}-priority", str(conf.priority)
    if conf.users.mode is Mode.HA_RW_SPLIT:
        # One that has no data yet must not say that there is none: proxies then ask elsewhere.
        yield f"{word}-serve-stale-data", "no"
    if conf.engine.compatible_version >= (7, 0, 0):
        # A stop waits this long for replicas to catch up, and less than the runtime waits before it kills.
        yield "shutdown-timeout", "5"


def _guards(engine: Engine) -> Lines:
    if engine.compatible_version >= (7, 0, 0):
        # Not even our own user may move the data folder or load code into a running node.
        yield "enable-protected-configs", "no"
        yield "enable-debug-command", "no"
        yield "enable-module-command", "no"


def _renames(conf: RedisConf) -> Mapping[str, str]:
    return admin_commands(conf.engine, conf.users.admin_secret, conf.rename_commands).names


def _access(conf: RedisConf) -> list[str]:
    users = conf.users
    if conf.engine.has_acl:
        return [
            *user_lines(users, conf.engine),
            f"masteruser {REPLICA}",
            f"masterauth {_quoted(users.replica_secret)}",
        ]
    if users.tenant_password is None:
        return []
    # Without users there is one password for all; what it must not open is hidden by the renames.
    password = _quoted(users.tenant_password)
    return [f"requirepass {password}", f"masterauth {password}"]


def _replica_word(engine: Engine) -> str:
    return "replica" if engine.compatible_version >= (5, 0, 0) else "slave"


def _line(name: str, value: str) -> str:
    return f"{name} {' '.join(_quoted(word) for word in value.split(' '))}"


def _quoted(word: str) -> str:
    """One word as the engine's parser reads it back; most need no quotes."""
    if word and all(char.isalnum() or char in "-_.:/" for char in word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'


def _text(*blocks: list[str]) -> str:
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"
