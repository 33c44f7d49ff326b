"""Waiting for something to become true of nodes, within a bound.

A look says what is still missing, so that a wait that fails says it too. The bound holds between looks; a look
ends by itself because every client gives up on an answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from cachestead.engine.errors import EngineError, EngineRefused, EngineUnreachable

POLL_SECONDS = 0.02

Look = Callable[[], Awaitable[str | None]]
"""What is missing, or None when all is there."""


async def until(look: Look, seconds: float, late: type[EngineError], *, pause: float = POLL_SECONDS) -> None:
    """The look finds nothing missing; raises `late` with what was. A node that does not answer is asked again."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    while True:
        try:
            missing = await look()
        except (EngineUnreachable, EngineRefused) as error:
            missing = str(error)
        if missing is None:
            return
        if clock() >= deadline:
            raise late(f"not within {seconds:g} s: {missing}")
        await asyncio.sleep(pause)
