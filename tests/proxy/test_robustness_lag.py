"""Replicas are always a little behind; who writes through a proxy reads through it what was written nevertheless."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis
from proxied import Proxied

Write = Callable[[redis.Redis, str], object]
SET = "return redis.call('SET', KEYS[1], ARGV[1])"
WRITES: dict[str, Write] = {
    "plain": lambda client, value: client.set("{a}key", value),
    "several keys": lambda client, value: client.mset({"{a}other": 1, "{a}key": value}),
    "a transaction": lambda client, value: client.pipeline().set("{a}key", value).execute(),
    "a script": lambda client, value: client.eval(SET, 1, "{a}key", value),
    "a large value": lambda client, value: client.set("{a}key", value + "x" * 1_500_000),
    "a rename": lambda client, value: (client.set("{a}from", value), client.rename("{a}from", "{a}key")),
    "all is new": lambda client, value: (client.flushall(), client.set("{a}key", value)),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_what_was_written_is_read(proxied: Proxied, client: redis.Redis, write: Write):
    with proxied.client() as other:
        for number in range(60):
            write(client, f"value-{number} ")
            assert (other.get("{a}key") or "").split()[:1] == [f"value-{number}"]
            assert (client.mget("{a}key", "{a}absent")[0] or "").split()[:1] == [f"value-{number}"]


def test_what_was_removed_is_gone(proxied: Proxied, client: redis.Redis):
    with proxied.client() as other:
        for _ in range(60):
            client.set("key", 1)
            client.delete("key")
            assert other.get("key") is None
            client.set("key", 1)
            client.flushdb()
            assert other.exists("key") == 0


def test_what_was_popped_by_waiting_is_gone(proxied: Proxied, client: redis.Redis):
    with proxied.client() as other:
        for number in range(60):
            client.rpush("list", number)
            assert client.blpop("list", 10) == ("list", str(number))
            assert other.llen("list") == 0
