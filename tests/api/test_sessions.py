"""Sessions of real clients: what the API lists is what CLIENT LIST shows, and what it ends has ended, and no more."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
import psutil
import pytest
import redis
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkdcs import v2 as sdk
from installation import CLUSTER, HA, PASSWORD, PROXY, SINGLE, SPLIT, Installation, client_of, eventually
from postgresql import NewDatabase
from redis.backoff import NoBackoff
from redis.retry import Retry
from refusals import check_refused
from scenarios.witnesses import admin_of

KINDS = {
    "single": (SINGLE, 0.125),
    "ha": (HA, 0.125),
    "cluster": (CLUSTER, 4),
    "proxy": (PROXY, 4),
    "split": (SPLIT, 1),
}
EACH = 4
"""Clients at each address."""


@dataclass
class Instance:
    """An instance with clients of its own."""

    installation: Installation
    facts: dict[str, Any]
    clients: list[redis.Redis] = field(default_factory=list)

    @property
    def id(self) -> str:
        return str(self.facts["instance_id"])

    @property
    def path(self) -> str:
        return f"/instances/{self.id}"

    def nodes(self, role: str = "") -> list[sdk.NodesInfoResp]:
        """Where its clients are: proxies, where it has any. Or its nodes of a role."""
        request = sdk.ShowNodesInformationRequest(instance_id=self.id)
        found = self.installation.sdk().show_nodes_information(request).nodes
        has_proxies = any(one.node_role == "redis-proxy" for one in found)
        wanted = role or ("redis-proxy" if has_proxies else "redis-server")
        return [one for one in found if one.node_role == wanted]

    @property
    def node(self) -> str:
        """The id of one of them."""
        return str(self.nodes()[0].node_id)

    def addresses(self) -> list[str]:
        """Where clients go: at the instance's address, and to nodes by their own."""
        if self.facts["cache_mode"] in {"proxy", "ha_rw_split"}:
            return [self.facts["ip"]] * len(self.nodes())
        return [*{self.facts["ip"].split(",")[0], *(one.node_ip for one in self.nodes())}]

    def connect(self, address: str | None = None, **how: Any) -> redis.Redis:
        """One more client, on one connection that it does not make anew by itself.

        It comes from an address that no other does, although those who go to different nodes could share one.
        """
        where = self.facts | {"ip": address or self.facts["ip"].split(",")[0]}
        plain = {"retry": Retry(NoBackoff(), 0), "protocol": 2, "socket_timeout": 10}
        taken = {address_of(one) for one in self.clients if one.connection and one.connection._sock}
        while True:
            client = client_of(where, single_connection_client=True, **plain, **how)
            client.ping()
            if address_of(client) not in taken:
                self.clients.append(client)
                return client
            client.close()

    def scan(self, node: str) -> None:
        """The node's list is taken anew, by the official client."""
        body = sdk.ScanClientsRequestBody(node_id=node, clean_cache=True)
        before = self.time_of(node)
        self.installation.sdk().scan_clients(sdk.ScanClientsRequest(self.id, body))
        eventually(lambda: self.time_of(node) not in {before, None})

    def time_of(self, node: str) -> str | None:
        """When its list was taken; None while that is being done."""
        try:
            return str(self.installation.sdk().list_clients(sdk.ListClientsRequest(self.id, node)).time)
        except ClientRequestException as refusal:
            if refusal.error_code != "DCS.4957":
                raise
            return None

    def list(self, node: str, **query: Any) -> list[sdk.ClientInfo]:
        """The node's sessions as they are on its list, page after page."""
        found: list[sdk.ClientInfo] = []
        while True:
            request = sdk.ListClientsRequest(self.id, node, offset=len(found), limit=1000, **query)
            page = self.installation.sdk().list_clients(request)
            found += page.clients
            if not page.clients or len(found) >= page.count:
                assert len(found) == page.count
                return found

    def kill(self, node: str, *addresses: str) -> None:
        body = sdk.HangUpClientsRequestBody(node_id=node, client_addrs=list(addresses))
        self.installation.sdk().hang_up_clients(sdk.HangUpClientsRequest(self.id, body))

    def close(self) -> None:
        for client in self.clients:
            with contextlib.suppress(redis.RedisError):
                client.close()
        self.clients.clear()


def address_of(client: redis.Redis) -> str:
    """Where the client's connection comes from."""
    return "{}:{}".format(*client.connection._sock.getsockname()[:2])


def is_connected(client: redis.Redis) -> bool:
    """The very connection is still there."""
    try:
        return bool(client.connection._sock and client.ping())
    except redis.ConnectionError:
        return False


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase) -> Iterator[Installation]:
    """A service that leaves nodes alone which are stopped for a while."""
    settings = {"FROZEN_AFTER_MS": "60000", "DOWN_AFTER_MS": "60000", "HEALTH_SECONDS": "600"}
    settings = {f"FAILOVER__{name}": value for name, value in settings.items()}
    made = Installation(tmp_path_factory.mktemp("sessions"), new_database(), settings)
    try:
        yield made.start()
    finally:
        made.remove()


@pytest.fixture(scope="module")
def made(installation: Installation) -> dict[str, Instance]:
    """Instances by kind, as far as they were asked for."""
    return {}


def one_of(installation: Installation, made: dict[str, Instance], kind: str) -> Instance:
    if kind not in made:
        flavor, capacity = KINDS[kind]
        made[kind] = Instance(installation, installation.create(f"{kind}-one", flavor, capacity=capacity))
    return made[kind]


@pytest.fixture
def instance(
    request: pytest.FixtureRequest, installation: Installation, made: dict[str, Instance]
) -> Iterator[Instance]:
    """One of each kind, without clients."""
    found = one_of(installation, made, getattr(request, "param", "single"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def api(installation: Installation) -> Iterator[httpx.Client]:
    with installation.http() as client:
        yield client


each_kind = pytest.mark.parametrize("instance", KINDS, indirect=True)


def many_clients(instance: Instance) -> list[redis.Redis]:
    """Clients with names, some of which do something besides being there."""
    found = []
    for place, address in enumerate(instance.addresses() * EACH):
        client = instance.connect(address, client_name=f"client-{place}")
        found.append(client)
    return found


def seen_by(client: redis.Redis) -> dict[str, dict[str, str]]:
    """What CLIENT LIST tells a tenant, of tenants, by address."""
    return {one["addr"]: one for one in client.client_list() if one["user"] == "default"}


@each_kind
def test_the_list_is_what_client_list_shows(instance: Instance) -> None:
    clients = many_clients(instance)
    if instance.facts["cache_mode"] not in {"cluster", "proxy"}:
        clients[0].select(3)
    by_address = {address_of(one): one for one in clients}
    met: Counter[str] = Counter()
    for node in instance.nodes():
        instance.scan(node.node_id)
        listed = {one.addr: one for one in instance.list(node.node_id)}
        # Any client of this node or proxy can tell.
        here = [by_address[address] for address in listed if address in by_address]
        if not here:
            continue
        shown = seen_by(here[0])
        assert listed.keys() == shown.keys()
        for address, one in listed.items():
            row = shown[address]
            met[address] += 1
            assert (one.id, one.fd, one.name, one.db) == (row["id"], row["fd"], row["name"], row["db"])
            assert (one.sub, one.psub, one.multi) == (int(row["sub"]), int(row["psub"]), int(row["multi"]))
            assert one.flags.replace("b", "N") == row["flags"].replace("b", "N")
            assert (one.peer, one.network, one.user, one.events) == (address, "vpc", "default", "r")
            assert 0 <= int(row["age"]) - one.age <= 10
            assert one.cmd == row["cmd"] or address == address_of(here[0])
    assert set(met) == set(by_address), "each client is at one place"
    assert max(met.values()) == 1


@each_kind
def test_ending_one_session_ends_no_other(instance: Instance) -> None:
    clients = many_clients(instance)
    where = {one.addr: node.node_id for node in instance.nodes() for one in fresh_list(instance, node.node_id)}
    victim, *others = clients

    instance.kill(where[address_of(victim)], address_of(victim))

    assert not is_connected(victim)
    assert all(is_connected(one) for one in others)


def fresh_list(instance: Instance, node: str) -> list[sdk.ClientInfo]:
    instance.scan(node)
    return instance.list(node)


@each_kind
def test_ending_all_sessions_leaves_what_holds_the_instance_together(
    instance: Instance, installation: Installation, api: httpx.Client
) -> None:
    clients = many_clients(instance)
    ours = links_of(instance)
    body = sdk.HangUpKillAllClientsRequestBody(kill_all_nodes=True)
    installation.sdk().hang_up_kill_all_clients(sdk.HangUpKillAllClientsRequest(instance.id, body))
    eventually(lambda: api.get(f"{instance.path}/tasks").json()["tasks"][0]["status"] == "SUCCESS")

    assert not any(is_connected(one) for one in clients)
    assert links_of(instance) == ours
    instance.close()
    for address in instance.addresses():
        assert instance.connect(address).ping()
    [task] = api.get(f"{instance.path}/tasks", params={"limit": 1}).json()["tasks"]
    assert (task["name"], task["enable_show"]) == ("KillAllClients", True)
    assert task["details"]["node_name"].split(",") == [one.name for one in instance.nodes()]
    assert installation.show(instance.id)["status"] == "RUNNING"


def links_of(instance: Instance) -> set[tuple[str, str]]:
    """Connections of replicas, proxies and Sentinels to the data nodes: they are to be these very ones."""
    found = set()
    for node in instance.nodes("redis-server"):
        with admin_of(instance.installation, instance.facts, node.node_ip) as client:
            rows = client.client_list()
        found |= {
            (node.node_ip, one["id"])
            for one in rows
            if one["user"] in {"cachestead-replica", "cachestead-proxy"} or one["name"].startswith("sentinel-")
        }
    assert found or instance.facts["cache_mode"] == "single"
    return found


BUSY = {
    "listening": (b"SUBSCRIBE first second\r\n", {"sub": 2, "cmd": "subscribe"}),
    "matching": (b"PSUBSCRIBE a*\r\n", {"psub": 1, "cmd": "psubscribe"}),
    "in a transaction": (b"MULTI\r\nSET {a}1 1\r\nSET {a}2 2\r\n", {"multi": 2, "flags": "x"}),
    "waiting": (b"BLPOP nothing 60\r\n", {"cmd": "blpop", "flags": "b"}),
    "having done nothing": (b"", {"sub": 0, "multi": -1}),
}


@pytest.mark.parametrize("instance", ["single", "ha", "proxy", "split"], indirect=True)
def test_busy_clients_are_listed_as_such_and_ended(instance: Instance) -> None:
    with ExitStack() as stack:
        sockets = {}
        for what, (words, _) in BUSY.items():
            address = (instance.facts["ip"], instance.facts["port"])
            sockets[what] = stack.enter_context(socket.create_connection(address, timeout=10))
            sockets[what].sendall(f"AUTH {PASSWORD}\r\n".encode())
            assert sockets[what].recv(100) == b"+OK\r\n"
            sockets[what].sendall(words)

        def listed() -> dict[str, tuple[str, sdk.ClientInfo]] | None:
            by_address = {
                one.addr: (node.node_id, one)
                for node in instance.nodes()
                for one in fresh_list(instance, node.node_id)
            }
            found = {what: by_address["{}:{}".format(*one.getsockname())] for what, one in sockets.items()}
            facts = [(found[what][1], name, value) for what in BUSY for name, value in BUSY[what][1].items()]
            return found if all(getattr(one, name) == value for one, name, value in facts) else None

        for what, (node, one) in eventually(listed).items():
            instance.kill(node, one.peer)
            with contextlib.suppress(ConnectionResetError):
                while sockets[what].recv(4096):
                    pass  # what was said before


@pytest.mark.parametrize("instance", ["ha", "split"], indirect=True)
def test_all_of_one_node_are_none_of_another(instance: Instance, api: httpx.Client) -> None:
    by_address = {address_of(one): one for one in many_clients(instance)}
    where = {one.addr: node.node_id for node in instance.nodes() for one in fresh_list(instance, node.node_id)}
    chosen = where[next(iter(by_address))]

    job = api.post(f"{instance.path}/clients/kill-all", json={"node_id": chosen, "kill_all_nodes": False})
    wait_for_job(api, job.json()["job_id"])

    connected = {address: is_connected(client) for address, client in by_address.items()}
    assert connected == {address: where[address] != chosen for address in by_address}


def wait_for_job(api: httpx.Client, job: str, status: str = "SUCCESS") -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        seen: dict[str, Any] = api.get(f"/jobs/{job}").json()
        assert seen["status"] in {"INIT", "RUNNING", status}, seen
        return seen if seen["status"] == status else None

    return eventually(look)


def test_lists_are_paged_sorted_and_filtered(instance: Instance) -> None:
    clients = [instance.connect(client_name=f"name-{10 - number:02}") for number in range(10)]
    instance.scan(instance.node)
    names = [f"name-{10 - number:02}" for number in range(10)]

    assert [one.name for one in instance.list(instance.node)] == names
    assert [one.name for one in instance.list(instance.node, sort="name", order="asc")] == sorted(names)
    by_id = [int(one.id) for one in instance.list(instance.node, sort="id", order="desc")]
    assert by_id == sorted(by_id, reverse=True)
    by_peer = [one.peer for one in instance.list(instance.node, sort="peer")]
    assert by_peer == sorted(by_peer)
    assert [one.name for one in instance.list(instance.node, sort="network", order="desc")] == names
    [found] = instance.list(instance.node, addr=address_of(clients[3]))
    assert found.name == names[3]
    assert instance.list(instance.node, addr="10.0.0.%") == []
    request = sdk.ListClientsRequest(instance.id, instance.node, offset=8, limit=5)
    page = instance.installation.sdk().list_clients(request)
    assert ([one.name for one in page.clients], page.count) == (names[8:], 10)


def test_a_list_that_nobody_took_is_taken_when_it_is_read(installation: Installation, api: httpx.Client) -> None:
    fresh = Instance(installation, installation.create("never-asked"))
    client = fresh.connect(client_name="early")
    [found] = fresh.list(fresh.node)
    assert (found.name, found.addr) == ("early", address_of(client))
    # It stays as it was taken.
    fresh.connect(client_name="late")
    assert [one.name for one in fresh.list(fresh.node)] == ["early"]
    kept = api.post(f"{fresh.path}/clients", json={"node_id": fresh.node, "clean_cache": False}).json()["job_id"]
    assert wait_for_job(api, kept)["job_type"] == "scanClientsJob"
    assert [one.name for one in fresh.list(fresh.node)] == ["early"]
    anew = api.post(f"{fresh.path}/clients", json={"node_id": fresh.node}).json()["job_id"]
    assert anew != kept
    wait_for_job(api, anew)
    assert [one.name for one in fresh.list(fresh.node)] == ["early", "late"]
    fresh.close()


def test_a_session_that_left_by_itself_counts_as_ended(instance: Instance, api: httpx.Client) -> None:
    stays, goes = instance.connect(), instance.connect()
    gone = address_of(goes)
    instance.scan(instance.node)
    goes.close()
    instance.kill(instance.node, gone)
    instance.kill(instance.node, gone)
    instance.kill(instance.node, gone, address_of(stays))
    assert not is_connected(stays)


def test_an_address_that_no_client_had_ends_nothing(instance: Instance, api: httpx.Client) -> None:
    client = instance.connect()
    instance.scan(instance.node)
    body = {"node_id": instance.node, "client_addrs": [address_of(client), "10.1.2.3:4567"]}
    check_refused(api.post(f"{instance.path}/clients/kill", json=body), "DCS.4800", "10.1.2.3:4567")
    assert is_connected(client)


@pytest.mark.parametrize("instance", ["ha", "proxy"], indirect=True)
def test_the_services_own_connections_cannot_be_ended(instance: Instance, api: httpx.Client) -> None:
    node = instance.nodes()[0]
    with admin_of(instance.installation, instance.facts, node.node_ip) as client:
        client.ping()
        own = "{}:{}".format(*client.connection_pool.get_connection()._sock.getsockname())
        body = {"node_id": node.node_id, "client_addrs": [own]}
        check_refused(api.post(f"{instance.path}/clients/kill", json=body), "DCS.4800", own)
        assert own not in {one.addr for one in fresh_list(instance, node.node_id)}


BAD = {
    "scan_unknown_node": ("POST", "clients", {"node_id": "0" * 32}, "DCS.3053", "node_id"),
    "scan_no_node": ("POST", "clients", {}, "DCS.3053", "node_id"),
    "scan_odd_flag": ("POST", "clients", {"node_id": "NODE", "clean_cache": "perhaps"}, "DCS.4062", "clean_cache"),
    "list_unknown_node": ("GET", "clients", {"node_id": "x" * 5000}, "DCS.3053", "node_id"),
    "list_no_node": ("GET", "clients", {}, "DCS.3053", "node_id"),
    "list_odd_sort": ("GET", "clients", {"node_id": "NODE", "sort": "secret"}, "DCS.4062", "sort"),
    "list_odd_order": ("GET", "clients", {"node_id": "NODE", "order": "up"}, "DCS.4062", "order"),
    "list_no_limit": ("GET", "clients", {"node_id": "NODE", "limit": 0}, "DCS.4800", "limit"),
    "list_large_limit": ("GET", "clients", {"node_id": "NODE", "limit": 1001}, "DCS.4800", "limit"),
    "list_odd_offset": ("GET", "clients", {"node_id": "NODE", "offset": -1}, "DCS.4800", "offset"),
    "kill_no_addresses": ("POST", "clients/kill", {"node_id": "NODE"}, "DCS.4062", "client_addrs"),
    "kill_empty": ("POST", "clients/kill", {"node_id": "NODE", "client_addrs": []}, "DCS.4062", "client_addrs"),
    "kill_name": ("POST", "clients/kill", {"node_id": "NODE", "client_addrs": ["host:1"]}, "DCS.4062", "client_addrs"),
    "kill_no_port": ("POST", "clients/kill", {"node_id": "NODE", "client_addrs": ["10.0.0.1"]}, "DCS.4062", "10.0.0.1"),
    "kill_high_port": (
        "POST", "clients/kill", {"node_id": "NODE", "client_addrs": ["10.0.0.1:65536"]}, "DCS.4062", "65536",
    ),
    "kill_odd_list": ("POST", "clients/kill", {"node_id": "NODE", "client_addrs": [[]]}, "DCS.4062", "client_addrs"),
    "kill_too_many": (
        "POST", "clients/kill", {"node_id": "NODE", "client_addrs": ["10.0.0.1:1"] * 1001}, "DCS.4062", "client_addrs",
    ),
    "kill_unknown_node": (
        "POST", "clients/kill", {"node_id": "0" * 32, "client_addrs": ["10.0.0.1:1"]}, "DCS.3053", "node_id",
    ),
    "kill_all_of_nothing": ("POST", "clients/kill-all", {}, "DCS.3053", "node_id"),
    "kill_all_unknown_node": (
        "POST", "clients/kill-all", {"node_id": "0" * 32, "kill_all_nodes": True}, "DCS.3053", "node_id",
    ),
    "kill_all_odd_flag": ("POST", "clients/kill-all", {"kill_all_nodes": "some"}, "DCS.4062", "kill_all_nodes"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_named_and_ends_nothing(instance: Instance, api: httpx.Client, name: str) -> None:
    method, path, fields, code, blamed = BAD[name]
    client = instance.connect()
    fields = {key: instance.node if value == "NODE" else value for key, value in fields.items()}
    answer = api.request(
        method, f"{instance.path}/{path}", **({"params": fields} if method == "GET" else {"json": fields})
    )
    check_refused(answer, code, blamed)
    assert is_connected(client)


@pytest.mark.parametrize("instance", ["proxy", "split"], indirect=True)
def test_data_nodes_behind_proxies_have_no_sessions(instance: Instance, api: httpx.Client) -> None:
    node = instance.nodes("redis-server")[0].node_id
    for path, method in (("clients", "POST"), ("clients", "GET"), ("clients/kill-all", "POST")):
        fields = {"params" if method == "GET" else "json": {"node_id": node}}
        check_refused(api.request(method, f"{instance.path}/{path}", **fields), "DCS.4027", "node_id")


def test_an_instance_that_does_not_run_says_so(installation: Installation, api: httpx.Client) -> None:
    made = api.post("/instances", json=installation.order("young", HA)).json()["instances"][0]["instance_id"]
    check_refused(api.post(f"/instances/{made}/clients", json={"node_id": "0" * 32}), "DCS.4118")
    installation.wait(made)


@contextlib.contextmanager
def frozen(instance: Instance) -> Iterator[None]:
    """Its node does nothing for a while."""
    [pid] = installation_pids(instance)
    process = psutil.Process(pid)
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def installation_pids(instance: Instance) -> list[int]:
    return list(instance.installation.node_pids(instance.id).values())


def asks(instance: Instance, api: httpx.Client) -> dict[str, Callable[[], httpx.Response]]:
    """Everything that can be asked about the node's sessions."""
    node, path = {"node_id": instance.node}, f"{instance.path}/clients"
    return {
        "scan": lambda: api.post(path, json=node),
        "list": lambda: api.get(path, params=node),
        "kill": lambda: api.post(f"{path}/kill", json=node | {"client_addrs": ["10.0.0.1:1"]}),
        "kill-all": lambda: api.post(f"{path}/kill-all", json=node),
    }


@pytest.mark.parametrize("first", ["scan", "kill-all"])
def test_one_thing_at_a_time_is_done_to_a_nodes_sessions(
    instance: Instance, api: httpx.Client, first: str
) -> None:
    ask = asks(instance, api)
    with frozen(instance):
        job = ask[first]()
        assert job.status_code == 200, job.text
        for again in ask.values():
            check_refused(again(), "DCS.4957")
        assert installation_is_unlocked(instance)
    wait_for_job(api, job.json()["job_id"])
    assert ask["list"]().status_code == 200


def installation_is_unlocked(instance: Instance) -> bool:
    """To look is no change: others may be made meanwhile."""
    seen = instance.installation.show(instance.id)
    return (seen["status"], seen["task"]) == ("RUNNING", None)


def test_a_node_that_does_not_answer_keeps_its_last_list(instance: Instance, api: httpx.Client) -> None:
    instance.connect(client_name="before")
    instance.scan(instance.node)
    with frozen(instance):
        job = asks(instance, api)["scan"]().json()["job_id"]
        assert "save_sessions" in wait_for_job(api, job, "FAIL")["fail_reason"]
        assert [one.name for one in instance.list(instance.node)] == ["before"]
        check_refused(asks(instance, api)["kill"](), "DCS.4104")
        failed = asks(instance, api)["kill-all"]().json()["job_id"]
        reason = wait_for_job(api, failed, "FAIL")["fail_reason"]
    task = api.get(f"{instance.path}/tasks", params={"limit": 1}).json()["tasks"][0]
    assert (task["id"], task["status"], task["error_code"]) == (failed, "FAIL", "DCS.4842")
    assert instance.nodes()[0].node_ip in reason


def test_a_list_is_taken_although_the_service_is_killed_meanwhile(
    instance: Instance, installation: Installation
) -> None:
    instance.connect(client_name="patient")
    with installation.http() as api:
        instance.scan(instance.node)
        before = instance.time_of(instance.node)
        with frozen(instance):
            job = asks(instance, api)["scan"]().json()["job_id"]
            eventually(lambda: api.get(f"/jobs/{job}").json()["status"] == "RUNNING")
            installation.kill()
        installation.start()
        wait_for_job(api, job)
    assert instance.time_of(instance.node) != before
    assert [one.name for one in instance.list(instance.node)] == ["patient"]


def test_many_scans_at_once_are_one_after_the_other(instance: Instance, api: httpx.Client) -> None:
    ask = asks(instance, api)["scan"]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: ask(), range(24)))
    codes = Counter("ok" if one.is_success else one.json()["error_code"] for one in answers)
    assert set(codes) <= {"ok", "DCS.4957"}
    assert codes["ok"] >= 1
    for one in answers:
        if one.is_success:
            wait_for_job(api, one.json()["job_id"])


def test_a_name_is_shown_as_it_is(instance: Instance) -> None:
    name = "a=b'\";--%_"
    instance.connect(client_name=name)
    assert name in {one.name for one in fresh_list(instance, instance.node)}
