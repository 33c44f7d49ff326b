"""A shard that Sentinels watch, as those see it who change its master: when one is lost, and as planned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from cachestead.engine.acl import ADMIN
from cachestead.engine.addresses import NodeAddress
from cachestead.engine.commands import AdminCommands
from cachestead.engine.connection import Client, connect

ANSWER_SECONDS = 1.0


@dataclass(frozen=True)
class WatchedShard:
    """A master and who may take its place."""

    name: str
    """The name Sentinels watch it by."""
    master: NodeAddress
    """By its own address. If it is lost and only frozen, end it first: it still holds the instance address."""
    replicas: Sequence[NodeAddress]
    vip: str | None
    """The instance address, which the master binds; None where proxies have it."""
    secret: str = field(repr=False)
    user: str | None = ADMIN
    commands: AdminCommands = field(default_factory=AdminCommands)

    def connect(self, node: NodeAddress) -> Client:
        """An impatient client of a node of the shard; the caller closes it."""
        return connect(node, self.secret, user=self.user, commands=self.commands, answer_seconds=ANSWER_SECONDS)
