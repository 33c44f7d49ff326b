"""A reconciler: a pass over everything, again and again, that can be seen and stopped.

Passes take no arguments: a nudge only makes the next one come sooner. A pass that fails is logged and tried again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

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
    """Runs a pass every `seconds` (or after what `seconds` says each time), or at once when nudged."""

    def __init__(
        self, name: str, act: Callable[[], Awaitable[None]], seconds: float | Callable[[], float]
    ) -> None:
        self.status = LoopStatus(name)
        self._act = act
        self._pause = seconds if callable(seconds) else lambda: seconds
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
                async with asyncio.timeout(self._pause()):
                    await self._nudged.wait()
            except TimeoutError:
                continue


class LoopFigures(Collector):
    """How the reconcilers are doing, for whoever collects figures of the service."""

    def __init__(self, loops: Sequence[Loop]) -> None:
        self._loops = loops

    def collect(self) -> Iterator[Metric]:
        """The figures now."""
        label = ["reconciler"]
        passes = CounterMetricFamily("cachestead_reconciler_passes", "Passes that ended.", labels=label)
        failures = CounterMetricFamily("cachestead_reconciler_failures", "Passes that failed.", labels=label)
        seconds = GaugeMetricFamily("cachestead_reconciler_last_seconds", "Time of the last pass.", labels=label)
        for status in (loop.status for loop in self._loops):
            passes.add_metric([status.name], status.passes)
            failures.add_metric([status.name], status.failures)
            seconds.add_metric([status.name], status.last_seconds)
        yield from (passes, failures, seconds)
