"""Asking data nodes who they are, over connections that nobody else uses: an answer never waits behind clients."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence

import hiredis

from cachestead.proxy.backends import Backend, Login, Style
from cachestead.proxy.batches import Entry, LostInFlight, Waiting, put
from cachestead.proxy.commands import Command, CommandTable, parse_commands
from cachestead.proxy.configuration import Address, Layout, ProxyConfiguration
from cachestead.proxy.framing import pack
from cachestead.proxy.replies import text
from cachestead.proxy.topology import Topology, cluster_topology, info_fields, replicated_topology

ANSWER_SECONDS = 0.5
"""How long a node may take to say who it is."""
ASK_ALL = 8
"""So many nodes are all asked each time; of more, those in doubt and a few others."""
_CONTROL = Command("control")


class Plain:
    """Owner of connections on which every reply is what was asked for, errors too."""

    slow_microseconds = 2**62

    def redirected(self, connection: Backend, entry: Entry, reply: bytes) -> None:
        """The reply as it is."""
        del connection
        put(entry, reply)

    def ended(self, connection: Backend, sent: list[Entry], unsent: list[Entry]) -> None:
        """Everything on it is lost."""
        del connection
        for entry in [*sent, *unsent]:
            entry[0].lost()

    def refused(self, address: Address, reason: str) -> None:
        """Its requests are lost with the connection."""

    def slow(self, entry: Entry) -> None:
        """Nobody keeps count."""


class Lookout:
    """What the data nodes say of themselves."""

    def __init__(self, configuration: ProxyConfiguration) -> None:
        self.configuration = configuration
        self.commands: CommandTable | None = None
        """What the engine knows; None until a node has said so."""
        self.facts: dict[str, str] = {}
        """What the engine says of itself (INFO server)."""
        self._connections: dict[Address, Backend] = {}

    @property
    def login(self) -> Login:
        """How to log in to data nodes."""
        told = self.configuration
        return Login(told.user, told.secret, told.reader)

    def close(self) -> None:
        """End every connection."""
        for connection in self._connections.values():
            connection.close()

    async def look(self, before: Topology, suspects: set[Address]) -> Topology:
        """The topology as it is now; without shards if nobody answers."""
        if self.configuration.layout is Layout.CLUSTER:
            views = await self._ask_each(self._whom_to_ask(before, suspects), b"CLUSTER", b"NODES")
            return cluster_topology(views.values())
        nodes = self.configuration.nodes
        return replicated_topology(nodes, await self.replication_of([node.address for node in nodes]), before)

    async def replication_of(self, addresses: Sequence[Address]) -> dict[Address, dict[str, str]]:
        """INFO replication of every node that answers."""
        replies = await self._ask_each(addresses, b"INFO", b"replication")
        return {address: info_fields(info) for address, info in replies.items()}

    async def learn_commands(self, address: Address) -> None:
        """Ask a node what it knows."""
        reply = await self._ask_one(address, b"COMMAND")
        if reply.startswith(b"*"):
            reader = hiredis.Reader()
            reader.feed(reply)
            self.facts = info_fields(text(await self._ask_one(address, b"INFO", b"server")))
            self.commands = parse_commands(reader.gets())

    def _whom_to_ask(self, before: Topology, suspects: set[Address]) -> list[Address]:
        """Everybody of few nodes; of many, the shards in doubt and a few others."""
        known = {node.address for node in self.configuration.nodes}
        known |= {shard.master for shard in before.shards}
        if len(known) <= ASK_ALL:
            return list(known)
        doubtful = [
            address
            for shard in before.shards
            if shard.master in suspects
            for address in (shard.master, *shard.replicas)
        ]
        others = random.sample(sorted(known, key=str), ASK_ALL // 2)
        return list(dict.fromkeys([*doubtful, *others]))

    async def _ask_each(self, addresses: Sequence[Address], *words: bytes) -> dict[Address, str]:
        replies = await asyncio.gather(*(self._ask_one(address, *words) for address in addresses))
        return {
            address: text(reply)
            for address, reply in zip(addresses, replies, strict=True)
            if reply and not reply.startswith(b"-")
        }

    async def _ask_one(self, address: Address, *words: bytes) -> bytes:
        """What one node answers, empty if it does not."""
        connection = self._connections.get(address)
        if connection is None or connection.is_closed:
            connection = self._connections[address] = Backend(Plain(), address, Style(), self.login)
        waiting = Waiting(time.monotonic(), 1)
        connection.send((waiting, 0, _CONTROL, pack(*words)))
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return (await waiting.future)[0]
        except (TimeoutError, LostInFlight):
            connection.close()
            return b""
