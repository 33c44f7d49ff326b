"""Flavors: the sizes and shapes on offer, and which of them fit an order.

The catalogue is data (`data/flavors.csv`, facts of the public service); this file gives it types and answers
questions about it. Reference: sections 4.1.1 and 4.15.1.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cachestead.domain.instances import Mode
from cachestead.domain.sizes import Bytes, MiB, bytes_of, capacity_text, mib_of_gb


@dataclass(frozen=True)
class Flavor:
    """One row of the catalogue. A few old codes cover several capacities, each a row of its own."""

    spec_code: str
    engine: str
    engine_versions: tuple[str, ...]
    mode: Mode
    cpu_type: str
    capacity_gb: float
    replica_count: int
    """Nodes per shard, master included."""
    sharding_num: int
    proxy_num: int
    """As the catalogue prints it; how many there are is `domain/proxies.py`'s to say."""
    db_number: int
    max_memory_gb: float
    """What clients can use of the capacity."""
    max_connections: int
    max_connections_limit: int
    max_bandwidth_mbit: int
    assured_bandwidth_mbit: int
    tenant_ip_count: int
    edition: str
    pricing_type: str

    @property
    def node_count(self) -> int:
        """Data nodes of an instance."""
        return self.replica_count * self.sharding_num

    @property
    def max_memory(self) -> MiB:
        """Usable memory of the whole instance."""
        return mib_of_gb(self.max_memory_gb)

    @property
    def node_memory(self) -> Bytes:
        """Usable memory of one node: the engine's `maxmemory`."""
        return Bytes(bytes_of(self.max_memory) // self.sharding_num)

    @property
    def promised_memory(self) -> MiB:
        """What all its nodes together may take of the machine."""
        return MiB(self.max_memory * self.replica_count)

    @property
    def node_connections(self) -> int:
        """The engine's `maxclients` per node."""
        return max(1, self.max_connections // self.sharding_num)


@dataclass(frozen=True)
class FlavorFilter:
    """What a caller may filter flavors by; None matches all."""

    spec_code: str | None = None
    mode: str | None = None
    engine: str | None = None
    engine_version: str | None = None
    cpu_type: str | None = None
    capacity: str | None = None

    def matches(self, flavor: Flavor) -> bool:
        """Whether the flavor passes."""
        return (
            self.spec_code in (None, flavor.spec_code)
            and self.mode in (None, flavor.mode)
            and (self.engine is None or self.engine.lower() == flavor.engine)
            and (self.engine_version is None or self.engine_version in flavor.engine_versions)
            and self.cpu_type in (None, flavor.cpu_type)
            and self.capacity in (None, capacity_text(flavor.capacity_gb))
        )


class FlavorCatalogue:
    """Every flavor there is, in the catalogue's order."""

    def __init__(self, flavors: Iterable[Flavor]) -> None:
        self.flavors = tuple(flavors)
        self._by_code: dict[str, list[Flavor]] = defaultdict(list)
        for flavor in self.flavors:
            self._by_code[flavor.spec_code].append(flavor)

    def find(self, spec_code: str, capacity_gb: float | None = None) -> Flavor | None:
        """The flavor of this code (and capacity, where a code covers several), or None."""
        rows = self._by_code.get(spec_code, [])
        if capacity_gb is None:
            return rows[0] if rows else None
        return next((row for row in rows if row.capacity_gb == capacity_gb), None)

    def has_code(self, spec_code: str) -> bool:
        """Whether any capacity has this code."""
        return spec_code in self._by_code

    def get(self, spec_code: str, capacity_gb: float) -> Flavor:
        """The flavor of an instance on record; raises KeyError, which would be a broken record."""
        found = self.find(spec_code, capacity_gb)
        if found is None:
            raise KeyError((spec_code, capacity_gb))
        return found

    def list(self, wanted: FlavorFilter) -> list[Flavor]:
        """The flavors that pass a filter."""
        return [flavor for flavor in self.flavors if wanted.matches(flavor)]

    @property
    def capacities(self) -> set[float]:
        """Every capacity on offer, in GB."""
        return {flavor.capacity_gb for flavor in self.flavors}


def parse_flavors(text: str) -> FlavorCatalogue:
    """The catalogue out of its CSV text."""
    return FlavorCatalogue(_flavor(row) for row in csv.DictReader(text.splitlines()))


def _flavor(row: dict[str, Any]) -> Flavor:
    return Flavor(
        spec_code=row["spec_code"],
        engine=row["engine"],
        engine_versions=tuple(filter(None, row["engine_versions"].split(";"))),
        mode=Mode(row["cache_mode"]),
        cpu_type=row["cpu_type"],
        capacity_gb=float(row["capacity_gb"]),
        replica_count=int(row["replica_count"]),
        sharding_num=int(row["sharding_num"]),
        proxy_num=int(row["proxy_num"] or row["sharding_num"]),
        db_number=int(row["db_number"]),
        max_memory_gb=float(row["max_memory_gb"]),
        max_connections=int(row["max_connections_default"]),
        max_connections_limit=int(row["max_connections_limit"]),
        max_bandwidth_mbit=int(row["max_bandwidth_mbit"]),
        assured_bandwidth_mbit=int(row["assured_bandwidth_mbit"]),
        # The catalogue's sources leave a few open; one address per node is what such an instance takes.
        tenant_ip_count=int(row["tenant_ip_count"] or row["replica_count"]),
        edition=row["edition"],
        pricing_type=row["pricing_type"],
    )
