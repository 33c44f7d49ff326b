from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachestead.domain.slots import (
    ALL_SLOTS,
    SLOT_COUNT,
    SlotRange,
    Slots,
    apply_move,
    even_slots,
    plan_rebalance,
    slot_of,
)

NODES = [f"node-{number}" for number in range(8)]


@st.composite
def any_owners(draw: st.DrawFn) -> dict[str, Slots]:
    """Every slot dealt to some node, in stretches of any length; some nodes may have none."""
    cuts = sorted(draw(st.sets(st.integers(1, SLOT_COUNT - 1), max_size=12)))
    dealt: dict[str, Slots] = {node: Slots() for node in draw(st.sets(st.sampled_from(NODES), min_size=1))}
    for first, after in pairwise([0, *cuts, SLOT_COUNT]):
        node = draw(st.sampled_from(sorted(dealt)))
        dealt[node] |= Slots((SlotRange(first, after - 1),))
    return dealt


any_targets = st.lists(st.sampled_from(NODES), min_size=1, unique=True)


@settings(deadline=None, max_examples=20)
@given(owners=any_owners(), targets=any_targets)
def test_every_slot_has_one_owner_between_any_two_moves(owners: dict[str, Slots], targets: list[str]):
    for move in plan_rebalance(owners, targets):
        assert not move.slots - owners[move.source]
        owners = apply_move(owners, move)
        assert sorted(slot for slots in owners.values() for slot in slots) == list(range(SLOT_COUNT))


@settings(deadline=None, max_examples=20)
@given(owners=any_owners(), targets=any_targets)
def test_the_targets_end_even_and_nobody_else_has_any(owners: dict[str, Slots], targets: list[str]):
    for move in plan_rebalance(owners, targets):
        owners = apply_move(owners, move)
    counts = [len(owners.get(node, Slots())) for node in targets]
    assert max(counts) - min(counts) <= 1
    assert sum(counts) == SLOT_COUNT
    assert plan_rebalance(owners, targets) == []


@settings(deadline=None, max_examples=20)
@given(owners=any_owners(), targets=any_targets)
def test_no_plan_could_move_fewer_slots(owners: dict[str, Slots], targets: list[str]):
    moved = sum(len(move.slots) for move in plan_rebalance(owners, targets))
    each, odd = divmod(SLOT_COUNT, len(targets))
    have = sorted((len(owners.get(node, Slots())) for node in targets), reverse=True)
    # The best any plan can do: who has most keeps one of the odd slots.
    stays = sum(min(count, each + (place < odd)) for place, count in enumerate(have))
    assert moved == SLOT_COUNT - stays


def owners_of(shards: int) -> dict[str, Slots]:
    return dict(zip(NODES, even_slots(shards), strict=False))


@pytest.mark.parametrize(
    ("before", "targets", "moved"),
    [(3, 4, 4096), (4, 3, 4096), (3, 3, 0), (1, 2, 8192), (3, 5, 6553)],
    ids=["a shard more", "a shard less", "as it was", "one into two", "two more"],
)
def test_resizing_moves_what_the_new_shards_need(before: int, targets: int, moved: int):
    plan = plan_rebalance(owners_of(before), NODES[:targets])
    assert sum(len(move.slots) for move in plan) == moved
    assert len(plan) <= before + targets - 1


def test_the_shards_that_stay_are_named_not_counted():
    plan = plan_rebalance(owners_of(4), [NODES[0], NODES[2], NODES[3]])
    assert {move.source for move in plan} == {NODES[1]}


@pytest.mark.parametrize(
    "owners",
    [{"a": Slots.parse("0-100")}, {"a": ALL_SLOTS, "b": Slots.parse("7")}],
    ids=["slots without an owner", "a slot with two"],
)
def test_what_must_be_healed_first_is_not_planned(owners: dict[str, Slots]):
    with pytest.raises(ValueError, match="ownerships"):
        plan_rebalance(owners, ["a", "b"])


@given(st.sets(st.integers(0, SLOT_COUNT - 1), max_size=200))
def test_a_set_survives_its_text(slots: set[int]):
    made = Slots.of(slots)
    assert Slots.parse(str(made)) == made
    assert set(made) == slots
    assert len(made) == len(slots)
    assert [slot for batch in made.batches(7) for slot in batch] == sorted(slots)
    assert set(made.take(3)) == set(sorted(slots)[:3])


@pytest.mark.parametrize(
    "ranges",
    [[(5, 4)], [(0, 3), (2, 8)], [(0, 3), (4, 8)], [(0, 16384)]],
    ids=["backward", "overlapping", "touching", "too far"],
)
def test_ranges_have_one_form(ranges: list[tuple[int, int]]):
    with pytest.raises(ValueError, match=r"slot|sorted"):
        Slots(tuple(SlotRange(*one) for one in ranges))


@pytest.mark.parametrize(
    ("key", "slot"),
    [("foo", 12182), ("{foo}.bar", 12182), ("a{foo}{bar}", 12182), ("foo{}bar", slot_of(b"foo{}bar"))],
)
def test_only_the_first_hash_tag_counts(key: str, slot: int):
    assert slot_of(key) == slot


def test_an_empty_hash_tag_is_no_tag():
    assert slot_of("{}a") != slot_of("{}b")
