"""Whitelists: who is let in, and what is refused of what is written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from installation import CLUSTER, HA, PROXY, SINGLE, SPLIT, Installation, eventually
from refusals import check_refused
from visitors import FRIEND, STRANGER, Visitor, needs_packet_filter, who_gets_in

FLAVORS = {"single": SINGLE, "ha": HA, "cluster": CLUSTER, "proxy": PROXY, "ha_rw_split": SPLIT}
CAPACITY = {"cluster": 4, "proxy": 4, "ha_rw_split": 1}
DIRECT, PROXIED = ("single", "ha", "cluster"), ("proxy", "ha_rw_split")
TYPES = [*(pytest.param(one, marks=needs_packet_filter) for one in DIRECT), *PROXIED]


@pytest.fixture(scope="module")
def api(installation: Installation) -> Iterator[httpx.Client]:
    with installation.http() as client:
        yield client


@pytest.fixture(scope="module")
def instances(installation: Installation) -> dict[str, dict[str, Any]]:
    """One of each type, made when it is asked for first."""

    class Made(dict[str, dict[str, Any]]):
        def __missing__(self, mode: str) -> dict[str, Any]:
            more = {"capacity": CAPACITY[mode]} if mode in CAPACITY else {}
            self[mode] = installation.create(f"listed-{mode.replace('_', '-')}", FLAVORS[mode], **more)
            return self[mode]

    return Made()


def path_of(instance: dict[str, Any]) -> str:
    return f"/instance/{instance['instance_id']}/whitelist"


def group(name: str, *addresses: str) -> dict[str, Any]:
    return {"group_name": name, "ip_list": list(addresses)}


def write(api: httpx.Client, instance: dict[str, Any], *groups: dict[str, Any], enabled: bool = True) -> None:
    answer = api.put(path_of(instance), json={"enable_whitelist": enabled, "whitelist": list(groups)})
    assert (answer.status_code, answer.content) == (204, b""), answer.text


def places_of(api: httpx.Client, instance: dict[str, Any]) -> list[str]:
    """Every address where a tenant's client may come to the instance."""
    groups = api.get(f"/instance/{instance['instance_id']}/groups").json()["group_list"]
    nodes = [one["replication_ip"] for shard in groups for one in shard["replication_list"]]
    own = instance["ip"].split(",")
    return own if instance["cache_mode"] in PROXIED else [*own, *nodes]


@pytest.mark.parametrize("mode", TYPES)
def test_strangers_are_refused_at_once_and_disconnected(
    api: httpx.Client, instances: dict[str, dict[str, Any]], mode: str
) -> None:
    instance = instances[mode]
    places, port = places_of(api, instance), instance["port"]
    friends = [Visitor(place, port, FRIEND) for place in places]
    strangers = [Visitor(place, port, STRANGER) for place in places]
    assert strangers[0].ask("SUBSCRIBE news") == b"*3"

    write(api, instance, group("friends", FRIEND))

    assert who_gets_in(places, port) == {FRIEND}
    for visitor in strangers:
        assert visitor.is_cut_off()
    assert [visitor.ask("PING") for visitor in friends] == [b"+PONG"] * len(friends)

    write(api, instance, group("net", "127.9.0.0/16"))
    assert who_gets_in(places, port) == {STRANGER}
    assert all(visitor.is_cut_off() for visitor in friends)

    write(api, instance, group("friends", FRIEND), enabled=False)
    assert who_gets_in(places, port) == {FRIEND, STRANGER}
    write(api, instance)
    assert who_gets_in(places, port) == {FRIEND, STRANGER}
    for visitor in (*friends, *strangers):
        visitor.close()


def test_a_whitelist_reads_back_as_it_was_written(api: httpx.Client, instances: dict[str, dict[str, Any]]) -> None:
    instance = instances["ha_rw_split"]
    none = {"instance_id": instance["instance_id"], "enable_whitelist": False, "whitelist": []}
    groups = [group("b", "10.1.2.3/24", FRIEND), group("a", "10.9.0.0/16")]

    write(api, instance, *groups)
    seen = api.get(path_of(instance)).json()
    write(api, instance, enabled=False)

    limit = {"whitelist_ip_limit_num": "20"}
    assert seen == none | {"enable_whitelist": True, "whitelist": groups} | limit
    assert api.get(path_of(instance)).json() == none | limit


def test_the_other_spelling_answers_with_the_job(api: httpx.Client, instances: dict[str, dict[str, Any]]) -> None:
    instance = instances["ha_rw_split"]
    body = {"enable_whitelist": True, "whitelist": [group("friends", FRIEND)]}

    job = api.put(path_of(instance) + "-async", json=body).json()["job_id"]

    eventually(lambda: api.get(f"/jobs/{job}").json()["status"] == "SUCCESS")
    assert who_gets_in([instance["ip"]], instance["port"]) == {FRIEND}
    write(api, instance, enabled=False)


MANY = [f"10.0.0.{n}" for n in range(21)]
REFUSED = {
    "five groups": ([group(str(n), f"10.0.0.{n}") for n in range(5)], "whitelist"),
    "two groups of a name": ([group("a", "10.0.0.1"), group("a", "10.0.0.2")], "whitelist.1.group_name"),
    "a group without a name": ([group("", "10.0.0.1")], "whitelist.0.group_name"),
    "a long name": ([group("n" * 65, "10.0.0.1")], "whitelist.0.group_name"),
    "an empty group": ([group("a")], "whitelist.0.ip_list"),
    "21 addresses": ([group("a", *MANY[:11]), group("b", *MANY[11:])], "whitelist"),
    "an address twice": ([group("a", "10.0.0.1"), group("b", "10.0.0.1/32")], "whitelist.1.ip_list.0"),
    "everybody": ([group("a", "0.0.0.0/0")], "whitelist.0.ip_list.0"),
    "nobody's address": ([group("a", "10.0.0.1", "0.0.0.0")], "whitelist.0.ip_list.1"),
    "a host name": ([group("a", "localhost")], "whitelist.0.ip_list.0"),
    "six bytes": ([group("a", "::1")], "whitelist.0.ip_list.0"),
    "a mask": ([group("a", "10.0.0.0/255.0.0.0")], "whitelist.0.ip_list.0"),
    "a prefix too long": ([group("a", "10.0.0.0/33")], "whitelist.0.ip_list.0"),
    "a list in one string": ([group("a", "10.0.0.1,10.0.0.2")], "whitelist.0.ip_list.0"),
    "a number": ([{"group_name": "a", "ip_list": [1]}], "whitelist.0.ip_list.0"),
    "no addresses": ([{"group_name": "a"}], "whitelist.0.ip_list"),
    "no list": ("10.0.0.1", "whitelist"),
    "null": (None, "whitelist"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_no_whitelist_can_be_is_refused_by_name(
    api: httpx.Client, instances: dict[str, dict[str, Any]], case: str
) -> None:
    instance, (groups, field) = instances["ha_rw_split"], REFUSED[case]
    before = api.get(path_of(instance)).json()

    answer = api.put(path_of(instance), json={"enable_whitelist": True, "whitelist": groups})

    check_refused(answer, "DCS.4062", field)
    assert api.get(path_of(instance)).json() == before


@pytest.mark.parametrize("value", ["true", 1, None], ids=["text", "number", "null"])
def test_only_true_and_false_switch_it(
    api: httpx.Client, instances: dict[str, dict[str, Any]], value: Any
) -> None:
    answer = api.put(path_of(instances["ha_rw_split"]), json={"enable_whitelist": value, "whitelist": []})

    check_refused(answer, "DCS.4062", "enable_whitelist")


def test_four_groups_and_twenty_addresses_are_taken(
    api: httpx.Client, instances: dict[str, dict[str, Any]]
) -> None:
    instance = instances["ha_rw_split"]

    write(api, instance, *(group(str(n), *MANY[n * 5 : n * 5 + 5]) for n in range(4)), enabled=False)

    assert len(api.get(path_of(instance)).json()["whitelist"]) == 4


def test_who_is_not_there_has_no_whitelist(api: httpx.Client) -> None:
    nowhere = "/instance/00000000-0000-0000-0000-000000000000/whitelist"
    assert api.get(nowhere).status_code == 404
    assert api.put(nowhere, json={"enable_whitelist": False, "whitelist": []}).status_code == 404


def test_one_change_at_a_time(api: httpx.Client, instances: dict[str, dict[str, Any]]) -> None:
    instance = instances["ha_rw_split"]
    answer = api.put("/instances/status", json={"action": "restart", "instances": [instance["instance_id"]]})
    assert answer.status_code == 200, answer.text

    refusal = api.put(path_of(instance), json={"enable_whitelist": True, "whitelist": [group("a", FRIEND)]})

    check_refused(refusal, "DCS.4111")
    eventually(lambda: api.get(f"/instances/{instance['instance_id']}").json()["status"] == "RUNNING")
