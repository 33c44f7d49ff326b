"""A client that writes all the time and remembers, value by value, what it was told is written."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import redis
from installation import PASSWORD, Installation, client_of
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.retry import Retry

KEYS = 2000

Connect = Callable[[], Any]


@dataclass
class Ledger:
    """What was acknowledged, what was attempted since, and what went wrong, while it runs."""

    connect: Connect
    acknowledged: dict[str, int] = field(default_factory=dict)
    """The last value of each key that the server said is written."""
    attempted: dict[str, set[int]] = field(default_factory=dict)
    """Values sent after it without an answer: they may be there or not."""
    failures: list[str] = field(default_factory=list)
    longest: float = 0.0
    """Seconds of the longest time without an acknowledged write."""
    going: bool = True

    def run(self) -> None:
        """Write one value after another, until told to stop."""
        client, number, accepted = self.connect(), 0, time.monotonic()
        while self.going:
            number += 1
            key = f"ledger:{number % KEYS}"
            try:
                client.set(key, number)
            except Exception as failure:
                self.attempted.setdefault(key, set()).add(number)
                self.failures.append(f"{type(failure).__name__}: {failure}")
                time.sleep(0.01)
                continue
            self.acknowledged[key] = number
            self.attempted.pop(key, None)
            self.longest = max(self.longest, time.monotonic() - accepted)
            accepted = time.monotonic()
        client.close()

    def lost(self) -> dict[str, tuple[int, int | None]]:
        """Keys that have neither the acknowledged value nor one sent after it, with both."""
        client = self.connect()
        found = {key: client.get(key) for key in self.acknowledged}
        client.close()
        return {
            key: (value, found[key] and int(found[key]))
            for key, value in self.acknowledged.items()
            if found[key] is None or int(found[key]) not in {value, *self.attempted.get(key, ())}
        }


@contextmanager
def writing(connect: Connect) -> Iterator[Ledger]:
    """A ledger that is written while the block runs, and complete after it."""
    ledger = Ledger(connect)
    thread = threading.Thread(target=ledger.run, daemon=True)
    thread.start()
    try:
        while len(ledger.acknowledged) < KEYS and thread.is_alive():
            time.sleep(0.01)
        yield ledger
    finally:
        ledger.going = False
        thread.join(30)


def to_cluster(installation: Installation, instance: dict[str, Any]) -> Connect:
    """Clients of a cluster that begin with the nodes it has then."""

    def connect() -> RedisCluster:
        now = installation.show(instance["instance_id"])
        assert now is not None
        nodes = [ClusterNode(address, now["port"]) for address in now["ip"].split(",")]
        return RedisCluster(startup_nodes=nodes, password=PASSWORD, socket_timeout=5)

    return connect


def to_address(instance: dict[str, Any]) -> Connect:
    """Clients of an instance address that give up at the first failure."""
    patience = {"socket_timeout": 5, "retry": Retry(NoBackoff(), 0)}
    return lambda: _plain(instance, patience)


def _plain(instance: dict[str, Any], patience: dict[str, Any]) -> redis.Redis:
    return client_of(instance, **patience)
