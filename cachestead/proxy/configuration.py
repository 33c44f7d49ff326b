"""What a proxy is told: who it is, where it listens, which data nodes there are and what clients may do.

One value, given as a file at the start and by `PROXY CONFIGURE` while it runs. A proxy asks nobody else: with this
and its data nodes it serves, whether or not the control plane is there. It is small on purpose, because a proxy
has to be back within a second: nothing here may import more than the standard library.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network
from typing import Any, TypeVar

Checked = TypeVar("Checked")

CONFIGURATION_FILE = "proxy.json"


class Layout(StrEnum):
    """How the data nodes share the keys."""

    CLUSTER = "cluster"
    """A Redis Cluster: each shard has its slots (Proxy Cluster)."""
    REPLICATED = "replicated"
    """One master with replicas that take reads (read/write splitting)."""


@dataclass(frozen=True)
class Address:
    """Where somebody listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class DataNode:
    """A data node that the proxy may use; its role is asked of itself."""

    id: str
    address: Address
    weight: int = 100
    """Its share of the reads while it is a replica; 0 takes none."""


@dataclass(frozen=True)
class AccountLogin:
    """Who may log in besides `default`, and whether only to read."""

    password_hash: str = field(repr=False)
    """SHA-256 in hexadecimal."""
    reads_only: bool = False


@dataclass(frozen=True)
class ProxyConfiguration:
    """Everything a proxy is told."""

    id: str
    own: Address
    """Where the control plane reaches this very proxy. Tenants are not let in there."""
    endpoint: Address | None
    """The instance address, which all proxies of the instance share; None: serve nobody yet."""
    layout: Layout
    nodes: tuple[DataNode, ...]
    """Data nodes. Of a cluster they are where to ask for the others."""
    version: str
    """The instance's version (`6.0`), which decides what clients may call."""
    user: str
    secret: str = field(repr=False)
    """How the proxy logs in to data nodes."""
    admin_hash: str = field(repr=False)
    """SHA-256 in hexadecimal of the control plane's password; its user is `ADMIN_USER`."""
    password_hash: str | None = field(repr=False)
    """The same of the tenant's password (user `default`); None: no password is needed."""
    reader: str = ""
    """The user, with the same secret, that the proxy logs in as for accounts which only read."""
    accounts: Mapping[str, AccountLogin] = field(default_factory=dict)
    """The tenant's accounts besides `default`, by name."""
    admitted: tuple[str, ...] = ()
    """Networks that clients may come from; empty: all."""
    refused: frozenset[str] = frozenset()
    """Commands (`wait`) and subcommands (`config|set`) that the tenant may not call, in lower case."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Names given to commands, by the command's own name."""
    maxclients: int = 10_000
    databases: int = 1
    """How many SELECT may choose from; more than one only where the data nodes have as many."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """DCS parameters that the proxy itself obeys (`timeout`, `proxy-slowlog-max-len`, …)."""

    def to_json(self) -> str:
        """As text, secrets included."""
        return json.dumps(asdict(self), default=sorted, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> ProxyConfiguration:
        """The value that `to_json` wrote. Raises `ValueError`, `KeyError` or `TypeError` for anything else."""
        fields: dict[str, Any] = json.loads(text)
        fields["own"] = _address(fields["own"])
        fields["endpoint"] = _address(fields["endpoint"]) if fields["endpoint"] else None
        fields["layout"] = Layout(fields["layout"])
        fields["nodes"] = tuple(_node(**node) for node in fields["nodes"])
        fields["admitted"] = tuple(_checked(fields["admitted"], list))
        fields["refused"] = frozenset(_checked(fields["refused"], list))
        accounts = _checked(fields["accounts"], dict)
        fields["accounts"] = {name: AccountLogin(**account) for name, account in accounts.items()}
        made = cls(**fields)
        made._check()
        return made

    def _check(self) -> None:
        """Everything is what it says it is: a proxy must not find out while it serves."""
        texts = [self.id, self.version, self.user, self.reader, self.secret, self.admin_hash, *self.refused]
        if self.password_hash is not None:
            texts.append(self.password_hash)
        for names in (self.renamed, self.parameters):
            texts += [word for pair in _checked(names, dict).items() for word in pair]
        for name, account in self.accounts.items():
            texts += [name, account.password_hash]
            _checked(account.reads_only, bool)
        for text in texts:
            _checked(text, str)
        for number in (self.maxclients, self.databases):
            _checked(number, int)
        for network in self.admitted:
            IPv4Network(_checked(network, str))
        for name in NUMBERS:
            int(self.parameters.get(name, "0"))


NUMBERS = ("proto-max-bulk-len", "proxy-slowlog-log-slower-than", "proxy-slowlog-max-len", "timeout")
"""Parameters that the proxy reads as numbers."""


def _address(fields: dict[str, Any]) -> Address:
    address = Address(**fields)
    _checked(address.host, str)
    _checked(address.port, int)
    return address


def _node(id: str, address: dict[str, Any], weight: int) -> DataNode:  # noqa: A002 - the field's name
    return DataNode(_checked(id, str), _address(address), _checked(weight, int))


def _checked(value: Checked, kind: type) -> Checked:
    if not isinstance(value, kind):
        raise TypeError(f"{value!r} is not a {kind.__name__}")
    return value


DEFAULT_USER = "default"
"""Who a client is that says no name."""
ADMIN_USER = "cachestead"
"""The control plane's user name at a proxy, as at the data nodes."""
