"""Waiting for something to become true of nodes, within a bound.

A look says what is still missing, so that a wait that fails says it too. The bound holds between looks; a look
ends by itself because every client gives up on an answer.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

from cachestead.engine.errors import EngineError, EngineRefused, EngineUnreachable

POLL_SECONDS = 0.02

Look = Callable[[], Awaitable[str | None]]
"""What is missing, or None when all is there."""


async def until(
    look: Look,
    seconds: float,
    late: type[EngineError],
    *,
    pause: float = POLL_SECONDS,
    lost_seconds: float = math.inf,
) -> None:
    """The look finds nothing missing; raises `late` with what was.

    A node that refuses or does not answer is asked again, but `EngineUnreachable` is raised once that has gone on
    for `lost_seconds`.
    """
    clock = asyncio.get_running_loop().time
    deadline, answered = clock() + seconds, clock()
    while True:
        try:
            missing = await look()
            answered = clock()
        except EngineRefused as refusal:
            missing = str(refusal)
        except EngineUnreachable as lost:
            if clock() - answered > lost_seconds:
                raise
            missing = str(lost)
        if missing is None:
            return
        if clock() >= deadline:
            raise late(f"not within {seconds:g} s: {missing}")
        await asyncio.sleep(pause)
