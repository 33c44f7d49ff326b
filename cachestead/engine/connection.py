"""Connections to nodes as our own user, and the one place where redis-py's exceptions become ours.

A client made here translates renamed commands on the wire, so callers use the commands' own names on every node.
`Connections` keeps one client per node; a client reconnects by itself and is dropped when the node is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import redis.asyncio as redis
from redis.asyncio.connection import Connection, ConnectionPool, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from cachestead.engine.acl import ADMIN
from cachestead.engine.addresses import NodeAddress, calling_from
from cachestead.engine.commands import AdminCommands
from cachestead.engine.errors import EngineBusy, EngineRefused, EngineUnreachable

Client = redis.Redis
CONNECT_SECONDS = 1.0
ANSWER_SECONDS = 5.0
AT_ONCE = 16
"""Connections per node; more callers wait for one to come free."""


def connect(
    node: NodeAddress,
    secret: str | None,
    *,
    user: str | None = ADMIN,
    commands: AdminCommands | None = None,
    answer_seconds: float = ANSWER_SECONDS,
    database: int = 0,
    name: str | None = None,
    authority: str | None = None,
) -> Client:
    """A client for one node; connects at its first command. `user` is None where the engine has no users.

    `name` is what CLIENT LIST calls its connections. With an `authority` (PEM) it speaks TLS, and only to nodes
    that this vouches for.

    Never retries by itself: every caller here polls, and a second attempt inside a first hides what happened.
    Bytes that are no text (a key may be any) come as surrogates and are sent as they came.
    """
    tls: dict[str, Any] = {"ssl_ca_data": authority, "ssl_check_hostname": True} if authority else {}
    pool: ConnectionPool = ConnectionPool(
        connection_class=_TlsConnection if tls else _Connection,
        commands=commands or AdminCommands(),
        host=node.address,
        port=node.port,
        username=user,
        password=secret,
        db=database,
        client_name=name,
        decode_responses=True,
        encoding_errors="surrogateescape",
        protocol=2,
        max_connections=AT_ONCE,
        socket_connect_timeout=min(CONNECT_SECONDS, answer_seconds),
        socket_timeout=answer_seconds,
        retry=Retry(NoBackoff(), 0),
        **tls,
    )
    return redis.Redis.from_pool(pool)


def with_patience(client: Client, answer_seconds: float, *, database: int = 0) -> Client:
    """A client for the same node and user that waits longer for answers; the caller closes it."""
    arguments = client.connection_pool.connection_kwargs
    return connect(
        address_of(client),
        arguments["password"],
        user=arguments["username"],
        commands=arguments["commands"],
        answer_seconds=answer_seconds,
        database=database,
    )


def address_of(client: Client) -> NodeAddress:
    """The node a client talks to."""
    arguments = client.connection_pool.connection_kwargs
    return NodeAddress(arguments["host"], arguments["port"])


@asynccontextmanager
async def answering(client: Client) -> AsyncIterator[None]:
    """Turns what redis-py raises inside into `EngineUnreachable` or `EngineRefused`, such as `EngineBusy`."""
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError, OSError) as error:
        raise EngineUnreachable(address_of(client), str(error) or type(error).__name__) from error
    except RedisError as error:
        busy = str(error).startswith("BUSY ")
        raise (EngineBusy if busy else EngineRefused)(str(error)) from error


async def call(client: Client, *arguments: Any) -> Any:
    """The answer to one command; raises `EngineUnreachable` or `EngineRefused`."""
    async with answering(client):
        return await client.execute_command(*arguments)  # type: ignore[no-untyped-call]


async def call_each(client: Client, commands: Sequence[Sequence[Any]]) -> list[Any]:
    """The answers to several commands, in one round trip. The first refusal is raised."""
    if not commands:
        return []
    async with answering(client), client.pipeline(transaction=False) as pipeline:
        for command in commands:
            pipeline.execute_command(*command)
        return list(await pipeline.execute())


@asynccontextmanager
async def connected(node: NodeAddress, secret: str | None, **how: Any) -> AsyncIterator[Client]:
    """A client for the length of a block."""
    client = connect(node, secret, **how)
    try:
        async with answering(client):
            yield client
    finally:
        await client.aclose()


class Connections:
    """One client per node and secret, kept for the next caller."""

    def __init__(self) -> None:
        self._clients: dict[NodeAddress, tuple[str | None, Client]] = {}
        self._retired: list[Client] = []

    def get(
        self,
        node: NodeAddress,
        secret: str | None,
        *,
        user: str | None = ADMIN,
        commands: AdminCommands | None = None,
    ) -> Client:
        """The client of a node. A new secret makes a new client; whoever has the old one may finish with it."""
        kept = self._clients.get(node)
        if kept is not None and kept[0] != secret:
            self._retired.append(kept[1])
            kept = None
        if kept is None:
            # Among the clients of an engine without users, only a name tells which are ours.
            name = ADMIN if user is None else None
            kept = (secret, connect(node, secret, user=user, commands=commands, name=name))
            self._clients[node] = kept
        return kept[1]

    async def forget(self, node: NodeAddress) -> None:
        """Close a node's connections; fine if there are none."""
        if kept := self._clients.pop(node, None):
            await kept[1].aclose()

    async def close(self) -> None:
        """Close everything."""
        for node in list(self._clients):
            await self.forget(node)
        for client in self._retired:
            await client.aclose()
        self._retired.clear()


class _Connection(Connection):
    """Comes from where we are admitted, and sends commands under the names that the node knows them by."""

    def __init__(self, *, commands: AdminCommands, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._commands = commands

    def _connection_arguments(self) -> dict[str, Any]:
        return {
            **super()._connection_arguments(),
            "local_addr": calling_from(NodeAddress(self.host, self.port)),
        }

    async def send_command(self, *args: Any, **options: Any) -> None:
        await super().send_command(*self._renamed(args), **options)

    def pack_commands(self, commands: Iterable[Iterable[Any]]) -> list[bytes]:
        """Pipelines come this way."""
        return super().pack_commands([self._renamed(tuple(command)) for command in commands])

    def _renamed(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        if not self._commands.names or not isinstance(args[0], str):
            return args
        # redis-py writes "CONFIG GET" as one word and splits it while packing.
        first, *rest = args[0].split(" ")
        return (self._commands.on_wire(first), *rest, *args[1:])


class _TlsConnection(_Connection, SSLConnection):
    """The same by TLS."""
