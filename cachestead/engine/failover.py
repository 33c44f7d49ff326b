"""The fast road from a dead master to a writable instance address.

Sentinel decides, but it acts on timers. Whoever sees the process end asks a Sentinel to fail over now, watches the
replicas' roles and binds the instance address on the one that becomes master, at once. Only a node that Sentinel
promoted ever gets the address, and two nodes cannot hold it, so a wrong hint costs nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass

from cachestead.engine.addresses import NodeAddress
from cachestead.engine.connection import Client
from cachestead.engine.endpoint import ensure_bound
from cachestead.engine.errors import EndpointTaken, EngineError, EngineRefused, EngineUnreachable, FailoverFailed
from cachestead.engine.info import observe_role
from cachestead.engine.sentinel import Sentinels
from cachestead.engine.watched import WatchedShard

POLL_SECONDS = 0.005
HINT_SECONDS = 0.1
"""Pause between hints: Sentinel may take one and give it up again."""
END_SECONDS = 0.05
GONE_SECONDS = 1.0
"""A replica that has not answered for this long is lost too."""


@dataclass(frozen=True)
class Takeover:
    """How it ended."""

    winner: NodeAddress
    seconds: float


async def take_over(sentinels: Sentinels, lost: WatchedShard, seconds: float = 20.0) -> Takeover:
    """One replica is master and, where the master binds it, listens on the instance address.

    A hint that no Sentinel takes is not the end: Sentinel's own decision is awaited until the bound. Raises
    `FailoverFailed`, and soon if the replicas are gone too.
    """
    began = time.monotonic()
    over = asyncio.Event()
    hint = asyncio.create_task(_keep_hinting(sentinels, lost, over))
    try:
        async with asyncio.timeout(seconds):
            winner = await _first_master(lost, over)
    except TimeoutError:
        raise FailoverFailed(f"{lost.name}: no replica took over within {seconds:g} s") from None
    finally:
        over.set()
        hint.cancel()
    return Takeover(winner, time.monotonic() - began)


async def _keep_hinting(sentinels: Sentinels, lost: WatchedShard, over: asyncio.Event) -> None:
    """Hint for as long as Sentinel holds the lost node for the master; no hint may hit its successor."""
    while not over.is_set():
        with contextlib.suppress(EngineError):
            if await sentinels.find_master(lost.name) != lost.master:
                return
            await sentinels.fail_over(lost.name, HINT_SECONDS)
        await asyncio.sleep(HINT_SECONDS)


async def _first_master(lost: WatchedShard, over: asyncio.Event) -> NodeAddress:
    """The replica that became master first, once it has the address."""
    watches = [asyncio.create_task(_bind_when_master(node, lost, over)) for node in lost.replicas]
    try:
        for watch in asyncio.as_completed(watches):
            if winner := await watch:
                return winner
        raise FailoverFailed(f"{lost.name}: no other node is left")
    finally:
        # Told as well as cancelled, and not waited for long: seen under load, a loser outlived its cancellation
        # and the winner waited for it until the bound.
        over.set()
        for watch in watches:
            watch.cancel()
        if watches:
            await asyncio.wait(watches, timeout=END_SECONDS)


async def _bind_when_master(node: NodeAddress, lost: WatchedShard, over: asyncio.Event) -> NodeAddress | None:
    """The node, once it is master and has the address; None if it is gone, or another was first."""
    client = lost.connect(node)
    answered = time.monotonic()
    try:
        while not over.is_set() and time.monotonic() - answered < GONE_SECONDS:
            with contextlib.suppress(EngineUnreachable):
                if await _took_over(client, node, lost.vip):
                    return node
                answered = time.monotonic()
            await asyncio.sleep(POLL_SECONDS)
        return None
    finally:
        await client.aclose()


async def _took_over(client: Client, node: NodeAddress, vip: str | None) -> bool:
    """Whether the node is master and has the address. Raises `EngineUnreachable`: it may still come round."""
    try:
        if await observe_role(client) != "master":
            return False
        if vip is not None:
            await ensure_bound(client, node.address, vip)
    except EndpointTaken:
        # The kernel closes a dead process' sockets a moment after its end is seen.
        return False
    except EngineRefused:
        return False
    return True
