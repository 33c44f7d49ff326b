"""What monitoring sees of a real engine agrees with what was done to it."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
from real_engines import ENGINES, Machine, eventually

from cachestead.domain.looks import Look, Span
from cachestead.domain.metrics import METRICS, How
from cachestead.engine.errors import EngineUnreachable
from cachestead.engine.looking import look_at_node, observe_processor_seconds

pytestmark = pytest.mark.parametrize("machine", ENGINES, ids=str, indirect=True)
HOW: dict[str, How] = {metric.id: metric.how for metric in METRICS}


@pytest.fixture
async def machine(request: pytest.FixtureRequest, tmp_path: Path):
    made = Machine(request.param, tmp_path / "nodes")
    await made.runtime.start()
    yield made
    await made.close()


def figure(name: str, before: Look | None, now: Look) -> float:
    return HOW[name]([Span.between(before, now, 60)])


async def test_a_known_load_is_seen_as_it_was(machine: Machine):
    admin = await machine.start(11)
    tenant = machine.tenant(machine.node(11).address)
    await tenant.ping()
    before = await look_at_node(admin, None)
    for number in range(100):
        await tenant.set(f"key-{number}", "x" * 100, ex=1000 if number < 30 else None)
    for number in range(150):
        await tenant.get(f"key-{number}")
    await tenant.hset("hash", mapping={"a": 1})
    await tenant.sadd("set", "a", "b")
    await tenant.delete("key-0", "key-40")
    await tenant.expire("key-50", 1000)
    now = await look_at_node(admin, before)
    seconds = now.at - before.at

    def seen(name: str) -> float:
        return figure(name, before, now)

    assert (seen("keys"), seen("expires")) == (100, 30)
    assert seen("keyspace_misses") == 50
    assert seen("keyspace_hits_perc") == pytest.approx(100 / 150 * 100)
    calls = {"set": 100, "get": 150, "hset": 1, "sadd": 1, "del": 1, "expire": 1, "mget": 0}
    assert {name: round(seen(name) * seconds, 6) for name in calls} == calls
    # Our own: of the look before the commands after its INFO, of this one the INFO.
    assert seen("total_commands_processed") - sum(calls.values()) in range(1, 6)
    info = await admin.info("everything")
    assert seen("used_memory") == pytest.approx(info["used_memory"], rel=0.1)
    assert seen("connected_clients") == info["connected_clients"]
    assert seen("memory_usage") == pytest.approx(seen("used_memory") / info["maxmemory"] * 100)
    assert seen("connections_usage") == info["connected_clients"] / info["maxclients"] * 100
    assert seen("total_net_input_bytes") > 100 * 100
    assert 0 < seen("command_avg_rt") < seen("command_max_rt")
    assert seen("total_connections_received") == 0
    assert now.processor_seconds >= before.processor_seconds


async def test_every_metric_of_nodes_is_told_by_the_engine(machine: Machine):
    admin = await machine.start(11)
    before = await look_at_node(admin, None)
    now = await look_at_node(admin, before)
    elsewhere = {"cpu_usage", "cpu_avg_usage", "bandwidth_usage", "ms_repl_offset"}
    for name in HOW.keys() - elsewhere:
        assert figure(name, before, now) >= 0, name
    assert await observe_processor_seconds(admin) >= now.processor_seconds


async def test_new_connections_are_counted(machine: Machine):
    admin = await machine.start(11)
    before = await look_at_node(admin, None)
    for _ in range(7):
        await machine.tenant(machine.node(11).address).ping()
    now = await look_at_node(admin, before)
    assert (figure("total_connections_received", before, now), figure("connected_clients", before, now)) == (7, 8)


async def test_a_slow_command_is_seen_once_and_exactly(machine: Machine):
    admin = await machine.start(11)
    first = await look_at_node(admin, None)
    await machine.tenant(machine.node(11).address).eval("local x = 0 for i = 1, 4e6 do x = x + i end return x", 0)
    second = await look_at_node(admin, first)
    [entry] = [one for one in await admin.slowlog_get() if b"EVAL" in _bytes(one["command"]).upper()]
    assert figure("is_slow_log_exist", first, second) == 1
    assert figure("command_max_rt", first, second) == entry["duration"]
    third = await look_at_node(admin, second)
    assert figure("is_slow_log_exist", second, third) == 0
    assert figure("command_max_rt", second, third) < entry["duration"]


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


async def test_output_that_nobody_takes_is_seen(machine: Machine):
    admin = await machine.start(11)
    tenant = machine.tenant(machine.node(11).address)
    await tenant.set("large", "x" * 4_000_000)
    reader, writer = await asyncio.open_connection(machine.node(11).address, machine.node(11).port, limit=1024)
    try:
        writer.write(f"AUTH {machine.users.tenant_password}\r\n".encode() + b"GET large\r\n" * 8)

        async def waits() -> bool:
            now = await look_at_node(admin, None)
            return figure("client_longest_out_list", None, now) > 0

        await eventually(waits)
    finally:
        writer.transport.abort()
        del reader


async def test_a_node_that_was_started_anew_counts_from_its_start(machine: Machine):
    admin = await machine.start(11)
    tenant = machine.tenant(machine.node(11).address)
    for _ in range(500):
        await tenant.get("nothing")
    before = await look_at_node(admin, None)
    await machine.runtime.kill_node("node-11")
    with pytest.raises(EngineUnreachable):
        await look_at_node(admin, before)
    await machine.start(11)
    for _ in range(5):
        with contextlib.suppress(OSError):
            await tenant.get("nothing")
    now = await look_at_node(admin, before)
    assert now.run != before.run
    assert figure("keyspace_misses", before, now) in range(4, 6)
    assert 0 <= figure("get", before, now) * (now.at - before.at) < 6
    assert all(
        HOW[name]([Span.between(before, now, 60)]) >= 0 for name in ("total_net_input_bytes", "command_avg_rt")
    )


async def test_a_master_tells_what_its_replica_has(machine: Machine):
    master = await machine.start(11)
    await machine.start(12, replica_of=machine.node(11))
    tenant = machine.tenant(machine.node(11).address)

    async def in_step() -> bool:
        await tenant.set("key", "value")
        now = await look_at_node(master, None)
        taken = now.replica_offsets.get(machine.node(12).address)
        return taken is not None and 0 < taken <= now.get("master_repl_offset")

    await eventually(in_step)
    assert not (await look_at_node(machine.admin(12), None)).is_master
