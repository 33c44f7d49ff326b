"""Requests however they arrive, and what is no request: the proxy answers as the engine behind it does."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from proxied import Proxied
from real_engines import USERS
from wires import Wire, request, wire_to

from cachestead.proxy.configuration import Address

REQUESTS = {
    "one": request("PING"),
    "values with line ends": request("SET", "{a}1", b"\r\n$5\r\n\0*") + request("GET", "{a}1"),
    "an empty value": request("SET", "", "") + request("GET", ""),
    "keys of many slots": request("MSET", *range(60)) + request("MGET", *range(30)) + request("DEL", *range(30)),
    "a transaction": request("MULTI") + request("SET", "{a}1", 1) + request("INCR", "{a}1") + request("EXEC"),
    "names in any case": request("sEt", "a", 1) + request("gEt", "a") + request("pInG", "x"),
    "an error between": request("SET", "a", "x") + request("INCR", "a") + request("GET", "a"),
    "inline": b"SET a 1\r\nGET a\nPING\r\n\r\n  \r\n",
    "inline with quotes": b"""SET "a b" 'c d'\r\nGET "a\\x20b"\r\nECHO "\\"\\n"\r\n""",
    "inline and not": b"PING\r\n" + request("SET", "a", "b") + b"GET a\r\n",
    "nothing between": b"*0\r\n" + request("PING") + b"*-1\r\n" + request("ECHO", "x"),
    "names of every length": b"".join(request("ECHO", "x" * size) for size in range(300)),
}
BROKEN = {
    "no bulk": b"*1\r\n+PING\r\n",
    "no number of arguments": b"*x\r\n",
    "too many arguments": b"*2147483648\r\n",
    "a sign": b"*+1\r\n$4\r\nPING\r\n",
    "a sign before a length": request("GET", "a") + b"*2\r\n$3\r\nGET\r\n$+1\r\na\r\n",
    "a space before a length": request("GET", "a") + b"*2\r\n$3\r\nGET\r\n$ 1\r\na\r\n",
    "a line between digits": request("GET", "a") + b"*2\r\n$3\r\nGET\r\n$1_0\r\naaaaaaaaaa\r\n",
    "a zero before a length": request("GET", "a") + b"*2\r\n$3\r\nGET\r\n$01\r\na\r\n",
    "a zero before the name's length": request("GET", "a") + b"*2\r\n$03\r\nGET\r\n$1\r\na\r\n",
    "a zero before the number of arguments": request("GET", "a") + b"*02\r\n$3\r\nGET\r\n$1\r\na\r\n",
    "a zero less than nothing": b"*2\r\n$3\r\nGET\r\n$-0\r\n\r\n",
    "a space": b"*1 \r\n$4\r\nPING\r\n",
    "no length": b"*1\r\n$x\r\n",
    "a negative length": b"*2\r\n$3\r\nGET\r\n$-1\r\n",
    "a length that is too big": b"*2\r\n$3\r\nGET\r\n$536870913\r\n",
    "an endless number of arguments": b"*" + b"1" * 70_000,
    "an endless length": b"*1\r\n$" + b"1" * 70_000,
    "an endless line": b"x" * 70_000,
    "quotes that stay open": b'GET "a\r\n',
    "quotes that end in a word": b'GET "a"b\r\n',
}
REFUSED = {
    "unknown": request("NOSUCH", "a", "b\r\nc"),
    "unknown without arguments": request("NOSUCH"),
    "unknown and long": request("X" * 300, "y" * 300),
    "unknown with zero bytes": request("NO\0SUCH", "a\0b", "c") + request("CONFIG", "NO\0SUCH"),
    "too few arguments": request("GET") + request("SET", "a") + request("MGET") + request("MSET", "a"),
    "too many arguments": request("GET", "a", "b") + request("DBSIZE", "x") + request("EXEC", "x"),
    "an odd number": request("MSET", "a", 1, "b"),
    "an unknown subcommand": request("CONFIG", "NOSUCH") + request("SCRIPT", "NOSUCH"),
    "no transaction": request("EXEC") + request("DISCARD"),
    "a transaction in another": request("MULTI") + request("MULTI") + request("DISCARD"),
    "a wrong command in a transaction": request("MULTI") + request("NOSUCH") + request("EXEC"),
    "a wrong option": request("SET", "a", 1, "XX", "NX") + request("EXPIRE", "a", "x"),
    "a wrong type": request("LPUSH", "{a}list", 1) + request("GET", "{a}list") + request("INCR", "{a}list"),
    "an unknown database": request("SELECT", 9999) + request("SELECT", "x"),
    "a script that fails": request("EVAL", "return redis.call('INCR', KEYS[1])", 1, "{a}list"),
    "a wrong number of keys": request("EVAL", "return 1", "x", "a") + request("EVAL", "return 1", 5, "a"),
}


@pytest.fixture
def engine(proxied: Proxied) -> Address:
    """An engine without cluster or proxy."""
    return proxied.start_engine()


@contextmanager
def logged_in(engine: Address) -> Iterator[Wire]:
    """A connection to an engine that is empty."""
    with wire_to(engine) as wire:
        assert wire.ask("AUTH", USERS.tenant_password) == b"+OK"
        assert wire.ask("FLUSHALL") == b"+OK"
        yield wire


@pytest.fixture
def answer_of_the_engine(engine: Address) -> Callable[[bytes], bytes]:
    """What it says to some bytes."""

    def ask(data: bytes) -> bytes:
        with logged_in(engine) as wire:
            return _answers(wire, data)

    return ask


def _answers(wire: Wire, data: bytes, pieces: int = 1) -> bytes:
    """Everything that is answered, up to a marker or to the end."""
    size = max(1, -(-len(data) // pieces))
    for start in range(0, len(data), size):
        wire.send(data[start : start + size])
    wire.send(request("ECHO", "the end"))
    return wire.until(b"the end\r\n")


@pytest.mark.parametrize("data", REQUESTS.values(), ids=REQUESTS)
def test_requests_are_whole_however_they_come(proxied: Proxied, answer_of_the_engine, data: bytes):
    expected = answer_of_the_engine(data)
    assert expected.endswith(b"the end\r\n")
    with wire_to(proxied.endpoint) as wire:
        assert _answers(wire, data) == expected, "in one piece"
        wire.ask("DEL", "{a}list")
        assert _answers(wire, data, min(len(data), 3000)) == expected, "byte by byte"
        for seed in range(5):
            chance = random.Random(seed)
            assert _answers(wire, data, chance.randrange(2, 9)) == expected, f"in pieces, {seed=}"


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_what_is_no_request_ends_the_connection(proxied: Proxied, engine: Address, data: bytes):
    with logged_in(engine) as wire:
        wire.send(request("PING") + data)
        expected = wire.to_the_end()
    with wire_to(proxied.endpoint) as wire:
        wire.send(request("PING") + data)
        assert wire.to_the_end() == expected
    with wire_to(proxied.endpoint) as wire:
        assert wire.ask("PING") == b"+PONG"


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_refusals_are_the_engines_own(proxied: Proxied, answer_of_the_engine, data: bytes):
    expected = answer_of_the_engine(data)
    with wire_to(proxied.endpoint) as wire:
        assert _answers(wire, data) == expected


def test_ten_thousand_requests_at_once(proxied: Proxied):
    """The client sends everything before it reads anything, as far as buffers allow."""
    count = 20_000
    data = b"".join(request("SET", f"key-{n}", n) + request("GET", f"key-{n}") for n in range(count))
    with wire_to(proxied.endpoint) as wire:
        sender = threading.Thread(target=wire.send, args=(data,))
        sender.start()
        for number in range(count):
            text = str(number).encode()
            expected = b"+OK\r\n$%d\r\n%b\r\n" % (len(text), text)
            assert wire.exactly(len(expected)) == expected, number
        sender.join(30)


def test_answers_of_other_shards_do_not_overtake(proxied: Proxied):
    """A slow script on one shard holds back the answers behind it, and only of its own connection."""
    slow = "local n = 0 for i = 1, 3000000 do n = n + i end return 'slow'"
    with wire_to(proxied.endpoint) as wire:
        for _ in range(5):
            wire.send(request("EVAL", slow, 1, "{a}") + b"".join(request("ECHO", n) for n in range(50)))
            wire.send(b"".join(request("INCR", f"counter-{n}") for n in range(50)))
        for number in range(5):
            assert wire.exactly(10) == b"$4\r\nslow\r\n"
            for n in range(50):
                assert wire.line() == b"$%d" % len(str(n))
                assert wire.line() == b"%d" % n
            for _ in range(50):
                assert wire.line() == b":%d" % (number + 1)


@pytest.mark.parametrize("name", ["a\nb", "x user=nobody\nid=9 flags=M", "y" * 5000, "gibt\0s", "\x80"], ids=ascii)
def test_a_client_that_names_no_command_is_listed_as_one_that_asked_nothing(proxied: Proxied, name: str):
    with wire_to(proxied.endpoint) as wire, proxied.proxies[-1].admin() as admin:
        wire.ask(name)
        peer = "{}:{}".format(*wire.socket.getsockname())
        assert [line["cmd"] for line in admin.client_list() if line["addr"] == peer] == ["NULL"]
        wire.ask("PING")
        assert [line["cmd"] for line in admin.client_list() if line["addr"] == peer] == ["ping"]
