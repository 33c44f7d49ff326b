"""Clients that come by TLS: the switch, what they have to trust, and that nobody comes without."""

from __future__ import annotations

import io
import re
import socket
import ssl
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import redis
from cryptography import x509
from installation import CLUSTER, HA, PASSWORD, PROXY, SINGLE, Installation, client_of, eventually
from postgresql import NewDatabase
from real_engines import ENGINES
from redis.backoff import NoBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry
from refusals import check_refused, look
from second_tenant import WITH_OTHER, sign_in
from visitors import FRIEND, STRANGER, Visitor, needs_packet_filter, visiting, who_gets_in

from cachestead.domain.ssl import CertificateNames
from cachestead.identity.authority import Authority

ORDERS: dict[str, tuple[str, float]] = {"single": (SINGLE, 0.125), "ha": (HA, 0.125), "cluster": (CLUSTER, 4)}
UNKNOWN = "11111111-2222-3333-4444-555555555555"

Instance = dict[str, Any]


BY = {"engine": {}, "front": {"ENGINE__SEARCH_PATH": "false"}}
"""Who speaks TLS, with the settings for it: the bundled engine was built without."""


@pytest.fixture(scope="module", params=BY)
def by(request: pytest.FixtureRequest) -> str:
    """Who speaks TLS."""
    if request.param == "engine" and not any(one.has_tls for one in ENGINES):
        pytest.skip("no engine here has TLS")
    return str(request.param)


@pytest.fixture(scope="module")
def installation(
    by: str, tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase
) -> Iterator[Installation]:
    settings = WITH_OTHER | BY[by] | {"CERTIFICATES__SECONDS": "1"}
    made = Installation(tmp_path_factory.mktemp("ssl"), new_database(), settings=settings)
    try:
        yield made.start()
    finally:
        made.remove()


@pytest.fixture(scope="module")
def api(installation: Installation) -> Iterator[httpx.Client]:
    with installation.http() as client:
        yield client


@pytest.fixture(scope="module")
def made(by: str) -> dict[str, Instance]:
    """Instances by kind, made when they are first asked for."""
    return {}


@pytest.fixture
def instance(
    request: pytest.FixtureRequest,
    by: str,
    installation: Installation,
    made: dict[str, Instance],
    api: httpx.Client,
) -> Instance:
    """An instance of the kind asked for, with SSL."""
    kind = getattr(request, "param", "ha")
    if (kind, by) == ("cluster", "front"):
        pytest.skip("is refused, as another test shows")
    if kind not in made:
        flavor, capacity = ORDERS[kind]
        made[kind] = installation.create(f"ssl-{kind}", flavor, capacity=capacity)
    return switch(installation, api, made[kind], enabled=True)


each_kind = pytest.mark.parametrize("instance", ORDERS, indirect=True)


def path_of(instance: Instance) -> str:
    return f"/instances/{instance['instance_id']}/ssl"


def switch(installation: Installation, api: httpx.Client, instance: Instance, *, enabled: bool) -> Instance:
    answer = api.put(path_of(instance), json={"enabled": enabled})
    assert answer.status_code == 200, answer.text
    assert answer.json()["instance_id"] == instance["instance_id"]
    shown = installation.wait(instance["instance_id"], seconds=60)
    ended = api.get(f"/jobs/{answer.json()['job_id']}").json()
    assert ended["status"] == "SUCCESS", ended
    assert shown["enable_ssl"] is enabled
    return shown


def authority_of(api: httpx.Client, instance: Instance) -> str:
    """What clients trust, as they get it."""
    answer = api.post(f"/instances/{instance['instance_id']}/ssl-certs/download").json()
    packed = httpx.get(answer["link"])
    assert packed.status_code == 200, packed.text
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        assert archive.namelist() == ["ca.crt"]
        return archive.read("ca.crt").decode()


def trusting(authority: str, **more: Any) -> dict[str, Any]:
    """How redis-py comes by TLS, and makes sure of whom it has reached."""
    return {"ssl": True, "ssl_ca_data": authority, "ssl_check_hostname": True, **more}


def at_once(**more: Any) -> dict[str, Any]:
    """Without second attempts."""
    return {"retry": Retry(NoBackoff(), 0), "socket_timeout": 5, **more}


def certificate_at(address: str, port: int, authority: str) -> x509.Certificate:
    connection = redis.SSLConnection(host=address, port=port, ssl_ca_data=authority, ssl_check_hostname=True)
    wrapped = connection._connect()
    try:
        return x509.load_der_x509_certificate(wrapped.getpeercert(binary_form=True))
    finally:
        wrapped.close()


@each_kind
def test_clients_that_trust_the_authority_come_by_tls_and_nobody_without(
    instance: Instance, api: httpx.Client
) -> None:
    authority = authority_of(api, instance)
    assert instance["features"]["support_ssl"] is True
    first = instance["ip"].split(",")[0]
    with redis.Redis(first, instance["port"], password=PASSWORD, **trusting(authority)) as client:
        assert client.ping()
    other = Authority.made_up(datetime.now(UTC)).certificate
    with (
        redis.Redis(first, instance["port"], password=PASSWORD, **trusting(other, **at_once())) as client,
        pytest.raises(redis.ConnectionError, match=r"(?i)certificate verify failed"),
    ):
        client.ping()
    with (
        redis.Redis(first, instance["port"], password=PASSWORD, **at_once()) as client,
        pytest.raises(redis.ConnectionError),
    ):
        client.ping()


@each_kind
def test_what_is_shown_is_what_the_nodes_show(instance: Instance, api: httpx.Client) -> None:
    seen = api.get(path_of(instance)).json()
    expires = datetime.fromisoformat(seen.pop("ssl_expired_at"))
    assert timedelta(days=364) < expires - datetime.now(UTC) <= timedelta(days=365)
    assert seen == {
        "enabled": True,
        "ip": instance["ip"],
        "ipv6": None,
        "port": str(instance["port"]),
        "domain_name": f"{instance['domain_name']}:{instance['port']}",
        "ssl_validated": True,
    }
    nodes = api.get(f"/instances/{instance['instance_id']}/logical-nodes").json()["nodes"]
    assert {one["node_port"] for one in nodes} == {str(instance["port"])}
    authority = authority_of(api, instance)
    for node in nodes:
        shown = certificate_at(node["node_ip"], instance["port"], authority)
        names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert instance["domain_name"] in names.get_values_for_type(x509.DNSName)


def handshake(address: str, port: int, name: str, authority: str) -> None:
    """As a client that was told the name. Raises `ssl.SSLCertVerificationError`."""
    context = ssl.create_default_context(cadata=authority)
    with socket.create_connection((address, port), 5) as plain, context.wrap_socket(plain, server_hostname=name):
        pass


def test_clients_may_call_by_any_of_its_names_and_by_no_other(instance: Instance, api: httpx.Client) -> None:
    authority, port = authority_of(api, instance), instance["port"]
    nodes = api.get(f"/instances/{instance['instance_id']}/logical-nodes").json()["nodes"]
    for node in nodes:
        own = (instance["domain_name"], instance["readonly_domain_name"], instance["ip"], node["node_ip"])
        for name in own:
            handshake(node["node_ip"], port, name, authority)
        [other] = {one["node_ip"] for one in nodes} - {node["node_ip"]}
        for name in ("other.example", other):
            with pytest.raises(ssl.SSLCertVerificationError, match=r"(?i)mismatch|not valid for"):
                handshake(node["node_ip"], port, name, authority)


def test_the_engine_speaks_tls_itself_if_it_can(by: str, instance: Instance, installation: Installation) -> None:
    command = {"engine": "redis-server", "front": "cachestead.proxy.front"}[by]
    place = (instance["ip"], instance["port"])
    listening = [
        " ".join(one.cmdline())
        for one in installation.node_processes()
        if any(end.laddr == place and end.status == psutil.CONN_LISTEN for end in one.net_connections("tcp4"))
    ]
    assert listening
    assert all(command in one for one in listening), listening


@pytest.mark.parametrize("instance", ["cluster"], indirect=True)
def test_a_cluster_names_its_nodes_with_their_tls_ports(instance: Instance, api: httpx.Client) -> None:
    first = instance["ip"].split(",")[0]
    with RedisCluster(
        first, instance["port"], password=PASSWORD, **trusting(authority_of(api, instance))
    ) as client:
        assert {node.port for node in client.get_nodes()} == {instance["port"]}
        for number in range(100):
            client.set(f"key-{number}", number)
        assert [int(client.get(f"key-{number}")) for number in range(100)] == list(range(100))


def test_data_outlives_the_switch_and_tls_a_lost_master(
    instance: Instance, installation: Installation, api: httpx.Client
) -> None:
    authority = authority_of(api, instance)
    plain = switch(installation, api, instance, enabled=False)
    assert api.get(path_of(instance)).status_code == 204
    with client_of(plain) as client:
        client.set("kept", "yes")
    switch(installation, api, instance, enabled=True)
    with client_of(instance, **trusting(authority)) as client:
        assert client.get("kept") == "yes"
        nodes = api.get(f"/instances/{instance['instance_id']}/logical-nodes").json()["nodes"]
        [master] = [one["node_ip"] for one in nodes if one["node_type"] == "master"]
        psutil.Process(installation.node_pids(instance["instance_id"])[master]).kill()
        eventually(lambda: client.set("after", "yes"))
        assert client.get("kept") == "yes"
    installation.wait(instance["instance_id"])
    eventually(lambda: api.get(path_of(instance)).json()["ssl_validated"] is True)


def test_asking_again_disconnects_nobody(
    instance: Instance, installation: Installation, api: httpx.Client
) -> None:
    before = installation.node_pids(instance["instance_id"])
    switch(installation, api, instance, enabled=True)
    assert installation.node_pids(instance["instance_id"]) == before


def test_the_port_is_changed_as_without(instance: Instance, installation: Installation, api: httpx.Client) -> None:
    authority, one = authority_of(api, instance), f"/instances/{instance['instance_id']}"
    check_refused(api.put(one, json={"port": 16380}), "DCS.4062", "port")
    for port in (7001, instance["port"]):
        assert api.put(one, json={"port": port}).status_code == 204
        moved = installation.wait(instance["instance_id"])
        assert moved["port"] == port
        with client_of(moved, **trusting(authority)) as client:
            assert client.set("moved", port)
        assert api.get(path_of(instance)).json()["port"] == str(port)


@pytest.mark.parametrize("body", [{}, {"enabled": "true"}, {"enabled": 1}, {"enabled": None}, {"enabled": []}])
def test_a_switch_that_is_neither_on_nor_off_is_refused(
    body: dict[str, Any], instance: Instance, api: httpx.Client
) -> None:
    before = look(api)
    check_refused(api.put(path_of(instance), json=body), "DCS.4202", "enabled")
    assert look(api) == before


@pytest.mark.parametrize(
    "order",
    [{"flavor": SINGLE, "engine_version": "5.0"}, {"flavor": PROXY, "engine_version": "6.0", "capacity": 4}],
    ids=["version", "type"],
)
def test_instances_that_cannot_have_ssl_say_so(
    order: dict[str, Any], installation: Installation, api: httpx.Client
) -> None:
    other = installation.create("ssl-not", **order)
    assert other["features"]["support_ssl"] is False
    check_refused(api.put(path_of(other), json={"enabled": True}), "DCS.4201")
    check_refused(api.get(path_of(other)), "DCS.4201")
    check_refused(api.post(f"/instances/{other['instance_id']}/ssl-certs/download"), "DCS.4201")
    assert api.delete(f"/instances/{other['instance_id']}").status_code == 204
    installation.wait_gone(other["instance_id"])


def test_a_cluster_needs_an_engine_with_tls(by: str, installation: Installation, api: httpx.Client) -> None:
    if by == "engine":
        pytest.skip("has one")
    other = installation.create("ssl-cluster", CLUSTER, capacity=4)
    assert other["features"]["support_ssl"] is False
    check_refused(api.put(path_of(other), json={"enabled": True}), "DCS.4201")


def test_a_front_that_ends_is_back(
    by: str, instance: Instance, installation: Installation, api: httpx.Client
) -> None:
    if by == "engine":
        pytest.skip("has none")
    authority = authority_of(api, instance)
    fronts = [
        one
        for one in installation.node_processes()
        if any(end.laddr == (instance["ip"], instance["port"]) for end in one.net_connections("tcp4"))
    ]
    assert len(fronts) == 2
    for front in fronts:
        front.kill()
    with client_of(instance, **trusting(authority)) as client:
        eventually(lambda: client.set("back", "yes"))
    eventually(lambda: api.get(path_of(instance)).json()["ssl_validated"] is True)
    big = "x" * 50_000_000
    with client_of(instance, **trusting(authority)) as client:
        client.set("big", big)
        assert client.get("big") == big


def test_whom_clients_trust_outlives_the_service(
    instance: Instance, installation: Installation, api: httpx.Client
) -> None:
    authority = authority_of(api, instance)
    installation.stop()
    installation.start()
    with installation.http() as later:
        assert authority_of(later, instance) == authority
        restarted = later.put(
            "/instances/status", json={"action": "restart", "instances": [instance["instance_id"]]}
        )
        assert restarted.status_code == 200, restarted.text
    again = installation.wait(instance["instance_id"])
    with client_of(again, **trusting(authority)) as client:
        assert client.ping()


def test_strangers_see_and_change_nothing(
    instance: Instance, installation: Installation, api: httpx.Client
) -> None:
    with sign_in(installation) as stranger:
        for client, one in ((stranger, instance["instance_id"]), (api, UNKNOWN)):
            for answer in (
                client.get(f"/instances/{one}/ssl"),
                client.put(f"/instances/{one}/ssl", json={"enabled": False}),
                client.post(f"/instances/{one}/ssl-certs/download"),
            ):
                assert answer.status_code == 404, answer.text
    assert installation.wait(instance["instance_id"])["enable_ssl"] is True


def test_of_two_at_once_one_is_told_to_wait(
    instance: Instance, installation: Installation, api: httpx.Client
) -> None:
    first = api.put(path_of(instance), json={"enabled": False})
    second = api.put(path_of(instance), json={"enabled": True})
    assert first.status_code == 200
    check_refused(second, "DCS.4111")
    assert installation.wait(instance["instance_id"])["enable_ssl"] is False


def places_of(api: httpx.Client, instance: Instance) -> list[str]:
    """Every address where clients may come."""
    nodes = api.get(f"/instances/{instance['instance_id']}/logical-nodes").json()["nodes"]
    return [*dict.fromkeys([*instance["ip"].split(","), *(one["node_ip"] for one in nodes)])]


def admit(api: httpx.Client, instance: Instance, *addresses: str) -> None:
    """Nobody else; everybody, where there are no addresses."""
    listed = [{"group_name": "friends", "ip_list": list(addresses)}] if addresses else []
    body = {"enable_whitelist": bool(listed), "whitelist": listed}
    answer = api.put(f"/instance/{instance['instance_id']}/whitelist", json=body)
    assert answer.status_code == 204, answer.text


def seen_from(api: httpx.Client, instance: Instance) -> set[str]:
    """The addresses that sessions at all nodes are listed with."""
    path, found = f"/instances/{instance['instance_id']}", set()
    for node in api.get(f"{path}/logical-nodes").json()["nodes"]:
        which = {"node_id": node["node_id"]}
        job = api.post(f"{path}/clients", json=which | {"clean_cache": True}).json()["job_id"]
        eventually(lambda job=job: api.get(f"/jobs/{job}").json()["status"] == "SUCCESS")
        listed = api.get(f"{path}/clients", params=which | {"limit": 1000}).json()["clients"]
        found |= {one["addr"].rpartition(":")[0] for one in listed}
    return found


@needs_packet_filter
@each_kind
def test_clients_are_known_by_their_own_addresses(instance: Instance, api: httpx.Client) -> None:
    how = {"trust": ssl.create_default_context(cadata=authority_of(api, instance))}
    places, port = places_of(api, instance), instance["port"]
    friends = [Visitor(place, port, FRIEND, **how) for place in places]
    strangers = [Visitor(place, port, STRANGER, **how) for place in places]
    silent = [socket.create_connection((place, port), 5, (STRANGER, 0)) for place in places]
    assert {FRIEND, STRANGER} <= seen_from(api, instance)

    admit(api, instance, FRIEND)

    assert who_gets_in(places, port, **how) == {FRIEND}
    assert all(visitor.is_cut_off() for visitor in strangers)
    assert [visitor.ask("PING") for visitor in friends] == [b"+PONG"] * len(friends)
    # Who came before, and begins to speak only now, is too late.
    for place, client in zip(places, silent, strict=True):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            _ask(how["trust"].wrap_socket(client, server_hostname=place))
    found = seen_from(api, instance)
    assert FRIEND in found
    assert STRANGER not in found
    # The service is let in to look at what clients are shown.
    assert api.get(path_of(instance)).json()["ssl_validated"] is True

    admit(api, instance)
    assert who_gets_in(places, port, **how) == {FRIEND, STRANGER}
    for visitor in (*friends, *strangers):
        visitor.close()


ELSEWHERE = [
    one.address
    for interface in psutil.net_if_addrs().values()
    for one in interface
    if one.family is socket.AF_INET and not one.address.startswith("127.")
]


@pytest.mark.skipif(not ELSEWHERE, reason="no network but loopback")
def test_who_is_not_from_loopback_is_served_too(by: str, instance: Instance, api: httpx.Client) -> None:
    trust = ssl.create_default_context(cadata=authority_of(api, instance))
    with visiting(instance["ip"], instance["port"], ELSEWHERE[0], trust=trust) as visitor:
        assert visitor.ask("PING") == b"+PONG"
        # A front cannot count on having such an address to call from.
        assert {"engine": ELSEWHERE[0], "front": instance["ip"]}[by] in seen_from(api, instance)


def _ask(client: ssl.SSLSocket) -> None:
    with client:
        client.sendall(b"PING\r\n")
        if not client.recv(100):
            raise ConnectionResetError


@needs_packet_filter
def test_a_whitelist_and_the_switch_leave_each_other_in_force(
    instance: Instance, installation: Installation, api: httpx.Client
) -> None:
    trust = ssl.create_default_context(cadata=authority_of(api, instance))
    places, port = places_of(api, instance), instance["port"]
    admit(api, instance, STRANGER)
    switch(installation, api, instance, enabled=False)
    assert who_gets_in(places, port) == {STRANGER}
    switch(installation, api, instance, enabled=True)
    assert who_gets_in(places, port, trust=trust) == {STRANGER}
    admit(api, instance)


def test_no_key_is_anywhere_but_in_the_nodes_folders(instance: Instance, installation: Installation) -> None:
    [identity, *_] = installation.folder.glob("nodes/*/tls.pem")
    assert identity.stat().st_mode & 0o777 == 0o600
    marks = [b"PRIVATE KEY", identity.read_bytes().splitlines()[1]]
    others = [path for path in installation.folder.rglob("*") if path.is_file() and path.name != "tls.pem"]
    assert instance["instance_id"]
    assert [path for path in others for mark in marks if mark in _content(path)] == []
    commands = [" ".join(process.cmdline()) for process in installation.node_processes()]
    assert not any(mark.decode() in command for command in commands for mark in marks)
    [token] = re.findall(r'credentials: "(.+)"', installation.run("env", "--format", "prometheus").stdout)
    figures = httpx.get(f"{installation.endpoint}/metrics", headers={"Authorization": f"Bearer {token}"})
    assert figures.status_code == 200
    assert not any(mark in figures.content for mark in marks)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def test_nothing_is_renewed_that_is_good_for_long(instance: Instance, installation: Installation) -> None:
    assert instance["enable_ssl"]
    assert "certificate renewed" not in installation.log()


def test_a_certificate_is_for_what_clients_may_call_the_node() -> None:
    authority = Authority.made_up(datetime.now(UTC))
    issued = authority.issue(CertificateNames(("a.example",), ("127.0.0.9",)), datetime.now(UTC), 3)
    key, certificate = issued.encode().split(b"-----BEGIN CERTIFICATE")
    assert key.startswith(b"-----BEGIN PRIVATE KEY")
    read = x509.load_pem_x509_certificate(b"-----BEGIN CERTIFICATE" + certificate)
    read.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate.encode()))
    assert "PRIVATE" not in repr(authority)
