"""What clients can make the proxy keep: many connections, big values, readers who are slow or never read."""

from __future__ import annotations

import contextlib
import resource
import socket
import threading
import time
from collections.abc import Iterator
from typing import Self

import psutil
import pytest
import redis
from installation import eventually
from proxied import Proxied, Proxy
from wires import Wire, request, wire_to

MiB = 1024**2
IDLE = 10_000
PER_IDLE = 32 * 1024
"""Bytes that the proxy may keep for a client who says nothing; it keeps less than half of it."""


class Watch:
    """The most memory that a process had."""

    def __init__(self, proxy: Proxy) -> None:
        self._process, self.most, self._over = psutil.Process(proxy.pid), 0, threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._over.wait(0.005):
            self.most = max(self.most, self._process.memory_info().rss)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


@pytest.fixture
def fresh(proxied: Proxied) -> Proxy:
    """A proxy that has served nobody yet."""
    return proxied.start_proxy(2, endpoint=proxied.other_endpoint, maxclients=IDLE + 100)


@pytest.fixture
def open_files() -> Iterator[None]:
    """This process may have that many connections, too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < IDLE + 500:
        pytest.skip(f"only {hard} open files are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, IDLE + 500), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_ten_thousand_idle_clients(fresh: Proxy, open_files: None):
    before, at = fresh.memory, fresh.configuration.endpoint
    with contextlib.ExitStack() as stack:
        sockets = []
        for _ in range(IDLE):
            one = stack.enter_context(socket.create_connection((at.host, at.port), timeout=30))
            one.sendall(request("PING"))
            sockets.append(one)
        for one in sockets:
            assert one.recv(100) == b"+PONG\r\n"
        print(f"{(fresh.memory - before) / IDLE:.0f} bytes for each client")
        assert fresh.memory - before < IDLE * PER_IDLE

        with redis.Redis(at.host, at.port) as client:
            client.set("key", "value")
            assert client.get("key") == b"value"
        for one in sockets[::100]:
            one.sendall(request("GET", "key"))
        for one in sockets[::100]:
            assert one.recv(100) == b"$5\r\nvalue\r\n"
    with fresh.admin() as admin:
        eventually(lambda: int(admin.info("clients")["connected_clients"]) < 10)


def test_a_client_that_never_reads_is_held_back(fresh: Proxy):
    at = fresh.configuration.endpoint
    with redis.Redis(at.host, at.port) as client:
        client.set("big", b"x" * MiB)
    before = fresh.memory
    with Watch(fresh) as watch, contextlib.ExitStack() as stack:
        for _ in range(4):
            wire = stack.enter_context(wire_to(at, receive_buffer=4096))
            wire.socket.setblocking(False)
            _send_what_fits(wire, request("GET", "big") * 300)
        _serve_others(at)
    print(f"{(watch.most - before) / MiB:.0f} MiB more")
    # What each asked for would be 300 MiB.
    assert watch.most - before < 150 * MiB


def test_a_slow_reader_gets_everything(fresh: Proxy):
    at = fresh.configuration.endpoint
    with redis.Redis(at.host, at.port) as client:
        client.set("big", b"x" * MiB)
    before = fresh.memory
    with Watch(fresh) as watch, wire_to(at, receive_buffer=4096) as wire:
        sender = threading.Thread(target=wire.send, args=((request("GET", "big") + request("PING")) * 200,))
        sender.start()
        _serve_others(at)
        for _ in range(200):
            assert wire.exactly(MiB + 12) == b"$1048576\r\n" + b"x" * MiB + b"\r\n"
            assert wire.exactly(7) == b"+PONG\r\n"
        sender.join(30)
    assert watch.most - before < 100 * MiB


def test_a_client_that_sends_and_never_reads_is_held_back(fresh: Proxy):
    """Its requests are not taken without end either."""
    at = fresh.configuration.endpoint
    before = fresh.memory
    chunk = request("ECHO", "y" * 50_000) * 20
    with Watch(fresh) as watch, wire_to(at, receive_buffer=4096) as wire:
        wire.socket.setblocking(False)
        taken, refusals = 0, 0
        while refusals < 100 and taken < 500 * MiB:
            try:
                taken += wire.socket.send(chunk)
                refusals = 0
            except BlockingIOError:
                refusals += 1
                time.sleep(0.005)
        _serve_others(at)
    assert taken < 400 * MiB
    assert watch.most - before < 100 * MiB


def test_a_subscriber_that_never_reads_is_dropped(fresh: Proxy):
    """At 32 MB of messages, as the service promises."""
    at = fresh.configuration.endpoint
    before = fresh.memory
    with Watch(fresh) as watch, wire_to(at, receive_buffer=4096) as wire, redis.Redis(at.host, at.port) as client:
        assert wire.ask("SUBSCRIBE", "news") == b"*3"
        eventually(lambda: client.publish("news", "first") == 1)
        message = "m" * 100_000

        def is_dropped() -> bool:
            return any(client.publish("news", message) == 0 for _ in range(20))

        eventually(is_dropped, 60)
        _serve_others(at)
    assert watch.most - before < 200 * MiB


def test_a_big_value_passes(fresh: Proxy):
    """In and out, in pieces, with others served meanwhile; not kept several times over."""
    at, size = fresh.configuration.endpoint, 96 * MiB
    before = fresh.memory
    value = b"v" * size
    with Watch(fresh) as watch, wire_to(at) as wire:
        sender = threading.Thread(target=wire.send, args=(request("SET", "huge", value),))
        sender.start()
        _serve_others(at)
        assert wire.line() == b"+OK"
        sender.join(60)
        wire.send(request("GET", "huge"))
        _serve_others(at)
        assert wire.line() == b"$%d" % size
        assert wire.exactly(size) == value
        assert wire.ask("PING") == b""
        assert wire.line() == b"+PONG"
    print(f"{(watch.most - before) / size:.1f} times the value")
    assert watch.most - before < 3.5 * size
    with redis.Redis(at.host, at.port) as client:
        client.delete("huge")
    eventually(lambda: fresh.memory - before < size)


def test_a_value_over_512_mb_is_refused_before_it_comes(fresh: Proxy):
    before = fresh.memory
    with wire_to(fresh.configuration.endpoint) as wire:
        wire.send(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$%d\r\n" % (512 * MiB + 1))
        assert wire.to_the_end() == b"-ERR Protocol error: invalid bulk length\r\n"
    assert fresh.memory - before < 50 * MiB


def test_promises_of_big_values_cost_nothing(fresh: Proxy):
    """A length is not believed: only what has come is kept."""
    before = fresh.memory
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            wire = stack.enter_context(wire_to(fresh.configuration.endpoint))
            wire.send(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$%d\r\nbeginning" % (512 * MiB))
        _serve_others(fresh.configuration.endpoint)
        assert fresh.memory - before < 50 * MiB
        wire = stack.enter_context(wire_to(fresh.configuration.endpoint))
        wire.send(b"*1000000\r\n$4\r\nMGET\r\n")
        _serve_others(fresh.configuration.endpoint)
        assert fresh.memory - before < 50 * MiB


def _send_what_fits(wire: Wire, data: bytes) -> None:
    with contextlib.suppress(BlockingIOError):
        while data:
            data = data[wire.socket.send(data) :]


def _serve_others(at) -> None:
    """Another client is served many times."""
    with redis.Redis(at.host, at.port, socket_timeout=20) as other:
        for number in range(300):
            other.set(f"other-{number}", number)
            assert other.get(f"other-{number}") == str(number).encode()
