"""All data of one shape copied to another: whatever is in it, however often it stops, and never said falsely."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence

import pytest
import redis.asyncio as redis
from clusters import Cluster, start_shards
from filled import LIBRARY, fill, raw
from real_engines import USERS, Machine

from cachestead.engine import copying
from cachestead.engine.acl import COPIER, copier_arguments
from cachestead.engine.cluster import form_cluster
from cachestead.engine.comparing import differing
from cachestead.engine.connection import Client, address_of
from cachestead.engine.copying import Progress, copy_data
from cachestead.engine.errors import CopyFailed, SourceChanged


async def plain(machine: Machine, number: int) -> Client:
    machine.users = USERS
    return await machine.start(number)


async def cluster_of(machine: Machine, shards: Sequence[int]) -> Cluster:
    cluster = Cluster(machine, await start_shards(machine, shards))
    await form_cluster(cluster.shards)
    return cluster


def cluster_tenant(cluster: Cluster) -> redis.RedisCluster:
    host, port = address_of(cluster.masters[0])
    return cluster.machine._kept(redis.RedisCluster(host=host, port=port, password=USERS.tenant_password))


@pytest.mark.parametrize("road", ["one to a cluster", "a cluster to one", "one to one"])
async def test_every_type_arrives_with_its_deadline(machine: Machine, road: str):
    one, cluster = await plain(machine, 1), await cluster_of(machine, [2, 3, 4])
    sources, targets = {
        "one to a cluster": ([one], cluster.masters),
        "a cluster to one": (cluster.masters, [one]),
        "one to one": ([one], [await plain(machine, 5)]),
    }[road]
    written = raw(machine, one)
    if road == "a cluster to one":
        written = cluster_tenant(cluster)
    await fill(written)
    for source in sources:
        await source.execute_command("FUNCTION", "LOAD", LIBRARY)
    await targets[0].execute_command("FUNCTION", "LOAD", LIBRARY.replace("mine", "stale"))

    done = await copy_data(sources, targets)

    assert done == Progress(14, 14)
    assert sum([await target.dbsize() for target in targets]) == 14
    for source in sources:
        for key in await source.keys():
            target = await owner_of(targets, key)
            assert await differing(source, target, [key]) == []
            assert await target.pexpiretime(key) == await source.pexpiretime(key)
    for target in targets:
        assert await target.execute_command("FCALL", "mine", 0) == 7
        libraries = await target.execute_command("FUNCTION", "LIST")
        assert len(libraries) == 1
        assert COPIER not in await target.acl_users()
    groups = await (await owner_of(targets, "stream")).execute_command("XINFO GROUPS", "stream")
    assert (groups[0]["consumers"], groups[0]["pending"]) == (1, 9)


async def owner_of(targets: Sequence[Client], key: str) -> Client:
    for target in targets:
        with contextlib.suppress(redis.ResponseError):
            if await target.exists(key):
                return target
    raise AssertionError(f"nobody has {key}")


async def test_databases_keep_their_numbers(machine: Machine):
    source, target = await plain(machine, 1), await plain(machine, 2)
    for number in (0, 3, 255):
        await raw(machine, source, number).set("key", number)
    await raw(machine, source, 3).set("dated", 1, ex=1000)
    assert (await copy_data([source], [target])).keys_copied == 4
    for number in (0, 3, 255):
        assert int(await raw(machine, target, number).get("key")) == number
    ends = [await raw(machine, one, 3).pexpiretime("dated") for one in (source, target)]
    assert ends[0] == ends[1] > 0


async def test_several_databases_do_not_fit_a_cluster_and_nothing_is_changed(machine: Machine):
    source, cluster = await plain(machine, 1), await cluster_of(machine, [2, 3, 4])
    await raw(machine, source, 2).set("key", 1)
    kept = cluster_tenant(cluster)
    await kept.set("kept", 1)
    with pytest.raises(CopyFailed, match="one database"):
        await copy_data([source], cluster.masters)
    assert await kept.get("kept") == b"1"


async def test_a_copy_that_stopped_is_made_again(machine: Machine):
    source, cluster = await plain(machine, 1), await cluster_of(machine, [2, 3, 4])
    await many(source, 60_000)
    for after in (0.05, 0.2, 0.5):
        copying_now = asyncio.create_task(copy_data([source], cluster.masters))
        await asyncio.sleep(after)
        copying_now.cancel()
        await asyncio.wait([copying_now], timeout=10)
    # Gone from the source since then.
    await source.delete("key-1", "key-2")
    told: list[Progress] = []

    async def report(progress: Progress) -> None:
        told.append(progress)

    done = await copy_data([source], cluster.masters, report)
    assert done.keys_copied == 59_998
    assert [one.keys_copied for one in told] == sorted({one.keys_copied for one in told})
    assert sum([await master.dbsize() for master in cluster.masters]) == 59_998


async def many(client: Client, count: int, prefix: str = "key", **how: object) -> None:
    for first in range(0, count, 5000):
        async with client.pipeline(transaction=False) as pipeline:
            for number in range(first, min(first + 5000, count)):
                pipeline.set(f"{prefix}-{number}", f"value-{number}", **how)
            await pipeline.execute()


async def test_keys_that_expire_while_they_are_copied_do_not_come_back(machine: Machine):
    source, target = await plain(machine, 1), await plain(machine, 2)
    await many(source, 30_000)
    now = int(time.time() * 1000)
    async with source.pipeline(transaction=False) as pipeline:
        for number in range(20_000):
            pipeline.pexpireat(f"key-{number}", now + 200 + number // 10)
        await pipeline.execute()
    await copy_data([source], [target])
    await asyncio.sleep(max(0.0, (now + 2300) / 1000 - time.time()))
    assert await target.exists(*(f"key-{n}" for n in range(20_000))) == 0
    assert await target.exists(*(f"key-{n}" for n in range(20_000, 30_000))) == 10_000


async def test_a_key_that_does_not_pass_is_named_and_the_source_is_as_it_was(machine: Machine):
    source, target = await plain(machine, 1), await plain(machine, 2)
    await target.config_set("maxmemory", 1)
    await source.set("too-much", b"\x01\x02" * 4_000_000)
    with pytest.raises(CopyFailed, match="too-much"):
        await copy_data([source], [target])
    assert await source.strlen("too-much") == 8_000_000
    assert COPIER not in await target.acl_users()
    await target.config_set("maxmemory", 64_000_000)
    await copy_data([source], [target])
    assert await target.strlen("too-much") == 8_000_000


async def test_what_the_target_gave_up_is_not_called_copied(machine: Machine):
    """An engine that evicts takes what it has no room for, and loses something else for it."""
    source, target = await plain(machine, 1), await plain(machine, 2)
    await many(source, 60_000, ex=1000)
    await target.config_set("maxmemory", 4_000_000)
    with pytest.raises(CopyFailed):
        await copy_data([source], [target])


async def test_a_source_that_was_started_again_is_not_trusted(machine: Machine, monkeypatch: pytest.MonkeyPatch):
    source, target = await plain(machine, 1), await plain(machine, 2)
    await source.set("key", 1)

    async def restart_and_go_on(*_: object) -> None:
        await machine.runtime.stop_node("node-1")
        await machine.start(1)

    class Restarting(copying._Copy):
        async def compare(self) -> None:
            await restart_and_go_on()

    monkeypatch.setattr(copying, "_Copy", Restarting)
    with pytest.raises(SourceChanged):
        await copy_data([source], [target])


async def test_an_answer_that_changes_what_is_compared_does_no_harm(machine: Machine):
    source, target = await plain(machine, 1), await plain(machine, 2)
    await source.pfadd("uniques", *range(5000))
    await copy_data([source], [target])
    assert await differing(source, target, ["uniques"]) == []
    await source.pfcount("uniques")
    assert await differing(source, target, ["uniques"]) == ["uniques"]
    await copy_data([source], [target])
    assert await differing(source, target, ["uniques"]) == []


async def test_a_difference_is_seen(machine: Machine):
    source, target = await plain(machine, 1), await plain(machine, 2)
    await fill(raw(machine, source))
    await copy_data([source], [target])
    await target.sadd("many", "stray")
    await target.hset("fields", "field-7", "another")
    await target.persist("dated")
    await target.set("large", "short")
    await target.delete("number")
    await target.xack("stream", "readers", "8-1")
    keys = await source.keys()
    assert set(await differing(source, target, keys)) == {"many", "fields", "dated", "large", "number", "stream"}


async def test_the_copier_brings_keys_and_takes_none(machine: Machine):
    target = await plain(machine, 1)
    await target.execute_command("ACL SETUSER", *copier_arguments("secret"))
    thief = machine.tenant(machine.node(1).address, username=COPIER, password="secret")
    for command in ("GET a", "SET a 1", "DUMP a", "KEYS *", "CONFIG GET *", "INFO", "FLUSHALL", "ACL LIST"):
        with pytest.raises(redis.ResponseError, match="permissions"):
            await thief.execute_command(*command.split())
