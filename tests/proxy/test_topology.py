"""Who serves what, by what the data nodes say of themselves."""

from __future__ import annotations

import pytest

from cachestead.proxy.configuration import Address, DataNode
from cachestead.proxy.slots import SLOT_COUNT
from cachestead.proxy.topology import (
    MAX_LAG_BYTES,
    MAX_SILENCE_SECONDS,
    NOBODY,
    Shard,
    Topology,
    cluster_topology,
    replicated_topology,
)

A, B, C = (Address(f"10.0.0.{number}", 6379) for number in (1, 2, 3))
NODES = (DataNode("a", A), DataNode("b", B), DataNode("c", C))


def line(address: Address, slots: str = "", *, flags: str = "master", epoch: int = 1, master: str = "-") -> str:
    """A line of CLUSTER NODES."""
    return f"id-{address.host} {address}@16379,name {flags} {master} 0 0 {epoch} connected {slots}"


def owners(topology: Topology) -> dict[int, Address]:
    """Who has some slots."""
    return {
        slot: topology.shards[topology.owner_of[slot]].master
        for slot in (0, 100, SLOT_COUNT - 1)
        if topology.owner_of[slot] != NOBODY
    }


def test_every_slot_has_its_master():
    replica = line(C, flags="slave", master="id-10.0.0.1")
    found = cluster_topology(["\n".join((line(A, "0-99 101"), line(B, "100 102-16383"), replica))])
    assert found.shards == (Shard(A, (C,)), Shard(B))
    assert owners(found) == {0: A, 100: B, SLOT_COUNT - 1: B}
    assert found.is_complete
    assert (found.shard_of(B), found.shard_of(C)) == (1, -1)


@pytest.mark.parametrize("turned", [1, -1])
def test_the_newest_epoch_wins(turned: int):
    views = [line(A, "0-16383", epoch=3), line(B, "0-99", epoch=4)]
    assert owners(cluster_topology(views[::turned])) == {0: B, 100: A, SLOT_COUNT - 1: A}


@pytest.mark.parametrize("flags", ["master,fail", "master,noaddr", "handshake", "slave,fail"])
def test_nodes_that_are_gone_claim_nothing(flags: str):
    found = cluster_topology([line(A, "0-16383", flags=flags, epoch=9) + "\n" + line(B, "0-99")])
    assert found.shards == (Shard(B),)
    assert owners(found) == {0: B}
    assert not found.is_complete


def test_doubts_do_not_count():
    assert owners(cluster_topology([line(A, "0-16383", flags="myself,master,fail?")]))[0] == A


def test_slots_on_their_way_are_where_they_were():
    found = cluster_topology([line(A, "0-16383 [5->-id-10.0.0.2]"), line(B, "[5-<-id-10.0.0.1]", epoch=2)])
    assert found.shards == (Shard(A),)


@pytest.mark.parametrize("view", ["", "nonsense", "id :0@0 master - 0 0 1 connected 0-16383"])
def test_nothing_is_learnt_from_nothing(view: str):
    assert cluster_topology([view]) == Topology()


def test_losers_had_slots_that_are_others_now():
    before = cluster_topology([line(A, "0-8000"), line(B, "8001-16383")])
    assert cluster_topology([line(A, "0-8000"), line(B, "8001-16383")]).losers(before) == set()
    assert cluster_topology([line(A, "0-7999"), line(B, "8000-16383")]).losers(before) == {A}
    assert cluster_topology([line(C, "0-8000"), line(B, "8001-16383")]).losers(before) == {A}
    assert cluster_topology([line(B, "8001-16383")]).losers(before) == set(), "nobody has them"
    assert before.losers(Topology()) == set()


def master(**fields: object) -> dict[str, str]:
    told = {"role": "master", "master_repl_offset": 5_000_000, "connected_slaves": 0, "master_replid": "x"}
    return {name: str(value) for name, value in (told | fields).items()}


def replica(**fields: object) -> dict[str, str]:
    told = {
        "role": "slave", "master_host": A.host, "master_link_status": "up", "slave_repl_offset": 5_000_000,
        "master_last_io_seconds_ago": 0, "master_replid": "x",
    }  # fmt: skip
    return {name: str(value) for name, value in (told | fields).items()}


def test_replicas_take_reads_by_weight():
    nodes = (NODES[0], DataNode("b", B, weight=30), DataNode("c", C, weight=0))
    found = replicated_topology(nodes, {A: master(), B: replica(), C: replica()}, Topology())
    assert found.shards == (Shard(A, (B, C)),)
    assert found.readers == ((B, 30),)
    assert found.is_complete


@pytest.mark.parametrize(
    ("fields", "reads"),
    [
        ({"slave_repl_offset": 5_000_000 - MAX_LAG_BYTES}, True),
        ({"slave_repl_offset": 5_000_000 - MAX_LAG_BYTES - 1}, False),
        ({"master_last_io_seconds_ago": MAX_SILENCE_SECONDS}, True),
        ({"master_last_io_seconds_ago": MAX_SILENCE_SECONDS + 1}, False),
        ({"master_link_status": "down"}, False),
        ({"master_host": C.host}, False),
    ],
)
def test_replicas_that_do_not_keep_up_take_none(fields, reads):
    found = replicated_topology(NODES, {A: master(), B: replica(**fields)}, Topology())
    assert found.shards == (Shard(A, (B,)),)
    assert found.readers == (((B, 100),) if reads else ())


@pytest.mark.parametrize("nodes", [NODES, NODES[::-1]])
def test_of_two_masters(nodes: tuple[DataNode, ...]):
    """Who took over from the other; else who is followed by more; else who was it before."""
    views = {
        A: master(master_replid="old", connected_slaves=2),
        B: master(master_replid="new", master_replid2="old"),
    }
    assert replicated_topology(nodes, views, Topology()).shards[0].master == B
    views = {A: master(master_replid="x"), B: master(master_replid="y", connected_slaves=1)}
    assert replicated_topology(nodes, views, Topology((Shard(A),))).shards[0].master == B
    views = {A: master(master_replid="x"), B: master(master_replid="y")}
    for known in (A, B):
        assert replicated_topology(nodes, views, Topology((Shard(known),))).shards[0].master == known


def test_without_a_master_nobody_serves():
    assert replicated_topology(NODES, {B: replica()}, Topology((Shard(A),))) == Topology()
