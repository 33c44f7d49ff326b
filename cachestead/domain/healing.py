"""What to do about an instance whose nodes were seen like this. Pure: a snapshot in, a plan out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from cachestead.domain.instances import Instance, Node, Role
from cachestead.domain.sizes import MiB


@dataclass(frozen=True)
class Truth:
    """An instance as it is now."""

    nodes: tuple[Node, ...]
    serving: bool
    used_memory: MiB | None = None
    """Of its masters; None if one did not answer."""


@dataclass(frozen=True)
class NodeSeen:
    """One node at the moment of looking."""

    running: bool
    role: Role | None = None
    """What the engine says; None if it did not answer."""
    follows: str | None = None
    """Id of the node it replicates from, as the engine says."""
    has_data: bool = False
    """Whether it has keys, or had its master's data since it was started."""
    offset: int = 0
    """How much it has taken of what its master sent."""


@dataclass(frozen=True)
class Healing:
    """What is to be done, in this order."""

    master: str
    """Id of the node that is, or shall be, master."""
    take_over: bool = False
    """The master is gone and another node can take its place: ask for a failover first."""
    promote: bool = False
    """The master still is a replica and is made master unasked: the lost one would come back empty."""
    heir: str | None = None
    """Id of the node to promote if nobody takes over; None: the lost master itself comes back."""
    start: tuple[str, ...] = ()
    """Nodes to start, the master first if it is among them."""
    serving: bool = True
    """Whether the instance serves clients as it is."""

    def without_heir(self) -> Healing:
        """The same where nobody took over: its heir is promoted, or the lost master itself comes back."""
        if self.heir is not None:
            return replace(self, master=self.heir, take_over=False, promote=True, heir=None)
        others = (node for node in self.start if node != self.master)
        return replace(self, take_over=False, start=(self.master, *others))


def plan_healing(
    instance: Instance, seen: Mapping[str, NodeSeen], watched: str | None, *, keeps_file: bool = True
) -> Healing:
    """The plan for an instance that no workflow holds. `watched` is the master by the Sentinels, if they know one.

    A node becomes master only by a Sentinel's word, and knows it before the Sentinels say so: where just one node
    is master, that is the one. Between two, and where none answers, the Sentinels' word counts, and at last the
    record; but a node that says it follows another is not the master, whoever holds it for that.

    The Sentinels replace only whom they hold for the master. If they are behind, the lost one itself comes back
    sooner than they would find out. Not if its nodes keep no file: it would be empty, and whoever follows it
    would be so too. Then a node that has data is promoted, and one that may have some and is silent is waited for.
    """
    master = _own_word(instance, seen) or _last_master(instance, seen, watched)
    down = [node.id for node in instance.nodes if not seen[node.id].running]
    serving = seen[master].role is Role.MASTER
    if master not in down:
        return Healing(master, start=tuple(down), serving=serving)
    heirs = [node.id for node in instance.nodes if seen[node.id].role is not None]
    heir = None if keeps_file else _best_heir(instance, seen)
    if heirs and watched == master:
        return Healing(master, take_over=True, heir=heir, start=tuple(down), serving=False)
    if heir is not None:
        return Healing(heir, promote=True, start=tuple(down), serving=False)
    if not keeps_file and any(one.running and one.role is None for one in seen.values()):
        return Healing(master, serving=False)
    return Healing(master, start=(master, *(one for one in down if one != master)), serving=False)


def _best_heir(instance: Instance, seen: Mapping[str, NodeSeen]) -> str | None:
    """Of those that have data the one that has most; one that shall not be master only if there is no other."""
    fit = [node for node in instance.nodes if seen[node.id].has_data]
    best = min(fit, key=lambda node: (node.priority == 0, -seen[node.id].offset, node.priority), default=None)
    return best.id if best else None


def _own_word(instance: Instance, seen: Mapping[str, NodeSeen]) -> str | None:
    masters = [node.id for node in instance.nodes if seen[node.id].role is Role.MASTER]
    return masters[0] if len(masters) == 1 else None


def _last_master(instance: Instance, seen: Mapping[str, NodeSeen], watched: str | None) -> str:
    named = watched or _recorded(instance)
    follows = seen[named].follows
    return follows if follows and seen[follows].role is not Role.REPLICA else named


def _recorded(instance: Instance) -> str:
    return next(node.id for node in instance.nodes if node.role is Role.MASTER)
