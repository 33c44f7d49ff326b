"""Losing a master, with real Sentinels: who gets the instance address, and that it can be written to."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from real_engines import ADMIN_SECRET, SENTINEL_PORT, SENTINEL_SECRET, Machine, eventually

from cachestead.engine.addresses import NodeAddress
from cachestead.engine.endpoint import bound_addresses
from cachestead.engine.failover import Takeover, take_over
from cachestead.engine.replication import wait_in_sync
from cachestead.engine.sentinel import Sentinels, Watch
from cachestead.engine.watched import WatchedShard
from cachestead.runtime.process.processes import ProcessIdentity, find_process, is_alive
from cachestead.runtime.process.vip_script import ShardEndpoint, ShardNode, write_endpoint, write_script

NAME = "shard-0"


@dataclass
class Shard:
    """A master with the instance address, two replicas and three Sentinels that watch them."""

    machine: Machine
    sentinels: Sentinels

    def pid_of(self, number: int) -> int:
        return self.machine.runtime._records[f"node-{number}"].process.pid

    async def write(self) -> bool:
        client = self.machine.tenant(self.machine.vip, socket_timeout=0.5)
        return await client.set("written", "yes")

    async def take_over(self) -> Takeover:
        candidates = [self.machine.node(number) for number in (12, 13)]
        lost = WatchedShard(NAME, self.machine.node(11), candidates, self.machine.vip, ADMIN_SECRET)
        return await take_over(self.sentinels, lost)


async def build_shard(machine: Machine, *, down_after_ms: int, with_script: bool) -> Shard:
    master = machine.node(11)
    await machine.start(11, vip=machine.vip)
    replicas = await asyncio.gather(*(machine.start(number, replica_of=master) for number in (12, 13)))
    for number in (1, 2, 3):
        await machine.runtime.ensure_node(machine.sentinel_spec(number))
    await wait_in_sync(replicas, master, 20)
    addresses = [NodeAddress(f"{machine.subnet}.{number}", SENTINEL_PORT) for number in (1, 2, 3)]
    sentinels = Sentinels(addresses, SENTINEL_SECRET)
    script = None
    if with_script:
        folder = machine.root.parent
        script = write_script(folder)
        nodes = [ShardNode(machine.node(n), machine.runtime.node_folder(f"node-{n}")) for n in (11, 12, 13)]
        write_endpoint(folder, ShardEndpoint(NAME, machine.vip, nodes, ADMIN_SECRET))
    await sentinels.ensure_monitored(Watch(NAME, master, ADMIN_SECRET, script, down_after_ms))
    await sentinels.wait_ready(NAME, 2, 30)
    return Shard(machine, sentinels)


@pytest.fixture
async def shard(machine: Machine) -> AsyncIterator[Shard]:
    """Nobody but the supervisor's hint would notice a loss for a minute."""
    shard = await build_shard(machine, down_after_ms=60_000, with_script=False)
    yield shard
    await shard.sentinels.close()


@pytest.fixture
async def shard_alone(machine: Machine) -> AsyncIterator[Shard]:
    """Sentinel and its script, no supervisor."""
    shard = await build_shard(machine, down_after_ms=500, with_script=True)
    yield shard
    await shard.sentinels.close()


async def test_a_killed_master_is_replaced_and_the_address_can_be_written_to(shard: Shard):
    await shard.write()
    os.kill(shard.pid_of(11), signal.SIGKILL)
    takeover = await shard.take_over()

    assert takeover.winner in {shard.machine.node(12), shard.machine.node(13)}
    assert await shard.write()
    winner = int(takeover.winner.address.rpartition(".")[2])
    assert await bound_addresses(shard.machine.admin(winner)) == [takeover.winner.address, shard.machine.vip]

    async def agreed() -> bool:
        return await shard.sentinels.find_master(NAME) == takeover.winner

    await eventually(agreed)


async def test_a_frozen_master_is_ended_and_replaced(shard: Shard):
    await shard.write()
    os.kill(shard.pid_of(11), signal.SIGSTOP)
    await shard.machine.runtime.kill_node("node-11")
    await shard.take_over()

    assert await shard.write()


async def test_the_lost_master_comes_back_as_a_replica(shard: Shard):
    os.kill(shard.pid_of(11), signal.SIGKILL)
    winner = (await shard.take_over()).winner
    admin = await shard.machine.start(11, replica_of=winner)

    await wait_in_sync([admin], winner, 20)


async def test_asking_again_while_a_failover_runs_is_fine(shard: Shard):
    os.kill(shard.pid_of(11), signal.SIGKILL)
    await shard.sentinels.fail_over(NAME)
    await shard.sentinels.fail_over(NAME)
    await shard.take_over()

    assert await shard.write()


async def test_watching_twice_is_the_same_and_keeps_what_sentinel_decided(shard: Shard):
    other = Watch(NAME, shard.machine.node(12), ADMIN_SECRET, None, 60_000)
    await shard.sentinels.ensure_monitored(other)
    assert await shard.sentinels.find_master(NAME) == shard.machine.node(11)

    await shard.sentinels.ensure_monitored(other, move=True)
    assert await shard.sentinels.find_master(NAME) == shard.machine.node(12)


async def test_a_forgotten_master_is_not_known(shard: Shard):
    await shard.sentinels.ensure_forgotten(NAME)
    await shard.sentinels.ensure_forgotten(NAME)

    assert await shard.sentinels.find_master(NAME) is None


async def test_replicas_are_known_by_their_own_addresses(shard: Shard):
    known = {replica.node for replica in await shard.sentinels.known_replicas(NAME)}

    assert known == {shard.machine.node(12), shard.machine.node(13)}


async def test_the_script_moves_the_address_while_the_control_plane_is_gone(shard_alone: Shard):
    await shard_alone.write()
    await shard_alone.machine.runtime.close()
    await shard_alone.sentinels.close()
    os.kill(shard_alone.pid_of(11), signal.SIGKILL)

    await eventually(shard_alone.write, 30)


async def test_the_script_ends_a_frozen_master_that_holds_the_address(shard_alone: Shard):
    frozen = shard_alone.pid_of(11)
    started = find_process(frozen).started
    await shard_alone.machine.runtime.close()
    os.kill(frozen, signal.SIGSTOP)

    await eventually(shard_alone.write, 40)
    assert not is_alive(ProcessIdentity(frozen, started))


async def test_the_script_takes_the_address_from_a_master_that_lives(shard_alone: Shard):
    await shard_alone.sentinels.fail_over(NAME)

    async def moved() -> bool:
        roles = [await bound_addresses(shard_alone.machine.admin(number)) for number in (11, 12, 13)]
        return [len(addresses) for addresses in roles] in ([1, 2, 1], [1, 1, 2])

    await eventually(moved, 30)
    await eventually(shard_alone.write, 30)
