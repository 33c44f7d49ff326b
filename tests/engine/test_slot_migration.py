"""Slots that move under a client that reads and writes: both roads, interrupted or not."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest
from clusters import Cluster, start_shards, writing
from real_engines import ADMIN_SECRET, REPLICA_SECRET, Machine, eventually
from redis.asyncio import RedisCluster
from redis.exceptions import NoPermissionError, ResponseError

from cachestead.domain.slots import SlotMove, Slots, plan_rebalance, slot_of
from cachestead.engine.catalogue import Engine
from cachestead.engine.cluster import (
    ClusterView,
    Shard,
    disagreement,
    ensure_met,
    ensure_replica_of_master,
    ensure_slots,
    form_cluster,
    observe_all,
    observe_cluster,
    wait_agreed,
)
from cachestead.engine.cluster_failover import Candidate, LostMaster, fail_over
from cachestead.engine.connection import Client, address_of
from cachestead.engine.errors import EngineError, SlotMoveFailed
from cachestead.engine.slot_migration import (
    Progress,
    Road,
    cancel_migrations,
    half_moved,
    move_slots,
    observe_migrations,
)


def roads(engine: Engine) -> list[Road]:
    by_keys = Road(atomic=False, secret=REPLICA_SECRET)
    return [Road(atomic=True, secret=None), by_keys] if engine.has_atomic_slot_migration else [by_keys]


@pytest.fixture(params=["atomic", "by keys"])
def road(engine: Engine, request: pytest.FixtureRequest) -> Road:
    found = [road for road in roads(engine) if road.atomic == (request.param == "atomic")]
    if not found:
        pytest.skip("this engine moves no slots by itself")
    return found[0]


@pytest.fixture
async def cluster(machine: Machine) -> Cluster:
    """Three shards, and a fourth that has no slots yet."""
    shards = await start_shards(machine, [1, 2, 3, 4])
    await form_cluster(shards[:3])
    await ensure_met([shard.master for shard in shards])
    return Cluster(machine, shards)


async def rebalance(cluster: Cluster, road: Road, shards: int, report=None) -> list[Progress]:
    views = await observe_all(cluster.masters)
    targets = [view.me for view in views[:shards]]
    plan = plan_rebalance({view.me: view.myself.slots for view in views}, targets)
    return [await move_slots(cluster.masters, move, road, report) for move in plan]


async def counts(cluster: Cluster) -> list[int]:
    return [len(view.myself.slots) for view in await observe_all(cluster.masters)]


async def test_a_shard_more_and_a_shard_less_lose_no_acknowledged_write(cluster: Cluster, road: Road):
    seen: list[Progress] = []

    async def report(progress: Progress) -> None:
        seen.append(progress)

    async with writing(cluster) as writer:
        done = await rebalance(cluster, road, 4, report)
        assert await counts(cluster) == [4096] * 4
        await rebalance(cluster, road, 3)
        assert sorted(await counts(cluster)) == [0, 5461, 5461, 5462]
    print(f"{cluster.machine.engine} {road.atomic=}: {writer.count} writes, slowest {writer.slowest:.3f} s")

    assert await writer.lost() == []
    assert writer.errors == []
    assert sum(one.slots_moved for one in done) == sum(one.slots_total for one in done) == 4096
    assert sum(one.keys_moved for one in done) > 50
    assert len(seen) >= 3
    assert all(0 < one.slots_moved <= one.slots_total for one in seen)
    await wait_agreed(cluster.nodes)


async def test_every_type_of_key_arrives_with_its_time_to_live(cluster: Cluster, road: Road):
    tenant = cluster.tenant()
    tag = next(f"{{t{n}}}" for n in range(10_000) if slot_of(f"{{t{n}}}") in Slots.parse("0-100"))
    await tenant.set(f"{tag}string", "v", ex=1000)
    await tenant.rpush(f"{tag}list", *range(300))
    await tenant.hset(f"{tag}hash", mapping={f"f{n}": n for n in range(300)})
    await tenant.sadd(f"{tag}set", *range(300))
    await tenant.zadd(f"{tag}zset", {f"m{n}": n for n in range(300)})
    await tenant.xadd(f"{tag}stream", {"a": 1})
    await tenant.xgroup_create(f"{tag}stream", "group", 0)
    await tenant.xreadgroup("group", "me", {f"{tag}stream": ">"})
    await tenant.pfadd(f"{tag}hll", *range(300))
    await move_slots(cluster.masters, await first_slots(cluster, 200), road)

    target = cluster.masters[3]
    assert await target.dbsize() == 7
    assert 0 < await tenant.ttl(f"{tag}string") <= 1000
    assert await tenant.llen(f"{tag}list") == await tenant.scard(f"{tag}set") == 300
    assert await tenant.hlen(f"{tag}hash") == await tenant.zcard(f"{tag}zset") == 300
    pending = await tenant.xpending(f"{tag}stream", "group")
    assert pending["pending"] == 1
    assert await tenant.pfcount(f"{tag}hll") > 280


async def first_slots(cluster: Cluster, count: int) -> SlotMove:
    """From the first shard to the empty one."""
    views = await observe_all(cluster.masters)
    return SlotMove(views[0].me, views[3].me, views[0].myself.slots.take(count))


async def test_transactions_and_scripts_survive_a_move(cluster: Cluster, road: Road):
    tags = [f"{{t{n}}}" for n in range(3000) if slot_of(f"{{t{n}}}") < 2000]
    over, count, retried = False, 0, 0

    async def transact() -> None:
        nonlocal count, retried
        tenant = cluster.machine.tenant(cluster.machine.node(11).address)
        script = "redis.call('INCR', KEYS[1]) redis.call('RPUSH', KEYS[2], ARGV[1]) return 1"
        end = time.monotonic() + 60
        while not over and time.monotonic() < end:
            tag = tags[count % len(tags)]
            try:
                async with tenant.pipeline(transaction=True) as pipeline:
                    pipeline.incr(f"{tag}a").lpush(f"{tag}b", count)
                    await pipeline.execute()
                await tenant.eval(script, 2, f"{tag}a", f"{tag}b", count)
            except ResponseError:
                retried += 1
            count += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(transact())
    await asyncio.sleep(0.3)
    await move_slots(cluster.masters, await first_slots(cluster, 2000), road)
    over = True
    await asyncio.wait([task], timeout=10)
    tenant = cluster.tenant()
    for tag in tags[:200]:
        assert int(await tenant.get(f"{tag}a") or 0) == await tenant.llen(f"{tag}b")


async def test_a_move_that_was_given_up_is_finished_by_the_next(cluster: Cluster, road: Road):
    tenant = cluster.tenant()
    for number in range(3000):
        await tenant.set(f"key-{number}", number)
    move = await first_slots(cluster, 3000)
    async with writing(cluster) as writer:
        for after in (0.02, 0.1, 0.3):
            moving = asyncio.create_task(move_slots(cluster.masters, move, road))
            await asyncio.sleep(after)
            moving.cancel()
            await asyncio.wait([moving], timeout=10)
            await one_owner_each(cluster)
        for left in await half_moved(cluster.masters):
            await move_slots(cluster.masters, left, road)
        done = await move_slots(cluster.masters, move, road)
        again = await move_slots(cluster.masters, move, road)
    assert done.slots_moved == again.slots_moved == 3000
    assert again.keys_moved == 0
    assert await half_moved(cluster.masters) == []
    assert await writer.lost() == []
    assert writer.errors == []
    assert [await tenant.get(f"key-{number}") for number in range(3000)] == [str(n) for n in range(3000)]
    # Only the target keeps the keys.
    sizes = [await master.dbsize() for master in cluster.masters]
    assert sum(sizes) == 3000 + len(writer.acknowledged)


async def one_owner_each(cluster: Cluster) -> None:
    """By each node's own word; a moment when both sides speak for a slot ends by itself."""

    async def look() -> bool:
        owned = [slot for view in await observe_all(cluster.masters) for slot in view.myself.slots]
        return sorted(owned) == list(range(16384))

    await eventually(look)


async def test_a_source_that_dies_in_the_middle_keeps_or_gives_each_slot(cluster: Cluster, road: Road):
    tenant = cluster.tenant()
    for number in range(2000):
        await tenant.set(f"key-{number}", number)
    await asyncio.sleep(1.1)
    move = await first_slots(cluster, 4000)
    moving = asyncio.create_task(move_slots(cluster.masters, move, road))
    await asyncio.sleep(0.1)
    os.kill(cluster.pid_of(11), signal.SIGKILL)
    await asyncio.wait([moving], timeout=60)
    assert isinstance(moving.exception(), EngineError | None)
    await eventually(lambda: ended(cluster, 11))
    await eventually(lambda: cluster.machine.start(11))
    await wait_agreed(cluster.nodes, 20)
    assert (await move_slots(cluster.masters, move, road)).slots_moved == 4000
    assert [await tenant.get(f"key-{number}") for number in range(2000)] == [str(n) for n in range(2000)]


async def ended(cluster: Cluster, number: int) -> bool:
    sightings = {one.id: one.running for one in await cluster.machine.runtime.observe_nodes()}
    return not sightings[f"node-{number}"]


@pytest.mark.parametrize("lost", ["source", "target"])
async def test_the_master_that_took_over_goes_on_with_the_move(machine: Machine, road: Road, lost: str):
    if road.atomic is not machine.engine.has_atomic_slot_migration:
        # Where a target is lost on the other road, Valkey's replicas are refused for twenty seconds.
        pytest.skip("not the road that this engine's slots go")
    cluster = Cluster(machine, await start_shards(machine, [1, 2, 3], replicas=1))
    await form_cluster(cluster.shards)
    keys = await filled(cluster, 3000)
    source, target, _ = await observe_all(cluster.masters)
    slots = source.myself.slots.take(1500)
    async with writing(cluster) as writer:
        moving = asyncio.create_task(
            move_slots(cluster.masters, SlotMove(source.me, target.me, slots), replace(road, slots_at_once=256))
        )
        await eventually(lambda: under_way(cluster.masters[0], road))
        await lose_and_replace(cluster, 0 if lost == "source" else 1)
        await asyncio.wait([moving], timeout=60)
        assert isinstance(moving.exception(), EngineError)

        done, target = await carry_on(cluster, slots, road)
        before = writer.count
        await eventually(lambda: asyncio.sleep(0, writer.count > before + writer.keys))
    assert done.slots_moved == 1500
    assert await half_moved(cluster.masters) == []
    views = await observe_all(cluster.nodes)
    assert disagreement(views) is None
    assert slots - views[0].nodes[target.me].slots == Slots()
    tenant = cluster.tenant()
    assert {key: await tenant.get(key) for key in keys} == keys
    assert await writer.lost() == []
    # Nobody but its owner has a key.
    assert sum([await master.dbsize() for master in cluster.masters]) == 3000 + writer.keys


async def carry_on(cluster: Cluster, slots: Slots, road: Road) -> tuple[Progress, ClusterView]:
    """As whoever moves slots does it: look who is master, end what was begun, move what is left; and again."""
    deadline = time.monotonic() + 60
    while True:
        try:
            views = await observe_all(cluster.nodes)
            masters = [node for node, view in zip(cluster.nodes, views, strict=True) if view.myself.is_master]
            await ensure_slots(masters)
            await end_earlier(masters, road)
            source, target, _ = await wait_all_masters(cluster)
            return await move_slots(cluster.masters, SlotMove(source.me, target.me, slots), road), target
        except EngineError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.5)


async def filled(cluster: Cluster, count: int) -> dict[str, str]:
    """Keys and values that the replicas have, too."""
    tenant = cluster.tenant()
    keys = {f"key-{number}": str(number) for number in range(count)}
    for key, value in keys.items():
        await tenant.set(key, value)

    async def copied() -> bool:
        return all([await shard.master.dbsize() == await shard.replicas[0].dbsize() for shard in cluster.shards])

    await eventually(copied)
    return keys


async def under_way(source: Client, road: Road) -> bool:
    """A slot is between both sides at this moment, and others have moved."""
    view = await observe_cluster(source)
    going = (
        any(not one.is_over for one in await observe_migrations(source)) if road.atomic else view.myself.migrating
    )
    return bool(going) and len(view.myself.slots) < 5000


async def lose_and_replace(cluster: Cluster, shard: int) -> None:
    """The shard's master is killed, its replica takes over, and what was killed follows it."""
    lost, heir = cluster.shards[shard].nodes
    number = 10 * (shard + 1) + 1
    voters = [other.master for at, other in enumerate(cluster.shards) if at != shard]
    os.kill(cluster.pid_of(number), signal.SIGKILL)
    # Those who have just voted do not vote again for a while: who heals tries again, and so do we.
    await eventually(lambda: fail_over(LostMaster(address_of(lost), [Candidate(heir)], voters)), 90)
    cluster.shards[shard] = Shard(heir, (lost,))
    await eventually(lambda: ended(cluster, number))
    await eventually(lambda: cluster.machine.start(number))


async def wait_all_masters(cluster: Cluster) -> list[ClusterView]:
    """The views of the masters, once all nodes agree on who they are."""
    view = await wait_agreed(cluster.nodes, 20, spread=True)
    for at, shard in enumerate(cluster.shards):
        master, replica = sorted(shard.nodes, key=lambda node: not view.find_at(address_of(node)).is_master)
        if master is not shard.master:
            print(f"{address_of(master)} is master and not {address_of(replica)}, which had taken over")
        cluster.shards[at] = Shard(master, (replica,))
    return await observe_all(cluster.masters)


async def end_earlier(masters: Sequence[Client], road: Road) -> None:
    """As the workflow does before it moves anything."""
    if road.atomic:
        for master in masters:
            await cancel_migrations(master)
        return
    for left in await half_moved(masters):
        await move_slots(masters, left, road)


async def test_a_key_that_cannot_pass_is_named_and_the_rest_stays_served(cluster: Cluster):
    road = Road(atomic=False, secret=REPLICA_SECRET, key_seconds=2)
    slot = 3
    key = next(f"k{n}" for n in range(1_000_000) if slot_of(f"k{n}") == slot)
    tenant = cluster.tenant()
    await tenant.set(key, os.urandom(4_000_000).hex())
    # A target without the room for it.
    await cluster.masters[3].config_set("maxmemory", 3_000_000)
    with pytest.raises(SlotMoveFailed, match=key):
        await move_slots(cluster.masters, await first_slots(cluster, 10), road)
    assert await tenant.strlen(key) == 8_000_000
    await cluster.masters[3].config_set("maxmemory", 64_000_000)
    assert (await move_slots(cluster.masters, await first_slots(cluster, 10), road)).slots_moved == 10
    assert await tenant.strlen(key) == 8_000_000


async def test_slots_that_do_not_pass_whole_are_tried_key_by_key(cluster: Cluster):
    road = Road(atomic=False, secret=REPLICA_SECRET)
    tenant = cluster.tenant()
    tag = next(f"{{t{n}}}" for n in range(10_000) if slot_of(f"{{t{n}}}") in Slots.parse("0-100"))
    keys = {f"{tag}{number}": str(number) for number in range(300)}
    for key, value in keys.items():
        await tenant.set(key, value)
    move = await first_slots(cluster, 101)
    await cluster.masters[3].config_set("maxmemory", 1)
    with pytest.raises(SlotMoveFailed, match=re.escape(tag)):
        await move_slots(cluster.masters, move, road)
    assert {key: await tenant.get(key) for key in keys} == keys
    await cluster.masters[3].config_set("maxmemory", 64_000_000)
    for left in await half_moved(cluster.masters):
        await move_slots(cluster.masters, left, road)
    assert (await move_slots(cluster.masters, move, road)).slots_moved == 101
    assert {key: await tenant.get(key) for key in keys} == keys
    assert await cluster.masters[3].dbsize() == 300


async def test_slots_of_a_third_are_not_moved(cluster: Cluster, road: Road):
    views = await observe_all(cluster.masters)
    with pytest.raises(SlotMoveFailed, match="neither"):
        await move_slots(cluster.masters, SlotMove(views[0].me, views[3].me, views[1].myself.slots), road)


async def test_replicas_of_both_sides_follow_a_move(machine: Machine, road: Road):
    shards = await start_shards(machine, [1, 2], replicas=1)
    await form_cluster(shards)
    cluster = Cluster(machine, shards)
    tenant = cluster.tenant()
    for number in range(500):
        await tenant.set(f"key-{number}", number)
    views = await observe_all(cluster.masters)
    await move_slots(cluster.masters, SlotMove(views[0].me, views[1].me, views[0].myself.slots.take(4000)), road)
    await wait_agreed(cluster.nodes)

    async def same_keys() -> bool:
        return all([await s.master.dbsize() == await s.replicas[0].dbsize() for s in shards])

    await eventually(same_keys)
    assert (await shards[0].master.dbsize()) + (await shards[1].master.dbsize()) == 500


async def test_keys_that_are_no_text_move_too(cluster: Cluster, road: Road):
    host, port = address_of(cluster.masters[0])
    password = cluster.machine.users.tenant_password
    tenant = cluster.machine._kept(RedisCluster(host=host, port=port, password=password))
    keys = [b"\xff\xfe\x00%d" % number for number in range(300)]
    for key in keys:
        await tenant.set(key, key)
    await move_slots(cluster.masters, await first_slots(cluster, 4000), road)
    assert [await tenant.get(key) for key in keys] == keys
    assert await cluster.masters[3].dbsize() > 0


async def test_an_atomic_move_can_be_called_off(cluster: Cluster, engine: Engine):
    if not engine.has_atomic_slot_migration:
        pytest.skip("this engine moves no slots by itself")
    tenant = cluster.tenant()
    for number in range(300):
        await tenant.set(f"key-{number}", "x" * 20_000)
    move = await first_slots(cluster, 5000)
    moving = asyncio.create_task(
        move_slots(cluster.masters, move, Road(atomic=True, secret=None, slots_at_once=100))
    )
    await asyncio.sleep(0.3)
    moving.cancel()
    await asyncio.wait([moving], timeout=5)
    await cancel_migrations(cluster.masters[0])
    assert all(one.is_over for one in await observe_migrations(cluster.masters[0]))
    await one_owner_each(cluster)


async def test_the_secret_of_a_move_is_not_shown_to_who_watches(cluster: Cluster):
    road = Road(atomic=False, secret=REPLICA_SECRET)
    tenant = cluster.tenant()
    for number in range(200):
        await tenant.set(f"key-{number}", number)
    await cluster.masters[0].config_set("slowlog-log-slower-than", 0)
    watcher = cluster.machine.tenant(cluster.machine.node(11).address)
    async with watcher.monitor() as monitor:
        await move_slots(cluster.masters, await first_slots(cluster, 100), road)
        heard = []
        while not heard or "last" not in heard[-1]:
            heard.append((await asyncio.wait_for(monitor.next_command(), 5))["command"])
            if len(heard) == 1:
                await cluster.masters[0].execute_command("ECHO", "last")
    said = str(heard) + str(await cluster.masters[0].slowlog_get(1000))
    assert "MIGRATE" in said.upper()
    assert REPLICA_SECRET not in said
    assert ADMIN_SECRET not in said


async def test_tenant_cannot_reach_for_the_slots(cluster: Cluster, engine: Engine):
    tenant = cluster.machine.tenant(cluster.machine.node(11).address)
    me = (await observe_cluster(cluster.masters[0])).me
    refused = ["CLUSTER SETSLOT 1 STABLE", "MIGRATE h 1 k 0 1", "CLUSTER DELSLOTS 1"]
    if engine.has_atomic_slot_migration:
        refused += [f"CLUSTER MIGRATESLOTS SLOTSRANGE 0 1 NODE {me}", "CLUSTER SYNCSLOTS FINISH", "CONFIG GET *"]
    for command in refused:
        with pytest.raises(NoPermissionError):
            await tenant.execute_command(*command.split())


async def test_the_replica_secret_opens_nothing_else(cluster: Cluster):
    thief = cluster.machine.tenant(
        cluster.machine.node(11).address, username="cachestead-replica", password=REPLICA_SECRET
    )
    for command in (
        "GET a",
        "CONFIG GET *",
        "ACL LIST",
        "INFO",
        "CLUSTER NODES",
        "REPLICAOF NO ONE",
        "PUBLISH a b",
    ):
        with pytest.raises(NoPermissionError):
            await thief.execute_command(*command.split())


async def test_a_replica_is_added_and_taken_away_while_clients_write(cluster: Cluster):
    replica = await cluster.machine.start(12)
    async with writing(cluster) as writer:
        await ensure_met([*cluster.nodes, replica])
        for _ in range(2):
            await ensure_replica_of_master(replica, cluster.masters[0])
    assert await replica.dbsize() == await cluster.masters[0].dbsize()
    assert writer.errors == []
