"""What a change of specification means: plans, and the codes of what stands in the way."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib import resources
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachestead import errors
from cachestead.domain.flavors import parse_flavors
from cachestead.domain.instances import Instance, Mode, Node, State
from cachestead.domain.maintenance import next_opening
from cachestead.domain.orders import Network, Order, Orderer, check_order, plan_instances
from cachestead.domain.resizing import Kind, ResizePlan, ResizeWish, memory_meanwhile, plan_resize
from cachestead.domain.shards import shards_of
from cachestead.domain.sizes import Bytes

FLAVORS = parse_flavors(resources.files("cachestead.domain").joinpath("data/flavors.csv").read_text())
NETWORK = Network("vpc", "vpc-default", "subnet", "subnet-default", "group", "default", "127.64.0.0/16")
NOW = datetime(2025, 5, 1, tzinfo=UTC)
SINGLE, HA = "redis.single.xu1.large.1", "redis.ha.xu1.large.{}.1"
CLUSTER = "redis.cluster.xu1.large.{}.{}"
PROXY, SPLIT = "redis.proxy.xu1.large.s8.{}", "redis.ha.xu1.large.p{}.1"


TO_ANOTHER = {"change_type": "instanceType"}


def instance_of(
    flavor: str, gb: float, zones: tuple[str, ...] = ("az1", "az2"), version: str = "7.0", **more: Any
) -> Instance:
    version = "6.0" if ".proxy." in flavor or ".p" in flavor else version
    order = Order("resized", "Redis", version, gb, flavor, zones, "vpc", "subnet", password="Passw0rd!x", **more)
    checked = check_order(order, FLAVORS, NETWORK, ("az1", "az2", "az3"))
    addresses = [f"127.64.0.{number}" for number in range(10, 10 + checked.addresses_per_instance)]
    [planned] = plan_instances(
        checked, Orderer("p", "u", "U"), ["1b671a64-40d5-491e-99b0-da01ff1f3341"], [addresses], NOW
    )
    return replace(planned, state=State.RUNNING)


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return NOW.replace(day=day, hour=hour, minute=minute)


def plan(
    instance: Instance, flavor: str, gb: float, used_mib: int = 1, databases: tuple[int, ...] = (0,), **wish: Any
) -> ResizePlan:
    used = {node.id: Bytes(used_mib * 2**20) for node in instance.nodes}
    return plan_resize(instance, ResizeWish(flavor, gb, **wish), FLAVORS, used, databases)


def leaving(instance: Instance, planned: ResizePlan) -> list[Node]:
    return [node for node in instance.nodes if node.id in planned.leaving]


def test_a_bigger_size_changes_limits_only():
    planned = plan(instance_of(HA.format("r2"), 1), "redis.ha.xu1.large.r2.4", 4)
    assert (planned.kind, planned.flavor.capacity_gb, planned.places, planned.leaving) == (
        Kind.CAPACITY,
        4,
        (),
        (),
    )


def test_a_smaller_size_must_leave_room_for_the_data():
    instance = instance_of("redis.ha.xu1.large.r2.4", 4)
    assert plan(instance, HA.format("r2"), 1, used_mib=700).kind is Kind.CAPACITY
    with pytest.raises(errors.InvalidCapacity, match=r"127\.64\.0\.10 uses 800 MiB"):
        plan(instance, HA.format("r2"), 1, used_mib=800)


def test_new_replicas_go_to_the_zones_that_have_fewest():
    instance = instance_of(HA.format("r2"), 1)
    planned = plan(instance, HA.format("r5"), 1, change_type="createReplication", zones=("az2", "az3"))
    assert planned.kind is Kind.ADD_REPLICAS
    assert [(place.shard, place.ordinal, place.zone) for place in planned.places] == [
        (0, 2, "az3"),
        (0, 3, "az2"),
        (0, 4, "az3"),
    ]


def test_each_shard_of_a_cluster_gets_its_new_replica():
    instance = instance_of(CLUSTER.format("r1", 4), 4, ("az1", "az2", "az3"))
    planned = plan(instance, CLUSTER.format("r2", 4), 4, change_type="createReplication")
    zones = {node.shard: node.zone for node in instance.nodes}
    assert [place.shard for place in planned.places] == [0, 1, 2]
    assert all(place.zone != zones[place.shard] for place in planned.places)


@pytest.mark.parametrize("by", ["id", "address"])
def test_a_replica_is_named_by_its_id_or_its_address(by: str):
    instance = instance_of(HA.format("r3"), 1)
    named = instance.nodes[1]
    planned = plan(instance, HA.format("r2"), 1, change_type="deleteReplication", node_list=(getattr(named, by),))
    assert (planned.kind, leaving(instance, planned)) == (Kind.REMOVE_REPLICAS, [named])


def test_addresses_to_keep_choose_the_replica_that_goes():
    instance = instance_of(HA.format("r3"), 1)
    kept = instance.nodes[2].address
    planned = plan(instance, HA.format("r2"), 1, change_type="deleteReplication", reserved_ip=(f"{kept}:6379",))
    assert leaving(instance, planned) == [instance.nodes[1]]


def test_a_cluster_gives_up_one_replica_of_each_shard():
    instance = instance_of(CLUSTER.format("r3", 4), 4, ("az1", "az2", "az3"))
    planned = plan(instance, CLUSTER.format("r2", 4), 4, change_type="deleteReplication", zones=("az1", "az2"))
    gone = leaving(instance, planned)
    masters = {shard.master.id for shard in shards_of(instance)}
    assert [node.shard for node in gone] == [0, 1, 2]
    assert {node.zone for node in gone} <= {"az1", "az2"}
    assert not masters & {node.id for node in gone}


def test_new_shards_come_whole_and_spread():
    instance = instance_of(CLUSTER.format("r2.s8", 24), 24)
    planned = plan(instance, CLUSTER.format("r2.s8", 32), 32, change_type="addSharding")
    assert planned.kind is Kind.ADD_SHARDS
    assert [(place.shard, place.ordinal) for place in planned.places] == [(3, 0), (3, 1)]
    assert len({place.zone for place in planned.places}) == 2


@pytest.mark.parametrize(
    ("reserved", "gone"),
    [((), {3}), (("127.64.0.10", "127.64.0.13", "127.64.0.16"), {2})],
    ids=["oldest", "named"],
)
def test_shards_that_are_not_kept_go_whole(reserved: tuple[str, ...], gone: set[int]):
    instance = instance_of(CLUSTER.format("r2.s8", 32), 32)
    planned = plan(instance, CLUSTER.format("r2.s8", 24), 24, reserved_ip=reserved)
    assert planned.kind is Kind.REMOVE_SHARDS
    assert {node.shard for node in leaving(instance, planned)} == gone
    assert len(planned.leaving) == 2


def test_a_proxy_cluster_grows_and_shrinks_by_whole_shards():
    instance = instance_of(PROXY.format(24), 24)
    grown = plan(instance, PROXY.format(32), 32, change_type="addSharding")
    assert (grown.kind, [(place.shard, place.ordinal) for place in grown.places]) == (
        Kind.ADD_SHARDS,
        [(3, 0), (3, 1)],
    )
    shrunk = plan(instance_of(PROXY.format(32), 32), PROXY.format(24), 24)
    assert (shrunk.kind, len(shrunk.leaving)) == (Kind.REMOVE_SHARDS, 2)


def test_read_write_splitting_takes_replicas_and_gives_them_up_one_at_a_time():
    instance = instance_of(SPLIT.format(3), 1)
    assert plan(instance, SPLIT.format(6), 1, change_type="createReplication").kind is Kind.ADD_REPLICAS
    named = instance.nodes[1]
    planned = plan(instance, SPLIT.format(2), 1, change_type="deleteReplication", node_list=(named.id,))
    assert leaving(instance, planned) == [named]
    with pytest.raises(errors.MasterNotDeletable):
        plan(instance, SPLIT.format(2), 1, change_type="deleteReplication", node_list=(instance.nodes[0].id,))


def test_the_last_replica_that_is_read_from_stays():
    instance = instance_of(SPLIT.format(3), 1)
    nodes = tuple(replace(node, in_domain_name=node is not instance.nodes[2]) for node in instance.nodes)
    with pytest.raises(errors.LastReplicaAddress):
        plan(
            replace(instance, nodes=nodes),
            SPLIT.format(2),
            1,
            change_type="deleteReplication",
            node_list=(instance.nodes[1].id,),
        )


def test_fewer_shards_must_have_room_for_all_data():
    instance = instance_of(CLUSTER.format("r2.s8", 32), 32)
    with pytest.raises(errors.InvalidCapacity, match="in use"):
        plan(instance, CLUSTER.format("r2.s8", 24), 24, used_mib=5000)


HA_3, CLUSTER_3 = instance_of(HA.format("r3"), 1), instance_of(CLUSTER.format("r2.s8", 32), 32)
OUT_OF_NAME = replace(HA_3, nodes=(*HA_3.nodes[:2], replace(HA_3.nodes[2], in_domain_name=False)))


@pytest.mark.parametrize(
    ("instance", "flavor", "gb", "wish", "error", "named"),
    [
        pytest.param(HA_3, "redis.none", 1, {}, errors.InvalidSpecCode, "spec_code", id="no flavor"),
        pytest.param(HA_3, HA.format("r3"), 2, {}, errors.InvalidCapacity, "new_capacity", id="not its capacity"),
        pytest.param(HA_3, HA.format("r3"), 1, {}, errors.InvalidSpecCode, "spec_code", id="the same"),
        pytest.param(
            HA_3, CLUSTER.format("r2", 4), 4, {}, errors.InstanceTypeUnchangeable, "spec_code", id="another type"
        ),
        pytest.param(
            HA_3,
            "redis.ha.xu1.large.p3.1",
            1,
            TO_ANOTHER,
            errors.EngineVersionNotSupported,
            "spec_code",
            id="version",
        ),
        pytest.param(
            HA_3,
            SINGLE,
            1,
            TO_ANOTHER,
            errors.InstanceTypeUnchangeable,
            "spec_code",
            id="single",
        ),
        pytest.param(
            instance_of(SINGLE, 1, ("az1",)),
            HA.format("r2"),
            1,
            {},
            errors.InstanceTypeUnchangeable,
            "spec_code",
            id="type unsaid",
        ),
        pytest.param(
            HA_3,
            HA.format("r2"),
            1,
            TO_ANOTHER,
            errors.InstanceTypeUnchangeable,
            "spec_code",
            id="the same type",
        ),
        pytest.param(
            HA_3, "redis.ha.au1.large.r3.2", 2, {}, errors.InvalidSpecCode, "spec_code", id="another processor"
        ),
        pytest.param(
            HA_3,
            HA.format("r4"),
            1,
            {"change_type": "more"},
            errors.InvalidParameter,
            "change_type",
            id="no such change",
        ),
        pytest.param(HA_3, HA.format("r4"), 1, {}, errors.InvalidParameter, "change_type", id="replicas unsaid"),
        pytest.param(
            HA_3,
            "redis.ha.xu1.large.r4.2",
            2,
            {"change_type": "createReplication"},
            errors.InvalidCapacity,
            "new_capacity",
            id="replicas and capacity",
        ),
        pytest.param(
            HA_3,
            "redis.ha.xu1.large.r3.2",
            2,
            {"change_type": "createReplication"},
            errors.InvalidSpecCode,
            "spec_code",
            id="as many replicas",
        ),
        pytest.param(
            HA_3,
            HA.format("r2"),
            1,
            {"change_type": "deleteReplication"},
            errors.InvalidNodeList,
            "node_list",
            id="which replica",
        ),
        pytest.param(
            HA_3,
            HA.format("r2"),
            1,
            {"change_type": "deleteReplication", "node_list": ("nobody",)},
            errors.InvalidNodeList,
            "node_list",
            id="no such node",
        ),
        pytest.param(
            HA_3,
            HA.format("r2"),
            1,
            {"change_type": "deleteReplication", "node_list": (HA_3.nodes[0].id,)},
            errors.MasterNotDeletable,
            "node_list",
            id="the master",
        ),
        pytest.param(
            HA_3,
            HA.format("r2"),
            1,
            {"change_type": "deleteReplication", "zones": ("az3",)},
            errors.NotReplica,
            "shard 0",
            id="no replica in that zone",
        ),
        pytest.param(
            OUT_OF_NAME,
            HA.format("r2"),
            1,
            {"change_type": "deleteReplication", "node_list": (HA_3.nodes[1].id,)},
            errors.LastReplicaAddress,
            "node_list",
            id="the last that the name has",
        ),
        pytest.param(
            CLUSTER_3,
            CLUSTER.format("r2.s8", 24),
            24,
            {"reserved_ip": ("10.0.0.1",)},
            errors.InvalidParameter,
            "reserved_ip",
            id="no address of it",
        ),
        pytest.param(
            CLUSTER_3,
            CLUSTER.format("r2.s8", 24),
            24,
            {"reserved_ip": ("127.64.0.10", "127.64.0.11")},
            errors.InvalidParameter,
            "reserved_ip",
            id="addresses of one shard",
        ),
        pytest.param(
            CLUSTER_3,
            CLUSTER.format("r2.s8", 24),
            24,
            {"change_type": "addSharding"},
            errors.InvalidParameter,
            "change_type",
            id="fewer is not more",
        ),
        pytest.param(
            CLUSTER_3,
            CLUSTER.format("r1.s8", 32),
            32,
            {"change_type": "deleteReplication", "zones": ("az3",)},
            errors.NotReplica,
            "shard",
            id="no replicas there",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_code(
    instance: Instance, flavor: str, gb: float, wish: dict[str, Any], error: type[errors.ServiceError], named: str
):
    with pytest.raises(error) as refusal:
        plan(instance, flavor, gb, **wish)
    assert type(refusal.value) is error
    assert str(refusal.value.detail).startswith(named)


def test_a_single_node_makes_way_for_a_master_and_its_standby():
    instance = instance_of(SINGLE, 1, ("az1",))
    planned = plan(instance, HA.format("r2"), 1, change_type="instanceType", zones=("az2",))
    assert planned.kind is Kind.STANDBY
    assert [(place.ordinal, place.zone) for place in planned.places] == [(1, "az1"), (2, "az2")]
    assert leaving(instance, planned) == list(instance.nodes)


@pytest.mark.parametrize(
    ("before", "after"), [(HA.format("r2"), SPLIT.format(2)), (SPLIT.format(3), HA.format("r3"))]
)
def test_proxies_come_and_go_before_the_same_nodes(before: str, after: str):
    instance = instance_of(before, 1, version="6.0")
    planned = plan(instance, after, 1, databases=(0, 7), **TO_ANOTHER)
    assert (planned.kind, planned.places, planned.leaving) == (Kind.ADDRESS, (), ())


@pytest.mark.parametrize(
    "instance",
    [
        pytest.param(
            instance_of(HA.format("r2"), 1, version="6.0", rename_commands={"keys": "kkeys"}), id="names"
        ),
        pytest.param(instance_of(SPLIT.format(2), 1, version="6.0", port=6400), id="port"),
        pytest.param(instance_of(HA.format("r3"), 1, version="6.0"), id="replicas"),
    ],
)
def test_nodes_that_cannot_be_those_of_the_new_type_are_replaced(instance: Instance):
    after = HA.format("r2") if instance.mode is Mode.HA_RW_SPLIT else SPLIT.format(2)
    planned = plan(instance, after, 1, databases=(0, 7), **TO_ANOTHER)
    assert planned.kind is Kind.NODES
    assert leaving(instance, planned) == list(instance.nodes)
    assert [(place.shard, place.ordinal) for place in planned.places] == [(1, 0), (1, 1)]


@pytest.mark.parametrize("before", [HA.format("r2"), SPLIT.format(2)])
def test_shards_come_beside_the_nodes_that_go_and_free_their_places(before: str):
    instance = instance_of(before, 1, version="5.0")
    planned = plan(instance, "redis.proxy.xu1.large.4", 4, **TO_ANOTHER)
    assert planned.kind is Kind.NODES
    assert [place.shard for place in planned.places] == [1, 1, 2, 2, 3, 3]
    assert {place.zone for place in planned.places} == {"az1", "az2"}

    nodes = [
        replace(node, shard=1 + number // 2)
        for number, node in enumerate(instance_of("redis.proxy.xu1.large.4", 4, version="5.0").nodes)
    ]
    back = plan(
        replace(instance_of("redis.proxy.xu1.large.4", 4, version="5.0"), nodes=tuple(nodes)),
        before,
        1,
        **TO_ANOTHER,
    )
    assert [(place.shard, place.ordinal) for place in back.places] == [(0, 0), (0, 1)]


def test_data_of_several_databases_does_not_fit_a_proxy_cluster():
    instance = instance_of(HA.format("r2"), 1, version="6.0")
    with pytest.raises(errors.InstanceTypeUnchangeable, match="one database"):
        plan(instance, "redis.proxy.xu1.large.4", 4, databases=(0, 3), **TO_ANOTHER)


def test_the_data_of_all_shards_must_fit_one():
    instance = instance_of("redis.proxy.xu1.large.4", 4, version="6.0")
    assert plan(instance, SPLIT.format(2), 1, used_mib=200, **TO_ANOTHER).kind is Kind.NODES
    with pytest.raises(errors.InvalidCapacity, match="750 MiB are in use"):
        plan(instance, SPLIT.format(2), 1, used_mib=250, **TO_ANOTHER)


def test_only_what_is_more_has_to_be_promised_besides():
    small, large = FLAVORS.get(HA.format("r2"), 1), FLAVORS.get("redis.ha.xu1.large.r2.4", 4)
    for before, after in ((small, large), (large, small)):
        assert memory_meanwhile(before, ResizePlan(Kind.CAPACITY, after)) == large.promised_memory


def test_nodes_that_take_the_place_of_others_run_beside_them():
    before, after = FLAVORS.get(HA.format("r2"), 1), FLAVORS.get("redis.proxy.xu1.large.4", 4)
    assert memory_meanwhile(before, ResizePlan(Kind.NODES, after)) == 2 * 1024 + 2 * 4096


@pytest.mark.parametrize(
    ("window", "now", "opens"),
    [
        (("18:00:00", "19:00:00"), at(1, 12, 5), at(1, 18)),
        (("18:00:00", "19:00:00"), at(1, 18, 30), at(1, 18, 30)),
        (("18:00:00", "19:00:00"), at(1, 19, 0), at(2, 18)),
        (("22:00:00", "02:00:00"), at(1, 1, 59), at(1, 1, 59)),
        (("22:00:00", "02:00:00"), at(1, 2, 0), at(1, 22)),
    ],
    ids=["later today", "open", "just closed", "over midnight", "closed after midnight"],
)
def test_the_window_opens(window: tuple[str, str], now: datetime, opens: datetime):
    assert next_opening(*window, now) == opens


@given(st.integers(0, 23), st.sampled_from([1, 4]), st.integers(0, 60 * 24 * 400))
def test_a_window_opens_within_a_day_and_stays_open_then(begin: int, hours: int, minutes: int):
    now = NOW + timedelta(minutes=minutes)
    window = (f"{begin:02}:00:00", f"{(begin + hours) % 24:02}:00:00")
    opens = next_opening(*window, now)
    assert now <= opens
    assert (opens - now).total_seconds() < 24 * 3600
    assert next_opening(*window, opens) == opens
