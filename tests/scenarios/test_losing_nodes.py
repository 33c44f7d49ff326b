"""Nodes, Sentinels and whole instances are lost while a client writes to the instance's address.

What a client may rely on: the address can be written to again within seconds, and the count that it reads then
lacks at most the writes of the last moment (replication is asynchronous: a write is acknowledged by the master
before its replica has it).
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from installation import HA, SINGLE, Installation, client_of, eventually
from witnesses import BOUND, COUNTER, LAST_MOMENT, NodeSeen, Writer, agreed, assert_nothing_is_left_over


@pytest.fixture(scope="module")
def instance(installation: Installation) -> dict[str, Any]:
    """The instance whose nodes are lost."""
    return installation.create("watched", HA)


@pytest.fixture
def writer(installation: Installation, instance: dict[str, Any]) -> Iterator[Writer]:
    """A client that writes all the time; in the end everything is as it was."""
    whole(installation, instance)
    with Writer(instance) as writer:
        yield writer
        writer.wait_for_writes()
    assert_nothing_is_left_over(installation)


def nodes_of(installation: Installation, instance: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The instance's nodes by role, as the engines themselves have it."""
    found = {}
    for address, pid in installation.node_pids(instance["instance_id"]).items():
        with client_of({"ip": address, "port": instance["port"]}, socket_timeout=1) as client:
            found[client.info("replication")["role"]] = {"address": address, "pid": pid}
    return found


def whole(installation: Installation, instance: dict[str, Any]) -> dict[str, NodeSeen]:
    """API, nodes and Sentinels say that the instance is well, and its address is the master's; nodes by role."""

    def look() -> dict[str, NodeSeen]:
        nodes = {node.role: node for node in agreed(installation, instance)}
        with client_of(instance) as client:
            facts = client.info("replication")
        assert facts["role"] == "master"
        assert facts["slave0"]["state"] == "online"
        return nodes

    return eventually(look, 60)


def test_a_killed_master_is_replaced_and_comes_back_as_a_replica(
    installation: Installation, instance: dict[str, Any], writer: Writer
):
    before = whole(installation, instance)
    acknowledged = writer.wait_for_writes()
    psutil.Process(before["master"].pid).kill()
    wait_for_gap(writer)

    after = whole(installation, instance)
    assert after["master"].address == before["slave"].address
    assert after["slave"].address == before["master"].address
    assert writer.gaps[0] < BOUND
    assert writer.acknowledged >= acknowledged - LAST_MOMENT


def test_a_frozen_master_is_replaced(installation: Installation, instance: dict[str, Any], writer: Writer):
    before = whole(installation, instance)
    acknowledged = writer.wait_for_writes()
    psutil.Process(before["master"].pid).suspend()
    wait_for_gap(writer)

    after = whole(installation, instance)
    assert after["master"].address == before["slave"].address
    assert writer.gaps[0] < BOUND
    assert writer.acknowledged >= acknowledged - LAST_MOMENT


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_clients_do_not_notice_the_loss_of_a_replica(
    installation: Installation, instance: dict[str, Any], writer: Writer, how: signal.Signals
):
    before = whole(installation, instance)
    psutil.Process(before["slave"].pid).send_signal(how)
    eventually(lambda: nodes_of(installation, instance)["slave"]["pid"] != before["slave"].pid)

    after = whole(installation, instance)
    assert after["master"] == before["master"]
    assert writer.failures == []


def test_clients_do_not_notice_the_loss_of_a_sentinel_and_the_next_failover_works(
    installation: Installation, instance: dict[str, Any], writer: Writer
):
    lost = installation.node_pids("sentinel").popitem()
    psutil.Process(lost[1]).kill()
    eventually(lambda: installation.node_pids("sentinel").get(lost[0]) not in (None, lost[1]))
    assert writer.failures == []

    psutil.Process(whole(installation, instance)["master"].pid).kill()
    wait_for_gap(writer)
    whole(installation, instance)


def test_an_instance_is_made_while_a_sentinel_is_lost(installation: Installation):
    with installation.http() as api:
        psutil.Process(installation.node_pids("sentinel").popitem()[1]).kill()
        answer = api.post("/instances", json=installation.order("meanwhile", HA))
    instance_id = answer.json()["instances"][0]["instance_id"]
    installation.wait(instance_id)
    with installation.http() as api:
        api.delete(f"/instances/{instance_id}")
    installation.wait_gone(instance_id)


def test_all_nodes_of_an_instance_are_lost_at_once(
    installation: Installation, instance: dict[str, Any], writer: Writer
):
    acknowledged = count_that_both_have(installation, instance)
    kill_all(installation.node_pids(instance["instance_id"]).values())
    wait_for_gap(writer)

    whole(installation, instance)
    # The append-only file is synced once a second.
    assert writer.wait_for_writes() >= acknowledged


def test_everything_on_the_machine_is_lost_and_the_newer_master_leads(
    installation: Installation, instance: dict[str, Any]
):
    first = whole(installation, instance)
    installation.kill()
    psutil.Process(first["master"].pid).kill()
    with Writer(instance) as writer:
        count = writer.acknowledged
        time.sleep(1.2)  # The new master syncs its append-only file once a second; there is no replica to ask.
    kill_all(process.pid for process in installation.node_processes())
    eventually(lambda: not installation.node_processes())
    installation.start()

    after = whole(installation, instance)
    assert after["master"].address == first["slave"].address
    with client_of(instance) as client:
        assert int(client.get(COUNTER)) >= count
    assert_nothing_is_left_over(installation)


def test_a_master_is_lost_while_the_service_is_down(
    installation: Installation, instance: dict[str, Any], writer: Writer
):
    before = whole(installation, instance)
    installation.stop()
    acknowledged = writer.wait_for_writes()
    psutil.Process(before["master"].pid).kill()
    wait_for_gap(writer)
    assert writer.acknowledged >= acknowledged - LAST_MOMENT

    installation.start()
    after = whole(installation, instance)
    assert after["master"].address == before["slave"].address
    assert len(writer.gaps) == 1, "the start of the service is not noticed"


def test_a_master_freezes_while_the_service_is_down(
    installation: Installation, instance: dict[str, Any], writer: Writer
):
    before = whole(installation, instance)
    installation.kill()
    psutil.Process(before["master"].pid).suspend()
    wait_for_gap(writer)

    installation.start()
    assert whole(installation, instance)["master"].address == before["slave"].address


def test_the_service_starts_while_a_failover_is_due(
    installation: Installation, instance: dict[str, Any], writer: Writer
):
    before = whole(installation, instance)
    installation.kill()
    psutil.Process(before["master"].pid).kill()
    installation.start()
    wait_for_gap(writer)

    whole(installation, instance)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_a_new_master_is_lost_before_the_sentinels_know_it(
    installation: Installation, instance: dict[str, Any], writer: Writer, how: signal.Signals
):
    for number in range(5):
        # Not `whole`: the next one goes as soon as its predecessor's successor takes writes and has a replica.
        before = eventually(lambda: with_replica(installation, instance))
        psutil.Process(before["master"]["pid"]).send_signal(how)
        wait_for_gap(writer, number + 1)

    whole(installation, instance)
    assert max(writer.gaps) < BOUND


def with_replica(installation: Installation, instance: dict[str, Any]) -> dict[str, dict[str, Any]] | None:
    nodes = nodes_of(installation, instance)
    with client_of(instance) as client:
        facts = client.info("replication")
    return nodes if facts["role"] == "master" and facts["slave0"]["state"] == "online" else None


def test_ten_failovers_in_a_row(installation: Installation, instance: dict[str, Any], writer: Writer):
    for number in range(10):
        psutil.Process(whole(installation, instance)["master"].pid).kill()
        wait_for_gap(writer, number + 1)

    whole(installation, instance)
    assert max(writer.gaps) < BOUND


def test_a_single_node_is_started_again(installation: Installation):
    single = installation.create("alone", SINGLE)
    with Writer(single) as writer:
        psutil.Process(installation.node_pids(single["instance_id"]).popitem()[1]).kill()
        wait_for_gap(writer)
    installation.wait(single["instance_id"])
    with installation.http() as api:
        api.delete(f"/instances/{single['instance_id']}")
    installation.wait_gone(single["instance_id"])


def wait_for_gap(writer: Writer, count: int = 1) -> None:
    """Writes have failed and are accepted again."""
    eventually(lambda: len(writer.gaps) >= count, 60)


def kill_all(pids: Any) -> None:
    """End them, as near to at once as one can."""
    for pid in list(pids):
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(pid).kill()


def count_that_both_have(installation: Installation, instance: dict[str, Any]) -> int:
    """A count that was acknowledged more than a second ago, so that it is in a file."""
    whole(installation, instance)
    with client_of(instance) as client:
        count = int(client.incr(COUNTER))
    time.sleep(1.2)
    return count
