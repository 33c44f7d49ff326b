import pytest

from cachestead.cli.connection import Connection
from cachestead.cli.failures import CommandFailed
from cachestead.cli.order import Order, build_body, choose_flavor, choose_zones

HERE = Connection("http://h", "http://h", "u", "p", "d", "0" * 32, vpc_id="vpc", subnet_id="subnet")
ZONES = [
    {"code": "a", "resource_availability": "false"},
    {"code": "b", "resource_availability": "true"},
    {"code": "c", "resource_availability": "true"},
    {"code": "d", "resource_availability": "true"},
]


def _flavor(code, replicas, cpu="x86_64", edition="generic"):
    return {"spec_code": code, "replica_count": replicas, "cpu_type": cpu, "product_type": edition}


FLAVORS = [
    _flavor("redis.ha.au1.large.r2.1", 2, cpu="aarch64"),
    _flavor("redis.ha.xu1.large.p2.1", 2, edition="enterprise"),
    _flavor("redis.ha.xu1.large.r3.1", 3),
    _flavor("redis.ha.xu1.large.r2.1", 2),
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


def test_no_flavor_is_a_sentence():
    with pytest.raises(CommandFailed, match=r"no flavor for ha, 3 GB, Redis 7\.0"):
        choose_flavor(Order("n", capacity=3), [], "x86_64")


@pytest.mark.parametrize(
    ("order", "zones"),
    [
        pytest.param(Order("n", mode="single"), ["b"], id="one for a single node"),
        pytest.param(Order("n"), ["b", "c"], id="two for master and standby"),
        pytest.param(Order("n", zones=("a",)), ["a"], id="as asked, full or not"),
    ],
)
def test_zones_with_room_are_chosen(order, zones):
    assert choose_zones(order, ZONES) == zones


def test_the_body_has_what_was_asked_for_and_nothing_else():
    order = Order("n", mode="single", capacity=1, port=7000, tags={"team": "web"})

    body = build_body(order, _flavor("code", 1), ["b"], HERE, "Secret-123")

    assert body == {
        "name": "n",
        "engine": "Redis",
        "engine_version": "7.0",
        "capacity": 1,
        "spec_code": "code",
        "az_codes": ["b"],
        "vpc_id": "vpc",
        "subnet_id": "subnet",
        "password": "Secret-123",
        "no_password_access": False,
        "port": 7000,
        "tags": [{"key": "team", "value": "web"}],
    }


def test_without_a_password_the_body_says_so():
    body = build_body(Order("n"), _flavor("code", 2), ["b"], HERE, None)

    assert body["no_password_access"] is True
    assert "password" not in body
