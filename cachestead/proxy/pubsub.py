"""Clients that listen to channels.

A listening client has a connection of its own to the shard of each slot it listens at; ordinary channels and
patterns are all at the first slot's, sharded channels at their own. What comes in is passed on as it is. If a
connection ends, so does the client's: messages may have been missed, and this is how a server would tell.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from cachestead.proxy.calls import Call, alone, not_same_slot
from cachestead.proxy.replies import encode, error
from cachestead.proxy.router import Lease

if TYPE_CHECKING:
    from cachestead.proxy.session import Session

_KINDS = {b"": 0, b"p": 1, b"s": 2}


class Subscriptions:
    """What one client listens to."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._leases: dict[int, Lease] = {}
        """By shard."""
        self.channels: tuple[set[bytes], set[bytes], set[bytes]] = (set(), set(), set())
        """Channels, patterns and sharded channels."""
        self._awaited = 0
        self._confirmed: asyncio.Future[None] | None = None
        self._replies: list[bytes] = []

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many channels, patterns and sharded channels."""
        return len(self.channels[0]), len(self.channels[1]), len(self.channels[2])

    async def send(self, slot: int, raw: bytes, confirmations: int) -> bytes:
        """Send to the slot's shard; the confirmations, as the client is to see them."""
        router = self._session.router
        shard = await router.shard_index(slot)
        lease = self._leases.get(shard)
        if lease is None:
            lease = self._leases[shard] = await router.lease(slot, self._session.style)
            lease.backend.listener = self._heard
            lease.on_end = asyncio.get_running_loop().create_future()
            lease.on_end.add_done_callback(self._ended)
        self._awaited, self._replies = confirmations, []
        self._confirmed = asyncio.get_running_loop().create_future()
        lease.backend.send_bytes(raw)
        await self._confirmed
        self._confirmed = None
        return b"".join(self._replies)

    def _ended(self, on_end: asyncio.Future[None]) -> None:
        """A connection ended; not if it is us who leave."""
        if not on_end.cancelled():
            self._session.drop()

    def _heard(self, frame: bytes) -> None:
        """A confirmation that is waited for, or a message."""
        if self._confirmed is None or self._confirmed.done() or not _confirms(frame):
            self._session.hear(frame)
            return
        self._replies.append(frame)
        self._awaited -= 1
        if self._awaited <= 0 or frame[0] == 45:
            self._confirmed.set_result(None)

    def close(self) -> None:
        """Listen to nothing any more."""
        for lease in self._leases.values():
            if lease.on_end is not None:
                lease.on_end.cancel()
            lease.close()
        self._leases.clear()


def _confirms(frame: bytes) -> bool:
    kind = frame[frame.index(b"\r\n", 4) + 2 :][:14] if frame[0] in b"*>" else b""
    return frame[0] == 45 or kind.startswith(
        (b"subscribe", b"psubscribe", b"ssubscribe", b"unsubscribe", b"punsubscribe", b"sunsubscribe")
    )


@alone("subscribe", "psubscribe", "ssubscribe")
async def subscribe(call: Call) -> bytes:
    """Listen, and hear each channel confirmed."""
    session, channels = call.session, call.words[1:]
    kind, slot = call.command.name[:-9].encode(), 0
    if kind == b"s":
        found = session.router.keys_slot(channels)
        if isinstance(found, tuple):
            return not_same_slot(*found)
        slot = found
    if session.subscriptions is None:
        session.subscriptions = Subscriptions(session)
    session.subscriptions.channels[_KINDS[kind]].update(channels)
    replies = await session.subscriptions.send(slot, call.raw, len(channels))
    session.settle()
    return replies


@alone("unsubscribe", "punsubscribe", "sunsubscribe")
async def unsubscribe(call: Call) -> bytes:
    """Listen no longer, to some or to all; who listens to nothing is an ordinary client again."""
    session, channels = call.session, call.words[1:]
    kind, slot = call.command.name[:-11].encode(), 0
    known = session.subscriptions.channels[_KINDS[kind]] if session.subscriptions else set()
    if session.subscriptions is None:
        return _nothing_to_leave(call, channels)
    if kind == b"s":
        found = session.router.keys_slot(channels or list(known)[:1])
        if isinstance(found, tuple) or (not channels and len({found}) > 1):
            return error("ERR name channels of one slot")
        slot = max(found, 0)
    replies = await session.subscriptions.send(slot, call.raw, len(channels) or max(len(known), 1))
    known.difference_update(channels or set(known))
    if not any(session.subscriptions.counts):
        session.subscriptions.close()
        session.subscriptions = None
    session.settle()
    return replies


def _nothing_to_leave(call: Call, channels: list[bytes]) -> bytes:
    name = call.command.name
    rows = [encode([name, channel, 0], call.protocol) for channel in channels]
    rows = rows or [encode([name, None, 0], call.protocol)]
    return b"".join(b">" + row[1:] if call.protocol == 3 else row for row in rows)
