"""An instance becomes one of another type and another while a client writes: nothing acknowledged is lost.

Its address, its password and its name stay; so do the deadlines of its keys.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from crashes import ANSWERED, Crash, settled
from installation import Installation, client_of, eventually
from ledger import to_address, writing
from redis.exceptions import NoPermissionError, ResponseError
from resizes import last_task, resize, resized
from witnesses import agreed, assert_nothing_is_left_over

HA, SPLIT, PROXY = "ha", "ha_rw_split", "proxy"
FLAVORS = {
    HA: ("redis.ha.xu1.large.r2.1", 1),
    SPLIT: ("redis.ha.xu1.large.p2.1", 1),
    PROXY: ("redis.proxy.xu1.large.4", 4),
}
EVERY_PAIR = (SPLIT, PROXY, HA, PROXY, SPLIT, HA)
"""Beginning with a master/standby instance, one after the other."""
TO_ANOTHER = {"change_type": "instanceType"}
MANY = 300_000
LAST_MOMENT = 100
"""Acknowledged values that may go with a killed master: what its replica lags behind on a busy machine."""


@pytest.fixture(scope="module")
def installation(
    tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str | None]
) -> Iterator[Installation]:
    """One that may promise more memory than machines that run tests have."""
    folder: Path = tmp_path_factory.mktemp("installation")
    installation = Installation(folder, new_database(), {"CAPACITY__MEMORY_MB": str(1024 * 1024)})
    try:
        yield installation.start()
        assert_nothing_is_left_over(installation)
    finally:
        installation.remove()


@pytest.fixture(scope="module")
def instance(installation: Installation) -> dict[str, Any]:
    """A master and its standby, in a version that all types have."""
    flavor, gb = FLAVORS[HA]
    return installation.create("changeable", flavor, capacity=gb, engine_version="6.0")


def become(installation: Installation, instance: dict[str, Any], kind: str) -> dict[str, Any]:
    """The instance is of the type, and every view of it says so."""
    flavor, gb = FLAVORS[kind]
    if (installation.show(instance["instance_id"]) or {})["cache_mode"] != kind:
        resized(installation, instance, flavor, gb, **TO_ANOTHER)
    now = installation.show(instance["instance_id"])
    assert now is not None
    kept = ("instance_id", "name", "ip", "port", "domain_name", "created_at")
    assert {name: now[name] for name in ("cache_mode", *kept)} == {
        "cache_mode": kind, **{name: instance[name] for name in kept},
    }  # fmt: skip
    return now


def test_every_type_becomes_every_other(installation: Installation, instance: dict[str, Any]):
    end = int(time.time() * 1000) + 3_600_123
    with client_of(instance) as client:
        for number in range(2000):
            client.set(f"dated-{number}", number, pxat=end + number)
        client.xadd("stream", {"a": 1}, id="1-1")
        client.xgroup_create("stream", "readers", 0)
    with writing(to_address(instance)) as ledger:
        for kind in EVERY_PAIR:
            become(installation, instance, kind)
            assert last_task(installation, instance)["name"] == "EXTEND"
    assert ledger.lost() == {}
    assert ledger.longest < 30, ledger.failures[-3:]
    with client_of(instance) as client:
        assert [client.pexpiretime(f"dated-{n}") for n in range(2000)] == [end + n for n in range(2000)]
        assert [group["name"] for group in client.xinfo_groups("stream")] == ["readers"]


MOMENTS = [
    (HA, PROXY, ANSWERED),
    (PROXY, HA, "copy_over"),
    (HA, PROXY, "move_over"),
    (PROXY, SPLIT, "move_over"),
    (SPLIT, HA, "move_over"),
    (HA, SPLIT, "start_proxies"),
    (SPLIT, PROXY, "verify_new"),
    (PROXY, HA, "remove_old"),
    (HA, SPLIT, "move_over"),
    (SPLIT, HA, ANSWERED),
]
"""Each finds the type that the one before leaves."""


@pytest.mark.parametrize(("before", "after", "moment"), MOMENTS)
def test_a_change_of_type_goes_on_after_the_service_is_killed(
    installation: Installation, instance: dict[str, Any], before: str, after: str, moment: str
):
    become(installation, instance, before)
    flavor, gb = FLAVORS[after]
    with writing(to_address(instance)) as ledger:
        Crash(installation).during(lambda api: resize(api, instance, flavor, gb, **TO_ANOTHER), moment)
        now = settled(installation, instance["instance_id"])
        assert now is not None
        assert now["cache_mode"] == after, last_task(installation, instance)
        eventually(lambda: agreed(installation, now))
    assert ledger.lost() == {}
    become(installation, instance, after)
    assert_nothing_is_left_over(installation)


@pytest.mark.parametrize("side", ["old", "new"])
def test_a_master_is_killed_while_data_is_copied(installation: Installation, instance: dict[str, Any], side: str):
    become(installation, instance, HA)
    fill(instance)
    before = {one["replication_ip"] for one in members(installation, instance)}
    flavor, gb = FLAVORS[PROXY]
    with writing(to_address(instance)) as ledger, installation.http() as api:
        assert resize(api, instance, flavor, gb, **TO_ANOTHER).status_code == 204
        task = api.get(f"/instances/{instance['instance_id']}/tasks").json()["tasks"][0]
        eventually(lambda: is_copying(api, instance, task))
        masters = [
            one["replication_ip"]
            for one in members(installation, instance)
            if one["replication_role"] == "master" and (one["replication_ip"] in before) == (side == "old")
        ]
        psutil.Process(installation.node_pids(instance["instance_id"])[masters[0]]).kill()
        now = settled(installation, instance["instance_id"])
        assert now is not None
        assert now["cache_mode"] == PROXY, last_task(installation, instance)
        eventually(lambda: agreed(installation, now), 60)
    lost = ledger.lost()
    assert len(lost) <= (LAST_MOMENT if side == "old" else 0), f"{len(lost)} acknowledged values are lost"
    with client_of(instance) as client:
        assert client.dbsize() >= MANY
        client.flushall()


def fill(instance: dict[str, Any]) -> None:
    """So many keys that they cannot be copied in a moment."""
    with client_of(instance) as client:
        for first in range(0, MANY, 10_000):
            client.mset({f"many-{number}": "x" * 200 for number in range(first, first + 10_000)})


def test_tenants_read_but_do_not_write_while_data_is_copied(installation: Installation, instance: dict[str, Any]):
    become(installation, instance, HA)
    fill(instance)
    flavor, gb = FLAVORS[PROXY]
    with client_of(instance) as client, installation.http() as api:
        assert resize(api, instance, flavor, gb, **TO_ANOTHER).status_code == 204
        task = api.get(f"/instances/{instance['instance_id']}/tasks").json()["tasks"][0]
        eventually(lambda: is_copying(api, instance, task))
        assert client.get("many-7") == "x" * 200
        with pytest.raises(NoPermissionError):
            client.set("many-7", "y")
        settled(installation, instance["instance_id"])
        assert client.get("many-7") == "x" * 200
        assert client.set("many-7", "y")
        client.flushall()


def test_names_of_commands_and_the_port_stay(installation: Installation):
    flavor, gb = FLAVORS[HA]
    more = {"rename_commands": {"keys": "kkeys"}, "port": 6401}
    made = installation.create("renamed", flavor, capacity=gb, engine_version="6.0", **more)
    for kind in (SPLIT, PROXY, HA):
        become(installation, made, kind)
        with client_of(made) as client:
            client.set("kept", kind)
            assert client.execute_command("KKEYS", "*") == ["kept"]
            with pytest.raises(ResponseError):
                client.keys()


def members(installation: Installation, instance: dict[str, Any]) -> list[dict[str, Any]]:
    with installation.http() as api:
        groups = api.get(f"/instance/{instance['instance_id']}/groups").json()["group_list"]
    return [one for group in groups for one in group["replication_list"]]


def is_copying(api: Any, instance: dict[str, Any], task: dict[str, Any]) -> bool:
    """The progress of the task says how many keys have been copied."""
    path = f"/instances/{instance['instance_id']}/tasks/{task['id']}/progress"
    progress = api.get(path).json()
    parts = [part for step in progress["step_details"] for part in step["sub_step_details"]]
    return any("keys copied" in part["detail"] for part in parts)
