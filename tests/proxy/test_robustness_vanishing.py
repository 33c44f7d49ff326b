"""Clients that vanish: in the middle of a request, of answers, of a transaction, of a blocking pop."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

import pytest
import redis
from installation import eventually
from proxied import Proxied
from wires import Wire, request, wire_to


def _close(wire: Wire) -> None:
    wire.close()


def _reset(wire: Wire) -> None:
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.close()


@pytest.fixture(params=[_close, _reset], ids=["closed", "reset"])
def vanish(request: pytest.FixtureRequest) -> Callable[[Wire], None]:
    """How the client goes."""
    return request.param


@pytest.fixture
def is_quiet(proxied: Proxied) -> Callable[[], bool]:
    """Whether nobody is left: no client at the proxy, nobody who blocks at a data node."""
    before = _at_nodes(proxied)

    def look() -> bool:
        with proxied.proxies[0].admin() as admin:
            clients = int(admin.info("clients")["connected_clients"])
        now = _at_nodes(proxied)
        # Connections that are shared between clients may stay.
        return clients <= 2 and now["blocked_clients"] == 0 and now["connected"] <= before["connected"] + 8

    return look


def _at_nodes(proxied: Proxied) -> dict[str, int]:
    found = {"blocked_clients": 0, "connected": 0}
    for number in range(len(proxied.nodes)):
        with proxied.node_client(number) as node:
            facts = node.info("clients")
            found["blocked_clients"] += int(facts["blocked_clients"])
            found["connected"] += int(facts["connected_clients"])
    return found


def test_half_a_request_is_nothing(proxied: Proxied, client: redis.Redis, vanish, is_quiet):
    whole = request("SET", "key", "value" * 100)
    for size in (1, 4, 20, 30, len(whole) - 1):
        with wire_to(proxied.endpoint) as wire:
            assert wire.ask("SET", "other", 1) == b"+OK"
            wire.send(whole[:size])
            vanish(wire)
    client.connection_pool.disconnect()
    eventually(is_quiet)
    assert client.get("key") is None


def test_answers_that_nobody_takes(proxied: Proxied, client: redis.Redis, vanish, is_quiet):
    client.mset({f"key-{number}": "x" * 50_000 for number in range(50)})
    for taken in (0, 10, 100_000):
        for _ in range(10):
            with wire_to(proxied.endpoint) as wire:
                wire.send(b"".join(request("GET", f"key-{number % 50}") for number in range(300)))
                wire.exactly(taken)
                vanish(wire)
    assert client.mget("key-1", "key-49") == ["x" * 50_000] * 2
    client.connection_pool.disconnect()
    eventually(is_quiet)


def test_a_transaction_without_exec_is_nothing(proxied: Proxied, client: redis.Redis, vanish, is_quiet):
    for _ in range(20):
        with wire_to(proxied.endpoint) as wire:
            assert wire.ask("WATCH", "{one}watched") == b"+OK"
            assert wire.ask("MULTI") == b"+OK"
            assert wire.ask("SET", "{one}key", 1) == b"+QUEUED"
            vanish(wire)
    client.connection_pool.disconnect()
    eventually(is_quiet)
    assert client.get("{one}key") is None
    assert client.set("{one}watched", 1)


@pytest.mark.parametrize("pop", [("BLPOP",), ("BRPOP",), ("BLMOVE",), ("BRPOPLPUSH",), ("BZPOPMIN",)], ids="".join)
def test_who_vanishes_while_waiting_takes_nothing(proxied: Proxied, client: redis.Redis, pop, vanish, is_quiet):
    words = {"BLMOVE": ("{q}to", "LEFT", "RIGHT"), "BRPOPLPUSH": ("{q}to",)}.get(pop[0], ())
    for _ in range(5):
        with wire_to(proxied.endpoint) as wire:
            wire.send(request(*pop, "{q}from", *words, 0))
            eventually(lambda: _at_nodes(proxied)["blocked_clients"] == 1)
            vanish(wire)
            eventually(lambda: _at_nodes(proxied)["blocked_clients"] == 0)
    if pop[0] == "BZPOPMIN":
        client.zadd("{q}from", {"element": 1})
        assert client.zcard("{q}from") == 1
    else:
        client.rpush("{q}from", "element")
        assert client.lrange("{q}from", 0, -1) == ["element"]
    client.connection_pool.disconnect()
    eventually(is_quiet)


def test_who_waits_for_a_stream_vanishes(proxied: Proxied, client: redis.Redis, vanish, is_quiet):
    client.xgroup_create("stream", "group", mkstream=True)
    with wire_to(proxied.endpoint) as wire:
        wire.send(request("XREADGROUP", "GROUP", "group", "me", "BLOCK", 0, "STREAMS", "stream", ">"))
        eventually(lambda: _at_nodes(proxied)["blocked_clients"] == 1)
        vanish(wire)
        eventually(lambda: _at_nodes(proxied)["blocked_clients"] == 0)
    client.xadd("stream", {"a": 1})
    assert client.xpending("stream", "group")["pending"] == 0


def test_what_was_sent_behind_a_blocking_pop_is_lost_with_it(proxied: Proxied, client: redis.Redis, vanish):
    """As with the engine, which does not read on from a client that is blocked."""
    with wire_to(proxied.endpoint) as wire:
        wire.send(request("BLPOP", "{q}from", 0) + request("SET", "behind", 1))
        eventually(lambda: _at_nodes(proxied)["blocked_clients"] == 1)
        vanish(wire)
        eventually(lambda: _at_nodes(proxied)["blocked_clients"] == 0)
    assert client.get("behind") is None


def test_a_subscriber_that_vanishes_is_forgotten(proxied: Proxied, client: redis.Redis, vanish, is_quiet):
    for _ in range(10):
        with wire_to(proxied.endpoint) as wire:
            assert wire.ask("SUBSCRIBE", "news") == b"*3"
            wire.send(request("PSUBSCRIBE", "n*"))
            vanish(wire)
    eventually(lambda: client.publish("news", "nobody hears") == 0)
    client.connection_pool.disconnect()
    eventually(is_quiet)


def test_who_quits_is_answered_first(proxied: Proxied):
    with wire_to(proxied.endpoint) as wire:
        wire.send(request("SET", "key", 1) + request("GET", "key") + request("QUIT") + request("GET", "key"))
        assert wire.to_the_end() == b"+OK\r\n$1\r\n1\r\n+OK\r\n"


def test_who_only_stops_sending_is_still_answered(proxied: Proxied):
    """`printf … | nc` closes its side before the answers come."""
    with wire_to(proxied.endpoint) as wire:
        wire.send(b"".join(request("SET", f"key-{number}", number) for number in range(100)))
        wire.send(request("GET", "key-99"))
        wire.socket.shutdown(socket.SHUT_WR)
        assert wire.to_the_end() == b"+OK\r\n" * 100 + b"$2\r\n99\r\n"


def test_many_come_and_go(proxied: Proxied, client: redis.Redis, is_quiet):
    for number in range(500):
        with wire_to(proxied.endpoint) as wire:
            assert wire.ask("SET", f"key-{number}", number) == b"+OK"
    assert client.dbsize() == 500
    client.connection_pool.disconnect()
    eventually(is_quiet)
