"""MULTI, EXEC, DISCARD, WATCH.

Commands are checked and kept here, and go out together at EXEC, in one piece on a shared connection: nothing comes
between them there. A transaction over several slots becomes one for each slot (service limits, 13.3: the order
across slots is not kept), each of them whole. WATCH takes a connection of its own, on which its slot's part is run
first; if that one is refused, nothing of the rest is done.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from cachestead.proxy.calls import ALONE, IMMEDIATE, Call, alone, immediate, not_same_slot
from cachestead.proxy.commands import Command
from cachestead.proxy.configuration import Layout
from cachestead.proxy.framing import pack, split_array
from cachestead.proxy.replies import NULL3, NULL_ARRAY2, OK, QUEUED, array, error
from cachestead.proxy.router import AGAIN_SECONDS, PATIENCE_SECONDS, Lease, Router
from cachestead.proxy.session import Session

ABORTED = error("EXECABORT Transaction discarded because of previous errors.")
_MULTI, _EXEC = pack(b"MULTI"), pack(b"EXEC")
_ELSEWHERE = (b"-MOVED ", b"-ASK ", b"-TRYAGAIN", b"-READONLY", b"-CLUSTERDOWN", b"-LOADING")
_PART = Command("exec")
_PART.redirects = False
ANY_SLOT = -1
ANYWHERE = frozenset({"echo", "ping", "publish", "time", "unwatch", "wait", "waitaof"})
"""Commands without keys that may stand in a transaction whatever the layout."""


@dataclass
class Transaction:
    """What a client has watched and queued."""

    session: Session
    is_open: bool = False
    is_spoilt: bool = False
    keys: list[bytes] = field(default_factory=list)
    """Keys of all of them."""
    queued: list[tuple[int, bytes]] = field(default_factory=list)
    """Slot and request of each command."""
    watched: Lease | None = None
    slot: int = ANY_SLOT
    """The slot that is watched."""

    def queue(self, call: Call) -> bytes:
        """Keep a command for EXEC."""
        if "no_multi" in call.command.flags:
            self.spoil()
            return error(f"ERR Command '{call.command.name}' not allowed inside a transaction")
        if call.command.name in ("multi", "watch"):
            nested = call.command.name == "multi"
            return error(
                "ERR MULTI calls can not be nested" if nested else "ERR WATCH inside MULTI is not allowed"
            )
        if not _may_stand(call):
            self.spoil()
            return error(f"ERR '{call.command.name}' is not allowed in a transaction")
        router = call.session.router
        keys = [call.words[place] for place in call.command.keys(call.words)]
        slot = router.keys_slot(keys)
        if isinstance(slot, tuple):
            self.spoil()
            return not_same_slot(*slot)
        self.keys += keys
        self.queued.append((slot, call.raw))
        return QUEUED

    def spoil(self) -> None:
        """An error was told while it was put together: EXEC will refuse."""
        self.is_spoilt = self.is_spoilt or self.is_open

    def close(self) -> None:
        """Watch nothing any more."""
        if self.watched is not None:
            self.watched.close()


def _may_stand(call: Call) -> bool:
    name = call.command.name
    container = name.partition("|")[0]
    if name in ANYWHERE:
        return True
    if name in ALONE:
        # It would change a connection that others use: what it speaks, who it is, what it listens to.
        return False
    if call.session.router.configuration.layout is Layout.REPLICATED or call.command.keys(call.words):
        return container not in _OURS
    return name not in IMMEDIATE and container not in IMMEDIATE


_OURS = frozenset({"auth", "client", "cluster", "config", "hello", "info", "role", "select", "slowlog", "proxy"})


@immediate("multi")
def multi(call: Call) -> bytes:
    """Begin to queue."""
    session = call.session
    session.transaction = session.transaction or Transaction(session)
    session.transaction.is_open = True
    session.settle()
    return OK


@alone("discard")
async def discard(call: Call) -> bytes:
    """Forget what was queued and watched."""
    transaction = call.session.transaction
    if transaction is None or not transaction.is_open:
        return error("ERR DISCARD without MULTI")
    await _leave(call.session)
    return OK


@alone("unwatch")
async def unwatch(call: Call) -> bytes:
    """Forget what was watched."""
    await _leave(call.session)
    return OK


@alone("watch")
async def watch(call: Call) -> bytes:
    """Watch keys of one slot."""
    session, router = call.session, call.session.router
    slot = router.keys_slot(call.words[1:])
    if isinstance(slot, tuple):
        return not_same_slot(*slot)
    transaction = session.transaction = session.transaction or Transaction(session)
    is_single = router.configuration.layout is Layout.REPLICATED
    if transaction.watched is not None and slot != transaction.slot and not is_single:
        return error("ERR all watched keys have to be in the same slot")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        if transaction.watched is None:
            transaction.watched, transaction.slot = await router.lease(slot, session.style), slot
        (reply,) = await transaction.watched.ask(call.command, call.raw)
        if not reply.startswith(_ELSEWHERE) or time.monotonic() > deadline:
            session.settle()
            return reply
        transaction.watched.close()
        transaction.watched = None
        router.look()
        await asyncio.sleep(AGAIN_SECONDS)


async def _leave(session: Session) -> None:
    transaction, session.transaction = session.transaction, None
    session.settle()
    if transaction is not None and transaction.watched is not None:
        await transaction.watched.ask(_PART, pack(b"UNWATCH"))
        transaction.watched.give_back()


@alone("exec")
async def execute(call: Call) -> bytes:
    """Do what was queued."""
    session, transaction = call.session, call.session.transaction
    if transaction is None or not transaction.is_open:
        return error("ERR EXEC without MULTI")
    if transaction.is_spoilt:
        await _leave(session)
        return ABORTED
    session.transaction = None
    try:
        return await _commit(session, transaction)
    finally:
        transaction.close()
        session.settle()


async def _commit(session: Session, transaction: Transaction) -> bytes:
    """The replies of all parts, in the order the commands came."""
    parts = _parts(transaction, session.router)
    session.router.recent.add(transaction.keys)
    replies: list[bytes] = [b""] * len(transaction.queued)
    for slot, places in parts.items():
        if not places and transaction.watched is None:
            continue
        requests = [transaction.queued[place][1] for place in places]
        if transaction.watched is not None and slot == transaction.slot:
            answered = (await transaction.watched.ask(_PART, _MULTI, *requests, _EXEC))[-1]
            transaction.watched.give_back()
            transaction.watched = None
            if answered in (NULL_ARRAY2, NULL3) or answered.startswith(b"-"):
                return _told(answered, session.style.protocol)
        else:
            answered = await _run(session, slot, requests)
            if answered.startswith(b"-"):
                return answered
        for place, reply in zip(places, split_array(answered), strict=True):
            replies[place] = reply
    return array(replies)


def _told(answered: bytes, protocol: int) -> bytes:
    """Keys that were watched went elsewhere: as good as changed."""
    null = NULL3 if protocol == 3 else NULL_ARRAY2
    return null if answered.startswith((b"-MOVED", b"-EXECABORT")) else answered


def _parts(transaction: Transaction, router: Router) -> dict[int, list[int]]:
    """Places of the commands of each slot, the watched slot's first; commands without keys go with the first."""
    if router.configuration.layout is Layout.REPLICATED:
        return {max(transaction.slot, 0) if transaction.watched else 0: list(range(len(transaction.queued)))}
    keyed = [slot for slot, _ in transaction.queued if slot != ANY_SLOT]
    lead = transaction.slot if transaction.watched is not None else next(iter(keyed), 0)
    parts: dict[int, list[int]] = {lead: []}
    for place, (slot, _) in enumerate(transaction.queued):
        parts.setdefault(lead if slot == ANY_SLOT else slot, []).append(place)
    return parts


async def _run(session: Session, slot: int, requests: list[bytes]) -> bytes:
    """One slot's part, again where its keys went if they moved."""
    router = session.router
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        shard = await router.shard_index(slot)
        bundle = [(_PART, raw, shard) for raw in (_MULTI, *requests, _EXEC)]
        answered = await router.ask(session.style, bundle)
        moved = next((reply for reply in answered if reply.startswith(_ELSEWHERE)), None)
        if moved is None:
            refusal = next((reply for reply in answered[:-1] if reply.startswith(b"-")), None)
            return refusal if refusal is not None and not answered[-1].startswith(b"-EXECABORT") else answered[-1]
        if time.monotonic() > deadline:
            return moved
        router.look()
        await asyncio.sleep(AGAIN_SECONDS)
