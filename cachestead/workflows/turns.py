"""Whose turn it is to act on an instance: a job's or the health reconciler's.

A job's claim is in the records (the transitional state). The reconciler may have read them just before, so a job
waits until nobody heals its instance, and the reconciler lets go of what it read before a job began.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """The turns of all instances, within this process."""

    def __init__(self) -> None:
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._proxy_locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.guarding = asyncio.Lock()
        """Held by who reads what is to be guarded, and guards it."""
        self._begun: dict[str, int] = {}
        self._count = 0

    def healing(self, instance_id: str) -> asyncio.Lock:
        """Held by who heals the instance."""
        return self._locks[instance_id]

    def healing_proxies(self, instance_id: str) -> asyncio.Lock:
        """Held by who starts or ends proxies of the instance: they do not wait for its nodes to be whole again."""
        return self._proxy_locks[instance_id]

    @asynccontextmanager
    async def beginning(self, instance_id: str) -> AsyncIterator[None]:
        """A job begins: nobody heals the instance now, nor later by what was read before."""
        async with self._locks[instance_id], self._proxy_locks[instance_id]:
            self._count += 1
            self._begun[instance_id] = self._count
            yield

    @property
    def moment(self) -> int:
        """Now, to be asked about later."""
        return self._count

    def has_begun_since(self, moment: int, instance_id: str) -> bool:
        """Whether a job began on the instance after the moment."""
        return self._begun.get(instance_id, 0) > moment
