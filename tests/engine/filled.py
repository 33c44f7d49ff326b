"""Nodes with every kind of data, and looks at whether another has the same."""

from __future__ import annotations

import time
from collections.abc import Sequence

import redis.asyncio as redis
from real_engines import ADMIN_SECRET, Machine

from cachestead.engine.acl import ADMIN
from cachestead.engine.catalogue import Engine
from cachestead.engine.connection import Client, address_of

LIBRARY = "#!lua name=mine\nredis.register_function('mine', function() return 7 end)"
_LOAD_FUNCTIONS = ("FUNCTION", "LOAD", LIBRARY)


def raw(machine: Machine, client: Client, database: int = 0) -> redis.Redis:
    """Our own client without a coding."""
    host, port = address_of(client)
    return machine._kept(redis.Redis(host=host, port=port, username=ADMIN, password=ADMIN_SECRET, db=database))


async def fill(client: redis.Redis | redis.RedisCluster) -> None:
    """Every type, small and large, with and without a deadline."""
    await client.set(b"\xff\x00\xfe binary", b"\xff" * 10)
    await client.set("text", "value", pxat=int(time.time() * 1000) + 3_600_123)
    await client.set("number", 42)
    await client.set("large", b"\x01\x02" * 3_000_000)
    await client.rpush("list", *range(1000))
    await client.sadd("few", "a", "b")
    await client.sadd("many", *(f"member-{n}" for n in range(2000)))
    await client.hset("fields", mapping={f"field-{n}": n for n in range(2000)})
    await client.hset("dated", "field", "value")
    await client.pexpireat("dated", int(time.time() * 1000) + 7_200_321)
    await client.zadd("scores", {f"member-{n}": n / 3 for n in range(2000)})
    await client.pfadd("uniques", *range(5000))
    await client.setbit("bits", 100_000, 1)
    await client.geoadd("places", (13.361389, 38.115556, "Palermo"))
    for number in range(300):
        await client.xadd("stream", {"number": number}, id=f"{number + 1}-1")
    await client.xgroup_create("stream", "readers", "5-1")
    await client.xreadgroup("readers", "one", {"stream": ">"}, count=10)
    await client.xack("stream", "readers", "7-1")


async def fill_node(machine: Machine, client: Client, databases: Sequence[int] = (0, 3)) -> None:
    """The same in several databases, and functions where the engine has them."""
    for number in databases:
        await fill(raw(machine, client, number))
    if has_functions(machine.engine):
        await client.execute_command(*_LOAD_FUNCTIONS)


def has_functions(engine: Engine) -> bool:
    return engine.compatible_version >= (7, 0, 0)


async def held(machine: Machine, client: Client) -> dict[int, dict[bytes, tuple[object, ...]]]:
    """All keys of all databases with their content, in an order of its own, and their deadlines (±2 ms)."""
    found = {}
    for name in await client.info("keyspace"):
        number = int(name.removeprefix("db"))
        reader = raw(machine, client, number)
        found[number] = {key: await _content(reader, key) for key in await reader.keys("*")}
    return found


async def _content(client: redis.Redis, key: bytes) -> tuple[object, ...]:
    kind = await client.type(key)
    content = {
        b"string": lambda: client.get(key),
        b"list": lambda: client.lrange(key, 0, -1),
        b"set": lambda: client.smembers(key),
        b"hash": lambda: client.hgetall(key),
        b"zset": lambda: client.zrange(key, 0, -1, withscores=True),
        b"stream": lambda: client.execute_command("XRANGE", key, "-", "+"),
    }[kind]
    groups = await client.execute_command("XPENDING", key, "readers") if kind == b"stream" else None
    left = await client.pttl(key)
    # Rounded, since older engines tell what is left only.
    ends = left if left < 0 else round(time.time() + left / 1000)
    return kind, await content(), repr(groups), ends


async def functions(machine: Machine, client: Client) -> object:
    """The libraries a node has; None of engines that know none."""
    return await client.execute_command("FUNCTION", "LIST") if has_functions(machine.engine) else None
