"""Proxy Cluster and read/write splitting over real nodes and proxies: what the API says of them, and what changes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import redis
from contract import MISSING, departures
from huaweicloudsdkdcs import v2 as sdk
from installation import PASSWORD, PROXY, SPLIT, Installation, client_of, eventually
from redis.backoff import NoBackoff
from redis.retry import Retry
from refusals import check_refused

KINDS = ["clustered", "split"]
NEW_PASSWORD = "An0ther-word"


@pytest.fixture(scope="module")
def api(installation: Installation) -> Iterator[httpx.Client]:
    """A client with a token."""
    with installation.http() as client:
        yield client


@pytest.fixture(scope="module")
def clustered(installation: Installation) -> dict[str, Any]:
    """A Proxy Cluster of three shards of two nodes."""
    return installation.create("proxied", PROXY, capacity=4)


@pytest.fixture(scope="module")
def split(installation: Installation) -> dict[str, Any]:
    """A master with two replicas that are read from."""
    return installation.create("split", "redis.ha.xu1.large.p3.1", capacity=1)


@pytest.fixture
def proxied(request: pytest.FixtureRequest) -> dict[str, Any]:
    """One of them."""
    found: dict[str, Any] = request.getfixturevalue(request.param)
    return found


both = pytest.mark.parametrize("proxied", KINDS, indirect=True)


def nodes_of(installation: Installation, instance: dict[str, Any], role: str) -> list[sdk.NodesInfoResp]:
    request = sdk.ShowNodesInformationRequest(instance_id=instance["instance_id"])
    return [one for one in installation.sdk().show_nodes_information(request).nodes if one.node_role == role]


def can_be_used(instance: dict[str, Any], password: str | None = PASSWORD) -> bool:
    """Keys of every shard are written and read, through whichever proxy."""
    for number in range(20):
        with client_of(instance, password, socket_timeout=5) as client:
            assert client.set(f"used-{number}", number)
            assert eventually(lambda client=client, number=number: client.get(f"used-{number}") == str(number))
    return True


def test_what_a_proxy_cluster_is(installation: Installation, clustered: dict[str, Any]):
    assert {name: clustered[name] for name in ("cache_mode", "sharding_count", "replica_count", "db_number")} == {
        "cache_mode": "proxy", "sharding_count": 3, "replica_count": 2, "db_number": 1,
    }  # fmt: skip
    assert "," not in clustered["ip"]
    assert clustered["readonly_domain_name"] is None
    assert can_be_used(clustered)


def test_what_read_write_splitting_is(installation: Installation, split: dict[str, Any]):
    assert {name: split[name] for name in ("cache_mode", "sharding_count", "replica_count", "db_number")} == {
        "cache_mode": "ha_rw_split", "sharding_count": 1, "replica_count": 3, "db_number": 256,
    }  # fmt: skip
    assert split["readonly_domain_name"] is None
    assert can_be_used(split)


@pytest.mark.parametrize(
    ("proxied", "nodes", "proxies"), [("clustered", 6, 3), ("split", 3, 2)], indirect=["proxied"]
)
def test_proxies_are_listed_beside_the_nodes(
    installation: Installation, api: httpx.Client, proxied: dict[str, Any], nodes: int, proxies: int
):
    listed = nodes_of(installation, proxied, "redis-proxy")
    servers = nodes_of(installation, proxied, "redis-server")
    assert (len(servers), len(listed)) == (nodes, proxies)
    addresses = {one.node_ip for one in (*servers, *listed)}
    assert len(addresses) == nodes + proxies
    assert proxied["ip"] not in addresses
    for one in listed:
        assert (one.node_type, one.status, one.name) == ("proxy", "Active", f"(proxy){one.node_ip}")
        assert (one.group_id, one.group_name, one.replication_id, one.is_access) == ("", "", None, False)
        assert [dimension.name for dimension in one.dimensions] == ["dcs_instance_id", "dcs_cluster_proxy2_node"]
    groups = api.get(f"/instance/{proxied['instance_id']}/groups").json()
    grouped = [one["node_id"] for group in groups["group_list"] for one in group["replication_list"]]
    assert sorted(grouped) == sorted(one.node_id for one in servers)
    pids = installation.node_pids(proxied["instance_id"])
    assert {one.node_ip for one in (*servers, *listed)} == set(pids)


@both
def test_nobody_goes_around_the_proxies(installation: Installation, proxied: dict[str, Any]):
    for one in (*nodes_of(installation, proxied, "redis-server"), *nodes_of(installation, proxied, "redis-proxy")):
        there = {"ip": one.node_ip, "port": int(one.node_port)}
        for password in (PASSWORD, None):
            client = client_of(there, password, protocol=2, retry=Retry(NoBackoff(), 0))
            with client, pytest.raises(redis.RedisError):
                client.get("used-1")


@both
def test_the_password_is_the_proxies(installation: Installation, api: httpx.Client, proxied: dict[str, Any]):
    path = f"/instances/{proxied['instance_id']}/password"
    answer = api.put(path, json={"old_password": PASSWORD, "new_password": NEW_PASSWORD})
    assert answer.json()["result"] == "success", answer.text
    assert can_be_used(proxied, NEW_PASSWORD)
    with client_of(proxied, PASSWORD, protocol=2) as client, pytest.raises(redis.RedisError):
        client.get("used-1")

    assert api.post(f"{path}/reset", json={"no_password_access": True}).json()["code"] == "1"
    assert can_be_used(proxied, None)
    assert api.post(f"{path}/reset", json={"new_password": PASSWORD}).json()["code"] == "1"
    assert can_be_used(proxied)


@both
def test_the_port_is_the_proxies(installation: Installation, api: httpx.Client, proxied: dict[str, Any]):
    path = f"/instances/{proxied['instance_id']}"
    before = {one.node_ip: one.node_port for one in nodes_of(installation, proxied, "redis-server")}
    for port in (7001, proxied["port"]):
        assert api.put(path, json={"port": port}).status_code == 204
        moved = installation.wait(proxied["instance_id"])
        assert (moved["port"], moved["ip"]) == (port, proxied["ip"])
        assert can_be_used(moved)
    assert {one.node_ip: one.node_port for one in nodes_of(installation, proxied, "redis-server")} == before
    with client_of({**proxied, "port": 7001}) as client, pytest.raises(redis.ConnectionError):
        client.ping()


@both
def test_a_restart_keeps_what_was_written(installation: Installation, api: httpx.Client, proxied: dict[str, Any]):
    with client_of(proxied) as client:
        client.set("kept", "yes")
    before = installation.node_pids(proxied["instance_id"])
    for action in ("restart", "soft_restart"):
        body = {"action": action, "instances": [proxied["instance_id"]]}
        assert api.put("/instances/status", json=body).json()["results"][0]["result"] == "success"
        installation.wait(proxied["instance_id"])
    after = installation.node_pids(proxied["instance_id"])
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())
    with client_of(proxied) as client:
        assert eventually(lambda: client.get("kept") == "yes")


@both
def test_flushing_leaves_no_key(installation: Installation, api: httpx.Client, proxied: dict[str, Any]):
    assert can_be_used(proxied)
    body = {"action": "flush", "instances": [proxied["instance_id"]]}
    assert api.put("/instances/status", json=body).json()["results"][0]["result"] == "success"
    installation.wait(proxied["instance_id"])
    with client_of(proxied) as client:
        assert eventually(lambda: [client.get(f"used-{number}") for number in range(20)] == [None] * 20)


@both
def test_figures_are_those_of_the_masters(installation: Installation, api: httpx.Client, proxied: dict[str, Any]):
    assert can_be_used(proxied)
    figures = {one["instance_id"]: one for one in api.get("/instances/statistic").json()["statistics"]}
    assert figures[proxied["instance_id"]]["keys"] >= 20


def test_a_shard_of_a_proxy_cluster_is_switched(
    installation: Installation, api: httpx.Client, clustered: dict[str, Any]
):
    one = f"/instance/{clustered['instance_id']}/groups"
    group = api.get(one).json()["group_list"][1]
    _, replica = group["replication_list"]
    path = f"{one}/{group['group_id']}/replications/{replica['node_id']}/async-switchover"
    assert api.post(path).status_code == 200
    installation.wait(clustered["instance_id"])
    assert api.get(one).json()["group_list"][1]["replication_list"][0]["node_id"] == replica["node_id"]
    assert can_be_used(clustered)
    check_refused(api.post(f"/instances/{clustered['instance_id']}/swap"), "DCS.4855")


def test_read_write_splitting_is_switched_as_a_whole(
    installation: Installation, api: httpx.Client, split: dict[str, Any]
):
    masters = []
    for _ in range(2):
        assert api.post(f"/instances/{split['instance_id']}/swap").status_code == 204
        masters += [
            one.node_id for one in nodes_of(installation, split, "redis-server") if one.node_type == "master"
        ]
        assert can_be_used(split)
    assert len(set(masters)) == 2
    group = api.get(f"/instance/{split['instance_id']}/groups").json()["group_list"][0]
    path = f"/instance/{split['instance_id']}/groups/{group['group_id']}/replications"
    replica = group["replication_list"][1]["node_id"]
    check_refused(api.post(f"{path}/{replica}/async-switchover"), "DCS.4855")


def replica_path(installation: Installation, instance: dict[str, Any]) -> str:
    replica = next(one for one in nodes_of(installation, instance, "redis-server") if one.node_type == "slave")
    return f"/instances/{instance['instance_id']}/groups/{replica.group_id}/replications/{replica.node_id}"


def test_priorities_are_for_read_write_splitting(
    installation: Installation, api: httpx.Client, clustered: dict[str, Any], split: dict[str, Any]
):
    body = {"slave_priority_weight": 7}
    check_refused(api.post(replica_path(installation, clustered) + "/slave-priority", json=body), "DCS.4027")
    assert api.post(replica_path(installation, split) + "/slave-priority", json=body).status_code == 204
    assert {one.priority_weight for one in nodes_of(installation, split, "redis-server")} == {7, 100}


def test_a_replica_is_read_from_no_more(
    installation: Installation, api: httpx.Client, clustered: dict[str, Any], split: dict[str, Any]
):
    check_refused(api.delete(replica_path(installation, clustered) + "/remove-ip"), "DCS.4840")
    path = replica_path(installation, split)
    assert api.delete(path + "/remove-ip").status_code == 200
    installation.wait(split["instance_id"])
    [removed] = [one for one in nodes_of(installation, split, "redis-server") if one.is_remove_ip]
    assert removed.node_id in path
    assert can_be_used(split)


@both
def test_commands_are_renamed_at_the_proxies(
    installation: Installation, api: httpx.Client, proxied: dict[str, Any]
):
    path = f"/instances/{proxied['instance_id']}"
    for renames in ({"keys": "kkeys"}, {}):
        assert api.put(path, json={"rename_commands": renames}).status_code == 204
        installation.wait(proxied["instance_id"])
        assert can_be_used(proxied)


@pytest.mark.parametrize(("flavor", "gb"), [(PROXY, 4), (SPLIT, 1)])
def test_what_is_deleted_leaves_nothing(installation: Installation, api: httpx.Client, flavor: str, gb: float):
    made = installation.create("short-lived", flavor, capacity=gb, private_ip=free_address(installation))
    pids = installation.node_pids(made["instance_id"])
    assert api.delete(f"/instances/{made['instance_id']}").status_code == 204
    installation.wait_gone(made["instance_id"])
    assert installation.node_pids(made["instance_id"]) == {}
    assert not set(pids.values()) & {process.pid for process in installation.node_processes()}
    with contextlib.suppress(redis.ConnectionError), client_of(made, socket_timeout=1) as client:
        assert not client.ping()


def free_address(installation: Installation) -> str:
    return installation.subnet.rsplit(".", 1)[0] + ".250"


@pytest.mark.skipif(bool(MISSING), reason=MISSING)
@both
def test_answers_are_what_the_contract_says(api: httpx.Client, proxied: dict[str, Any]):
    one = f"/instances/{proxied['instance_id']}"
    for path, schema in (
        (one, "ShowInstanceResponse"),
        (f"/instances?instance_id={proxied['instance_id']}", "ListInstancesResponse"),
        (f"{one}/logical-nodes", "ShowNodesInformationResponse"),
        ("/instances-logical-nodes?limit=100", "BatchShowNodesInformationResponse"),
        (f"/instance/{proxied['instance_id']}/groups", "ListGroupReplicationInfoResponse"),
        (f"{one}/version", "ShowInstanceVersionResponse"),
    ):
        assert list(departures(api.get(path).json(), schema, path)) == []
