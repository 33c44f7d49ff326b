"""INFO of several masters, told as of one server."""

from __future__ import annotations

from cachestead.proxy.info import merge_info
from cachestead.proxy.topology import info_fields

ONE = """# Server
redis_version:7.0.15
uptime_in_seconds:100

# Memory
used_memory:1000
used_memory_peak:1500
mem_fragmentation_ratio:1.50
maxmemory_policy:volatile-lru

# Commandstats
cmdstat_get:calls=1,usec=10,usec_per_call=10.00,rejected_calls=0,failed_calls=0

# Latencystats
latency_percentiles_usec_get:p50=1.003,p99=2.007

# Keyspace
db0:keys=2,expires=1,avg_ttl=1000
"""
OTHER = """# Server
redis_version:7.0.15
uptime_in_seconds:7

# Memory
used_memory:500
used_memory_peak:2500
mem_fragmentation_ratio:10.25
maxmemory_policy:volatile-lru

# Commandstats
cmdstat_get:calls=3,usec=10,usec_per_call=3.33,rejected_calls=1,failed_calls=0
cmdstat_set:calls=2,usec=3,usec_per_call=1.50,rejected_calls=0,failed_calls=0

# Latencystats
latency_percentiles_usec_get:p50=3.007,p99=1.003

# Keyspace
db0:keys=5,expires=3,avg_ttl=2000
"""


def merged(*texts: str, **own: dict[str, object]) -> dict[str, str]:
    return info_fields(merge_info(texts, own))


def test_counters_are_summed_and_peaks_are_the_greatest():
    found = merged(ONE, OTHER)
    assert found["used_memory"] == "1500"
    assert found["used_memory_peak"] == "2500"
    assert found["mem_fragmentation_ratio"] == "10.25"
    assert found["maxmemory_policy"] == "volatile-lru"


def test_one_speaks_for_all_of_the_server():
    assert merged(ONE, OTHER)["uptime_in_seconds"] == "100"
    assert merged(ONE, OTHER, Server={"uptime_in_seconds": 3, "run_id": "x"})["uptime_in_seconds"] == "3"
    assert merged(ONE, Server={"run_id": "x"})["run_id"] == "x"


def test_lifetimes_are_weighed_by_how_many_keys_have_one():
    assert merged(ONE, OTHER)["db0"] == "keys=7,expires=4,avg_ttl=1750"


def test_commands_are_counted_together():
    found = merged(ONE, OTHER)
    assert found["cmdstat_get"] == "calls=4,usec=20,usec_per_call=5.00,rejected_calls=1,failed_calls=0"
    assert found["cmdstat_set"] == "calls=2,usec=3,usec_per_call=1.50,rejected_calls=0,failed_calls=0"
    assert found["latency_percentiles_usec_get"] == "p50=3.007,p99=2.007"


def test_sections_keep_their_order_and_the_proxys_own_is_last():
    text = merge_info([ONE, OTHER], {"Proxy": {"connected": 1}, "Replication": {"role": "master"}})
    names = [line[2:] for line in text.split("\r\n") if line.startswith("# ")]
    assert names == ["Server", "Memory", "Commandstats", "Latencystats", "Keyspace", "Proxy"]


def test_nothing_comes_of_nothing():
    assert merge_info([], {}) == merge_info([""], {}) == ""
