"""Who replicates from whom, and whether they are in step.

`ensure_*` may be repeated; waits poll within a bound and say at the end what was still missing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from cachestead.engine.addresses import NodeAddress
from cachestead.engine.connection import Client, address_of, call
from cachestead.engine.errors import EngineUnreachable, ReplicationLate
from cachestead.engine.info import NodeFacts, observe_node

POLL_SECONDS = 0.02


async def ensure_replica_of(client: Client, master: NodeAddress) -> None:
    """The node replicates from `master`; one that already does is left alone."""
    facts = await observe_node(client)
    if facts.role == "slave" and facts.master == master:
        return
    # SLAVEOF: every engine knows it, REPLICAOF only since 5.0.
    await call(client, "SLAVEOF", master.address, master.port)


async def ensure_master(client: Client) -> None:
    """The node replicates from nobody."""
    if (await observe_node(client)).role == "master":
        return
    await call(client, "SLAVEOF", "NO", "ONE")


async def wait_in_sync(replicas: Sequence[Client], master: NodeAddress, seconds: float) -> None:
    """Each replica has the master's data and follows it. Raises `ReplicationLate`."""
    await asyncio.gather(*(_wait_for_one(replica, master, seconds) for replica in replicas))


async def wait_caught_up(replica: Client, master: Client, seconds: float) -> int:
    """The replica has taken what the master had sent when the call began; returns that offset."""
    wanted = (await observe_node(master)).offset
    seen = -1
    deadline = _now() + seconds
    while _now() < deadline:
        if (seen := (await observe_node(replica)).offset) >= wanted:
            return wanted
        await asyncio.sleep(POLL_SECONDS)
    raise ReplicationLate(f"{address_of(replica)} is at {seen} of {wanted} after {seconds:g} s")


async def _wait_for_one(replica: Client, master: NodeAddress, seconds: float) -> None:
    deadline, seen = _now() + seconds, "it does not answer"
    while _now() < deadline:
        try:
            facts = await observe_node(replica)
        except EngineUnreachable:
            # Busy loading what it was sent, or not up yet: the bound decides, not the first refusal.
            facts = None
        if facts is not None and facts.in_sync_with(master):
            return
        seen = _missing(facts) if facts else seen
        await asyncio.sleep(POLL_SECONDS)
    raise ReplicationLate(f"{address_of(replica)} does not follow {master} after {seconds:g} s: {seen}")


def _missing(facts: NodeFacts) -> str:
    if facts.role == "master":
        return "it is a master"
    return f"it follows {facts.master}, link {'up' if facts.master_link_up else 'down'}"


def _now() -> float:
    return asyncio.get_running_loop().time()
