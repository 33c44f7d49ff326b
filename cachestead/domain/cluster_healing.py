"""What to do about a native cluster whose nodes were seen like this. Pure: a snapshot in, a plan out.

The nodes' own word counts: who owns slots and who follows whom is the engine's record. Ours says which nodes there
are, which shard each belongs to, and who was master last where none of them can say so.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from cachestead.domain.instances import Instance
from cachestead.domain.shards import Shard, shards_of
from cachestead.domain.slots import SLOT_COUNT


@dataclass(frozen=True)
class MemberSeen:
    """One node at the moment of looking. What it says is its own view; defaults are those of a silent one."""

    running: bool
    answers: bool = False
    slots: int = 0
    """How many it owns."""
    epoch: int = 0
    """Of two that own the same slots the higher epoch wins, as soon as the other one hears of it."""
    serves: bool = False
    """Whether it answers clients: an owner that sees no majority of masters does not."""
    is_replica: bool = False
    follows: str | None = None
    """Id of the node it replicates from; None also where that one is no more, and another has its address."""
    in_step: bool = False
    """It is in touch with its master and has its data."""
    was_in_step: bool = False
    """It was, at some time since it was started; what it has is not from before."""
    kept_out: bool = False
    """It does not stand for election, though by the record it may."""

    @property
    def is_blank(self) -> bool:
        """Whether it has nothing: so a node comes that has lost its folder."""
        return self.answers and not self.slots and not self.is_replica


Seen = Mapping[str, MemberSeen]
Masters = Mapping[int, str]
"""Node ids by shard."""


@dataclass(frozen=True)
class ShardFailover:
    """A shard whose master is gone, and the replicas of which one shall take its place."""

    shard: int
    lost: str
    candidates: tuple[str, ...]
    without_vote: bool = False
    """The masters that are left are no majority, and cannot elect anybody; or nobody was elected."""
    anyone: bool = False
    """Also a replica that shall not be master: nobody else has the data."""


@dataclass(frozen=True)
class ClusterHealing:
    """What is to be done. Rebuilding needs everything else to be done first, and is planned only then."""

    masters: Masters
    """The node of each shard that is master, or was last."""
    failovers: tuple[ShardFailover, ...] = ()
    start: tuple[str, ...] = ()
    """Nodes to start, masters first."""
    rebuild: tuple[str, ...] = ()
    """Nodes that run and do not follow their shard's master."""
    admit: tuple[str, ...] = ()
    """Nodes that have caught up and may stand for election again."""
    lost: tuple[int, ...] = ()
    """Shards of which no node has any data."""
    serving: bool = True
    """Whether every slot is served."""

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is to be done."""
        return not (self.failovers or self.start or self.rebuild or self.admit)


def plan_cluster_healing(
    instance: Instance, seen: Seen, heirless: Collection[int] = (), *, keeps_file: bool = True
) -> ClusterHealing:
    """The plan for a cluster that no workflow holds. `heirless` are shards where nobody could take over.

    A lost master is not started before its replicas have had their chance: what was written last only they have.
    If nodes keep no file they have everything, and it is not started while one of them is there.
    """
    shards = shards_of(instance)
    masters = {shard.index: _master_of(shard, seen) for shard in shards}
    failovers = [
        ShardFailover(shard.index, masters[shard.index], candidates, again, anyone=again)
        for shard in shards
        if not ((again := shard.index in heirless) and keeps_file)
        and (candidates := _heirs(shard, masters[shard.index], seen))
    ]
    leaderless = {failover.lost for failover in failovers}
    if not keeps_file:
        leaderless |= {masters[shard.index] for shard in shards if _is_any_silent(shard, seen)}
    down = [node.id for node in instance.nodes if not seen[node.id].running and node.id not in leaderless]
    serving = sum(seen[master].slots for master in masters.values() if seen[master].serves) == SLOT_COUNT
    return ClusterHealing(
        masters=masters,
        failovers=_with_votes(failovers, masters, seen),
        start=tuple(sorted(down, key=lambda node: node not in masters.values())),
        rebuild=_rebuildable(shards, masters, seen),
        admit=tuple(node.id for node in instance.nodes if seen[node.id].kept_out and seen[node.id].in_step),
        lost=tuple(shard.index for shard in shards if not serving and _is_lost(shard, seen)),
        serving=serving,
    )


def _master_of(shard: Shard, seen: Seen) -> str:
    """The owner by its own word; else whom the others follow; else who was it last."""
    owners = [node.id for node in shard.nodes if seen[node.id].slots]
    if owners:
        return max(owners, key=lambda node: seen[node].epoch)
    own = {node.id for node in shard.nodes}
    followed = (seen[node.id].follows for node in shard.nodes)
    return next((one for one in followed if one in own and not seen[one].is_replica), None) or shard.master.id


def _heirs(shard: Shard, master: str, seen: Seen) -> tuple[str, ...]:
    """Replicas that can be asked to take the place of a master that is gone.

    One that was only just started has what it had when it ended. The lost master's own file is newer than that, so
    it counts only where that file is lost.
    """
    followed = any(seen[node.id].follows == master for node in shard.nodes)
    # One that runs and is followed has merely no slots, as a new shard has; that is nothing to heal.
    if not _is_gone(seen[master]) or (seen[master].running and followed):
        return ()
    replicas = [node.id for node in shard.nodes if seen[node.id].is_replica]
    return tuple(one for one in replicas if seen[one].was_in_step or seen[master].running)


def _is_gone(master: MemberSeen) -> bool:
    """Whether it is not the master that it was: it has ended, lost its folder, or follows one that has."""
    return not master.running or master.is_blank or master.is_replica


def _is_any_silent(shard: Shard, seen: Seen) -> bool:
    return any(seen[node.id].running and not seen[node.id].answers for node in shard.nodes)


def _is_lost(shard: Shard, seen: Seen) -> bool:
    return all(seen[node.id].is_blank for node in shard.nodes)


def _with_votes(failovers: Sequence[ShardFailover], masters: Masters, seen: Seen) -> tuple[ShardFailover, ...]:
    """As many without a vote as it takes until masters are a majority again; those that win may vote for the rest.

    A master that is only silent may still have a vote: its process is there.
    """
    voters = sum(not _is_gone(seen[master]) for master in masters.values())
    missing = max(0, len(masters) // 2 + 1 - voters)
    return tuple(
        replace(one, without_vote=one.without_vote or place < missing) for place, one in enumerate(failovers)
    )


def _rebuildable(shards: Sequence[Shard], masters: Masters, seen: Seen) -> tuple[str, ...]:
    """Only where everybody is there to be told."""
    if not all(one.answers for one in seen.values()) or not all(seen[one].slots for one in masters.values()):
        return ()
    return tuple(
        node.id
        for shard in shards
        for node in shard.nodes
        if not seen[node.id].slots and seen[node.id].follows != masters[shard.index]
    )
