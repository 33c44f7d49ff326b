"""Chapter 4.3 and the switchover over real nodes, through the official SDK."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import dns.resolver
import httpx
import pytest
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkdcs import v2 as sdk
from installation import CLUSTER, HA, HA_3, Installation, client_of, eventually
from refusals import check_refused, look

UNKNOWN = str(uuid4())
SAME = ("node_id", "replication_id", "az_code", "status", "dimensions")
"""What a node is called in all lists."""


@pytest.fixture(scope="module")
def api(installation: Installation) -> Iterator[httpx.Client]:
    """A client with a token."""
    with installation.http() as client:
        yield client


@pytest.fixture(scope="module")
def client(installation: Installation) -> sdk.DcsClient:
    """The official client."""
    return installation.sdk()


@pytest.fixture(scope="module")
def single(installation: Installation) -> dict[str, Any]:
    """An instance of one node."""
    return installation.create("nodes-single")


@pytest.fixture(scope="module")
def pair(installation: Installation) -> dict[str, Any]:
    """An instance with one replica."""
    return installation.create("nodes-pair", HA)


@pytest.fixture(scope="module")
def three(installation: Installation) -> dict[str, Any]:
    """An instance with two replicas."""
    return installation.create("nodes-three", HA_3, capacity=1)


@pytest.fixture(scope="module")
def cluster(installation: Installation) -> dict[str, Any]:
    """Three shards with a replica each."""
    return installation.create("nodes-cluster", CLUSTER, capacity=4)


def nodes_of(client: sdk.DcsClient, instance: dict[str, Any]) -> list[sdk.NodesInfoResp]:
    request = sdk.ShowNodesInformationRequest(instance_id=instance["instance_id"])
    return list(client.show_nodes_information(request).nodes)


def master_of(client: sdk.DcsClient, instance: dict[str, Any]) -> sdk.NodesInfoResp:
    [master] = [node for node in nodes_of(client, instance) if node.node_type == "master"]
    return master


def replicas_of(client: sdk.DcsClient, instance: dict[str, Any]) -> list[sdk.NodesInfoResp]:
    return [node for node in nodes_of(client, instance) if node.node_type == "slave"]


def set_priority(client: sdk.DcsClient, instance: dict[str, Any], node: sdk.NodesInfoResp, weight: int) -> None:
    request = sdk.UpdateSlavePriorityRequest(
        instance_id=instance["instance_id"],
        group_id=node.group_id,
        node_id=node.node_id,
        body=sdk.PriorityBody(slave_priority_weight=weight),
    )
    assert client.update_slave_priority(request).status_code == 204


def remove_ip(client: sdk.DcsClient, instance: dict[str, Any], node: sdk.NodesInfoResp) -> str:
    request = sdk.DeleteIpFromDomainNameRequest(
        instance_id=instance["instance_id"], group_id=node.group_id, node_id=node.node_id
    )
    return str(client.delete_ip_from_domain_name(request).job_id)


def swap(client: sdk.DcsClient, instance: dict[str, Any]) -> None:
    request = sdk.ChangeMasterStandbyRequest(instance_id=instance["instance_id"])
    assert client.change_master_standby(request).status_code == 204


def role_at(node: sdk.NodesInfoResp) -> str:
    with client_of({"ip": node.node_ip, "port": int(node.node_port)}) as connection:
        return str(connection.info("replication")["role"])


def path_of(instance: dict[str, Any], node: sdk.NodesInfoResp) -> str:
    return f"/instances/{instance['instance_id']}/groups/{node.group_id}/replications/{node.node_id}"


@pytest.mark.parametrize(("kind", "shards", "nodes"), [("single", 1, 1), ("pair", 1, 2), ("cluster", 3, 6)])
def test_all_lists_tell_the_same_nodes(
    request: pytest.FixtureRequest, client: sdk.DcsClient, kind: str, shards: int, nodes: int
):
    instance = request.getfixturevalue(kind)
    asked = sdk.ListGroupReplicationInfoRequest(instance_id=instance["instance_id"])
    grouped = client.list_group_replication_info(asked)
    alone = client.show_nodes_information(sdk.ShowNodesInformationRequest(instance_id=instance["instance_id"]))
    everywhere = client.batch_show_nodes_information(sdk.BatchShowNodesInformationRequest(limit=100))
    [together] = [one for one in everywhere.instances if one.instance_id == instance["instance_id"]]

    assert (grouped.group_count, len(grouped.group_list), alone.total) == (shards, shards, nodes)
    assert together.node_count == nodes
    assert [one.to_dict() for one in together.nodes] == [one.to_dict() for one in alone.nodes]
    by_id = {node.node_id: node for node in alone.nodes}
    for number, group in enumerate(grouped.group_list):
        assert group.group_name == f"group-{number}"
        for listed, role in zip(group.replication_list, ["master", "slave"], strict=False):
            node = by_id.pop(listed.node_id)
            assert {name: getattr(listed, name) for name in SAME} == {name: getattr(node, name) for name in SAME}
            assert (listed.replication_role, listed.replication_ip) == (node.node_type, node.node_ip)
            assert (node.node_type, node.group_id, node.group_name) == (role, group.group_id, group.group_name)
            assert node.name == f"({'master' if role == 'master' else 'replica'}){node.node_ip}"
            assert (node.status, node.node_port, node.node_role) == ("Active", "6379", "redis-server")
            assert (node.priority_weight, node.is_access, node.is_remove_ip) == (100, True, False)
            assert role_at(node) == role
    assert by_id == {}


def test_nodes_are_paged_by_instance(
    client: sdk.DcsClient, single: dict[str, Any], pair: dict[str, Any], cluster: dict[str, Any]
):
    whole = client.batch_show_nodes_information(sdk.BatchShowNodesInformationRequest(limit=100))
    assert {one["instance_id"] for one in (single, pair, cluster)} <= {one.instance_id for one in whole.instances}
    paged = []
    for offset in range(whole.count + 1):
        page = client.batch_show_nodes_information(sdk.BatchShowNodesInformationRequest(offset=offset, limit=1))
        assert page.count == whole.count
        paged += page.instances
    assert [one.to_dict() for one in paged] == [one.to_dict() for one in whole.instances]


@pytest.mark.parametrize(
    ("query", "field"),
    [("limit=0", "limit"), ("limit=101", "limit"), ("limit=x", "limit"), ("offset=-1", "offset")],
)
def test_a_bad_page_is_refused(api: httpx.Client, query: str, field: str):
    check_refused(api.get(f"/instances-logical-nodes?{query}"), "DCS.4800", field)


def test_nodes_can_be_asked_for_by_status(api: httpx.Client, pair: dict[str, Any]):
    path = f"/instances/{pair['instance_id']}/logical-nodes"
    assert api.get(path, params={"status": "Active"}).json()["total"] == 2
    assert api.get(path, params={"status": "Inactive"}).json() == {
        "instance_id": pair["instance_id"], "total": 0, "nodes": [],
    }  # fmt: skip
    check_refused(api.get(path, params={"status": "asleep"}), "DCS.4800", "status")


def test_an_instance_being_made_has_no_nodes_yet(installation: Installation, api: httpx.Client):
    made = api.post("/instances", json=installation.order("nodes-young", HA)).json()["instances"][0]["instance_id"]
    seen = api.get(f"/instances/{made}/logical-nodes").json()
    listed = api.get("/instances-logical-nodes", params={"limit": 100}).json()["instances"]
    if api.get(f"/instances/{made}").json()["status"] == "CREATING":
        assert (seen["total"], seen["nodes"]) == (0, [])
        assert made not in {one["instance_id"] for one in listed}
    installation.wait(made)
    assert api.get(f"/instances/{made}/logical-nodes").json()["total"] == 2
    assert api.delete(f"/instances/{made}").status_code == 204
    installation.wait_gone(made)


def test_the_smallest_priority_goes_first_and_nought_never(
    installation: Installation, client: sdk.DcsClient, three: dict[str, Any]
):
    first = master_of(client, three)
    second, third = replicas_of(client, three)
    set_priority(client, three, second, 50)
    set_priority(client, three, third, 1)
    assert weights_of(client, three) == {first.node_id: 100, second.node_id: 50, third.node_id: 1}
    lose_master(installation, client, three)
    assert master_of(client, three).node_id == third.node_id

    # Only what is not barred, though the other has the smaller number.
    set_priority(client, three, second, 0)
    lose_master(installation, client, three)
    assert master_of(client, three).node_id == first.node_id
    # What was chosen stays with a node, whatever it was meanwhile.
    assert weights_of(client, three) == {first.node_id: 100, second.node_id: 0, third.node_id: 1}

    with pytest.raises(ClientRequestException) as refusal:
        set_priority(client, three, third, 0)
    assert (refusal.value.status_code, refusal.value.error_code) == (400, "DCS.4253")
    swap(client, three)
    assert master_of(client, three).node_id == third.node_id
    assert [role_at(node) for node in nodes_of(client, three)] == ["slave", "slave", "master"]
    assert weights_of(client, three) == {first.node_id: 100, second.node_id: 0, third.node_id: 1}
    set_priority(client, three, second, 100)


def weights_of(client: sdk.DcsClient, instance: dict[str, Any]) -> dict[str, int]:
    """Priorities by node, which replicas confirm."""
    nodes = nodes_of(client, instance)
    for node in nodes:
        if node.node_type == "slave":
            assert info_of(node)["slave_priority"] == node.priority_weight
    return {node.node_id: node.priority_weight for node in nodes}


def lose_master(installation: Installation, client: sdk.DcsClient, instance: dict[str, Any]) -> None:
    """Its master's process ends; another takes over, and all nodes run again."""
    master = master_of(client, instance)
    os.kill(installation.node_pids(instance["instance_id"])[master.node_ip], signal.SIGKILL)

    def whole() -> bool:
        now, replicas = master_of(client, instance), replicas_of(client, instance)
        assert now.node_id != master.node_id
        assert {node.status for node in (now, *replicas)} == {"Active"}
        facts = [info_of(node) for node in replicas]
        followed = {(one["master_host"], one["master_link_status"]) for one in facts}
        return followed == {(now.node_ip, "up")} and role_at(now) == "master"

    eventually(whole)
    installation.wait(instance["instance_id"])


def info_of(node: sdk.NodesInfoResp) -> dict[str, Any]:
    with client_of({"ip": node.node_ip, "port": int(node.node_port)}) as connection:
        return dict(connection.info("replication"))


PRIORITIES = [
    pytest.param({}, id="nothing"),
    pytest.param({"slave_priority_weight": None}, id="null"),
    pytest.param({"slave_priority_weight": -1}, id="less than nought"),
    pytest.param({"slave_priority_weight": 101}, id="more than a hundred"),
    pytest.param({"slave_priority_weight": 1.5}, id="a fraction"),
    pytest.param({"slave_priority_weight": "5"}, id="a word"),
    pytest.param({"slave_priority_weight": True}, id="a flag"),
    pytest.param({"slave_priority_weight": [5]}, id="a list"),
]


@pytest.mark.parametrize("body", PRIORITIES)
def test_a_bad_priority_is_refused(
    api: httpx.Client, client: sdk.DcsClient, pair: dict[str, Any], body: dict[str, Any]
):
    [replica] = replicas_of(client, pair)
    answer = api.post(path_of(pair, replica) + "/slave-priority", json=body)
    check_refused(answer, "DCS.4939", "slave_priority_weight")
    assert replicas_of(client, pair)[0].priority_weight == 100


def test_a_priority_without_a_body_is_refused(api: httpx.Client, client: sdk.DcsClient, pair: dict[str, Any]):
    [replica] = replicas_of(client, pair)
    check_refused(api.post(path_of(pair, replica) + "/slave-priority"), "DCS.4004")


def test_the_only_replica_is_neither_barred_nor_taken_out_of_the_name(
    api: httpx.Client, client: sdk.DcsClient, pair: dict[str, Any]
):
    [replica] = replicas_of(client, pair)
    path, before = path_of(pair, replica), look(api)
    check_refused(api.post(path + "/slave-priority", json={"slave_priority_weight": 0}), "DCS.4253")
    check_refused(api.delete(path + "/remove-ip"), "DCS.4879", replica.node_ip)
    assert look(api) == before
    assert [one.to_dict() for one in replicas_of(client, pair)] == [replica.to_dict()]


def test_nodes_that_are_no_replicas_of_the_shard_are_refused(
    api: httpx.Client, client: sdk.DcsClient, pair: dict[str, Any], three: dict[str, Any], single: dict[str, Any]
):
    master, [replica] = master_of(client, pair), replicas_of(client, pair)
    [alone] = nodes_of(client, single)
    stranger = replicas_of(client, three)[0]
    for verb, last, body in (
        ("POST", "/slave-priority", {"slave_priority_weight": 1}),
        ("DELETE", "/remove-ip", None),
    ):

        def ask(instance: dict[str, Any], node: sdk.NodesInfoResp, verb=verb, last=last, body=body, **ids: str):
            path = path_of(instance, node)
            for old, new in ids.items():
                path = path.replace(getattr(node, old), new)
            return api.request(verb, path + last, json=body)

        check_refused(ask(pair, master), "DCS.4027", "node_id")
        check_refused(ask(pair, replica, node_id=stranger.node_id), "DCS.3053", "node_id")
        check_refused(ask(pair, replica, node_id="nonsense"), "DCS.3053", "node_id")
        check_refused(ask(pair, replica, group_id=stranger.group_id), "DCS.4800", "group_id")
        check_refused(ask(pair, replica, group_id=UNKNOWN), "DCS.4800", "group_id")
        check_refused(ask(single, alone), "DCS.4027" if body else "DCS.4840")


def test_a_replica_is_named_by_its_place_too(api: httpx.Client, client: sdk.DcsClient, pair: dict[str, Any]):
    [replica] = replicas_of(client, pair)
    path = path_of(pair, replica).replace(replica.node_id, replica.replication_id)
    for weight in (20, 100):
        assert api.post(path + "/slave-priority", json={"slave_priority_weight": weight}).status_code == 204
        assert replicas_of(client, pair)[0].priority_weight == weight


def resolve(installation: Installation, name: str) -> set[str]:
    """Addresses by name, as clients find them."""
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], installation.names_port
    return {record.to_text() for record in resolver.resolve(name, "A", lifetime=2)}


def test_an_address_leaves_the_read_only_name_for_good(
    installation: Installation, api: httpx.Client, client: sdk.DcsClient, three: dict[str, Any]
):
    instance_id, name = three["instance_id"], three["readonly_domain_name"]
    master = master_of(client, three)
    leaving, staying = replicas_of(client, three)
    eventually(lambda: resolve(installation, name) == {leaving.node_ip, staying.node_ip})

    job_id = remove_ip(client, three, leaving)
    eventually(lambda: resolve(installation, name) == {staying.node_ip})
    installation.wait(instance_id)
    job = client.show_job_info(sdk.ShowJobInfoRequest(job_id=job_id))
    assert (job.status, job.job_type) == ("SUCCESS", "removeIpFromDnsJob")
    tasks = client.list_background_task(sdk.ListBackgroundTaskRequest(instance_id=instance_id)).tasks
    [task] = [one for one in tasks if one.name == "RemoveIpFromDns"]
    assert (task.details.replica_ip, task.details.group_name) == (leaving.node_ip, "group-0")
    removed = {node.node_id: node.is_remove_ip for node in nodes_of(client, three)}
    assert removed == {master.node_id: False, leaving.node_id: True, staying.node_id: False}
    assert role_at(leaving) == "slave"

    check_refused(api.delete(path_of(three, staying) + "/remove-ip"), "DCS.4879", staying.node_ip)
    again = api.delete(path_of(three, leaving) + "/remove-ip")
    assert again.status_code == 200
    assert again.json()["jobId"] == again.json()["job_id"]
    installation.wait(instance_id)

    # It is master for a while, and still does not come back.
    set_priority(client, three, leaving, 1)
    set_priority(client, three, staying, 2)
    swap(client, three)
    assert master_of(client, three).node_id == leaving.node_id
    eventually(lambda: resolve(installation, name) == {master.node_ip, staying.node_ip})
    swap(client, three)
    remaining = {master.node_ip, staying.node_ip} - {master_of(client, three).node_ip}
    assert len(remaining) == 1
    eventually(lambda: resolve(installation, name) == remaining)


def test_a_switch_is_listed_and_a_second_one_goes_back(
    installation: Installation, client: sdk.DcsClient, pair: dict[str, Any]
):
    before, [other] = master_of(client, pair), replicas_of(client, pair)
    with client_of(pair) as connection:
        connection.set("kept", "yes")
    for master, replica in ((other, before), (before, other)):
        swap(client, pair)
        shown = installation.show(pair["instance_id"])
        assert shown is not None
        assert (shown["status"], shown["task"], shown["ip"]) == ("RUNNING", None, pair["ip"])
        assert master_of(client, pair).node_id == master.node_id
        assert (role_at(master), role_at(replica)) == ("master", "slave")
        assert info_of(replica)["master_host"] == master.node_ip
        with client_of(pair) as connection:
            assert connection.get("kept") == "yes"
            assert connection.set("kept", "yes")
    tasks = client.list_background_task(sdk.ListBackgroundTaskRequest(instance_id=pair["instance_id"])).tasks
    assert [one.status for one in tasks if one.name == "masterStandbySwapJob"] == ["SUCCESS", "SUCCESS"]


def test_a_switch_needs_a_standby_that_may_take_over(
    installation: Installation,
    api: httpx.Client,
    client: sdk.DcsClient,
    single: dict[str, Any],
    pair: dict[str, Any],
    cluster: dict[str, Any],
):
    before = look(api)
    for instance in (single, cluster):
        check_refused(api.post(f"/instances/{instance['instance_id']}/swap"), "DCS.4855", instance["instance_id"])
    assert look(api) == before

    # Stopped, the replica still is; but it cannot take over.
    master, [replica] = master_of(client, pair), replicas_of(client, pair)
    os.kill(installation.node_pids(pair["instance_id"])[replica.node_ip], signal.SIGSTOP)
    check_refused(api.post(f"/instances/{pair['instance_id']}/swap"), "DCS.5094", status=500)
    assert role_at(master) == "master"
    with client_of(pair) as connection:
        assert connection.set("still", "writable")

    def whole() -> bool:
        [again] = replicas_of(client, pair)
        return again.status == "Active" and info_of(again)["master_link_status"] == "up"

    eventually(whole)
    assert master_of(client, pair).node_id == master.node_id
    eventually(lambda: api.post(f"/instances/{pair['instance_id']}/swap").status_code == 204)


def test_a_busy_instance_is_not_switched(installation: Installation, api: httpx.Client, pair: dict[str, Any]):
    one = f"/instances/{pair['instance_id']}"
    restart = {"action": "restart", "instances": [pair["instance_id"]]}
    assert api.put("/instances/status", json=restart).json()["results"][0]["result"] == "success"
    check_refused(api.post(f"{one}/swap"), "DCS.4111")
    installation.wait(pair["instance_id"])
    eventually(lambda: api.post(f"{one}/swap").status_code == 204)


def test_one_replica_of_each_shard_may_be_deleted(
    api: httpx.Client, client: sdk.DcsClient, pair: dict[str, Any], cluster: dict[str, Any]
):
    request = sdk.ValidateDeletableReplicaRequest(instance_id=cluster["instance_id"])
    answer = client.validate_deletable_replica(request)
    replicas = {node.node_id: node for node in replicas_of(client, cluster)}
    [zone] = cluster["available_zones"]
    assert (answer.check_result, answer.available_zone) == (True, zone)
    assert [one.group_name for one in answer.replication_list] == ["group-0", "group-1", "group-2"]
    for one in answer.replication_list:
        node = replicas.pop(one.node_id)
        assert one.to_dict() == {
            "replication_id": node.replication_id,
            "node_id": node.node_id,
            "replication_ip": f"{node.node_ip}:6379",
            "group_id": node.group_id,
            "group_name": node.group_name,
            "available_zone": zone,
        }
    assert replicas == {}
    refused = api.get(f"/instances/{pair['instance_id']}/deletable-replication")
    check_refused(refused, "DCS.4800", "native cluster")


def test_the_only_replica_of_a_shard_is_not_barred(
    api: httpx.Client, client: sdk.DcsClient, cluster: dict[str, Any]
):
    replica = replicas_of(client, cluster)[0]
    set_priority(client, cluster, replica, 5)
    assert info_of(replica)["slave_priority"] == 5
    refused = api.post(path_of(cluster, replica) + "/slave-priority", json={"slave_priority_weight": 0})
    check_refused(refused, "DCS.4253")
    check_refused(api.delete(path_of(cluster, replica) + "/remove-ip"), "DCS.4840")


def test_a_barred_replica_of_a_cluster_does_not_stand_for_election(
    installation: Installation, client: sdk.DcsClient
):
    wide = installation.create("nodes-wide", "redis.cluster.xu1.large.r3.4", capacity=4)
    replica = replicas_of(client, wide)[0]
    with client_of({"ip": replica.node_ip, "port": int(replica.node_port)}) as connection:
        for weight, barred in ((0, "yes"), (30, "no")):
            set_priority(client, wide, replica, weight)
            assert connection.config_get("cluster-replica-no-failover").popitem()[1] == barred
            assert connection.info("replication")["slave_priority"] == weight
