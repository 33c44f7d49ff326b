"""The names that the API returns, resolved at the running service."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import dns.exception
import dns.resolver
import pytest
from installation import HA, PASSWORD, Installation, client_of, eventually
from redis import Redis


def resolve(installation: Installation, name: str) -> set[str]:
    """Addresses by name, as clients find them."""
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], installation.names_port
    return {record.to_text() for record in resolver.resolve(name, "A", lifetime=2)}


def role_at(address: str, port: int) -> str:
    with Redis(address, port, password=PASSWORD, socket_timeout=1) as client:
        return str(client.info("replication")["role"])


@pytest.fixture(scope="module")
def pair(installation: Installation) -> dict[str, object]:
    """A master/standby instance."""
    return installation.create("with-names", HA)


def test_the_names_of_the_api_resolve(installation: Installation, pair: dict):
    assert resolve(installation, pair["domain_name"]) == {pair["ip"]}
    [replica] = resolve(installation, pair["readonly_domain_name"])

    assert replica in installation.node_pids(pair["instance_id"])
    assert role_at(replica, pair["port"]) == "slave"


def test_after_the_masters_death_the_read_only_name_is_the_other_node(installation: Installation, pair: dict):
    [replica] = resolve(installation, pair["readonly_domain_name"])
    nodes = installation.node_pids(pair["instance_id"])
    [master] = set(nodes) - {replica}

    os.kill(nodes[master], signal.SIGKILL)

    eventually(lambda: resolve(installation, pair["readonly_domain_name"]) == {master}, 15)
    eventually(lambda: role_at(master, pair["port"]) == "slave", 15)
    assert role_at(replica, pair["port"]) == "master"
    [writable] = resolve(installation, pair["domain_name"])
    assert client_of(pair | {"ip": writable}).set("written", "by name")


def test_names_go_with_their_instance(installation: Installation):
    made = installation.create("short-lived")
    assert resolve(installation, made["domain_name"]) == {made["ip"]}
    assert made["readonly_domain_name"] is None

    with installation.http() as api:
        assert api.delete(f"/instances/{made['instance_id']}").status_code == 204
    installation.wait_gone(made["instance_id"])

    def is_gone() -> bool:
        try:
            resolve(installation, made["domain_name"])
        except dns.resolver.NXDOMAIN:
            return True
        return False

    eventually(is_gone)


def test_clients_are_told_where_names_resolve(installation: Installation):
    assert installation.env["dns_host"] == "127.0.0.1"
    assert installation.env["dns_port"] == str(installation.names_port)


@pytest.fixture
def taken(fresh_installation: Installation) -> Iterator[socket.socket]:
    """The port of a service to be, taken by somebody else."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", fresh_installation.names_port))
        yield other


def test_a_service_goes_on_without_names(fresh_installation: Installation, taken: socket.socket):
    fresh_installation.start()

    assert fresh_installation.sdk()
    assert "domain names are not answered" in fresh_installation.log()
    with fresh_installation.http() as api:
        assert api.get("/instances").status_code == 200


def test_names_can_be_switched_off(fresh_installation: Installation, tmp_path: Path):
    fresh_installation.settings["NAMES__ENABLED"] = "false"
    fresh_installation.start()

    with pytest.raises(dns.exception.DNSException):
        resolve(fresh_installation, "dcs.cachestead.internal")
    assert not {"dns_host", "dns_port"} & set(fresh_installation.env)
