"""Instances behind proxies: what is planned for an order, and what may be chosen about them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from test_orders import IDS, NOW, SPLIT, check
from test_orders import PROXY as CLUSTERED

from cachestead import errors
from cachestead.domain.instances import Instance, Mode, proxy_name
from cachestead.domain.orders import Orderer, plan_instances
from cachestead.domain.proxies import SPLIT_PROXIES, plan_proxies, proxy_connections, proxy_count
from cachestead.domain.replicas import check_has_priorities, check_has_readers


def plan(**order: Any) -> Instance:
    checked = check(engine_version="6.0", **order)
    addresses = [f"127.64.0.{number}" for number in range(10, 10 + checked.addresses_per_instance)]
    [planned] = plan_instances(checked, Orderer("p", "u", "U"), IDS[:1], [addresses], NOW)
    return planned


def test_a_proxy_cluster_has_as_many_proxies_as_shards_and_one_address():
    planned = plan(spec_code=CLUSTERED, capacity_gb=4, az_codes=("az1", "az2"), port=7000)

    assert [node.address for node in planned.nodes] == [f"127.64.0.{number}" for number in range(10, 16)]
    assert [proxy.address for proxy in planned.proxies] == ["127.64.0.16", "127.64.0.17", "127.64.0.18"]
    assert [proxy.zone for proxy in planned.proxies] == ["az1", "az2", "az1"]
    assert proxy_name(planned.proxies[0]) == "(proxy)127.64.0.16"
    assert (planned.ip, planned.port) == ("127.64.0.19", 7000)
    # Nobody but the service goes there, and a native cluster cannot have any port.
    assert {one.port for one in (*planned.nodes, *planned.proxies)} == {6379}


def test_read_write_splitting_has_two_proxies_whatever_the_catalogue_prints():
    checked = check(spec_code=SPLIT, capacity_gb=1, engine_version="4.0")
    assert (checked.flavor.proxy_num, proxy_count(checked.flavor)) == (0, SPLIT_PROXIES)
    assert (
        proxy_connections(checked.flavor, checked.flavor.max_connections)
        == checked.flavor.max_connections // SPLIT_PROXIES
    )
    planned = plan(spec_code=SPLIT, capacity_gb=1)
    assert (len(planned.nodes), len(planned.proxies), planned.ip) == (2, 2, "127.64.0.14")


@pytest.mark.parametrize(("flavor", "gb"), [(CLUSTERED, 4), (SPLIT, 1)])
def test_the_shared_address_may_be_chosen(flavor: str, gb: float):
    assert check(spec_code=flavor, capacity_gb=gb, engine_version="5.0", private_ip="127.64.0.9")


def test_an_instance_without_proxies_has_none():
    assert proxy_count(check().flavor) == 0
    assert plan_instances(check(), Orderer("p", "u", "U"), IDS[:1], [["127.64.0.9"]], NOW)[0].proxies == ()


def test_more_proxies_are_others_than_those_there_are():
    planned = plan(spec_code=CLUSTERED, capacity_gb=4)
    more = plan_proxies(planned.id, 6379, ("az1",), range(3, 5), ["127.64.0.30", "127.64.0.31"])
    assert len({proxy.id for proxy in (*planned.proxies, *more)}) == 5
    assert plan_proxies(planned.id, 6379, ("az1",), range(3, 5), ["127.64.0.30", "127.64.0.31"]) == more


@pytest.mark.parametrize(
    ("mode", "readers", "priorities"),
    [
        pytest.param(Mode.SINGLE, False, True, id="single: it has no replica to choose anything for"),
        pytest.param(Mode.HA, True, True, id="master/standby"),
        pytest.param(Mode.CLUSTER, False, True, id="cluster"),
        pytest.param(Mode.PROXY, False, False, id="proxy cluster"),
        pytest.param(Mode.HA_RW_SPLIT, True, True, id="read/write splitting"),
    ],
)
def test_what_may_be_chosen_about_replicas(mode: Mode, readers, priorities):
    instance = replace(plan(spec_code=SPLIT, capacity_gb=1), mode=mode)
    for allowed, judge, error in (
        (readers, check_has_readers, errors.NamesNotSupported),
        (priorities, check_has_priorities, errors.NodeNotSupported),
    ):
        if allowed:
            judge(instance)
            continue
        with pytest.raises(error):
            judge(instance)
