"""How many clients are let in, and how long they may say nothing."""

from __future__ import annotations

import contextlib

from installation import eventually
from proxied import Proxied
from wires import request, wire_to


def test_one_client_too_many_is_told_so(proxied: Proxied):
    proxy = proxied.start_proxy(2, endpoint=proxied.other_endpoint, maxclients=5)
    at = proxy.configuration.endpoint
    with contextlib.ExitStack() as stack:
        inside = [stack.enter_context(wire_to(at)) for _ in range(5)]
        for wire in inside:
            assert wire.ask("PING") == b"+PONG"
        with wire_to(at) as wire:
            assert wire.to_the_end() == b"-ERR max number of clients reached\r\n"
        for wire in inside:
            assert wire.ask("SET", "key", 1) == b"+OK"
        # Whoever watches the proxy gets in nevertheless.
        with proxy.admin() as admin:
            assert admin.execute_command("PROXY", "STATE")
        inside.pop().close()

        def is_let_in() -> bool:
            with wire_to(at) as wire:
                return wire.ask("PING") == b"+PONG"

        eventually(is_let_in)


def test_who_says_nothing_for_too_long_is_dropped(proxied: Proxied):
    proxy = proxied.start_proxy(2, endpoint=proxied.other_endpoint, parameters={"timeout": "1"})
    at = proxy.configuration.endpoint
    with (
        wire_to(at) as idle,
        wire_to(at) as midway,
        wire_to(at) as subscriber,
        wire_to(at) as blocked,
        wire_to(at) as busy,
    ):
        assert idle.ask("PING") == b"+PONG"
        midway.send(request("SET", "key", "value")[:-3])
        assert subscriber.ask("SUBSCRIBE", "news") == b"*3"
        subscriber.until(b":1\r\n")
        blocked.send(request("BLPOP", "list", 0))

        idle.socket.settimeout(0.1)

        def is_dropped() -> bool:
            assert busy.ask("PING") == b"+PONG"
            with contextlib.suppress(TimeoutError):
                return idle.socket.recv(1) == b""
            return False

        eventually(is_dropped)
        midway.to_the_end()
        # As with the engine, who waits for something is not idle.
        assert busy.ask("PUBLISH", "news", "hello") == b":1"
        subscriber.until(b"hello\r\n")
        assert busy.ask("RPUSH", "list", 1) == b":1"
        blocked.until(b"$1\r\n1\r\n")
