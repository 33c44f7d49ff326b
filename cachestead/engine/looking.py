"""Looking at a node or a proxy for monitoring: one INFO, and what INFO does not tell.

Once a minute, so a look may take a few commands; but none that grows with clients or keys, unless INFO says that
there is something to find.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from cachestead.domain.looks import Look, SlowCommand
from cachestead.engine.connection import Client, answering, call
from cachestead.engine.errors import EngineRefused

_SLOW_AT_MOST = 128
_SERVING = "ok"
_DATABASE = re.compile(r"db\d+")
"""Names of a database's line; newer engines have others that begin so."""


async def look_at_node(client: Client, before: Look | None) -> Look:
    """A data node now; raises `EngineUnreachable`."""
    info = await _info(client)
    numbers = read_numbers(info)
    # The engine says how much output waited lately. Only where some did is it worth asking for all clients.
    if numbers.get("client_recent_max_output_buffer"):
        numbers["client_longest_output_list"] = await _longest_output_list(client)
    else:
        numbers.setdefault("client_longest_output_list", 0.0)
    is_well = not info.get("loading")
    return await _look(client, before, info, numbers, is_well=is_well)


async def look_at_proxy(client: Client, before: Look | None) -> Look:
    """A proxy now; raises `EngineUnreachable`."""
    info = await _info(client)
    is_well = str(await call(client, "PROXY", "STATE")) == _SERVING
    return await _look(client, before, info, read_numbers(info), is_well=is_well)


def read_numbers(info: Mapping[str, Any]) -> dict[str, float]:
    """The numbers in an answer to INFO, with the keys of all databases together."""
    numbers = {name: float(value) for name, value in info.items() if isinstance(value, int | float)}
    databases = [value for name, value in info.items() if _DATABASE.fullmatch(name)]
    for name in ("keys", "expires"):
        numbers[name] = float(sum(int(one[name]) for one in databases))
    return numbers


async def observe_processor_seconds(client: Client) -> float:
    """Processor time of the process since its start, as cheaply as can be.

    Raises `EngineUnreachable`, and `LookupError` where it is not told (by proxies of an earlier release).
    """
    async with answering(client):
        info: dict[str, Any] = await client.info("cpu")
    return float(info["used_cpu_sys"]) + float(info["used_cpu_user"])


async def _look(
    client: Client, before: Look | None, info: Mapping[str, Any], numbers: Mapping[str, float], *, is_well: bool
) -> Look:
    at = asyncio.get_running_loop().time()
    run = str(info.get("run_id") or info.get("process_id", ""))
    known = before.slow_id if before and before.run == run else -1
    slow_id, slow = await _slow_log(client, known)
    calls = {
        name.removeprefix("cmdstat_"): value
        for name, value in info.items()
        if name.startswith("cmdstat_") and isinstance(value, dict)
    }
    return Look(
        at=at,
        run=run,
        is_master=info.get("role", "master") == "master",
        is_well=is_well,
        numbers=numbers,
        calls={name: int(value["calls"]) for name, value in calls.items()},
        call_microseconds=sum(int(value["usec"]) for value in calls.values()),
        durations=await _durations(client),
        slow_id=slow_id,
        slow=slow,
        replica_offsets=_replica_offsets(info),
    )


async def _info(client: Client) -> dict[str, Any]:
    async with answering(client):
        answer: dict[str, Any] = await client.info("everything")
    return answer


def _replica_offsets(info: Mapping[str, Any]) -> dict[str, int]:
    links = [info.get(f"slave{n}") for n in range(int(info.get("connected_slaves", 0)))]
    return {str(link["ip"]): int(link.get("offset", 0)) for link in links if isinstance(link, dict)}


async def _longest_output_list(client: Client) -> float:
    async with answering(client):
        clients = await client.client_list()
    return max((float(one.get("oll", 0)) for one in clients), default=0.0)


async def _slow_log(client: Client, known: int) -> tuple[int, tuple[SlowCommand, ...]]:
    """The newest entry's id, and the entries after the one that is known."""
    newest = await _slow_entries(client, 1)
    last = int(newest[0]["id"]) if newest else known
    if last == known:
        return last, ()
    entries = await _slow_entries(client, min(last - known, _SLOW_AT_MOST))
    return last, tuple(
        SlowCommand(_name(one["command"]), int(one["duration"])) for one in entries if int(one["id"]) > known
    )


async def _slow_entries(client: Client, count: int) -> list[dict[str, Any]]:
    async with answering(client):
        return list(await client.slowlog_get(count))


def _name(command: str | bytes) -> str:
    text = command.decode(errors="replace") if isinstance(command, bytes) else command
    return text.split(" ", 1)[0].lower()


async def _durations(client: Client) -> dict[int, int]:
    """Calls by the upper edge of how long they took; nothing where the engine does not keep count."""
    try:
        answer = await call(client, "LATENCY", "HISTOGRAM")
    except EngineRefused:
        return {}
    found: dict[int, int] = {}
    for one in answer[1::2]:
        edges = _pairs(_fields(one)["histogram_usec"])
        counts = [(0, 0), *((int(edge), int(count)) for edge, count in edges)]
        for (_, below), (edge, upto) in pairwise(counts):
            found[edge] = found.get(edge, 0) + upto - below
    return found


def _fields(answer: Sequence[Any]) -> dict[str, Any]:
    return {str(name): value for name, value in _pairs(answer)}


def _pairs(answer: Sequence[Any]) -> list[tuple[Any, Any]]:
    return list(zip(answer[::2], answer[1::2], strict=True))
