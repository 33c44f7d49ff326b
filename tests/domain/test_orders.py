"""Which orders can be had, and what is planned for them."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import pytest

from cachestead import errors
from cachestead.domain.flavors import parse_flavors
from cachestead.domain.instances import Mode, Role, State
from cachestead.domain.orders import (
    CheckedOrder,
    Headroom,
    Network,
    Order,
    Orderer,
    check_headroom,
    check_order,
    instance_names,
    plan_instances,
)
from cachestead.domain.sizes import MiB
from cachestead.domain.templates import SYSTEM_TEMPLATES

FLAVORS = parse_flavors(resources.files("cachestead.domain").joinpath("data/flavors.csv").read_text())
NETWORK = Network("vpc", "vpc-default", "subnet", "subnet-default", "group", "default", "127.64.0.0/16")
ZONES = ("az1", "az2", "az3")
SINGLE, HA, WIDE = "redis.single.xu1.tiny.128", "redis.ha.xu1.tiny.r2.128", "redis.ha.xu1.large.r5.1"
CLUSTER = "redis.cluster.xu1.large.r2.4"
PROXY, SPLIT = "redis.proxy.xu1.large.4", "redis.ha.xu1.large.p2.1"
NOW = datetime(2025, 5, 1, tzinfo=UTC)
POLICY = {
    "backup_type": "auto",
    "save_days": 1,
    "periodical_backup_plan": {"period_type": "weekly", "backup_at": [1], "begin_at": "00:00-01:00"},
}
GOOD = Order(
    name="test-instance",
    engine="Redis",
    engine_version="7.0",
    capacity_gb=0.125,
    spec_code=SINGLE,
    az_codes=("az1",),
    vpc_id="vpc",
    subnet_id="subnet",
    password="Passw0rd!x",
)


def check(**fields: Any) -> CheckedOrder:
    template = SYSTEM_TEMPLATES.get(fields.get("template_id") or "")
    return check_order(replace(GOOD, **fields), FLAVORS, NETWORK, ZONES, template)


def test_a_plain_order_gets_the_defaults():
    checked = check()
    assert (checked.port, checked.window) == (6379, ("18:00:00", "19:00:00"))
    assert (checked.backup_policy, checked.tags, checked.rename_commands) == (None, {}, {})


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"engine": "redis"}, id="engine in lower case"),
        pytest.param({"name": "a" * 56, "count": 100}, id="hundred with the longest name"),
        pytest.param({"password": None, "no_password_access": True}, id="without a password"),
        pytest.param({"password": "", "no_password_access": True}, id="with an empty password and none needed"),
        pytest.param({"private_ip": "127.64.0.9"}, id="address of its own"),
        pytest.param({"private_ip": ""}, id="empty address"),
        pytest.param({"security_group_id": "group"}, id="the security group"),
        pytest.param({"security_group_id": ""}, id="empty security group"),
        pytest.param({"template_id": ""}, id="empty template"),
        pytest.param({"template_id": "21"}, id="template"),
        pytest.param(
            {"spec_param": {"sharding_count": 1, "replica_count": 1, "cache_mode": "single"}}, id="shape"
        ),
        pytest.param({"spec_param": {"sharding_count": None}}, id="shape left open"),
        pytest.param({"port": 65535}, id="another port"),
        pytest.param({"spec_code": HA, "backup_policy": POLICY}, id="backup policy on master and standby"),
        pytest.param({"az_codes": ("az2", "az2")}, id="one zone twice"),
    ],
)
def test_a_good_order_can_be_had(fields: dict[str, Any]):
    assert check(**fields)


@pytest.mark.parametrize(
    ("fields", "error", "field"),
    [
        pytest.param({"count": 0}, errors.InvalidParameter, "instance_num", id="none"),
        pytest.param({"count": 101}, errors.InvalidParameter, "instance_num", id="too many"),
        pytest.param({"name": "abc"}, errors.InvalidName, "name", id="short name"),
        pytest.param({"name": "a" * 57, "count": 2}, errors.InvalidName, "name", id="no room for a number"),
        pytest.param({"description": "x" * 1025}, errors.InvalidDescription, "description", id="long description"),
        pytest.param({"engine": "Memcached"}, errors.EngineNotSupported, "engine", id="other engine"),
        pytest.param(
            {"engine_version": None}, errors.EngineVersionNotSupported, "engine_version", id="no version"
        ),
        pytest.param(
            {"engine_version": "3.0"}, errors.EngineVersionNotSupported, "engine_version", id="old version"
        ),
        pytest.param(
            {"engine_version": "7"}, errors.EngineVersionNotSupported, "engine_version", id="half a version"
        ),
        pytest.param({"capacity_gb": 0.2}, errors.InvalidCapacity, "capacity", id="no such size"),
        pytest.param({"capacity_gb": math.nan}, errors.InvalidCapacity, "capacity", id="no number"),
        pytest.param({"capacity_gb": -0.125}, errors.InvalidCapacity, "capacity", id="below nothing"),
        pytest.param({"capacity_gb": 1}, errors.InvalidCapacity, "capacity", id="size of another flavor"),
        pytest.param({"spec_code": "redis.single"}, errors.InvalidSpecCode, "spec_code", id="no such flavor"),
        pytest.param({"spec_code": ""}, errors.InvalidSpecCode, "spec_code", id="empty flavor"),
        pytest.param(
            {"spec_code": PROXY, "capacity_gb": 4},
            errors.EngineVersionNotSupported,
            "engine_version",
            id="type older",
        ),
        pytest.param(
            {"spec_param": {"replica_count": 2}},
            errors.InvalidSpecCode,
            "spec_param",
            id="shape of another flavor",
        ),
        pytest.param({"vpc_id": " "}, errors.InvalidVpcId, "vpc_id", id="blank vpc"),
        pytest.param({"vpc_id": "other"}, errors.VpcNotFound, "vpc_id", id="other vpc"),
        pytest.param({"subnet_id": ""}, errors.InvalidSubnetId, "subnet_id", id="empty subnet"),
        pytest.param({"subnet_id": "other"}, errors.SubnetNotInVpc, "subnet_id", id="other subnet"),
        pytest.param(
            {"security_group_id": "other"}, errors.SecurityGroupNotFound, "security_group_id", id="other group"
        ),
        pytest.param({"private_ip": "nonsense"}, errors.InvalidParameter, "private_ip", id="address is a word"),
        pytest.param({"private_ip": "10.0.0.1"}, errors.InvalidParameter, "private_ip", id="address elsewhere"),
        pytest.param({"private_ip": "127.64.0.0"}, errors.InvalidParameter, "private_ip", id="the network itself"),
        pytest.param({"private_ip": "127.64.255.255"}, errors.InvalidParameter, "private_ip", id="broadcast"),
        pytest.param({"private_ip": "::1"}, errors.InvalidParameter, "private_ip", id="IPv6"),
        pytest.param(
            {"private_ip": "127.64.0.9", "count": 2}, errors.InvalidParameter, "private_ip", id="two on one"
        ),
        pytest.param({"az_codes": ()}, errors.ZoneNotFound, "az_codes", id="no zone"),
        pytest.param({"az_codes": ("az9",)}, errors.ZoneNotFound, "az_codes", id="unknown zone"),
        pytest.param({"az_codes": ("az1", "az9")}, errors.ZoneNotFound, "az_codes", id="one unknown zone"),
        pytest.param(
            {"az_codes": ("az1", "az2")}, errors.InvalidParameter, "az_codes", id="more zones than nodes"
        ),
        pytest.param({"password": None}, errors.InvalidPassword, "password", id="no password"),
        pytest.param({"password": "weak"}, errors.WeakPassword, "password", id="weak password"),
        pytest.param({"no_password_access": True}, errors.InvalidPassword, "password", id="password for nothing"),
        pytest.param(
            {"maintain_begin": "18:00:00"}, errors.InvalidMaintenanceWindow, "maintain_begin", id="half a window"
        ),
        pytest.param(
            {"backup_policy": POLICY}, errors.BackupNotSupported, "instance_backup_policy", id="backup of one node"
        ),
        pytest.param(
            {"backup_policy": {"backup_type": "x"}},
            errors.InvalidBackupType,
            "instance_backup_policy",
            id="bad backup policy of one node",
        ),
        pytest.param({"template_id": "99"}, errors.InvalidParameter, "template_id", id="no such template"),
        pytest.param(
            {"template_id": "6"}, errors.InvalidParameter, "template_id", id="template of another version"
        ),
        pytest.param({"port": 0}, errors.InvalidParameter, "port", id="port 0"),
        pytest.param({"tags": [{"key": ""}]}, errors.InvalidParameter, "tags", id="tag without a key"),
        pytest.param(
            {"rename_commands": {"get": "xxxx"}}, errors.InvalidParameter, "rename_commands", id="bad rename"
        ),
    ],
)
def test_an_order_that_cannot_be_had_names_its_field(
    fields: dict[str, Any], error: type[errors.ServiceError], field: str
):
    with pytest.raises(error) as refusal:
        check(**fields)
    assert type(refusal.value) is error
    assert str(refusal.value.detail).startswith(field)


@pytest.mark.parametrize(
    ("flavor", "capacity", "wanted", "zones"),
    [
        pytest.param(SINGLE, 0.125, ("az2",), ["az2"], id="one node"),
        pytest.param(HA, 0.125, ("az1", "az3"), ["az1", "az3"], id="two zones"),
        pytest.param(HA, 0.125, ("az1",), ["az1", "az1"], id="both in one zone"),
        pytest.param(WIDE, 1, ("az3", "az1"), ["az3", "az1", "az3", "az1", "az3"], id="more nodes than zones"),
        pytest.param(
            CLUSTER,
            4,
            ("az1", "az2", "az3"),
            ["az1", "az2", "az2", "az3", "az3", "az1"],
            id="masters spread, no shard in one zone",
        ),
    ],
)
def test_nodes_are_spread_over_the_zones(flavor: str, capacity: float, wanted: tuple[str, ...], zones: list[str]):
    checked = check(spec_code=flavor, capacity_gb=capacity, az_codes=wanted)
    addresses = [f"127.64.0.{number}" for number in range(10, 10 + checked.addresses_per_instance)]
    [planned] = plan_instances(checked, Orderer("p", "u", "U"), IDS[:1], [addresses], NOW)
    assert [node.zone for node in planned.nodes] == zones


ROOM = Headroom(instances_used=0, instances_limit=3, ram_used_gb=0.0, ram_limit_gb=0.5, memory_free=MiB(1024))


@pytest.mark.parametrize(
    ("room", "count"),
    [
        pytest.param(ROOM, 3, id="all instances"),
        pytest.param(replace(ROOM, ram_used_gb=0.375), 1, id="the last memory of the quota"),
        pytest.param(replace(ROOM, memory_free=MiB(128)), 1, id="the last memory of the machine"),
    ],
)
def test_the_last_room_may_be_taken(room: Headroom, count: int):
    check_headroom(check(count=count), room)


@pytest.mark.parametrize(
    ("room", "count", "error"),
    [
        pytest.param(replace(ROOM, instances_used=3), 1, errors.QuotaLimitReached, id="nothing left"),
        pytest.param(replace(ROOM, instances_used=4), 1, errors.QuotaLimitReached, id="quota was lowered"),
        pytest.param(replace(ROOM, instances_used=1), 3, errors.InstanceQuotaExceeded, id="some left"),
        pytest.param(replace(ROOM, ram_used_gb=0.4), 1, errors.MemoryQuotaExceeded, id="memory quota"),
        pytest.param(replace(ROOM, memory_free=MiB(127)), 1, errors.ZoneQuotaExceeded, id="memory of the machine"),
        pytest.param(
            replace(ROOM, memory_free=MiB(-5)), 1, errors.ZoneQuotaExceeded, id="machine promised too much"
        ),
    ],
)
def test_an_order_beyond_the_room_is_refused(room: Headroom, count: int, error: type[errors.ServiceError]):
    with pytest.raises(error) as refusal:
        check_headroom(check(count=count), room)
    assert type(refusal.value) is error
    assert refusal.value.detail


def test_replicas_count_for_the_machine_but_not_for_the_quota():
    room = replace(ROOM, ram_limit_gb=0.125, memory_free=MiB(256))
    check_headroom(check(spec_code=HA), room)
    with pytest.raises(errors.ZoneQuotaExceeded):
        check_headroom(check(spec_code=HA), replace(room, memory_free=MiB(255)))


def test_several_instances_are_numbered_from_zero():
    assert instance_names("one", 1) == ["one"]
    assert instance_names("many", 3) == ["many-000", "many-001", "many-002"]
    assert max(len(name) for name in instance_names("a" * 56, 100)) == 60


IDS = ["1b671a64-40d5-491e-99b0-da01ff1f3341", "1b671a64-40d5-491e-99b0-da01ff1f3342"]


def test_a_single_instance_listens_on_the_address_of_its_node():
    checked = check(count=2)
    assert checked.addresses_per_instance == 1

    first, second = plan_instances(checked, Orderer("p", "u", "U"), IDS, [["127.64.0.9"], ["127.64.0.10"]], NOW)

    assert (first.name, second.name) == ("test-instance-000", "test-instance-001")
    assert first.ip == first.nodes[0].address == "127.64.0.9"
    assert [node.role for node in first.nodes] == [Role.MASTER]
    assert (first.state, first.mode, first.engine) == (State.CREATING, Mode.SINGLE, "Redis")
    assert first.nodes[0].id != second.nodes[0].id


def test_master_and_standby_share_an_address_that_is_neither_s():
    checked = check(spec_code=HA, az_codes=("az1", "az2"), port=7000)
    assert checked.addresses_per_instance == 3

    [planned] = plan_instances(
        checked, Orderer("p", "u", "U"), IDS[:1], [["127.64.0.9", "127.64.0.10", "127.64.0.11"]], NOW
    )

    assert planned.ip == "127.64.0.11"
    assert [(node.address, node.zone, node.role) for node in planned.nodes] == [
        ("127.64.0.9", "az1", Role.MASTER),
        ("127.64.0.10", "az2", Role.REPLICA),
    ]
    assert {node.port for node in planned.nodes} == {planned.port} == {7000}
    assert planned.az_codes == ("az1", "az2")


def test_a_cluster_is_reached_at_every_node():
    checked = check(spec_code=CLUSTER, capacity_gb=4)
    addresses = [f"127.64.0.{number}" for number in range(10, 16)]
    [planned] = plan_instances(checked, Orderer("p", "u", "U"), IDS[:1], [addresses], NOW)

    assert checked.addresses_per_instance == 6
    assert planned.ip == ",".join(addresses)
    assert [(node.shard, node.role) for node in planned.nodes] == [
        (shard, role) for shard in range(3) for role in (Role.MASTER, Role.REPLICA)
    ]
    assert len({node.id for node in planned.nodes}) == 6


def test_a_cluster_has_no_private_ip():
    with pytest.raises(errors.InvalidParameter, match="private_ip"):
        check(spec_code=CLUSTER, capacity_gb=4, private_ip="127.64.0.9")


def test_planning_twice_gives_the_same_nodes():
    checked = check()
    plans = [plan_instances(checked, Orderer("p", "u", "U"), IDS[:1], [["127.64.0.9"]], NOW) for _ in range(2)]
    assert plans[0] == plans[1]
