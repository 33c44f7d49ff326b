"""resize_instance over HTTP: what the official SDK sends, and what cannot be had."""

from __future__ import annotations

from typing import Any

import pytest
from huaweicloudsdkdcs.v2 import ResizeInstanceBody, ResizeInstanceRequest
from installation import HA, PROXY, SINGLE, SPLIT, Installation, client_of, eventually
from refusals import check_refused


@pytest.fixture(scope="module")
def standby(installation: Installation) -> dict[str, Any]:
    """A master and its standby."""
    return installation.create("resized", HA)


def groups_of(installation: Installation, instance: dict[str, Any]) -> list[dict[str, Any]]:
    with installation.http() as api:
        return api.get(f"/instance/{instance['instance_id']}/groups").json()["group_list"]


def test_the_official_sdk_resizes(installation: Installation):
    single = installation.create("grown", "redis.single.xu1.tiny.128")
    with client_of(single) as client:
        client.set("kept", "yes")
    body = ResizeInstanceBody(spec_code="redis.single.xu1.tiny.256", new_capacity=0.25)
    request = ResizeInstanceRequest(instance_id=single["instance_id"], body=body)
    answer = installation.sdk().resize_instance(request)

    assert answer.status_code == 204
    now = installation.wait(single["instance_id"])
    assert (now["spec_code"], now["capacity_minor"]) == ("redis.single.xu1.tiny.256", ".25")
    with client_of(single) as client:
        assert client.get("kept") == "yes"
        assert client.info("memory")["maxmemory"] == 256 * 2**20


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"new_capacity": 1}, "DCS.4927"),
    ({"spec_code": 5, "new_capacity": 1}, "DCS.4927"),
    ({"spec_code": "redis.ha.xu1.large.r2.1"}, "DCS.4012"),
    ({"spec_code": "redis.ha.xu1.large.r2.1", "new_capacity": "much"}, "DCS.4012"),
    ({"spec_code": "redis.ha.xu1.large.r2.1", "new_capacity": 2}, "DCS.4012"),
    ({"spec_code": "redis.cluster.xu1.large.r2.4", "new_capacity": 4}, "DCS.4200"),
    ({"spec_code": "redis.ha.xu1.large.r5.1", "new_capacity": 1, "available_zones": ["nowhere"]}, "DCS.4933"),
    ({"spec_code": "redis.ha.xu1.large.r5.1", "new_capacity": 1, "available_zones": "local-1a"}, "DCS.4933"),
    ({"spec_code": "redis.ha.xu1.large.r5.1", "new_capacity": 1, "node_list": "n"}, "DCS.4930"),
]


@pytest.mark.parametrize(("body", "code"), REFUSED, ids=[str(number) for number in range(len(REFUSED))])
def test_what_cannot_be_changes_nothing(
    installation: Installation, standby: dict[str, Any], body: dict[str, Any], code: str
):
    before, groups = installation.show(standby["instance_id"]), groups_of(installation, standby)
    with installation.http() as api:
        answer = api.post(f"/instances/{standby['instance_id']}/resize", json=body)
    check_refused(answer, code)
    after = installation.show(standby["instance_id"])
    assert before is not None
    assert after is not None
    assert (after["status"], after["spec_code"]) == ("RUNNING", before["spec_code"])
    assert groups_of(installation, standby) == groups


def test_the_master_is_not_deleted(installation: Installation):
    three = installation.create("three", "redis.ha.xu1.tiny.r3.128")
    master = groups_of(installation, three)[0]["replication_list"][0]
    body = {
        "spec_code": HA,
        "new_capacity": 0.125,
        "change_type": "deleteReplication",
        "node_list": [master["node_id"]],
    }
    with installation.http() as api:
        answer = api.post(f"/instances/{three['instance_id']}/resize", json=body)
    check_refused(answer, "DCS.4936", "node_list")


def test_a_second_change_is_refused_while_one_is_under_way(installation: Installation, standby: dict[str, Any]):
    path = f"/instances/{standby['instance_id']}/resize"
    more = {"spec_code": "redis.ha.xu1.tiny.r3.128", "new_capacity": 0.125, "change_type": "createReplication"}
    with installation.http() as api:
        answers = [api.post(path, json=more) for _ in range(3)]
    assert answers[0].status_code == 204
    for answer in answers[1:]:
        check_refused(answer, "DCS.4113")
    installation.wait(standby["instance_id"])


def test_data_in_several_databases_is_not_for_a_proxy_cluster_but_for_proxies(installation: Installation):
    made = installation.create("several", "redis.ha.xu1.large.r2.1", capacity=1, engine_version="6.0")
    to_another = {"change_type": "instanceType"}
    with client_of(made, db=7) as client, installation.http() as api:
        client.set("kept", 7)
        path = f"/instances/{made['instance_id']}/resize"
        body = {"spec_code": PROXY, "new_capacity": 4, **to_another}
        check_refused(api.post(path, json=body), "DCS.4200", "spec_code")
        check_refused(api.post(path, json={"spec_code": SPLIT, "new_capacity": 1}), "DCS.4200", "spec_code")
        assert api.post(path, json={"spec_code": SPLIT, "new_capacity": 1, **to_another}).status_code == 204
    now = installation.wait(made["instance_id"])
    assert (now["cache_mode"], now["ip"], now["port"]) == ("ha_rw_split", made["ip"], made["port"])
    with client_of(now, db=7) as client:
        # A replica may be a moment behind; what was written is there.
        eventually(lambda: client.get("kept") == "7")


def test_a_type_that_the_version_has_not_is_refused(installation: Installation, standby: dict[str, Any]):
    body = {"spec_code": SPLIT, "new_capacity": 1, "change_type": "instanceType"}
    with installation.http() as api:
        check_refused(api.post(f"/instances/{standby['instance_id']}/resize", json=body), "DCS.4008")


def test_what_the_machine_cannot_promise_is_refused(installation: Installation):
    modest = installation.create("modest", SINGLE)
    body = {"spec_code": "redis.single.xu1.large.64", "new_capacity": 64}
    with installation.http() as api:
        check_refused(api.post(f"/instances/{modest['instance_id']}/resize", json=body), "DCS.4054")
