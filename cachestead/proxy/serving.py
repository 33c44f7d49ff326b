"""Commands that ask the server about itself, and those by which the control plane tells a proxy what to do."""

from __future__ import annotations

from fnmatch import translate
from re import compile as compile_pattern

from cachestead.proxy.batches import Gathering
from cachestead.proxy.calls import Call, immediate, pass_on, whole_number
from cachestead.proxy.configuration import Address, Layout, ProxyConfiguration
from cachestead.proxy.framing import pack
from cachestead.proxy.info import merge_info
from cachestead.proxy.replies import (
    EMPTY_ARRAY,
    OK,
    array,
    bulk,
    encode,
    error,
    first_error,
    integer,
    text,
    unknown_command,
    unknown_subcommand,
    verbatim,
)
from cachestead.proxy.statistics import process_facts

SENTINEL_NAME = "mymaster"
"""What the one master is called that is listed; asked for by name, any is it."""


@immediate("info")
def info(call: Call) -> bytes | None:
    """The instance as one server; at the proxy's own address, the proxy alone."""
    session, proxy = call.session, call.session.proxy
    if session.is_admin:
        wanted = {word.decode(errors="replace").lower() for word in call.words[1:]} - {
            "all",
            "default",
            "everything",
        }
        facts = proxy.facts() | process_facts()
        sections = {name: fields for name, fields in facts.items() if not wanted or name.lower() in wanted}
        return verbatim(merge_info([], {}) + _sections(sections), call.protocol)
    own = {name: fields for name, fields in proxy.facts().items() if name not in ("Server", "Commandstats")}
    own["Server"] = {"redis_mode": "standalone", "tcp_port": session.local.rpartition(":")[2]}
    own["Replication"] = {"role": "master", "connected_slaves": 0}
    own["Cluster"] = {"cluster_enabled": 0}
    if len(call.words) > 1 and not any(
        word.lower() in (b"all", b"default", b"everything", b"proxy") for word in call.words[1:]
    ):
        del own["Proxy"]
    shards = max(len(session.router.topology.shards), 1)
    gathering = Gathering(call.entry, shards, lambda replies: _as_one(replies, own, call.protocol))
    for shard in range(shards):
        session.router.send((gathering, shard, call.command, call.raw), session.style, call.words, shard)
    return None


def _as_one(replies: list[bytes], own: dict[str, dict[str, object]], protocol: int) -> bytes:
    refusal = first_error(replies)
    return refusal or verbatim(merge_info([_visible(text(reply)) for reply in replies], own), protocol)


def _visible(info: str) -> str:
    """Without what would lead past the proxy: files, processes and addresses of data nodes."""
    hidden = ("executable:", "config_file:", "process_id:", "slave", "master_host:", "master_port:", "listener")
    return "\r\n".join(line for line in info.splitlines() if not line.startswith(hidden))


def _sections(sections: dict[str, dict[str, object]]) -> str:
    parts = [
        "\r\n".join([f"# {name}", *(f"{k}:{v}" for k, v in fields.items()), ""])
        for name, fields in sections.items()
    ]
    return "\r\n".join(parts)


@immediate("role")
def role(call: Call) -> bytes:
    """The instance is a master; who copies it is nobody's business."""
    del call
    return array([bulk(b"master"), integer(0), EMPTY_ARRAY])


@immediate("cluster", "clusterscan")
def cluster(call: Call) -> bytes:
    """Plain clients are to stay plain: there is no cluster to be seen."""
    del call
    return error("ERR This instance has cluster support disabled")


@immediate("config")
def config(call: Call) -> bytes | None:
    """A few settings that clients ask for; nothing can be set from here."""
    if call.option(1) == "HELP":
        return pass_on(call)
    if call.option(1) != "GET":
        return unknown_subcommand(call.words)
    known = call.session.proxy.settings()
    patterns = [compile_pattern(translate(word.decode(errors="replace").lower())) for word in call.words[2:]]
    found = {name: value for name, value in known.items() if any(pattern.match(name) for pattern in patterns)}
    return encode(found, call.protocol)


@immediate("slowlog")
def slowlog(call: Call) -> bytes | None:
    """The proxy's own slow log: what took long from here, waiting included."""
    slow = call.session.proxy.statistics.slow
    match call.option(1):
        case "LEN":
            return integer(len(slow.entries))
        case "RESET":
            slow.entries.clear()
            return OK
        case "GET":
            return _slow_entries(call)
        case "HELP":
            return pass_on(call)
    return unknown_subcommand(call.words)


def _slow_entries(call: Call) -> bytes:
    if len(call.words) > 3:
        return error("ERR unknown subcommand or wrong number of arguments for 'GET'. Try SLOWLOG HELP.")
    number = whole_number(call.words[2]) if len(call.words) > 2 else 10
    if number is None or number < -1:
        return error("ERR count should be greater than or equal to -1")
    chosen = list(call.session.proxy.statistics.slow.entries)[: number if number >= 0 else None]
    rows = [[e.id, int(e.at), e.microseconds, list(e.words), e.peer, e.client] for e in chosen]
    return encode(rows, call.protocol)


@immediate("latency")
def latency(call: Call) -> bytes | None:
    """HISTOGRAM is the proxy's own; the rest is asked of a data node."""
    if call.option(1) != "HISTOGRAM":
        return pass_on(call)
    wanted = {word.decode(errors="replace").lower() for word in call.words[2:]}
    rows = {
        command.name: {"calls": sum(command.buckets), "histogram_usec": _cumulated(command.buckets)}
        for command in call.session.proxy.vocabulary
        if any(command.buckets) and (not wanted or command.name in wanted)
    }
    return encode(rows, call.protocol)


def _cumulated(buckets: list[int]) -> dict[int, int]:
    """Calls up to each power of two of microseconds."""
    total, rows = 0, {}
    for power, calls in enumerate(buckets):
        total += calls
        if calls:
            rows[1 << power] = total
    return rows


@immediate("icluster")
def icluster(call: Call) -> bytes | None:
    """`ICLUSTER NODES`: the shards, as DCS proxies list them (service limits, 13.3)."""
    router = call.session.router
    if call.option(1) != "NODES" or router.configuration.layout is not Layout.CLUSTER:
        return unknown_command(call.words)
    router.send(
        (Gathering(call.entry, 1, lambda replies: replies[0]), 0, call.command, pack(b"CLUSTER", b"NODES")),
        call.session.style,
        [b"CLUSTER"],
        0,
    )
    return None


@immediate("sentinel")
def sentinel(call: Call) -> bytes:
    """What clients of Sentinels ask, where the tenant wants it answered: the master is where this client is."""
    told = call.session.proxy.configuration
    if told.parameters.get("cluster-sentinel-enabled") != "yes" or told.endpoint is None:
        return unknown_command(call.words)
    named, at = len(call.words) == 3, told.endpoint
    match call.option(1):
        case "GET-MASTER-ADDR-BY-NAME" if named:
            return encode([at.host, str(at.port)], call.protocol)
        case "MASTER" if named:
            return encode(_as_master(call.words[2].decode(errors="replace"), at), call.protocol)
        case "MASTERS" if len(call.words) == 2:
            return encode([_as_master(SENTINEL_NAME, at)], call.protocol)
        case "REPLICAS" | "SLAVES" | "SENTINELS" if named:
            return EMPTY_ARRAY
    return unknown_subcommand(call.words)


def _as_master(name: str, at: Address) -> dict[str, str]:
    return {
        "name": name,
        "ip": at.host,
        "port": str(at.port),
        "flags": "master",
        "role-reported": "master",
        "num-slaves": "0",
        "num-other-sentinels": "0",
        "quorum": "1",
    }


@immediate("proxy")
def proxy_command(call: Call) -> bytes:
    """`PROXY CONFIGURE json`, `PROXY STATE`, `PROXY HOTKEYS [n]`: the control plane's, at the own address only."""
    proxy = call.session.proxy
    if not call.session.is_admin:
        return unknown_command(call.words)
    match call.option(1):
        case "CONFIGURE" if len(call.words) == 3:
            try:
                configuration = ProxyConfiguration.from_json(call.words[2])
            except (ValueError, KeyError, TypeError) as wrong:
                return error(f"ERR not a configuration: {wrong}")
            proxy.configure(configuration)
            return OK
        case "STATE":
            return bulk(proxy.state())
        case "HOTKEYS":
            number = int(call.words[2]) if len(call.words) > 2 and call.words[2].isdigit() else 20
            return encode([list(row) for row in proxy.statistics.hot.top(number)], call.protocol)
    return unknown_subcommand(call.words)
