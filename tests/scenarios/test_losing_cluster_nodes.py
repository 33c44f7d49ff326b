"""Nodes of native clusters, and whole clusters, are lost while a client writes to every shard.

What a client may rely on: a lost master's slots can be written to again within seconds, the other shards notice
nothing that lasts, and at most the writes of the last moment are gone.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from installation import CLUSTER, Installation, eventually
from witnesses import BOUND, LAST_MOMENT, ClusterWriter, NodeSeen, admin_of, agreed, assert_nothing_is_left_over

FOUR_SHARDS = "redis.cluster.xu1.large.r2.s1.4"


@pytest.fixture(scope="module")
def instance(installation: Installation) -> dict[str, Any]:
    """The cluster whose nodes are lost: three shards of two nodes."""
    return installation.create("watched", CLUSTER, capacity=4)


@pytest.fixture
def writer(installation: Installation, instance: dict[str, Any]) -> Iterator[ClusterWriter]:
    """A client that writes to every shard all the time; in the end everything is as it was."""
    whole(installation, instance)
    with ClusterWriter(instance, 3) as writer:
        yield writer
        writer.wait_for_writes()
        whole(installation, instance)
    assert_nothing_is_left_over(installation)
    assert max(writer.lost, default=0) <= LAST_MOMENT, f"acknowledged writes lost at each gap: {writer.lost}"
    print(f"gaps {[round(gap, 3) for gap in writer.gaps]}, writes lost {writer.lost}")


def whole(installation: Installation, instance: dict[str, Any]) -> list[NodeSeen]:
    """API, nodes and cluster say that the instance is well; its nodes, masters first."""
    return eventually(lambda: agreed(installation, instance), 60)


def at(nodes: list[NodeSeen], group: str, role: str) -> NodeSeen:
    return next(node for node in nodes if (node.group, node.role) == (group, role))


def send(nodes: list[NodeSeen], number: signal.Signals = signal.SIGKILL) -> None:
    """Signal them, as near to at once as one can."""
    for node in nodes:
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(node.pid).send_signal(number)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_a_lost_master_is_replaced_and_comes_back_as_a_replica(
    installation: Installation, instance: dict[str, Any], writer: ClusterWriter, how: signal.Signals
):
    before = whole(installation, instance)
    lost = before[0]
    send([lost], how)
    wait_for_gaps(writer, 1)

    after = whole(installation, instance)
    assert at(after, lost.group, "master").address == at(before, lost.group, "slave").address
    assert at(after, lost.group, "slave").address == lost.address
    assert [node for node in after if node.group != lost.group] == [n for n in before if n.group != lost.group]
    assert max(writer.gaps) < BOUND


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
def test_clients_do_not_notice_the_loss_of_a_replica(
    installation: Installation, instance: dict[str, Any], writer: ClusterWriter, how: signal.Signals
):
    before = whole(installation, instance)
    send(before[-1:], how)
    eventually(lambda: installation.node_pids(instance["instance_id"])[before[-1].address] != before[-1].pid)

    assert whole(installation, instance)[:-1] == before[:-1]
    assert writer.failures == []


def test_two_masters_of_three_are_lost_at_once(
    installation: Installation, instance: dict[str, Any], writer: ClusterWriter
):
    before = whole(installation, instance)
    send(before[:2])
    wait_for_gaps(writer, 2)

    after = whole(installation, instance)
    for lost in before[:2]:
        assert at(after, lost.group, "slave").address == lost.address
    assert max(writer.gaps) < BOUND


def test_several_losses_right_after_each_other(
    installation: Installation, instance: dict[str, Any], writer: ClusterWriter
):
    for number in range(6):
        before = whole(installation, instance)
        count = len(writer.gaps)
        send([before[number % 3]])
        wait_for_gaps(writer, count + 1)

    whole(installation, instance)
    # Masters do not vote about one node twice in ten seconds: then it is started again, and serves two seconds later.
    assert max(writer.gaps) < BOUND


def test_a_shard_is_lost_with_all_its_nodes_and_comes_back_with_its_data(
    installation: Installation, instance: dict[str, Any], writer: ClusterWriter
):
    lost = [node for node in whole(installation, instance) if node.group == "group-1"]
    send(lost)
    wait_for_gaps(writer, 1)

    whole(installation, instance)
    assert max(writer.gaps) < BOUND


def test_all_nodes_of_a_cluster_are_lost_at_once(
    installation: Installation, instance: dict[str, Any], writer: ClusterWriter
):
    nodes = whole(installation, instance)
    began = time.monotonic()
    send(nodes)
    wait_for_gaps(writer, 3)

    whole(installation, instance)
    print(f"all nodes killed: whole again after {time.monotonic() - began:.2f} s")
    assert max(writer.gaps) < 30


def test_everything_on_the_machine_is_lost(
    installation: Installation, instance: dict[str, Any], writer: ClusterWriter
):
    whole(installation, instance)
    installation.kill()
    for process in installation.node_processes():
        process.kill()
    eventually(lambda: not installation.node_processes())
    began = time.monotonic()
    installation.start()

    whole(installation, instance)
    print(f"everything killed: whole again {time.monotonic() - began:.2f} s after the start of the service")
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("place", [-1, 0], ids=["a replica", "a master"])
def test_a_node_that_lost_its_folder_is_rebuilt_from_its_shard(
    installation: Installation, instance: dict[str, Any], writer: ClusterWriter, place: int
):
    before = whole(installation, instance)
    lost = before[place]
    remove_folder_of(installation, lost)
    send([lost])

    eventually(lambda: installation.node_pids(instance["instance_id"]).get(lost.address) not in (None, lost.pid))
    after = whole(installation, instance)
    assert at(after, lost.group, "slave").address == lost.address
    assert max(writer.gaps, default=0) < 3


def test_rebuilding_goes_on_where_the_service_was_killed(
    installation: Installation, instance: dict[str, Any], writer: ClusterWriter
):
    for _ in range(2):
        lost = at(whole(installation, instance), "group-1", "slave")
        remove_folder_of(installation, lost)
        with (installation.folder / "service.log").open() as log:
            log.seek(0, 2)
            send([lost])
            eventually(lambda: "node started again" in log.read())
        installation.kill()
        installation.start()

        assert lost.address in {node.address for node in whole(installation, instance)}


def test_a_replica_that_was_left_out_of_elections_stands_for_them_again(
    installation: Installation, instance: dict[str, Any], writer: ClusterWriter
):
    replica = whole(installation, instance)[-1]
    with admin_of(installation, instance, replica.address) as admin:
        admin.config_set("cluster-slave-no-failover", "yes")
        eventually(lambda: "no" in admin.config_get("cluster-slave-no-failover").values())
    master = at(whole(installation, instance), replica.group, "master")
    send([master])
    wait_for_gaps(writer, 1)

    assert at(whole(installation, instance), replica.group, "master").address == replica.address


def remove_folder_of(installation: Installation, node: NodeSeen) -> None:
    """Of the running process, as an accident would."""
    shutil.rmtree(psutil.Process(node.pid).cwd())


def test_a_master_is_lost_while_the_service_is_down(
    installation: Installation, instance: dict[str, Any], writer: ClusterWriter
):
    before = whole(installation, instance)
    installation.stop()
    send(before[:1])
    wait_for_gaps(writer, 1)
    count = len(writer.gaps)

    installation.start()
    after = whole(installation, instance)
    assert at(after, before[0].group, "slave").address == before[0].address
    assert len(writer.gaps) == count, "the start of the service is not noticed"


def test_the_service_starts_right_after_the_loss_of_a_master(
    installation: Installation, instance: dict[str, Any], writer: ClusterWriter
):
    before = whole(installation, instance)
    installation.kill()
    send(before[:1])
    installation.start()
    wait_for_gaps(writer, 1)

    whole(installation, instance)


def test_a_shard_that_lost_every_folder_is_told_and_nothing_is_made_up(
    installation: Installation, writer: ClusterWriter
):
    with four_shards(installation) as other:
        nodes = whole(installation, other)
        # Two masters of four are no majority either.
        with ClusterWriter(other, 4) as also:
            send(nodes[:2])
            wait_for_gaps(also, 2)
        lost = [node for node in whole(installation, other) if node.group == "group-2"]
        for node in lost:
            remove_folder_of(installation, node)
        send(lost)
        installation.wait(other["instance_id"], "ERROR")
        eventually(lambda: "shards have lost every folder" in installation.log())
    assert writer.failures == []


@contextlib.contextmanager
def four_shards(installation: Installation) -> Iterator[dict[str, Any]]:
    """Another cluster, gone in the end."""
    made = installation.create("other", FOUR_SHARDS, capacity=4)
    yield made
    with installation.http() as api:
        api.delete(f"/instances/{made['instance_id']}")
    installation.wait_gone(made["instance_id"])


def wait_for_gaps(writer: ClusterWriter, count: int) -> None:
    """Writes to this many shards have failed and are accepted again."""
    eventually(lambda: len(writer.gaps) >= count, 60)
