"""Bytes to and from a proxy, without a client library between."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from cachestead.proxy.configuration import Address

SECONDS = 30.0


def request(*arguments: str | bytes | int) -> bytes:
    """A command as clients send it."""
    parts = [part if isinstance(part, bytes) else str(part).encode() for part in arguments]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


class Wire:
    """A connection, and what came over it."""

    def __init__(self, at: Address, receive_buffer: int | None = None) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(SECONDS)
        self.socket.connect((at.host, at.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def ask(self, *arguments: str | bytes | int) -> bytes:
        """The first line of the answer to one command."""
        self.send(request(*arguments))
        return self.line()

    def line(self) -> bytes:
        """The next line, without its end."""
        while b"\r\n" not in self.received:
            self._receive()
        line, _, self.received = self.received.partition(b"\r\n")
        return line

    def exactly(self, count: int) -> bytes:
        """The next bytes."""
        parts, missing = [self.received[:count]], count - len(self.received)
        self.received = self.received[count:]
        while missing > 0:
            data = self.socket.recv(min(missing, 1 << 20))
            assert data, f"closed {missing} bytes too early"
            parts.append(data)
            missing -= len(data)
        return b"".join(parts)

    def until(self, marker: bytes) -> bytes:
        """Everything up to the marker and with it."""
        while marker not in self.received:
            self._receive()
        found, _, self.received = self.received.partition(marker)
        return found + marker

    def to_the_end(self) -> bytes:
        """Everything until the other side closes."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionResetError:
                break
            if not data:
                break
            self.received += data
        else:
            raise AssertionError("not closed")
        found, self.received = self.received, b""
        return found

    def close(self) -> None:
        self.socket.close()

    def _receive(self) -> None:
        data = self.socket.recv(1 << 16)
        assert data, f"closed after {self.received!r}"
        self.received += data


@contextmanager
def wire_to(at: Address, receive_buffer: int | None = None) -> Iterator[Wire]:
    """A connection for the length of a block."""
    wire = Wire(at, receive_buffer)
    try:
        yield wire
    finally:
        wire.close()
