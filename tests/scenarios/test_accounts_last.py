"""Accounts are there after whatever becomes of an instance: on nodes that come, come back, or take another's place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from archived import begin_backup, ended, restore
from installation import PASSWORD, Installation, client_of, eventually
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode
from redis.retry import Retry
from resizes import resized
from witnesses import NodeSeen, agreed, assert_nothing_is_left_over

WORD = "Acc0unt-word"
FLAVORS = {
    "ha": ("redis.ha.xu1.large.r2.1", 1),
    "split": ("redis.ha.xu1.large.p2.1", 1),
    "cluster": ("redis.cluster.xu1.large.r2.4", 4),
    "proxy": ("redis.proxy.xu1.large.4", 4),
}
LARGER = {
    "ha": ("redis.ha.xu1.large.r3.1", 1, "createReplication"),
    "split": ("redis.ha.xu1.large.p3.1", 1, "createReplication"),
    "cluster": ("redis.cluster.xu1.large.r2.s1.4", 4, None),
    "proxy": ("redis.proxy.xu1.large.s1.4", 4, None),
}
"""Replicas and shards that were not there when the accounts were made."""
BEHIND_PROXIES = ("split", "proxy")
TO_ANOTHER = {"change_type": "instanceType"}
each_kind = pytest.mark.parametrize("instance", FLAVORS, indirect=True)


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


@pytest.fixture
def instance(request: pytest.FixtureRequest, installation: Installation) -> Iterator[dict[str, Any]]:
    """One of the kind asked for, with an account that writes and one that only reads."""
    kind = getattr(request, "param", "ha")
    flavor, gb = FLAVORS[kind]
    made = installation.create("with-accounts", flavor, capacity=gb, engine_version="5.0")
    for name, role in (("writer", "write"), ("reader", "read")):
        add(installation, made, name, role)
        eventually(lambda name=name: statuses(installation, made)[name] == "AVAILABLE")
    holds(made)
    yield made
    with installation.http() as api:
        assert api.delete(f"/instances/{made['instance_id']}").status_code == 204
    installation.wait_gone(made["instance_id"])


def add(installation: Installation, instance: dict[str, Any], name: str, role: str) -> None:
    body = {"account_name": name, "account_role": role, "account_password": WORD}
    with installation.http() as api:
        answer = api.post(f"/instances/{instance['instance_id']}/accounts", json=body)
    assert answer.status_code == 200, answer.text


def statuses(installation: Installation, instance: dict[str, Any]) -> dict[str, str]:
    with installation.http() as api:
        listed = api.get(f"/instances/{instance['instance_id']}/accounts").json()["accounts"]
    return {one["account_name"]: one["status"] for one in listed}


def account(at: dict[str, Any], name: str, password: str = WORD) -> redis.Redis:
    return client_of(at, password, username=name, socket_timeout=10, protocol=2, retry=Retry(NoBackoff(), 0))


def reader_by_password(at: dict[str, Any]) -> redis.Redis:
    """The reader, as clients log in that know of a password only."""
    return client_of(at, f"reader:{WORD}", socket_timeout=10, protocol=2, retry=Retry(NoBackoff(), 0))


def place_of(instance: dict[str, Any], key: str) -> dict[str, Any]:
    """Where a client finds the key: in a cluster at one of its nodes."""
    if instance["cache_mode"] != "cluster":
        return instance
    seeds = [ClusterNode(address, instance["port"]) for address in instance["ip"].split(",")]
    with redis.RedisCluster(startup_nodes=seeds, password=PASSWORD) as cluster:
        node = cluster.get_node_from_key(key)
        assert node is not None
        return {"ip": node.host, "port": node.port}


def cannot_write(reader: redis.Redis) -> None:
    with pytest.raises(redis.exceptions.NoPermissionError):
        reader.set("k", "2")


def has_proxies(instance: dict[str, Any]) -> bool:
    return instance["cache_mode"] in ("ha_rw_split", "proxy")


def holds(instance: dict[str, Any]) -> None:
    """Whoever comes in, as often as there may be proxies to come to, may do what the account may and no more."""

    def look() -> bool:
        at = place_of(instance, "k")
        for _ in range(6):
            with account(at, "writer") as writer, account(at, "reader") as reader:
                assert writer.set("k", "1")
                assert reader.exists("k") in (0, 1)
                cannot_write(reader)
                with pytest.raises(redis.exceptions.RedisError, match=r"permission|executing the script"):
                    reader.eval("return redis.call('set', KEYS[1], '2')", 1, "k")
                assert writer.get("k") == "1"
            with account(at, "reader", "Wr0ng-word") as stranger, pytest.raises(redis.AuthenticationError):
                stranger.ping()
            if has_proxies(instance):
                with reader_by_password(at) as reader:
                    assert reader.exists("k") in (0, 1)
                    cannot_write(reader)
        return True

    eventually(look)


def holds_everywhere(installation: Installation, instance: dict[str, Any]) -> None:
    """The same wherever there is a node to come to: at nodes, or at the proxies and at no node behind them."""
    now = installation.show(instance["instance_id"])
    assert now is not None
    holds(now)
    nodes = nodes_of(installation, now)
    assert len(nodes) >= 2
    for node in nodes:
        at = {"ip": node.address, "port": now["port"]}
        if has_proxies(now):
            with account(at, "writer") as writer, pytest.raises(redis.AuthenticationError):
                writer.ping()
        else:
            with account(at, "reader") as reader:
                assert eventually(lambda reader=reader: reader.ping())
                cannot_write(reader)


def nodes_of(installation: Installation, instance: dict[str, Any]) -> list[NodeSeen]:
    """The nodes, as soon as all witnesses say the same of them: Sentinels take a while to know each other."""
    return eventually(lambda: agreed(installation, instance), 60)


def master_of(installation: Installation, instance: dict[str, Any]) -> NodeSeen:
    """A node that is master, the first one where there are several."""
    masters = (node for node in nodes_of(installation, instance) if node.role == "master")
    return min(masters, key=lambda node: node.group)


@each_kind
def test_a_lost_master_and_a_restart(installation: Installation, instance: dict[str, Any]) -> None:
    before = master_of(installation, instance)
    psutil.Process(before.pid).kill()
    eventually(lambda: master_of(installation, instance).pid != before.pid, 60)
    holds_everywhere(installation, instance)
    with installation.http() as api:
        answer = api.put("/instances/status", json={"action": "restart", "instances": [instance["instance_id"]]})
        assert answer.json()["results"][0]["result"] == "success"
    installation.wait(instance["instance_id"], seconds=60)
    holds_everywhere(installation, instance)


@pytest.mark.parametrize("instance", BEHIND_PROXIES, indirect=True)
def test_lost_proxies(installation: Installation, instance: dict[str, Any]) -> None:
    nodes = {node.address for node in nodes_of(installation, instance)}
    before = {pid for at, pid in installation.node_pids(instance["instance_id"]).items() if at not in nodes}
    assert len(before) >= 2
    for pid in before:
        psutil.Process(pid).kill()

    def are_back() -> bool:
        pids = installation.node_pids(instance["instance_id"])
        now = {pid for at, pid in pids.items() if at not in nodes and psutil.pid_exists(pid)}
        return len(now) == len(before) and not now & before

    eventually(are_back, 60)
    holds_everywhere(installation, instance)


@each_kind
def test_new_replicas_and_shards(
    request: pytest.FixtureRequest, installation: Installation, instance: dict[str, Any]
) -> None:
    flavor, gb, change = LARGER[request.node.callspec.params["instance"]]
    before = len(nodes_of(installation, instance))
    resized(installation, instance, flavor, gb, **({"change_type": change} if change else {}))
    assert len(nodes_of(installation, instance)) > before
    holds_everywhere(installation, instance)


def test_every_change_of_type(installation: Installation, instance: dict[str, Any]) -> None:
    for kind in ("split", "proxy", "ha", "proxy", "split", "ha"):
        resized(installation, instance, *FLAVORS[kind], **TO_ANOTHER)
        holds_everywhere(installation, instance)


@each_kind
def test_a_restoration(installation: Installation, instance: dict[str, Any]) -> None:
    before = place_of(instance, "k")
    with account(before, "writer") as writer:
        writer.set("k", "of the backup")
    backup = ended(installation, instance, "backups", begin_backup(installation, instance))
    assert backup["status"] == "succeed"
    # Who came after the backup stays: accounts are no data.
    add(installation, instance, "later", "read")
    eventually(lambda: statuses(installation, instance)["later"] == "AVAILABLE")
    with account(before, "writer") as writer:
        writer.set("k", "of later")
    assert restore(installation, instance, backup)["status"] == "succeed"
    nodes_of(installation, instance)
    with account(place_of(instance, "k"), "later") as later:
        assert eventually(lambda: later.get("k") == "of the backup")
        cannot_write(later)
    holds_everywhere(installation, instance)


def test_a_service_that_is_killed_finishes_what_it_began(
    installation: Installation, instance: dict[str, Any]
) -> None:
    for number in range(3):
        add(installation, instance, f"begun-{number}", "read")
        installation.kill()
        installation.start()
        wanted = f"begun-{number}"
        eventually(lambda wanted=wanted: statuses(installation, instance).get(wanted) == "AVAILABLE", 60)
        with account(instance, wanted) as begun:
            assert begun.ping()
            with pytest.raises(redis.exceptions.NoPermissionError):
                begun.set("k", "2")
