"""Seeing a process end at once, ours or adopted.

A pidfd becomes readable when its process ends, whoever started it, so the event loop tells us without polling.
Where the system has none (not Linux), a task looks often instead. The callback is called at most once, from the
loop, and never after `close`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from cachestead.runtime.process.processes import ProcessIdentity, is_alive, reap

POLL_SECONDS = 0.05


class ExitWatch:
    """Watches one process until it ends or the watch is closed."""

    def __init__(self, process: ProcessIdentity, ended: Callable[[ProcessIdentity], None]) -> None:
        self.process = process
        self._ended = ended
        self._open = True
        self._loop = asyncio.get_running_loop()
        self._descriptor = _descriptor_of(process)
        if self._descriptor is not None:
            self._loop.add_reader(self._descriptor, self._finish)
        self._task = None if self._descriptor is not None else self._loop.create_task(self._poll())

    def close(self) -> None:
        """Watch no longer."""
        self._open = False
        if self._descriptor is not None:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
        if self._task is not None:
            self._task.cancel()

    def _finish(self) -> None:
        if self._open:
            self.close()
            reap(self.process.pid)
            self._ended(self.process)

    async def _poll(self) -> None:
        while is_alive(self.process):  # noqa: ASYNC110 - nobody sets an event when a stranger ends
            await asyncio.sleep(POLL_SECONDS)
        self._task = None
        self._finish()


def _descriptor_of(process: ProcessIdentity) -> int | None:
    """A pidfd of this very process; None if it is gone or the system has none."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    if is_alive(process):
        return descriptor
    # It ended just now, and the pid may be another's already.
    os.close(descriptor)
    return None
