"""The packet filter: whom it refuses, what it leaves alone, and what becomes of its table."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from real_engines import free_subnet
from visitors import needs_packet_filter

from cachestead.runtime.interface import Guard, GuardsNotSet
from cachestead.runtime.process.packet_filter import PacketFilter, find_program
from cachestead.runtime.process.processes import NODE_GROUP

FRIENDS, STRANGER = IPv4Network("127.8.8.0/24"), "127.9.9.9"
FRIEND = "127.8.8.8"
_DIAL = """
import socket, sys
address, port, source = sys.argv[1:]
socket.create_connection((address, int(port)), 5, (source, 0)).close()
"""


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Somebody who takes everybody, at an address of its own."""
    with socket.create_server((f"{free_subnet()}.1", 0)) as made:
        yield made


@pytest.fixture
async def filters(tmp_path: Path) -> AsyncIterator[list[PacketFilter]]:
    """Those of two installations."""
    folders = [tmp_path / name for name in ("one", "other")]
    yield [PacketFilter(folder) for folder in folders]
    for folder in folders:
        await PacketFilter(folder).clear()


def guard_of(listener: socket.socket) -> Guard:
    return Guard((listener.getsockname()[0],), (FRIENDS,))


def dial(listener: socket.socket, source: str) -> socket.socket:
    return socket.create_connection(listener.getsockname(), 5, (source, 0))


def gets_in(listener: socket.socket, source: str) -> bool:
    """Whether a connection comes about; who is refused must know at once, not after a timeout."""
    try:
        dial(listener, source).close()
    except ConnectionRefusedError:
        return False
    return True


def process_gets_in(listener: socket.socket, source: str, group: int | None = None) -> bool:
    """Whether a connection comes about that another process begins."""
    address, port = listener.getsockname()
    command = [sys.executable, "-c", _DIAL, address, str(port), source]
    return subprocess.run(command, capture_output=True, check=False, group=group).returncode == 0


def table_of(one: PacketFilter) -> str:
    """The installation's table as the machine has it; empty where there is none."""
    command = [find_program() or "", "list", "table", "ip", one.table]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


@needs_packet_filter
async def test_strangers_are_refused_and_who_is_connected_stays(
    filters: list[PacketFilter], listener: socket.socket
) -> None:
    with dial(listener, STRANGER) as connected:
        here, _ = listener.accept()

        await filters[0].ensure([guard_of(listener)])

        with here:
            connected.sendall(b"still here")
            assert here.recv(10) == b"still here"
    assert gets_in(listener, FRIEND)
    assert not gets_in(listener, STRANGER)


@needs_packet_filter
async def test_what_nodes_begin_is_not_stopped(filters: list[PacketFilter], listener: socket.socket) -> None:
    await filters[0].ensure([guard_of(listener)])

    assert not process_gets_in(listener, STRANGER)
    assert process_gets_in(listener, STRANGER, group=NODE_GROUP)


@needs_packet_filter
async def test_without_guards_there_is_no_table(filters: list[PacketFilter], listener: socket.socket) -> None:
    one = filters[0]
    assert await one.is_permitted()
    await one.ensure([])
    assert not table_of(one)
    await one.ensure([guard_of(listener)])
    assert table_of(one)

    await one.ensure([])

    assert not table_of(one)
    assert gets_in(listener, STRANGER)


@needs_packet_filter
async def test_guards_take_the_place_of_others(filters: list[PacketFilter], listener: socket.socket) -> None:
    one, guard = filters[0], guard_of(listener)
    await one.ensure([guard])

    await one.ensure([Guard(guard.places, (IPv4Network(STRANGER),))])

    assert gets_in(listener, STRANGER)
    assert not gets_in(listener, FRIEND)


@needs_packet_filter
async def test_installations_leave_each_others_guards_alone(
    filters: list[PacketFilter], listener: socket.socket
) -> None:
    one, other = filters
    with socket.create_server((f"{free_subnet()}.1", 0)) as elsewhere:
        await one.ensure([guard_of(listener)])
        await other.ensure([guard_of(elsewhere)])
        assert not gets_in(listener, STRANGER)
        assert not gets_in(elsewhere, STRANGER)

        await one.clear()

        assert gets_in(listener, STRANGER)
        assert not gets_in(elsewhere, STRANGER)


@needs_packet_filter
async def test_who_comes_after_a_crash_finds_what_was_set(
    tmp_path: Path, filters: list[PacketFilter], listener: socket.socket
) -> None:
    await filters[0].ensure([guard_of(listener)])
    before = table_of(filters[0])

    await PacketFilter(tmp_path / "one").ensure([guard_of(listener)])
    assert table_of(filters[0]) == before

    await PacketFilter(tmp_path / "one").ensure([])
    assert not table_of(filters[0])


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that is taken for `nft`."""
    program = tmp_path / "bin" / "nft"
    program.parent.mkdir()
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    return program


def script(program: Path, text: str) -> None:
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)


async def test_a_machine_that_refuses_permits_nothing(stand_in: Path, tmp_path: Path) -> None:
    script(stand_in, "echo Operation not permitted >&2; exit 1")
    refused = PacketFilter(tmp_path)

    assert not await refused.is_permitted()
    await refused.clear()
    with pytest.raises(GuardsNotSet, match="Operation not permitted"):
        await refused.ensure([Guard(("127.0.0.1",), (FRIENDS,))])


async def test_a_table_that_could_not_be_looked_for_is_not_taken_for_gone(stand_in: Path, tmp_path: Path) -> None:
    said = tmp_path / "said"
    script(stand_in, "exec sleep 60")
    slow = PacketFilter(tmp_path, patience=0.2)
    assert not await slow.is_permitted()
    with pytest.raises(GuardsNotSet, match="did not end"):
        await slow.clear()

    script(stand_in, f'echo "$1" >>{said}; cat >>{said}')
    await slow.clear()

    assert said.read_text().splitlines() == ["list", "-f", f"delete table ip {slow.table}"]
