"""Every rule of the create and update bodies answers its own code, names the field and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from installation import HA, PASSWORD, Installation, client_of
from refusals import check_refused, look

PROXY = "redis.proxy.xu1.large.4"
PLAN = {"period_type": "weekly", "backup_at": [1, 3], "begin_at": "00:00-01:00"}
POLICY = {"backup_type": "auto", "save_days": 1, "periodical_backup_plan": PLAN}
UNKNOWN = "daf83fff-1632-4226-9db0-be533712e6d7"


@pytest.fixture(scope="module")
def api(installation: Installation) -> Iterator[httpx.Client]:
    """A client with a token."""
    with installation.http() as client:
        yield client


@pytest.fixture(scope="module")
def standing(installation: Installation) -> dict[str, Any]:
    """A master/standby instance that no refused call may change."""
    return installation.create("standing", HA)


@pytest.fixture(scope="module")
def lonely(installation: Installation) -> dict[str, Any]:
    """A single-node instance that no refused call may change."""
    return installation.create("lonely")


NAMES = [
    pytest.param({"name": "abc"}, "DCS.4010", "name", id="short name"),
    pytest.param({"name": "x" * 65}, "DCS.4010", "name", id="long name"),
    pytest.param({"name": "bad name!"}, "DCS.4010", "name", id="name with a blank"),
    pytest.param({"name": ""}, "DCS.4010", "name", id="empty name"),
    pytest.param({"name": ["abcd"]}, "DCS.4010", "name", id="name is a list"),
    pytest.param({"name": True}, "DCS.4010", "name", id="name is a flag"),
    pytest.param({"description": "x" * 1025}, "DCS.4011", "description", id="long description"),
    pytest.param({"description": {"a": 1}}, "DCS.4011", "description", id="description is an object"),
    pytest.param({"security_group_id": UNKNOWN}, "DCS.4046", "security_group_id", id="unknown security group"),
    pytest.param({"security_group_id": [1]}, "DCS.4014", "security_group_id", id="security group is a list"),
    pytest.param({"maintain_begin": "18:00:00"}, "DCS.4106", "maintain_end", id="window without end"),
    pytest.param({"maintain_end": "18:00:00"}, "DCS.4106", "maintain_begin", id="window without begin"),
    pytest.param(
        {"maintain_begin": "18:30:00", "maintain_end": "19:30:00"}, "DCS.4106", "maintain_begin", id="half an hour"
    ),
    pytest.param({"maintain_begin": 18, "maintain_end": []}, "DCS.4106", "maintain_end", id="window is a list"),
    pytest.param({"port": 0}, "DCS.4062", "port", id="port 0"),
    pytest.param({"port": 65536}, "DCS.4062", "port", id="port 65536"),
    pytest.param({"port": "redis"}, "DCS.4062", "port", id="port is a word"),
    pytest.param({"port": True}, "DCS.4062", "port", id="port is a flag"),
    pytest.param({"port": 6379.5}, "DCS.4062", "port", id="port is a fraction"),
    pytest.param({"rename_commands": {"get": "xxxx"}}, "DCS.4062", "rename_commands", id="command that cannot"),
    pytest.param({"rename_commands": {"keys": "a b"}}, "DCS.4062", "rename_commands", id="bad command name"),
    pytest.param({"rename_commands": {"keys": "hgetall"}}, "DCS.4062", "rename_commands", id="name of a command"),
    pytest.param({"rename_commands": ["keys"]}, "DCS.4062", "rename_commands", id="renames are a list"),
    pytest.param({"instance_backup_policy": "auto"}, "DCS.4073", "instance_backup_policy", id="policy is a word"),
]
"""Rules that creation and change share."""


def policy(**fields: Any) -> dict[str, Any]:
    return {"instance_backup_policy": POLICY | fields}


def plan(**fields: Any) -> dict[str, Any]:
    return policy(periodical_backup_plan=PLAN | fields)


POLICIES = [
    pytest.param(policy(save_days=0), "DCS.4072", "save_days", id="kept no day"),
    pytest.param(policy(save_days="soon"), "DCS.4072", "save_days", id="kept a word"),
    pytest.param(policy(backup_type="daily"), "DCS.4073", "backup_type", id="backup of unknown type"),
    pytest.param(plan(period_type="daily"), "DCS.4074", "period_type", id="daily backup"),
    pytest.param(policy(periodical_backup_plan=None), "DCS.4074", "period_type", id="no backup plan"),
    pytest.param(plan(backup_at=[8]), "DCS.4075", "backup_at", id="backup on the eighth day"),
    pytest.param(plan(begin_at="00:30-01:30"), "DCS.4076", "begin_at", id="backup at half past"),
    pytest.param(plan(timezone_offset="+2400"), "DCS.4062", "timezone_offset", id="zone beyond the globe"),
]

ORDERS = [
    pytest.param({"engine": "Memcached"}, "DCS.4006", "engine", id="other engine"),
    pytest.param({"engine": None}, "DCS.4006", "engine", id="engine is null"),
    pytest.param({"engine_version": "3.0"}, "DCS.4008", "engine_version", id="old version"),
    pytest.param({"engine_version": "x" * 10_000}, "DCS.4008", "engine_version", id="long version"),
    pytest.param({"engine_version": None}, "DCS.4008", "engine_version", id="version is null"),
    pytest.param({"engine_version": {}}, "DCS.4008", "engine_version", id="version is an object"),
    pytest.param(
        {"spec_code": PROXY, "capacity": 4, "engine_version": "7.0"}, "DCS.4008", "engine_version", id="type older"
    ),
    pytest.param({"capacity": 0.3}, "DCS.4012", "capacity", id="no such capacity"),
    pytest.param({"capacity": 1}, "DCS.4012", "capacity", id="capacity of another flavor"),
    pytest.param({"capacity": -1}, "DCS.4012", "capacity", id="negative capacity"),
    pytest.param({"capacity": "lots"}, "DCS.4012", "capacity", id="capacity is a word"),
    pytest.param({"capacity": "nan"}, "DCS.4012", "capacity", id="capacity is no number"),
    pytest.param({"capacity": True}, "DCS.4012", "capacity", id="capacity is a flag"),
    pytest.param({"capacity": 10**400}, "DCS.4012", "capacity", id="capacity beyond counting"),
    pytest.param({"capacity": None}, "DCS.4012", "capacity", id="capacity is null"),
    pytest.param({"spec_code": "redis.nonsense"}, "DCS.4927", "spec_code", id="no such flavor"),
    pytest.param({"spec_code": None}, "DCS.4927", "spec_code", id="flavor is null"),
    pytest.param({"spec_param": {"replica_count": 5}}, "DCS.4927", "spec_param", id="shape of another flavor"),
    pytest.param({"vpc_id": ""}, "DCS.4013", "vpc_id", id="empty vpc"),
    pytest.param({"vpc_id": []}, "DCS.4013", "vpc_id", id="vpc is a list"),
    pytest.param({"vpc_id": UNKNOWN}, "DCS.4068", "vpc_id", id="unknown vpc"),
    pytest.param({"subnet_id": "  "}, "DCS.4016", "subnet_id", id="blank subnet"),
    pytest.param({"subnet_id": UNKNOWN}, "DCS.4018", "subnet_id", id="unknown subnet"),
    pytest.param({"az_codes": []}, "DCS.4042", "az_codes", id="no zone"),
    pytest.param({"az_codes": ["mars-1a"]}, "DCS.4042", "az_codes", id="unknown zone"),
    pytest.param({"az_codes": "local-1a"}, "DCS.4042", "az_codes", id="zone outside a list"),
    pytest.param({"az_codes": [None]}, "DCS.4042", "az_codes", id="zone is null"),
    pytest.param({"az_codes": ["local-1a", "local-1b"]}, "DCS.4062", "az_codes", id="more zones than nodes"),
    pytest.param({"password": "weak"}, "DCS.4019", "password", id="weak password"),
    pytest.param({"password": "Passw0rd!" * 8}, "DCS.4019", "password", id="long password"),
    pytest.param({"password": None}, "DCS.4845", "password", id="no password"),
    pytest.param({"password": ["x"]}, "DCS.4845", "password", id="password is a list"),
    pytest.param({"no_password_access": True}, "DCS.4845", "password", id="password for nothing"),
    pytest.param({"no_password_access": "maybe"}, "DCS.4843", "no_password_access", id="flag is a word"),
    pytest.param({"access_user": "root"}, "DCS.4844", "access_user", id="user name"),
    pytest.param({"access_user": {}}, "DCS.4844", "access_user", id="user is an object"),
    pytest.param(policy(), "DCS.4095", "instance_backup_policy", id="backup of a single node"),
    pytest.param({"instance_num": 0}, "DCS.4062", "instance_num", id="none"),
    pytest.param({"instance_num": 101}, "DCS.4062", "instance_num", id="more than a hundred"),
    pytest.param({"instance_num": 10**30}, "DCS.4062", "instance_num", id="a number beyond counting"),
    pytest.param({"instance_num": 2, "name": "x" * 57}, "DCS.4010", "name", id="no room for the number"),
    pytest.param({"private_ip": "nonsense"}, "DCS.4062", "private_ip", id="address is a word"),
    pytest.param({"private_ip": "10.0.0.1"}, "DCS.4062", "private_ip", id="address elsewhere"),
    pytest.param({"private_ip": "::1"}, "DCS.4062", "private_ip", id="address of another family"),
    pytest.param({"tags": [{"key": ""}]}, "DCS.4062", "tags", id="tag without key"),
    pytest.param({"tags": [{"key": "k" * 37}]}, "DCS.4062", "tags", id="long tag"),
    pytest.param({"tags": ["a"]}, "DCS.4062", "tags", id="tag is a word"),
    pytest.param({"tags": [{"key": f"k{n}"} for n in range(21)]}, "DCS.4062", "tags", id="too many tags"),
    pytest.param({"template_id": "99"}, "DCS.4062", "template_id", id="unknown template"),
    pytest.param({"enterprise_project_id": "x" * 37}, "DCS.4062", "enterprise_project_id", id="long project"),
    pytest.param({"bss_param": {"charging_mode": "prePaid"}}, "DCS.4062", "charging_mode", id="paid in advance"),
    pytest.param({"enable_ssl": True}, "DCS.4062", "enable_ssl", id="reserved field"),
]


@pytest.mark.parametrize(("fields", "code", "field"), [*ORDERS, *NAMES])
def test_a_bad_order_makes_nothing(
    installation: Installation, api: httpx.Client, fields: dict[str, Any], code: str, field: str
):
    before = look(api)
    check_refused(api.post("/instances", json=installation.order(**fields)), code, field)
    assert look(api) == before


@pytest.mark.parametrize(("fields", "code", "field"), POLICIES)
def test_a_bad_backup_policy_makes_nothing(
    installation: Installation, api: httpx.Client, fields: dict[str, Any], code: str, field: str
):
    before = look(api)
    check_refused(api.post("/instances", json=installation.order(flavor=HA, **fields)), code, field)
    assert look(api) == before


@pytest.mark.parametrize("field", ["name", "engine", "capacity", "spec_code", "az_codes", "vpc_id", "subnet_id"])
def test_an_order_without_a_mandatory_field_names_it(installation: Installation, api: httpx.Client, field: str):
    order = installation.order()
    del order[field]
    answer = api.post("/instances", json=order)
    check_refused(answer, answer.json()["error_code"], field)


@pytest.mark.parametrize(("fields", "code", "field"), [*NAMES, *POLICIES])
def test_a_bad_change_changes_nothing(
    api: httpx.Client, standing: dict[str, Any], fields: dict[str, Any], code: str, field: str
):
    before = look(api)
    good = {"description": "must not be kept"} if "description" not in fields else {"name": "must-not-be-kept"}
    check_refused(api.put(f"/instances/{standing['instance_id']}", json=good | fields), code, field)
    assert look(api) == before


def test_a_backup_policy_is_refused_for_a_single_node(api: httpx.Client, lonely: dict[str, Any]):
    check_refused(
        api.put(f"/instances/{lonely['instance_id']}", json=policy()), "DCS.4095", "instance_backup_policy"
    )


def test_a_new_port_and_new_names_at_once_are_refused(api: httpx.Client, lonely: dict[str, Any]):
    both = {"port": 7777, "rename_commands": {"keys": "my-keys"}}
    check_refused(api.put(f"/instances/{lonely['instance_id']}", json=both), "DCS.4062", "rename_commands")


@pytest.mark.parametrize("body", [{}, {"unknown": 1}], ids=["empty", "unknown fields only"])
def test_a_change_of_nothing_is_refused(api: httpx.Client, lonely: dict[str, Any], body: dict[str, Any]):
    check_refused(api.put(f"/instances/{lonely['instance_id']}", json=body), "DCS.4004")


def test_an_address_in_use_is_refused(installation: Installation, api: httpx.Client, standing: dict[str, Any]):
    before = look(api)
    check_refused(
        api.post("/instances", json=installation.order(private_ip=standing["ip"])), "DCS.4062", "private_ip"
    )
    assert look(api) == before


RESETS = [
    pytest.param({}, "DCS.4845", "new_password", id="nothing"),
    pytest.param({"new_password": "weak"}, "DCS.4019", "new_password", id="weak"),
    pytest.param({"new_password": 5}, "DCS.4019", "new_password", id="a number"),
    pytest.param({"new_password": ["x"]}, "DCS.4845", "new_password", id="a list"),
    pytest.param({"no_password_access": "maybe"}, "DCS.4843", "no_password_access", id="flag is a word"),
    pytest.param({"new_password": PASSWORD, "no_password_access": True}, "DCS.4849", "new_password", id="both"),
]


@pytest.mark.parametrize(("body", "code", "field"), RESETS)
def test_a_bad_reset_leaves_the_password(
    api: httpx.Client, lonely: dict[str, Any], body: dict[str, Any], code: str, field: str
):
    check_refused(api.post(f"/instances/{lonely['instance_id']}/password/reset", json=body), code, field)


CHANGES = [
    pytest.param({}, "DCS.4845", "old_password", id="nothing"),
    pytest.param({"old_password": PASSWORD}, "DCS.4845", "new_password", id="no new one"),
    pytest.param({"old_password": PASSWORD, "new_password": "weak"}, "DCS.4019", "new_password", id="weak"),
    pytest.param({"old_password": PASSWORD, "new_password": PASSWORD}, "DCS.4019", "new_password", id="the same"),
    pytest.param({"old_password": None, "new_password": PASSWORD}, "DCS.4845", "old_password", id="null"),
]


@pytest.mark.parametrize(("body", "code", "field"), CHANGES)
def test_a_bad_password_change_leaves_the_password(
    api: httpx.Client, lonely: dict[str, Any], body: dict[str, Any], code: str, field: str
):
    check_refused(api.put(f"/instances/{lonely['instance_id']}/password", json=body), code, field)


BATCHES = [
    pytest.param({"action": "restart"}, "DCS.4065", "instances", id="no instances"),
    pytest.param({"action": "restart", "instances": None}, "DCS.4065", "instances", id="instances are null"),
    pytest.param({"action": "restart", "instances": []}, "DCS.4065", "instances", id="no instance"),
    pytest.param({"action": "restart", "instances": "x"}, "DCS.4065", "instances", id="instances are a word"),
    pytest.param({"action": "restart", "instances": [UNKNOWN] * 51}, "DCS.4100", "instances", id="fifty-one"),
    pytest.param({"action": "restart", "instances": [1]}, "DCS.4061", "instances", id="id is a number"),
    pytest.param({"action": "stop", "instances": [UNKNOWN]}, "DCS.4064", "action", id="other action"),
    pytest.param({"instances": [UNKNOWN]}, "DCS.4064", "action", id="no action"),
    pytest.param({"action": ["flush"], "instances": [UNKNOWN]}, "DCS.4064", "action", id="action is a list"),
]


@pytest.mark.parametrize(("body", "code", "field"), BATCHES)
def test_a_bad_batch_touches_nothing(
    api: httpx.Client, lonely: dict[str, Any], body: dict[str, Any], code: str, field: str
):
    assert lonely["status"] == "RUNNING"
    before = look(api)
    check_refused(api.put("/instances/status", json=body), code, field)
    assert look(api) == before


@pytest.mark.parametrize(("body", "code", "field"), [case for case in BATCHES if "action" not in case.values[2]])
def test_a_bad_batch_deletes_nothing(
    api: httpx.Client, lonely: dict[str, Any], body: dict[str, Any], code: str, field: str
):
    assert lonely["status"] == "RUNNING"
    before = look(api)
    check_refused(api.request("DELETE", "/instances", json=body), code, field)
    assert look(api) == before


def test_unknown_ids_of_a_batch_fail_and_the_others_do_not(installation: Installation, api: httpx.Client):
    made = installation.create("to-delete")["instance_id"]
    ids = [UNKNOWN, made, "nonsense", made]

    restarted = api.put("/instances/status", json={"action": "restart", "instances": ids}).json()
    installation.wait(made)
    deleted = api.request("DELETE", "/instances", json={"instances": ids}).json()

    expected = [("nonsense", "failed"), (UNKNOWN, "failed"), (made, "success")]
    for answer in (restarted, deleted):
        assert sorted((one["instance"], one["result"]) for one in answer["results"]) == sorted(expected)
    installation.wait_gone(made)


ONE_INSTANCE = [
    ("GET", "", None),
    ("PUT", "", {"name": "other-name"}),
    ("DELETE", "", None),
    ("PUT", "/password", {"old_password": PASSWORD, "new_password": "Other1234!"}),
    ("POST", "/password/reset", {"new_password": "Other1234!"}),
    ("POST", "/resize", {"spec_code": "redis.ha.xu1.large.r2.1", "new_capacity": 1}),
    ("POST", "/swap", None),
    ("GET", "/logical-nodes", None),
    ("GET", "/tasks", None),
    ("GET", "/deletable-replication", None),
    ("POST", f"/groups/{UNKNOWN}/replications/{'0' * 32}/slave-priority", {"slave_priority_weight": 1}),
    ("DELETE", f"/groups/{UNKNOWN}/replications/{'0' * 32}/remove-ip", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ONE_INSTANCE, ids=[f"{m} {p}" for m, p, _ in ONE_INSTANCE])
def test_an_unknown_instance_is_404_and_a_malformed_id_is_400(
    api: httpx.Client, method: str, path: str, body: Any
):
    check_refused(api.request(method, f"/instances/{UNKNOWN}{path}", json=body), "DCS.3022", UNKNOWN, status=404)
    for malformed in ("x", UNKNOWN[:-1], UNKNOWN + "0", UNKNOWN.replace("-", ""), "%2e%2e", "ä", "'; --"):
        answer = api.request(method, f"/instances/{malformed}{path}", json=body)
        check_refused(answer, "DCS.4061", "instance_id")


def test_flavors_of_an_unknown_instance_are_refused(api: httpx.Client):
    check_refused(api.get("/flavors", params={"instance_id": UNKNOWN}), "DCS.3022", UNKNOWN, status=404)
    check_refused(api.get("/flavors", params={"instance_id": "nonsense"}), "DCS.4061", "instance_id")


TASKS = [("GET", "/jobs/{}"), ("DELETE", "/tasks/{}"), ("DELETE", "/instances/{id}/tasks/{}")]


@pytest.mark.parametrize(("method", "path"), TASKS, ids=[f"{m} {p}" for m, p in TASKS])
def test_unknown_and_malformed_tasks_are_refused(
    api: httpx.Client, lonely: dict[str, Any], method: str, path: str
):
    path = path.replace("{id}", lonely["instance_id"])
    check_refused(api.request(method, path.format("0" * 32)), "DCS.4133", "0" * 32)
    for malformed in ("x", "0" * 31, "0" * 33, "g" * 32):
        check_refused(api.request(method, path.format(malformed)), "DCS.4070", "task_id")


def test_after_all_that_the_instances_serve_with_their_first_password(
    installation: Installation, standing: dict[str, Any], lonely: dict[str, Any]
):
    for instance in (standing, lonely):
        assert client_of(instance).ping()
        assert installation.show(instance["instance_id"])["status"] == "RUNNING"
