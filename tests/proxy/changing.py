"""What changes under a proxy: slots move, nodes are killed and replaced; and clients that are at work meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import redis
from installation import eventually
from proxied import CONF, NUMBERS, Proxied, Proxy
from real_engines import ADMIN_SECRET, PORT, REPLICA_SECRET, USERS, Machine, pids_under
from redis.backoff import NoBackoff
from redis.retry import Retry

from cachestead.domain.instances import Mode
from cachestead.domain.slots import SlotMove, Slots, even_slots, key_in, slot_of
from cachestead.engine.acl import REPLICA
from cachestead.engine.addresses import NodeAddress
from cachestead.engine.cluster import Shard, form_cluster, observe_all
from cachestead.engine.cluster_failover import Candidate, LostMaster, fail_over
from cachestead.engine.connection import Client, connect
from cachestead.engine.slot_migration import Road, move_slots
from cachestead.proxy.configuration import Layout

FIRST, SECOND, THIRD = even_slots(3)
"""The slots of each master at the start."""


def once(proxied: Proxied, protocol: int = 2) -> redis.Redis:
    """A tenant's client that never asks again by itself: it sees whatever the proxy shows."""
    return proxied.client(retry=Retry(NoBackoff(), 0), protocol=protocol, single_connection_client=True)


def keys_in(slots: Slots, prefix: str, count: int) -> list[str]:
    """Keys of different slots among these."""
    keys: list[str] = []
    for number in range(count):
        keys.append(key_in(slots - Slots.of(map(slot_of, keys)), f"{prefix}{number}"))
    return keys


@contextmanager
def at_work(*stories: Callable[[Story], None]) -> Iterator[list[Story]]:
    """Each story is told over and over in a thread of its own until the block ends; what went wrong is raised."""
    told = [Story(story) for story in stories]
    with ThreadPoolExecutor(len(told)) as pool:
        futures = [pool.submit(story.tell) for story in told]
        try:
            further(told)
            yield told
            further(told)
        finally:
            for story in told:
                story.over.set()
    for future in futures:
        future.result()


def further(stories: Sequence[Story], rounds: int = 3) -> None:
    """Each of them got on."""
    before = [story.rounds for story in stories]

    def look() -> bool:
        return all(
            story.ended.is_set() or story.rounds >= at + rounds for story, at in zip(stories, before, strict=True)
        )

    eventually(look, 60)


@dataclass
class Story:
    """What one client does, how often it has done so."""

    act: Callable[[Story], None]
    rounds: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def tell(self) -> None:
        try:
            while not self.over.is_set():
                self.act(self)
                self.rounds += 1
        finally:
            self.ended.set()


def asked(proxied: Proxied, act: Callable[[list[Client]], Awaitable[Any]], numbers: Sequence[int] = ()) -> Any:
    """What is done with our own clients to data nodes, by the last numbers of their addresses."""

    async def run() -> Any:
        addresses = [NodeAddress(f"{proxied.subnet}.{n}", PORT) for n in numbers or NUMBERS[proxied.layout]]
        clients = [connect(address, ADMIN_SECRET) for address in addresses]
        try:
            return await act(clients)
        finally:
            for client in clients:
                await client.aclose()

    return asyncio.run(run())


def move(proxied: Proxied, slots: Slots, source: int, target: int) -> None:
    """Slots go from one master to another, by their places, the way the engine has for it."""
    atomic = proxied.engine.has_atomic_slot_migration
    road = Road(atomic=atomic, secret=None if atomic else REPLICA_SECRET)

    async def act(masters: list[Client]) -> None:
        views = await observe_all(masters)
        await move_slots(masters, SlotMove(views[source].me, views[target].me, slots), road)

    asked(proxied, act)


def there_and_back(proxied: Proxied, slots: Slots, stories: Sequence[Story] = (), times: int = 3) -> None:
    """Slots of the first master go to the second, the third, and home; clients get on at each."""
    for _ in range(times):
        for source, target in ((0, 1), (1, 2), (2, 0)):
            move(proxied, slots, source, target)
            further(stories, 1)


@contextmanager
def half_way(proxied: Proxied, key: str) -> Iterator[Callable[..., None]]:
    """A key's slot of the first master is open to the second; what is yielded sends keys. In the end it is moved."""
    slot = slot_of(key)

    async def ids(masters: list[Client]) -> list[str]:
        return [view.me for view in await observe_all(masters)]

    source, target, _ = asked(proxied, ids)
    with contextlib.ExitStack() as stack:
        first, second, third = (stack.enter_context(proxied.node_client(number)) for number in range(3))

        def send(*keys: str) -> None:
            auth = ("AUTH2", REPLICA, REPLICA_SECRET)
            host, port = proxied.nodes[1].host, proxied.nodes[1].port
            first.execute_command("MIGRATE", host, port, "", 0, 5000, "REPLACE", *auth, "KEYS", *keys)

        second.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", source)
        first.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", target)
        try:
            yield send
        finally:
            left = first.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 1000)
            if left:
                send(*left)
            for client in (second, first, third):
                client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", target)


def pid_of(proxied: Proxied, number: int) -> int:
    """The process of the node with this last number."""
    [pid] = pids_under(proxied.root / f"node-{number}")
    return pid


def kill(proxied: Proxied, number: int) -> None:
    """A node's process ends at once, and is seen to have ended."""
    pid = pid_of(proxied, number)
    os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
    eventually(lambda: not list(pids_under(proxied.root / f"node-{number}")))


def start(proxied: Proxied, number: int, master: int | None = None) -> None:
    """A node runs, again or for the first time; in the replicated layout it follows this master."""
    is_cluster = proxied.layout is Layout.CLUSTER
    users = replace(USERS, mode=Mode.CLUSTER) if is_cluster else USERS

    async def act(machine: Machine) -> None:
        role = {} if is_cluster else {"replica_of": machine.node(master) if master else None}
        await machine.start(number, **CONF | role)

    proxied._act(users, act)


REPLICAS = (12, 22, 32)


def add_replicas(proxied: Proxied) -> None:
    """Each master of the cluster has one."""
    for number in REPLICAS:
        start(proxied, number)

    async def act(nodes: list[Client]) -> None:
        await form_cluster([Shard(master, (nodes[3 + place],)) for place, master in enumerate(nodes[:3])])

    asked(proxied, act, [*NUMBERS[Layout.CLUSTER], *REPLICAS])


def replace_master(proxied: Proxied, lost: int, heir: int, voters: Sequence[int]) -> None:
    """The replica takes the killed master's place, as whoever supervises the nodes has it done."""

    async def act(nodes: list[Client]) -> None:
        gone = NodeAddress(f"{proxied.subnet}.{lost}", PORT)
        await fail_over(LostMaster(gone, [Candidate(nodes[0])], nodes[1:]), 30)

    asked(proxied, act, [heir, *voters])


def join_again(proxied: Proxied, lost: int, heir: int) -> None:
    """The killed node is there again and follows its heir, with all data."""
    start(proxied, lost, heir)

    async def follows(nodes: list[Client]) -> bool:
        facts = await nodes[0].info("replication")
        return facts["role"] == "slave" and facts["master_link_status"] == "up"

    eventually(lambda: asked(proxied, follows, [lost]), 60)


def configure(proxy: Proxy, text: str) -> Any:
    """What PROXY CONFIGURE answers."""
    with proxy.admin() as client:
        return client.execute_command("PROXY", "CONFIGURE", text)


def calls_of(client: redis.Redis, command: str) -> int:
    """How often a node was asked to do this."""
    return int(client.info("commandstats").get(f"cmdstat_{command}", {}).get("calls", 0))
