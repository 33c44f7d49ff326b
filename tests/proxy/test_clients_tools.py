"""Redis' own tools: redis-cli and redis-benchmark, as people run them."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import termios
import time

import pytest
import redis
from proxied import Proxied
from wires import request, wire_to

CLI, BENCHMARK = shutil.which("redis-cli"), shutil.which("redis-benchmark")
pytestmark = pytest.mark.skipif(not CLI or not BENCHMARK, reason="redis-tools is not installed")
TESTS = (
    "PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "LPUSH", "RPUSH", "LPOP", "RPOP", "SADD", "HSET", "SPOP",
    "ZADD", "ZPOPMIN", "LRANGE_100", "LRANGE_300", "LRANGE_500", "LRANGE_600", "MSET",
)  # fmt: skip


def run(proxied: Proxied, program: str | None, *words: str, given: bytes = b"") -> str:
    """What it printed; it has ended without an error."""
    at = ["-h", proxied.endpoint.host, "-p", str(proxied.endpoint.port)]
    done = subprocess.run([str(program), *at, *words], input=given, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout.decode()


@pytest.mark.parametrize("depth", [1, 16, 200])
def test_the_default_benchmarks_run(proxied: Proxied, depth: int):
    said = run(proxied, BENCHMARK, "-q", "-n", "2000", "-r", "1000", "-P", str(depth))
    assert [name for name in TESTS if not re.search(rf"{name}\b[^\n]*requests per second", said)] == []
    assert "rror" not in said


def test_the_benchmarks_run_in_resp3(proxied: Proxied):
    said = run(proxied, BENCHMARK, "-3", "-q", "-n", "1000", "-P", "4", "-t", "set,get,lpush,lrange_100,mset")
    assert said.count("requests per second") == 6  # LRANGE fills its list first
    assert "rror" not in said


def test_answers_are_printed_as_by_a_server(proxied: Proxied, client: redis.Redis):
    client.hset("hash", mapping={"a": 1})
    assert run(proxied, CLI, "set", "key", "value") == "OK\n"
    assert run(proxied, CLI, "--no-raw", "get", "key") == '"value"\n'
    assert run(proxied, CLI, "--no-raw", "mget", "key", "absent") == '1) "value"\n2) (nil)\n'
    assert run(proxied, CLI, "--no-raw", "-3", "hgetall", "hash") == '1# "a" => "1"\n'
    assert "(error) ERR wrong number of arguments for 'get' command" in run(proxied, CLI, "--no-raw", "get")
    assert run(proxied, CLI, given=b"multi\nset {a}1 2\nget {a}1\nexec\n") == "OK\nQUEUED\nQUEUED\nOK\n2\n"
    assert "redis_version:" in run(proxied, CLI, "info", "server")


def test_a_person_types(proxied: Proxied):
    """On a terminal it first asks what commands there are."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 40, 120, 0, 0))
    endpoint = proxied.endpoint
    words = [str(CLI), "-h", endpoint.host, "-p", str(endpoint.port)]
    environment = os.environ | {"TERM": "xterm", "REDISCLI_HISTFILE": "/dev/null"}
    process = subprocess.Popen(words, stdin=terminal, stdout=terminal, stderr=terminal, env=environment)
    os.close(terminal)
    try:
        prompt, person = f"{endpoint}>", Terminal(controller)
        person.read_until(prompt)
        for typed, answer in (("set typed 7", "\nOK"), ("incr typed", "\n(integer) 8"), ("help get", "summary:")):
            person.type(typed)
            person.read_until(answer)
            person.read_until(prompt)
        person.type("exit")
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(controller)


def test_documentation_of_commands_is_there(proxied: Proxied):
    with wire_to(proxied.endpoint) as wire:
        assert int(wire.ask("COMMAND", "COUNT")[1:]) > 200
        assert wire.ask("COMMAND", "INFO", "get", "absent") == b"*2"
        assert wire.until(b"$3\r\nget\r\n")
        wire.send(request("ECHO", "marker"))
        assert wire.until(b"marker\r\n").count(b"-1\r\n") == 1
        assert wire.ask("COMMAND", "DOCS", "get") == b"*2"
        assert b"summary" in wire.until(b"arguments")


@pytest.fixture
def filled(client: redis.Redis) -> redis.Redis:
    """300 small strings, and of each type one that is bigger."""
    client.mset({f"key:{number}": "x" * 10 for number in range(300)})
    client.set("string:big", "y" * 5000)
    client.rpush("list:big", *range(700))
    client.hset("hash:big", mapping={f"field-{number}": number for number in range(90)})
    client.zadd("zset:big", {f"member-{number}": number for number in range(80)})
    return client


def test_all_keys_are_scanned_once(proxied: Proxied, filled: redis.Redis):
    assert sorted(run(proxied, CLI, "--scan", "--pattern", "key:*").split()) == sorted(
        f"key:{number}" for number in range(300)
    )
    assert len(run(proxied, CLI, "--scan").split()) == 304


def test_big_keys_are_found(proxied: Proxied, filled: redis.Redis):
    said = run(proxied, CLI, "--bigkeys")
    assert "Sampled 304 keys in the keyspace!" in said
    for found in (
        "string found '\"string:big\"' has 5000 bytes",
        "list found '\"list:big\"' has 700 items",
        "hash found '\"hash:big\"' has 90 fields",
        "zset found '\"zset:big\"' has 80 members",
    ):
        assert found in said.replace("   ", " ").replace("  ", " ")


def test_memory_of_keys_is_measured(proxied: Proxied, filled: redis.Redis):
    assert "Sampled 304 keys in the keyspace!" in run(proxied, CLI, "--memkeys")


def test_masses_are_inserted(proxied: Proxied, client: redis.Redis):
    given = b"".join(request("SET", f"mass-{number}", number) for number in range(50_000))
    assert "errors: 0, replies: 50000" in run(proxied, CLI, "--pipe", given=given)
    assert client.dbsize() == 50_000
    assert client.get("mass-49999") == "49999"


def test_statistics_are_shown(proxied: Proxied, filled: redis.Redis):
    words = [str(CLI), "-h", proxied.endpoint.host, "-p", str(proxied.endpoint.port), "--stat", "-i", "0.05"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            lines = [process.stdout.readline() for _ in range(5)]
        finally:
            process.kill()
    assert lines[1].split()[:2] == ["keys", "mem"], lines
    assert lines[3].split()[0] == "304", lines


class Terminal:
    """What a program prints to somebody who sits before it."""

    def __init__(self, opened: int) -> None:
        self.opened, self.seen = opened, ""

    def type(self, line: str) -> None:
        os.write(self.opened, f"{line}\r".encode())

    def read_until(self, wanted: str) -> None:
        deadline = time.monotonic() + 20
        while wanted not in self.seen:
            ready, _, _ = select.select([self.opened], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"{wanted!r} did not come: {self.seen[-1000:]!r}"
            self.seen += os.read(self.opened, 65536).decode(errors="replace")
        self.seen = self.seen.partition(wanted)[2]
