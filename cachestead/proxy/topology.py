"""Which data node serves what: read from what the nodes say of themselves. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cachestead.proxy.configuration import Address, DataNode
from cachestead.proxy.slots import SLOT_COUNT

NOBODY = 255
"""Stands for a shard where a slot has no master."""
MAX_LAG_BYTES = 1024 * 1024
"""A replica that is further behind takes no reads."""
MAX_SILENCE_SECONDS = 15
"""Nor does one that has not heard of its master for so long; masters write every ten seconds at least."""


@dataclass(frozen=True)
class Shard:
    """A master and those that copy it."""

    master: Address
    replicas: tuple[Address, ...] = ()


@dataclass(frozen=True)
class Topology:
    """Shards, and the index of each slot's shard."""

    shards: tuple[Shard, ...] = ()
    owner_of: bytes = field(default=bytes([NOBODY]) * SLOT_COUNT, repr=False)
    readers: tuple[tuple[Address, int], ...] = ()
    """Replicas that take reads, with their weights (replicated layout only)."""

    @property
    def is_complete(self) -> bool:
        """Whether every slot has a master."""
        return NOBODY not in self.owner_of

    def losers(self, before: Topology) -> set[Address]:
        """Masters that had slots before which are others' now."""
        if self.owner_of == before.owner_of and self.shards == before.shards:
            return set()
        now = [shard.master for shard in self.shards]
        moved = {
            (old, new)
            for old, new in set(zip(before.owner_of, self.owner_of, strict=True))
            if old != NOBODY != new
        }
        return {before.shards[old].master for old, new in moved if before.shards[old].master != now[new]}

    def shard_of(self, address: Address) -> int:
        """The index of the shard this master serves, -1 if it serves none."""
        return next((index for index, shard in enumerate(self.shards) if shard.master == address), -1)


@dataclass(frozen=True)
class _Line:
    """A node as another one sees it."""

    id: str
    address: Address
    flags: frozenset[str]
    master: str
    epoch: int
    ranges: tuple[tuple[int, int], ...]


def cluster_topology(views: Iterable[str]) -> Topology:
    """The topology out of what CLUSTER NODES answered on some nodes.

    A slot belongs to who claims it with the newest epoch: a new master is believed before the others have heard
    of it. A node that is known to have failed claims nothing.
    """
    claims: list[tuple[int, Address] | None] = [None] * SLOT_COUNT
    replicas: dict[str, dict[str, Address]] = {}
    masters: dict[Address, str] = {}
    for line in (line for view in views for line in _lines(view)):
        if line.flags & {"fail", "noaddr", "handshake"}:
            continue
        if "master" not in line.flags:
            replicas.setdefault(line.master, {})[line.id] = line.address
            continue
        masters[line.address] = line.id
        claim = (line.epoch, line.address)
        for first, last in line.ranges:
            for slot in range(first, last + 1):
                known = claims[slot]
                if known is None or known < claim:
                    claims[slot] = claim
    owners = list(dict.fromkeys(claim[1] for claim in claims if claim))
    index = {address: number for number, address in enumerate(owners)}
    return Topology(
        tuple(Shard(owner, tuple(replicas.get(masters[owner], {}).values())) for owner in owners),
        bytes(index[claim[1]] if claim else NOBODY for claim in claims),
    )


def _lines(view: str) -> Iterable[_Line]:
    for text in view.splitlines():
        fields = text.split()
        if len(fields) < 8:
            continue
        host, _, port = fields[1].split("@")[0].split(",")[0].rpartition(":")
        if not host:
            continue
        yield _Line(
            id=fields[0],
            address=Address(host, int(port)),
            flags=frozenset(fields[2].split(",")),
            master=fields[3],
            epoch=int(fields[6]),
            ranges=tuple(_range(word) for word in fields[8:] if not word.startswith("[")),
        )


def _range(word: str) -> tuple[int, int]:
    first, _, last = word.partition("-")
    return int(first), int(last or first)


def replicated_topology(
    nodes: Sequence[DataNode], views: Mapping[Address, Mapping[str, str]], before: Topology
) -> Topology:
    """The topology out of what INFO says on each node that answered."""
    masters = [node.address for node in nodes if views.get(node.address, {}).get("role") == "master"]
    if not masters:
        return Topology()
    known = {shard.master for shard in before.shards}
    master = max(masters, key=lambda address: _standing(address, views, address in known))
    offset = int(views[master].get("master_repl_offset", 0))
    replicas = [node for node in nodes if node.address != master and node.address in views]
    readers = tuple(
        (node.address, node.weight)
        for node in replicas
        if node.weight > 0 and _keeps_up(views[node.address], master, offset)
    )
    shard = Shard(master, tuple(node.address for node in replicas))
    return Topology((shard,), bytes(SLOT_COUNT), readers)


def _standing(address: Address, views: Mapping[Address, Mapping[str, str]], known: bool) -> tuple[bool, int, bool]:  # noqa: FBT001
    """Who is master where two say so: who took over from the other, or is followed by more."""
    view = views[address]
    others = {other.get("master_replid") for host, other in views.items() if host != address}
    return view.get("master_replid2") in others, int(view.get("connected_slaves", 0)), known


def _keeps_up(view: Mapping[str, str], master: Address, offset: int) -> bool:
    return (
        view.get("role") == "slave"
        and view.get("master_link_status") == "up"
        and view.get("master_host") == master.host
        and offset - int(view.get("slave_repl_offset", 0)) <= MAX_LAG_BYTES
        and int(view.get("master_last_io_seconds_ago", 0)) <= MAX_SILENCE_SECONDS
    )


def info_fields(info: str) -> dict[str, str]:
    """The fields of an INFO text."""
    pairs = (line.partition(":") for line in info.splitlines() if line and line[0] != "#")
    return {name: value for name, _, value in pairs}
