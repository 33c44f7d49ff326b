"""Nodes that keep no file (`appendonly=no`) are lost: what a replica has is never given up for an empty master."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest
from configured import Configured
from installation import CLUSTER, HA, HA_3, Installation, eventually
from witnesses import NodeSeen, admin_of, agreed, ask_sentinels

KEYS = 500


@pytest.fixture(scope="module")
def api(installation: Installation) -> Iterator[httpx.Client]:
    """A client with a token."""
    with installation.http() as client:
        yield client


@contextlib.contextmanager
def made(installation: Installation, api: httpx.Client, flavor: str, gb: float) -> Iterator[dict[str, Any]]:
    """An instance without files, for the length of a block."""
    instance = installation.create("forgetful", flavor, capacity=gb)
    assert Configured(installation, api, instance).set(appendonly="no") == "SUCCESS"
    yield instance
    api.delete(f"/instances/{instance['instance_id']}")
    installation.wait_gone(instance["instance_id"])


def whole(installation: Installation, instance: dict[str, Any]) -> list[NodeSeen]:
    """By every witness' word; masters first."""
    return eventually(lambda: agreed(installation, instance), 90)


def bar(installation: Installation, instance: dict[str, Any], replica: NodeSeen) -> None:
    """Nobody elects the replica. Not to be had through the API, which keeps one that may be."""
    clustered = instance["cache_mode"] == "cluster"
    with admin_of(installation, instance, replica.address) as client:
        if clustered:
            client.config_set("cluster-replica-no-failover", "yes")
            return
        client.config_set("slave-priority", 0)

    def heard() -> bool:
        known = [
            one for answer in ask_sentinels(installation, "REPLICAS", instance["instance_id"]) for one in answer
        ]
        return {one[one.index("slave-priority") + 1] for one in known} == {"0"}

    eventually(heard)


def fill(
    installation: Installation, instance: dict[str, Any], master: NodeSeen, replica: NodeSeen, tag: str
) -> None:
    """Both have the keys."""
    with admin_of(installation, instance, master.address) as client:
        for number in range(KEYS):
            client.set(f"{tag}{number}", number)
    eventually(lambda: keys_at(installation, instance, replica) == KEYS)


def keys_at(installation: Installation, instance: dict[str, Any], node: NodeSeen) -> int:
    with admin_of(installation, instance, node.address) as client:
        return int(client.dbsize())


def is_master(installation: Installation, instance: dict[str, Any], node: NodeSeen) -> bool:
    with admin_of(installation, instance, node.address) as client:
        return bool(client.role()[0] in ("master", b"master"))


def test_a_replica_that_the_sentinels_do_not_take_is_promoted_all_the_same(
    installation: Installation, api: httpx.Client
):
    with made(installation, api, HA, 0.125) as instance:
        master, replica = whole(installation, instance)
        bar(installation, instance, replica)
        fill(installation, instance, master, replica, "")
        psutil.Process(master.pid).kill()
        eventually(lambda: is_master(installation, instance, replica), 60)

        after = whole(installation, instance)
        assert [node.address for node in after] == [replica.address, master.address]
        assert [keys_at(installation, instance, node) for node in after] == [KEYS, KEYS]


def test_a_replica_is_promoted_while_no_sentinel_answers(installation: Installation, api: httpx.Client):
    with made(installation, api, HA, 0.125) as instance:
        master, replica = whole(installation, instance)
        fill(installation, instance, master, replica, "")
        sentinels = [psutil.Process(pid) for pid in installation.node_pids("sentinel").values()]
        for one in sentinels:
            one.suspend()
        try:
            psutil.Process(master.pid).kill()
            eventually(lambda: is_master(installation, instance, replica), 60)
        finally:
            for one in sentinels:
                one.resume()

        after = whole(installation, instance)
        assert [node.address for node in after] == [replica.address, master.address]
        assert [keys_at(installation, instance, node) for node in after] == [KEYS, KEYS]


def test_a_master_is_lost_while_a_replica_is_added(installation: Installation, api: httpx.Client):
    with made(installation, api, "redis.ha.xu1.large.r2.1", 1) as instance:
        master, replica = whole(installation, instance)
        fill(installation, instance, master, replica, "")
        body = {"spec_code": HA_3, "new_capacity": 1, "change_type": "createReplication"}
        path = f"/instances/{instance['instance_id']}/resize"
        answer = api.post(path, json=body | {"available_zones": ["local-1a"]})
        assert answer.status_code == 204, answer.text
        psutil.Process(master.pid).kill()
        installation.wait(instance["instance_id"], seconds=120)

        after = whole(installation, instance)
        assert after[0].address == replica.address
        assert [keys_at(installation, instance, node) for node in after] == [KEYS] * 3


def test_a_shard_s_replica_takes_over_that_nobody_elects(installation: Installation, api: httpx.Client):
    with made(installation, api, CLUSTER, 4) as instance:
        nodes = whole(installation, instance)
        master = nodes[0]
        replica = next(node for node in nodes[1:] if node.group == master.group)
        tag = slot_tag(installation, instance, master)
        fill(installation, instance, master, replica, tag)
        bar(installation, instance, replica)
        psutil.Process(master.pid).kill()
        eventually(lambda: is_master(installation, instance, replica), 60)

        after = [node for node in whole(installation, instance) if node.group == master.group]
        assert [node.address for node in after] == [replica.address, master.address]
        assert [keys_at(installation, instance, node) for node in after] == [KEYS, KEYS]


def slot_tag(installation: Installation, instance: dict[str, Any], master: NodeSeen) -> str:
    """Keys that begin so are the master's."""
    with admin_of(installation, instance, master.address) as client:
        for number in range(1000):
            with contextlib.suppress(Exception):
                client.get(f"{{{number}}}")
                return f"{{{number}}}"
    raise AssertionError("it has no slots")
