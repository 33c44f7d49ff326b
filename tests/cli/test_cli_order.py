import pytest

from cachestead.cli.connection import Connection
from cachestead.cli.failures import CommandFailed
from cachestead.cli.order import Order, build_body, cache_mode_of, choose_flavor, choose_zones, newest_version

HERE = Connection("http://h", "http://h", "u", "p", "d", "0" * 32, vpc_id="vpc", subnet_id="subnet")
ZONES = [
    {"code": "a", "resource_availability": "false"},
    {"code": "b", "resource_availability": "true"},
    {"code": "c", "resource_availability": "true"},
    {"code": "d", "resource_availability": "true"},
]


def _flavor(code, replicas, cpu="x86_64", edition="generic", gb="1", shards=1):
    return {
        "spec_code": code, "cache_mode": code.split(".")[1], "replica_count": replicas, "cpu_type": cpu,
        "product_type": edition, "capacity": [gb], "attrs": [{"name": "sharding_num", "value": str(shards)}],
    }  # fmt: skip


FLAVORS = [
    _flavor("redis.ha.au1.large.r2.1", 2, cpu="aarch64"),
    _flavor("redis.ha.xu1.large.p2.1", 2, edition="enterprise"),
    _flavor("redis.ha.xu1.large.r3.1", 3),
    _flavor("redis.ha.xu1.large.r2.1", 2),
    _flavor("redis.ha.xu1.large.r2.2", 2, gb="2"),
]
CLUSTERS = [
    _flavor("redis.cluster.xu1.large.r2.s2.8", 2, gb="8", shards=4),
    _flavor("redis.cluster.xu1.large.r2.s1.4", 2, gb="4", shards=4),
    _flavor("redis.cluster.xu1.large.r2.4", 2, gb="4", shards=3),
    _flavor("redis.cluster.xu1.large.r1.4", 1, gb="4", shards=3),
    _flavor("redis.cluster.xu1.large.r2.s1.8", 2, gb="8", shards=8),
]


@pytest.mark.parametrize(
    ("order", "processor", "chosen"),
    [
        pytest.param(Order("n"), "x86_64", "redis.ha.xu1.large.r2.1", id="a standby by default"),
        pytest.param(Order("n"), "arm64", "redis.ha.au1.large.r2.1", id="this machine's processor"),
        pytest.param(Order("n", replicas=2), "x86_64", "redis.ha.xu1.large.r3.1", id="two replicas"),
        pytest.param(
            Order("n", flavor="redis.ha.xu1.large.p2.1"), "x86_64", "redis.ha.xu1.large.p2.1", id="by name"
        ),
    ],
)
def test_the_plainest_flavor_is_chosen(order, processor, chosen):
    assert choose_flavor(order, FLAVORS, processor)["spec_code"] == chosen


@pytest.mark.parametrize(
    ("order", "chosen"),
    [
        pytest.param(Order("n", mode="cluster"), "redis.cluster.xu1.large.r2.4", id="the smallest"),
        pytest.param(Order("n", mode="cluster", shards=4), "redis.cluster.xu1.large.r2.s1.4", id="more shards"),
        pytest.param(Order("n", mode="cluster", shards=8), "redis.cluster.xu1.large.r2.s1.8", id="many shards"),
        pytest.param(
            Order("n", mode="cluster", capacity=8, shards=4), "redis.cluster.xu1.large.r2.s2.8", id="larger shards"
        ),
        pytest.param(Order("n", mode="cluster", replicas=0), "redis.cluster.xu1.large.r1.4", id="no replicas"),
    ],
)
def test_a_cluster_is_as_small_as_it_may_be(order, chosen):
    offered = [flavor for flavor in CLUSTERS if order.capacity in (None, float(flavor["capacity"][0]))]

    assert choose_flavor(order, offered, "x86_64")["spec_code"] == chosen


def test_shards_that_no_flavor_has_are_named():
    with pytest.raises(CommandFailed, match=r"no flavor for cluster, Redis 7\.0, 5 shards\."):
        choose_flavor(Order("n", mode="cluster", shards=5), CLUSTERS, "x86_64")


def test_no_flavor_is_a_sentence():
    with pytest.raises(CommandFailed, match=r"no flavor for ha, 3 GB, Redis 7\.0"):
        choose_flavor(Order("n", capacity=3), [], "x86_64")


@pytest.mark.parametrize(
    ("order", "flavor", "zones"),
    [
        pytest.param(Order("n"), _flavor("redis.single.tiny", 1), ["b"], id="one for a single node"),
        pytest.param(Order("n"), _flavor("redis.ha.large", 3), ["b", "c"], id="two for master and standby"),
        pytest.param(Order("n"), CLUSTERS[0], ["b", "c", "d"], id="all for a cluster"),
        pytest.param(
            Order("n"), _flavor("redis.proxy.x", 2, shards=3), ["b", "c", "d"], id="all for a Proxy Cluster"
        ),
        pytest.param(Order("n"), _flavor("redis.cluster.c", 1, shards=2), ["b", "c"], id="no more than nodes"),
        pytest.param(Order("n", zones=("a",)), CLUSTERS[0], ["a"], id="as asked, full or not"),
    ],
)
def test_zones_with_room_are_chosen(order, flavor, zones):
    assert choose_zones(order, flavor, ZONES) == zones


@pytest.mark.parametrize(
    ("kind", "mode", "newest"),
    [
        ("ha", "ha", "7.0"),
        ("cluster", "cluster", "7.0"),
        ("proxy", "proxy", "6.0"),
        ("rw-split", "ha_rw_split", "6.0"),
        ("ha_rw_split", "ha_rw_split", "6.0"),
    ],
)
def test_a_type_has_a_name_of_the_api_and_a_newest_version(kind, mode, newest):
    assert (cache_mode_of(kind), newest_version(mode)) == (mode, newest)


def test_the_body_has_what_was_asked_for_and_nothing_else():
    order = Order("n", mode="single", capacity=1, port=7000, tags={"team": "web"})

    body = build_body(order, _flavor("redis.single.code", 1), ["b"], HERE, "Secret-123")

    assert body == {
        "name": "n",
        "engine": "Redis",
        "engine_version": "7.0",
        "capacity": 1,
        "spec_code": "redis.single.code",
        "az_codes": ["b"],
        "vpc_id": "vpc",
        "subnet_id": "subnet",
        "password": "Secret-123",
        "no_password_access": False,
        "port": 7000,
        "tags": [{"key": "team", "value": "web"}],
    }


def test_the_capacity_is_the_flavors_when_none_was_said():
    assert build_body(Order("n"), CLUSTERS[0], ["b"], HERE, None)["capacity"] == 8


def test_without_a_password_the_body_says_so():
    body = build_body(Order("n"), _flavor("redis.ha.code", 2), ["b"], HERE, None)

    assert body["no_password_access"] is True
    assert "password" not in body
