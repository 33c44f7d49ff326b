"""The load of an instance, added up over its masters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cachestead.domain.sizes import MiB
from cachestead.engine.info import NodeFacts


@dataclass(frozen=True)
class InstanceLoad:
    """Figures of an instance. Counters run since its masters started."""

    keys: int
    used_memory: MiB
    input_kbps: float
    output_kbps: float
    cpu_seconds: float
    gets: int
    sets: int


def add_up(masters: Sequence[NodeFacts]) -> InstanceLoad:
    """The load of an instance whose masters were seen like this."""
    return InstanceLoad(
        keys=sum(one.keys for one in masters),
        used_memory=MiB(sum(one.used_memory for one in masters) // (1024 * 1024)),
        input_kbps=sum(one.input_kbps for one in masters),
        output_kbps=sum(one.output_kbps for one in masters),
        cpu_seconds=sum(one.cpu_seconds for one in masters),
        gets=sum(one.calls_of("get") for one in masters),
        sets=sum(one.calls_of("set") for one in masters),
    )
