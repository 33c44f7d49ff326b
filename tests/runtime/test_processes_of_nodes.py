from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop
from real_engines import Machine, kill_all_under, pids_under

from cachestead.runtime.interface import NodeNotStarted
from cachestead.runtime.process import ProcessRuntime
from cachestead.runtime.process.addresses import is_free
from cachestead.runtime.process.folder import LOG_BYTES
from cachestead.runtime.process.processes import find_process, listens


async def next_exit(runtime: ProcessRuntime) -> str:
    async with asyncio.timeout(5), aclosing(runtime.exits()) as exits:
        return await anext(exits)
    raise AssertionError


async def again(machine: Machine) -> ProcessRuntime:
    """The control plane, started anew."""
    await machine.runtime.close()
    machine.runtime = ProcessRuntime(machine.root)
    await machine.runtime.start()
    return machine.runtime


async def test_nodes_are_adopted_after_a_restart_and_their_end_is_seen(machine: Machine):
    admin = await machine.start(11)
    await admin.set("a", 1)
    pid = (await machine.runtime.observe_nodes())[0].pid
    runtime = await again(machine)

    assert [(node.pid, node.running) for node in await runtime.observe_nodes()] == [(pid, True)]
    assert (await runtime.ensure_node(machine.spec(11))).pid == pid
    assert await admin.get("a") == "1"
    os.kill(pid, signal.SIGKILL)
    assert await next_exit(runtime) == "node-11"


@pytest.mark.parametrize("lost", ["pid", "record"])
async def test_a_process_that_was_never_recorded_is_found_again(machine: Machine, lost: str):
    await machine.start(11)
    pid = (await machine.runtime.observe_nodes())[0].pid
    record = machine.runtime.node_folder("node-11") / "node.json"
    if lost == "pid":
        record.write_text(json.dumps({**json.loads(record.read_text()), "pid": None, "started": None}))
    else:
        record.write_text(json.dumps({**json.loads(record.read_text()), "pid": os.getpid()}))
    runtime = await again(machine)

    assert (await runtime.ensure_node(machine.spec(11))).pid == pid
    assert len(list(pids_under(machine.root))) == 1


async def test_a_pid_that_is_somebody_elses_is_left_alone(machine: Machine):
    await machine.start(11)
    await machine.runtime.kill_node("node-11")
    bystander = subprocess.Popen(["sleep", "60"])  # noqa: ASYNC220 - it only has to be there
    record = machine.runtime.node_folder("node-11") / "node.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "pid": bystander.pid, "started": "x/1"}))
    runtime = await again(machine)
    await runtime.remove_node("node-11")

    assert bystander.poll() is None
    bystander.kill()
    bystander.wait()


async def test_the_end_is_seen_within_a_tenth_of_a_second(machine: Machine):
    await machine.start(11)
    pid = (await machine.runtime.observe_nodes())[0].pid
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    await next_exit(machine.runtime)

    assert time.monotonic() - began < 0.1


async def test_files_are_private_and_the_record_has_no_secret(machine: Machine):
    await machine.start(11)
    folder = machine.runtime.node_folder("node-11")

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in ("redis.conf", "node.json", "node.log"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600, name
    assert "s3cret" not in (folder / "node.json").read_text()


async def test_files_are_replaced_where_there_is_a_node(machine: Machine):
    await machine.start(1)
    await machine.runtime.replace_files("node-1", {"more": "text"})
    await machine.runtime.replace_files("node-2", {"more": "text"})

    added = machine.runtime.node_folder("node-1") / "more"
    assert (added.read_text(), added.stat().st_mode & 0o777) == ("text", 0o600)
    assert not machine.runtime.node_folder("node-2").exists()


async def test_a_process_that_ends_at_once_is_told_with_its_last_words(machine: Machine):
    spec = machine.spec(11)
    broken = replace(spec, files={"redis.conf": "no-such-directive yes\n"})
    with pytest.raises(NodeNotStarted, match="no-such-directive"):
        await machine.runtime.ensure_node(broken)
    assert (await machine.runtime.ensure_node(spec)).running
    assert machine.runtime._exits.empty()


async def test_a_program_that_is_not_there_is_told(machine: Machine):
    with pytest.raises(NodeNotStarted, match="No such file"):
        await machine.runtime.ensure_node(replace(machine.spec(11), command=("/no/such/program",)))


async def test_a_second_address_that_is_taken_is_told(machine: Machine):
    await machine.start(11, vip=machine.vip)
    with pytest.raises(NodeNotStarted, match=r"(?i)address already in use"):
        await machine.start(12, vip=machine.vip)


async def test_environment_of_the_control_plane_is_not_passed_on(machine: Machine, monkeypatch):
    monkeypatch.setenv("CACHESTEAD_IDENTITY__PASSWORD", "hidden")
    tell = "import os, sys; print(sorted(os.environ)); sys.exit(1)"
    spec = replace(machine.spec(11), command=(sys.executable, "-c", tell), environment={"OWN": "1"})
    with pytest.raises(NodeNotStarted) as told:
        await machine.runtime.ensure_node(spec)
    assert "OWN" in told.value.reason
    assert "CACHESTEAD" not in told.value.reason


async def test_a_grown_log_is_set_aside_at_the_next_start(machine: Machine):
    await machine.start(11)
    await machine.runtime.stop_node("node-11")
    folder = machine.runtime.node_folder("node-11")
    os.truncate(folder / "node.log", LOG_BYTES + 1)
    await machine.start(11)

    assert (folder / "node.log").stat().st_size < LOG_BYTES
    assert (folder / "node.log.1").exists()


async def test_what_a_node_rewrites_itself_survives_its_restart(machine: Machine):
    await machine.runtime.ensure_node(machine.sentinel_spec(1))
    await machine.runtime.stop_node("sentinel-1")
    kept = machine.runtime.node_folder("sentinel-1") / "sentinel.conf"
    kept.write_text(kept.read_text() + f"sentinel monitor kept {machine.node(11).address} 6379 2\n")
    await machine.runtime.ensure_node(machine.sentinel_spec(1))

    assert "sentinel monitor kept" in kept.read_text()


async def test_node_ids_cannot_leave_the_root(machine: Machine):
    for name in ("../outside", "", "."):
        with pytest.raises(ValueError, match="not a node id"):
            machine.runtime.node_folder(name)


async def test_forty_nodes_start_at_once(machine: Machine):
    await asyncio.gather(*(machine.start(number) for number in range(11, 51)))

    assert len(await machine.runtime.observe_nodes()) == 40
    await asyncio.gather(*(machine.runtime.remove_node(f"node-{number}") for number in range(11, 51)))
    assert await machine.runtime.observe_nodes() == []


def test_exits_are_seen_on_uvloop_too(tmp_path: Path, engine):
    async def story() -> str:
        machine = Machine(engine, tmp_path / "nodes")
        await machine.runtime.start()
        sighting = await machine.runtime.ensure_node(machine.spec(11))
        os.kill(sighting.pid, signal.SIGKILL)
        try:
            return await next_exit(machine.runtime)
        finally:
            await machine.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(story()) == "node-11"
    kill_all_under(tmp_path)


async def test_an_address_is_free_until_somebody_listens(machine: Machine):
    node = machine.node(11)
    assert is_free(*node)
    await machine.start(11)
    assert not is_free(*node)
    assert not is_free("203.0.113.7", 6379)


async def test_who_listens_somewhere_is_told_apart(machine: Machine):
    await machine.start(11)
    [sighting] = await machine.runtime.observe_nodes()
    node, ourselves = find_process(sighting.pid), find_process(os.getpid())
    with socket.create_server((machine.spec(12).address, 6379)):
        assert listens(ourselves, machine.spec(12).address, 6379)
        assert not listens(node, machine.spec(12).address, 6379)
        assert listens(node, machine.spec(11).address, machine.spec(11).port)
        assert not listens(ourselves, machine.spec(11).address, machine.spec(11).port)
