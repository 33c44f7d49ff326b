"""Looking instances up for their names, without asking the records again and again.

What was found is good for `REMEMBER_SECONDS`: long enough that a storm of questions is a few looks, short enough
that a failover shows at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from cachestead.domain.instances import InstanceId
from cachestead.domain.names import NamedInstance
from cachestead.store.database import Database
from cachestead.store.names import find_named_instance

REMEMBER_SECONDS = 0.5
_LOOK_SECONDS = 2.0
_AT_ONCE = 4


@dataclass(frozen=True)
class _Look:
    at: float
    found: NamedInstance | None


class Directory:
    """The instances by id, as the records have them or had them a moment ago."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._looks = asyncio.Semaphore(_AT_ONCE)
        self._known: dict[InstanceId, _Look] = {}
        """What was found, the oldest first."""

    async def find(self, instance: InstanceId) -> NamedInstance | None:
        """The instance, or None if there is none. Raises `TimeoutError` if the records do not answer."""
        if known := self._recall(instance):
            return known.found
        async with asyncio.timeout(_LOOK_SECONDS), self._looks:
            # Whoever asked the same while we waited has looked for us.
            if known := self._recall(instance):
                return known.found
            began = self._clock()
            async with self._database.reading() as tx:
                found = await find_named_instance(tx, instance)
        self._forget_old()
        self._known.pop(instance, None)
        self._known[instance] = _Look(began, found)
        return found

    def _recall(self, instance: InstanceId) -> _Look | None:
        known = self._known.get(instance)
        return known if known and self._is_fresh(known) else None

    def _forget_old(self) -> None:
        # From the front only: names nobody asks for again must not pile up, one or two too many do no harm.
        while self._known and not self._is_fresh(self._known[oldest := next(iter(self._known))]):
            del self._known[oldest]

    def _is_fresh(self, look: _Look) -> bool:
        return self._clock() - look.at <= REMEMBER_SECONDS
