"""Commands that wait: each on a connection of its own, so that nobody waits behind it.

A client that goes away takes its connection along, so that nothing is taken out of a list for nobody.
"""

from __future__ import annotations

import asyncio
import time

from cachestead.proxy.calls import Call, alone, not_same_slot
from cachestead.proxy.framing import pack
from cachestead.proxy.replies import array, elements, first_error, integer, number
from cachestead.proxy.router import AGAIN_SECONDS, PATIENCE_SECONDS

_ELSEWHERE = (b"-MOVED ", b"-ASK ", b"-TRYAGAIN", b"-READONLY", b"-CLUSTERDOWN", b"-LOADING", b"-UNBLOCKED")


async def run_blocking(call: Call) -> bytes:
    """Wait at the shard of its keys; again where they went, if they move meanwhile."""
    session, router = call.session, call.session.router
    keys = [call.words[place] for place in call.command.keys(call.words)]
    slot = router.keys_slot(keys)
    if isinstance(slot, tuple):
        return not_same_slot(*slot)
    deadline = None
    while True:
        lease = await router.lease(slot, session.style)
        try:
            (reply,) = await lease.ask(call.command, call.raw)
        except BaseException:
            # Gone while it waited, the client or the node: what it waited for must not come to nobody.
            lease.close()
            raise
        lease.give_back()
        # However long it waited: that the keys moved is heard now.
        deadline = deadline or time.monotonic() + PATIENCE_SECONDS
        if not reply.startswith(_ELSEWHERE) or time.monotonic() > deadline:
            router.recent.add(keys)
            return reply
        router.look()
        await asyncio.sleep(AGAIN_SECONDS)


@alone("wait", "waitaof")
async def wait(call: Call) -> bytes:
    """Until so many replicas (and disks) of every shard have what was written before; the fewest count.

    An engine waits for what was written when the connection last asked anything, whoever wrote it: so each master
    is asked something first.
    """
    shards = range(len(call.session.router.topology.shards))
    tasks = [asyncio.create_task(_wait_at(call, shard)) for shard in shards]
    try:
        replies = await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    refusal = first_error(replies)
    if refusal is not None or call.command.name == "wait":
        return refusal or min(replies, key=number)
    counts = zip(*(_numbers(reply) for reply in replies), strict=True)
    return array([integer(min(count)) for count in counts])


async def _wait_at(call: Call, shard: int) -> bytes:
    router = call.session.router
    lease = await router.lease(router.topology.owner_of.index(shard), call.session.style)
    try:
        _, reply = await lease.ask(call.command, pack(b"PING"), call.raw)
    except BaseException:
        lease.close()
        raise
    lease.give_back()
    return reply


def _numbers(reply: bytes) -> list[int]:
    """The numbers of an array."""
    return [int(line[1:]) for line in elements(reply)[1].split()]
