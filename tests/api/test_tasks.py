"""Background tasks: what each kind of work tells, which of them are listed, and taking them off the list."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from huaweicloudsdkdcs import v2 as sdk
from installation import CLUSTER, HA_3, PASSWORD, Installation, eventually
from refusals import check_refused

EXTENDED = {
    "is_only_adjust_charging": False, "old_cache_mode": "ha", "new_cache_mode": "ha", "old_cache_type": "ha",
    "new_cache_type": "ha",
}  # fmt: skip


@pytest.fixture(scope="module")
def api(installation: Installation) -> Iterator[httpx.Client]:
    with installation.http() as client:
        yield client


@pytest.fixture(scope="module")
def instance(installation: Installation) -> str:
    """Master/standby with a replica to spare."""
    return str(installation.create("worked-on", HA_3, capacity=1)["instance_id"])


def newest(installation: Installation, instance: str, name: str) -> dict[str, Any]:
    """The details that are set of the instance's newest task, which has succeeded."""

    def look() -> sdk.SingleBackgroundTask | None:
        request = sdk.ListBackgroundTaskRequest(instance, limit=1)
        [task] = installation.sdk().list_background_task(request).tasks
        assert task.status in {"EXECUTING", "SUCCESS"}, task
        return task if (task.name, task.status) == (name, "SUCCESS") else None

    task = eventually(look, 60)
    details = {key: value for key, value in task.details.to_dict().items() if value is not None}
    assert task.enable_show is bool(details)
    assert (task.user_name, task.created_at <= task.updated_at) == ("admin", True)
    return details


def nodes_of(installation: Installation, instance: str) -> list[sdk.NodesInfoResp]:
    return list(installation.sdk().show_nodes_information(sdk.ShowNodesInformationRequest(instance)).nodes)


def test_what_changes_of_size_tell(installation: Installation, api: httpx.Client, instance: str) -> None:
    def resize(spec_code: str, gb: float, **more: Any) -> None:
        body = {"spec_code": spec_code, "new_capacity": gb, **more}
        assert api.post(f"/instances/{instance}/resize", json=body).status_code == 204
        installation.wait(instance)

    resize("redis.ha.xu1.large.r3.2", 2)
    assert newest(installation, instance, "EXTEND") == EXTENDED | {
        "old_capacity": "1", "new_capacity": "2", "old_replica_num": 3, "new_replica_num": 3,
        "old_resource_spec_code": HA_3, "new_resource_spec_code": "redis.ha.xu1.large.r3.2",
    }  # fmt: skip

    before = {one.node_ip for one in nodes_of(installation, instance)}
    resize("redis.ha.xu1.large.r4.2", 2, change_type="createReplication")
    [added] = [one for one in nodes_of(installation, instance) if one.node_ip not in before]
    replica = {"replica_ip": added.node_ip, "replica_az": added.az_code, "group_name": "group-0"}
    assert newest(installation, instance, "AddReplica") == EXTENDED | replica | {
        "old_capacity": "2", "new_capacity": "2", "old_replica_num": 3, "new_replica_num": 4,
        "old_resource_spec_code": "redis.ha.xu1.large.r3.2", "new_resource_spec_code": "redis.ha.xu1.large.r4.2",
        "node_name": added.name,
    }  # fmt: skip

    resize("redis.ha.xu1.large.r3.2", 2, change_type="deleteReplication", node_list=[added.node_id])
    removed = newest(installation, instance, "DelReplica")
    assert removed == removed | replica | {"old_replica_num": 4, "new_replica_num": 3, "node_name": added.name}


def test_what_changes_of_type_tell(installation: Installation, api: httpx.Client) -> None:
    one = installation.create("single-yet", "redis.single.xu1.large.1", capacity=1)["instance_id"]
    body = {"spec_code": "redis.ha.xu1.large.r2.1", "new_capacity": 1, "change_type": "instanceType"}
    assert api.post(f"/instances/{one}/resize", json=body).status_code == 204
    installation.wait(one)
    told = newest(installation, one, "EXTEND")
    assert told == told | {"old_cache_type": "single", "new_cache_type": "ha", "old_cache_mode": "single"}


def test_what_other_changes_tell(installation: Installation, api: httpx.Client, instance: str) -> None:
    path = f"/instances/{instance}"
    assert api.put(path, json={"port": 7001}).status_code == 204
    assert newest(installation, instance, "UpdatePort") == {"old_port": 6379, "new_port": 7001}
    installation.wait(instance)

    assert api.put(path, json={"rename_commands": {"keys": "my-keys", "flushdb": "my-flush"}}).status_code == 204
    assert newest(installation, instance, "RenameCommands") == {"rename_commands": ["flushdb", "keys"]}
    installation.wait(instance)

    body = {"old_password": PASSWORD, "new_password": "An0ther-word"}
    assert api.put(f"{path}/password", json=body).json()["result"] == "success"
    assert newest(installation, instance, "modify") == {}


def test_what_a_switchover_tells(installation: Installation, api: httpx.Client, instance: str) -> None:
    old = next(one for one in nodes_of(installation, instance) if one.node_type == "master")
    assert api.post(f"/instances/{instance}/swap").status_code == 204
    new = next(one for one in nodes_of(installation, instance) if one.node_type == "master")
    assert newest(installation, instance, "masterStandbySwapJob") == {
        "group_name": "group-0", "source_ip": old.node_ip, "target_ip": new.node_ip,
    }  # fmt: skip


def test_what_a_replica_that_leaves_the_name_tells(
    installation: Installation, api: httpx.Client, instance: str
) -> None:
    replica = next(one for one in nodes_of(installation, instance) if one.node_type == "slave")
    path = f"/instances/{instance}/groups/{replica.group_id}/replications/{replica.node_id}/remove-ip"
    assert api.delete(path).status_code == 200
    assert newest(installation, instance, "RemoveIpFromDns") == {
        "replica_ip": replica.node_ip, "replica_az": replica.az_code, "group_name": "group-0",
        "node_name": replica.name,
    }  # fmt: skip


def test_what_a_switchover_of_a_shard_tells(installation: Installation, api: httpx.Client) -> None:
    cluster = installation.create("sharded", CLUSTER, capacity=4)["instance_id"]
    shard = [one for one in nodes_of(installation, cluster) if one.group_name == "group-1"]
    master, replica = (next(one for one in shard if one.node_type == kind) for kind in ("master", "slave"))
    path = f"/instance/{cluster}/groups/{replica.group_id}/replications/{replica.node_id}/async-switchover"
    assert api.post(path).status_code == 200
    assert newest(installation, cluster, "masterStandbySwapJob") == {
        "group_name": "group-1", "replica_ip": replica.node_ip, "replica_az": replica.az_code,
        "node_name": replica.name, "source_ip": master.node_ip, "target_ip": replica.node_ip,
    }  # fmt: skip


def begun(task: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(task["created_at"])


def compact(at: datetime) -> str:
    return at.strftime("%Y%m%d%H%M%S")


def test_tasks_are_paged_and_of_the_span_that_was_asked_for(api: httpx.Client, instance: str) -> None:
    path = f"/instances/{instance}/tasks"
    whole = api.get(path, params={"limit": 1000}).json()
    every = whole["tasks"]
    assert whole["task_count"] == str(len(every))
    assert [begun(one) for one in every] == sorted(map(begun, every), reverse=True)
    pages = [api.get(path, params={"offset": place, "limit": 2}).json() for place in range(0, len(every) + 2, 2)]
    assert [one["id"] for page in pages for one in page["tasks"]] == [one["id"] for one in every]
    assert {page["task_count"] for page in pages} == {str(len(every))}

    middle = begun(every[len(every) // 2]).replace(microsecond=0)
    for spelling in ("start_time", "begin_time"):
        later = api.get(path, params={spelling: compact(middle), "limit": 1000}).json()["tasks"]
        assert later == [one for one in every if begun(one) >= middle]
    earlier = api.get(path, params={"end_time": compact(middle), "limit": 1000}).json()["tasks"]
    assert earlier == [one for one in every if begun(one) < middle + timedelta(seconds=1)]
    assert every[len(every) // 2] in earlier
    future = compact(datetime.now(UTC) + timedelta(days=1))
    assert api.get(path, params={"start_time": future}).json() == {"task_count": "0", "tasks": []}


@pytest.mark.parametrize(
    "query", [{"start_time": "2020"}, {"end_time": "20201301000000"}, {"begin_time": "x" * 14}]
)
def test_times_that_are_none_are_refused(api: httpx.Client, instance: str, query: dict[str, str]) -> None:
    blamed = next(iter(query)).replace("begin", "start")
    check_refused(api.get(f"/instances/{instance}/tasks", params=query), "DCS.4062", blamed)


def test_a_deleted_task_is_listed_no_more_and_its_job_still_known(api: httpx.Client, instance: str) -> None:
    path = f"/instances/{instance}/tasks"
    task, *others = api.get(path, params={"limit": 1000}).json()["tasks"]
    assert api.delete(f"{path}/{task['id']}").json() == {"message": ""}
    assert api.get(path, params={"limit": 1000}).json()["tasks"] == others
    check_refused(api.delete(f"{path}/{task['id']}"), "DCS.4133")
    assert api.get(f"/jobs/{task['id']}").json()["status"] == "SUCCESS"
