"""Another master for a shard of a cluster: at once when one is lost, without losing a write when one is relieved.

Whoever sees a master's process end asks its best replica to stand for election now; the other masters vote, so two
nodes never own one slot, and where nobody asks the cluster does the same by itself after its node timeout. Which
replica is the best is decided on one look, apart from the asking.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from cachestead.domain.slots import Slots
from cachestead.engine.addresses import NodeAddress
from cachestead.engine.cluster import ClusterView, NodeId, Shard, greet, is_promotable, observe_cluster
from cachestead.engine.connection import Client, address_of, call
from cachestead.engine.errors import EngineError, FailoverFailed
from cachestead.engine.failover import Takeover
from cachestead.engine.info import observe_node
from cachestead.engine.polling import until

POLL_SECONDS = 0.005
KNOWN_SECONDS = 1.0
GONE_SECONDS = 0.5
"""A replica that has not answered for this long is lost too."""
ASK_AGAIN_SECONDS = 5.0
"""An engine gives up a planned switch after this long."""
LAST_PRIORITY = 1000
FAR_BEHIND = 1024 * 1024
"""Bytes of replication; a replica that lacks more than this has lost touch and comes after those that have not."""


@dataclass(frozen=True)
class Candidate:
    """A replica of the shard. Smaller priorities go first, 0 never."""

    client: Client
    priority: int = 100
    at_last: bool = False
    """It may, whatever its priority and its settings say: nobody else has the data."""


@dataclass(frozen=True)
class LostMaster:
    """A master that is gone for good or for now; if its process is only frozen, end it first."""

    node: NodeAddress
    candidates: Sequence[Candidate]
    """The other nodes of its shard."""
    voters: Sequence[Client]
    """Masters of the other shards."""


@dataclass(frozen=True)
class Standing:
    """A candidate as it was just seen."""

    node: NodeId
    promotable: bool
    """False also for a replica that has never had its master's data."""
    priority: int
    offset: int


def best_of(standings: Sequence[Standing]) -> Standing | None:
    """Who shall be master: of those that kept up the smallest priority, then the one that has most."""
    fit = [one for one in standings if one.promotable and one.priority > 0]
    furthest = max((one.offset for one in fit), default=0)
    return min(
        fit,
        key=lambda one: (one.offset < furthest - FAR_BEHIND, one.priority, -one.offset, one.node),
        default=None,
    )


async def fail_over(lost: LostMaster, seconds: float = 15.0, *, without_vote: bool = False) -> Takeover:
    """A replica owns the lost master's slots, by its own view and that of most masters.

    One that took over by itself meanwhile is fine. `without_vote` is for a cluster that lost most of its masters
    and nothing else: a node takes the slots unasked, and if the lost ones still live somewhere, their writes since
    are lost. Raises `FailoverFailed`; `EngineUnreachable` if the replica is lost too.
    """
    began = time.monotonic()
    seen = await _observe_candidates(lost)
    winner = _owner_among(seen) or _chosen(lost, seen)
    if not winner.view.myself.is_master:
        with contextlib.suppress(FailoverFailed):
            await until(lambda: _not_known_as_replica(winner.client, lost.voters), KNOWN_SECONDS, FailoverFailed)
            await until(lambda: _claims_of_others(winner.client, lost.voters), KNOWN_SECONDS, FailoverFailed)
        await call(winner.client, "CLUSTER", "FAILOVER", "TAKEOVER" if without_vote else "FORCE")
    voters = () if without_vote else lost.voters
    await until(
        lambda: _not_master_yet(winner, voters),
        seconds,
        FailoverFailed,
        pause=POLL_SECONDS,
        lost_seconds=GONE_SECONDS,
    )
    return Takeover(NodeAddress(*address_of(winner.client)), time.monotonic() - began)


async def switch_over(shard: Shard, replica: Client, voters: Sequence[Client], seconds: float = 30.0) -> Takeover:
    """The replica is master in its living master's place; no acknowledged write is lost.

    The master holds its clients' writes until the replica has everything, some milliseconds. A replica that is
    master already is fine. Raises `FailoverFailed`; then everything is as it was.
    """
    view = await observe_cluster(replica)
    chosen = _Seen(replica, view, Standing(view.me, promotable=True, priority=1, offset=0))
    if not view.myself.is_master:
        await until(lambda: _not_in_step(shard, replica, voters), seconds, FailoverFailed)
    began, asked = time.monotonic(), -math.inf

    async def look() -> str | None:
        nonlocal asked
        if time.monotonic() > asked + ASK_AGAIN_SECONDS and not (await observe_cluster(replica)).myself.is_master:
            # Refused while the two nodes connect anew, which they do when roles have just changed.
            await call(replica, "CLUSTER", "FAILOVER")
            asked = time.monotonic()
        return await _not_master_yet(chosen, voters)

    await until(look, seconds, FailoverFailed, pause=POLL_SECONDS)
    return Takeover(NodeAddress(*address_of(replica)), time.monotonic() - began)


async def _not_in_step(shard: Shard, replica: Client, voters: Sequence[Client]) -> str | None:
    if not (await observe_node(replica)).master_link_up:
        return f"{address_of(replica)} is not in touch with its master"
    others = [*(node for node in shard.nodes if node is not replica), *voters]
    return await _not_known_as_replica(replica, others) or await _not_connected(replica, others)


async def _not_known_as_replica(replica: Client, others: Sequence[Client]) -> str | None:
    """Makes itself known where it is still held for the master it was: there it is neither heard nor voted for."""
    mine = (await observe_cluster(replica)).myself
    views = await asyncio.gather(*(observe_cluster(other) for other in others), return_exceptions=True)
    seen = [view for view in views if isinstance(view, ClusterView) and mine.id in view.nodes]
    behind = [view.myself for view in seen if view.nodes[mine.id].master_id != mine.master_id]
    for other in behind:
        await greet(replica, other)
    return f"{mine.address} is no replica to {len(behind)} others" if behind else None


async def _not_connected(replica: Client, others: Sequence[Client]) -> str | None:
    """Nodes connect anew when roles have changed. Votes are asked for once, of those who are connected."""
    mine = await observe_cluster(replica)
    views = await asyncio.gather(*(observe_cluster(other) for other in others), return_exceptions=True)
    apart = [
        view.me
        for view in views
        if isinstance(view, ClusterView) and not (_is_linked(mine, view.me) and _is_linked(view, mine.me))
    ]
    return f"{mine.myself.address} is not connected to {len(apart)} others" if apart else None


def _is_linked(view: ClusterView, node: NodeId) -> bool:
    return node in view.nodes and view.nodes[node].link_up


async def _claims_of_others(replica: Client, voters: Sequence[Client]) -> str | None:
    """Whether it would stand for slots that its master gave away just before; their new owners tell it.

    Nobody votes for such a claim, and who was refused may not stand again for twenty seconds.
    """
    mine = await observe_cluster(replica)
    master = mine.nodes.get(mine.myself.master_id or "")
    claimed = master.slots if master else Slots()
    views = await asyncio.gather(*(observe_cluster(voter) for voter in voters), return_exceptions=True)
    owners = [
        (voter, view)
        for voter, view in zip(voters, views, strict=True)
        if isinstance(view, ClusterView) and view.myself.slots & claimed
    ]
    for voter, _ in owners:
        await greet(voter, mine.myself)
    return f"{mine.myself.address} claims slots of {len(owners)} others" if owners else None


@dataclass(frozen=True)
class _Seen:
    client: Client
    view: ClusterView
    standing: Standing


async def _observe_candidates(lost: LostMaster) -> list[_Seen]:
    """Those that answer."""
    looks = (_observe_candidate(candidate) for candidate in lost.candidates)
    seen = await asyncio.gather(*looks, return_exceptions=True)
    return [one for one in seen if isinstance(one, _Seen)]


async def _observe_candidate(candidate: Candidate) -> _Seen:
    view, facts, promotable = await asyncio.gather(
        observe_cluster(candidate.client),
        observe_node(candidate.client),
        is_promotable(candidate.client),
    )
    standing = Standing(
        view.me,
        promotable=(promotable or candidate.at_last) and not facts.loading,
        priority=candidate.priority or int(candidate.at_last) * LAST_PRIORITY,
        offset=facts.offset,
    )
    return _Seen(candidate.client, view, standing)


def _owner_among(seen: Sequence[_Seen]) -> _Seen | None:
    return next((one for one in seen if one.view.myself.is_master and one.view.myself.slots), None)


def _chosen(lost: LostMaster, seen: Sequence[_Seen]) -> _Seen:
    best = best_of([one.standing for one in seen])
    if best is None:
        raise FailoverFailed(f"{lost.node}: none of its {len(lost.candidates)} replicas can take over")
    return next(one for one in seen if one.standing == best)


async def _not_master_yet(winner: _Seen, voters: Sequence[Client]) -> str | None:
    view = await observe_cluster(winner.client)
    if not (view.myself.is_master and view.myself.slots and view.is_ok):
        return f"{view.myself.address} was not elected"
    agreed = await asyncio.gather(*(_sees_master(voter, view.me) for voter in voters))
    majority = (len(voters) + 1) // 2 + 1
    if voters and 1 + sum(agreed) < majority:
        return f"{view.myself.address} is master to {sum(agreed)} of {len(voters)} others"
    return None


async def _sees_master(voter: Client, node: NodeId) -> bool:
    try:
        found = (await observe_cluster(voter)).nodes.get(node)
    except EngineError:
        return False
    return bool(found and found.is_master and found.slots)
