"""What every runtime promises, asked of each one there is."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import pytest
from real_engines import eventually, free_subnet, kill_all_under

from cachestead.runtime.fake import FakeRuntime
from cachestead.runtime.interface import NodeNotStarted, NodeRuntime, NodeSpec, front_id
from cachestead.runtime.process import ProcessRuntime

LISTENER = """
import signal, socket, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("listening", flush=True)
while True:
    server.accept()[0].close()
"""


class Fakes:
    def __init__(self, root: Path) -> None:
        self.runtime = FakeRuntime(root)

    def crash(self, pid: int | None, node: str) -> None:
        self.runtime.crash(node)

    def freeze(self, pid: int | None, node: str) -> None:
        self.runtime.freeze(node)


class Processes:
    def __init__(self, root: Path) -> None:
        self.runtime = ProcessRuntime(root)

    def crash(self, pid: int, node: str) -> None:
        os.kill(pid, signal.SIGKILL)

    def freeze(self, pid: int, node: str) -> None:
        os.kill(pid, signal.SIGSTOP)


@pytest.fixture(params=[Fakes, Processes])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Fakes | Processes]:
    world = request.param(tmp_path / "nodes")
    await world.runtime.start()
    yield world
    await world.runtime.close()
    kill_all_under(tmp_path)


@pytest.fixture
def runtime(world: Fakes | Processes) -> NodeRuntime:
    return world.runtime


@pytest.fixture
def spec() -> Callable[[int], NodeSpec]:
    subnet = free_subnet()

    def make(number: int) -> NodeSpec:
        address = f"{subnet}.{number}"
        return NodeSpec(
            id=f"node-{number}",
            command=(sys.executable, "-IS", "serve.py", address, "7000"),
            files={"serve.py": LISTENER},
            address=address,
            port=7000,
            owner="somebody",
        )

    return make


async def seen(runtime: NodeRuntime) -> dict[str, bool]:
    return {sighting.id: sighting.running for sighting in await runtime.observe_nodes()}


async def next_exit(runtime: NodeRuntime) -> str:
    async with asyncio.timeout(5), aclosing(runtime.exits()) as exits:
        return await anext(exits)
    raise AssertionError


async def test_an_ensured_node_runs(runtime, spec):
    sighting = await runtime.ensure_node(spec(1))

    assert sighting.running
    assert not sighting.frozen
    assert sighting.owner == "somebody"
    assert await seen(runtime) == {"node-1": True}


async def test_ensure_twice_makes_one(runtime, spec):
    first = await runtime.ensure_node(spec(1))
    again = await asyncio.gather(*(runtime.ensure_node(spec(1)) for _ in range(5)))

    assert {sighting.pid for sighting in again} == {first.pid}


async def test_a_stopped_node_is_seen_and_does_not_run(runtime, spec):
    await runtime.ensure_node(spec(1))
    await runtime.stop_node("node-1")
    await runtime.stop_node("node-1")

    assert await seen(runtime) == {"node-1": False}


async def test_a_stopped_node_starts_again(runtime, spec):
    first = await runtime.ensure_node(spec(1))
    await runtime.stop_node("node-1")
    second = await runtime.ensure_node(spec(1))

    assert second.running
    assert second.pid != first.pid


async def test_a_killed_node_does_not_run(runtime, spec):
    await runtime.ensure_node(spec(1))
    await runtime.kill_node("node-1")
    await runtime.kill_node("node-1")

    assert await seen(runtime) == {"node-1": False}


async def test_a_removed_node_is_not_seen(runtime, spec):
    await runtime.ensure_node(spec(1))
    await runtime.remove_node("node-1")
    await runtime.remove_node("node-1")

    assert await seen(runtime) == {}
    assert not runtime.node_folder("node-1").exists()


async def test_a_node_that_was_never_there_can_be_stopped_killed_and_removed(runtime):
    await runtime.stop_node("nobody")
    await runtime.kill_node("nobody")
    await runtime.remove_node("nobody")

    assert await seen(runtime) == {}


async def test_a_front_lives_as_long_as_its_node(runtime, spec):
    front = replace(spec(2), id=front_id("node-1"))
    both = replace(spec(1), front=front)
    await runtime.ensure_node(both)
    assert await seen(runtime) == {"node-1": True, front.id: True}
    await runtime.stop_node(front.id)
    assert await seen(runtime) == {"node-1": True, front.id: False}
    await runtime.ensure_node(both)
    await runtime.kill_node("node-1")
    assert await seen(runtime) == {"node-1": False, front.id: False}
    await runtime.ensure_node(both)
    await runtime.remove_node("node-1")
    assert await seen(runtime) == {}


async def test_a_front_that_a_node_shall_not_have_any_more_goes(runtime, spec):
    await runtime.ensure_node(replace(spec(1), front=replace(spec(2), id=front_id("node-1"))))
    await runtime.ensure_node(spec(1))

    assert await seen(runtime) == {"node-1": True}


async def test_an_address_in_use_is_told(runtime, spec):
    from dataclasses import replace

    await runtime.ensure_node(spec(1))
    with pytest.raises(NodeNotStarted, match="already in use"):
        await runtime.ensure_node(replace(spec(1), id="node-2"))


async def test_a_crash_is_told_and_a_stop_is_not(world, spec):
    runtime = world.runtime
    for number in (1, 2, 3):
        await runtime.ensure_node(spec(number))
    await runtime.stop_node("node-1")
    await runtime.kill_node("node-2")
    pid = {sighting.id: sighting.pid for sighting in await runtime.observe_nodes()}["node-3"]
    world.crash(pid, "node-3")

    assert await next_exit(runtime) == "node-3"
    assert await seen(runtime) == {"node-1": False, "node-2": False, "node-3": False}


async def test_a_crashed_node_starts_again(world, spec):
    runtime = world.runtime
    pid = (await runtime.ensure_node(spec(1))).pid
    world.crash(pid, "node-1")
    await next_exit(runtime)

    assert (await runtime.ensure_node(spec(1))).pid != pid


async def test_a_frozen_node_is_seen_frozen_and_can_be_stopped(world, spec):
    runtime = world.runtime
    world.freeze((await runtime.ensure_node(spec(1))).pid, "node-1")

    async def frozen() -> bool:
        return (await runtime.observe_nodes())[0].frozen

    await eventually(frozen)
    assert (await runtime.ensure_node(spec(1))).running
    await runtime.stop_node("node-1")
    assert await seen(runtime) == {"node-1": False}


async def test_exits_end_when_the_runtime_is_closed(runtime):
    await runtime.close()
    async with asyncio.timeout(2):
        assert [node async for node in runtime.exits()] == []
