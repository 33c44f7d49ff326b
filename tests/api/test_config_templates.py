"""Parameter templates: the system's, the projects' own, and instances made from them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from configured import Configured
from huaweicloudsdkdcs import v2 as sdk
from installation import CLUSTER, HA, PROXY, SINGLE, SPLIT, Installation, client_of
from postgresql import NewDatabase
from refusals import check_refused, look

from cachestead.bootstrap import load_flavors, load_parameters
from cachestead.domain.instances import Mode
from cachestead.domain.templates import SYSTEM_TEMPLATES

TEMPLATES = "/config-templates"
UNKNOWN = "00000000-0000-4000-8000-000000000000"
VALUES = {"maxmemory-policy": "allkeys-lru", "slowlog-max-len": "77", "active-expire-num": "30"}
FLAVORS = {Mode.SINGLE: SINGLE, Mode.HA: HA, Mode.CLUSTER: CLUSTER, Mode.PROXY: PROXY, Mode.HA_RW_SPLIT: SPLIT}
CAPACITY = {SINGLE: 0.125, HA: 0.125, CLUSTER: 4, PROXY: 4, SPLIT: 1}
SOURCES = {mode: next(one for one in reversed(SYSTEM_TEMPLATES.values()) if one.mode is mode) for mode in Mode}
"""The system template of the newest version that the type has."""
NAMES = iter(f"template-{number}" for number in range(1000))


@pytest.fixture(scope="module")
def api(installation: Installation) -> Iterator[httpx.Client]:
    """A client with a token."""
    with installation.http() as client:
        yield client


def body(**fields: Any) -> dict[str, Any]:
    """A body for create_custom_template that is right, but for what is named."""
    return {"template_id": "22", "type": "sys", "name": next(NAMES), "params": {"timeout": 5}} | fields


def make(api: httpx.Client, **fields: Any) -> str:
    answer = api.post(TEMPLATES, json=body(**fields))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def show(api: httpx.Client, template: str, kind: str = "user") -> dict[str, Any]:
    answer = api.get(f"{TEMPLATES}/{template}", params={"type": kind})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def values_of(template: dict[str, Any]) -> dict[str, str]:
    return {one["param_name"]: one["param_value"] for one in template["params"]}


def own(api: httpx.Client, **query: Any) -> list[dict[str, Any]]:
    return list(api.get(TEMPLATES, params={"type": "user", "limit": 1000} | query).json()["templates"])


@pytest.mark.parametrize("template", SYSTEM_TEMPLATES)
def test_system_templates_are_the_defaults_of_their_type(api: httpx.Client, template: str):
    found, expected = show(api, template, "sys"), SYSTEM_TEMPLATES[template]
    assert (found["engine_version"], found["cache_mode"]) == (expected.engine_version, expected.mode)
    assert values_of(found) == {one.name: one.default for one in load_parameters().parameters_of(expected.mode)}
    assert all(one["param_value"] == one["default_value"] for one in found["params"])


def test_system_templates_are_listed_page_by_page(api: httpx.Client):
    def page(**query: Any) -> list[str]:
        listed = api.get(TEMPLATES, params={"type": "sys"} | query).json()
        assert listed["template_num"] == len(SYSTEM_TEMPLATES)
        return [one["template_id"] for one in listed["templates"]]

    assert page(limit=1000) == list(SYSTEM_TEMPLATES)
    assert page() == list(SYSTEM_TEMPLATES)[:10]
    assert page(offset=15, limit=2) == list(SYSTEM_TEMPLATES)[15:17]
    assert page(offset=100) == []


@pytest.mark.parametrize(
    "query",
    [
        {"engine": "Redis", "engine_version": "6.0", "cache_mode": "ha"},
        {"template_id": "17"},
        {"name": "redis-6.0-ha-"},
    ],
    ids=lambda query: next(iter(query)),
)
def test_system_templates_are_found(api: httpx.Client, query: dict[str, str]):
    listed = api.get(TEMPLATES, params={"type": "sys"} | query).json()
    assert (listed["template_num"], [one["template_id"] for one in listed["templates"]]) == (1, ["17"])


def test_a_template_of_one_s_own_is_its_source_and_what_was_chosen(api: httpx.Client):
    made = make(api, name="Of-my.own_1", params=VALUES, description="for sessions")
    found = show(api, made)
    assert {key: found[key] for key in ("name", "type", "description", "engine", "engine_version", "cache_mode")} == {
        "name": "Of-my.own_1", "type": "user", "description": "for sessions", "engine": "Redis",
        "engine_version": "7.0", "cache_mode": "ha",
    }  # fmt: skip
    assert found["created_at"]
    assert values_of(found) == values_of(show(api, "22", "sys")) | VALUES
    copy = show(api, make(api, template_id=made, type="user", params={"slowlog-max-len": "78"}))
    assert values_of(copy) == values_of(found) | {"slowlog-max-len": "78"}
    [listed] = own(api, template_id=made)
    assert listed == {key: value for key, value in found.items() if key != "params"}


def test_own_templates_are_listed_newest_first_and_found(api: httpx.Client):
    ids = [make(api, name=f"listed-{n}", description=f"number {n}", template_id=str(20 + n)) for n in (1, 2, 3)]
    assert [one["template_id"] for one in own(api, name="LISTED")] == ids[::-1]
    assert [one["template_id"] for one in own(api, name="listed", limit=1, offset=1)] == [ids[1]]
    assert [one["template_id"] for one in own(api, description="NUMBER 2")] == [ids[1]]
    assert [one["template_id"] for one in own(api, name="listed-", cache_mode="cluster")] == [ids[2]]
    assert own(api, name="listed", engine_version="4.0") == []
    assert own(api, name="l_sted") == own(api, name="%") == own(api, template_id="22") == []
    assert api.get(TEMPLATES, params={"type": "user", "name": "listed", "limit": 1}).json()["template_num"] == 3


def test_a_change_leaves_what_it_does_not_name(api: httpx.Client):
    made = make(api, params=VALUES, description="before")
    path = f"{TEMPLATES}/{made}"
    for change, expected in (
        ({"description": ""}, {"description": ""}),
        ({"name": "another-name-1"}, {"name": "another-name-1", "description": ""}),
        ({"name": "another-name-1"}, {"name": "another-name-1"}),
        ({}, {"name": "another-name-1"}),
    ):
        answer = api.put(path, json=change)
        assert (answer.status_code, answer.json()) == (200, {"result": "success"})
        found = show(api, made)
        assert {key: found[key] for key in expected} == expected
    assert api.put(path, json={"params": {"timeout": "9"}}).status_code == 200
    assert values_of(show(api, made)) == values_of(show(api, "22", "sys")) | VALUES | {"timeout": "9"}


def test_a_deleted_template_is_gone(api: httpx.Client):
    made = make(api)
    answer = api.delete(f"{TEMPLATES}/{made}")
    assert (answer.status_code, answer.json()) == (200, {"result": "success"})
    check_refused(api.delete(f"{TEMPLATES}/{made}"), "DCS.4988")
    check_refused(api.get(f"{TEMPLATES}/{made}", params={"type": "user"}), "DCS.4988")
    check_refused(api.put(f"{TEMPLATES}/{made}", json={"name": "anything"}), "DCS.4988")
    assert own(api, template_id=made) == []


@pytest.mark.parametrize("template", ["22", UNKNOWN, "x" * 200, "%00x"])
def test_templates_that_are_nobody_s_own_cannot_be_changed(api: httpx.Client, template: str):
    code = "DCS.4062" if "%00" in template else "DCS.4988"
    check_refused(api.put(f"{TEMPLATES}/{template}", json={"name": "anything"}), code)
    check_refused(api.delete(f"{TEMPLATES}/{template}"), code)
    check_refused(api.get(f"{TEMPLATES}/{template}", params={"type": "user"}), code)


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        pytest.param({"name": "abc"}, "DCS.4062", "name", id="short name"),
        pytest.param({"name": "x" * 65}, "DCS.4062", "name", id="long name"),
        pytest.param({"name": "-abcd"}, "DCS.4062", "name", id="name with a dash first"),
        pytest.param({"name": None}, "DCS.4062", "name", id="no name"),
        pytest.param({"name": SYSTEM_TEMPLATES["6"].name}, "DCS.4062", "name", id="system's name"),
        pytest.param({"description": "x" * 1025}, "DCS.4062", "description", id="long description"),
        pytest.param({"description": []}, "DCS.4062", "description", id="description is a list"),
        pytest.param({"type": "nonsense"}, "DCS.4062", "type", id="unknown type"),
        pytest.param({"type": None}, "DCS.4062", "type", id="no type"),
        pytest.param({"type": "user"}, "DCS.4062", "template_id", id="system's as one's own"),
        pytest.param({"template_id": "1"}, "DCS.4062", "template_id", id="unknown template"),
        pytest.param({"template_id": UNKNOWN, "type": "user"}, "DCS.4062", "template_id", id="unknown own"),
        pytest.param({"template_id": None}, "DCS.4062", "template_id", id="no template"),
        pytest.param({"engine": "Memcached"}, "DCS.4006", "engine", id="another engine"),
        pytest.param({"engine_version": "3.0"}, "DCS.4008", "engine_version", id="old version"),
        pytest.param({"engine_version": "6.0"}, "DCS.4008", "engine_version", id="version of another"),
        pytest.param({"cache_mode": "single"}, "DCS.4007", "cache_mode", id="type of another"),
        pytest.param({"cache_mode": "nonsense"}, "DCS.4007", "cache_mode", id="no such type"),
        pytest.param({"params": None}, "DCS.4062", "params", id="no parameters"),
        pytest.param({"params": []}, "DCS.4062", "params", id="parameters are a list"),
        pytest.param({"params": {"timeout": None}}, "DCS.4062", "params", id="value is null"),
        pytest.param({"params": {"timeout": "7201"}}, "DCS.4066", "timeout", id="beyond the range"),
        pytest.param({"params": {"nonsense": "1"}}, "DCS.4066", "nonsense", id="unknown parameter"),
        pytest.param({"params": {"multi-db": "no"}}, "DCS.4066", "multi-db", id="another type's parameter"),
        pytest.param({"params": {"maxclients": "2000"}}, "DCS.4066", "maxclients", id="of the flavor"),
        pytest.param({"params": {"": "1"}}, "DCS.4066", "parameter", id="nameless parameter"),
    ],
)
def test_bad_templates_are_refused(api: httpx.Client, fields: dict[str, Any], code: str, field: str):
    before = own(api)
    wanted = {key: value for key, value in body(**fields).items() if value is not None}
    check_refused(api.post(TEMPLATES, json=wanted), code, field)
    assert own(api) == before


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        pytest.param({"name": "abc"}, "DCS.4062", "name", id="short name"),
        pytest.param({"name": "taken-by-another"}, "DCS.4062", "name", id="taken name"),
        pytest.param({"name": SYSTEM_TEMPLATES["6"].name}, "DCS.4062", "name", id="system's name"),
        pytest.param({"description": "x" * 1025}, "DCS.4062", "description", id="long description"),
        pytest.param({"params": {"timeout": "-1"}}, "DCS.4066", "timeout", id="bad value"),
        pytest.param({"params": ["timeout"]}, "DCS.4062", "params", id="parameters are a list"),
    ],
)
def test_bad_changes_are_refused(api: httpx.Client, change: dict[str, Any], code: str, field: str):
    if not own(api, name="taken-by-another"):
        make(api, name="taken-by-another")
    made = make(api)
    before = show(api, made)
    check_refused(api.put(f"{TEMPLATES}/{made}", json=change), code, field)
    assert show(api, made) == before


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ({}, "DCS.4062", "type"),
        ({"type": "mine"}, "DCS.4062", "type"),
        ({"type": "sys", "engine": "Memcached"}, "DCS.4006", "engine"),
        ({"type": "sys", "engine_version": "3.0"}, "DCS.4008", "engine_version"),
        ({"type": "user", "cache_mode": "x"}, "DCS.4007", "cache_mode"),
        ({"type": "user", "limit": "0"}, "DCS.4800", "limit"),
        ({"type": "user", "offset": "-1"}, "DCS.4800", "offset"),
    ],
    ids=["no type", "type", "engine", "version", "instance type", "limit", "offset"],
)
def test_bad_queries_are_refused(api: httpx.Client, query: dict[str, str], code: str, field: str):
    check_refused(api.get(TEMPLATES, params=query), code, field)


def test_a_name_is_given_once_however_many_ask(api: httpx.Client):
    answers: list[httpx.Response] = []
    wanted = body(name="asked-for-by-many")
    threads = [threading.Thread(target=lambda: answers.append(api.post(TEMPLATES, json=wanted))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.status_code for one in answers) == [200] + [400] * 7
    for refused in (one for one in answers if one.status_code == 400):
        check_refused(refused, "DCS.4062", "name")


def test_a_project_has_room_for_so_many(tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase):
    settings = {"QUOTAS__TEMPLATES": "2"}
    made = Installation(tmp_path_factory.mktemp("narrow"), new_database(), settings)
    try:
        with made.start().http() as api:
            first = make(api)
            make(api)
            check_refused(api.post(TEMPLATES, json=body()), "DCS.4039")
            api.delete(f"{TEMPLATES}/{first}")
            make(api)
    finally:
        made.remove()


@pytest.mark.parametrize("mode", Mode)
def test_an_instance_has_the_values_of_its_template(installation: Installation, api: httpx.Client, mode: Mode):
    spec, source = FLAVORS[mode], SOURCES[mode]
    template = make(api, template_id=source.id, params=VALUES)
    version = {"engine_version": source.engine_version}
    made = installation.create(
        f"templated-{mode.replace('_', '-')}", spec, capacity=CAPACITY[spec], template_id=template, **version
    )
    configured = Configured(installation, api, made)
    flavor = load_flavors().get(spec, CAPACITY[spec])
    defaults = {one.name: one.default for one in load_parameters().parameters_of(mode, flavor)}
    assert configured.values() == defaults | VALUES
    configured.assert_in_force()
    assert api.put(f"{TEMPLATES}/{template}", json={"params": {"slowlog-max-len": "1"}}).status_code == 200
    assert api.delete(f"{TEMPLATES}/{template}").status_code == 200
    assert configured.values() == defaults | VALUES
    api.delete(configured.path)


def test_an_instance_can_be_read_only_from_its_start(installation: Installation, api: httpx.Client):
    template = make(api, params={"master-read-only": "yes"})
    made = installation.create("reads-only", HA, template_id=template)
    configured = Configured(installation, api, made)
    with client_of(made) as tenant:
        assert "-@write" in str(tenant.execute_command("ACL", "GETUSER", "default"))
    assert configured.set(master_read_only="no") == "SUCCESS"
    with client_of(made) as tenant:
        assert tenant.set("written", "yes")
    api.delete(configured.path)


def test_a_template_of_another_version_or_type_makes_nothing(installation: Installation, api: httpx.Client):
    single = make(api, template_id="21")
    before = look(api)
    for template, fields in (
        (single, {"flavor": HA}),
        (single, {"engine_version": "6.0"}),
        ("16", {}),
        (UNKNOWN, {}),
        ("x" * 1000, {}),
    ):
        check_refused(
            api.post("/instances", json=installation.order(template_id=template, **fields)),
            "DCS.4062",
            "template_id",
        )
    assert look(api) == before


def test_the_official_client_makes_changes_and_deletes_templates(installation: Installation):
    client = installation.sdk()
    wanted = sdk.CreateCustomTemplateBody(
        template_id="11", name="by-the-sdk", type="sys", engine="Redis", cache_mode="single", engine_version="5.0",
        description="", params={"latency-monitor-threshold": "15"},
    )  # fmt: skip
    made = client.create_custom_template(sdk.CreateCustomTemplateRequest(body=wanted)).id
    change = sdk.UpdateCustomTemplateBody(description="changed", params={"timeout": "3"})
    changed = client.update_config_template(sdk.UpdateConfigTemplateRequest(template_id=made, body=change))
    assert changed.result == "success"
    listed = client.list_config_templates(sdk.ListConfigTemplatesRequest(type="user", name="by-the-sdk"))
    assert [(one.template_id, one.description) for one in listed.templates] == [(made, "changed")]
    shown = client.show_config_template(sdk.ShowConfigTemplateRequest(template_id=made, type="user"))
    assert (shown.name, shown.engine_version, shown.cache_mode) == ("by-the-sdk", "5.0", "single")
    gone = client.delete_config_template(sdk.DeleteConfigTemplateRequest(template_id=made))
    assert gone.result == "success"


def test_an_engine_without_users_takes_no_template_that_forbids_writing(fresh_installation: Installation):
    # An engine that is never started: what counts is who it says it is.
    old = fresh_installation.folder.parent / "redis-5"
    old.write_text("#!/bin/sh\necho 'Redis server v=5.0.14 sha=00000000:0 malloc=libc bits=64 build=0'\n")
    old.chmod(0o755)
    fresh_installation.settings["ENGINE__BINARIES"] = json.dumps([str(old)])
    fresh_installation.start()
    source = next(
        name for name, one in SYSTEM_TEMPLATES.items() if (one.mode, one.engine_version) == (Mode.SINGLE, "5.0")
    )
    with fresh_installation.http() as api:
        template = make(api, template_id=source, params={"master-read-only": "yes"})
        order = fresh_installation.order(engine_version="5.0", template_id=template)
        check_refused(api.post("/instances", json=order), "DCS.4066", "master-read-only")
        assert api.get("/instances").json()["instance_num"] == 0
