"""Scripts that run for so long that a node answers nobody else."""

from __future__ import annotations

from enum import Enum, auto

from cachestead.engine.connection import Client, call
from cachestead.engine.errors import EngineRefused


class Ending(Enum):
    """What became of a script that was to end."""

    NOT_BUSY = auto()
    """There was none, or not for long enough."""
    ENDED = auto()
    STUCK = auto()
    """It has written, so the engine does not let go of it."""


async def end_busy_script(client: Client) -> Ending:
    """End the script, or the function, that the node has been busy with for longer than `lua-time-limit`."""
    if not await _is_busy(client):
        return Ending.NOT_BUSY
    for kill in ("SCRIPT KILL", "FUNCTION KILL"):
        try:
            await call(client, kill)
        except EngineRefused as refusal:
            if str(refusal).startswith("UNKILLABLE"):
                return Ending.STUCK
        else:
            return Ending.ENDED
    return Ending.NOT_BUSY


async def _is_busy(client: Client) -> bool:
    try:
        await call(client, "PING")
    except EngineRefused as refusal:
        return str(refusal).startswith("BUSY")
    return False
