"""A cluster from its order to its removal, through the official SDK and redis-py's cluster client."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import redis
from installation import CLUSTER, PASSWORD, Installation, client_of, eventually
from redis.cluster import ClusterNode, RedisCluster
from witnesses import agreed, assert_nothing_is_left_over

sys.path.insert(0, str(Path(__file__).parent.parent / "clients"))

from callers import Call, sdk_caller

OTHER_PASSWORD = "An0ther-word"
KEYS = 500


@pytest.fixture(scope="module")
def call(installation: Installation) -> Call:
    """The vendor's SDK."""
    return sdk_caller(installation)


@pytest.fixture(scope="module")
def cluster(installation: Installation, call: Call) -> dict[str, Any]:
    """Made by the SDK."""
    zones = ["local-1a", "local-1b"]
    made = call("create_instance", installation.order("whole-life", CLUSTER, capacity=4, az_codes=zones))
    return installation.wait(made.instances[0].instance_id)


def connect(instance: dict[str, Any], password: str = PASSWORD) -> RedisCluster:
    nodes = [ClusterNode(address, instance["port"]) for address in instance["ip"].split(",")]
    return RedisCluster(startup_nodes=nodes, password=password, decode_responses=True)


def settled(installation: Installation, instance: dict[str, Any]) -> dict[str, Any]:
    """The instance once nothing is being done to it, and every view of it agrees."""
    instance_id = instance["instance_id"]

    def look() -> dict[str, Any] | None:
        seen = installation.show(instance_id)
        return seen if seen and seen["status"] == "RUNNING" and not seen["task"] else None

    now = eventually(look, 60)
    eventually(lambda: agreed(installation, now), 60)
    return now


def test_it_is_spread_over_the_zones_and_takes_writes_everywhere(
    installation: Installation, cluster: dict[str, Any]
):
    nodes = agreed(installation, cluster)
    assert sorted(cluster["ip"].split(",")) == sorted(node.address for node in nodes)
    assert (len(nodes), len({node.group for node in nodes})) == (6, 3)
    with installation.http() as api:
        groups = api.get(f"/instance/{cluster['instance_id']}/groups").json()["group_list"]
    for group in groups:
        zones = [one["az_code"] for one in group["replication_list"]]
        assert len(set(zones)) == len(zones), "no master and replica of a shard in one zone"
    with connect(cluster) as client:
        for number in range(KEYS):
            assert client.set(f"key:{number}", number)
        assert client.dbsize(target_nodes=RedisCluster.PRIMARIES) == KEYS
        assert [client.get(f"key:{number}") for number in range(KEYS)] == [str(number) for number in range(KEYS)]


def test_its_figures_are_those_of_all_shards(installation: Installation, cluster: dict[str, Any], call: Call):
    [figures] = [
        one
        for one in call("list_statistics_of_running_instances").statistics
        if one.instance_id == cluster["instance_id"]
    ]
    assert int(figures.keys) == KEYS
    assert int(figures.max_memory) == 4096
    shown = eventually(lambda: (s := installation.show(cluster["instance_id"])) and s["used_memory"] and s)
    assert shown["max_memory"] == 4096
    with connect(cluster) as client:
        used = sum(
            one["used_memory"] for one in client.info("memory", target_nodes=RedisCluster.PRIMARIES).values()
        )
    assert abs(shown["used_memory"] - used // 2**20) <= 8


def test_a_restart_keeps_its_data(installation: Installation, cluster: dict[str, Any], call: Call):
    body = {"instances": [cluster["instance_id"]], "action": "restart"}
    before = installation.node_pids(cluster["instance_id"])
    assert call("restart_or_flush_instances", body).results[0].result == "success"
    settled(installation, cluster)
    after = installation.node_pids(cluster["instance_id"])
    assert before.keys() == after.keys()
    assert not {*before.values()} & {*after.values()}
    with connect(cluster) as client:
        assert client.dbsize(target_nodes=RedisCluster.PRIMARIES) == KEYS


def test_another_password_is_in_force_on_every_node(
    installation: Installation, cluster: dict[str, Any], call: Call
):
    call("reset_password", {"new_password": OTHER_PASSWORD}, instance_id=cluster["instance_id"])
    settled_with = [
        client_of({"ip": address, "port": cluster["port"]}, OTHER_PASSWORD) for address in cluster["ip"].split(",")
    ]
    assert all(client.ping() for client in settled_with)
    with pytest.raises(redis.AuthenticationError):
        client_of({"ip": cluster["ip"].split(",")[-1], "port": cluster["port"]}).ping()
    call("reset_password", {"new_password": PASSWORD}, instance_id=cluster["instance_id"])


def test_another_port_loses_nothing(installation: Installation, cluster: dict[str, Any], call: Call):
    call("update_instance", {"port": 6400}, instance_id=cluster["instance_id"])
    eventually(lambda: (installation.show(cluster["instance_id"]) or {})["port"] == 6400)
    moved = settled(installation, cluster)
    with connect(moved) as client:
        assert client.dbsize(target_nodes=RedisCluster.PRIMARIES) == KEYS
        assert client.set("moved", "yes")
    # Whatever was remembered of the old port, a node that ends comes back on the new one.
    call("restart_or_flush_instances", {"instances": [cluster["instance_id"]], "action": "restart"})
    settled(installation, moved)
    with connect(moved) as client:
        assert client.dbsize(target_nodes=RedisCluster.PRIMARIES) == KEYS + 1
    call("update_instance", {"port": cluster["port"]}, instance_id=cluster["instance_id"])
    eventually(lambda: (installation.show(cluster["instance_id"]) or {})["port"] == cluster["port"])
    settled(installation, cluster)


def test_renamed_commands_are_in_force_on_every_node(
    installation: Installation, cluster: dict[str, Any], call: Call
):
    call("update_instance", {"rename_commands": {"keys": "kkeys"}}, instance_id=cluster["instance_id"])
    eventually(lambda: (installation.show(cluster["instance_id"]) or {})["status"] != "RUNNING")
    settled(installation, cluster)
    for address in cluster["ip"].split(","):
        with client_of({"ip": address, "port": cluster["port"]}) as client:
            assert isinstance(client.execute_command("kkeys", "nothing*"), list)
            with pytest.raises(redis.ResponseError):
                client.keys("*")


def test_a_flush_empties_every_shard(installation: Installation, cluster: dict[str, Any], call: Call):
    call("restart_or_flush_instances", {"instances": [cluster["instance_id"]], "action": "flush"})
    settled(installation, cluster)
    with connect(cluster) as client:
        assert client.dbsize(target_nodes=RedisCluster.PRIMARIES) == 0


def test_a_switchover_of_the_whole_is_not_supported(cluster: dict[str, Any], installation: Installation):
    with installation.http() as api:
        answer = api.post(f"/instances/{cluster['instance_id']}/swap")
    assert (answer.status_code, answer.json()["error_code"]) == (400, "DCS.4855")


def test_nothing_is_left_when_it_is_gone(installation: Installation, cluster: dict[str, Any], call: Call):
    call("delete_single_instance", instance_id=cluster["instance_id"])
    installation.wait_gone(cluster["instance_id"])
    assert_nothing_is_left_over(installation)
