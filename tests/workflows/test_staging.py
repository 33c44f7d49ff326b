"""Files that somebody made, read by engines that can lose nothing: what they may not do, and what is said of them."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

sys.path.insert(0, str(Path(__file__).parent.parent / "engine"))

from filled import fill_node, raw
from real_engines import ENGINES, OLDER_ENGINES, Machine, eventually, free_subnet, pids_under

from cachestead.domain.backups import BackupFormat
from cachestead.engine.catalogue import Engine
from cachestead.engine.connection import Client
from cachestead.engine.errors import FileUnreadable, LoadInterrupted
from cachestead.engine.snapshots import stream_snapshot
from cachestead.runtime.process import ProcessRuntime
from cachestead.workflows.staging import Staging

AOF, RDB = BackupFormat.AOF, BackupFormat.RDB


@dataclass
class Place:
    """What a staging engine needs of the machinery."""

    runtime: ProcessRuntime
    staging_host: str = field(default_factory=lambda: f"{free_subnet()}.1")


@pytest.fixture(params=[*ENGINES, *OLDER_ENGINES], ids=str)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Those that serve instances, and an older one."""
    return request.param


@pytest.fixture
async def machine(engine: Engine, tmp_path: Path) -> AsyncIterator[Machine]:
    """Nodes that write files."""
    machine = Machine(engine, tmp_path / "nodes")
    await machine.runtime.start()
    yield machine
    await machine.close()


@pytest.fixture
async def place(machine: Machine) -> AsyncIterator[Staging]:
    """Where files are read."""
    place = Staging(Place(machine.runtime), "staging-test-0", "a test")
    place.folder.mkdir(parents=True)
    yield place
    await place.clear()
    assert not place.folder.exists()
    assert not list(pids_under(place.folder))


async def load(place: Staging, engine: Engine, content: bytes, form: BackupFormat) -> Client:
    incoming = place.folder / "incoming"
    incoming.write_bytes(content)
    client, _ = await place.load(incoming, form, engine)
    return client


def commands(*lines: str) -> bytes:
    """An append-only file of these commands."""
    parts = []
    for line in ("SELECT 0", "SET before 1", *lines, "SET after 1"):
        words = line.encode().split()
        parts.append(b"*%d\r\n" % len(words))
        parts += [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    return b"".join(parts)


async def image_of(machine: Machine, fill: Callable[[Client], Coroutine[None, None, None]] | None = None) -> bytes:
    node = await machine.start(1)
    if fill:
        await fill(node)
    else:
        await fill_node(machine, node, databases=(0,))
        await raw(machine, node).delete("large")
    return b"".join([piece async for piece in stream_snapshot(node)])


async def test_a_file_is_read_and_another_after_it(machine: Machine, place: Staging):
    node = await machine.start(1)
    await fill_node(machine, node)
    image = b"".join([piece async for piece in stream_snapshot(node)])
    client = await load(place, machine.engine, image, RDB)
    assert await client.dbsize() == 14
    client = await load(place, machine.engine, commands("SET key value"), AOF)
    assert await client.get("key") == "value"
    assert await client.dbsize() == 3


@pytest.mark.parametrize(
    "line",
    [
        "CONFIG SET dir /tmp",
        "CONFIG REWRITE",
        "SLAVEOF 127.0.0.1 6379",
        "REPLICAOF 127.0.0.1 6379",
        "MIGRATE 127.0.0.1 6379 before 0 1000",
        "MODULE LOAD /tmp/x.so",
        "DEBUG SEGFAULT",
        "DEBUG SLEEP 1000",
        "SHUTDOWN NOSAVE",
        "ACL SETUSER mine on nopass ~* +@all",
        "CLUSTER RESET",
        "SAVE",
        "BGSAVE",
        "BGREWRITEAOF",
        "MONITOR",
        "SYNC",
        "PSYNC ? -1",
        "REPLCONF listening-port 1",
        "CLIENT KILL TYPE normal",
        "LATENCY DOCTOR",
        "config set dir /tmp",
        "UNHEARD-OF word",
    ],
)
async def test_a_file_of_commands_that_reach_out_is_refused(
    machine: Machine, place: Staging, line: str, tmp_path: Path
):
    with pytest.raises(FileUnreadable, match=line.split(maxsplit=1)[0]):
        await load(place, machine.engine, commands(line), AOF)


@pytest.mark.parametrize("name", ["config", "slaveof", "shutdown", "debug", "acl"])
async def test_a_script_in_a_file_reaches_out_no_more(machine: Machine, place: Staging, name: str):
    """The engine ends, or goes on without what the script was to do."""
    words = {"config": "'config','set','dir','/tmp'", "slaveof": "'slaveof','127.0.0.1','1'"}.get(
        name, f"'{name}'"
    )
    script = f"return redis.pcall({words})"
    parts = [b"EVAL", script.encode(), b"0"]
    file = b"*3\r\n" + b"".join(b"$%d\r\n%b\r\n" % (len(one), one) for one in parts) + commands()
    try:
        client = await load(place, machine.engine, file, AOF)
    except FileUnreadable:
        return
    assert await client.get("after") == "1"
    assert (await client.info("replication"))["role"] == "master"
    assert not (Path("/tmp") / "appendonlydir").exists()


@pytest.mark.parametrize(
    "content",
    [b"\x89PNG\r\n\x1a\n" + bytes(5000), b"Dear reader,\r\n" * 100, bytes(10_000), b"PK\x03\x04" + bytes(500)],
    ids=["a picture", "a letter", "zeros", "an archive"],
)
@pytest.mark.parametrize("form", [RDB, AOF])
async def test_what_is_no_such_file_is_refused(
    machine: Machine, place: Staging, form: BackupFormat, content: bytes
):
    with pytest.raises(FileUnreadable) as refused:
        await load(place, machine.engine, content, form)
    assert len(str(refused.value)) > 10
    assert str(place.folder) not in str(refused.value)


async def test_an_empty_image_is_refused_and_an_empty_file_of_commands_has_no_keys(
    machine: Machine, place: Staging
):
    with pytest.raises(FileUnreadable):
        await load(place, machine.engine, b"", RDB)
    assert await (await load(place, machine.engine, b"", AOF)).dbsize() == 0


async def test_a_truncated_image_is_refused_wherever_it_ends(machine: Machine, place: Staging):
    image = await image_of(machine)
    made = random.Random(1)
    for end in (
        1,
        5,
        9,
        10,
        20,
        len(image) - 1,
        len(image) - 8,
        *(made.randrange(1, len(image)) for _ in range(8)),
    ):
        with pytest.raises(FileUnreadable):
            await load(place, machine.engine, image[:end], RDB)


async def test_a_damaged_image_is_refused_whatever_byte_it_is(machine: Machine, place: Staging):
    """It has a checksum, so that nothing is ever read that was not written."""
    image = await image_of(machine)
    made = random.Random(2)
    for at in (0, 6, 9, len(image) - 9, len(image) - 1, *(made.randrange(len(image)) for _ in range(15))):
        damaged = image[:at] + bytes([image[at] ^ 0x41]) + image[at + 1 :]
        with pytest.raises(FileUnreadable):
            await load(place, machine.engine, damaged, RDB)


async def test_a_truncated_or_damaged_file_of_commands_is_refused(machine: Machine, place: Staging):
    whole = commands("SET key value", "RPUSH list 1 2 3")
    for end in (3, 10, len(whole) // 2, len(whole) - 2):
        with pytest.raises(FileUnreadable):
            await load(place, machine.engine, whole[:end], AOF)
    with pytest.raises(FileUnreadable):
        await load(place, machine.engine, whole.replace(b"$5", b"$7", 1), AOF)


async def test_an_image_of_a_release_to_come_is_refused_with_its_number(machine: Machine, place: Staging):
    image = await image_of(machine)
    newer = image[:6] + b"999" if image.startswith(b"VALKEY") else image[:5] + b"9999"
    with pytest.raises(FileUnreadable, match="999"):
        await load(place, machine.engine, newer + image[9:], RDB)


async def test_keys_that_have_ended_since_are_left_out(machine: Machine, place: Staging):
    async def fill(client: Client) -> None:
        await client.set("lasting", 1)
        await client.set("short", 1, px=1)

    image = await image_of(machine, fill)
    assert await (await load(place, machine.engine, image, RDB)).keys("*") == ["lasting"]


async def test_an_engine_that_was_killed_says_nothing_of_the_file(machine: Machine, place: Staging):
    """Its reading is begun again elsewhere; the file is not called unreadable."""
    slow = commands(*(f"LPUSH list{n} {'x' * 50}" for n in range(200_000)))
    loading = asyncio.create_task(load(place, machine.engine, slow, AOF))

    async def reads() -> bool:
        return bool(list(pids_under(place.folder)))

    await eventually(reads)
    for pid in pids_under(place.folder):
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(LoadInterrupted):
        await loading


async def test_a_staging_engine_takes_no_strangers(machine: Machine, place: Staging):
    client = await load(place, machine.engine, commands(), AOF)
    arguments = client.connection_pool.connection_kwargs
    once = Retry(NoBackoff(), 0)
    async with redis.Redis(host=arguments["host"], port=arguments["port"], retry=once) as stranger:
        with pytest.raises(redis.AuthenticationError):
            await stranger.get("before")
