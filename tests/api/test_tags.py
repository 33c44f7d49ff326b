"""Tags: added, overwritten and removed, all or none of a call, by whichever spelling the clients use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from huaweicloudsdkdcs import v2 as sdk
from installation import Installation
from refusals import check_refused, look


@pytest.fixture(scope="module")
def api(installation: Installation) -> Iterator[httpx.Client]:
    with installation.http() as client:
        yield client


@pytest.fixture(scope="module")
def instance(installation: Installation) -> str:
    """An instance to be tagged."""
    return str(installation.create("tagged")["instance_id"])


@pytest.fixture(autouse=True)
def without_tags(api: httpx.Client, instance: str) -> None:
    """Each test begins with none."""
    if present := tags_of(api, instance):
        assert act(api, instance, "delete", **present).status_code == 204
    assert tags_of(api, instance) == {}


def act(api: httpx.Client, instance: str, action: str, **tags: str | None) -> httpx.Response:
    body = {"action": action, "tags": [{"key": key, "value": value} for key, value in tags.items()]}
    return api.post(f"/dcs/{instance}/tags/action", json=body)


def tags_of(api: httpx.Client, instance: str) -> dict[str, str]:
    return {one["key"]: one["value"] for one in api.get(f"/instances/{instance}/tags").json()["tags"]}


def test_the_official_client_tags_an_instance(installation: Installation, instance: str) -> None:
    client = installation.sdk()

    def change(action: str, *tags: sdk.ResourceTag) -> None:
        body = sdk.CreateOrDeleteInstanceTags(action=action, tags=list(tags))
        client.batch_create_or_delete_tags(sdk.BatchCreateOrDeleteTagsRequest(instance, body))

    change("create", sdk.ResourceTag("team", "blue"), sdk.ResourceTag("use", "cache"))
    shown = client.show_tags(sdk.ShowTagsRequest(instance)).tags
    assert [(one.key, one.value) for one in shown] == [("team", "blue"), ("use", "cache")]
    of_tenant = client.list_tags_of_tenant(sdk.ListTagsOfTenantRequest()).tags
    assert {one.key: one.values for one in of_tenant} == {"team": ["blue"], "use": ["cache"]}
    told = client.show_instance(sdk.ShowInstanceRequest(instance)).tags
    assert {one.key: one.value for one in told} == {"team": "blue", "use": "cache"}
    listed = client.list_instances(sdk.ListInstancesRequest(tags="team=blue,use")).instances
    assert [one.instance_id for one in listed] == [instance]
    assert client.list_instances(sdk.ListInstancesRequest(tags="team=red")).instances == []
    change("delete", sdk.ResourceTag("team"), sdk.ResourceTag("use", "cache"))
    assert client.show_tags(sdk.ShowTagsRequest(instance)).tags == []


def test_a_key_that_is_there_takes_the_new_value(api: httpx.Client, instance: str) -> None:
    act(api, instance, "create", team="blue", use="cache")
    assert act(api, instance, "create", team="red", new="1").status_code == 204
    assert tags_of(api, instance) == {"team": "red", "use": "cache", "new": "1"}


def test_changes_may_be_asked_for_again(api: httpx.Client, instance: str) -> None:
    for _ in range(2):
        assert act(api, instance, "create", team="blue").status_code == 204
        assert tags_of(api, instance) == {"team": "blue"}
    for _ in range(2):
        assert act(api, instance, "delete", team="blue").status_code == 204
        assert tags_of(api, instance) == {}


def test_a_tag_of_another_value_is_not_removed(api: httpx.Client, instance: str) -> None:
    act(api, instance, "create", team="blue", use="cache", kind="x")
    assert act(api, instance, "delete", team="red", use=None, kind="").status_code == 204
    assert tags_of(api, instance) == {"team": "blue"}


def test_values_may_be_empty_and_of_every_language(api: httpx.Client, instance: str) -> None:
    """Terraform's client leaves an empty value out."""
    body = {
        "action": "create",
        "tags": [{"key": "empty"}, {"key": "Größe", "value": "大"}, {"key": "n", "value": 2}],
    }
    assert api.post(f"/dcs/{instance}/tags/action", json=body).status_code == 204
    assert tags_of(api, instance) == {"empty": "", "Größe": "大", "n": "2"}


def test_the_longest_tags_are_kept_whole(api: httpx.Client, instance: str) -> None:
    longest = {"k" * 128: "v" * 255}
    assert act(api, instance, "create", **longest).status_code == 204
    assert tags_of(api, instance) == longest


def test_twenty_tags_are_the_most(api: httpx.Client, instance: str) -> None:
    assert act(api, instance, "create", **{f"k{n}": "v" for n in range(19)}).status_code == 204
    before = tags_of(api, instance)
    check_refused(act(api, instance, "create", k0="w", one="1", two="2"), "DCS.4062", "tags")
    assert tags_of(api, instance) == before
    assert act(api, instance, "create", k0="w", one="1").status_code == 204
    assert len(tags_of(api, instance)) == 20
    assert act(api, instance, "create", k1="w").status_code == 204
    check_refused(act(api, instance, "create", **{f"n{n}": "v" for n in range(21)}), "DCS.4062", "tags")


def test_calls_at_once_never_exceed_the_limit(api: httpx.Client, instance: str) -> None:
    with ThreadPoolExecutor(16) as threads:
        answers = list(
            threads.map(lambda n: act(api, instance, "create", **{f"a{n}": "1", f"b{n}": "2"}), range(16))
        )
    codes = Counter("ok" if one.is_success else one.json()["error_code"] for one in answers)
    assert codes == {"ok": 10, "DCS.4062": 6}
    kept = {n for n, one in enumerate(answers) if one.is_success}
    assert tags_of(api, instance).keys() == {f"{letter}{n}" for letter in "ab" for n in kept}


BAD: dict[str, dict[str, Any]] = {
    "no_action": {"tags": [{"key": "k", "value": "v"}]},
    "odd_action": {"action": "replace", "tags": [{"key": "k", "value": "v"}]},
    "no_tags": {"action": "create"},
    "empty_tags": {"action": "create", "tags": []},
    "odd_tags": {"action": "create", "tags": "k=v"},
    "odd_tag": {"action": "create", "tags": ["k"]},
    "no_key": {"action": "create", "tags": [{"value": "v"}]},
    "empty_key": {"action": "delete", "tags": [{"key": ""}]},
    "long_key": {"action": "create", "tags": [{"key": "k" * 129, "value": "v"}]},
    "long_value": {"action": "create", "tags": [{"key": "k", "value": "v" * 256}]},
    "blank_around_key": {"action": "create", "tags": [{"key": " k", "value": "v"}]},
    "blank_around_value": {"action": "create", "tags": [{"key": "k", "value": "v "}]},
    "odd_characters_in_key": {"action": "create", "tags": [{"key": "a/b", "value": "v"}]},
    "odd_characters_in_value": {"action": "create", "tags": [{"key": "k", "value": "a,b"}]},
    "system_key": {"action": "create", "tags": [{"key": "_sys_k", "value": "v"}]},
    "key_twice": {"action": "create", "tags": [{"key": "k", "value": "v"}, {"key": "k", "value": "w"}]},
    "odd_value": {"action": "create", "tags": [{"key": "k", "value": ["v"]}]},
    "one_of_two_bad": {"action": "create", "tags": [{"key": "good", "value": "v"}, {"key": "", "value": "v"}]},
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_named_and_changes_nothing(api: httpx.Client, instance: str, name: str) -> None:
    act(api, instance, "create", kept="yes")
    before = look(api)
    answer = api.post(f"/dcs/{instance}/tags/action", json=BAD[name])
    check_refused(answer, "DCS.4062", "action" if "action" in name else "tags")
    assert look(api) == before
    assert tags_of(api, instance) == {"kept": "yes"}


def test_a_deleted_instance_leaves_no_tags(installation: Installation, api: httpx.Client, instance: str) -> None:
    other = installation.create("passing", tags=[{"key": "passing", "value": "yes"}])["instance_id"]
    act(api, instance, "create", team="blue")
    act(api, other, "create", team="red")
    assert api.get("/dcs/tags").json()["tags"] == [
        {"key": "passing", "values": ["yes"]},
        {"key": "team", "values": ["blue", "red"]},
    ]
    api.delete(f"/instances/{other}")
    installation.wait_gone(other)
    assert api.get("/dcs/tags").json()["tags"] == [{"key": "team", "values": ["blue"]}]
    check_refused(act(api, other, "create", team="blue"), "DCS.3022", status=404)


def test_tags_stay_while_the_instance_changes(
    installation: Installation, api: httpx.Client, instance: str
) -> None:
    act(api, instance, "create", team="blue")
    answer = api.put("/instances/status", json={"action": "restart", "instances": [instance]})
    assert answer.json()["results"][0]["result"] == "success"
    assert act(api, instance, "create", use="cache").status_code == 204
    installation.wait(instance)
    assert tags_of(api, instance) == {"team": "blue", "use": "cache"}
