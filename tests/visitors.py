"""Clients that come from an address of their choice, and whether an instance takes them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from installation import PASSWORD

from cachestead.runtime.process.packet_filter import PacketFilter

FRIEND, STRANGER = "127.8.8.8", "127.9.9.9"
AT_ONCE = 3.0
"""Seconds within which a stranger knows, on a machine that is busy. Who is not answered at all gives up after 5."""


class Visitor:
    """A logged-in connection to an instance, by TLS where somebody is trusted."""

    def __init__(
        self,
        address: str,
        port: int,
        source: str,
        password: str | None = PASSWORD,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self.socket = socket.create_connection((address, port), 5, (source, 0))
        if trust is not None:
            self.socket = trust.wrap_socket(self.socket, server_hostname=address)
        self._answers = self.socket.makefile("rb")
        if password is not None:
            assert self.ask(f"AUTH {password}") == b"+OK"

    def ask(self, line: str) -> bytes:
        """The first line of the answer; raises `ConnectionError` when there is none."""
        self.socket.sendall(f"{line}\r\n".encode())
        if not (answer := self._answers.readline()):
            raise ConnectionResetError
        return answer.strip()

    def is_cut_off(self) -> bool:
        """Whether the connection has ended, though nobody says anything."""
        self.socket.settimeout(AT_ONCE)
        try:
            while self._answers.readline():
                pass
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        self._answers.close()
        self.socket.close()


@contextlib.contextmanager
def visiting(address: str, port: int, source: str, **more: Any) -> Iterator[Visitor]:
    """A visitor for the length of a block."""
    visitor = Visitor(address, port, source, **more)
    try:
        yield visitor
    finally:
        visitor.close()


def gets_in(address: str, port: int, source: str, **more: Any) -> bool:
    """Whether a client from there is answered; one that is not must know at once."""
    begun = time.monotonic()
    try:
        with visiting(address, port, source, **more) as visitor:
            assert visitor.ask("PING") == b"+PONG"
    except ConnectionError:
        assert time.monotonic() - begun < AT_ONCE
        return False
    return True


def who_gets_in(places: list[str], port: int, **more: Any) -> set[str]:
    """Who of the two is let in, the same everywhere."""
    found = {source: {gets_in(place, port, source, **more) for place in places} for source in (FRIEND, STRANGER)}
    assert all(len(answers) == 1 for answers in found.values()), found
    return {source for source, answers in found.items() if answers == {True}}


def may_guard() -> bool:
    """Whether this machine has a packet filter that the tests may use."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(PacketFilter(Path(folder)).is_permitted())


needs_packet_filter = pytest.mark.skipif(
    not may_guard(), reason="no packet filter that may be used: it takes the program nft, root, and CAP_NET_ADMIN"
)
