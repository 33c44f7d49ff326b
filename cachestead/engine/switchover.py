"""A planned change of master in a shard that Sentinels watch: no acknowledged write is lost.

The old master holds its clients' writes until the replicas have everything, and only then a Sentinel is asked to
promote one. So a Sentinel decides it, all of them agree afterwards, and which replica it is, is their choice.

Roads not taken. The engine's own FAILOVER is quicker, but leaves the Sentinels believing in the old master and
failing over again half a minute later; telling them anew loses against any Sentinel that was away and comes back
with a newer epoch. SENTINEL FAILOVER COORDINATED (Valkey 9) elects a leader first and kept clients waiting three
times as long (0.68 s against 0.23 s, measured).

Invariant: while a Sentinel may still promote, the old master acknowledges nothing that the replicas do not have.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from cachestead.engine.addresses import NodeAddress
from cachestead.engine.connection import Client, address_of
from cachestead.engine.endpoint import ensure_bound, ensure_unbound
from cachestead.engine.errors import EngineError, FailoverFailed, ReplicationLate
from cachestead.engine.info import observe_node, observe_role
from cachestead.engine.live import drop_tenant_clients, hold_writes, release_writes
from cachestead.engine.polling import until
from cachestead.engine.replication import ensure_replica_of
from cachestead.engine.sentinel import Sentinels
from cachestead.engine.watched import WatchedShard

POLL_SECONDS = 0.005
HOLD_SECONDS = 3.0
"""Writes are held this long at a time; if we die meanwhile the master resumes by itself."""
CATCH_UP_SECONDS = 2.0
PROMOTE_SECONDS = 15.0
"""Longer than a Sentinel tries (`FAILOVER_TIMEOUT_MS`): writes may not go on while it still might promote."""


@dataclass(frozen=True)
class Switched:
    """How it ended."""

    winner: NodeAddress
    held_seconds: float
    """How long writes waited."""
    refused_seconds: float
    """How long the instance address had no master."""


async def switch_master(sentinels: Sentinels, shard: WatchedShard, seconds: float = PROMOTE_SECONDS) -> Switched:
    """A replica is master, has the instance address if masters bind it, and the old master follows it.

    Raises `ReplicationLate` where a replica does not keep up, `FailoverFailed` where no Sentinel took the order or
    no replica was promoted; the old master then goes on as it was.
    """
    async with _clients(shard) as (master, replicas):
        await _ensure_following(shard, replicas)
        held = time.monotonic()
        try:
            await _hold_until_caught_up(master, replicas)
            await sentinels.fail_over(shard.name, HOLD_SECONDS / 3)
            winner = await _first_promoted(sentinels, shard, master, replicas, seconds)
            refused = time.monotonic()
            if shard.vip is not None:
                await ensure_unbound(master, shard.master.address)
                await ensure_bound(winner, address_of(winner).address, shard.vip)
            done = time.monotonic()
            # Sentinels would do it too, but after seconds in which those who waited would be refused.
            await ensure_replica_of(master, address_of(winner))
            await drop_tenant_clients(master)
        finally:
            await _release(master)
        return Switched(address_of(winner), done - held, done - refused)


async def _ensure_following(shard: WatchedShard, replicas: Sequence[Client]) -> None:
    """A node that calls itself master before the order would be taken for the promoted one."""
    for replica in replicas:
        if not (await observe_node(replica)).in_sync_with(shard.master):
            raise ReplicationLate(f"{address_of(replica)} does not follow {shard.master}")


async def _hold_until_caught_up(master: Client, replicas: Sequence[Client]) -> None:
    await hold_writes(master, HOLD_SECONDS)
    wanted = (await observe_node(master)).offset

    async def look() -> str | None:
        offsets = [(await observe_node(replica)).offset for replica in replicas]
        return None if offsets and min(offsets) >= wanted else f"replicas are at {offsets} of {wanted}"

    await until(look, CATCH_UP_SECONDS, ReplicationLate, pause=POLL_SECONDS)


async def _first_promoted(
    sentinels: Sentinels, shard: WatchedShard, master: Client, replicas: Sequence[Client], seconds: float
) -> Client:
    """Holds on for as long as a Sentinel is at it."""
    promoted: list[Client] = []
    hold_again = time.monotonic() + HOLD_SECONDS / 3
    given_up = False

    async def look() -> str | None:
        nonlocal hold_again, given_up
        roles = await asyncio.gather(*(observe_role(replica) for replica in replicas))
        promoted[:] = [replica for replica, role in zip(replicas, roles, strict=True) if role == "master"]
        if promoted or given_up:
            return None
        if time.monotonic() > hold_again:
            await hold_writes(master, HOLD_SECONDS)
            hold_again = time.monotonic() + HOLD_SECONDS / 3
            # Looked at last: a replica promoted before the Sentinel ended is seen in the next round.
            given_up = not await sentinels.is_failing_over(shard.name)
        return "no replica was promoted"

    await until(look, seconds, FailoverFailed, pause=POLL_SECONDS)
    if not promoted:
        raise FailoverFailed(f"{shard.name}: the Sentinels gave it up")
    return promoted[0]


async def _release(master: Client) -> None:
    with contextlib.suppress(EngineError):
        await release_writes(master)


@contextlib.asynccontextmanager
async def _clients(shard: WatchedShard) -> AsyncIterator[tuple[Client, list[Client]]]:
    made = [shard.connect(node) for node in (shard.master, *shard.replicas)]
    try:
        yield made[0], made[1:]
    finally:
        for client in made:
            await client.aclose()
