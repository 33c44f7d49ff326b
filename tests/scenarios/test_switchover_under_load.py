"""A planned switch of master while a client writes to the instance's address all the time.

What a client may rely on: no write that was acknowledged is lost, and the address is refused for less than 200 ms.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from installation import HA, Installation, client_of, eventually
from witnesses import COUNTER, Writer, agreed, assert_nothing_is_left_over, groups_of


@pytest.fixture(scope="module")
def instance(installation: Installation) -> dict[str, Any]:
    """The instance whose nodes change places."""
    return installation.create("switched", HA)


@pytest.fixture(scope="module")
def api(installation: Installation) -> Iterator[httpx.Client]:
    """A client with a token."""
    with installation.http() as client:
        yield client


def master_of(installation: Installation, instance: dict[str, Any]) -> str:
    """Address of the master, by the API."""
    [nodes] = groups_of(installation, instance["instance_id"]).values()
    [master] = [one["replication_ip"] for one in nodes if one["replication_role"] == "master"]
    return str(master)


def figures(installation: Installation) -> list[dict[str, Any]]:
    """What the service measured at each switch so far."""
    # Not by line: one that was being written when the service was killed has no end.
    return [json.loads(found) for found in re.findall(r'\{[^{}]*"master switched"[^{}]*\}', installation.log())]


def test_switches_in_a_row_lose_no_acknowledged_write(
    installation: Installation, api: httpx.Client, instance: dict[str, Any], record_property: Any
):
    path = f"/instances/{instance['instance_id']}/swap"
    with Writer(instance) as writer:
        for _ in range(6):
            before = master_of(installation, instance)
            writer.wait_for_writes()
            assert api.post(path).status_code == 204
            assert eventually(lambda: agreed(installation, instance))[0].address != before
        writer.wait_for_writes()
    assert sum(writer.lost) == 0
    with client_of(instance) as client:
        count = int(client.get(COUNTER))
    # A write whose answer got lost with its connection may be there.
    assert 0 <= count - writer.acknowledged <= len(writer.failures)
    found = figures(installation)
    refused, held = [one["refused_seconds"] for one in found], [one["held_seconds"] for one in found]
    print(f"refused {refused} s, held {held} s, gaps {[round(gap, 3) for gap in writer.gaps]} s")
    record_property("refused_seconds", max(refused))
    record_property("held_seconds", max(held))
    assert len(refused) == 6
    assert max(refused) < 0.2
    assert max(writer.gaps, default=0) < 2
    assert_nothing_is_left_over(installation)


def test_of_two_switches_at_once_one_is_told_to_wait(
    installation: Installation, api: httpx.Client, instance: dict[str, Any]
):
    before, path = master_of(installation, instance), f"/instances/{instance['instance_id']}/swap"
    answers: list[httpx.Response] = []
    with Writer(instance):
        both = [threading.Thread(target=lambda: answers.append(api.post(path))) for _ in range(2)]
        for one in both:
            one.start()
        for one in both:
            one.join(60)
    assert sorted(one.status_code for one in answers) == [204, 400]
    [refused] = [one for one in answers if one.status_code == 400]
    assert refused.json()["error_code"] == "DCS.4114"
    assert master_of(installation, instance) != before


@pytest.mark.parametrize("step", ["switch", "promotion", "settle", "follow"])
def test_a_switch_that_the_service_did_not_survive_is_made_once(
    installation: Installation, api: httpx.Client, instance: dict[str, Any], step: str
):
    before, told = master_of(installation, instance), len(figures(installation))
    seen = times_begun(installation, step)
    with Writer(instance) as writer:
        asking = threading.Thread(target=ask_in_vain, args=(api, f"/instances/{instance['instance_id']}/swap"))
        asking.start()
        eventually(lambda: times_begun(installation, step) > seen)
        installation.kill()
        asking.join(60)
        writer.wait_for_writes()
        installation.start()
        installation.wait(instance["instance_id"])
        writer.wait_for_writes()
    assert sum(writer.lost) == 0
    assert master_of(installation, instance) != before
    assert len(figures(installation)) <= told + 1
    with client_of(instance) as client:
        assert client.info("replication")["role"] == "master"
    eventually(lambda: agreed(installation, instance))
    assert_nothing_is_left_over(installation)


def ask_in_vain(api: httpx.Client, path: str) -> None:
    """The service is killed before it answers."""
    with contextlib.suppress(httpx.HTTPError):
        api.post(path)


def times_begun(installation: Installation, step: str) -> int:
    """How often a step was begun so far; a promotion is begun by a Sentinel."""
    if step != "promotion":
        return installation.log().count(f'"step": "{step}"')
    logs = (installation.folder / "nodes").glob("sentinel-*/node.log")
    return sum(log.read_text().count("+selected-slave") for log in logs)
