"""The image that a node sends is all it has, or an error: of masters and replicas, on every engine."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path

import psutil
import pytest
from filled import fill_node, functions, held, raw
from real_engines import (
    ADMIN_SECRET,
    ENGINES,
    OLDER_ENGINES,
    PORT,
    SENTINEL_PORT,
    SENTINEL_SECRET,
    Machine,
    eventually,
)

from cachestead.engine import snapshots
from cachestead.engine.acl import ADMIN
from cachestead.engine.addresses import NodeAddress
from cachestead.engine.catalogue import Engine
from cachestead.engine.connection import Client, connect
from cachestead.engine.datafiles import place_rdb
from cachestead.engine.errors import EngineRefused, EngineUnreachable
from cachestead.engine.replication import ensure_replica_of, wait_caught_up, wait_in_sync
from cachestead.engine.snapshots import stream_snapshot

LARGE_BYTES = 40_000_000
"""More than all buffers between a node and its reader hold."""
LEAST_BYTES = 1000


@pytest.fixture(params=[*ENGINES, *OLDER_ENGINES], ids=str)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Those that serve instances, and an older one."""
    return request.param


@pytest.fixture
async def large(machine: Machine) -> Client:
    """A node that cannot send all at once."""
    client = await machine.start(1, maxmemory=0)
    for number in range(10):
        await raw(machine, client).set(f"key-{number}", os.urandom(LARGE_BYTES // 10))
    return client


async def replica_of_node_1(machine: Machine, master: Client) -> Client:
    replica = await machine.start(2)
    await ensure_replica_of(replica, machine.node(1))
    await wait_in_sync([replica], machine.node(1), 20)
    await wait_caught_up(replica, master, 20)
    return replica


async def save(client: Client, file: Path) -> None:
    with file.open("wb") as opened:
        async for piece in stream_snapshot(client):
            opened.write(piece)


@pytest.mark.parametrize("diskless", ["yes", "no"])
@pytest.mark.parametrize("of", ["a master", "a replica"])
async def test_an_engine_that_loads_the_image_has_what_the_node_has(
    machine: Machine, tmp_path: Path, diskless: str, of: str
):
    master = await machine.start(1)
    await fill_node(machine, master)
    asked = await replica_of_node_1(machine, master) if of == "a replica" else master
    await asked.config_set("repl-diskless-sync", diskless)
    await save(asked, tmp_path / "image")

    folder = machine.runtime.node_folder("node-3")
    folder.mkdir(parents=True)
    place_rdb(tmp_path / "image", folder, machine.engine, append_only=False)
    loaded = await machine.start(3, persistent=False)
    assert await held(machine, loaded) == await held(machine, master)
    assert await functions(machine, loaded) == await functions(machine, master)
    # With a length or with a mark at the end; Valkey never writes to its disk what is an image only.
    target = "disk" if diskless == "no" and machine.engine.product == "redis" else "replicas sockets"
    number = 2 if of == "a replica" else 1
    log = (machine.runtime.node_folder(f"node-{number}") / "node.log").read_text()
    assert f"with target: {target}" in log.split("asks for synchronization")[-1]


async def test_a_node_without_keys_has_an_image_too(machine: Machine, tmp_path: Path):
    await save(await machine.start(1), tmp_path / "image")
    assert (tmp_path / "image").read_bytes().startswith((b"REDIS", b"VALKEY"))
    assert (tmp_path / "image").stat().st_size < LEAST_BYTES


async def first_of(image: AsyncGenerator[bytes, None]) -> int:
    return len(await anext(image))


async def all_of(image: AsyncIterator[bytes]) -> int:
    return sum([len(piece) async for piece in image])


def forks_of(machine: Machine) -> list[psutil.Process]:
    return psutil.Process(machine.runtime._records["node-1"].process.pid).children()


@pytest.mark.parametrize("diskless", ["yes", "no"])
async def test_a_node_that_is_killed_half_way_never_looks_like_a_short_one(
    machine: Machine, large: Client, diskless: str
):
    await large.config_set("repl-diskless-sync", diskless)
    async with aclosing(stream_snapshot(large)) as image:
        got = await first_of(image)
        await machine.runtime.kill_node("node-1")
        with pytest.raises(EngineUnreachable):
            got += await all_of(image)
    assert got < LARGE_BYTES


async def test_a_fork_that_is_killed_half_way_never_looks_like_a_short_image(machine: Machine, large: Client):
    async with aclosing(stream_snapshot(large)) as image:
        await first_of(image)
        [fork] = forks_of(machine)
        fork.kill()
        with pytest.raises(EngineUnreachable):
            await all_of(image)
    assert await large.ping()


async def test_a_node_that_falls_silent_is_given_up(
    machine: Machine, large: Client, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(snapshots, "SILENCE_SECONDS", 0.5)
    pid = machine.runtime._records["node-1"].process.pid
    async with aclosing(stream_snapshot(large)) as image:
        await first_of(image)
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(EngineUnreachable, match="sent nothing for"):
                await all_of(image)
        finally:
            os.kill(pid, signal.SIGCONT)


async def test_who_stops_reading_leaves_nothing_behind(machine: Machine, large: Client):
    async with aclosing(stream_snapshot(large)) as image:
        await first_of(image)

    async def forgotten() -> bool:
        return (await large.info("replication"))["connected_slaves"] == 0 and not forks_of(machine)

    await eventually(forgotten)


async def test_a_replica_without_its_master_refuses(machine: Machine):
    master = await machine.start(1)
    replica = await replica_of_node_1(machine, master)
    await machine.runtime.kill_node("node-1")

    async def alone() -> bool:
        return (await replica.info("replication"))["master_link_status"] == "down"

    await eventually(alone)
    with pytest.raises(EngineRefused, match="master"):
        await all_of(stream_snapshot(replica))


async def test_a_wrong_password_is_refused_and_a_node_that_is_gone_is_told(machine: Machine):
    await machine.start(1)
    stranger = machine._kept(connect(machine.node(1), "another-s3cret"))
    with pytest.raises(EngineRefused, match="WRONGPASS"):
        await all_of(stream_snapshot(stranger))
    with pytest.raises(EngineUnreachable):
        await all_of(stream_snapshot(machine.admin(9)))


async def test_sentinels_take_nobody_who_asks_for_an_image_for_a_replica(machine: Machine, large: Client):
    """They would count, ask and remember a replica that never was."""
    await replica_of_node_1(machine, large)
    await machine.runtime.ensure_node(machine.sentinel_spec(11))
    address = NodeAddress(machine.node(11).address, SENTINEL_PORT)
    sentinel = machine._kept(connect(address, SENTINEL_SECRET))
    async with aclosing(stream_snapshot(large)) as image:
        await first_of(image)
        await sentinel.execute_command("SENTINEL", "MONITOR", "mine", machine.node(1).address, PORT, 1)
        await sentinel.execute_command("SENTINEL", "SET", "mine", "auth-user", ADMIN, "auth-pass", ADMIN_SECRET)

        async def known() -> list[str]:
            listed = await sentinel.execute_command("SENTINEL", "REPLICAS", "mine")
            return [dict(zip(one[::2], one[1::2], strict=True))["name"] for one in listed]

        async def has_asked() -> bool:
            return bool(await known())

        await eventually(has_asked)
        assert await known() == [f"{machine.node(2).address}:{PORT}"]
        assert (await large.info("replication"))["connected_slaves"] == 2, "it was listed meanwhile"
