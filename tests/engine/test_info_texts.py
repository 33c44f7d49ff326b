"""What is read from INFO of engines that say more than the ones at hand."""

from __future__ import annotations

from redis._parsers.helpers import parse_info

from cachestead.engine.info import Keyspace, read_facts
from cachestead.engine.looking import read_numbers

SIZES_OF_KEYS = """
# Server
redis_version:8.0.0
# Replication
role:master
connected_slaves:0
# Commandstats
cmdstat_set:calls=7,usec=70,usec_per_call=10.00,rejected_calls=0,failed_calls=0
# Keyspace
db0:keys=5,expires=2,avg_ttl=0,subexpiry=0
db11:keys=2,expires=1,avg_ttl=0,subexpiry=0
# Keysizes
db0_distrib_strings_sizes:1=1,2=655,512=100899,1K=31
db0_distrib_lists_items:1=5
db11_distrib_sets_items:1=2,4=1
"""


def test_lines_about_the_sizes_of_keys_are_no_databases() -> None:
    info = parse_info(SIZES_OF_KEYS)
    assert "db0_distrib_strings_sizes" in info
    numbers = read_numbers(info)
    assert (numbers["keys"], numbers["expires"]) == (7, 3)
    assert read_facts(info).keyspace == (Keyspace(0, 5, 2), Keyspace(11, 2, 1))
