"""Clusters of real nodes: made, interrupted, healed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from dataclasses import replace

import pytest
from clusters import Cluster, start_shards, writing
from real_engines import Machine, eventually
from redis.exceptions import ResponseError

from cachestead.domain.slots import slot_of
from cachestead.engine.cluster import (
    Shard,
    ensure_forgotten,
    ensure_member,
    form_cluster,
    observe_all,
    observe_cluster,
    set_promotable,
    wait_agreed,
)
from cachestead.engine.cluster_failover import Candidate, LostMaster, Standing, best_of, fail_over, switch_over
from cachestead.engine.connection import address_of
from cachestead.engine.errors import FailoverFailed, SlotsInDanger


async def test_a_cluster_is_formed_and_every_node_agrees(machine: Machine):
    began = time.monotonic()
    shards = await start_shards(machine, [1, 2, 3], replicas=1)
    started = time.monotonic()
    view = await form_cluster(shards)
    print(f"{machine.engine}: started {started - began:.2f} s, formed {time.monotonic() - started:.2f} s")

    assert [len(slots) for slots in view.owners.values()] == [5461, 5461, 5462] or view.slots_ok == 16384
    assert {len(view.members(master)) for master in view.owners} == {2}
    assert len({view.nodes[master].epoch for master in view.owners}) == 3
    cluster = Cluster(machine, shards)
    tenant = cluster.tenant()
    for number in range(50):
        await tenant.set(f"key-{number}", number)
    assert await tenant.get("key-49") == "49"


@pytest.fixture
async def cluster(machine: Machine) -> Cluster:
    """Three masters with a replica each."""
    shards = await start_shards(machine, [1, 2, 3], replicas=1)
    await form_cluster(shards)
    return Cluster(machine, shards)


async def test_forming_again_changes_nothing(cluster: Cluster):
    before = (await observe_cluster(cluster.masters[0])).configuration
    assert (await form_cluster(cluster.shards)).configuration == before


@pytest.mark.parametrize("steps", range(1, 6))
async def test_forming_goes_on_where_it_was_interrupted(machine: Machine, steps: int):
    shards = await start_shards(machine, [1, 2, 3], replicas=1)
    forming = asyncio.create_task(form_cluster(shards))
    await asyncio.sleep(0.15 * steps)
    forming.cancel()
    await asyncio.wait([forming], timeout=5)
    view = await form_cluster(shards)
    assert sorted(map(len, (slots for slots in view.owners.values() if slots))) == [5461, 5461, 5462]
    assert {len(view.members(master)) for master in view.owners} == {2}


async def test_a_killed_master_is_replaced_at_once(cluster: Cluster):
    shard = cluster.shards[0]
    slots = (await observe_cluster(shard.master)).myself.slots
    replica = cluster.machine.tenant(cluster.machine.node(12).address, socket_timeout=0.5)
    key = next(f"k{n}" for n in range(1000) if slot_of(f"k{n}") in slots)
    await cluster.machine.tenant(cluster.machine.node(11).address).set(key, "before")
    await eventually(lambda: has(replica, key))

    killed = time.monotonic()
    os.kill(cluster.pid_of(11), signal.SIGKILL)
    writable = asyncio.create_task(first_write(replica, key, killed))
    takeover = await fail_over(lost_master(cluster, 0))
    print(
        f"{cluster.machine.engine}: failed over in {takeover.seconds:.3f} s, writable {await writable:.3f} s after kill"
    )

    assert takeover.winner == cluster.machine.node(12)
    assert await writable < 2
    assert (await fail_over(lost_master(cluster, 0))).winner == takeover.winner
    # The one that was lost comes back as it was left and follows.
    await eventually(lambda: all_ended(cluster, [11]))
    await eventually(lambda: cluster.machine.start(11))
    view = await wait_agreed(cluster.nodes, 20)
    assert view.find_at(cluster.machine.node(12)).slots == slots
    assert (await form_cluster(cluster.shards)).configuration == view.configuration


async def has(replica, key: str) -> bool:
    try:
        await replica.execute_command("READONLY")
        return await replica.get(key) is not None
    except ResponseError:
        return False


async def first_write(client, key: str, since: float) -> float:
    while time.monotonic() < since + 10:
        with contextlib.suppress(Exception):
            if await client.set(key, "after"):
                return time.monotonic() - since
        await asyncio.sleep(0.002)
    raise AssertionError("not writable within 10 s")


def lost_master(cluster: Cluster, shard: int, **changes: object) -> LostMaster:
    lost, *candidates = cluster.shards[shard].nodes
    voters = [other.master for at, other in enumerate(cluster.shards) if at != shard]
    return LostMaster(address_of(lost), [Candidate(one, **changes) for one in candidates], voters)


async def test_a_replica_with_priority_0_is_never_promoted(cluster: Cluster):
    os.kill(cluster.pid_of(11), signal.SIGKILL)
    with pytest.raises(FailoverFailed, match="none of its 1"):
        await fail_over(lost_master(cluster, 0, priority=0))
    await set_promotable(cluster.shards[0].replicas[0], promotable=False)
    with pytest.raises(FailoverFailed, match="none of its 1"):
        await fail_over(lost_master(cluster, 0))


async def test_most_masters_lost_is_a_failure_until_somebody_answers_for_it(cluster: Cluster):
    for number in (11, 21):
        os.kill(cluster.pid_of(number), signal.SIGKILL)
    lost = replace(lost_master(cluster, 0), voters=[cluster.masters[2]])
    with pytest.raises(FailoverFailed, match="not elected"):
        await fail_over(lost, 1)
    with contextlib.suppress(FailoverFailed):
        # One alone cannot serve: it takes both.
        await fail_over(lost, 0.2, without_vote=True)
    await fail_over(replace(lost_master(cluster, 1), voters=[]), 10, without_vote=True)
    assert (await observe_cluster(cluster.masters[2])).find_at(cluster.machine.node(12)).is_master


async def test_a_planned_switch_loses_no_acknowledged_write(cluster: Cluster):
    took = []
    async with writing(cluster) as writer:
        for _ in range(2):
            for at, shard in enumerate(cluster.shards):
                voters = [other.master for other in cluster.shards if other is not shard]
                took.append((await switch_over(shard, shard.replicas[0], voters)).seconds)
                cluster.shards[at] = Shard(shard.replicas[0], (shard.master,))
    print(f"{cluster.machine.engine}: switched in {sorted(took)}, slowest write {writer.slowest:.3f} s")

    assert await writer.lost() == []
    assert writer.errors == []
    assert writer.slowest < 15, "an engine gives up a switch after five seconds and is asked again"
    await wait_agreed(cluster.nodes, 10, spread=True)


async def test_a_whole_cluster_killed_at_once_comes_back_with_its_data(cluster: Cluster):
    tenant = cluster.tenant()
    for number in range(500):
        await tenant.set(f"key-{number}", number)
    await asyncio.sleep(1.1)  # The append-only files are written out once a second.
    numbers = [11, 12, 21, 22, 31, 32]
    for number in numbers:
        os.kill(cluster.pid_of(number), signal.SIGKILL)
    await eventually(lambda: all_ended(cluster, numbers))
    began = time.monotonic()
    await asyncio.gather(*(eventually(lambda n=number: cluster.machine.start(n)) for number in numbers))
    await wait_agreed(cluster.nodes, 30)
    print(f"{cluster.machine.engine}: all nodes back in {time.monotonic() - began:.2f} s")

    tenant = cluster.tenant()
    assert [await tenant.get(f"key-{number}") for number in range(500)] == [str(number) for number in range(500)]


async def all_ended(cluster: Cluster, numbers: list[int]) -> bool:
    sightings = {one.id: one.running for one in await cluster.machine.runtime.observe_nodes()}
    return not any(sightings[f"node-{number}"] for number in numbers)


@pytest.mark.parametrize("number", [11, 12], ids=["a master", "a replica"])
async def test_a_lost_node_is_rebuilt_from_its_shard(cluster: Cluster, number: int):
    tenant = cluster.tenant()
    for key in range(200):
        await tenant.set(f"key-{key}", key)
    old = (await observe_cluster(cluster.machine.admin(number))).me
    os.kill(cluster.pid_of(number), signal.SIGKILL)
    if number == 11:
        await fail_over(lost_master(cluster, 0))
    await cluster.machine.runtime.remove_node(f"node-{number}")
    # The kernel closes a killed process' sockets a moment after its end.
    await eventually(lambda: cluster.machine.start(number))
    for _ in range(2):
        view = await ensure_member(cluster.shards[0], cluster.nodes)

    rebuilt = view.find_at(cluster.machine.node(number))
    assert rebuilt.id != old
    assert rebuilt.master_id is not None
    assert all(old not in seen.nodes for seen in await observe_all(cluster.nodes))
    master, replica = cluster.machine.admin(23 - number), cluster.machine.admin(number)
    assert await replica.dbsize() == await master.dbsize() > 0
    assert (await replica.config_get("cluster-slave-no-failover")) == {"cluster-slave-no-failover": "no"}


async def test_an_owner_of_slots_is_not_forgotten_by_mistake(cluster: Cluster):
    gone = (await observe_cluster(cluster.masters[0])).me
    with pytest.raises(SlotsInDanger):
        await ensure_forgotten(cluster.nodes[1:], gone)


async def test_a_shard_lost_with_all_its_nodes_is_given_up_and_dealt_out_again(machine: Machine):
    shards = await start_shards(machine, [1, 2, 3])
    cluster = Cluster(machine, shards)
    await form_cluster(shards)
    gone = (await observe_cluster(shards[0].master)).me
    os.kill(cluster.pid_of(11), signal.SIGKILL)
    await machine.runtime.remove_node("node-11")
    await eventually(lambda: machine.start(11))
    await ensure_forgotten(cluster.nodes, gone, with_slots=True)
    view = await form_cluster(shards)
    assert sorted(map(len, view.owners.values())) == [5461, 5461, 5462]


def standing(node: str, **changes: object) -> Standing:
    return replace(Standing(node, promotable=True, priority=100, offset=5_000_000), **changes)


@pytest.mark.parametrize(
    ("standings", "best"),
    [
        ([standing("a"), standing("b", offset=5_000_010)], "b"),
        ([standing("a", priority=50), standing("b", offset=5_000_010)], "a"),
        ([standing("a", priority=50, offset=100), standing("b")], "b"),
        ([standing("a", priority=0), standing("b", offset=0)], "b"),
        ([standing("a", promotable=False), standing("b", priority=0)], None),
        ([], None),
    ],
    ids=["has most", "smaller priority", "far behind", "never", "nobody may", "nobody there"],
)
def test_the_best_replica_is_chosen(standings: list[Standing], best: str | None):
    chosen = best_of(standings)
    assert (chosen.node if chosen else None) == best
