"""Who watches while things break: a client that never stops writing, and a look at what is left on the machine."""

from __future__ import annotations

import contextlib
import ipaddress
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil
import redis
from installation import PASSWORD, Installation, client_of
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import create_engine, make_url, select

from cachestead.domain.instances import State
from cachestead.store.tables import addresses, instances, nodes

COUNTER = "counter"


@dataclass
class Writer:
    """A client that counts up at an instance's address, one write after another, until it is stopped.

    Every attempt has its outcome: an acknowledged count, or a failure. After a failure it connects anew.
    """

    instance: dict[str, Any]
    password: str | None = PASSWORD
    acknowledged: int = 0
    """The last count that the server answered with."""
    failures: list[str] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    """Seconds from the last write that was accepted to the next one, where writes failed in between."""

    def __enter__(self) -> Self:
        self._going = True
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()
        self.wait_for_writes()
        return self

    def __exit__(self, *_: object) -> None:
        self._going = False
        self._thread.join(30)

    def _write(self) -> None:
        failing, accepted_at = False, time.monotonic()
        # redis-py would try again by itself, and nobody would know.
        patience = {"socket_timeout": 0.5, "socket_connect_timeout": 0.2, "retry": Retry(NoBackoff(), 0)}
        client = client_of(self.instance, self.password, **patience)
        while self._going:
            try:
                self.acknowledged = client.incr(COUNTER)
            except redis.RedisError as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                failing = True
                with contextlib.suppress(redis.RedisError):
                    client.close()
                time.sleep(0.002)
                continue
            if failing:
                self.gaps.append(time.monotonic() - accepted_at)
                failing = False
            accepted_at = time.monotonic()
            time.sleep(0.001)
        client.close()

    def wait_for_writes(self, seconds: float = 30.0) -> int:
        """A write was accepted after this call; the count it had."""
        before, deadline = self.acknowledged, time.monotonic() + seconds
        while self.acknowledged == before:
            assert time.monotonic() < deadline, f"no write was accepted in {seconds:g} s: {self.failures[-1:]}"
            time.sleep(0.002)
        return self.acknowledged


def assert_nothing_is_left_over(installation: Installation) -> None:
    """Processes, folders, addresses and listening sockets are those of the instances on record, and no others."""
    records = read_records(installation)
    nodes = {*records.nodes, *(f"sentinel-{n}" for n in range(3))}
    assert sorted(running_nodes(installation)) == sorted(nodes), "one process for each node on record"
    assert {one.name for one in (installation.folder / "nodes").iterdir()} == nodes, "and one folder"
    assert {*records.owners} == {*records.living, "sentinel"}, "addresses belong to instances that there are"
    expected = {*records.nodes.values(), *records.living.values(), *records.owners["sentinel"]}
    assert listening_addresses(installation) == expected, "nobody else listens in the subnet"
    watched = {one.stem for one in (installation.folder / "vip" / "endpoints").glob("*.json")}
    assert watched <= {*records.living}, "no address is moved for an instance that is gone"


def running_nodes(installation: Installation) -> list[str]:
    """Names of the folders that processes work in, one for each process."""
    found = []
    for process in installation.node_processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(Path(process.cwd()).name)
    return found


def listening_addresses(installation: Installation) -> set[str]:
    """Addresses of the installation's subnet that somebody listens on."""
    subnet = ipaddress.ip_network(installation.subnet)
    sockets = (one for one in psutil.net_connections(kind="tcp4") if one.status == psutil.CONN_LISTEN)
    return {one.laddr.ip for one in sockets if ipaddress.ip_address(one.laddr.ip) in subnet}


@dataclass(frozen=True)
class Records:
    """What the service has written down."""

    nodes: dict[str, str]
    """Addresses of nodes by id."""
    owners: dict[str, set[str]]
    """Reserved addresses by owner."""
    living: dict[str, str]
    """The instances' own addresses by id, without those that are gone or were never made."""
    roles: dict[str, dict[str, str]]
    """Roles by node address, by instance id."""


def read_records(installation: Installation) -> Records:
    """The records as they are now."""
    url = installation.database_url or f"sqlite:///{installation.folder / 'cachestead.sqlite'}"
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg") if installation.database_url else url
    )
    gone = (State.DELETED, State.CREATEFAILED)
    with engine.connect() as connection:
        owners: dict[str, set[str]] = {}
        for address, owner in connection.execute(select(addresses.c.address, addresses.c.owner)):
            owners.setdefault(owner, set()).add(address)
        roles: dict[str, dict[str, str]] = {}
        for owner, address, role in connection.execute(select(nodes.c.instance_id, nodes.c.address, nodes.c.role)):
            roles.setdefault(owner, {})[address] = role
        living = select(instances.c.id, instances.c.ip).where(instances.c.state.not_in(gone))
        records = Records(
            dict(row for row in connection.execute(select(nodes.c.id, nodes.c.address))),
            owners,
            dict(row for row in connection.execute(living)),
            roles,
        )
    engine.dispose()
    return records
