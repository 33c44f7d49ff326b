"""The catalogue of flavors: as the contract has it, and as callers may filter it."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import pytest
from contract import contract_file

from cachestead.domain.flavors import Flavor, FlavorFilter, parse_flavors
from cachestead.domain.instances import Mode

CATALOGUE = parse_flavors(resources.files("cachestead.domain").joinpath("data/flavors.csv").read_text())
TINY = CATALOGUE.get("redis.ha.xu1.tiny.r2.128", 0.125)


def described(flavor: Flavor) -> dict[str, Any]:
    return {
        "spec_code": flavor.spec_code,
        "engine": flavor.engine,
        "engine_versions": list(flavor.engine_versions),
        "cache_mode": flavor.mode.value,
        "cpu_type": flavor.cpu_type,
        "capacity_gb": flavor.capacity_gb,
        "replica_count": flavor.replica_count,
        "sharding_num": flavor.sharding_num,
        "db_number": flavor.db_number,
        "max_memory_gb": flavor.max_memory_gb,
        "max_connections_default": flavor.max_connections,
        "max_connections_limit": flavor.max_connections_limit,
        "max_bandwidth_mbit": flavor.max_bandwidth_mbit,
        "assured_bandwidth_mbit": flavor.assured_bandwidth_mbit,
        "edition": flavor.edition,
        "pricing_type": flavor.pricing_type,
    }


def test_the_catalogue_has_every_flavor_of_the_contract_with_its_figures():
    contract = json.loads(contract_file("flavors.json").read_text())
    ours = {(one.spec_code, one.capacity_gb): described(one) for one in CATALOGUE.flavors}
    for theirs in contract:
        mine = ours[theirs["spec_code"], theirs["capacity_gb"]]
        assert mine == {key: theirs[key] for key in mine}
    assert len(ours) == len(CATALOGUE.flavors) == len(contract)


def test_what_the_contract_leaves_open_is_filled():
    assert all(one.tenant_ip_count > 0 for one in CATALOGUE.flavors)
    assert all(one.proxy_num > 0 for one in CATALOGUE.flavors if one.mode is Mode.PROXY)


def test_memory_is_counted_per_node_and_promised_for_all():
    assert (TINY.max_memory, TINY.node_memory, TINY.promised_memory) == (128, 128 * 1024 * 1024, 256)


def test_every_node_of_every_flavor_has_memory_and_connections():
    assert all(one.node_memory > 0 and one.node_connections > 0 for one in CATALOGUE.flavors)


@pytest.mark.parametrize(
    ("wanted", "matches"),
    [
        pytest.param(FlavorFilter(), True, id="nothing asked"),
        pytest.param(FlavorFilter(spec_code="redis.ha.xu1.tiny.r2.128"), True, id="code"),
        pytest.param(FlavorFilter(spec_code="redis.ha"), False, id="part of a code"),
        pytest.param(FlavorFilter(mode="ha"), True, id="mode"),
        pytest.param(FlavorFilter(mode="single"), False, id="other mode"),
        pytest.param(FlavorFilter(engine="Redis"), True, id="engine in any case"),
        pytest.param(FlavorFilter(engine="Memcached"), False, id="other engine"),
        pytest.param(FlavorFilter(engine_version="7.0"), True, id="version"),
        pytest.param(FlavorFilter(engine_version="3.0"), False, id="other version"),
        pytest.param(FlavorFilter(cpu_type="x86_64"), True, id="processor"),
        pytest.param(FlavorFilter(cpu_type="aarch64"), False, id="other processor"),
        pytest.param(FlavorFilter(capacity="0.125"), True, id="capacity"),
        pytest.param(FlavorFilter(capacity="1"), False, id="other capacity"),
        pytest.param(FlavorFilter(capacity="lots"), False, id="capacity is a word"),
        pytest.param(FlavorFilter(mode="ha", capacity="1"), False, id="all must match"),
    ],
)
def test_filters_narrow_the_list(wanted: FlavorFilter, matches: bool):  # noqa: FBT001 - a column of the table
    assert (TINY in CATALOGUE.list(wanted)) is matches


def test_a_code_with_several_capacities_needs_one():
    codes = [one.spec_code for one in CATALOGUE.flavors]
    several = next(code for code in codes if codes.count(code) > 1)
    for flavor in CATALOGUE.flavors:
        if flavor.spec_code == several:
            assert CATALOGUE.find(several, flavor.capacity_gb) == flavor
    assert CATALOGUE.find(several, 0.3) is None
    assert CATALOGUE.find(several) in CATALOGUE.flavors


def test_an_unknown_code_is_not_found():
    assert not CATALOGUE.has_code("redis.unknown")
    assert CATALOGUE.find("redis.unknown") is None
    with pytest.raises(KeyError):
        CATALOGUE.get("redis.unknown", 1)
