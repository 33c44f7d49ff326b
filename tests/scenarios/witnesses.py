"""Who watches while things break: clients that never stop writing, and looks at what is there when it is over.

The looks ask three witnesses who must say the same: the API, every node, and whoever decides who is master (the
Sentinels, or the cluster itself). A fourth look is at the machine, for what is left over.
"""

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
from installation import PASSWORD, Installation, client_of, eventually
from records import admin_of, reading
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import RedisClusterException
from redis.retry import Retry
from sqlalchemy import select, union_all

from cachestead.domain.backups import backups_folder
from cachestead.domain.instances import Mode, State
from cachestead.domain.slots import even_slots, key_in
from cachestead.engine.acl import ADMIN
from cachestead.engine.cluster import ClusterView, disagreement, read_view
from cachestead.identity.secrets import Vault
from cachestead.settings import FailoverSettings
from cachestead.store.tables import addresses, backups, facts, instances, nodes, proxies

COUNTER = "counter"
BOUND = 20.0
"""Seconds without a write on a machine that has other work to do; `bench/failover.py` has the figures."""
_OF_RESTORATIONS = ("restoring-*", "before-restore*")
LAST_MOMENT = 50
"""Acknowledged writes that may be lost with a master: what a replica lags behind on a busy machine."""


@dataclass
class Writer:
    """A client that counts up at an instance's address, one write after another, until it is stopped.

    Every attempt has its outcome: an acknowledged count, or a failure. After a failure it connects anew.
    """

    instance: dict[str, Any]
    password: str | None = PASSWORD
    key: str = COUNTER
    patience: float = 0.5
    """Seconds it waits for an answer before it counts a failure."""
    acknowledged: int = 0
    """The last count that the server answered with."""
    failures: list[str] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    """Seconds from the last write that was accepted to the next one, where writes failed in between."""
    lost: list[int] = field(default_factory=list)
    """How many acknowledged writes were gone after each gap."""

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
        client: redis.Redis | RedisCluster | None = None
        while self._going:
            try:
                client = client or self._connect()
                count = client.incr(self.key)
            except (redis.RedisError, RedisClusterException) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                failing = True
                _close(client)
                client = None
                # A cluster's client asks for all slots and commands anew, which would take a core from the others.
                time.sleep(0.02 if self._is_cluster else 0.002)
                continue
            if failing:
                self.gaps.append(time.monotonic() - accepted_at)
                self.lost.append(max(0, self.acknowledged + 1 - count))
                failing = False
            self.acknowledged = count
            accepted_at = time.monotonic()
            time.sleep(0.001)
        _close(client)

    @property
    def _is_cluster(self) -> bool:
        return self.instance["cache_mode"] == "cluster"

    def _connect(self) -> redis.Redis | RedisCluster:
        # redis-py would try again by itself, and nobody would know.
        patience = {"socket_timeout": self.patience, "socket_connect_timeout": 0.2, "retry": Retry(NoBackoff(), 0)}
        if not self._is_cluster:
            return client_of(self.instance, self.password, **patience)
        known = [ClusterNode(address, self.instance["port"]) for address in self.instance["ip"].split(",")]
        return RedisCluster(startup_nodes=known, password=self.password, decode_responses=True, **patience)

    def wait_for_writes(self, seconds: float = 30.0) -> int:
        """A write was accepted after this call; the count it had."""
        before, deadline = self.acknowledged, time.monotonic() + seconds
        while self.acknowledged == before:
            assert time.monotonic() < deadline, f"no write was accepted in {seconds:g} s: {self.failures[-1:]}"
            time.sleep(0.002)
        return self.acknowledged


def _close(client: redis.Redis | RedisCluster | None) -> None:
    with contextlib.suppress(redis.RedisError):
        if client is not None:
            client.close()


class ClusterWriter:
    """A writer for each shard of a cluster: each counts up a key of its own, whatever happens to the others."""

    def __init__(self, instance: dict[str, Any], shards: int) -> None:
        self.shards = [Writer(instance, key=key_in(slots, COUNTER)) for slots in even_slots(shards)]

    def __enter__(self) -> Self:
        for writer in self.shards:
            writer.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self.shards:
            writer._going = False
        for writer in self.shards:
            writer.__exit__()

    @property
    def failures(self) -> list[str]:
        return [failure for writer in self.shards for failure in writer.failures]

    @property
    def gaps(self) -> list[float]:
        return [gap for writer in self.shards for gap in writer.gaps]

    @property
    def lost(self) -> list[int]:
        return [lost for writer in self.shards for lost in writer.lost]

    def wait_for_writes(self) -> list[int]:
        """A write to each shard was accepted after this call."""
        return [writer.wait_for_writes() for writer in self.shards]


@dataclass(frozen=True)
class NodeSeen:
    """A node of an instance, as all three witnesses have it."""

    address: str
    group: str
    """Name of its shard."""
    role: str
    """As INFO has it."""
    pid: int


def agreed(installation: Installation, instance: dict[str, Any]) -> list[NodeSeen]:
    """The instance's nodes, masters first: RUNNING, each replica in step with its master, by every witness' word."""
    instance_id = instance["instance_id"]
    shown = installation.show(instance_id)
    assert shown is not None
    assert shown["status"] == "RUNNING"
    groups = groups_of(installation, instance_id)
    pids = installation.node_pids(instance_id)
    nodes = [
        NodeSeen(one["replication_ip"], name, one["replication_role"], pids[one["replication_ip"]])
        for name, members in groups.items()
        for one in members
    ]
    assert {one["status"] for members in groups.values() for one in members} == {"Active"}, groups
    mode = Mode(shown["cache_mode"])
    with contextlib.ExitStack() as open_clients:
        clients = [open_clients.enter_context(admin_of(installation, instance, node.address)) for node in nodes]
        for node, client in zip(nodes, clients, strict=True):
            master = next(one for one in nodes if (one.group, one.role) == (node.group, "master"))
            _assert_says_so(node, client, master)
        if mode.is_clustered:
            _assert_one_cluster([_view_of(client) for client in clients], nodes)
    if mode.is_watched:
        assert sentinel_views(installation, instance_id) == {(nodes[0].address, len(nodes) - 1, 2)}
    for proxy in proxies_of(installation, instance_id):
        _assert_serves(installation, instance, proxy)
    return sorted(nodes, key=lambda node: node.role != "master")


def groups_of(installation: Installation, instance_id: str) -> dict[str, list[dict[str, Any]]]:
    """Members of each shard by its name, as the API has them."""
    with installation.http() as api:
        answer = api.get(f"/instance/{instance_id}/groups")
    assert answer.status_code == 200, answer.text
    return {one["group_name"]: one["replication_list"] for one in answer.json()["group_list"]}


def proxies_of(installation: Installation, instance_id: str) -> list[dict[str, Any]]:
    """The instance's proxies, as the API has them."""
    with installation.http() as api:
        listed = api.get(f"/instances/{instance_id}/logical-nodes").json()["nodes"]
    return [one for one in listed if one["node_role"] == "redis-proxy"]


def _assert_serves(installation: Installation, instance: dict[str, Any], proxy: dict[str, Any]) -> None:
    assert proxy["status"] == "Active", proxy
    assert proxy["node_ip"] in installation.node_pids(instance["instance_id"])
    with admin_of(installation, instance, proxy["node_ip"]) as client:
        assert client.execute_command("PROXY", "STATE") == "ok"


def _assert_says_so(node: NodeSeen, client: redis.Redis, master: NodeSeen) -> None:
    facts = client.info("replication")
    assert facts["role"] == node.role, f"{node.address} is {facts['role']}"
    if node.role == "slave":
        assert facts["master_host"] == master.address
        assert facts["master_link_status"] == "up"


def sentinel_views(installation: Installation, instance_id: str) -> set[tuple[str, int, int]]:
    """What each Sentinel says: the master's address, how many replicas and how many other Sentinels it knows.

    Without knowing these it replaces nobody while the service is away.
    """
    found = set()
    for flat in ask_sentinels(installation, "MASTER", instance_id):
        seen = dict(zip(flat[::2], flat[1::2], strict=True))
        found.add((seen["ip"], int(seen["num-slaves"]), int(seen["num-other-sentinels"])))
    return found


def ask_sentinels(installation: Installation, *question: str) -> list[list[Any]]:
    """The answer of each Sentinel."""
    with reading(installation) as connection:
        sealed = connection.scalar(select(facts.c.value).where(facts.c.key == "sentinel"))
        listening = connection.scalars(select(addresses.c.address).where(addresses.c.owner == "sentinel")).all()
    port = int(installation.settings.get("FAILOVER__SENTINEL_PORT", FailoverSettings().sentinel_port))
    secret = Vault.at(installation.folder).open(sealed)["secret"]
    answers = []
    for address in listening:
        with redis.Redis(
            address, port, username=ADMIN, password=secret, socket_timeout=1, decode_responses=True, protocol=2
        ) as client:
            answers.append(client.execute_command("SENTINEL", *question))
    return answers


def view_of(installation: Installation, instance: dict[str, Any], address: str) -> ClusterView:
    """The cluster as the node there sees it."""
    with admin_of(installation, instance, address) as client:
        return _view_of(client)


def _view_of(client: redis.Redis) -> ClusterView:
    return read_view(*(client.execute_command("CLUSTER", what) for what in ("NODES", "INFO")))


def _assert_one_cluster(views: list[ClusterView], nodes: list[NodeSeen]) -> None:
    assert disagreement(views) is None, disagreement(views)
    seen = {one.address.address: one for one in views[0].nodes.values()}
    assert {address for address, one in seen.items() if one.slots} == {
        node.address for node in nodes if node.role == "master"
    }, "one owner of slots in each shard"


def assert_nothing_is_left_over(installation: Installation) -> None:
    """Processes, folders, addresses and listening sockets are those of the instances on record, and no others.

    Within a moment: a node that is being started has a folder before it has a process.
    """
    eventually(lambda: _nothing_is_left_over(installation))


def _nothing_is_left_over(installation: Installation) -> bool:
    records = read_records(installation)
    nodes = {*records.nodes, *(f"sentinel-{n}" for n in range(3))}
    running = running_nodes(installation)
    fronts = {one for one in running if one.endswith(".front")}
    assert {one.removesuffix(".front") for one in fronts} <= {*records.nodes}, "fronts are of nodes on record"
    nodes |= fronts
    assert sorted(running) == sorted(nodes), "one process for each node on record"
    assert {one.name for one in (installation.folder / "nodes").iterdir()} == nodes, "and one folder"
    assert {*records.owners} == {*records.living, "sentinel"}, "addresses belong to instances that there are"
    own = {address for joined in records.living.values() for address in joined.split(",")}
    expected = {*records.nodes.values(), *own, *records.owners["sentinel"]}
    assert listening_addresses(installation) == expected, "nobody else listens in the subnet"
    folders = (installation.folder / "nodes").iterdir()
    odd = [path for one in folders for end in _OF_RESTORATIONS for path in one.glob(end)]
    assert odd == [], "no node's folder has what a restoration put beside"
    if "OBJECTS__ENDPOINT" not in installation.settings:
        assert stored_backups(installation) == records.backup_files, (
            "files of the backups on record, and no others"
        )
    watched = {one.stem for one in (installation.folder / "vip" / "endpoints").glob("*.json")}
    assert watched <= {*records.living}, "no address is moved for an instance that is gone"
    return True


def stored_backups(installation: Installation) -> set[str]:
    """Files of backups in the folder that stands for the object store, below the bucket."""
    bucket = installation.folder / "objects" / "cachestead"
    found = (path for path in bucket.rglob("backups/**/*") if path.is_file())
    return {str(path.relative_to(bucket)) for path in found}


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
    """Addresses of nodes and proxies by id."""
    owners: dict[str, set[str]]
    """Reserved addresses by owner."""
    living: dict[str, str]
    """The instances' own addresses by id, without those that are gone or were never made."""
    backup_files: set[str]
    """Where the files of backups are that there are."""


def read_records(installation: Installation) -> Records:
    """The records as they are now."""
    gone = (State.DELETED, State.CREATEFAILED)
    with reading(installation) as connection:
        owners: dict[str, set[str]] = {}
        for address, owner in connection.execute(select(addresses.c.address, addresses.c.owner)):
            owners.setdefault(owner, set()).add(address)
        living = select(instances.c.id, instances.c.ip).where(instances.c.state.not_in(gone))
        listed = connection.execute(
            select(backups.c.project_id, backups.c.instance_id, backups.c.id, backups.c.files)
        )
        processes = union_all(*(select(one.c.id, one.c.address) for one in (nodes, proxies)))
        return Records(
            dict(row for row in connection.execute(processes)),
            owners,
            dict(row for row in connection.execute(living)),
            {
                f"{backups_folder(project, instance)}{backup}/{file['name']}"
                for project, instance, backup, files in listed
                for file in files
            },
        )
