"""Commands that wait: each on a connection of its own, so that nobody waits behind it.

A client that goes away takes its connection along, so that nothing is taken out of a list for nobody.
"""

from __future__ import annotations

import asyncio
import time

from cachestead.proxy.calls import Call, alone, not_same_slot
from cachestead.proxy.replies import error, integer
from cachestead.proxy.router import AGAIN_SECONDS, PATIENCE_SECONDS
from cachestead.proxy.topology import info_fields

_ELSEWHERE = (b"-MOVED ", b"-ASK ", b"-TRYAGAIN", b"-READONLY", b"-CLUSTERDOWN", b"-LOADING", b"-UNBLOCKED")


async def run_blocking(call: Call) -> bytes:
    """Wait at the shard of its keys; again where they went, if they move meanwhile."""
    session, router = call.session, call.session.router
    slot = router.keys_slot(call.words[place] for place in call.command.keys(call.words))
    if isinstance(slot, tuple):
        return not_same_slot(*slot)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        lease = await router.lease(slot, session.style)
        try:
            (reply,) = await lease.ask(call.command, call.raw)
        except BaseException:
            # Gone while it waited, the client or the node: what it waited for must not come to nobody.
            lease.close()
            raise
        lease.give_back()
        if not reply.startswith(_ELSEWHERE) or time.monotonic() > deadline:
            return reply
        router.look()
        await asyncio.sleep(AGAIN_SECONDS)


@alone("wait")
async def wait(call: Call) -> bytes:
    """Until so many replicas of every shard have everything that was written before.

    Asked of the masters' own books rather than by WAIT, which counts what its own connection wrote.
    """
    if not (call.words[1].isdigit() and call.words[2].isdigit()):
        return error("ERR value is not an integer or out of range")
    wanted, timeout = int(call.words[1]), int(call.words[2]) / 1000
    router = call.session.router
    deadline = time.monotonic() + timeout if timeout else float("inf")
    offsets = {address: int(view["master_repl_offset"]) for address, view in (await router.masters_say()).items()}
    while True:
        views = await router.masters_say()
        reached = min((_followers(views.get(at, {}), offset) for at, offset in offsets.items()), default=0)
        if reached >= wanted or time.monotonic() >= deadline:
            return integer(reached)
        await asyncio.sleep(AGAIN_SECONDS)


def _followers(view: dict[str, str], offset: int) -> int:
    """How many replicas have confirmed this offset."""
    lines = (value for name, value in view.items() if name.startswith("slave") and "offset=" in value)
    return sum(int(info_fields(line.replace(",", "\n").replace("=", ":"))["offset"]) >= offset for line in lines)
