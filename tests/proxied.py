"""Data nodes with proxies in front of them: real engines on loopback addresses of their own, real proxy processes.

For tests of the proxy without the service around it, and for measurements. Nothing is left behind: every process
works in a folder below the given one and is ended with it.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import redis
from installation import eventually
from real_engines import ADMIN_SECRET, PORT, USERS, Machine, free_subnet, kill_all_under, pids_under

import cachestead
from cachestead.domain.instances import Mode
from cachestead.engine.acl import NodeUsers
from cachestead.engine.catalogue import Engine, find_engines
from cachestead.engine.cluster import Shard, form_cluster
from cachestead.engine.replication import wait_in_sync
from cachestead.proxy.configuration import (
    ADMIN_USER,
    CONFIGURATION_FILE,
    Address,
    DataNode,
    Layout,
    ProxyConfiguration,
)
from cachestead.settings import EngineSettings

VERSION = "6.0"
TENANT_PASSWORD = "tenant-Passw0rd"
NUMBERS = {Layout.CLUSTER: (11, 21, 31), Layout.REPLICATED: (11, 12, 13)}
"""Last numbers of the data nodes' addresses: three masters, or a master and two replicas."""
CONF: dict[str, object] = {"persistent": False, "maxmemory": 2 * 1024**3}


@dataclass
class Proxy:
    """A proxy process."""

    configuration: ProxyConfiguration
    process: subprocess.Popen[bytes]
    folder: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def memory(self) -> int:
        """Bytes that it has resident."""
        return int(psutil.Process(self.pid).memory_info().rss)

    @property
    def processor_seconds(self) -> float:
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)

    def admin(self) -> redis.Redis:
        """Our own client, at the proxy's own address."""
        own = self.configuration.own
        login = {"username": ADMIN_USER, "password": ADMIN_SECRET, "protocol": 2, "socket_timeout": 10}
        return redis.Redis(own.host, own.port, decode_responses=True, **login)

    def is_ready(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError(f"the proxy ended with {self.process.returncode}: {self.log()[-3000:]}")
        with self.admin() as client:
            return bool(client.execute_command("PROXY", "STATE") == "ok")

    def log(self) -> str:
        return (self.folder / "proxy.log").read_text(errors="replace")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


@dataclass
class Proxied:
    """An instance's data nodes and proxies, started one by one by whoever uses this."""

    root: Path
    layout: Layout = Layout.CLUSTER
    engine: Engine = field(default_factory=lambda: find_engines(EngineSettings()).engine_for(VERSION))
    subnet: str = field(default_factory=free_subnet)
    proxies: list[Proxy] = field(default_factory=list)

    @property
    def endpoint(self) -> Address:
        """The instance address."""
        return Address(f"{self.subnet}.100", PORT)

    @property
    def other_endpoint(self) -> Address:
        """One more, for a proxy that is not like the first."""
        return Address(f"{self.subnet}.101", PORT)

    @property
    def nodes(self) -> list[Address]:
        """Data nodes, masters first."""
        return [Address(f"{self.subnet}.{number}", PORT) for number in NUMBERS[self.layout]]

    def start_nodes(self, **conf: object) -> None:
        """They serve: all slots have an owner, replicas are in step. `conf` changes what `RedisConf` says."""
        users = replace(USERS, mode=Mode.CLUSTER) if self.layout is Layout.CLUSTER else USERS
        start = _start_cluster if self.layout is Layout.CLUSTER else _start_replicated
        self._act(users, lambda machine: start(machine, NUMBERS[self.layout], CONF | conf))

    def start_engine(self, **conf: object) -> Address:
        """The same engine without cluster, replicas or proxy, to compare with."""
        self._act(USERS, lambda machine: machine.start(51, **CONF | conf))
        return Address(f"{self.subnet}.51", PORT)

    def _act(self, users: NodeUsers, act: Callable[[Machine], Awaitable[object]]) -> None:
        async def run() -> None:
            machine = Machine(self.engine, self.root, self.subnet, users)
            await machine.runtime.start()
            await act(machine)
            for client in machine.clients:
                await client.aclose()
            await machine.runtime.close()

        asyncio.run(run())

    def configuration(self, number: int = 1, **changes: Any) -> ProxyConfiguration:
        """What proxy 1, 2, … is told: everybody is let in without a password and may call everything."""
        told = ProxyConfiguration(
            id=f"proxy-{number}",
            own=Address(f"{self.subnet}.{200 + number}", PORT),
            endpoint=self.endpoint,
            layout=self.layout,
            nodes=tuple(DataNode(f"node-{place}", at) for place, at in enumerate(self.nodes)),
            version=VERSION,
            user=ADMIN_USER,
            secret=ADMIN_SECRET,
            admin_hash=hash_of(ADMIN_SECRET),
            password_hash=None,
        )
        return replace(told, **changes)

    def start_proxy(self, number: int = 1, **changes: Any) -> Proxy:
        """A proxy that serves."""
        configuration = self.configuration(number, **changes)
        folder = self.root / configuration.id
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIGURATION_FILE).write_text(configuration.to_json())
        packages = str(Path(cachestead.__file__).parent.parent)
        with (folder / "proxy.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "cachestead.proxy", CONFIGURATION_FILE],
                cwd=folder,
                env=os.environ | {"PYTHONPATH": packages},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        proxy = Proxy(configuration, process, folder)
        self.proxies.append(proxy)
        eventually(proxy.is_ready)
        return proxy

    def client(self, **login: Any) -> redis.Redis:
        """A tenant's client, at the instance address."""
        login = {"decode_responses": True, "socket_timeout": 30, **login}
        return redis.Redis(**{"host": self.endpoint.host, "port": self.endpoint.port} | login)

    def node_client(self, number: int = 0) -> redis.Redis:
        """Our own client, at a data node."""
        node = self.nodes[number]
        return redis.Redis(node.host, node.port, username=ADMIN_USER, password=ADMIN_SECRET, decode_responses=True)

    def flush(self) -> None:
        """No key is left on any master."""
        for number in range(len(self.nodes) if self.layout is Layout.CLUSTER else 1):
            with self.node_client(number) as client:
                client.flushall()
                client.wait(len(self.nodes) - 1 if self.layout is Layout.REPLICATED else 0, 10_000)

    def close(self) -> None:
        """Every process has ended."""
        for proxy in self.proxies:
            if proxy.process.poll() is None:
                proxy.process.kill()
            proxy.process.wait()
            print(f"--- {proxy.configuration.id}\n" + "\n".join(proxy.log().splitlines()[-30:]))
        kill_all_under(self.root)
        deadline = time.monotonic() + 10
        while any(True for _ in pids_under(self.root)) and time.monotonic() < deadline:
            time.sleep(0.01)


async def _start_cluster(machine: Machine, numbers: Sequence[int], conf: dict[str, object]) -> None:
    masters = await asyncio.gather(*(machine.start(number, **conf) for number in numbers))
    await form_cluster([Shard(master) for master in masters])


async def _start_replicated(machine: Machine, numbers: Sequence[int], conf: dict[str, object]) -> None:
    first, *others = numbers
    await machine.start(first, **conf)
    start = (machine.start(number, replica_of=machine.node(first), **conf) for number in others)
    await wait_in_sync(await asyncio.gather(*start), machine.node(first), 20)


def hash_of(password: str) -> str:
    return hashlib.sha256(password.encode()).hexdigest()
