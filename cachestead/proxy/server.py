"""The proxy: its listeners, its clients, and what it knows of itself."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import random
import socket
import time
from importlib import import_module
from itertools import count

from cachestead.proxy.batches import Entry, Gathering
from cachestead.proxy.calls import Call
from cachestead.proxy.configuration import DEFAULT_USER, Address, Layout, ProxyConfiguration
from cachestead.proxy.framing import MAX_BULK, Frame, arguments
from cachestead.proxy.replies import error
from cachestead.proxy.router import Router
from cachestead.proxy.session import HIGH_WATER, Session
from cachestead.proxy.statistics import SAMPLE_EVERY, Statistics
from cachestead.proxy.vocabulary import Vocabulary

for _topic in ("blocking", "connection", "keyspace", "pubsub", "serving", "transactions"):
    import_module(f"cachestead.proxy.{_topic}")

BACKLOG = 4096
PIECES_BYTES = 32 * 1024 * 1024
STALLED_SECONDS = 5.0
"""How long a client may hold up a data node by not taking a large reply."""
TOO_MANY = error("ERR max number of clients reached")
TELL_SECRETS = frozenset({"auth", "hello"})
"""Commands that the slow log does not keep, as an engine's does not."""
LISTENER_HARD_BYTES = 32 * 1024 * 1024
LISTENER_SOFT_BYTES, LISTENER_SOFT_SECONDS = 8 * 1024 * 1024, 60.0
"""Messages that may wait for a listening client (service limits, section 2)."""


class Proxy:
    """One proxy process."""

    def __init__(self, configuration: ProxyConfiguration) -> None:
        self.configuration = configuration
        self.router = Router(configuration)
        self.router.on_slow = self._note_slow
        self.statistics = Statistics()
        self.vocabulary = Vocabulary(None, configuration)
        self._admitted = _networks(configuration)
        self.sessions: dict[int, Session] = {}
        self.controls: set[Session] = set()
        self.is_replicated = configuration.layout is Layout.REPLICATED
        self.max_bulk = MAX_BULK
        self._ids = count(random.randrange(1, 2**20))  # noqa: S311 - no secret
        self._listening: Address | None = None
        self._servers: list[asyncio.Server] = []
        self._late_listeners: dict[int, float] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()

    async def start(self) -> None:
        """Listen for the control plane at once, for clients as soon as the data nodes are known."""
        loop = asyncio.get_running_loop()
        own = self.configuration.own
        self._own_server = await loop.create_server(
            lambda: Session(self, is_admin=True), own.host, own.port, backlog=128
        )
        self.router.start()
        self._changed.set()
        self._tasks = [loop.create_task(self._keep_listening()), loop.create_task(self._tick())]

    async def close(self) -> None:
        """End everything."""
        for task in self._tasks:
            task.cancel()
        self._own_server.close()
        self._close_endpoint()
        await self.router.close()

    def configure(self, configuration: ProxyConfiguration) -> None:
        """Be this from now on. Clients that are there stay, unless the endpoint moves away under them."""
        self.configuration = configuration
        self.is_replicated = configuration.layout is Layout.REPLICATED
        self.router.configure(configuration)
        self._admitted = _networks(configuration)
        self._obey()
        self._changed.set()
        for session in self.clients():
            if not self._is_admitted(session):
                session.kill()

    def state(self) -> str:
        """`ok`, or what is missing for clients to be served."""
        if self.router.lookout.commands is None:
            return "no data node has answered yet"
        if not self.router.topology.is_complete:
            return "not every slot has a master"
        if self.configuration.endpoint != self._listening:
            return f"does not listen at {self.configuration.endpoint} yet"
        return "ok"

    # Clients

    def next_id(self) -> int:
        """An id for a client; ids of different proxies do not follow each other."""
        return next(self._ids)

    def admit(self, session: Session) -> None:
        """A client came."""
        if session.is_admin:
            self.controls.add(session)
            return
        self.statistics.connections += 1
        if not self._is_admitted(session):
            self.statistics.rejected += 1
            session.kill()
            return
        if len(self.sessions) >= self.configuration.maxclients:
            self.statistics.rejected += 1
            session.drop(TOO_MANY)
            return
        self.sessions[session.id] = session
        self.greet(session)

    def greet(self, session: Session) -> None:
        """A client is new, or as good as new."""
        session.is_authenticated, session.user = False, DEFAULT_USER
        if self.configuration.password_hash is None and not session.is_admin:
            session.accept()
        else:
            session.settle()

    def _is_admitted(self, session: Session) -> bool:
        """Whether the whitelist, where there is one, has the client's address."""
        if not self._admitted:
            return True
        try:
            address = ipaddress.ip_address(session.peer.rpartition(":")[0])
        except ValueError:
            return False  # it has gone again, and nobody knows where it came from
        return any(address in network for network in self._admitted)

    def dismiss(self, session: Session) -> None:
        """A client has gone; what it did is counted on."""
        self.sessions.pop(session.id, None)
        self.statistics.take_over(session.commands, session.bytes_in, session.bytes_out)
        self.controls.discard(session)

    def clients(self) -> list[Session]:
        """The tenant's clients, oldest first."""
        return list(self.sessions.values())

    def limits_listener(self, session: Session) -> bool:
        """Whether too many messages wait for a client."""
        waiting = session.waiting_output
        if waiting > LISTENER_HARD_BYTES:
            return True
        if waiting <= LISTENER_SOFT_BYTES:
            self._late_listeners.pop(session.id, None)
            return False
        since = self._late_listeners.setdefault(session.id, time.monotonic())
        return time.monotonic() - since > LISTENER_SOFT_SECONDS

    def piece_limit(self) -> int:
        """How much of a large reply may wait for its client before its data node has to: less, the more do."""
        held = sum(session.held_up is not None for session in self.sessions.values())
        return max(HIGH_WATER, PIECES_BYTES // (held + 1))

    # What was done

    def sample(self, session: Session, frames: list[Frame]) -> None:
        """It is one of these requests' turn to be looked at for its key."""
        hot = self.statistics.hot
        frame = frames[-hot.countdown % len(frames)]
        hot.countdown = SAMPLE_EVERY
        command = self.vocabulary.get(frame[1])
        if command is not None and command.key_specs and command.key_specs[0].index == 1:
            hot.sample(session.style.database, frame[3])

    def took(self, call: Call, microseconds: int) -> None:
        """A request that had its connection for itself is done."""
        command = call.command
        command.calls += 1
        call.session.commands += 1
        if not command.blocks:
            command.microseconds += microseconds
            command.buckets[microseconds.bit_length()] += 1
            if microseconds > self.router.slow_microseconds and command.name not in TELL_SECRETS:
                self.statistics.slow.add(call.words, microseconds, call.session.peer, call.session.name)

    def _note_slow(self, entry: Entry, microseconds: int) -> None:
        while isinstance(part := entry[0], Gathering):
            if part.left > 1:
                # The last part tells of the whole.
                return
            entry = part.into
        session = getattr(entry[0], "session", None)
        if session is not None:
            words = arguments(entry[3])
            self.statistics.slow.add(words, microseconds, session.peer, session.name)

    def facts(self) -> dict[str, dict[str, object]]:
        """What INFO says of the proxy, by section."""
        statistics, now = self.count(), time.monotonic()
        blocked = sum(session.task is not None for session in self.sessions.values())
        return {
            "Server": {
                "redis_mode": "proxy",
                "process_id": os.getpid(),
                "tcp_port": self.configuration.own.port,
                "uptime_in_seconds": int(now - statistics.began),
            },
            "Clients": {
                "connected_clients": len(self.sessions),
                "maxclients": self.configuration.maxclients,
                "blocked_clients": blocked,
            },
            "Stats": {
                "total_connections_received": statistics.connections,
                "total_commands_processed": statistics.commands,
                "instantaneous_ops_per_sec": statistics.commands_per_second,
                "total_net_input_bytes": statistics.bytes_in,
                "total_net_output_bytes": statistics.bytes_out,
                "instantaneous_input_kbps": f"{statistics.kilobytes_in:.2f}",
                "instantaneous_output_kbps": f"{statistics.kilobytes_out:.2f}",
                "rejected_connections": statistics.rejected,
                "client_output_buffer_limit_disconnections": statistics.dropped_for_output,
                "acl_access_denied_auth": statistics.failed_logins,
            },
            "Proxy": {
                "proxy_id": self.configuration.id,
                "proxy_state": self.state(),
                "proxy_shards": len(self.router.topology.shards),
                "proxy_readers": len(self.router.topology.readers),
                "proxy_connected_clients": len(self.sessions),
                "proxy_uptime_in_seconds": int(now - statistics.began),
                "proxy_slowlog_len": len(statistics.slow.entries),
            },
            "Commandstats": {
                f"cmdstat_{command.name}": f"calls={command.calls},usec={command.microseconds},"
                f"usec_per_call={command.microseconds / command.calls:.2f}"
                for command in self.vocabulary
                if command.calls
            },
        }

    def count(self) -> Statistics:
        """The counters, with what the clients that are here have done."""
        sessions = self.sessions.values()
        self.statistics.add_up(
            sum(session.commands for session in sessions),
            sum(session.bytes_in for session in sessions),
            sum(session.bytes_out for session in sessions),
        )
        return self.statistics

    def settings(self) -> dict[str, str]:
        """What CONFIG GET tells: what clients ask for at their start, and nothing that is not theirs."""
        parameters = self.configuration.parameters
        return {
            "appendonly": "yes",
            "databases": str(self.configuration.databases),
            "maxclients": str(self.configuration.maxclients),
            "maxmemory-policy": parameters.get("maxmemory-policy", "volatile-lru"),
            "notify-keyspace-events": "",
            "proto-max-bulk-len": str(self.max_bulk),
            "save": "",
            "slowlog-log-slower-than": str(self.router.slow_microseconds),
            "slowlog-max-len": str(self.statistics.slow.entries.maxlen),
            "timeout": parameters.get("timeout", "0"),
        }

    # Inside

    def _obey(self) -> None:
        """Take over what the parameters say."""
        parameters = self.configuration.parameters
        self.max_bulk = int(parameters.get("proto-max-bulk-len", MAX_BULK))
        self.router.slow_microseconds = int(parameters.get("proxy-slowlog-log-slower-than", 500_000))
        self.statistics.slow.resize(int(parameters.get("proxy-slowlog-max-len", 128)))
        self.vocabulary = Vocabulary(self.router.lookout.commands, self.configuration)
        for session in self.clients():
            session.keep_to_account()

    async def _keep_listening(self) -> None:
        """Listen where the configuration says, as soon as there is something to serve."""
        await self.router.is_ready.wait()
        self._obey()
        while True:
            await self._changed.wait()
            self._changed.clear()
            wanted = self.configuration.endpoint
            if wanted == self._listening:
                continue
            self._close_endpoint()
            if wanted is not None:
                try:
                    await self._open(wanted)
                except OSError as wrong:
                    print(f"cannot listen at {wanted}: {wrong}", flush=True)  # noqa: T201 - the node's log
                    await asyncio.sleep(0.02)
                    self._changed.set()

    async def _open(self, address: Address) -> None:
        listener = socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind((address.host, address.port))
            loop = asyncio.get_running_loop()
            self._servers.append(await loop.create_server(lambda: Session(self), sock=listener, backlog=BACKLOG))
        except OSError:
            listener.close()
            raise
        self._listening = address

    def _close_endpoint(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()
        self._listening = None
        for session in self.clients():
            session.kill()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1)
            now = time.monotonic()
            self.count().tick(now)
            self.router.recent.turn()
            timeout = float(self.configuration.parameters.get("timeout", 0))
            for session in self.clients():
                if session.is_stalled(now, STALLED_SECONDS):
                    session.kill()
            for session in self.clients() if timeout else ():
                if now - session.active > timeout and session.task is None and session.subscriptions is None:
                    session.drop()
            self._late_listeners = {key: at for key, at in self._late_listeners.items() if key in self.sessions}


def _networks(configuration: ProxyConfiguration) -> tuple[ipaddress.IPv4Network, ...]:
    return tuple(map(ipaddress.IPv4Network, configuration.admitted))
