"""A load generator such as memtier: AUTH, SELECT, then SETs and GETs in a ratio, pipelined, over many connections."""

from __future__ import annotations

import asyncio
import random

import pytest
from proxied import Proxied, hash_of
from wires import request

PASSWORD = "tenant-Passw0rd"
CONNECTIONS, BATCHES, DEPTH, SETS_IN = 40, 25, 32, 11
"""One SET for ten GETs."""


@pytest.mark.parametrize("login", [("AUTH", PASSWORD), ("AUTH", "default", PASSWORD)], ids=["password", "user"])
async def test_a_pipelined_load_is_answered_without_a_slip(proxied: Proxied, login: tuple[str, ...]):
    proxy = proxied.start_proxy(2, endpoint=proxied.other_endpoint, password_hash=hash_of(PASSWORD))
    at = proxy.configuration.endpoint

    async def load(number: int) -> None:
        reader, writer = await asyncio.open_connection(at.host, at.port)
        chance, known = random.Random(number), {}
        writer.write(request(*login) + request("SELECT", 0))
        assert await reader.readexactly(10) == b"+OK\r\n+OK\r\n"
        for _ in range(BATCHES):
            sent, expected = b"", b""
            for place in range(DEPTH):
                key = f"memtier-{number}-{chance.randrange(50)}"
                if place % SETS_IN == 0:
                    known[key] = chance.randbytes(chance.randrange(200))
                    sent += request("SET", key, known[key])
                    expected += b"+OK\r\n"
                else:
                    sent += request("GET", key)
                    value = known.get(key)
                    expected += b"$-1\r\n" if value is None else b"$%d\r\n%b\r\n" % (len(value), value)
            writer.write(sent)
            assert await reader.readexactly(len(expected)) == expected
        writer.close()
        await writer.wait_closed()

    await asyncio.wait_for(asyncio.gather(*(load(number) for number in range(CONNECTIONS))), 90)


@pytest.mark.parametrize("protocol", [2, 3])
async def test_a_client_says_hello_first(proxied: Proxied, protocol: int):
    proxy = proxied.start_proxy(2, endpoint=proxied.other_endpoint, password_hash=hash_of(PASSWORD))
    at = proxy.configuration.endpoint
    reader, writer = await asyncio.open_connection(at.host, at.port)
    writer.write(request("HELLO", protocol, "AUTH", "default", PASSWORD) + request("ECHO", "marker"))
    said = await asyncio.wait_for(reader.readuntil(b"$6\r\nmarker\r\n"), 20)
    assert said.startswith(b"%" if protocol == 3 else b"*")
    assert b"proto\r\n:%d\r\n" % protocol in said
    writer.write(request("SET", "key", "value") + request("GET", "key"))
    assert await asyncio.wait_for(reader.readexactly(16), 20) == b"+OK\r\n$5\r\nvalue\r\n"
    writer.close()
