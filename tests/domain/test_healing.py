"""What is done about nodes that were seen like this."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_states import RUNNING

from cachestead.domain.healing import Healing, NodeSeen, plan_healing
from cachestead.domain.instances import Node, Role

MASTER, REPLICA = Role.MASTER, Role.REPLICA
GONE, SILENT = NodeSeen(running=False), NodeSeen(running=True)
LEADS, FOLLOWS = NodeSeen(running=True, role=MASTER), NodeSeen(running=True, role=REPLICA)
FULL = replace(FOLLOWS, follows="a", has_data=True, offset=10)
FOLLOWS_A, FOLLOWS_B = replace(FOLLOWS, follows="a"), replace(FOLLOWS, follows="b")


def node(name: str, role: Role) -> Node:
    return Node(name, RUNNING.id, 0, 0, "127.64.0.9", 6379, "az1", role)


ONE = replace(RUNNING, nodes=(node("a", MASTER),))
TWO = replace(RUNNING, nodes=(node("a", MASTER), node("b", REPLICA)))
THREE = replace(RUNNING, nodes=(*TWO.nodes, node("c", REPLICA)))


@pytest.mark.parametrize(
    ("instance", "seen", "watched", "plan"),
    [
        pytest.param(ONE, [LEADS], None, Healing("a"), id="one node, all is well"),
        pytest.param(ONE, [GONE], None, Healing("a", start=("a",), serving=False), id="one node, gone"),
        pytest.param(ONE, [SILENT], None, Healing("a", serving=False), id="one node, silent"),
        pytest.param(TWO, [LEADS, FOLLOWS], "a", Healing("a"), id="all is well"),
        pytest.param(TWO, [LEADS, FOLLOWS], None, Healing("a"), id="all is well, Sentinels silent"),
        pytest.param(TWO, [LEADS, GONE], "a", Healing("a", start=("b",)), id="replica gone"),
        pytest.param(TWO, [LEADS, SILENT], "a", Healing("a"), id="replica silent"),
        pytest.param(
            TWO, [GONE, FOLLOWS], "a", Healing("a", take_over=True, start=("a",), serving=False), id="master gone"
        ),
        pytest.param(TWO, [GONE, LEADS], "b", Healing("b", start=("a",)), id="Sentinels were quicker"),
        pytest.param(TWO, [GONE, LEADS], "a", Healing("b", start=("a",)), id="promoted, not yet announced"),
        pytest.param(TWO, [FOLLOWS, LEADS], "b", Healing("b"), id="roles were swapped"),
        pytest.param(TWO, [LEADS, LEADS], "b", Healing("b"), id="two masters, the Sentinels decide"),
        pytest.param(TWO, [LEADS, LEADS], None, Healing("a"), id="two masters, the record decides"),
        pytest.param(TWO, [FOLLOWS, FOLLOWS], "b", Healing("b", serving=False), id="no master yet"),
        pytest.param(TWO, [GONE, GONE], None, Healing("a", start=("a", "b"), serving=False), id="all gone"),
        pytest.param(
            TWO, [GONE, GONE], "b", Healing("b", start=("b", "a"), serving=False), id="all gone after a takeover"
        ),
        pytest.param(
            TWO, [GONE, SILENT], "a", Healing("a", start=("a",), serving=False), id="heir does not answer"
        ),
        pytest.param(TWO, [SILENT, SILENT], "a", Healing("a", serving=False), id="nobody answers"),
        pytest.param(
            THREE,
            [GONE, GONE, FOLLOWS],
            "a",
            Healing("a", take_over=True, start=("a", "b"), serving=False),
            id="one heir of two",
        ),
        pytest.param(
            TWO,
            [GONE, FOLLOWS_A],
            "a",
            Healing("a", take_over=True, start=("a",), serving=False),
            id="heir of the lost",
        ),
        pytest.param(
            TWO,
            [GONE, FOLLOWS_A],
            "b",
            Healing("a", start=("a",), serving=False),
            id="lost before Sentinels knew it",
        ),
        pytest.param(
            TWO,
            [FOLLOWS_B, GONE],
            "a",
            Healing("b", start=("b",), serving=False),
            id="lost before anybody noted it",
        ),
        pytest.param(
            TWO, [FOLLOWS_B, SILENT], "a", Healing("b", serving=False), id="frozen before anybody noted it"
        ),
        pytest.param(
            TWO,
            [GONE, FOLLOWS_A],
            None,
            Healing("a", start=("a",), serving=False),
            id="Sentinels know no instance",
        ),
        pytest.param(TWO, [FOLLOWS_B, FOLLOWS_A], "a", Healing("a", serving=False), id="each follows the other"),
        pytest.param(THREE, [LEADS, GONE, GONE], "a", Healing("a", start=("b", "c")), id="both replicas gone"),
    ],
)
def test_healing_is_planned_from_what_was_seen(instance, seen: list[NodeSeen], watched: str | None, plan: Healing):
    by_node = {one.id: sight for one, sight in zip(instance.nodes, seen, strict=True)}
    assert plan_healing(instance, by_node, watched) == plan


def test_where_nobody_takes_over_the_lost_master_is_started_first():
    plan = Healing("b", take_over=True, start=("a", "b"), serving=False)

    assert plan.without_heir() == Healing("b", start=("b", "a"), serving=False)


BARRED = replace(THREE, nodes=(*TWO.nodes, replace(node("c", REPLICA), priority=0)))


@pytest.mark.parametrize(
    ("instance", "seen", "watched", "plan"),
    [
        pytest.param(TWO, [LEADS, FULL], "a", Healing("a"), id="all is well"),
        pytest.param(TWO, [LEADS, GONE], "a", Healing("a", start=("b",)), id="replica gone"),
        pytest.param(
            TWO,
            [GONE, FULL],
            "a",
            Healing("a", take_over=True, heir="b", start=("a",), serving=False),
            id="master gone",
        ),
        pytest.param(
            TWO,
            [GONE, FULL],
            None,
            Healing("b", promote=True, start=("a",), serving=False),
            id="Sentinels do not answer",
        ),
        pytest.param(
            TWO,
            [GONE, FULL],
            "b",
            Healing("b", promote=True, start=("a",), serving=False),
            id="Sentinels are behind",
        ),
        pytest.param(
            THREE,
            [GONE, replace(FULL, offset=9), FULL],
            None,
            Healing("c", promote=True, start=("a",), serving=False),
            id="who has most",
        ),
        pytest.param(
            BARRED,
            [GONE, replace(FULL, offset=9), FULL],
            None,
            Healing("b", promote=True, start=("a",), serving=False),
            id="not who shall not",
        ),
        pytest.param(
            BARRED,
            [GONE, FOLLOWS_A, FULL],
            None,
            Healing("c", promote=True, start=("a",), serving=False),
            id="who shall not is the only one",
        ),
        pytest.param(TWO, [GONE, SILENT], "a", Healing("a", serving=False), id="heir does not answer"),
        pytest.param(
            TWO, [GONE, FOLLOWS_A], None, Healing("a", start=("a",), serving=False), id="nobody has anything"
        ),
        pytest.param(TWO, [GONE, GONE], "a", Healing("a", start=("a", "b"), serving=False), id="all gone"),
        pytest.param(TWO, [GONE, LEADS], None, Healing("b", start=("a",)), id="promoted already"),
    ],
)
def test_a_master_without_a_file_is_not_started_over_data(
    instance, seen: list[NodeSeen], watched: str | None, plan: Healing
):
    by_node = {one.id: sight for one, sight in zip(instance.nodes, seen, strict=True)}
    assert plan_healing(instance, by_node, watched, keeps_file=False) == plan


def test_where_nobody_takes_over_from_a_master_without_a_file_its_heir_is_promoted():
    plan = Healing("a", take_over=True, heir="b", start=("a",), serving=False)

    assert plan.without_heir() == Healing("b", promote=True, start=("a",), serving=False)
