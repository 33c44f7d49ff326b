"""A reconciler: a pass over everything, again and again, that can be seen and stopped.

Passes take no arguments: a nudge only makes the next one come sooner. A pass that fails is logged and tried again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

log = structlog.get_logger()


@dataclass
class LoopStatus:
    """How a reconciler is doing."""

    name: str
    passes: int = 0
    failures: int = 0
    last_seconds: float = 0.0
    last_error: str | None = None


class Loop:
    """Runs a pass every `seconds`, or at once when nudged."""

    def __init__(self, name: str, act: Callable[[], Awaitable[None]], seconds: float) -> None:
        self.status = LoopStatus(name)
        self._act = act
        self._seconds = seconds
        self._nudged = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name=self.status.name)

    def nudge(self) -> None:
        """Do not wait for the timer."""
        self._nudged.set()

    async def stop(self) -> None:
        """End, in the middle of a pass if need be: passes may be repeated."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            self._nudged.clear()
            began = time.monotonic()
            try:
                await self._act()
                self.status.last_error = None
            except Exception as error:
                self.status.failures += 1
                self.status.last_error = str(error)
                log.exception("reconciler pass failed", reconciler=self.status.name)
            self.status.passes += 1
            self.status.last_seconds = time.monotonic() - began
            try:
                async with asyncio.timeout(self._seconds):
                    await self._nudged.wait()
            except TimeoutError:
                continue
