"""Users of a node and what they may do, as ACL rules.

The tenant's user is `default`; `cachestead` is ours and may do everything; `cachestead-replica` may only
replicate and, in a cluster, bring slots over. It exists because `masterauth` is readable by anyone who may call
CONFIG GET, so it must be worth as little as possible. Behind proxies `default` is off, and `cachestead-proxy` may
do what they do for tenants, whose scripts run as it; `cachestead-proxy-reader` is the same without writing, for
accounts that only read. Where there are no proxies, a tenant's accounts are users of the nodes. Two invariants:
passwords leave here as SHA-256 hashes only, and a rule never names a command that the engine does not know (it
would not start). Pure: values in, text out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cachestead.domain.accounts import VERSIONS as VERSIONS_WITH_ACCOUNTS
from cachestead.domain.accounts import Account
from cachestead.domain.instances import Mode
from cachestead.engine.catalogue import Engine, Version

TENANT, ADMIN, REPLICA, PROXY = "default", "cachestead", "cachestead-replica", "cachestead-proxy"
PROXY_READER = "cachestead-proxy-reader"
COPIER = "cachestead-copy"
"""Whom a source logs in as where it copies its keys to; it is there only while that goes on."""
OURS = frozenset({ADMIN, REPLICA, PROXY, PROXY_READER, COPIER})
"""Users of the service itself; who logs in as anybody else came from a tenant."""

_SNAPSHOTS = "bgrewriteaof bgsave lastsave migrate psync save shutdown slaveof sync"
_CLUSTER = (
    "cluster|addslots cluster|bumpepoch cluster|count-failure-reports cluster|delslots cluster|failover "
    "cluster|flushslots cluster|forget cluster|meet cluster|replicate cluster|reset cluster|saveconfig "
    "cluster|set-config-epoch cluster|setslot"
)
_PROXIED = "lolwut module replicaof swapdb wait"
_SESSIONS = (
    "client|caching client|getredir client|help client|info client|no-touch client|pause client|reply "
    "client|tracking client|trackinginfo client|unblock client|unpause"
)
"""All of CLIENT but LIST, KILL, GETNAME, SETNAME, SETINFO, ID and NO-EVICT. The table refuses CLIENT whole, while
the first four are listed as supported (`service-limits` 15); the others clients send when they connect."""
_TRACKING = "client|caching client|getredir client|info client|tracking client|trackinginfo client|unpause"
_REFUSED: dict[tuple[str, str], str] = {
    ("3.0", "plain"): "bgrewriteaof bgsave command lastsave migrate save shutdown slaveof",
    ("3.0", "proxy"): (
        "bgrewriteaof bgsave blpop brpop brpoplpush client cluster command discard exec lastsave migrate monitor "
        "move multi object psync role save select shutdown slaveof sync time unwatch watch"
    ),
    ("4.0", "plain"): _SNAPSHOTS,
    ("4.0", "cluster"): f"{_SNAPSHOTS} {_CLUSTER}",
    ("4.0", "proxy"): (
        f"{_SNAPSHOTS} {_PROXIED} {_SESSIONS} bzpopmax bzpopmin latency move randomkey readonly readwrite "
        "zpopmax zpopmin"
    ),
    ("4.0", "split"): f"{_SNAPSHOTS} {_PROXIED} bzpopmax bzpopmin readonly readwrite zpopmax zpopmin",
    ("5.0", "plain"): _SNAPSHOTS,
    ("5.0", "cluster"): f"{_SNAPSHOTS} {_CLUSTER}",
    ("5.0", "proxy"): f"{_SNAPSHOTS} {_PROXIED} {_SESSIONS} latency move randomkey readonly readwrite",
    ("5.0", "split"): f"{_SNAPSHOTS} {_PROXIED} readonly readwrite",
    ("6.0", "plain"): f"{_SNAPSHOTS} {_CLUSTER}",
    ("6.0", "cluster"): f"{_SNAPSHOTS} {_CLUSTER}",
    ("6.0", "proxy"): f"{_SNAPSHOTS} {_PROXIED} {_SESSIONS} acl failover latency move readonly readwrite reset",
    ("6.0", "split"): f"{_SNAPSHOTS} {_PROXIED} {_TRACKING} acl failover reset",
    ("7.0", "plain"): f"{_SNAPSHOTS} {_CLUSTER}".replace("lastsave ", ""),
    ("7.0", "cluster"): f"{_SNAPSHOTS} {_CLUSTER}".replace("lastsave ", ""),
}
"""The reference's table of refused commands, by version and kind of instance."""
_ALWAYS = (
    f"acl|deluser acl|load acl|save acl|setuser bgrewriteaof bgsave {_CLUSTER} cluster|addslotsrange "
    "cluster|cancelslotmigrations cluster|delslotsrange cluster|flushslot cluster|migrateslots cluster|syncslots "
    "config|resetstat config|rewrite config|set debug failover migrate module psync replicaof save shutdown "
    "slaveof sync"
)
"""Refused to every tenant whatever the table says: each would take the node out of our hands."""
_WATCHED = "config|get"
"""Refused besides where Sentinels watch: who reads `masterauth` there can pose as a replica, which the Sentinels
then log in to with the instance's admin secret."""
_NOT_FOR_PROXIES = "acl client|pause client|unpause config lastsave latency swapdb"
"""What proxies have no use for, and the scripts that tenants run through them must not call."""
_MIGRATED = "~* +select +restore-asking"
"""What a node of a cluster may do on another besides: be the one that MIGRATE logs in as. It is not our own user,
because older engines show the arguments of MIGRATE, password and all, to whoever monitors."""
_MIGRATED_ATOMICALLY = "~* +select +@write +multi +exec +cluster|syncslots"
"""The same where slots move atomically: there the source sends its keys, and every write of its clients while it
does, as plain commands under the user that replicas use (`masteruser`, which cannot be told apart)."""
_KINDS = {
    Mode.SINGLE: "plain",
    Mode.HA: "plain",
    Mode.CLUSTER: "cluster",
    Mode.PROXY: "proxy",
    Mode.HA_RW_SPLIT: "split",
}

_SINCE: dict[str, Version] = {
    "acl": (6, 0, 0), "bzpopmax": (5, 0, 0), "bzpopmin": (5, 0, 0), "client|caching": (6, 0, 0),
    "client|getredir": (6, 0, 0), "client|info": (6, 2, 0), "client|no-touch": (7, 2, 0),
    "client|tracking": (6, 0, 0),
    "client|trackinginfo": (6, 2, 0), "client|unpause": (6, 2, 0), "cluster|addslotsrange": (7, 0, 0),
    "cluster|delslotsrange": (7, 0, 0), "failover": (6, 2, 0), "lolwut": (5, 0, 0), "reset": (6, 2, 0),
    "zpopmax": (5, 0, 0), "zpopmin": (5, 0, 0),
}  # fmt: skip
"""Engines without ACL never see a rule, so what is older than 6.0 needs no entry (a few help a reader)."""
_VALKEY_SINCE: dict[str, Version] = {
    "cluster|cancelslotmigrations": (9, 0, 0), "cluster|flushslot": (9, 0, 0),
    "cluster|migrateslots": (9, 0, 0), "cluster|syncslots": (9, 0, 0),
}  # fmt: skip
_SUBCOMMANDS_OF_6 = {
    "acl": "cat deluser genpass getuser help list load log save setuser users whoami",
    "client": "caching getname getredir help id info kill list pause reply setname tracking trackinginfo unblock "
    "unpause",
    "cluster": "addslots bumpepoch count-failure-reports countkeysinslot delslots failover flushslots forget "
    "getkeysinslot help info keyslot meet myid nodes replicas replicate reset saveconfig set-config-epoch setslot "
    "slaves slots",
    "config": "get help resetstat rewrite set",
}
"""Redis 6 can add a subcommand but not take one away: there the container goes and the rest comes back."""

_HELLO = "__sentinel__:"


@dataclass(frozen=True)
class NodeUsers:
    """Who may log in to a node, and what the instance is that the tenant ordered."""

    version: str
    mode: Mode
    admin_secret: str = field(repr=False)
    replica_secret: str = field(repr=False)
    tenant_password: str | None = field(default=None, repr=False)
    """None: access without a password."""
    read_only: bool = False
    """The parameter `master-read-only`: the tenant may not write."""
    proxy_secret: str = field(default="", repr=False)
    """The proxies', where the type has any."""
    closed: bool = False
    """Whether nobody is let in but us and replicas."""
    accounts: tuple[Account, ...] = ()
    """The tenant's, besides `default`. Behind proxies they are the proxies' business."""


def refused_commands(version: str, mode: Mode) -> frozenset[str]:
    """Commands and subcommands (`config|set`) that the tenant may not call."""
    table = _REFUSED.get((version, _KINDS[mode])) or _REFUSED.get((version, "plain")) or _REFUSED["7.0", "plain"]
    # Behind proxies nobody sees the configuration of an engine: they answer CONFIG GET themselves.
    watched = [_WATCHED] if mode is Mode.HA else []
    return _without_repetition({*table.split(), *_ALWAYS.split(), *watched})


def _without_repetition(refused: set[str]) -> frozenset[str]:
    """The same without subcommands of commands that are refused whole."""
    return frozenset(name for name in refused if "|" not in name or name.split("|")[0] not in refused)


def user_lines(users: NodeUsers, engine: Engine) -> list[str]:
    """The `user` directives of the configuration file."""
    return [f"user {name} {' '.join(rules)}" for name, rules in _rules_by_user(users, engine)]


def set_user_arguments(users: NodeUsers, engine: Engine) -> list[tuple[str, ...]]:
    """Arguments of `ACL SETUSER` that make the same users on a running node, from whatever was there before."""
    # Ours first: if the connection breaks half way, we can still log in and finish.
    lines = sorted(_rules_by_user(users, engine), key=lambda line: line[0] not in OURS)
    return [(name, "reset", *rules) for name, rules in lines]


def copier_arguments(secret: str) -> tuple[str, ...]:
    """Arguments of `ACL SETUSER` for a copier with this password: it may bring keys and take none."""
    return (COPIER, "reset", "on", password_rule(secret), "~*", "-@all", "+select", "+restore", "+restore-asking")


def password_rule(password: str | None) -> str:
    """The rule that accepts this password, without telling it."""
    return "nopass" if password is None else f"#{hashlib.sha256(password.encode()).hexdigest()}"


def tenant_rules(users: NodeUsers, engine: Engine) -> list[str]:
    """What the tenant may do, as rules in the order the engine applies them."""
    return _all_but(_refused_on_nodes(users, engine), engine, read_only=users.read_only)


def _account_rules(account: Account, users: NodeUsers, engine: Engine) -> list[str]:
    """What an account may do: what the tenant may, or no more than to read of it."""
    refused = _refused_on_nodes(users, engine)
    if account.reads_only:
        # The replicas' secret, which is among the settings, opens ways to bring keys.
        refused |= {_WATCHED}
    read_only = users.read_only or account.reads_only
    return ["on", f"#{account.password_hash}", *_all_but(refused, engine, read_only=read_only)]


def _refused_on_nodes(users: NodeUsers, engine: Engine) -> frozenset[str]:
    refused = refused_commands(users.version, users.mode)
    if users.mode is Mode.CLUSTER and engine.has_atomic_slot_migration:
        # The replicas' secret opens CLUSTER SYNCSLOTS there, with which slots can be taken away.
        refused |= {_WATCHED}
    if users.version in VERSIONS_WITH_ACCOUNTS:
        # These versions know no ACL; whoever reads could see the hashes of those who may write.
        refused = _without_repetition({*refused, "acl"})
    return refused


def _all_but(refused: Iterable[str], engine: Engine, *, read_only: bool) -> list[str]:
    known = sorted(name for name in refused if _knows(engine, name))
    takes = _taken_away(known) if engine.has_subcommand_rules else _taken_away_on_6(known)
    channels = ["&*"] if engine.compatible_version >= (6, 2, 0) else []
    publishing = ["-publish", _publish_selector()] if engine.has_subcommand_rules else []
    return ["~*", *channels, "+@all", *(["-@write"] if read_only else []), *takes, *publishing]


def _rules_by_user(users: NodeUsers, engine: Engine) -> list[tuple[str, list[str]]]:
    channels = ["&*"] if engine.compatible_version >= (6, 2, 0) else []
    return [
        *_client_rules(users, engine),
        (ADMIN, ["on", password_rule(users.admin_secret), "~*", *channels, "+@all"]),
        (REPLICA, ["on", password_rule(users.replica_secret), "-@all", *_replica_rules(users, engine)]),
    ]


def _client_rules(users: NodeUsers, engine: Engine) -> list[tuple[str, list[str]]]:
    """Those that tenants, or proxies in their place, log in as."""
    if users.closed:
        names = (TENANT, PROXY, PROXY_READER) if users.mode.has_proxies else (TENANT,)
        return [(name, ["off", "resetpass", "-@all"]) for name in names]
    if not users.mode.has_proxies:
        default = (TENANT, ["on", password_rule(users.tenant_password), *tenant_rules(users, engine)])
        return [default, *((one.name, _account_rules(one, users, engine)) for one in users.accounts)]
    refused = _without_repetition({*_ALWAYS.split(), *_NOT_FOR_PROXIES.split()})
    # Whoever comes here has gone around the proxies.
    nobody = (TENANT, ["off", "resetpass", "-@all"])
    login = ["on", password_rule(users.proxy_secret)]
    return [
        nobody,
        (PROXY, [*login, *_all_but(refused, engine, read_only=users.read_only)]),
        (PROXY_READER, [*login, *_all_but(refused, engine, read_only=True)]),
    ]


def _replica_rules(users: NodeUsers, engine: Engine) -> list[str]:
    rules = ["+psync", "+replconf", "+ping"]
    if not users.mode.is_clustered:
        return rules
    migrated = _MIGRATED_ATOMICALLY if engine.has_atomic_slot_migration else _MIGRATED
    return [*rules, *migrated.split()]


def _knows(engine: Engine, name: str) -> bool:
    if name in _VALKEY_SINCE:
        return engine.product == "valkey" and engine.version >= _VALKEY_SINCE[name]
    return engine.compatible_version >= _SINCE.get(name, (0, 0, 0))


def _taken_away(names: Iterable[str]) -> list[str]:
    return [f"-{name}" for name in names]


def _taken_away_on_6(names: Iterable[str]) -> list[str]:
    refused = set(names)
    containers = sorted({name.split("|")[0] for name in refused if "|" in name})
    whole = _taken_away(name for name in sorted(refused) if "|" not in name)
    return [*whole, *(rule for container in containers for rule in _container_of_6(container, refused))]


def _container_of_6(container: str, refused: set[str]) -> Iterator[str]:
    yield f"-{container}"
    for subcommand in _SUBCOMMANDS_OF_6[container].split():
        if f"{container}|{subcommand}" not in refused:
            yield f"+{container}|{subcommand}"


def _publish_selector() -> str:
    """PUBLISH to any channel that does not begin with Sentinel's own prefix.

    Sentinels believe what they hear on their channel: whoever may publish there can name them another master and
    have them log in to it. Channel rules know no exception, so this spells out every way not to begin like that.
    """
    differs = (f"&{_HELLO[:length]}[^{_HELLO[length]}]*" for length in range(len(_HELLO)))
    shorter = (f"&{_HELLO[:length]}" for length in range(1, len(_HELLO)))
    return f"(+publish {' '.join([*differs, *shorter])})"
