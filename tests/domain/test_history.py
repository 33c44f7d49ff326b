"""Summaries of figures: they say of many what the many say."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as some

from cachestead.domain.history import FILTERS, KEPT, SAMPLED, Summary, roll_up, series, start_of

figures = some.lists(some.floats(-1e9, 1e9), min_size=1, max_size=30)
EXPECTED = {
    "average": statistics.fmean, "max": max, "min": min, "sum": sum, "variance": statistics.pvariance,
}  # fmt: skip


@given(some.lists(figures, min_size=1, max_size=5))
def test_summaries_of_summaries_are_those_of_all_figures(parts):
    first = [roll_up({"node": {"keys": one}} for one in part) for part in parts]
    [stored] = roll_up(first)["node"].values()
    every = [one for part in parts for one in part]
    assert Summary.of(stored).count == len(every)
    for name in FILTERS:
        scale = max(1.0, *(abs(one) for one in every)) ** (2 if name == "variance" else 1) * len(every)
        assert Summary.of(stored).value(name) == pytest.approx(EXPECTED[name](every), abs=scale * 1e-9)


def test_a_figure_that_some_records_lack_is_summed_up_from_the_others():
    records = [{"": {"keys": 4.0}}, {}, {"": {"hits": 1.0}}, {"": {"keys": 6.0}, "node": {"keys": 1.0}}]
    found = roll_up(records)
    assert Summary.of(found[""]["keys"]).value("average") == 5
    assert Summary.of(found[""]["hits"]).count == 1
    assert found.keys() == {"", "node"}


def test_nothing_is_summed_up_to_nothing():
    assert roll_up([]) == {}


def test_a_course_has_points_only_where_there_are_figures():
    records = [
        (60_000, {"": {"keys": 1.0}}),
        (90_000, {}),
        (100_000, {"": {"keys": 3.0}}),
        (120_000, {"": {"keys": 5}}),
    ]
    assert [(at, one.value("sum")) for at, one in series(records, "", "keys", SAMPLED)] == [
        (60_000, 1), (100_000, 3), (120_000, 5),
    ]  # fmt: skip
    assert [(at, one.value("average")) for at, one in series(records, "", "keys", 60)] == [
        (60_000, 2),
        (120_000, 5),
    ]
    assert series(records, "node", "keys", 60) == series(records, "", "hits", SAMPLED) == []


@pytest.mark.parametrize(("moment", "start"), [(299_999, 0), (300_000, 300_000), (300_001, 300_000)])
def test_periods_begin_at_multiples_of_themselves(moment, start):
    assert start_of(moment, 300) == start


def test_each_period_is_made_of_a_finer_one_that_fits_and_outlives_it():
    for period in KEPT.values():
        finer = KEPT[period.made_of]
        assert period.seconds % finer.seconds == 0
        assert period.seconds == SAMPLED or (finer.seconds < period.seconds and finer.keep_days < period.keep_days)
        assert period.longest_seconds // max(period.seconds, 60) <= 3000
