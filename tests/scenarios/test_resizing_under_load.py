"""Instances change size and shape while a client writes: not one acknowledged value is lost.

Where a master is killed on the way, what is lost is counted, the change ends, and every slot has its owner.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from crashes import ANSWERED, Crash, settled
from installation import HA, Installation, client_of, eventually
from ledger import to_address, to_cluster, writing
from resizes import last_task, resize, resized
from witnesses import agreed, assert_nothing_is_left_over

THREE_SHARDS, FOUR_SHARDS = "redis.cluster.xu1.large.r2.s8.24", "redis.cluster.xu1.large.r2.s8.32"
LAST_MOMENT = 100
"""Acknowledged values that may go with a killed master: what its replica lags behind on a busy machine."""


@pytest.fixture(scope="module")
def installation(
    tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str | None]
) -> Iterator[Installation]:
    """One that may promise more memory than machines that run tests have, and looks at its windows often."""
    settings = {"CAPACITY__MEMORY_MB": str(1024 * 1024), "JOBS__MAINTENANCE_SECONDS": "0.3"}
    folder: Path = tmp_path_factory.mktemp("installation")
    installation = Installation(folder, new_database(), settings)
    try:
        yield installation.start()
        assert_nothing_is_left_over(installation)
    finally:
        installation.remove()


@pytest.fixture(scope="module")
def cluster(installation: Installation) -> dict[str, Any]:
    """Three shards of two nodes."""
    return installation.create("reshaped", THREE_SHARDS, capacity=24)


@pytest.fixture(scope="module")
def standby(installation: Installation) -> dict[str, Any]:
    """A master and its standby."""
    return installation.create("resized", HA)


def groups_of(installation: Installation, instance: dict[str, Any]) -> list[dict[str, Any]]:
    with installation.http() as api:
        return api.get(f"/instance/{instance['instance_id']}/groups").json()["group_list"]


def test_a_cluster_changes_its_shape_again_and_again(installation: Installation, cluster: dict[str, Any]):
    with writing(to_cluster(installation, cluster)) as ledger:
        resized(installation, cluster, FOUR_SHARDS, 32, change_type="addSharding")
        assert last_task(installation, cluster)["name"] == "EXTEND"
        resized(installation, cluster, "redis.cluster.xu1.large.r2.s16.64", 64)
        resized(installation, cluster, FOUR_SHARDS, 32)
        resized(installation, cluster, "redis.cluster.xu1.large.r3.s8.32", 32, change_type="createReplication")
        assert [len(group["replication_list"]) for group in groups_of(installation, cluster)] == [3] * 4
        kept = [group["replication_list"][1]["replication_ip"] for group in groups_of(installation, cluster)]
        resized(installation, cluster, FOUR_SHARDS, 32, change_type="deleteReplication", reserved_ip=kept)
        assert [
            group["replication_list"][1]["replication_ip"] for group in groups_of(installation, cluster)
        ] == kept
        staying = [
            group["replication_list"][0]["replication_ip"] for group in groups_of(installation, cluster)[1:]
        ]
        resized(installation, cluster, THREE_SHARDS, 24, reserved_ip=staying)
        assert {group["replication_list"][0]["replication_ip"] for group in groups_of(installation, cluster)} == {
            *staying
        }
    assert ledger.lost() == {}
    assert ledger.failures == []


def test_a_standby_instance_changes_its_shape_again_and_again(installation: Installation, standby: dict[str, Any]):
    with writing(to_address(standby)) as ledger:
        resized(installation, standby, "redis.ha.xu1.large.r2.1", 1)
        with client_of(standby) as client:
            assert client.info("memory")["maxmemory"] == 2**30
        resized(installation, standby, "redis.ha.xu1.large.r4.1", 1, change_type="createReplication")
        assert last_task(installation, standby)["name"] == "AddReplica"
        replicas = groups_of(installation, standby)[0]["replication_list"][1:]
        for fewer, replica in zip((3, 2), replicas, strict=False):
            resized(
                installation,
                standby,
                f"redis.ha.xu1.large.r{fewer}.1",
                1,
                change_type="deleteReplication",
                node_list=[replica["node_id"]],
            )
        assert last_task(installation, standby)["details"]["replica_ip"] == replicas[1]["replication_ip"]
        resized(installation, standby, HA, 0.125)
    assert ledger.lost() == {}
    assert ledger.failures == []


@pytest.mark.parametrize("place", [0, -1], ids=["an old shard", "the new shard"])
def test_a_master_is_killed_while_slots_move(installation: Installation, cluster: dict[str, Any], place: int):
    with writing(to_cluster(installation, cluster)) as ledger, installation.http() as api:
        assert resize(api, cluster, FOUR_SHARDS, 32, change_type="addSharding").status_code == 204
        task = api.get(f"/instances/{cluster['instance_id']}/tasks").json()["tasks"][0]
        eventually(lambda: slots_are_moving(api, cluster, task))
        address = groups_of(installation, cluster)[place]["replication_list"][0]["replication_ip"]
        psutil.Process(installation.node_pids(cluster["instance_id"])[address]).kill()
        now = settled(installation, cluster["instance_id"])
        assert now is not None
        assert now["spec_code"] == FOUR_SHARDS, last_task(installation, cluster)
        eventually(lambda: agreed(installation, now), 60)
    lost = ledger.lost()
    assert len(lost) <= LAST_MOMENT, f"{len(lost)} of {len(ledger.acknowledged)} acknowledged values are lost"
    resized(installation, cluster, THREE_SHARDS, 24)


def slots_are_moving(api: httpx.Client, instance: dict[str, Any], task: dict[str, Any]) -> bool:
    """The progress of the task says how many slots have moved."""
    path = f"/instances/{instance['instance_id']}/tasks/{task['id']}/progress"
    progress = api.get(path).json()
    parts = [part for step in progress["step_details"] for part in step["sub_step_details"]]
    return bool(parts) and "slots moved" in parts[0]["detail"] and 0 < progress["progress"] < 100


MOMENTS = [
    (FOUR_SHARDS, ANSWERED),
    (THREE_SHARDS, "spread_slots"),
    (FOUR_SHARDS, "join_nodes"),
    (THREE_SHARDS, "drop_leaving"),
    (FOUR_SHARDS, "spread_slots"),
    (THREE_SHARDS, "set_new_limits"),
]
"""There and back again, so that each finds the shape that it changes."""


@pytest.mark.parametrize(("shape", "moment"), MOMENTS)
def test_a_change_of_shape_goes_on_after_the_service_is_killed(
    installation: Installation, cluster: dict[str, Any], shape: str, moment: str
):
    other = THREE_SHARDS if shape == FOUR_SHARDS else FOUR_SHARDS
    if (installation.show(cluster["instance_id"]) or {})["spec_code"] == shape:
        resized(installation, cluster, other, 24 if other == THREE_SHARDS else 32)
    with writing(to_cluster(installation, cluster)) as ledger:
        gb = 24 if shape == THREE_SHARDS else 32
        Crash(installation).during(lambda api: resize(api, cluster, shape, gb), moment)
        now = settled(installation, cluster["instance_id"])
        assert now is not None
        assert now["spec_code"] == shape, last_task(installation, cluster)
        eventually(lambda: agreed(installation, now))
    assert ledger.lost() == {}
    assert_nothing_is_left_over(installation)


def test_a_single_node_becomes_a_master_with_a_standby(installation: Installation):
    single = installation.create("growing-up", "redis.single.xu1.tiny.128")
    with writing(to_address(single)) as ledger:
        resized(installation, single, HA, 0.125, change_type="instanceType", available_zones=["local-1b"])
    assert ledger.lost() == {}
    now = installation.show(single["instance_id"])
    assert now is not None
    assert (now["cache_mode"], now["ip"], now["readonly_domain_name"] is not None) == ("ha", single["ip"], True)
    assert ledger.longest < 20, ledger.failures


def test_a_change_can_wait_for_the_maintenance_window(installation: Installation, standby: dict[str, Any]):
    instance_id, now = standby["instance_id"], datetime.now(UTC)
    closed, closing = (f"{(now.hour + more) % 24:02}:00:00" for more in (3, 4))
    before = installation.show(instance_id)
    assert before is not None
    with installation.http() as api:
        set_window(api, instance_id, closed, closing)
        later = {"execute_immediately": False}
        assert resize(api, standby, "redis.ha.xu1.large.r2.2", 2, **later).status_code == 204
        again = resize(api, standby, "redis.ha.xu1.large.r2.4", 4)
        assert (again.status_code, again.json()["error_code"]) == (400, "DCS.4108")
        task = last_task(installation, standby)
        assert (task["name"], task["status"]) == ("EXTEND", "INIT")
        assert (installation.show(instance_id) or {})["spec_code"] == before["spec_code"]

        off = api.delete(f"/instances/{instance_id}/tasks/{task['id']}")
        assert off.status_code == 200
        assert resize(api, standby, "redis.ha.xu1.large.r2.4", 4, **later).status_code == 204

        now = datetime.now(UTC)
        set_window(api, instance_id, f"{now.hour:02}:00:00", f"{(now.hour + 1) % 24:02}:00:00")
    eventually(lambda: (installation.show(instance_id) or {})["spec_code"] == "redis.ha.xu1.large.r2.4")
    settled(installation, instance_id)
    assert last_task(installation, standby)["status"] == "SUCCESS"


def set_window(api: httpx.Client, instance_id: str, begin: str, end: str) -> None:
    answer = api.put(f"/instances/{instance_id}", json={"maintain_begin": begin, "maintain_end": end})
    assert answer.status_code == 204, answer.text
