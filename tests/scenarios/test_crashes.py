"""The service is killed in the middle of every kind of change, and started again.

Each change ends as if nothing had happened or says that it failed; nothing is left over; and whoever uses another
instance notices nothing at all.
"""

from __future__ import annotations

import ipaddress
import itertools
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from crashes import ANSWERED, Crash, settled
from installation import HA, PASSWORD, SINGLE, Installation, client_of, eventually
from witnesses import Writer, agreed, assert_nothing_is_left_over, running_nodes

from cachestead.engine.catalogue import find_engines
from cachestead.settings import EngineSettings

OTHER_PASSWORD = "An0ther-word"
_numbers = itertools.count(1)


def fresh(name: str) -> str:
    """A name that no earlier attempt at the same test has left behind."""
    return f"{name}-{next(_numbers):03}"


@pytest.fixture(scope="module")
def neighbour(installation: Installation) -> Iterator[Writer]:
    """Another instance, written to all the time."""
    with Writer(installation.create("neighbour", HA)) as writer:
        yield writer


@pytest.fixture(scope="module")
def changed(installation: Installation) -> dict[str, Any]:
    """The instance that is changed again and again."""
    return installation.create("changed", HA)


@pytest.fixture(autouse=True)
def undisturbed(neighbour: Writer, installation: Installation) -> Iterator[None]:
    """Nothing that happens in a test reaches the neighbour, and nothing is left over."""
    yield
    if installation.process is None:
        installation.start()
    neighbour.wait_for_writes()
    assert neighbour.failures == []
    eventually(lambda: agreed(installation, neighbour.instance))
    assert_nothing_is_left_over(installation)


@pytest.fixture
def crash(installation: Installation) -> Crash:
    """The means to kill the service."""
    return Crash(installation)


def assert_serves(instance: dict[str, Any] | None, password: str | None = PASSWORD) -> None:
    """The instance is RUNNING and takes writes."""
    assert instance is not None
    assert instance["status"] == "RUNNING", instance["fail_reason"]
    with client_of(instance, password) as client:
        assert client.set("served", "yes")
        assert client.get("served") == "yes"


def list_created(installation: Installation, prefix: str) -> list[dict[str, Any]]:
    """Instances with such a name, also those that failed."""
    with installation.http() as api:
        query = {"name": prefix, "include_failure": "true", "limit": 100}
        found: list[dict[str, Any]] = api.get("/instances", params=query).json()["instances"]
    return found


def remove_all(installation: Installation, found: list[dict[str, Any]]) -> None:
    """None of them is left."""
    with installation.http() as api:
        api.request("DELETE", "/instances", json={"instances": [one["instance_id"] for one in found]})
    for one in found:
        installation.wait_gone(one["instance_id"])


@pytest.mark.parametrize(
    ("flavor", "moment"),
    [
        (SINGLE, ANSWERED),
        (SINGLE, "start_nodes"),
        (SINGLE, "verify"),
        (HA, ANSWERED),
        (HA, "choose_engine"),
        (HA, "start_nodes"),
        (HA, "await_replication"),
        (HA, "open_endpoint"),
        (HA, "watch_instance"),
        (HA, "verify"),
    ],
)
def test_an_instance_is_made_although_the_service_is_killed(
    installation: Installation, crash: Crash, flavor: str, moment: str
):
    name = fresh("created")
    order = installation.order(name, flavor)
    crash.during(lambda api: api.post("/instances", json=order), moment)

    found = [settled(installation, one["instance_id"]) for one in list_created(installation, name)]
    assert len(found) == 1
    assert_serves(found[0])
    assert_nothing_is_left_over(installation)
    remove_all(installation, found)


@pytest.mark.parametrize("moment", [ANSWERED, "start_nodes", "verify"])
def test_a_batch_of_twenty_is_made_although_the_service_is_killed(
    installation: Installation, crash: Crash, moment: str
):
    name = fresh("batch")
    order = installation.order(name, instance_num=20)
    answer = crash.during(lambda api: api.post("/instances", json=order), moment)

    listed = list_created(installation, name)
    assert len(listed) == 20, "all or none were promised, and the steps show that they were"
    if answer is not None:
        assert {one["instance_id"] for one in answer.json()["instances"]} == {one["instance_id"] for one in listed}
    for one in listed:
        assert_serves(settled(installation, one["instance_id"]))
    assert_nothing_is_left_over(installation)
    remove_all(installation, listed)


@pytest.mark.parametrize(
    ("flavor", "moment"),
    [
        (SINGLE, "remove_nodes"),
        (HA, ANSWERED),
        (HA, "unwatch_instance"),
        (HA, "remove_nodes"),
        (HA, "release_records"),
    ],
)
def test_an_instance_is_gone_although_the_service_is_killed(
    installation: Installation, crash: Crash, flavor: str, moment: str
):
    instance_id = installation.create("removed", flavor)["instance_id"]
    crash.during(lambda api: api.delete(f"/instances/{instance_id}"), moment)

    assert settled(installation, instance_id) is None


_START = ["start_nodes", "await_replication", "open_endpoint", "watch_instance", "verify"]


@pytest.mark.parametrize(
    ("action", "moment"),
    [
        ("soft_restart", "stop_nodes"),
        *(("restart", moment) for moment in (ANSWERED, "unwatch_instance", "stop_nodes", *_START)),
    ],
)
def test_an_instance_is_restarted_although_the_service_is_killed(
    installation: Installation, crash: Crash, changed: dict[str, Any], action: str, moment: str
):
    before = installation.node_pids(changed["instance_id"])
    body = {"action": action, "instances": [changed["instance_id"]]}
    crash.during(lambda api: api.put("/instances/status", json=body), moment)

    assert_serves(settled(installation, changed["instance_id"]))
    after = installation.node_pids(changed["instance_id"])
    assert before.keys() == after.keys()
    assert not {*before.values()} & {*after.values()}, "every node is a new process"


@pytest.mark.parametrize("moment", [ANSWERED, "flush_masters"])
def test_an_instance_is_flushed_although_the_service_is_killed(
    installation: Installation, crash: Crash, changed: dict[str, Any], moment: str
):
    with client_of(changed) as client:
        client.set("old", "value")
    body = {"action": "flush", "instances": [changed["instance_id"]]}
    crash.during(lambda api: api.put("/instances/status", json=body), moment)

    instance = settled(installation, changed["instance_id"])
    with client_of(changed) as client:
        assert client.exists("old") == 0
    assert_serves(instance)


@pytest.mark.parametrize("moment", ["set_on_nodes", "save_password", ANSWERED])
def test_a_new_password_is_in_force_on_every_node_although_the_service_is_killed(
    installation: Installation, crash: Crash, changed: dict[str, Any], moment: str
):
    path = f"/instances/{changed['instance_id']}/password/reset"
    crash.during(lambda api: api.post(path, json={"new_password": OTHER_PASSWORD}), moment)

    assert_serves(settled(installation, changed["instance_id"]), OTHER_PASSWORD)
    for address in installation.node_pids(changed["instance_id"]):
        node = {"ip": address, "port": changed["port"]}
        assert client_of(node, OTHER_PASSWORD).ping()
        with pytest.raises(redis.AuthenticationError):
            client_of(node, PASSWORD).ping()
    with installation.http() as api:
        back = api.post(path, json={"new_password": PASSWORD}).json()
    assert back.get("message") == "success", back


@pytest.mark.parametrize(
    "moment",
    [
        ANSWERED,
        *("look_away", "move_nodes", "save_port", "await_replication", "open_endpoint", "watch_instance"),
        "verify",
    ],
)
def test_a_new_port_is_in_force_on_every_node_although_the_service_is_killed(
    installation: Installation, crash: Crash, changed: dict[str, Any], moment: str
):
    instance_id = changed["instance_id"]
    old = installation.wait(instance_id)["port"]
    new = old + 1
    crash.during(lambda api: api.put(f"/instances/{instance_id}", json={"port": new}), moment)

    instance = settled(installation, instance_id)
    changed["port"] = new
    assert_serves(instance)
    assert instance["port"] == new
    for address in installation.node_pids(instance_id):
        assert client_of({"ip": address, "port": new}).ping()
        with pytest.raises(redis.ConnectionError):
            client_of({"ip": address, "port": old}).ping()


@pytest.mark.parametrize("moment", [ANSWERED, "stop_nodes", "save_new_names", "start_nodes", "watch_instance"])
def test_commands_are_renamed_although_the_service_is_killed(
    installation: Installation, crash: Crash, changed: dict[str, Any], moment: str
):
    names = {"keys": f"keys{time.monotonic_ns()}"}
    path = f"/instances/{changed['instance_id']}"
    crash.during(lambda api: api.put(path, json={"rename_commands": names}), moment)

    assert_serves(settled(installation, changed["instance_id"]))
    with client_of(changed) as client:
        client.flushall()
        assert client.execute_command(names["keys"], "*") == []
        with pytest.raises(redis.ResponseError):
            client.keys("*")


def test_nodes_and_their_clients_survive_a_stop_and_a_start(installation: Installation, changed: dict[str, Any]):
    before = installation.node_pids(changed["instance_id"])
    with Writer(changed) as writer:
        installation.stop()
        writer.wait_for_writes()
        installation.start()
        writer.wait_for_writes()

    assert writer.failures == []
    assert installation.node_pids(changed["instance_id"]) == before


def test_work_under_way_at_a_stop_goes_on_at_the_next_start(installation: Installation):
    installation.settings["SERVER__STOP_GRACE_SECONDS"] = "0"
    installation.stop()
    installation.start()
    name = fresh("stopped")
    with installation.http() as api:
        api.post("/instances", json=installation.order(name, instance_num=20)).raise_for_status()
    installation.stop()
    del installation.settings["SERVER__STOP_GRACE_SECONDS"]
    installation.start()

    found = list_created(installation, name)
    assert len(found) == 20
    for one in found:
        assert_serves(settled(installation, one["instance_id"]))
    remove_all(installation, found)


def test_down_all_leaves_no_process(fresh_installation: Installation):
    instance = fresh_installation.start().create("left", HA)
    with client_of(instance) as client:
        client.set("kept", "value")
        client.wait(1, 1000)
    answer = fresh_installation.run("down", "--all")

    assert answer.returncode == 0, answer.stderr
    assert running_nodes(fresh_installation) == []
    fresh_installation.start()
    fresh_installation.wait(instance["instance_id"])
    with client_of(instance) as client:
        assert client.get("kept") == "value"


@pytest.fixture
def broken(fresh_installation: Installation, tmp_path: Path) -> Installation:
    """A service whose engine starts as a Sentinel, and ends at once as anything else."""
    real = find_engines(EngineSettings()).newest()
    script = tmp_path / "valkey-server"
    script.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *--sentinel*|*--version*|-v) exec {real.path} "$@";; esac\n'
        "echo 'it is broken' >&2\nexit 1\n"
    )
    script.chmod(0o755)
    fresh_installation.settings["ENGINE__BINARIES"] = json.dumps([str(script)])
    fresh_installation.settings["ENGINE__SEARCH_PATH"] = "false"
    return fresh_installation.start()


@pytest.mark.parametrize("flavor", [SINGLE, HA])
def test_what_cannot_be_made_fails_with_a_reason_and_leaves_nothing(broken: Installation, flavor: str):
    order = broken.order("unmade", flavor, engine_version="7.0")
    with broken.http() as api:
        made = api.post("/instances", json=order).json()["instances"][0]["instance_id"]
        failed = broken.wait(made, "CREATEFAILED")

        assert "it is broken" in failed["fail_reason"]
        assert_nothing_is_left_over(broken)
        assert api.delete(f"/instances/{made}").status_code == 204
    broken.wait_gone(made)
    assert_nothing_is_left_over(broken)


def test_all_that_failed_can_be_removed_at_once(broken: Installation):
    with broken.http() as api:
        answer = api.post("/instances", json=broken.order("unmade", instance_num=3))
        made = [one["instance_id"] for one in answer.json()["instances"]]
        for one in made:
            broken.wait(one, "CREATEFAILED")
        assert api.delete("/instances", params={"all_failure": "true"}).status_code == 204
    for one in made:
        broken.wait_gone(one)


def test_an_address_that_is_taken_in_between_fails_the_creation_and_nobody_else(installation: Installation):
    address = str(ipaddress.ip_network(installation.subnet)[-2])
    order = installation.order("taken", private_ip=address)
    stopped = psutil.Process(installation.process.pid)
    with socket.socket() as stranger, installation.http() as api:
        # The service is held between planning and starting: a batch before it keeps all its workers busy.
        batch = api.post("/instances", json=installation.order("busy", instance_num=20)).json()["instances"]
        made = api.post("/instances", json=order).json()["instances"][0]["instance_id"]
        stopped.suspend()
        stranger.bind((address, 6379))
        stranger.listen()
        stopped.resume()
        failed = installation.wait(made, "CREATEFAILED")

        assert f"{address}:6379" in failed["fail_reason"]
        api.delete(f"/instances/{made}")
    installation.wait_gone(made)
    for one in batch:
        installation.wait(one["instance_id"])
    remove_all(installation, batch)
