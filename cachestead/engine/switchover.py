"""A planned change of master in a shard that Sentinels watch: no acknowledged write is lost.

The old master holds its clients' writes, the replica takes what is left, and only then a Sentinel promotes it: so the
Sentinels decided it, agree afterwards and need not be told. Three roads were measured (see `docs`): the engine's own
FAILOVER is quicker, but Sentinels go on believing in the old master for half a minute and then fail over again, and
telling them anew loses to any Sentinel that was away and comes back with a newer epoch. Where Sentinels can order
FAILOVER themselves (Valkey 9) they do, which is quicker and just as safe.

Invariant: the instance address is bound by the new master only after the old one let go of it; if the promotion does
not come, the old master goes on as it was.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field

from cachestead.engine.acl import ADMIN
from cachestead.engine.addresses import NodeAddress
from cachestead.engine.commands import AdminCommands
from cachestead.engine.connection import Client, call, connected
from cachestead.engine.endpoint import ensure_bound, ensure_unbound
from cachestead.engine.errors import EngineError, FailoverFailed, ReplicationLate
from cachestead.engine.failover import Takeover
from cachestead.engine.info import observe_role
from cachestead.engine.polling import until
from cachestead.engine.replication import ensure_replica_of, wait_caught_up
from cachestead.engine.sentinel import Sentinels
