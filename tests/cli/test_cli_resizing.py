"""Which flavor a change of size or shape leads to, and what is asked of the service for it."""

import pytest

from cachestead.cli.failures import CommandFailed
from cachestead.cli.resizing import Wish, build_resize, check_wish, choose_new_flavor, find_node, flavor_filters


def _flavor(code, gb, nodes, shards=1):
    return {
        "spec_code": code, "cache_mode": code.split(".")[1], "replica_count": nodes, "capacity": [gb],
        "attrs": [{"name": "max_memory", "value": gb}, {"name": "sharding_num", "value": str(shards)}],
    }  # fmt: skip


OFFERED = {
    "ha": [
        _flavor("redis.ha.xu1.tiny.r2.128", "0.125", 2),
        _flavor("redis.ha.xu1.tiny.r3.128", "0.125", 3),
        _flavor("redis.ha.xu1.large.r2.1", "1", 2),
        _flavor("redis.ha.xu1.large.r3.1", "1", 3),
    ],
    "proxy": [
        _flavor("redis.proxy.xu1.large.s1.4", "4", 2, 4),
        _flavor("redis.proxy.xu1.large.4", "4", 2, 3),
        _flavor("redis.proxy.xu1.large.s2.8", "8", 2, 4),
    ],
    "cluster": [
        _flavor("redis.cluster.xu1.large.r2.4", "4", 2, 3),
        _flavor("redis.cluster.xu1.large.r2.s1.4", "4", 2, 4),
        _flavor("redis.cluster.xu1.large.r2.s2.8", "8", 2, 4),
        _flavor("redis.cluster.xu1.large.r2.24", "24", 2, 3),
        _flavor("redis.cluster.xu1.large.r2.s8.24", "24", 2, 3),
        _flavor("redis.cluster.xu1.large.r3.24", "24", 3, 3),
        _flavor("redis.cluster.xu1.large.r3.s8.24", "24", 3, 3),
        _flavor("redis.cluster.xu1.large.r2.s4.24", "24", 2, 6),
        _flavor("redis.cluster.xu1.large.r2.s8.32", "32", 2, 4),
        _flavor("redis.cluster.xu1.large.r2.s8.48", "48", 2, 6),
    ],
}


def _instance(code):
    flavor = next(one for offered in OFFERED.values() for one in offered if one["spec_code"] == code)
    gb = float(flavor["capacity"][0])
    return {
        "spec_code": code, "cache_mode": flavor["cache_mode"], "engine": "Redis", "engine_version": "7.0",
        "cpu_type": "x86_64", "capacity": int(gb), "capacity_minor": None if gb >= 1 else f"{gb:g}".lstrip("0"),
        "replica_count": flavor["replica_count"], "sharding_count": int(flavor["attrs"][1]["value"]),
    }  # fmt: skip


def _nodes(shards, each):
    return [
        {
            "node_id": f"n{shard}-{place}", "node_ip": f"10.0.{shard}.{place}", "node_port": "6379",
            "group_id": f"g{shard}", "node_type": "slave" if place else "master",
        }
        for shard in range(shards)
        for place in range(each)
    ]  # fmt: skip


TINY, THREE = "redis.ha.xu1.tiny.r2.128", "redis.ha.xu1.tiny.r3.128"
SMALL, CLUSTER, WIDE = (f"redis.cluster.xu1.large.{end}" for end in ("r2.4", "r2.s8.24", "r3.s8.24"))


@pytest.mark.parametrize(
    ("present", "wish", "becomes"),
    [
        pytest.param(TINY, Wish(capacity=1), "redis.ha.xu1.large.r2.1", id="more memory"),
        pytest.param(TINY, Wish(replicas=2), THREE, id="one more replica below 1 GB"),
        pytest.param(THREE, Wish(replicas=1), TINY, id="one replica fewer"),
        pytest.param(TINY, Wish(capacity=1, replicas=2), "redis.ha.xu1.large.r3.1", id="both, for the service to judge"),
        pytest.param(CLUSTER, Wish(replicas=2), WIDE, id="the likest of two that fit"),
        pytest.param(CLUSTER, Wish(shards=4), "redis.cluster.xu1.large.r2.s8.32", id="a shard more of the same size"),
        pytest.param(CLUSTER, Wish(shards=6), "redis.cluster.xu1.large.r2.s8.48", id="twice the shards"),
        pytest.param(CLUSTER, Wish(shards=6, capacity=24), "redis.cluster.xu1.large.r2.s4.24", id="smaller shards, as said"),
        pytest.param(SMALL, Wish(shards=4), "redis.cluster.xu1.large.r2.s2.8", id="no shard gets smaller"),
        pytest.param("redis.cluster.xu1.large.r2.s8.32", Wish(shards=3), CLUSTER, id="a shard fewer"),
        pytest.param(SMALL, Wish(flavor=CLUSTER), CLUSTER, id="by name"),
        pytest.param(CLUSTER, Wish(capacity=24), CLUSTER, id="what it has, for the service to refuse"),
    ],
)  # fmt: skip
def test_the_likest_flavor_is_chosen(present, wish, becomes):
    instance = _instance(present)

    assert choose_new_flavor(wish, instance, OFFERED[instance["cache_mode"]])["spec_code"] == becomes


@pytest.mark.parametrize(
    ("wish", "becomes"),
    [
        pytest.param(Wish(mode="proxy"), "redis.proxy.xu1.large.4", id="the fewest shards of the next size"),
        pytest.param(Wish(mode="proxy", shards=4), "redis.proxy.xu1.large.s1.4", id="shards as said"),
        pytest.param(Wish(mode="proxy", capacity=8), "redis.proxy.xu1.large.s2.8", id="memory as said"),
    ],
)
def test_another_type_has_what_comes_nearest(wish, becomes):
    assert choose_new_flavor(wish, _instance(THREE), OFFERED["proxy"])["spec_code"] == becomes


def test_another_type_is_asked_for_by_its_name_or_its_flavors():
    assert flavor_filters(Wish(mode="proxy"), _instance(TINY))["cache_mode"] == "proxy"
    for wish in (Wish(mode="proxy"), Wish(flavor="redis.proxy.xu1.large.4")):
        flavor = choose_new_flavor(wish, _instance(TINY), OFFERED["proxy"])
        assert build_resize(wish, _instance(TINY), flavor, _nodes(1, 2)) == {
            "spec_code": "redis.proxy.xu1.large.4", "new_capacity": 4, "change_type": "instanceType",
        }  # fmt: skip


def test_flavors_are_asked_for_by_what_does_not_change():
    assert flavor_filters(Wish(shards=4), _instance(SMALL)) == {
        "cache_mode": "cluster", "engine": "Redis", "engine_version": "7.0", "cpu_type": "x86_64",
    }  # fmt: skip
    assert flavor_filters(Wish(flavor=TINY), _instance(SMALL)) == {"spec_code": TINY}


def test_a_flavor_with_several_capacities_keeps_the_instances():
    old = [_flavor("dcs.ha.old", gb, 2) for gb in ("0.0625", "0.125", "1")]

    assert choose_new_flavor(Wish(flavor="dcs.ha.old"), _instance(TINY), old) == old[1]
    assert choose_new_flavor(Wish(flavor="dcs.ha.old", capacity=1), _instance(TINY), old) == old[2]


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        (Wish(shards=5), r"no flavor for cluster, Redis 7\.0, 1 replicas, 5 shards\."),
        (Wish(capacity=5), r"no flavor for cluster, Redis 7\.0, 5 GB, 1 replicas, 3 shards\."),
        (Wish(flavor="absent"), r"no flavor for absent\."),
    ],
)
def test_what_is_not_offered_is_named(wish, sentence):
    with pytest.raises(CommandFailed, match=sentence):
        choose_new_flavor(wish, _instance(SMALL), OFFERED["cluster"])


def _body(present, wish, nodes):
    instance = _instance(present)
    return build_resize(wish, instance, choose_new_flavor(wish, instance, OFFERED[instance["cache_mode"]]), nodes)


@pytest.mark.parametrize(
    ("present", "wish", "nodes", "more"),
    [
        pytest.param(TINY, Wish(capacity=1), (1, 2), {}, id="memory alone"),
        pytest.param(
            TINY, Wish(replicas=2, zones=("a",)), (1, 2), {"change_type": "createReplication", "available_zones": ["a"]},
            id="a replica more, in a zone",
        ),
        pytest.param(
            THREE, Wish(replicas=1), (1, 3), {"change_type": "deleteReplication", "node_list": ["n0-2"]},
            id="the newest replica goes",
        ),
        pytest.param(
            THREE, Wish(replicas=1, node="10.0.0.1"), (1, 3), {"change_type": "deleteReplication", "node_list": ["n0-1"]},
            id="the replica that is named goes",
        ),
        pytest.param(
            THREE, Wish(replicas=1, keep=("10.0.0.2",)), (1, 3),
            {"change_type": "deleteReplication", "reserved_ip": ["10.0.0.2"]}, id="the replica that is named stays",
        ),
        pytest.param(
            WIDE, Wish(replicas=1), (2, 3),
            {"change_type": "deleteReplication", "reserved_ip": ["10.0.0.0", "10.0.0.1", "10.0.1.0", "10.0.1.1"]},
            id="a cluster's newest replicas go",
        ),
        pytest.param(
            WIDE, Wish(replicas=1, node="n1-1"), (2, 3),
            {"change_type": "deleteReplication", "reserved_ip": ["10.0.0.0", "10.0.0.1", "10.0.1.0", "10.0.1.2"]},
            id="one of a cluster's replicas is named",
        ),
        pytest.param(
            WIDE, Wish(replicas=1, zones=("a",)), (2, 3), {"change_type": "deleteReplication", "available_zones": ["a"]},
            id="a cluster's replicas of a zone go",
        ),
        pytest.param(SMALL, Wish(shards=4), (3, 2), {"change_type": "addSharding"}, id="a shard more"),
        pytest.param(
            "redis.cluster.xu1.large.r2.s8.32", Wish(shards=3, keep=("10.0.1.0",)), (4, 2), {"reserved_ip": ["10.0.1.0"]},
            id="a shard fewer",
        ),
        pytest.param(TINY, Wish(capacity=1, at_once=False), (1, 2), {"execute_immediately": False}, id="in the window"),
    ],
)  # fmt: skip
def test_the_body_says_what_kind_of_change_it_is(present, wish, nodes, more):
    body = _body(present, wish, _nodes(*nodes))

    assert {key: value for key, value in body.items() if key not in {"spec_code", "new_capacity"}} == more


def test_a_proxy_is_no_replica_that_could_go():
    proxy = {"node_id": "p", "node_ip": "10.0.9.9", "group_id": "", "node_type": "proxy"}
    body = _body(THREE, Wish(replicas=1), [*_nodes(1, 3), proxy])

    assert body["node_list"] == ["n0-2"]


def test_the_body_has_the_flavors_own_capacity():
    body = _body(SMALL, Wish(shards=4), _nodes(3, 2))

    assert (body["spec_code"], body["new_capacity"]) == ("redis.cluster.xu1.large.r2.s2.8", 8)


@pytest.mark.parametrize("wish", [Wish(capacity=1, node="n0-1"), Wish(capacity=1, keep=("10.0.0.1",))])
def test_naming_nodes_where_none_goes_is_refused(wish):
    with pytest.raises(CommandFailed, match="none"):
        _body(TINY, wish, _nodes(1, 2))


@pytest.mark.parametrize(
    "wish",
    [
        pytest.param(Wish(zones=("a",)), id="nothing"),
        pytest.param(Wish(flavor=TINY, replicas=1), id="flavor and replicas"),
        pytest.param(Wish(flavor=TINY, shards=3), id="flavor and shards"),
        pytest.param(Wish(replicas=1, node="n", keep=("a",)), id="who goes and who stays"),
    ],
)
def test_a_wish_says_one_thing(wish):
    with pytest.raises(CommandFailed):
        check_wish(wish)


@pytest.mark.parametrize("given", ["n0-1", "10.0.0.1", "10.0.0.1:6379"])
def test_nodes_are_named_by_id_or_address(given):
    assert find_node(_nodes(1, 2), given)["node_id"] == "n0-1"


def test_a_node_that_is_not_there_is_a_sentence():
    with pytest.raises(CommandFailed, match=r"no node 10\.0\.0\.9"):
        find_node(_nodes(1, 2), "10.0.0.9")
