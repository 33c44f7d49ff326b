"""A responder over records in SQLite, and a client of it: the library's own resolver."""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import dns.asyncquery
import dns.asyncresolver
import dns.message
from examples import instance_like

from cachestead.domain.instances import Instance, Mode, Node, Role, State, node_id
from cachestead.domain.sizes import MiB
from cachestead.names.responder import Responder
from cachestead.store import instances as store
from cachestead.store.database import Database

ZONE = "dcs.cachestead.internal"
LOOPBACK = ipaddress.ip_address("127.0.0.1")
TTL = 5
VIP = "127.64.0.200"
MASTER, REPLICA = Role.MASTER, Role.REPLICA


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Names:
    """Records, the responder over them, and ways to ask it."""

    database: Database
    clock: Clock
    responder: Responder

    @property
    def resolver(self) -> dns.asyncresolver.Resolver:
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers, resolver.port, resolver.lifetime = [str(LOOPBACK)], self.responder.port, 3
        return resolver

    async def resolve(self, name: str, kind: str = "A", *, tcp: bool = False) -> set[str]:
        """What a name resolves to."""
        return {record.to_text() for record in await self.resolver.resolve(name, kind, tcp=tcp)}

    async def ask(self, name: str, kind: str = "A", *, tcp: bool = False, **query: object) -> dns.message.Message:
        """The whole answer."""
        question = dns.message.make_query(name, kind, **query)
        ask = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
        return await ask(question, str(LOOPBACK), port=self.responder.port, timeout=3)

    async def add(
        self, mode: Mode, roles: Sequence[Role], state: State = State.RUNNING, *, active: bool = True
    ) -> Instance:
        """An instance on record; its nodes have the addresses 127.64.0.1 and following."""
        instance = str(uuid.uuid4())
        nodes = tuple(
            Node(
                node_id(instance, 0, n),
                instance,
                0,
                n,
                f"127.64.{n // 250}.{n % 250 + 1}",
                6379,
                "a",
                role,
                active,
            )
            for n, role in enumerate(roles)
        )
        made = instance_like(id=instance, mode=mode, state=state, ip=VIP, nodes=nodes)
        async with self.database.writing() as tx:
            await store.add_instance(tx, made, MiB(128))
        return made

    async def save(self, *nodes: Node) -> None:
        """Nodes as they are now; what the responder remembers is forgotten."""
        async with self.database.writing() as tx:
            for node in nodes:
                await store.save_node(tx, node)
        self.clock.now += 1
