"""The metrics: the documented table, and figures out of what was seen."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from contract import contract_file
from examples import INSTANCE_ID, instance_like

from cachestead.domain.instances import Instance, Mode, Node, Proxy, Role, State
from cachestead.domain.looks import Look, NotMeasured, SlowCommand, Span, processor_shares
from cachestead.domain.metrics import (
    BY_ID,
    INSTANCE,
    ITSELF,
    METRICS,
    NODE,
    PROXY,
    STATUS,
    Whose,
    measure,
    metrics_of,
    monitored_of,
)

MINUTE = 60.0
NUMBERS = {
    "uptime_in_seconds": 1000.0, "used_memory": 50.0, "maxmemory": 200.0, "used_memory_rss": 75.0, "keys": 7.0,
    "expires": 2.0, "keyspace_hits": 0.0, "keyspace_misses": 0.0, "connected_clients": 5.0, "maxclients": 10.0,
    "total_net_input_bytes": 0.0, "total_net_output_bytes": 0.0, "total_connections_received": 0.0,
}  # fmt: skip


def look(at: float = 0.0, *, run: str = "first", **more: Any) -> Look:
    numbers = NUMBERS | more.pop("numbers", {})
    made = Look(at=at, run=run, is_master=True, is_well=True, numbers=numbers)
    return replace(made, **more)


def span(before: Look | None, now: Look, **more: Any) -> Span:
    return replace(Span.between(before, now, MINUTE), **more)


def still(*, master: bool = True, **more: Any) -> Span:
    """A minute of a node, at whose end it was like this."""
    return span(look(0), look(MINUTE, is_master=master, **more))


def instance(mode: Mode, shards: int = 1, nodes: int = 1, proxies: int = 0) -> Instance:
    return instance_like(
        mode=mode,
        nodes=tuple(
            Node(
                id=f"n{shard}{place}",
                instance_id=INSTANCE_ID,
                shard=shard,
                ordinal=place,
                address=f"127.0.{shard}.{place}",
                port=6379,
                zone="a",
                role=Role.REPLICA if place else Role.MASTER,
            )
            for shard in range(shards)
            for place in range(nodes)
        ),
        proxies=tuple(
            Proxy(
                id=f"p{place}",
                instance_id=INSTANCE_ID,
                ordinal=place,
                address=f"127.1.0.{place}",
                port=6379,
                zone="a",
            )
            for place in range(proxies)
        ),
    )


def documented() -> dict[str, list[str]]:
    """The table of section 14: cells by id."""
    text = (contract_file("operations.json").parent.parent / "service-limits.md").read_text()
    section = text.split("## 14. Monitoring")[1].split("Checked (CH)")[0]
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|$", section, re.MULTILINE)
    return {name: [cell.strip() for cell in rest.split("|")] for name, rest in rows if rest.count("|") == 8}


MODES = {"x1": {Mode.SINGLE, Mode.HA, Mode.HA_RW_SPLIT}, "x2": {Mode.SINGLE}}


def test_the_catalogue_is_the_documented_table():
    table = {name: row for name, row in documented().items() if any(row[3:6])}
    assert len(table) > 40
    assert [metric.id for metric in METRICS] == list(table)
    for metric in METRICS:
        name, _unit, _range, at_instance, at_nodes, at_proxies = table[metric.id][:6]
        assert metric.name == name
        assert {mode for mode in Mode if metric.has_level(INSTANCE, mode)} == (
            MODES.get(at_instance, set(Mode)) if at_instance else set()
        ), metric.id
        if at_instance:
            assert (metric.instance is Whose.EVERY) == (at_instance == "x+"), metric.id
        assert metric.has_level(NODE, Mode.CLUSTER) == bool(at_nodes), metric.id
        assert metric.has_level(PROXY, Mode.PROXY) == bool(at_proxies), metric.id


def test_a_single_node_has_no_figures_apart_from_its_instance():
    assert metrics_of(NODE, Mode.SINGLE) == metrics_of(PROXY, Mode.SINGLE) == []
    assert [one.level for one in monitored_of(instance(Mode.SINGLE))] == [INSTANCE]


def test_figures_of_an_instance_are_those_of_its_masters_together():
    one, two = instance(Mode.CLUSTER, shards=2, nodes=2), {"keyspace_hits": 30.0, "keyspace_misses": 10.0}
    spans = {
        "n00": still(numbers=two | {"used_memory": 150.0}, calls={"get": 600, "set": 60}),
        "n10": still(numbers={"keyspace_hits": 60.0}, calls={"set": 120}),
        "n01": still(master=False, numbers=two, calls={"get": 60, "set": 60}),
        "n11": still(master=False),
    }
    figures = measure(one, spans)
    own = figures[ITSELF]
    assert (own["keys"], own["used_memory"], own["memory_usage"]) == (14, 200, 50)
    assert own["memory_frag_ratio"] == 0.75
    assert own["set"] == 3
    assert own["get"] == 11, "replicas answer reads, too"
    assert own["keyspace_hits_perc"] == round(120 / 140 * 100, 6)
    assert own["keyspace_misses"] == 20
    assert own["connections_usage"] == 50
    assert (figures["n01"]["keyspace_hits_perc"], figures["n01"]["set"]) == (75, 1)
    assert "cpu_usage" not in own


def test_the_master_is_who_says_so():
    ha = instance(Mode.HA, nodes=2)
    spans = {"n00": still(master=False, numbers={"keys": 1.0}), "n01": still(numbers={"keys": 9.0})}
    assert measure(ha, spans)[ITSELF]["keys"] == 9


@pytest.mark.parametrize(
    "seen", [[], ["n00", "n01"], ["n00", "n01", "n11"]], ids=["nobody", "a shard", "a replica"]
)
def test_an_instance_without_a_master_of_each_shard_has_a_status_and_nothing_else(seen):
    cluster = instance(Mode.CLUSTER, shards=2, nodes=2)
    spans = {name: still(master=name.endswith("0")) for name in seen}
    figures = measure(cluster, spans)
    assert figures[ITSELF] == {STATUS: 1}
    assert figures.keys() == {ITSELF, *seen}, "who does not answer has no figures, not zeros"


def test_what_is_only_coming_counts_when_it_is_there():
    growing = replace(instance(Mode.PROXY, shards=3, nodes=1, proxies=2), state=State.EXTENDING)
    there = [replace(node, active=node.shard < 2) for node in growing.nodes]
    growing = replace(
        growing, nodes=tuple(there), proxies=(replace(growing.proxies[0], active=True), growing.proxies[1])
    )
    spans = {name: still(numbers={"total_system_memory": 300.0}) for name in ("n00", "n10", "p0")}
    figures = measure(growing, spans)
    assert figures[ITSELF]["keys"] == 14
    assert figures.keys() == {ITSELF, *spans}


def test_a_node_that_loads_is_abnormal():
    assert measure(instance(Mode.SINGLE), {"n00": still(is_well=False)})[ITSELF][STATUS] == 1
    assert measure(instance(Mode.SINGLE), {"n00": still()})[ITSELF][STATUS] == 0


def test_a_proxy_that_does_not_answer_has_a_status_and_nothing_else():
    split = instance(Mode.HA_RW_SPLIT, nodes=2, proxies=2)
    nodes = {"n00": still(), "n01": still(master=False)}
    numbers = {"total_system_memory": 300.0}
    figures = measure(split, nodes | {"p0": still(numbers=numbers)})
    assert figures["p1"] == {STATUS: 1}
    assert (figures["p0"][STATUS], figures["p0"]["memory_usage"]) == (0, 25)
    assert figures[ITSELF][STATUS] == 0
    assert measure(split, nodes)[ITSELF][STATUS] == 1, "nobody reaches the master"


def test_counters_are_compared_with_the_look_before():
    seen = span(
        look(0, numbers={"total_connections_received": 100.0}),
        look(30, numbers={"total_connections_received": 160.0}, calls={"get": 90}),
    )
    assert seen.growth("total_connections_received") == 60
    assert measure(instance(Mode.SINGLE), {"n00": seen})[ITSELF]["get"] == 3


def test_of_a_process_that_was_started_anew_everything_counts_and_nothing_is_negative():
    before = look(0, numbers={"keyspace_misses": 1e6, "keyspace_hits": 1e6}, calls={"set": 10**9}, slow_id=9)
    now = look(
        MINUTE, run="second", numbers={"keyspace_misses": 3.0, "uptime_in_seconds": 2.0}, calls={"set": 120}
    )
    figures = measure(instance(Mode.SINGLE), {"n00": span(before, now)})[ITSELF]
    assert (figures["keyspace_misses"], figures["set"], figures["keyspace_hits_perc"]) == (3, 2, 0)


def test_a_counter_that_was_set_back_counts_from_zero():
    seen = span(look(0, numbers={"keyspace_misses": 50.0}), look(MINUTE, numbers={"keyspace_misses": 4.0}))
    assert seen.growth("keyspace_misses") == 4


def test_the_first_look_at_an_old_process_has_no_differences():
    figures = measure(instance(Mode.SINGLE), {"n00": span(None, look())})[ITSELF]
    assert figures["keys"] == 7
    assert not figures.keys() & {
        "set",
        "keyspace_misses",
        "keyspace_hits_perc",
        "is_slow_log_exist",
        "command_max_rt",
    }
    with pytest.raises(NotMeasured):
        _ = span(None, look()).base


def test_the_first_look_at_a_young_process_has_all_that_it_did():
    young = look(numbers={"uptime_in_seconds": 5.0, "keyspace_misses": 8.0})
    assert measure(instance(Mode.SINGLE), {"n00": span(None, young)})[ITSELF]["keyspace_misses"] == 8


def test_what_an_engine_does_not_tell_has_no_figure():
    assert "evicted_keys" not in measure(instance(Mode.SINGLE), {"n00": still()})[ITSELF]


SLOW = (SlowCommand("config", 90_000),)


@pytest.mark.parametrize(
    ("slow", "grew"),
    [
        pytest.param(SLOW, 0, id="slow by nature"),
        pytest.param((*SLOW, SlowCommand("keys", 11_000)), 1, id="slow"),
        pytest.param((), 0, id="nothing"),
    ],
)
def test_the_slow_log_counts_but_for_what_is_slow_by_nature(slow, grew):
    assert measure(instance(Mode.SINGLE), {"n00": still(slow=slow)})[ITSELF]["is_slow_log_exist"] == grew


@pytest.mark.parametrize(
    ("before", "now", "slow", "longest"),
    [
        pytest.param({}, {1: 4, 64: 1}, (), 64, id="edge of the highest class"),
        pytest.param({1: 4, 64: 1}, {1: 9, 64: 1}, (), 1, id="only what is new"),
        pytest.param({1: 4}, {1: 9, 16384: 1}, (SlowCommand("keys", 11_000),), 11_000, id="exact by the slow log"),
        pytest.param({1: 9, 64: 3}, {1: 2}, (), 1, id="classes that began anew"),
        pytest.param({}, {}, (), 0, id="nothing was called"),
    ],
)
def test_the_longest_command(before, now, slow, longest):
    seen = span(look(durations=before), look(MINUTE, durations=now, slow=slow))
    assert seen.longest_microseconds == longest
    figures = measure(instance(Mode.SINGLE), {"n00": seen})[ITSELF]
    assert (figures["command_max_rt"], figures["command_max_delay"]) == (longest, longest / 1000)


def test_processor_time_is_sampled():
    shares = processor_shares([(0, 10.0), (10, 12.0), (20, 12.0), (30, 21.0), (31, 30.0), (31, 31.0), (41, 1.0)])
    assert shares == (20, 0, 90, 100, 10), "at most one core, and a new process began at zero"
    figures = measure(instance(Mode.SINGLE), {"n00": replace(still(), processor_shares=(20.0, 0.0, 91.0))})[ITSELF]
    assert (figures["cpu_usage"], figures["cpu_avg_usage"]) == (91, 37)
    assert "cpu_usage" not in measure(instance(Mode.SINGLE), {"n00": still()})[ITSELF]


def test_bandwidth_is_of_both_directions():
    moved = {"total_net_input_bytes": 600.0, "total_net_output_bytes": 5400.0}
    figures = measure(instance(Mode.SINGLE), {"n00": replace(still(numbers=moved), bandwidth=100.0)})[ITSELF]
    assert figures["bandwidth_usage"] == 50


def test_only_replicas_of_clusters_have_a_gap():
    cluster = instance(Mode.CLUSTER, nodes=2)
    figures = measure(cluster, {"n00": still(), "n01": replace(still(master=False), lag=12.0)})
    assert (figures["n01"]["ms_repl_offset"], "ms_repl_offset" in figures["n00"]) == (12, False)
    assert BY_ID["ms_repl_offset"].instance is None
