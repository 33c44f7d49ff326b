"""Where sessions are, and which addresses can be theirs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from examples import INSTANCE_ID as ID
from examples import instance_like

from cachestead import errors
from cachestead.domain.instances import Instance, Mode, Node, Proxy, Role, State
from cachestead.domain.sessions import (
    check_addresses,
    check_has_sessions,
    choose_places,
    find_place,
    place_name,
    places_of,
)

NODES = tuple(Node(f"n{place}", ID, 0, place, f"127.64.0.{place}", 6379, "az1", Role.REPLICA) for place in (1, 2))
PROXIES = (Proxy("p1", ID, 0, "127.64.0.9", 6379, "az1"),)
PLAIN = instance_like(engine_version="6.0", spec_code="redis.ha.xu1.tiny.r2.128", mode=Mode.HA, nodes=NODES)
PROXIED = replace(PLAIN, mode=Mode.PROXY, proxies=PROXIES)


@pytest.mark.parametrize(
    ("instance", "places"),
    [
        pytest.param(PLAIN, NODES, id="data nodes"),
        pytest.param(PROXIED, PROXIES, id="proxies"),
        pytest.param(replace(PLAIN, proxies=PROXIES), NODES, id="proxies that only come"),
    ],
)
def test_sessions_are_where_clients_are(instance: Instance, places: tuple[object, ...]) -> None:
    assert places_of(instance) == places


@pytest.mark.parametrize(
    ("instance", "node", "error"),
    [
        pytest.param(PLAIN, "n3", errors.InvalidNodeId, id="a stranger's"),
        pytest.param(PLAIN, None, errors.InvalidNodeId, id="none"),
        pytest.param(PROXIED, "n1", errors.NodeNotSupported, id="a data node behind proxies"),
    ],
)
def test_nodes_without_sessions_are_refused(
    instance: Instance, node: str | None, error: type[errors.ServiceError]
) -> None:
    with pytest.raises(error, match="node_id"):
        find_place(instance, node)


@pytest.mark.parametrize(
    ("node", "everywhere", "chosen"),
    [
        pytest.param("n2", False, ("n2",), id="one"),
        pytest.param(None, True, ("n1", "n2"), id="all"),
        pytest.param("n2", True, ("n1", "n2"), id="all, and one named besides"),
    ],
)
def test_one_place_or_all_are_chosen(node: str | None, *, everywhere: bool, chosen: tuple[str, ...]) -> None:
    assert tuple(one.id for one in choose_places(PLAIN, node, everywhere=everywhere)) == chosen


def test_places_have_the_names_of_the_node_list() -> None:
    assert [place_name(one) for one in (NODES[0], PROXIES[0])] == ["(replica)127.64.0.1", "(proxy)127.64.0.9"]


@pytest.mark.parametrize(
    ("instance", "error"),
    [
        pytest.param(replace(PLAIN, engine_version="3.0"), errors.SessionsNotSupported, id="3.0"),
        pytest.param(replace(PLAIN, state=State.EXTENDING), errors.Extending, id="resized"),
        pytest.param(replace(PLAIN, state=State.ERROR), errors.WrongState, id="in error"),
    ],
)
def test_instances_whose_sessions_are_not_managed(instance: Instance, error: type[errors.ServiceError]) -> None:
    with pytest.raises(error):
        check_has_sessions(instance)


def test_a_change_without_a_state_of_its_own_is_no_obstacle() -> None:
    check_has_sessions(replace(PLAIN, task="modify"))


def test_addresses_are_taken_once_each() -> None:
    given = ["10.0.0.5:41222", "[fd00::5]:41222", "fd00::5:41222", "10.0.0.5:41222"]
    assert check_addresses(given) == {"10.0.0.5:41222", "[fd00::5]:41222", "fd00::5:41222"}


@pytest.mark.parametrize(
    "given",
    [[], ["10.0.0.5:1"] * 1001, ["10.0.0.5"], ["10.0.0.5:"], ["10.0.0.5:0"], ["10.0.0.5:65536"], ["host:1"], [":1"],
     ["10.0.0.5:1 "], ["10.0.0.5:\u0661"], ["10.0.0.5:" + "1" * 5000]],
    ids=["none", "many", "no port", "empty port", "port 0", "high port", "name", "no host", "blank", "digits", "long"],
)  # fmt: skip
def test_what_is_no_address_is_refused(given: list[str]) -> None:
    with pytest.raises(errors.InvalidParameter, match="client_addrs"):
        check_addresses(given)
