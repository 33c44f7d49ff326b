"""The metrics: what each is called, where it is measured, and how it follows from what was seen.

One row for each metric of namespace SYS.DCS (service limits, section 14). What is measured at the instance is
measured of its masters together: counts are added up, ratios made of sums, maxima are the greatest of all. A
figure that cannot be known has no value, never a zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeVar

from cachestead.domain.instances import Instance, Mode, Node, Proxy, State
from cachestead.domain.looks import Span
from cachestead.domain.shards import Shard, shards_of

Served = TypeVar("Served", Node, Proxy)

NAMESPACE = "SYS.DCS"
INSTANCE, NODE, PROXY = "dcs_instance_id", "dcs_cluster_redis_node", "dcs_cluster_proxy2_node"
"""Names of the dimensions."""
STATUS = "node_status"

How = Callable[[Sequence[Span]], float]
"""The figure of some nodes together, or of one. Raises `LookupError` where it is not known."""
Figures = dict[str, dict[str, float]]
"""Figures of an instance by object (its own under `ITSELF`) and metric."""
ITSELF = ""


class Whose(Enum):
    """The nodes that a figure of an instance is made of."""

    MASTERS = "masters"
    EVERY = "masters and replicas"


_EVERY_MODE = frozenset(Mode)
_ONE_SHARD = frozenset({Mode.SINGLE, Mode.HA, Mode.HA_RW_SPLIT})
_ALONE = frozenset({Mode.SINGLE})


@dataclass(frozen=True)
class Metric:
    """One metric."""

    id: str
    name: str
    unit: str
    how: How
    instance: Whose | None = Whose.MASTERS
    modes: frozenset[Mode] = _EVERY_MODE
    """Types of instance that have it at the instance."""
    node: bool = True
    """Whether data nodes have it."""
    proxy: How | None = None
    """The same of one proxy; None where proxies do not have it."""

    def has_level(self, level: str, mode: Mode) -> bool:
        """Whether objects of this dimension have it, in an instance of this type."""
        match level:
            case "dcs_instance_id":
                return self.instance is not None and mode in self.modes
            case "dcs_cluster_redis_node":
                return self.node and mode is not Mode.SINGLE
        return self.proxy is not None and mode.has_proxies


def _total(name: str) -> How:
    return lambda spans: sum(span.now.get(name) for span in spans)


def _greatest(name: str) -> How:
    return lambda spans: max(span.now.get(name) for span in spans)


def _growth(name: str) -> How:
    return lambda spans: sum(span.growth(name) for span in spans)


def _rate(command: str) -> How:
    return lambda spans: sum(span.calls(command) / span.seconds for span in spans)


def _share(part: str, whole: str, *, percent: bool = True) -> How:
    def share(spans: Sequence[Span]) -> float:
        return _quotient(_total(part)(spans), _total(whole)(spans)) * (100 if percent else 1)

    return share


def _hit_rate(spans: Sequence[Span]) -> float:
    hits, misses = _growth("keyspace_hits")(spans), _growth("keyspace_misses")(spans)
    return hits / (hits + misses) * 100 if hits + misses else 0.0


def _data_share(spans: Sequence[Span]) -> float:
    data, used = _total("used_memory_dataset")(spans), _total("used_memory")(spans)
    return min(100.0, _quotient(data, used - _total("used_memory_startup")(spans)) * 100)


def _longest_microseconds(spans: Sequence[Span]) -> float:
    return max(span.longest_microseconds for span in spans)


def _longest_milliseconds(spans: Sequence[Span]) -> float:
    return _longest_microseconds(spans) / 1000


def _average_microseconds(spans: Sequence[Span]) -> float:
    calls = sum(span.timed_calls for span in spans)
    return sum(span.microseconds for span in spans) / calls if calls else 0.0


def _has_slow_log(spans: Sequence[Span]) -> float:
    return float(any(span.has_slow_log for span in spans))


def _bandwidth(spans: Sequence[Span]) -> float:
    moved = sum((span.growth("total_net_input_bytes") + span.growth("total_net_output_bytes")) for span in spans)
    return _quotient(moved, sum(2 * span.bandwidth * span.seconds for span in spans)) * 100


def _processor(choose: Callable[[Sequence[float]], float]) -> How:
    def share(spans: Sequence[Span]) -> float:
        shares = [one for span in spans for one in span.processor_shares]
        return _known(choose(shares) if shares else None)

    return share


def _mean(shares: Sequence[float]) -> float:
    return sum(shares) / len(shares)


def _lag(spans: Sequence[Span]) -> float:
    [span] = spans
    return _known(span.lag)


def _never(spans: Sequence[Span]) -> float:
    del spans
    return 0.0


def _is_unwell(spans: Sequence[Span]) -> float:
    return float(not all(span.now.is_well for span in spans))


def _quotient(part: float, whole: float) -> float:
    return part / _known(whole or None)


def _known(value: float | None) -> float:
    if value is None:
        raise LookupError
    return value


_PERIOD, _SECOND, _BYTE, _KIB = "count/period", "count/s", "byte", "KiB/s"
_EVERY = Whose.EVERY

METRICS: tuple[Metric, ...] = (
    Metric("cpu_usage", "CPU Usage", "%", _processor(max), modes=_ONE_SHARD, proxy=_processor(max)),
    Metric("command_max_delay", "Maximum Command Latency", "ms", _longest_milliseconds),
    Metric("total_connections_received", "New Connections", _PERIOD, _growth("total_connections_received")),
    Metric("is_slow_log_exist", "Slow Query Logs", "0 / 1", _has_slow_log),
    Metric(
        "memory_usage", "Memory Usage", "%", _share("used_memory", "maxmemory"),
        proxy=_share("used_memory_rss", "total_system_memory"),
    ),
    Metric("expires", "Keys With an Expiration", "count", _total("expires"), node=False),
    Metric("keyspace_hits_perc", "Hit Rate", "%", _hit_rate, _EVERY),
    Metric("used_memory", "Used Memory", _BYTE, _total("used_memory")),
    Metric("used_memory_dataset", "Used Memory Dataset", _BYTE, _total("used_memory_dataset"), node=False),
    Metric("used_memory_dataset_perc", "Used Memory Dataset Ratio", "%", _data_share, _EVERY, node=False),
    Metric("used_memory_rss", "Used Memory RSS", _BYTE, _total("used_memory_rss")),
    Metric(
        "instantaneous_ops", "Ops per Second", _SECOND, _total("instantaneous_ops_per_sec"),
        proxy=_total("instantaneous_ops_per_sec"),
    ),
    Metric("keyspace_misses", "Keyspace Misses", _PERIOD, _growth("keyspace_misses"), _EVERY, node=False),
    Metric("keys", "Keys", "count", _total("keys")),
    Metric("rx_controlled", "Flow Control Times", _PERIOD, _never),
    Metric("bandwidth_usage", "Bandwidth Usage", "%", _bandwidth),
    Metric(
        "connections_usage", "Connection Usage", "%", _share("connected_clients", "maxclients"), node=False,
        proxy=_share("connected_clients", "maxclients"),
    ),
    Metric(STATUS, "Instance Node Status", "0 / 1", _is_unwell, node=False, proxy=_is_unwell),
    Metric(
        "command_max_rt", "Maximum Latency", "us", _longest_microseconds, modes=_ALONE, node=False,
        proxy=_longest_microseconds,
    ),
    Metric(
        "command_avg_rt", "Average Latency", "us", _average_microseconds, modes=_ALONE, node=False,
        proxy=_average_microseconds,
    ),
    Metric(
        "cpu_avg_usage", "Average CPU Usage", "%", _processor(_mean), modes=_ONE_SHARD, proxy=_processor(_mean)
    ),
    Metric("blocked_clients", "Blocked Clients", "count", _total("blocked_clients")),
    Metric(
        "connected_clients", "Connected Clients", "count", _total("connected_clients"),
        proxy=_total("connected_clients"),
    ),
    Metric("del", "DEL", _SECOND, _rate("del")),
    Metric("evicted_keys", "Evicted Keys", _PERIOD, _growth("evicted_keys"), _EVERY),
    Metric("expire", "EXPIRE", _SECOND, _rate("expire")),
    Metric("expired_keys", "Expired Keys", _PERIOD, _growth("expired_keys"), _EVERY),
    Metric("get", "GET", _SECOND, _rate("get"), _EVERY),
    Metric("hdel", "HDEL", _SECOND, _rate("hdel")),
    Metric("hget", "HGET", _SECOND, _rate("hget"), _EVERY),
    Metric("hmget", "HMGET", _SECOND, _rate("hmget"), _EVERY),
    Metric("hmset", "HMSET", _SECOND, _rate("hmset")),
    Metric("hset", "HSET", _SECOND, _rate("hset")),
    Metric(
        "instantaneous_input_kbps", "Input Flow", _KIB, _total("instantaneous_input_kbps"),
        proxy=_total("instantaneous_input_kbps"),
    ),
    Metric(
        "instantaneous_output_kbps", "Output Flow", _KIB, _total("instantaneous_output_kbps"),
        proxy=_total("instantaneous_output_kbps"),
    ),
    Metric(
        "memory_frag_ratio", "Memory Fragmentation Ratio", "ratio",
        _share("used_memory_rss", "used_memory", percent=False),
    ),
    Metric("mget", "MGET", _SECOND, _rate("mget"), _EVERY),
    Metric("mset", "MSET", _SECOND, _rate("mset")),
    Metric("pubsub_channels", "PubSub Channels", "count", _total("pubsub_channels")),
    Metric("pubsub_patterns", "PubSub Patterns", "count", _total("pubsub_patterns")),
    Metric("set", "SET", _SECOND, _rate("set")),
    Metric("used_memory_lua", "Used Memory Lua", _BYTE, _total("used_memory_lua")),
    Metric("used_memory_peak", "Used Memory Peak", _BYTE, _total("used_memory_peak")),
    Metric("sadd", "SADD", _SECOND, _rate("sadd")),
    Metric("smembers", "SMEMBERS", _SECOND, _rate("smembers")),
    Metric(
        "client_longest_out_list", "Client Longest Output List", "count",
        _greatest("client_longest_output_list"), instance=None,
    ),
    Metric(
        "client_biggest_in_buf", "Client Biggest Input Buf", _BYTE, _greatest("client_recent_max_input_buffer"),
        instance=None,
    ),
    Metric(
        "total_commands_processed", "Commands Processed", _PERIOD, _growth("total_commands_processed"),
        instance=None,
    ),
    Metric(
        "total_net_input_bytes", "Network Input Bytes", "byte/period", _growth("total_net_input_bytes"),
        instance=None, proxy=_growth("total_net_input_bytes"),
    ),
    Metric(
        "total_net_output_bytes", "Network Output Bytes", "byte/period", _growth("total_net_output_bytes"),
        instance=None, proxy=_growth("total_net_output_bytes"),
    ),
    Metric(
        "rejected_connections", "Rejected Connections", _PERIOD, _growth("rejected_connections"), instance=None
    ),
    Metric("ms_repl_offset", "Replication Gap", _BYTE, _lag, instance=None),
)  # fmt: skip
"""Every metric, in the order of the reference."""

BY_ID = {metric.id: metric for metric in METRICS}


@dataclass(frozen=True)
class Monitored:
    """An object that has metrics: an instance, a node or a proxy."""

    instance_id: str
    level: str
    """The name of its dimension."""
    key: str
    """Its place in `Figures`."""

    @property
    def dimensions(self) -> tuple[tuple[str, str], ...]:
        """Names and ids, the instance's first."""
        own = ((self.level, self.key),) if self.level != INSTANCE else ()
        return ((INSTANCE, self.instance_id), *own)


def monitored_of(instance: Instance) -> Iterator[Monitored]:
    """The instance, its nodes and its proxies; the node of a single-node instance is the instance."""
    yield Monitored(instance.id, INSTANCE, ITSELF)
    if instance.mode is not Mode.SINGLE:
        yield from (Monitored(instance.id, NODE, node.id) for node in instance.nodes)
    yield from (Monitored(instance.id, PROXY, proxy.id) for proxy in instance.proxies)


def metrics_of(level: str, mode: Mode) -> list[Metric]:
    """What objects of this dimension have, in an instance of this type."""
    return [metric for metric in METRICS if metric.has_level(level, mode)]


def measure(instance: Instance, spans: Mapping[str, Span]) -> Figures:
    """The figures of an instance whose nodes and proxies, by id, were seen like this; who is silent is not there.

    Of an instance that has a shard without a master, and of a proxy that did not answer, the status is all that is
    known.
    """
    figures: Figures = {ITSELF: _of_instance(instance, spans)}
    if instance.mode is not Mode.SINGLE:
        rows = metrics_of(NODE, instance.mode)
        for node in instance.nodes:
            if node.id in spans:
                figures[node.id] = _values(((row.id, row.how) for row in rows), [spans[node.id]])
    rows = metrics_of(PROXY, instance.mode)
    for proxy in _in_service(instance, instance.proxies):
        span = spans.get(proxy.id)
        figures[proxy.id] = _values(((row.id, row.proxy) for row in rows), [span]) if span else {STATUS: 1.0}
    return figures


def _of_instance(instance: Instance, spans: Mapping[str, Span]) -> dict[str, float]:
    serving = replace(instance, nodes=tuple(_in_service(instance, instance.nodes)))
    masters = [_master_of(shard, spans) for shard in shards_of(serving)]
    known = [span for span in masters if span is not None]
    reachable = not instance.proxies or any(
        proxy.id in spans and spans[proxy.id].now.is_well for proxy in instance.proxies
    )
    if len(known) < len(masters) or not known:
        return {STATUS: 1.0}
    every = [spans[node.id] for node in instance.nodes if node.id in spans]
    values: dict[str, float] = {}
    for whose, of in ((Whose.MASTERS, known), (Whose.EVERY, every)):
        rows = [row for row in metrics_of(INSTANCE, instance.mode) if row.instance is whose]
        values |= _values(((row.id, row.how) for row in rows), of)
    return values if reachable else values | {STATUS: 1.0}


def _in_service(instance: Instance, objects: Iterable[Served]) -> Iterator[Served]:
    """While an instance changes its shape there are some on record that are only coming."""
    return (one for one in objects if one.active or instance.state is not State.EXTENDING)


def _master_of(shard: Shard, spans: Mapping[str, Span]) -> Span | None:
    """The shard's master by its own word. Where two say so, one has not heard yet: the record's goes before."""
    found = [spans[node.id] for node in shard.nodes if node.id in spans and spans[node.id].now.is_master]
    return found[0] if found else None


def _values(rows: Iterator[tuple[str, How | None]], spans: Sequence[Span]) -> dict[str, float]:
    values = {}
    for name, how in rows:
        assert how is not None, f"{name} is not measured there"
        try:
            values[name] = round(how(spans), 6)
        except LookupError:
            continue
    return values
