"""A planned change of master under a writing client, with real Sentinels."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from real_engines import ADMIN_SECRET, ENGINES, SENTINEL_PORT, SENTINEL_SECRET, Machine, eventually

from cachestead.engine.addresses import NodeAddress
from cachestead.engine.catalogue import EngineCatalogue
from cachestead.engine.errors import ReplicationLate
from cachestead.engine.info import observe_role
from cachestead.engine.replication import wait_in_sync
from cachestead.engine.sentinel import Sentinels, Watch
from cachestead.engine.switchover import switch_master
from cachestead.engine.watched import WatchedShard

NAME = "shard-0"


@pytest.fixture
async def sentinels(machine: Machine) -> AsyncIterator[Sentinels]:
    master = machine.node(11)
    await machine.start(11, vip=machine.vip)
    replicas = await asyncio.gather(*(machine.start(number, replica_of=master) for number in (12, 13)))
    data_engine, machine.engine = machine.engine, EngineCatalogue(ENGINES).newest()
    for number in (1, 2, 3):
        await machine.runtime.ensure_node(machine.sentinel_spec(number))
    machine.engine = data_engine
    await wait_in_sync(replicas, master, 20)
    found = Sentinels([NodeAddress(f"{machine.subnet}.{n}", SENTINEL_PORT) for n in (1, 2, 3)], SENTINEL_SECRET)
    await found.ensure_monitored(Watch(NAME, master, ADMIN_SECRET, None, 60_000))
    await found.wait_ready(NAME, 2, 30)
    yield found
    await found.close()


def shard_of(machine: Machine, master: NodeAddress) -> WatchedShard:
    others = [machine.node(number) for number in (11, 12, 13) if machine.node(number) != master]
    return WatchedShard(NAME, master, others, machine.vip, ADMIN_SECRET)


async def test_a_planned_switch_loses_no_acknowledged_write(machine: Machine, sentinels: Sentinels):
    tenant = machine.tenant(machine.vip, socket_timeout=2, retry=None)
    over, acknowledged, refused, gap, last = False, 0, 0, 0.0, time.monotonic()

    async def write() -> None:
        nonlocal acknowledged, refused, gap, last
        end = time.monotonic() + 60
        value = 0
        while not over and time.monotonic() < end:
            value += 1
            try:
                await tenant.set("a", value)
            except Exception:
                refused += 1
                await asyncio.sleep(0.001)
                continue
            acknowledged = value
            gap, last = max(gap, time.monotonic() - last), time.monotonic()

    task = asyncio.create_task(write())
    await eventually(lambda: asyncio.sleep(0, acknowledged > 100))
    gap = 0.0
    switched = await switch_master(sentinels, shard_of(machine, machine.node(11)))
    await asyncio.sleep(0.3)
    over = True
    await asyncio.wait([task], timeout=10)
    print(f"{machine.engine}: {switched}, longest without a write {gap:.3f} s, {refused} refused")

    assert int(await tenant.get("a")) >= acknowledged
    assert switched.winner != machine.node(11)
    assert gap < 1.5
    assert await observe_role(machine.admin(11)) == "slave"

    async def sentinels_agree() -> bool:
        return (await sentinels.masters()) == {NAME: switched.winner}

    await eventually(sentinels_agree)
    # They need not be told, and change nothing back.
    await asyncio.sleep(2)
    assert await sentinels_agree()
    third = next(n for n in (12, 13) if machine.node(n) != switched.winner)
    await wait_in_sync([machine.admin(11), machine.admin(third)], switched.winner, 20)


async def test_a_replica_that_does_not_keep_up_stops_the_switch(machine: Machine, sentinels: Sentinels):
    await machine.admin(12).execute_command("REPLICAOF", "NO", "ONE")
    with pytest.raises(ReplicationLate):
        await switch_master(sentinels, shard_of(machine, machine.node(11)))
    assert await machine.tenant(machine.vip).set("a", 1)
