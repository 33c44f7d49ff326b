"""The three Sentinels of a control plane, spoken to as one.

What must hold on all of them (which masters they watch) is made so on each and may be repeated; a question is
answered by the first that can. Sentinels decide who is master, also while the control plane is down: nothing here
overrules them, it only tells them what to watch and hints.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from cachestead.engine.acl import ADMIN
from cachestead.engine.addresses import NodeAddress
from cachestead.engine.commands import AdminCommands
from cachestead.engine.connection import Client, address_of, call, connect
from cachestead.engine.errors import EngineError, EngineRefused, EngineUnreachable, FailoverFailed
from cachestead.engine.polling import until

QUORUM = 2
FAILOVER_TIMEOUT_MS = 10_000
"""How long Sentinel gives one attempt; the next one may come after twice this."""
INFO_MS, HURRIED_INFO_MS = 10_000, 500
"""How often Sentinel asks nodes for INFO. A node whose last answer is thrice as old is no candidate for it."""
POLL_SECONDS = 0.05
ANSWER_SECONDS = 1.0
_USED_BY_SENTINEL = ("SLAVEOF", "REPLICAOF", "CONFIG", "INFO", "ROLE", "CLIENT", "PUBLISH", "SUBSCRIBE", "PING")

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Watch:
    """A master as Sentinels shall watch it."""

    name: str
    master: NodeAddress
    secret: str = field(repr=False)
    """How Sentinel logs in to the nodes."""
    script: Path | None
    """Run by the Sentinel that leads a failover; moves the instance address."""
    down_after_ms: int
    user: str | None = ADMIN
    """None where the nodes' engine has no users."""
    commands: AdminCommands = field(default_factory=AdminCommands)
    """The nodes' renamed commands, so that Sentinel can call them too."""


@dataclass(frozen=True)
class KnownReplica:
    """A replica as a Sentinel sees it."""

    node: NodeAddress
    link_up: bool
    flags: frozenset[str]
    priority: int


class Sentinels:
    """All Sentinels of this control plane."""

    def __init__(self, nodes: Sequence[NodeAddress], secret: str) -> None:
        self.nodes = tuple(nodes)
        self._clients = [connect(node, secret, answer_seconds=ANSWER_SECONDS) for node in nodes]
        self._hurry_lock, self._in_a_hurry = asyncio.Lock(), 0
        self._told: dict[tuple[NodeAddress, str], Watch] = {}
        """The settings each Sentinel has. It keeps them over a restart, and telling it makes it write its file."""

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients:
            await client.aclose()

    async def ensure_monitored(self, watch: Watch, *, move: bool = False) -> None:
        """Every Sentinel watches the master with these settings.

        One that already knows the name at another address keeps it (it may have failed over meanwhile), unless
        `move` says that the records are right.
        """
        await self._on_all(lambda client: self._ensure_monitored(client, watch, move=move))

    async def ensure_forgotten(self, name: str) -> None:
        """No Sentinel watches the name."""
        for node in self.nodes:
            self._told.pop((node, name), None)
        await self._on_all(lambda client: _ensure_forgotten(client, name))

    async def find_master(self, name: str) -> NodeAddress | None:
        """The master, by the first Sentinel that answers; None if it does not know the name."""
        return await self._of_first(lambda client: _find_master(client, name))

    async def masters(self) -> dict[str, NodeAddress]:
        """Every master that all Sentinels watch, where the first of them says it is."""
        first, *others = await self._all_masters()
        return {name: master for name, master in first.items() if all(name in other for other in others)}

    async def watched_names(self) -> set[str]:
        """Every name that some Sentinel watches."""
        return {name for masters in await self._all_masters() for name in masters}

    async def _all_masters(self) -> list[dict[str, NodeAddress]]:
        return await asyncio.gather(*(_masters(client) for client in self._clients))

    async def known_replicas(self, name: str) -> list[KnownReplica]:
        """Replicas the first answering Sentinel knows of."""
        return await self._of_first(lambda client: _replicas(client, name))

    async def wait_ready(self, name: str, replicas: int, seconds: float) -> None:
        """Every Sentinel knows this many healthy replicas: a failover that one is asked for would now succeed.

        They find each other by themselves within two seconds; only a failover that nobody asks for needs that.
        """
        await asyncio.gather(*(self._wait_ready(client, name, replicas, seconds) for client in self._clients))

    async def wait_calm(self, name: str, seconds: float) -> None:
        """All Sentinels hold the same node for the master, and none leads a failover. Raises `FailoverFailed`."""

        async def look() -> str | None:
            known = await asyncio.gather(*(_ask(client, "MASTER", name) for client in self._clients))
            if any("failover_in_progress" in one["flags"] for one in known):
                return f"a failover of {name} is under way"
            masters = {f"{one['ip']}:{one['port']}" for one in known}
            return None if len(masters) == 1 else f"masters of {name} are {', '.join(sorted(masters))}"

        await until(look, seconds, FailoverFailed, pause=POLL_SECONDS)

    async def wait_priority(self, name: str, replica: NodeAddress, priority: int, seconds: float) -> None:
        """Every Sentinel knows the replica's priority: the next failover goes by it. Raises `FailoverFailed`."""

        async def look(client: Client) -> str | None:
            found = next((one for one in await _replicas(client, name) if one.node == replica), None)
            if found is not None and found.priority == priority:
                return None
            return f"{address_of(client)} sees {found and found.priority} for {replica}"

        await asyncio.gather(*(self._until(look, client, seconds) for client in self._clients))

    @contextlib.asynccontextmanager
    async def hurried(self) -> AsyncIterator[None]:
        """Sentinels learn what changed at nodes in half a second instead of ten: from INFO, which they send then.

        A Sentinel that knows no such order goes on as ever.
        """
        await self._hurry(1)
        try:
            yield
        finally:
            await self._hurry(-1)

    async def _hurry(self, more: int) -> None:
        # The period is a Sentinel's own and not a master's: the last one who is in a hurry ends it.
        async with self._hurry_lock:
            self._in_a_hurry += more
            period = HURRIED_INFO_MS if self._in_a_hurry else INFO_MS
            for client in self._clients:
                with contextlib.suppress(EngineRefused, EngineUnreachable):
                    await _ask(client, "DEBUG", "INFO-PERIOD", period)

    async def fail_over(self, name: str, seconds: float = 5.0) -> None:
        """A Sentinel has begun to fail over.

        One that sees no good replica yet, or still has an earlier failover under way, is asked again until the
        bound. Raises `FailoverFailed`.
        """
        deadline, said = _now() + seconds, "no Sentinel answered"
        while _now() < deadline:
            # An order binds only the Sentinel that got it: two that lead at once would promote two replicas.
            if await self.is_failing_over(name):
                return
            for client in self._clients:
                try:
                    await _ask(client, "FAILOVER", name)
                except EngineRefused as refusal:
                    said = str(refusal)
                except EngineUnreachable:
                    continue
                else:
                    return
            await asyncio.sleep(POLL_SECONDS)
        raise FailoverFailed(f"{name}: {said}")

    async def is_failing_over(self, name: str) -> bool:
        """Whether any reachable Sentinel leads a failover of the name now."""
        answers = await asyncio.gather(
            *(_ask(client, "MASTER", name) for client in self._clients), return_exceptions=True
        )
        return any("failover_in_progress" in one["flags"] for one in answers if isinstance(one, dict))

    async def _wait_ready(self, client: Client, name: str, replicas: int, seconds: float) -> None:
        deadline, seen = _now() + seconds, "nothing"
        while _now() < deadline:
            healthy = [replica for replica in await _replicas(client, name) if replica.link_up]
            if len(healthy) >= replicas:
                return
            seen = f"{len(healthy)} healthy replicas"
            await asyncio.sleep(POLL_SECONDS)
        raise FailoverFailed(f"{address_of(client)} sees {seen} for {name} after {seconds:g} s")

    async def _ensure_monitored(self, client: Client, watch: Watch, *, move: bool) -> None:
        known = await _find_master(client, watch.name)
        if known is not None and known != watch.master and move:
            await _ask(client, "REMOVE", watch.name)
            known = None
        if known is None:
            await _ask(client, "MONITOR", watch.name, watch.master.address, watch.master.port, QUORUM)
        settings = replace(watch, master=known or watch.master)
        key = (address_of(client), watch.name)
        if known is None or self._told.get(key) != settings:
            await _set(client, watch)
            self._told[key] = settings

    @staticmethod
    async def _until(look: Callable[[Client], Awaitable[str | None]], client: Client, seconds: float) -> None:
        await until(lambda: look(client), seconds, FailoverFailed, pause=POLL_SECONDS)

    async def _on_all(self, act: Callable[[Client], Awaitable[object]]) -> None:
        """Do it on every Sentinel; the first failure is raised after the others are done."""
        outcomes = await asyncio.gather(*(act(client) for client in self._clients), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _of_first(self, ask: Callable[[Client], Awaitable[Answer]]) -> Answer:
        failure: EngineError = EngineRefused("there are no Sentinels")
        for client in self._clients:
            try:
                return await ask(client)
            except EngineUnreachable as error:
                failure = error
        raise failure


async def _set(client: Client, watch: Watch) -> None:
    await _ask(client, "SET", watch.name, *_settings(watch))
    for command in _USED_BY_SENTINEL:
        if (on_wire := watch.commands.on_wire(command)) != command:
            await _ask(client, "SET", watch.name, "rename-command", command, on_wire)


def _settings(watch: Watch) -> list[object]:
    user: list[object] = ["auth-user", watch.user] if watch.user else []
    return [
        *user,
        *("auth-pass", watch.secret),
        *("down-after-milliseconds", watch.down_after_ms),
        *("failover-timeout", FAILOVER_TIMEOUT_MS),
        *("parallel-syncs", 1),
        *("client-reconfig-script", str(watch.script or "")),
    ]


async def _ensure_forgotten(client: Client, name: str) -> None:
    with contextlib.suppress(EngineRefused):
        # The only refusal there is: it does not know the name.
        await _ask(client, "REMOVE", name)


async def _find_master(client: Client, name: str) -> NodeAddress | None:
    answer = await _ask(client, "GET-MASTER-ADDR-BY-NAME", name)
    return NodeAddress(answer[0], int(answer[1])) if answer else None


async def _masters(client: Client) -> dict[str, NodeAddress]:
    return {one["name"]: NodeAddress(one["ip"], int(one["port"])) for one in await _ask(client, "MASTERS")}


async def _replicas(client: Client, name: str) -> list[KnownReplica]:
    return [
        KnownReplica(
            node=NodeAddress(replica["ip"], int(replica["port"])),
            link_up=replica["master-link-status"] == "ok"
            and not {"s_down", "o_down", "disconnected"} & set(replica["flags"].split(",")),
            flags=frozenset(replica["flags"].split(",")),
            priority=int(replica["slave-priority"]),
        )
        for replica in await _ask(client, "REPLICAS", name)
    ]


async def _ask(client: Client, *arguments: object) -> Any:
    """One SENTINEL command, with flat lists of names and values made into dictionaries."""
    answer = await call(client, "SENTINEL", *arguments)
    if arguments[0] == "MASTER":
        return _paired(answer)
    return [_paired(one) for one in answer] if arguments[0] in ("REPLICAS", "MASTERS") else answer


def _paired(flat: Sequence[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _now() -> float:
    return asyncio.get_running_loop().time()
