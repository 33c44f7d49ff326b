"""The calls of Terraform's `huaweicloud_dcs_instance` and its data sources, and the JSON types it asserts."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from go_client import BUSY, GoClient, Json, the_only_list
from installation import HA, PASSWORD, SINGLE, Installation, client_of, eventually

TEXTS = (
    "name engine engine_version spec_code vpc_id vpc_name subnet_id subnet_name subnet_cidr security_group_id "
    "security_group_name enterprise_project_id ip maintain_begin maintain_end status domain_name user_id user_name "
    "created_at launched_at cache_mode cpu_type product_type capacity_minor no_password_access"
)
NUMBERS = "charging_mode port used_memory max_memory capacity replica_count sharding_count"
FLAGS = "enable_ssl transparent_client_ip_enable"
READ: dict[str, type] = {
    name: kind for names, kind in ((TEXTS, str), (NUMBERS, int), (FLAGS, bool)) for name in names.split()
}
"""What the provider reads of an instance and asserts the type of; its acceptance tests want these filled."""


@pytest.fixture(scope="module")
def terraform(installation: Installation) -> GoClient:
    return GoClient(installation)


def plan(installation: Installation, flavor: str, zones: list[str], **more: Any) -> Json:
    """The body of the provider's POST."""
    env = installation.env
    return {
        "name": "terraformed",
        "engine": "Redis",
        "engine_version": "7.0",
        "capacity": 0.125,
        "instance_num": 1,
        "spec_code": flavor,
        "az_codes": zones,
        "vpc_id": env["vpc_id"],
        "subnet_id": env["subnet_id"],
        "maintain_begin": "22:00:00",
        "maintain_end": "23:00:00",
        "bss_param": {"charging_mode": "postPaid"},
        "tags": [{"key": "owner", "value": "terraform"}],
    } | more


def create(terraform: GoClient, body: Json) -> Json:
    made = terraform.ask("POST", "/v2/{}/instances", body)
    assert not made.get("order_id")
    return terraform.wait_running(made["instances"][0]["instance_id"])


def destroy(terraform: GoClient, instance: Json) -> None:
    terraform.ask("DELETE", f"/v2/{{}}/instances/{instance['instance_id']}")
    terraform.wait_gone(instance["instance_id"])


def zones_in_state(terraform: GoClient, instance: Json) -> list[str]:
    """`availability_zones` as the provider's read sets it."""
    groups = terraform.ask("GET", f"/v2/{{}}/instance/{instance['instance_id']}/groups")
    replicas = groups["group_list"][0]["replication_list"]
    first = [one["az_code"] for role in ("master", "slave") for one in replicas if one["replication_role"] == role]
    return list(dict.fromkeys(first))


@pytest.mark.parametrize(
    ("flavor", "zones"),
    [
        (SINGLE, ["local-1c"]),
        (HA, ["local-1a", "local-1b"]),
        (HA, ["local-1c", "local-1a"]),
        (HA, ["local-1b"]),
    ],
)
def test_zones_read_back_are_the_planned_ones(
    terraform: GoClient, installation: Installation, flavor: str, zones: list[str]
) -> None:
    instance = create(terraform, plan(installation, flavor, zones, password=PASSWORD))
    assert zones_in_state(terraform, instance) == zones
    destroy(terraform, instance)


@pytest.mark.parametrize("flavor", [SINGLE, HA], ids=["single", "ha"])
def test_instance_is_created_read_updated_and_destroyed(
    terraform: GoClient, installation: Installation, flavor: str
) -> None:
    zones = ["local-1a", "local-1b"] if flavor == HA else ["local-1a"]
    instance = create(terraform, plan(installation, flavor, zones, password=PASSWORD, port=6400))
    assert {name: instance[name] for name, kind in READ.items() if not isinstance(instance[name], kind)} == {}
    assert [name for name, kind in READ.items() if kind is str and not instance[name]] == []
    assert (instance["capacity"], instance["capacity_minor"]) == (0, ".125")
    assert bool(instance["readonly_domain_name"]) == (flavor == HA)
    assert instance["tags"] == [{"key": "owner", "value": "terraform"}]
    assert instance["task"] is instance["order_id"] is None
    bandwidth = instance["bandwidth_info"]
    assert isinstance(bandwidth["bandwidth"], int)
    assert bandwidth["bandwidth"] > 0
    assert all(isinstance(value, int | None) for name, value in bandwidth.items() if name.endswith("_time"))
    assert bandwidth["current_time"] > 1_600_000_000_000

    one = f"/v2/{{}}/instances/{instance['instance_id']}"
    facts: Json = {
        "name": "replanned",
        "description": "new",
        "maintain_begin": "18:00:00",
        "maintain_end": "19:00:00",
    }
    if flavor == HA:
        weekly = {"backup_at": [1], "begin_at": "02:00-03:00", "period_type": "weekly"}
        facts["instance_backup_policy"] = {"backup_type": "auto", "save_days": 1, "periodical_backup_plan": weekly}
    terraform.ask("PUT", one, facts, ok={204})
    terraform.ask("PUT", one, {"rename_commands": {"keys": "listkeys"}}, ok={204})
    terraform.wait_running(instance["instance_id"])
    terraform.ask("PUT", one, {"port": 6401}, ok={204})
    changed = terraform.wait_running(instance["instance_id"])
    assert (changed["name"], changed["description"], changed["port"]) == ("replanned", "new", 6401)
    if flavor == HA:
        policy = changed["instance_backup_policy"]["policy"]
        assert policy["periodical_backup_plan"]["backup_at"] == [1]
    parameter = {"param_id": "2", "param_name": "maxmemory-policy", "param_value": "allkeys-lfu"}
    job = terraform.ask("PUT", one + "/async-configs", {"redis_config": [parameter]}, ok={200})["job_id"]
    eventually(lambda: terraform.ask("GET", f"/v2/{{}}/jobs/{job}")["status"] == "SUCCESS")
    configuration = terraform.ask("GET", one + "/configs")
    [found] = [entry for entry in configuration["redis_config"] if entry["param_id"] == "2"]
    assert (found["param_value"], found["need_restart"]) == ("allkeys-lfu", False)
    assert configuration["config_status"] == "SUCCESS"
    reset = {"new_password": PASSWORD + "2", "no_password_access": False}
    terraform.ask("POST", one + "/password/reset", reset, ok={200})
    with client_of(changed, PASSWORD + "2") as client:
        assert client.set("key", "value")
        assert client.execute_command("listkeys", "*") == ["key"]
    assert zones_in_state(terraform, changed) == zones
    destroy(terraform, changed)


def test_instance_without_a_password_is_planned_so(terraform: GoClient, installation: Installation) -> None:
    instance = create(terraform, plan(installation, SINGLE, ["local-1a"], no_password_access=True))
    assert instance["no_password_access"] == "true"
    with client_of(instance, None) as client:
        assert client.ping()
    destroy(terraform, instance)


def test_changes_never_look_done_before_they_are(terraform: GoClient, installation: Installation) -> None:
    instance = create(terraform, plan(installation, HA, ["local-1a", "local-1b"], password=PASSWORD))
    one = f"/v2/{{}}/instances/{instance['instance_id']}"
    for port in (6500, 6501, 6502):
        terraform.ask("PUT", one, {"port": port}, ok={204})
        assert terraform.wait_running(instance["instance_id"])["port"] == port
        with client_of(instance | {"port": port}) as client:
            assert client.ping()
    destroy(terraform, instance)


def test_a_busy_instance_answers_a_code_that_is_tried_again(
    terraform: GoClient, installation: Installation
) -> None:
    instance = create(terraform, plan(installation, HA, ["local-1a"], password=PASSWORD))
    one = f"/v2/{{}}/instances/{instance['instance_id']}"
    terraform.ask("PUT", one, {"rename_commands": {"keys": "listkeys"}}, ok={204})
    refused = [
        terraform.send("PUT", one, {"port": 6600}),
        terraform.send("POST", one + "/password/reset", {"new_password": PASSWORD + "3"}),
    ]
    for answer in refused:
        assert (answer.status_code, answer.json()["error_code"] in BUSY) == (400, True), answer.text
    terraform.wait_running(instance["instance_id"])
    destroy(terraform, instance)


def test_every_400_has_a_code_that_is_a_text(terraform: GoClient, installation: Installation) -> None:
    wrong = plan(installation, SINGLE, ["nowhere"], password=PASSWORD)
    for answer in (
        terraform.send("POST", "/v2/{}/instances", wrong),
        terraform.send("POST", "/v2/{}/instances", wrong | {"name": 7, "az_codes": "local-1a"}),
        terraform.send("GET", "/v2/{}/instances/not-an-id"),
        terraform.send("GET", "/v2/{}/instances?limit=many"),
    ):
        assert answer.status_code == 400
        assert isinstance(answer.json()["error_code"], str)


def test_reading_what_is_gone_is_404(terraform: GoClient) -> None:
    for path in ("instances/{0}", "instance/{0}/groups", "instances/{0}/tasks"):
        with pytest.raises(httpx.HTTPStatusError) as refusal:
            terraform.ask("GET", "/v2/{}/" + path.format("00000000-0000-4000-8000-000000000000"))
        assert refusal.value.response.status_code == 404


def test_template_is_created_read_changed_and_destroyed(terraform: GoClient) -> None:
    every = "/v2/{}/config-templates"
    [system] = [
        one for page in terraform.pages(every + "?type=sys&engine_version=7.0&cache_mode=ha", 5) for one in page
    ]
    body = {
        "template_id": system["template_id"],
        "type": "sys",
        "name": "by-terraform",
        "params": {"timeout": "100"},
    }
    made = terraform.ask("POST", every, body, ok={200})["id"]
    terraform.ask("PUT", f"{every}/{made}", {"name": "by-terraform-2", "params": {"timeout": "200"}}, ok={200})
    read = terraform.ask("GET", f"{every}/{made}?type=user")
    assert {one["param_name"]: one["param_value"] for one in read["params"]}["timeout"] == "200"
    assert [one["name"] for page in terraform.pages(every + "?type=user", 1) for one in page] == ["by-terraform-2"]
    terraform.ask("DELETE", f"{every}/{made}", ok={200, 204})
    gone = terraform.send("GET", f"{every}/{made}?type=user")
    assert (gone.status_code, gone.json()["error_code"]) == (400, "DCS.4988")


def test_lists_are_paged_to_their_end(terraform: GoClient, installation: Installation) -> None:
    body = plan(installation, SINGLE, ["local-1a"], password=PASSWORD) | {"name": "paged", "instance_num": 5}
    made = [one["instance_id"] for one in terraform.ask("POST", "/v2/{}/instances", body)["instances"]]
    for one in made:
        terraform.wait_running(one)
    pages = list(terraform.pages("/v2/{}/instances?name=paged", 2))
    assert [len(page) for page in pages] == [2, 2, 1]
    assert {one["instance_id"] for page in pages for one in page} == set(made)
    assert sum(map(len, terraform.pages("/v2/{}/instances?name=paged&capacity=0.125", 3))) == 5
    assert list(terraform.pages("/v2/{}/instances?name=paged&capacity=1", 3)) == []
    tasks = list(terraform.pages("/v2/{}/tasks", 3))
    assert len({one["id"] for page in tasks for one in page}) == sum(map(len, tasks)) >= 5
    [[task]] = terraform.pages(f"/v2/{{}}/instances/{made[0]}/tasks", 10)
    assert task["status"] == "SUCCESS"
    terraform.ask("DELETE", "/v2/{}/instances", {"instances": made})
    for one in made:
        terraform.wait_gone(one)
    assert list(terraform.pages("/v2/{}/instances?name=paged", 2)) == []


def test_data_source_of_flavors_gets_what_it_compares(terraform: GoClient) -> None:
    query = f"cache_mode=ha&engine=Redis&engine_version=7.0&cpu_type=x86_64&capacity=0.125&spec_code={HA}"
    [flavor] = the_only_list(terraform.ask("GET", f"/v2/{{}}/flavors?{query}", pager=True))
    assert flavor["spec_code"] == HA
    assert isinstance(flavor["tenant_ip_count"], int)
    assert isinstance(flavor["replica_count"], int)
    [place] = flavor["flavors_available_zones"]
    assert (place["capacity"], place["unit"]) == ("0.125", "GB")
    assert place["az_codes"] == ["local-1a", "local-1b", "local-1c"]


PUBLISHED = (
    "redis.ha.xu1.large.r2.1 redis.ha.xu1.large.p2.8 redis.proxy.xu1.large.4 redis.proxy.xu1.large.s1.8 "
    "redis.cluster.xu1.large.r2.4 redis.cluster.xu1.large.r2.s1.4 redis.ha.au1.large.r4.1"
)
"""Flavors that the provider's own acceptance tests order."""


@pytest.mark.parametrize("code", PUBLISHED.split())
def test_flavors_of_the_published_examples_are_on_offer(terraform: GoClient, code: str) -> None:
    found = the_only_list(terraform.ask("GET", f"/v2/{{}}/flavors?spec_code={code}", pager=True))
    assert [one["spec_code"] for one in found] == [code]
    sizes = [place["capacity"] for place in found[0]["flavors_available_zones"]]
    assert sizes == found[0]["capacity"] == [f"{float(size):g}" for size in sizes]


def test_data_sources_of_zones_windows_and_quotas(terraform: GoClient) -> None:
    zones = the_only_list(terraform.ask("GET", "/v2/available-zones", pager=True))
    assert {zone["code"]: bool(zone["id"]) for zone in zones} == dict.fromkeys(
        ("local-1a", "local-1b", "local-1c"), True
    )
    windows = the_only_list(terraform.ask("GET", "/v2/instances/maintain-windows", pager=True))
    assert all(isinstance(one["seq"], int) and isinstance(one["default"], bool) for one in windows)
    assert all(isinstance(one[end], str) for one in windows for end in ("begin", "end"))
    quotas = terraform.ask("GET", "/v2/{}/quota")["quotas"]["resources"]
    assert {one["type"]: isinstance(one["quota"], int) for one in quotas} == {"instance": True, "ram": True}


def test_the_provider_finds_project_and_domain_at_its_start(
    terraform: GoClient, installation: Installation
) -> None:
    env = installation.env
    projects = the_only_list(terraform.ask("GET", f"/v3/projects?name={env['region']}", pager=True))
    assert [one["id"] for one in projects] == [env["project_id"]]
    domains = the_only_list(terraform.ask("GET", "/v3/auth/domains", pager=True))
    assert [one["name"] for one in domains] == [env["domain"]]
