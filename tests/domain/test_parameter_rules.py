"""The catalogue of parameters against the contract, and which values may be."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from contract import contract_file

from cachestead import errors
from cachestead.bootstrap import load_flavors, load_parameters
from cachestead.domain.flavors import Flavor
from cachestead.domain.instances import Mode
from cachestead.domain.parameters import Kind, Parameter, Wanted, check_values

CATALOGUE, FLAVORS = load_parameters(), load_flavors()
FLAVOR = {
    Mode.SINGLE: FLAVORS.get("redis.single.xu1.tiny.128", 0.125),
    Mode.HA: FLAVORS.get("redis.ha.xu1.large.r2.16", 16),
    Mode.CLUSTER: FLAVORS.get("redis.cluster.xu1.large.r2.4", 4),
    Mode.PROXY: FLAVORS.get("redis.proxy.xu1.large.4", 4),
    Mode.HA_RW_SPLIT: FLAVORS.get("redis.ha.xu1.large.p2.1", 1),
}
UNAVAILABLE = {
    "dispatch-pubsub-to-fixed-shard": {"no"},
    "multi-db": {"yes"},
}
"""Documented values that cannot be had; this only gets less."""
KINDS = {"Interger": Kind.INTEGER, "Enum": Kind.CHOICE, "regular": Kind.EVENTS, "String": Kind.TEXT}


def of(mode: Mode) -> dict[str, Parameter]:
    return {one.name: one for one in CATALOGUE.parameters_of(mode, FLAVOR[mode])}


def documented() -> list[dict[str, Any]]:
    """Parameters of versions that can be ordered."""
    every = json.loads(contract_file("parameters.json").read_text())
    return [one for one in every if one["engine_versions"] != ["3.0"]]


@pytest.mark.parametrize("mode", Mode)
def test_a_type_has_the_parameters_of_the_contract(mode: Mode):
    wanted = {one["param_name"]: one["param_id"] or one["suggested_param_id"] for one in documented()
              if mode in one["cache_modes"]}  # fmt: skip
    assert {name: one.id for name, one in of(mode).items()} == wanted


@pytest.mark.parametrize("mode", Mode)
def test_kinds_ranges_and_defaults_are_those_of_the_contract(mode: Mode):
    for one in documented():
        if mode not in one["cache_modes"]:
            continue
        found = of(mode)[one["param_name"]]
        assert found.kind is KINDS[one["value_type"]]
        assert found.needs_restart is one["needs_restart"] is False
        if one["depends_on_flavor"]:
            continue
        if one["param_name"] in UNAVAILABLE:
            words = set(one["value_range"].split(",")) - UNAVAILABLE[one["param_name"]]
            assert {found.range, found.default} == words
            continue
        defaults = {one["default_value"], *(other.get("default_value") for other in one.get("variants", ()))}
        assert found.default in defaults
        if (one["param_name"], mode) != ("support-dispatch-to-replica-list", Mode.PROXY):
            assert found.range == one["value_range"]


@pytest.mark.parametrize(
    ("flavor", "name", "bounds", "default"),
    [
        (("redis.single.xu1.tiny.128", 0.125), "maxclients", (1000, 10_000), "10000"),
        (("redis.single.xu1.large.1", 1), "maxclients", (1000, 50_000), "10000"),
        (("redis.cluster.xu1.large.r2.4", 4), "maxclients", (1000, 50_000), "10000"),
        (("redis.ha.xu1.tiny.r2.128", 0.125), "client-output-buffer-slave-hard-limit", (0, 134217728), "13421772"),
        (("redis.ha.xu1.large.r2.1", 1), "client-output-buffer-slave-soft-limit", (0, 1073741824), "107374182"),
        (
            ("redis.ha.xu1.large.r2.16", 16),
            "client-output-buffer-slave-soft-limit",
            (0, 17179869184),
            "1717986918",
        ),
    ],
    ids=["small", "single", "node of a cluster", "128 MB", "1 GB", "16 GB"],
)
def test_what_depends_on_the_flavor(flavor: tuple[str, float], name: str, bounds: tuple[int, int], default: str):
    found = FLAVORS.get(*flavor)
    one = next(one for one in CATALOGUE.parameters_of(found.mode, found) if one.name == name)
    assert (one.bounds, one.default) == (bounds, default)


def test_a_proxy_cluster_s_clients_are_those_of_its_flavor():
    flavor, one = FLAVOR[Mode.PROXY], of(Mode.PROXY)["maxclients"]
    assert (one.bounds[1], one.default) == (flavor.max_connections_limit, str(flavor.max_connections))


def test_templates_have_what_depends_on_no_flavor():
    gone = of(Mode.HA).keys() - {one.name for one in CATALOGUE.parameters_of(Mode.HA)}
    assert gone == {"maxclients", *(f"client-output-buffer-slave-{kind}-limit" for kind in ("hard", "soft"))}


def bad_values(one: Parameter) -> list[str]:
    match one.kind:
        case Kind.INTEGER:
            least, most = one.bounds
            words = ["", " 1", "1 ", "1.5", "1e3", "0x10", "x", "\u0663", "9" * 5000, "1\n"]
            return [str(least - 1), str(most + 1), *words]
        case Kind.CHOICE | Kind.TEXT:
            return ["nonsense", one.range + ",", "YES", "yes,no", *UNAVAILABLE.get(one.name, ())]
        case Kind.EVENTS:
            return ["x", "K", "KEx", "ExE", "KAg", "KEA$", "Kgg", "Kz ", "KEKEKEKEKEKEKEK", "Et", "K" * 5000]


@pytest.mark.parametrize("mode", Mode)
def test_bad_values_are_refused_by_name(mode: Mode):
    for one in of(mode).values():
        for value in bad_values(one):
            if one.kind is Kind.EVENTS and value == "KEx":
                continue
            with pytest.raises(errors.InvalidParameterValue) as refused:
                one.check(value)
            assert refused.value.sentence == f"Invalid value of the configure parameter {one.name}."


@pytest.mark.parametrize("mode", Mode)
def test_defaults_and_bounds_may_be(mode: Mode):
    for one in of(mode).values():
        assert one.check(one.default) == one.default
        if one.kind is Kind.INTEGER:
            assert [one.check(str(bound)) for bound in one.bounds] == [str(bound) for bound in one.bounds]


@pytest.mark.parametrize("value", ["", "Ex", "KEA", "Kg$", "KElshzxe", "KxEg", "K$"])
def test_events_that_may_be(value: str):
    assert of(Mode.HA)["notify-keyspace-events"].check(value) == value


def test_a_number_is_kept_in_its_plain_form():
    assert of(Mode.HA)["timeout"].check("007") == "7"


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        ([Wanted("5", "1", "timeout")], {"timeout": "5"}),
        ([Wanted("5", id="1")], {"timeout": "5"}),
        ([Wanted("5", name="timeout")], {"timeout": "5"}),
        ([Wanted("5", name="timeout"), Wanted("9", id="15")], {"timeout": "5", "repl-backlog-ttl": "9"}),
    ],
    ids=["both", "id", "name", "two"],
)
def test_a_parameter_is_found_by_id_or_name(wanted: list[Wanted], kept: dict[str, str]):
    assert check_values(of(Mode.HA).values(), wanted) == kept


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        ([Wanted("5", "2", "timeout")], "timeout"),
        ([Wanted("5", name="no-such")], "no-such"),
        ([Wanted("5", id="99")], "99"),
        ([Wanted("5")], ""),
        ([Wanted("5", id="1"), Wanted("6", name="timeout")], "timeout"),
        ([Wanted("yes", name="multi-db")], "multi-db"),
        ([Wanted("5", name="x" * 100_000)], "x" * 64),
    ],
    ids=["another's id", "unknown name", "unknown id", "nothing", "twice", "another type's", "long"],
)
def test_wishes_that_name_no_parameter_are_refused(wanted: list[Wanted], named: str):
    with pytest.raises(errors.InvalidParameterValue) as refused:
        check_values(of(Mode.HA).values(), wanted)
    assert refused.value.data == {"name": named}
    assert len(refused.value.detail or "") < 300


def values_of(flavor: Flavor, **chosen: str) -> dict[str, str]:
    return CATALOGUE.values_of(
        flavor.mode, flavor, {name.replace("_", "-"): value for name, value in chosen.items()}
    )


def test_chosen_values_follow_the_flavor():
    values = values_of(
        FLAVORS.get("redis.ha.xu1.large.r2.1", 1), client_output_buffer_slave_hard_limit="17179869184", timeout="9"
    )
    assert values["client-output-buffer-slave-hard-limit"] == "1073741824"
    assert values["client-output-buffer-slave-soft-limit"] == "107374182"
    assert values["timeout"] == "9"


def test_nodes_without_replicas_keep_no_file():
    alone = FLAVORS.get("redis.cluster.xu1.large.r1.4", 4)
    assert values_of(alone)["appendonly"] == "no"
    assert values_of(alone, appendonly="yes")["appendonly"] == "yes"


def test_another_type_s_values_are_without_effect():
    assert "lua-time-limit" not in values_of(FLAVOR[Mode.HA_RW_SPLIT], lua_time_limit="100")


def test_descriptions_are_sentences_of_ours():
    theirs = {one["description"] for one in documented()}
    for mode in Mode:
        for one in of(mode).values():
            assert re.fullmatch(r"[A-Z][^\n]{10,150}\.", one.text)
            assert one.text not in theirs


def test_a_word_that_another_type_had_is_the_default_where_it_cannot_be():
    chosen = {"support-dispatch-to-replica-list": "KEYS", "maxmemory-policy": "allkeys-lfu"}
    values = {mode: CATALOGUE.values_of(mode, FLAVOR[mode], chosen) for mode in (Mode.HA_RW_SPLIT, Mode.PROXY)}
    assert values[Mode.HA_RW_SPLIT]["support-dispatch-to-replica-list"] == "KEYS"
    assert values[Mode.PROXY]["support-dispatch-to-replica-list"] == ""
    assert {one["maxmemory-policy"] for one in values.values()} == {"allkeys-lfu"}
