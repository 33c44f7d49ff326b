"""Accounts are there after whatever becomes of an instance: on nodes that come, come back, or take another's place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from installation import Installation, client_of, eventually
from redis.backoff import NoBackoff
from redis.retry import Retry
from resizes import resized
from witnesses import agreed, assert_nothing_is_left_over

WORD = "Acc0unt-word"
FLAVORS = {
    "ha": ("redis.ha.xu1.large.r2.1", 1),
    "ha of three": ("redis.ha.xu1.large.r3.1", 1),
    "split": ("redis.ha.xu1.large.p2.1", 1),
    "proxy": ("redis.proxy.xu1.large.4", 4),
}
TO_ANOTHER = {"change_type": "instanceType"}


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
def instance(installation: Installation) -> dict[str, Any]:
    """A master and its standby with an account that writes and one that only reads."""
    flavor, gb = FLAVORS["ha"]
    made = installation.create("with-accounts", flavor, capacity=gb, engine_version="5.0")
    for name, role in (("writer", "write"), ("reader", "read")):
        add(installation, made, name, role)
        eventually(lambda name=name: statuses(installation, made)[name] == "AVAILABLE")
    holds(made)
    return made


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


def holds(instance: dict[str, Any]) -> None:
    """Whoever comes in, as often as there may be proxies to come to, may do what the account may and no more."""

    def look() -> bool:
        for _ in range(6):
            with account(instance, "writer") as writer, account(instance, "reader") as reader:
                assert writer.set("k", "1")
                assert reader.exists("k") in (0, 1)
                with pytest.raises(redis.exceptions.NoPermissionError):
                    reader.set("k", "2")
                with pytest.raises(redis.exceptions.RedisError, match=r"permission|executing the script"):
                    reader.eval("return redis.call('set', KEYS[1], '2')", 1, "k")
                assert writer.get("k") == "1"
            with account(instance, "reader", "Wr0ng-word") as stranger, pytest.raises(redis.AuthenticationError):
                stranger.ping()
        return True

    eventually(look)


def holds_on_every_node(installation: Installation, instance: dict[str, Any]) -> None:
    holds(instance)
    addresses = installation.node_pids(instance["instance_id"])
    assert len(addresses) >= 2
    for address in addresses:
        with account({"ip": address, "port": instance["port"]}, "reader") as reader:
            assert eventually(lambda reader=reader: reader.ping())
            with pytest.raises(redis.exceptions.NoPermissionError):
                reader.set("k", "2")


def master_of(installation: Installation, instance: dict[str, Any]) -> int:
    """Process id of the node that is master."""
    return next(node.pid for node in agreed(installation, instance) if node.role == "master")


def test_a_lost_master_and_a_restart(installation: Installation, instance: dict[str, Any]) -> None:
    before = eventually(lambda: master_of(installation, instance))
    psutil.Process(before).kill()
    eventually(lambda: master_of(installation, instance) != before, 60)
    holds_on_every_node(installation, instance)
    with installation.http() as api:
        api.put("/instances/status", json={"action": "restart", "instances": [instance["instance_id"]]})
    installation.wait(instance["instance_id"])
    holds_on_every_node(installation, instance)


def test_new_replicas_and_every_change_of_type(installation: Installation, instance: dict[str, Any]) -> None:
    flavor, gb = FLAVORS["ha of three"]
    resized(installation, instance, flavor, gb, change_type="createReplication")
    holds_on_every_node(installation, instance)
    for kind in ("split", "proxy", "ha"):
        resized(installation, instance, *FLAVORS[kind], **TO_ANOTHER)
        holds(instance)
    holds_on_every_node(installation, instance)


def test_a_restoration(installation: Installation, instance: dict[str, Any]) -> None:
    one = f"/instances/{instance['instance_id']}"
    with installation.http() as api:
        backup = api.post(f"{one}/backups", json={"backup_format": "rdb"}).json()["backup_id"]

        def is_done() -> bool:
            [record] = api.get(f"{one}/backups").json()["backup_record_response"]
            return bool(record["status"] == "succeed")

        eventually(is_done, 60)
        # Who came after the backup stays: accounts are no data.
        add(installation, instance, "later", "read")
        eventually(lambda: statuses(installation, instance)["later"] == "AVAILABLE")
        assert api.post(f"{one}/restores", json={"backup_id": backup}).status_code == 200
    installation.wait(instance["instance_id"], seconds=60)
    holds_on_every_node(installation, instance)
    with account(instance, "later") as later:
        assert later.ping()


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
