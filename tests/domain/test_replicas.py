"""What may be chosen about replicas, and which of them may go."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_states import RUNNING

from cachestead import errors
from cachestead.domain.instances import Instance, Mode, Node, Role, group_id, replication_id
from cachestead.domain.replicas import can_be_promoted, check_leaves_name, check_priority, find_replica
from cachestead.domain.shards import Layout, deletable_replicas, plan_nodes, shards_of


def shard_of(*replicas: Node) -> Instance:
    first = plan_nodes(Layout(RUNNING.id, 6379, ("a",)), [0], [0], ["127.64.0.1"])
    return replace(RUNNING, mode=Mode.HA, nodes=(*first, *replicas))


def replica(ordinal: int, *, priority: int = 100, active: bool = True, in_domain_name: bool = True) -> Node:
    [node] = plan_nodes(Layout(RUNNING.id, 6379, ("a",)), [0], [ordinal], [f"127.64.0.{ordinal + 1}"])
    return replace(node, priority=priority, active=active, in_domain_name=in_domain_name)


def test_a_replica_is_found_by_its_ids_and_a_master_is_refused():
    instance = shard_of(replica(1))
    master, standby = instance.nodes
    group = group_id(instance.id, 0)
    assert find_replica(instance, group, standby.id) == (shards_of(instance)[0], standby)
    assert find_replica(instance, group, replication_id(standby.id))[1] == standby
    for ids, error in [
        ((group, master.id), errors.NodeNotSupported),
        ((group, "x"), errors.InvalidNodeId),
        ((group_id(instance.id, 1), standby.id), errors.InvalidValue),
    ]:
        with pytest.raises(error):
            find_replica(instance, *ids)


@pytest.mark.parametrize(
    ("priority", "others", "allowed"),
    [
        pytest.param(0, [], False, id="the only one"),
        pytest.param(1, [], True, id="the only one, last but not barred"),
        pytest.param(0, [100], True, id="another is left"),
        pytest.param(0, [0], False, id="the other is barred already"),
        pytest.param(5, [0], True, id="the other is barred, this one is not"),
    ],
)
def test_some_replica_may_always_be_promoted(priority: int, others: list[int], allowed):
    first = replica(1)
    more = [replica(number, priority=one) for number, one in enumerate(others, 2)]
    [shard] = shards_of(shard_of(first, *more))
    if allowed:
        check_priority(shard, first, priority)
        return
    with pytest.raises(errors.AllPrioritiesZero):
        check_priority(shard, first, priority)


@pytest.mark.parametrize(
    ("own", "others", "allowed"),
    [
        pytest.param(True, [], False, id="the only replica"),
        pytest.param(True, [True], True, id="another is left"),
        pytest.param(True, [False], False, id="the other is out already"),
        pytest.param(False, [True], True, id="it is out itself"),
    ],
)
def test_the_read_only_name_keeps_a_replica(own, others: list[bool], allowed):
    first = replica(1, in_domain_name=own)
    more = [replica(number, in_domain_name=one) for number, one in enumerate(others, 2)]
    [shard] = shards_of(shard_of(first, *more))
    if allowed:
        check_leaves_name(shard, first)
        return
    with pytest.raises(errors.LastReplicaInName):
        check_leaves_name(shard, first)


@pytest.mark.parametrize(
    ("replicas", "can"),
    [
        pytest.param([], False, id="no replica"),
        pytest.param([replica(1)], True, id="one"),
        pytest.param([replica(1, active=False)], False, id="one that is down"),
        pytest.param([replica(1, priority=0)], False, id="one that is barred"),
        pytest.param([replica(1, priority=0), replica(2)], True, id="one of two is barred"),
    ],
)
def test_a_switch_needs_a_replica_that_may_be_promoted(replicas: list[Node], can):
    [shard] = shards_of(shard_of(*replicas))
    assert can_be_promoted(shard) is can


def cluster(zones: tuple[str, ...], nodes: int) -> Instance:
    addresses = [f"127.64.0.{number}" for number in range(1, 3 * nodes + 1)]
    made = plan_nodes(Layout(RUNNING.id, 6379, zones), range(3), range(nodes), addresses)
    return replace(RUNNING, mode=Mode.CLUSTER, nodes=made)


@pytest.mark.parametrize(
    ("zones", "nodes", "places"),
    [
        pytest.param(("a",), 1, [], id="no replicas"),
        pytest.param(("a",), 2, [(0, 1, "a"), (1, 1, "a"), (2, 1, "a")], id="one zone"),
        pytest.param(("a",), 3, [(0, 2, "a"), (1, 2, "a"), (2, 2, "a")], id="one zone, two replicas"),
        pytest.param(("a", "b"), 2, [(0, 1, "b"), (1, 1, "a"), (2, 1, "b")], id="no zone has one of each shard"),
        pytest.param(("a", "b"), 3, [(0, 2, "a"), (1, 1, "a"), (2, 2, "a")], id="two zones have, one is enough"),
    ],
)
def test_one_replica_of_each_shard_may_go(zones: tuple[str, ...], nodes: int, places: list[tuple[int, int, str]]):
    found = deletable_replicas(cluster(zones, nodes))
    assert [(node.shard, node.ordinal, node.zone) for node in found] == places


def test_a_shard_without_replica_stops_it():
    whole = cluster(("a",), 2)
    assert deletable_replicas(replace(whole, nodes=whole.nodes[:-1])) == ()


def test_masters_stay_wherever_they_are():
    whole = cluster(("a",), 2)
    swapped = {Role.MASTER: Role.REPLICA, Role.REPLICA: Role.MASTER}
    nodes = tuple(replace(node, role=swapped[node.role]) for node in whole.nodes)
    assert {node.role for node in deletable_replicas(replace(whole, nodes=nodes))} == {Role.REPLICA}
