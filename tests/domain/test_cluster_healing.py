"""What is done about a cluster whose nodes were seen like this."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_states import RUNNING

from cachestead.domain.cluster_healing import ClusterHealing, MemberSeen, ShardFailover, plan_cluster_healing
from cachestead.domain.instances import Mode, Node, Role

GONE, SILENT = MemberSeen(running=False), MemberSeen(running=True)
BLANK = MemberSeen(running=True, answers=True)
SHARES = {0: 5461, 1: 5461, 2: 5462}


def node(name: str) -> Node:
    """`a0` is the first node of shard 0 and its master by the record, `b0` a replica of it."""
    role = Role.MASTER if name[0] == "a" else Role.REPLICA
    return Node(name, RUNNING.id, int(name[1]), "abc".index(name[0]), f"127.64.{name[1]}.9", 6379, "az1", role)


def cluster(*names: str):
    return replace(RUNNING, mode=Mode.CLUSTER, nodes=tuple(node(name) for name in names))


def owner(slots: int, epoch: int = 1, **changes) -> MemberSeen:
    return replace(MemberSeen(running=True, answers=True, slots=slots, epoch=epoch, serves=True), **changes)


def follower(of: str | None, **changes) -> MemberSeen:
    seen = MemberSeen(
        running=True, answers=True, serves=True, is_replica=True, follows=of, in_step=True, was_in_step=True
    )
    return replace(seen, **changes)


OLD = follower("a0", in_step=False, was_in_step=False)
THREE = cluster("a0", "b0", "a1", "b1", "a2", "b2")
BARE = cluster("a0", "a1", "a2")
WELL = {
    name: owner(SHARES[int(name[1])]) if name[0] == "a" else follower(f"a{name[1]}")
    for name in ("a0", "b0", "a1", "b1", "a2", "b2")
}
MASTERS = {0: "a0", 1: "a1", 2: "a2"}
QUIET = ClusterHealing(MASTERS)
LOSING = replace(QUIET, serving=False)


def lost(shard: int, *, without_vote: bool = False) -> ShardFailover:
    return ShardFailover(shard, f"a{shard}", (f"b{shard}",), without_vote)


@pytest.mark.parametrize(
    ("changes", "plan"),
    [
        pytest.param({}, QUIET, id="all is well"),
        pytest.param({"a0": GONE}, replace(LOSING, failovers=(lost(0),)), id="master gone"),
        pytest.param({"b0": GONE}, replace(QUIET, start=("b0",)), id="replica gone"),
        pytest.param({"b0": SILENT}, QUIET, id="replica silent"),
        pytest.param({"a0": SILENT}, LOSING, id="master silent"),
        pytest.param({"a0": GONE, "b0": SILENT}, replace(LOSING, start=("a0",)), id="heir does not answer"),
        pytest.param({"a0": GONE, "b0": GONE}, replace(LOSING, start=("a0", "b0")), id="a shard gone"),
        pytest.param({"a0": GONE, "b0": OLD}, replace(LOSING, start=("a0",)), id="the replica has old data"),
        pytest.param(
            {"a0": BLANK, "b0": replace(OLD, follows=None)},
            replace(LOSING, failovers=(lost(0),)),
            id="old data is all that is left",
        ),
        pytest.param(
            {"a0": GONE, "b1": GONE}, replace(LOSING, failovers=(lost(0),), start=("b1",)), id="one of each gone"
        ),
        pytest.param(
            {"a0": GONE, "b0": owner(5461, 7)},
            replace(QUIET, masters=MASTERS | {0: "b0"}, start=("a0",)),
            id="the replica took over by itself",
        ),
        pytest.param(
            {"b0": owner(5461, 7)},
            replace(QUIET, masters=MASTERS | {0: "b0"}),
            id="the lost one is back and behind",
        ),
        pytest.param(
            {"a0": follower("b0"), "b0": GONE},
            replace(LOSING, masters=MASTERS | {0: "b0"}, failovers=(ShardFailover(0, "b0", ("a0",)),)),
            id="lost before the record knew it",
        ),
        pytest.param(
            {"a0": follower("b0"), "b0": SILENT},
            replace(LOSING, masters=MASTERS | {0: "b0"}),
            id="the new one loads",
        ),
        pytest.param(
            {"a0": GONE, "a1": GONE},
            replace(LOSING, failovers=(lost(0, without_vote=True), lost(1))),
            id="no majority is left, after one there is",
        ),
        pytest.param(
            {"a0": GONE, "a1": GONE, "a2": GONE},
            replace(LOSING, failovers=(lost(0, without_vote=True), lost(1, without_vote=True), lost(2))),
            id="all masters gone",
        ),
        pytest.param(
            {"a0": GONE, "a1": SILENT}, replace(LOSING, failovers=(lost(0),)), id="a silent one may vote"
        ),
        pytest.param(
            dict.fromkeys(WELL, GONE), replace(LOSING, start=("a0", "a1", "a2", "b0", "b1", "b2")), id="all gone"
        ),
        pytest.param({"b0": BLANK}, replace(QUIET, rebuild=("b0",)), id="a replica lost its folder"),
        pytest.param({"b0": BLANK, "b1": GONE}, replace(QUIET, start=("b1",)), id="rebuilt when all are there"),
        pytest.param(
            {"a0": BLANK, "b0": follower(None)},
            replace(LOSING, failovers=(lost(0),)),
            id="a master lost its folder",
        ),
        pytest.param(
            {"a0": BLANK, "b0": owner(5461, 7)},
            replace(QUIET, masters=MASTERS | {0: "b0"}, rebuild=("a0",)),
            id="a lost folder after a takeover",
        ),
        pytest.param({"a0": BLANK, "b0": BLANK}, replace(LOSING, lost=(0,)), id="every folder of a shard lost"),
        pytest.param({"a0": BLANK, "b0": SILENT}, LOSING, id="perhaps lost"),
        pytest.param({"b0": follower("a1")}, replace(QUIET, rebuild=("b0",)), id="follows another shard"),
        pytest.param({"a0": owner(5461, serves=False)}, LOSING, id="an owner that sees no majority"),
        pytest.param({"b0": follower("a0", kept_out=True)}, replace(QUIET, admit=("b0",)), id="kept out for long"),
        pytest.param(
            {"b0": follower("a0", kept_out=True, in_step=False)}, QUIET, id="kept out until it has the data"
        ),
    ],
)
def test_healing_is_planned_from_what_was_seen(changes: dict[str, MemberSeen], plan: ClusterHealing):
    assert plan_cluster_healing(THREE, WELL | changes) == plan


def test_where_nobody_takes_over_the_lost_master_is_started():
    assert plan_cluster_healing(THREE, WELL | {"a0": GONE}, {0}) == replace(LOSING, start=("a0",))


@pytest.mark.parametrize(
    ("changes", "heirless", "plan"),
    [
        pytest.param({"a0": GONE}, (), replace(LOSING, failovers=(lost(0),)), id="election"),
        pytest.param(
            {"a0": GONE},
            {0},
            replace(LOSING, failovers=(replace(lost(0, without_vote=True), anyone=True),)),
            id="nobody was elected",
        ),
        pytest.param({"a0": GONE, "b0": SILENT}, (), LOSING, id="heir does not answer"),
        pytest.param({"a0": GONE, "b0": OLD}, (), replace(LOSING, start=("a0",)), id="the replica has nothing"),
        pytest.param({"a0": GONE, "b0": GONE}, (), replace(LOSING, start=("a0", "b0")), id="a shard gone"),
        pytest.param({"b0": GONE, "a0": SILENT}, (), replace(LOSING, start=("b0",)), id="master silent"),
    ],
)
def test_a_master_without_a_file_is_not_started_while_a_replica_is_there(changes, heirless, plan: ClusterHealing):
    assert plan_cluster_healing(THREE, WELL | changes, heirless, keeps_file=False) == plan


@pytest.mark.parametrize(
    ("changes", "plan"),
    [
        pytest.param({"a1": GONE}, replace(LOSING, start=("a1",)), id="gone"),
        pytest.param({"a1": BLANK}, replace(LOSING, lost=(1,)), id="without its folder"),
    ],
)
def test_a_shard_without_replicas_has_nobody_to_take_over(changes: dict[str, MemberSeen], plan: ClusterHealing):
    assert plan_cluster_healing(BARE, {name: WELL[name] for name in ("a0", "a1", "a2")} | changes) == plan


@pytest.mark.parametrize("shards", [1, 2])
def test_small_clusters_have_no_majority_without_the_lost_master(shards: int):
    names = [f"{place}{shard}" for shard in range(shards) for place in "ab"]
    seen = {name: WELL[name] for name in names} | {"a0": GONE}
    assert plan_cluster_healing(cluster(*names), seen).failovers == (lost(0, without_vote=True),)


def test_of_several_replicas_all_are_candidates_that_answer():
    seen = WELL | {"a0": GONE, "c0": follower("a0"), "b0": SILENT}
    assert plan_cluster_healing(cluster(*THREE_AND_ONE), seen).failovers == (ShardFailover(0, "a0", ("c0",)),)


def test_a_new_shard_that_has_no_slots_yet_is_let_be():
    seen = {"a0": owner(8192), "b0": follower("a0"), "a1": owner(8192), "b1": follower("a1")}
    plan = plan_cluster_healing(cluster(*seen, "a2", "b2"), seen | {"a2": BLANK, "b2": follower("a2")})
    assert plan == ClusterHealing(MASTERS)


THREE_AND_ONE = ("a0", "b0", "c0", "a1", "b1", "a2", "b2")
