"""What the machine has left to promise."""

from __future__ import annotations

from cachestead.domain.sizes import MiB
from cachestead.operations.service import Service


def free_memory(service: Service, promised: MiB) -> MiB:
    """Memory that new instances may be promised. Zones of one machine share it."""
    return MiB(max(0, service.memory - promised))
