"""Parameters of instances as tests set them through the API, and as engines and proxies have them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import redis
from installation import Installation, eventually
from records import admin_of

OTHERS = {
    "maxmemory-policy": "allkeys-lfu",
    "notify-keyspace-events": "Kg$",
    "appendfsync": "always",
    "support-dispatch-to-replica-list": "KEYS",
    "master-read-only": "yes",
}
"""Values that are no default, of what is no number."""
_REPLICA_BUFFER = {
    "client-output-buffer-slave-hard-limit": 1,
    "client-output-buffer-slave-soft-limit": 2,
    "client-output-buffer-limit-slave-soft-seconds": 3,
}
"""Their place behind the word of the directive."""


@dataclass(frozen=True)
class Configured:
    """An instance and its parameters."""

    installation: Installation
    api: httpx.Client
    instance: dict[str, Any]

    @property
    def path(self) -> str:
        return f"/instances/{self.instance['instance_id']}"

    def configuration(self) -> dict[str, Any]:
        """What list_configurations answers."""
        answer = self.api.get(f"{self.path}/configs")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def parameters(self) -> dict[str, dict[str, Any]]:
        """Parameters by name."""
        return {one["param_name"]: one for one in self.configuration()["redis_config"]}

    def values(self) -> dict[str, str]:
        """Values by name."""
        return {name: one["param_value"] for name, one in self.parameters().items()}

    def put(self, operation: str = "configs", /, **values: object) -> httpx.Response:
        """Ask for values; names have underlines for dashes."""
        known = self.parameters()
        body = [
            {"param_id": known[name]["param_id"], "param_name": name, "param_value": str(value)}
            for name, value in ((name.replace("_", "-"), value) for name, value in values.items())
        ]
        return self.api.put(f"{self.path}/{operation}", json={"redis_config": body})

    def set(self, **values: object) -> str:
        """The values are in force, or refused; the status says which."""
        answer = self.put(**values)
        assert answer.status_code == 204, answer.text
        return self.settled()

    def settled(self) -> str:
        """The status of the last change once it has come to an end."""
        return eventually(
            lambda: status if (status := self.configuration()["config_status"]) != "UPDATING" else None
        )

    def histories(self, **query: object) -> list[dict[str, Any]]:
        """Changes, newest first."""
        answer = self.api.get(f"{self.path}/config-histories", params=query)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["histories"])

    def detail(self, history: str) -> dict[str, Any]:
        """One change."""
        return dict(self.api.get(f"{self.path}/config-histories/{history}").json())

    def another(self, name: str) -> str:
        """A value that may be and is not what the parameter is now."""
        parameter = self.parameters()[name]
        if name == "active-expire-num":
            # What can be read back: engines know steps of five.
            return "40" if parameter["param_value"] != "40" else "45"
        if parameter["value_type"] == "Interger":
            least, most = map(int, parameter["value_range"].split("-"))
            # Not the greatest: of some it is more than the machine has.
            return str(least + 1 if parameter["param_value"] != str(least + 1) else min(least + 2, most))
        choices = parameter["value_range"].split(",")
        return next(
            word for word in (OTHERS.get(name), *choices) if word is not None and word != parameter["param_value"]
        )

    def addresses(self, kind: str) -> list[str]:
        """Own addresses of the `redis-server` or `redis-proxy` ones."""
        nodes = self.api.get(f"{self.path}/logical-nodes").json()["nodes"]
        return [one["node_ip"] for one in nodes if one["node_role"] == kind]

    @contextmanager
    def clients(self, kind: str = "redis-server") -> Iterator[list[redis.Redis]]:
        """The control plane's own clients."""
        with ExitStack() as stack:
            there = self.addresses(kind)
            yield [stack.enter_context(admin_of(self.installation, self.instance, one)) for one in there]

    def assert_in_force(self, *names: str) -> None:
        """What the API says of these parameters, or of all, is what engines and proxies say."""
        values = self.values()
        mode = self.instance["cache_mode"]
        behind = mode in ("proxy", "ha_rw_split")
        with self.clients() as nodes, self.clients("redis-proxy") as proxies:
            assert nodes
            assert bool(proxies) == behind
            for name in names or values:
                if behind and name in ("timeout", "maxclients"):
                    _assert_clients_limited(name, values[name], nodes, proxies)
                elif name.startswith("proxy-slowlog"):
                    told = [one.config_get(name.removeprefix("proxy-")) for one in proxies]
                    assert told == [{name.removeprefix("proxy-"): values[name]}] * len(proxies)
                elif name == "proto-max-bulk-len" and behind:
                    assert {one.config_get(name)[name] for one in (*nodes, *proxies)} == {values[name]}
                else:
                    for node in nodes:
                        assert seen_on(node, name) in (values[name], UNSEEN), name

    def __str__(self) -> str:
        return str(self.instance["cache_mode"])


UNSEEN = "unseen"
_NOT_ON_NODES = {
    "auto-kill-timeout-lua-process",
    "cluster-sentinel-enabled",
    "dispatch-pubsub-to-fixed-shard",
    "multi-db",
    "readonly-lua-route-to-slave-enabled",
    "support-dispatch-to-replica-list",
}


def seen_on(node: redis.Redis, name: str) -> str:
    """The parameter's value by what the engine says; `UNSEEN` where engines know nothing of it."""
    if name in _NOT_ON_NODES:
        return UNSEEN
    if name in _REPLICA_BUFFER:
        words = node.config_get("client-output-buffer-limit")["client-output-buffer-limit"].split()
        start = max(place for place, word in enumerate(words) if word in ("slave", "replica"))
        return str(words[start + _REPLICA_BUFFER[name]])
    if name == "master-read-only":
        tenant = node.acl_getuser("default")
        return "yes" if "-@write" in str(tenant["commands"]) + str(tenant["categories"]) else "no"
    if name == "active-expire-num":
        found = node.config_get("active-expire-effort", "hz")
        keys = 20 + 5 * (int(found["active-expire-effort"]) - 1)
        return str(keys) if found["hz"] == "10" else f"{keys} times {found['hz']}"
    told = str(node.config_get(name)[name])
    return _as_documented(told) if name == "notify-keyspace-events" else told


def _as_documented(events: str) -> str:
    """The engine tells the letters in another order: K or E first."""
    return "".join(sorted(events, key=lambda letter: (letter not in "KE", "KEg$lshzxe".find(letter))))


def _assert_clients_limited(name: str, value: str, nodes: list[redis.Redis], proxies: list[redis.Redis]) -> None:
    """Proxies keep to it among themselves, and the nodes behind them do not."""
    share = str(int(value) // len(proxies)) if name == "maxclients" else value
    assert {one.config_get(name)[name] for one in proxies} == {share}
    behind = {one.config_get(name)[name] for one in nodes}
    assert behind == {"0"} if name == "timeout" else min(map(int, behind)) >= 10_000
