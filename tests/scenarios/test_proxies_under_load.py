"""Proxies, masters and the service itself are lost while clients write through the proxies, and shapes change.

What a client may rely on: it loses its connection with the proxy that it came through and with nothing else, reads
are answered whatever becomes of a node, and writes wait for the next master.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import psutil
import pytest
import redis
from crashes import ANSWERED, Crash, settled
from installation import PASSWORD, PROXY, SPLIT, Installation, client_of, eventually
from ledger import to_address, writing
from redis.backoff import NoBackoff
from redis.retry import Retry
from witnesses import BOUND, LAST_MOMENT, Writer, agreed, assert_nothing_is_left_over, proxies_of

THREE_SHARDS, FOUR_SHARDS = "redis.proxy.xu1.large.s8.24", "redis.proxy.xu1.large.s8.32"
SEVERAL = 12
"""Connections that the kernel spreads over the proxies: hardly ever all on one."""
KINDS = ["clustered", "split"]


@pytest.fixture(scope="module")
def installation(
    tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str | None]
) -> Iterator[Installation]:
    """One that may promise more memory than machines that run tests have."""
    settings = {"CAPACITY__MEMORY_MB": str(1024 * 1024)}
    folder: Path = tmp_path_factory.mktemp("installation")
    installation = Installation(folder, new_database(), settings)
    try:
        yield installation.start()
        assert_nothing_is_left_over(installation)
    finally:
        installation.remove()


@pytest.fixture(scope="module")
def clustered(installation: Installation) -> dict[str, Any]:
    """A Proxy Cluster of three shards of two nodes."""
    return installation.create("proxied", THREE_SHARDS, capacity=24)


@pytest.fixture(scope="module")
def split(installation: Installation) -> dict[str, Any]:
    """A master and a replica that is read from."""
    return installation.create("split", SPLIT, capacity=1)


@pytest.fixture
def proxied(request: pytest.FixtureRequest, installation: Installation) -> Iterator[dict[str, Any]]:
    """One of them, whole before and after."""
    found: dict[str, Any] = request.getfixturevalue(request.param)
    eventually(lambda: agreed(installation, found), 60)
    yield found
    if installation.process is None:
        installation.start()
    eventually(lambda: agreed(installation, found), 60)
    assert_nothing_is_left_over(installation)


both = pytest.mark.parametrize("proxied", KINDS, indirect=True)


@dataclass
class Reader:
    """A client that reads one key all the time over one connection, and remembers what went wrong."""

    instance: dict[str, Any]
    answers: int = 0
    failures: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        with client_of(self.instance) as client:
            client.set("read", "yes")
            eventually(lambda: client.get("read") == "yes")
        self._going = True
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._going = False
        self._thread.join(30)

    def _read(self) -> None:
        with client_of(self.instance, retry=Retry(NoBackoff(), 0), socket_timeout=BOUND) as client:
            while self._going:
                try:
                    assert client.get("read") == "yes"
                    self.answers += 1
                except (redis.RedisError, AssertionError) as failure:
                    self.failures.append(f"{type(failure).__name__}: {failure}")


def connections_by_proxy(
    instance: dict[str, Any], open_clients: contextlib.ExitStack
) -> dict[int, list[redis.Redis]]:
    """New connections to the instance's address, each answered once, by the process that took them."""
    found: dict[int, list[redis.Redis]] = {}
    for _ in range(SEVERAL):
        how = {"retry": Retry(NoBackoff(), 0), "single_connection_client": True}
        client = open_clients.enter_context(client_of(instance, **how))
        assert client.ping()
        assert client.connection is not None
        own = client.connection._sock.getsockname()
        [taken] = [
            one.pid
            for one in psutil.net_connections(kind="tcp4")
            if one.raddr == own and one.laddr.ip == instance["ip"]
        ]
        found.setdefault(taken, []).append(client)
    return found


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "frozen"])
@both
def test_a_lost_proxy_takes_its_own_connections_only_and_comes_back(
    installation: Installation, proxied: dict[str, Any], how: signal.Signals, record_property: Any
):
    before = installation.node_pids(proxied["instance_id"])
    with contextlib.ExitStack() as open_clients:
        by_proxy = connections_by_proxy(proxied, open_clients)
        lost = next(iter(by_proxy))
        psutil.Process(lost).send_signal(how)
        began = time.monotonic()
        [address] = [address for address, pid in before.items() if pid == lost]
        eventually(lambda: installation.node_pids(proxied["instance_id"]).get(address) not in (None, lost))
        back = time.monotonic() - began
        record_property("back_seconds", back)
        assert back < BOUND
        for pid, clients in by_proxy.items():
            for client in clients:
                if pid != lost:
                    assert client.ping()
                    continue
                with pytest.raises(redis.ConnectionError):
                    client.ping()
    after = installation.node_pids(proxied["instance_id"])
    assert {address: pid for address, pid in after.items() if pid != before[address]}.keys() == {address}


@both
def test_an_instance_whose_proxies_all_ended_is_back_at_once(installation: Installation, proxied: dict[str, Any]):
    with Writer(proxied) as writer:
        pids = installation.node_pids(proxied["instance_id"])
        for proxy in proxies_of(installation, proxied["instance_id"]):
            psutil.Process(pids[proxy["node_ip"]]).kill()
        eventually(lambda: writer.gaps)
        writer.wait_for_writes()
    assert writer.gaps[0] < BOUND
    # No node was lost, so no write was.
    assert writer.lost[0] == 0


@both
def test_a_lost_master_is_waited_for(installation: Installation, proxied: dict[str, Any], record_property: Any):
    with Writer(proxied, patience=BOUND) as writer, Reader(proxied) as reader:
        [master, *_] = [one for one in agreed(installation, proxied) if one.role == "master"]
        acknowledged, answers = writer.wait_for_writes(), reader.answers
        psutil.Process(master.pid).kill()
        eventually(lambda: agreed(installation, proxied), 60)
        assert writer.wait_for_writes() >= acknowledged - LAST_MOMENT
        eventually(lambda: reader.answers > answers + 100)
    assert reader.failures == []
    assert max(writer.gaps, default=0) < BOUND
    # A write that was on its way when its master ended may have been done or not: it is not sent again.
    assert len(writer.failures) <= 1, writer.failures
    assert sum(writer.lost) <= LAST_MOMENT
    record_property("gap_seconds", max(writer.gaps, default=0))


@both
def test_masters_are_replaced_and_clients_served_while_the_service_is_away(
    installation: Installation, proxied: dict[str, Any]
):
    nodes = agreed(installation, proxied)
    master = next(one for one in nodes if one.role == "master")
    with Writer(proxied, patience=BOUND) as writer, Reader(proxied) as reader:
        installation.kill()
        writer.wait_for_writes()
        psutil.Process(master.pid).kill()
        writer.wait_for_writes(60)
        with client_of(proxied, socket_timeout=BOUND) as client:
            # Wherever the lost shard's keys are.
            eventually(lambda: all(client.set(f"away-{number}", number) for number in range(50)), 60)
        installation.start()
    assert sum(writer.lost) <= LAST_MOMENT
    assert len(writer.failures) <= 1, writer.failures
    assert reader.failures == []


@both
def test_a_proxy_that_ended_while_the_service_was_away_is_back_with_it(
    installation: Installation, proxied: dict[str, Any]
):
    lost = proxies_of(installation, proxied["instance_id"])[0]["node_ip"]
    pid = installation.node_pids(proxied["instance_id"])[lost]
    installation.kill()
    psutil.Process(pid).kill()
    with Writer(proxied, patience=BOUND) as writer:
        writer.wait_for_writes()
        installation.start()
        eventually(lambda: installation.node_pids(proxied["instance_id"]).get(lost) not in (None, pid))
    # A connection may have come to the proxy in its last moment.
    assert len(writer.failures) <= 1


def resize(api: httpx.Client, instance: dict[str, Any], spec_code: str, gb: float, **wish: Any) -> httpx.Response:
    body = {"spec_code": spec_code, "new_capacity": gb, **wish}
    return api.post(f"/instances/{instance['instance_id']}/resize", json=body)


def resized(installation: Installation, instance: dict[str, Any], spec_code: str, gb: float, **wish: Any) -> None:
    """The instance has the flavor and what goes with it, and every view of it says the same."""
    with installation.http() as api:
        answer = resize(api, instance, spec_code, gb, **wish)
        assert answer.status_code == 204, answer.text
    now = settled(installation, instance["instance_id"])
    assert now is not None
    assert now["spec_code"] == spec_code, last_task(installation, instance)
    eventually(lambda: agreed(installation, now))
    assert_nothing_is_left_over(installation)


def last_task(installation: Installation, instance: dict[str, Any]) -> dict[str, Any]:
    with installation.http() as api:
        task = api.get(f"/instances/{instance['instance_id']}/tasks").json()["tasks"][0]
        return {**task, **api.get(f"/jobs/{task['job_id']}").json()}


def test_a_proxy_cluster_changes_its_shape_while_a_client_writes(
    installation: Installation, clustered: dict[str, Any]
):
    with writing(to_address(clustered)) as ledger:
        resized(installation, clustered, FOUR_SHARDS, 32, change_type="addSharding")
        assert len(proxies_of(installation, clustered["instance_id"])) == 4
        resized(installation, clustered, "redis.proxy.xu1.large.s16.64", 64)
        resized(installation, clustered, FOUR_SHARDS, 32)
        assert ledger.failures == []
        resized(installation, clustered, THREE_SHARDS, 24)
        assert len(proxies_of(installation, clustered["instance_id"])) == 3
    # The fourth proxy took its connections with it.
    assert len(ledger.failures) <= 1, ledger.failures
    assert ledger.lost() == {}


def test_read_write_splitting_changes_its_shape_while_a_client_writes(
    installation: Installation, split: dict[str, Any]
):
    with writing(to_address(split)) as ledger, Reader(split) as reader:
        resized(installation, split, "redis.ha.xu1.large.p2.2", 2)
        resized(installation, split, "redis.ha.xu1.large.p4.2", 2, change_type="createReplication")
        for fewer in (3, 2):
            replica = agreed(installation, split)[-1].address
            flavor = f"redis.ha.xu1.large.p{fewer}.2"
            resized(installation, split, flavor, 2, change_type="deleteReplication", node_list=[replica])
        resized(installation, split, SPLIT, 1)
    assert ledger.failures == []
    assert reader.failures == []
    assert eventually(lambda: ledger.lost() == {})


@pytest.mark.parametrize("proxied", ["clustered"], indirect=True)
def test_a_proxy_that_ends_while_slots_move_does_not_wait_for_them(
    installation: Installation, proxied: dict[str, Any]
):
    lost = proxies_of(installation, proxied["instance_id"])[0]["node_ip"]
    pid = installation.node_pids(proxied["instance_id"])[lost]
    with installation.http() as api:
        assert resize(api, proxied, FOUR_SHARDS, 32).status_code == 204
        psutil.Process(pid).kill()
        eventually(lambda: installation.node_pids(proxied["instance_id"]).get(lost) not in (None, pid))
    assert (settled(installation, proxied["instance_id"]) or {})["spec_code"] == FOUR_SHARDS
    resized(installation, proxied, THREE_SHARDS, 24)


@pytest.mark.parametrize(
    ("flavor", "gb", "moment"),
    [
        (PROXY, 4, "await_replication"),
        (PROXY, 4, "open_endpoint"),
        (SPLIT, 1, ANSWERED),
        (SPLIT, 1, "open_endpoint"),
        (SPLIT, 1, "verify"),
    ],
)
def test_an_instance_is_made_and_removed_although_the_service_is_killed(
    installation: Installation, flavor: str, gb: float, moment: str
):
    order = installation.order("created", flavor, capacity=gb)
    Crash(installation).during(lambda api: api.post("/instances", json=order), moment)
    with installation.http() as api:
        [found] = api.get("/instances", params={"name": "created", "include_failure": "true"}).json()["instances"]
    made = settled(installation, found["instance_id"])
    assert made is not None
    eventually(lambda: agreed(installation, made))
    with client_of(made) as client:
        assert client.set("served", "yes")
    assert_nothing_is_left_over(installation)

    moment = "remove_nodes" if moment == "verify" else ANSWERED
    Crash(installation).during(lambda api: api.delete(f"/instances/{made['instance_id']}"), moment)
    assert settled(installation, made["instance_id"]) is None
    assert_nothing_is_left_over(installation)


MOMENTS = [
    (FOUR_SHARDS, "start_joining"),
    (THREE_SHARDS, "drop_leaving"),
    (FOUR_SHARDS, "set_new_proxies"),
    (THREE_SHARDS, "set_new_proxies"),
    (FOUR_SHARDS, "verify"),
    (THREE_SHARDS, "verify"),
]
"""There and back again, so that each finds the shape that it changes."""


@pytest.mark.parametrize("proxied", ["clustered"], indirect=True)
@pytest.mark.parametrize(("shape", "moment"), MOMENTS)
def test_a_change_of_shape_goes_on_after_the_service_is_killed(
    installation: Installation, proxied: dict[str, Any], shape: str, moment: str
):
    gb = {THREE_SHARDS: 24, FOUR_SHARDS: 32}
    other = THREE_SHARDS if shape == FOUR_SHARDS else FOUR_SHARDS
    if (installation.show(proxied["instance_id"]) or {})["spec_code"] == shape:
        resized(installation, proxied, other, gb[other])
    with writing(to_address(proxied)) as ledger:
        Crash(installation).during(lambda api: resize(api, proxied, shape, gb[shape]), moment)
        now = settled(installation, proxied["instance_id"])
        assert now is not None
        assert now["spec_code"] == shape, last_task(installation, proxied)
    assert len(ledger.failures) <= (shape == THREE_SHARDS), ledger.failures
    assert ledger.lost() == {}


@both
def test_a_new_password_is_every_proxy_s_although_the_service_is_killed(
    installation: Installation, proxied: dict[str, Any]
):
    path, other = f"/instances/{proxied['instance_id']}/password/reset", "An0ther-word"
    for moment in ("set_on_nodes", "save_password"):
        Crash(installation).during(lambda api: api.post(path, json={"new_password": other}), moment)
        settled(installation, proxied["instance_id"])
        with contextlib.ExitStack() as open_clients:
            changed = [open_clients.enter_context(client_of(proxied, other)) for _ in range(SEVERAL)]
            assert all(client.ping() for client in changed)
        with installation.http() as api:
            assert api.post(path, json={"new_password": PASSWORD}).json()["message"] == "success"
