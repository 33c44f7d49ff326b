"""A whitelist holds whatever becomes of an instance, and of the service."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from installation import Installation, client_of, eventually
from resizes import resize, settled
from visitors import FRIEND, STRANGER, needs_packet_filter, visiting, who_gets_in
from witnesses import assert_nothing_is_left_over

from cachestead.runtime.process.packet_filter import PacketFilter, find_program

pytestmark = needs_packet_filter
FLAVORS = {
    "ha": ("redis.ha.xu1.large.r2.1", 1),
    "ha of three": ("redis.ha.xu1.large.r3.1", 1),
    "split": ("redis.ha.xu1.large.p2.1", 1),
    "proxy": ("redis.proxy.xu1.large.4", 4),
}
ONLY_FRIENDS = {"enable_whitelist": True, "whitelist": [{"group_name": "friends", "ip_list": [FRIEND]}]}


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
        eventually(lambda: not table_of(installation))
    finally:
        installation.remove()


@pytest.fixture
def instance(installation: Installation) -> Iterator[dict[str, Any]]:
    """A master and its standby that only friends reach."""
    flavor, gb = FLAVORS["ha"]
    made = installation.create("guarded", flavor, capacity=gb, engine_version="6.0")
    write(installation, made, ONLY_FRIENDS)
    holds(installation, made)
    yield made
    with installation.http() as api:
        api.delete(f"/instances/{made['instance_id']}")
    installation.wait_gone(made["instance_id"])


def write(installation: Installation, instance: dict[str, Any], body: dict[str, Any]) -> None:
    with installation.http() as api:
        answer = api.put(f"/instance/{instance['instance_id']}/whitelist", json=body)
    assert answer.status_code == 204, answer.text


def holds(installation: Installation, instance: dict[str, Any]) -> None:
    """Only friends reach the instance: at its address and, where clients log in to them, at its nodes."""
    now = installation.show(instance["instance_id"])
    assert now
    nodes = [] if now["cache_mode"] in ("proxy", "ha_rw_split") else installation.node_pids(now["instance_id"])
    assert eventually(lambda: who_gets_in([*now["ip"].split(","), *nodes], now["port"])) == {FRIEND}


def table_of(installation: Installation) -> str:
    """The installation's guards, as the machine has them; empty where there are none."""
    program = find_program()
    assert program
    table = PacketFilter(installation.folder).table
    return subprocess.run(
        [program, "list", "table", "ip", table], capture_output=True, text=True, check=False
    ).stdout


def master_of(installation: Installation, instance: dict[str, Any]) -> int:
    """Process id of the node that is master."""
    with installation.http() as api:
        [shard] = api.get(f"/instance/{instance['instance_id']}/groups").json()["group_list"]
    [address] = [one["replication_ip"] for one in shard["replication_list"] if one["replication_role"] == "master"]
    return installation.node_pids(instance["instance_id"])[address]


def resized(installation: Installation, instance: dict[str, Any], spec_code: str, gb: float, **wish: Any) -> None:
    """The instance has the flavor; its nodes are not looked at, for they take nobody from here."""
    with installation.http() as api:
        answer = resize(api, instance, spec_code, gb, **wish)
        assert answer.status_code == 204, answer.text
    now = settled(installation, instance["instance_id"])
    assert now is not None
    assert now["spec_code"] == spec_code


def test_a_lost_master_and_a_restart(installation: Installation, instance: dict[str, Any]) -> None:
    before = eventually(lambda: master_of(installation, instance))
    psutil.Process(before).kill()
    eventually(lambda: master_of(installation, instance) != before, 60)
    holds(installation, instance)
    with installation.http() as api:
        api.put("/instances/status", json={"action": "restart", "instances": [instance["instance_id"]]})
    installation.wait(instance["instance_id"])
    holds(installation, instance)


def test_a_service_that_is_away(installation: Installation, instance: dict[str, Any]) -> None:
    before = eventually(lambda: master_of(installation, instance))
    installation.kill()
    psutil.Process(before).kill()
    eventually(lambda: who_gets_in([instance["ip"]], instance["port"]) == {FRIEND}, 60)
    program = find_program()
    assert program
    subprocess.run([program, "delete", "table", "ip", PacketFilter(installation.folder).table], check=True)

    installation.start()

    eventually(lambda: len(installation.node_pids(instance["instance_id"])) == 2)
    holds(installation, instance)


def test_guards_that_somebody_took_away_are_back(installation: Installation, instance: dict[str, Any]) -> None:
    before = table_of(installation)
    program = find_program()
    assert program

    subprocess.run([program, "delete", "table", "ip", PacketFilter(installation.folder).table], check=True)

    eventually(lambda: table_of(installation) == before)


def test_new_replicas_and_every_change_of_type(installation: Installation, instance: dict[str, Any]) -> None:
    flavor, gb = FLAVORS["ha of three"]
    resized(installation, instance, flavor, gb, change_type="createReplication")
    holds(installation, instance)
    for kind in ("split", "proxy", "ha"):
        resized(installation, instance, *FLAVORS[kind], change_type="instanceType")
        holds(installation, instance)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[list[tuple[Installation, dict[str, Any]]]]:
    """Two installations with an instance each that only friends reach."""
    made = [Installation(tmp_path / name) for name in ("one", "other")]
    try:
        instances = [one.start().create("guarded") for one in made]
        for one, single in zip(made, instances, strict=True):
            write(one, single, ONLY_FRIENDS)
            holds(one, single)
        yield list(zip(made, instances, strict=True))
    finally:
        for one in made:
            one.remove()


def test_each_installation_has_guards_of_its_own(pair: list[tuple[Installation, dict[str, Any]]]) -> None:
    (one, first), (other, second) = pair

    with one.http() as api:
        api.delete(f"/instances/{first['instance_id']}")
    one.wait_gone(first["instance_id"])

    eventually(lambda: not table_of(one))
    holds(other, second)
    other.kill()
    assert one.run("down", "--all").returncode == 0
    assert who_gets_in([second["ip"]], second["port"]) == {FRIEND}
    other.start()
    holds(other, second)


def test_guards_go_and_come_with_the_nodes(pair: list[tuple[Installation, dict[str, Any]]]) -> None:
    installation, instance = pair[0]

    assert installation.run("down").returncode == 0
    assert who_gets_in([instance["ip"]], instance["port"]) == {FRIEND}
    stopped = installation.run("down", "--all")
    assert stopped.returncode == 0, stopped.stderr
    assert not table_of(installation)
    holds(*pair[1])
    installation.stop()
    installation.start()

    installation.wait(instance["instance_id"])
    holds(installation, instance)


def test_a_restoration_and_another_port(installation: Installation, instance: dict[str, Any]) -> None:
    one = f"/instances/{instance['instance_id']}"
    with installation.http() as api:
        backup = api.post(f"{one}/backups", json={"backup_format": "rdb"}).json()["backup_id"]

        def is_done() -> bool:
            [record] = api.get(f"{one}/backups").json()["backup_record_response"]
            return bool(record["status"] == "succeed")

        eventually(is_done, 60)
        answer = api.post(f"{one}/restores", json={"backup_id": backup})
        assert answer.status_code == 200, answer.text
        installation.wait(instance["instance_id"])
        holds(installation, instance)
        answer = api.put(one, json={"port": 6400})
        assert answer.status_code == 204, answer.text
        eventually(lambda: api.get(one).json()["port"] == 6400)
    installation.wait(instance["instance_id"])
    holds(installation, instance)


def test_what_is_imported_gets_in(installation: Installation, instance: dict[str, Any]) -> None:
    with visiting(instance["ip"], instance["port"], FRIEND) as friend:
        assert friend.ask("SET k before") == b"+OK"
        assert installation.run("backup", "create", "guarded", "--wait").returncode == 0
        assert friend.ask("FLUSHALL") == b"+OK"
        done = installation.run("migration", "import", "guarded", "--from", "guarded", "--wait")
        assert done.returncode == 0, done.stderr
        assert friend.ask("EXISTS k") == b":1"


def test_a_cluster_that_loses_a_master_and_grows(installation: Installation) -> None:
    made = installation.create("guarded-cluster", "redis.cluster.xu1.large.r2.4", capacity=4)
    write(installation, made, ONLY_FRIENDS)
    address, pid = next(iter(installation.node_pids(made["instance_id"]).items()))
    psutil.Process(pid).kill()
    eventually(lambda: installation.node_pids(made["instance_id"]).get(address, pid) != pid, 60)
    eventually(lambda: installation.show(made["instance_id"])["status"] == "RUNNING", 60)
    holds(installation, made)

    resized(installation, made, "redis.cluster.xu1.large.r2.8", 8)

    holds(installation, made)
    write(installation, made, {"enable_whitelist": False, "whitelist": []})
    assert client_of(installation.show(made["instance_id"]) | {"ip": address}).ping()
    with installation.http() as api:
        api.delete(f"/instances/{made['instance_id']}")
    installation.wait_gone(made["instance_id"])


def test_a_service_that_is_killed_finishes_what_it_began(
    installation: Installation, instance: dict[str, Any]
) -> None:
    others = {"enable_whitelist": True, "whitelist": [{"group_name": "net", "ip_list": ["127.9.0.0/16"]}]}
    with installation.http() as api:
        answer = api.put(f"/instance/{instance['instance_id']}/whitelist-async", json=others)
        installation.kill()
    assert answer.status_code == 200, answer.text

    installation.start()
    installation.wait(instance["instance_id"])

    assert who_gets_in([instance["ip"]], instance["port"]) == {STRANGER}
