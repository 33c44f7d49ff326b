"""What to do about an instance whose nodes were seen like this. Pure: a snapshot in, a plan out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cachestead.domain.instances import Instance, Role


@dataclass(frozen=True)
class NodeSeen:
    """One node at the moment of looking."""

    running: bool
    role: Role | None = None
    """What the engine says; None if it did not answer."""


@dataclass(frozen=True)
class Healing:
    """What is to be done, in this order."""

    master: str
    """Id of the node that is, or shall be, master."""
    take_over: bool = False
    """The master is gone and another node can take its place: ask for a failover first."""
    start: tuple[str, ...] = ()
    """Nodes to start, the master first if it is among them."""
    serving: bool = True
    """Whether the instance serves clients as it is."""


def plan_healing(instance: Instance, seen: Mapping[str, NodeSeen], watched: str | None) -> Healing:
    """The plan for an instance that no workflow holds. `watched` is the master by the Sentinels, if they know one.

    A node becomes master only by a Sentinel's word, and knows it before the Sentinels say so: where just one node
    is master, that is the one. Between two, and where none answers, the Sentinels' word counts, and at last the
    record.
    """
    master = _own_word(instance, seen) or watched or _recorded(instance)
    down = [node.id for node in instance.nodes if not seen[node.id].running]
    serving = seen[master].role is Role.MASTER
    if master not in down:
        return Healing(master, start=tuple(down), serving=serving)
    heirs = [node.id for node in instance.nodes if seen[node.id].role is not None]
    if heirs:
        return Healing(master, take_over=True, start=tuple(down), serving=False)
    return Healing(master, start=(master, *(one for one in down if one != master)), serving=False)


def _own_word(instance: Instance, seen: Mapping[str, NodeSeen]) -> str | None:
    masters = [node.id for node in instance.nodes if seen[node.id].role is Role.MASTER]
    return masters[0] if len(masters) == 1 else None


def _recorded(instance: Instance) -> str:
    return next(node.id for node in instance.nodes if node.role is Role.MASTER)
