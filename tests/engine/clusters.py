"""Whole clusters for tests: nodes by shard, their clients, and a client that remembers what was acknowledged."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

import redis.asyncio as redis
from real_engines import PORT, USERS, Machine, eventually

from cachestead.domain.instances import Mode
from cachestead.engine.cluster import Shard
from cachestead.engine.connection import Client

CLUSTER_USERS = replace(USERS, mode=Mode.CLUSTER)


@dataclass
class Cluster:
    """Shards of a machine. Node 11 is the first of shard 1, node 12 its first replica, node 21 is shard 2."""

    machine: Machine
    shards: list[Shard] = field(default_factory=list)

    @property
    def nodes(self) -> list[Client]:
        return [node for shard in self.shards for node in shard.nodes]

    @property
    def masters(self) -> list[Client]:
        return [shard.master for shard in self.shards]

    def pid_of(self, number: int) -> int:
        return self.machine.runtime._records[f"node-{number}"].process.pid

    def tenant(self) -> redis.RedisCluster:
        client = redis.RedisCluster(
            host=self.machine.node(11).address,
            port=PORT,
            password=self.machine.users.tenant_password,
            decode_responses=True,
            socket_timeout=5,
        )
        return self.machine._kept(client)


async def start_shards(machine: Machine, shards: Sequence[int], replicas: int = 0) -> list[Shard]:
    """Nodes that run and know nobody yet."""
    machine.users = CLUSTER_USERS
    numbers = [[10 * shard + place for place in range(1, replicas + 2)] for shard in shards]
    clients = await asyncio.gather(*(machine.start(number) for shard in numbers for number in shard))
    size = replicas + 1
    groups = [clients[first : first + size] for first in range(0, len(clients), size)]
    return [Shard(group[0], tuple(group[1:])) for group in groups]


@dataclass
class Writer:
    """Writes a new value to keys of many slots, over and over, and remembers the last that was acknowledged."""

    client: redis.RedisCluster
    keys: int = 500
    acknowledged: dict[str, int] = field(default_factory=dict)
    attempted: dict[str, int] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    client_faults: int = 0
    count: int = 0
    slowest: float = 0.0
    over: bool = False

    async def write(self, seconds: float) -> None:
        """Until told, or until the bound: redis-py may swallow what cancels it."""
        value, end = 0, time.monotonic() + seconds
        while not self.over and time.monotonic() < end:
            value += 1
            await self._write_one(f"written-{value % self.keys}", value)
            await asyncio.sleep(0)

    async def _write_one(self, key: str, value: int) -> None:
        began = time.monotonic()
        self.attempted[key] = value
        try:
            await self.client.set(key, value)
            self.acknowledged[key] = value
            self.count += 1
        except AttributeError:
            # redis-py 8.1 now and then takes a pool apart that it is about to use; no server said anything.
            self.client_faults += 1
        except Exception as error:
            self.errors.append(f"{type(error).__name__}: {error}")
        self.slowest = max(self.slowest, time.monotonic() - began)

    async def lost(self) -> list[str]:
        """Keys whose last acknowledged value is not there, nor a later one that was attempted."""
        read = {key: await self.client.get(key) for key in self.acknowledged}
        return [
            f"{key}: {read[key]} instead of {value}"
            for key, value in self.acknowledged.items()
            if read[key] is None or not value <= int(read[key]) <= self.attempted[key]
        ]


@contextlib.asynccontextmanager
async def writing(cluster: Cluster, seconds: float = 90.0) -> AsyncIterator[Writer]:
    """A writer at work for the length of a block; its client is closed with the cluster."""
    writer = Writer(cluster.tenant())
    task = asyncio.create_task(writer.write(seconds))
    try:
        await eventually(lambda: asyncio.sleep(0, writer.count > 200))
        yield writer
    finally:
        writer.over = True
        await asyncio.wait([task], timeout=20)
