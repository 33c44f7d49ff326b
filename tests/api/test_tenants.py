"""Two tenants: nothing of one is visible to the other, or can be changed by it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import redis
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkdcs import v2 as sdk
from installation import PASSWORD, Installation, client_of, eventually
from postgresql import NewDatabase
from redis.backoff import NoBackoff
from redis.retry import Retry
from refusals import check_refused, look
from second_tenant import OTHER, WITH_OTHER, sign_in

from cachestead.domain.orders import Network
from cachestead.store import networks
from cachestead.store.database import Database

ACCOUNT = {"account_name": "thief", "account_role": "write", "account_password": "Stolen123!"}
CONFIG = {"redis_config": [{"param_id": "1", "param_name": "timeout", "param_value": "60"}]}


@dataclass
class Tenant:
    """A tenant with a client of its own and what it has."""

    env: dict[str, str]
    api: httpx.Client
    instance: dict[str, Any]
    jobs: list[str]
    network: dict[str, str]

    @property
    def one(self) -> str:
        """Path of its instance."""
        return f"/instances/{self.instance['instance_id']}"

    @property
    def node_id(self) -> str:
        """Id of the instance's node."""
        return self.node.rsplit("/", 1)[-1]

    @property
    def node(self) -> str:
        """Path of the instance's node below it."""
        [node] = self.api.get(f"{self.one}/logical-nodes").json()["nodes"]
        return f"groups/{node['group_id']}/replications/{node['node_id']}"


def network_of(api: httpx.Client, installation: Installation) -> dict[str, str]:
    """The tenant's network, which no API of this service tells: out of the records."""
    project = str(api.base_url).rstrip("/").rsplit("/", 1)[-1]

    async def read() -> Network:
        database = Database(installation.database_url or f"sqlite:///{installation.folder / 'cachestead.sqlite'}")
        try:
            async with database.reading() as tx:
                return await networks.get_network(tx, project, installation.subnet)
        finally:
            await database.close()

    network = asyncio.run(read())
    return {name: getattr(network, name) for name in ("vpc_id", "subnet_id", "security_group_id")}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase) -> Iterator[Installation]:
    """A service with two tenants."""
    made = Installation(tmp_path_factory.mktemp("tenants"), new_database(), WITH_OTHER)
    try:
        yield made.start()
    finally:
        made.remove()


def settle(service: Installation, api: httpx.Client, network: dict[str, str], name: str) -> Tenant:
    """The tenant has an instance and a finished job."""
    order = service.order(name, **network) | {"tags": [{"key": "owner", "value": name}]}
    made = api.post("/instances", json=order).json()["instances"][0]["instance_id"]

    def running() -> dict[str, Any] | None:
        seen = api.get(f"/instances/{made}").json()
        return seen if seen["status"] == "RUNNING" else None

    instance = eventually(running)
    tasks = api.get(f"/instances/{made}/tasks").json()["tasks"]
    project = str(api.base_url).rstrip("/").rsplit("/", 1)[-1]
    return Tenant({**service.env, "project_id": project}, api, instance, [one["id"] for one in tasks], network)


@pytest.fixture(scope="module")
def tenants(service: Installation) -> Iterator[tuple[Tenant, Tenant]]:
    """The first tenant and the other, each with an instance."""
    with ExitStack() as stack:
        first, other = stack.enter_context(service.http()), stack.enter_context(sign_in(service))
        yield (
            settle(service, first, network_of(first, service), "first-instance"),
            settle(service, other, network_of(other, service), "other-instance"),
        )


@pytest.fixture(params=["first on other", "other on first"])
def both_ways(request: pytest.FixtureRequest, tenants: tuple[Tenant, Tenant]) -> tuple[Tenant, Tenant]:
    """An attacker and its victim."""
    return tenants if request.param == "first on other" else tenants[::-1]


def everything(attacker: Tenant, victim: Tenant) -> list[tuple[str, str, Any]]:
    """Every operation that can name an instance, on the victim's."""
    one, [job, *_] = victim.one, victim.jobs
    return [
        ("GET", one, None),
        ("PUT", one, {"name": "stolen"}),
        ("PUT", one, {"port": 7777}),
        ("DELETE", one, None),
        ("PUT", f"{one}/password", {"old_password": PASSWORD, "new_password": "Stolen123!"}),
        ("POST", f"{one}/password/reset", {"new_password": "Stolen123!"}),
        ("POST", f"{one}/password/reset", {"no_password_access": True}),
        ("POST", f"{one}/swap", None),
        ("GET", f"{one}/logical-nodes", None),
        ("GET", one.replace("instances", "instance") + "/groups", None),
        ("GET", f"{one}/deletable-replication", None),
        ("POST", f"{one}/{victim.node}/slave-priority", {"slave_priority_weight": 1}),
        ("DELETE", f"{one}/{victim.node}/remove-ip", None),
        ("POST", f"{one}/resize", {"spec_code": "redis.ha.xu1.large.r2.1", "new_capacity": 1}),
        ("GET", f"{one}/configs", None),
        ("PUT", f"{one}/configs", CONFIG),
        ("PUT", f"{one}/async-configs", CONFIG),
        ("GET", f"{one}/config-histories", None),
        ("GET", f"{one}/config-histories/{'0' * 32}", None),
        ("POST", f"{one}/backups", {}),
        ("GET", f"{one}/backups", None),
        ("POST", f"{one}/restores", {"backup_id": "x"}),
        ("GET", f"{one}/restores", None),
        ("GET", f"{one}/tasks", None),
        ("GET", f"{one}/tags", None),
        (
            "POST",
            one.replace("instances", "dcs") + "/tags/action",
            {"action": "delete", "tags": [{"key": "owner"}]},
        ),
        ("GET", f"{one}/clients?node_id={victim.node_id}", None),
        ("POST", f"{one}/clients", {"node_id": victim.node_id}),
        ("POST", f"{one}/clients/kill", {"node_id": victim.node_id, "client_addrs": ["127.0.0.1:1"]}),
        ("POST", f"{one}/clients/kill-all", {"kill_all_nodes": True}),
        ("GET", f"{one}/accounts", None),
        ("POST", f"{one}/accounts", ACCOUNT),
        ("DELETE", f"{one}/accounts/x", None),
        ("PUT", f"{one}/accounts/x", {"description": ""}),
        ("PUT", f"{one}/accounts/x/role", {"account_role": "read"}),
        ("PUT", f"{one}/accounts/x/password/modify", {"old_password": PASSWORD, "new_password": "Stolen123!"}),
        ("PUT", f"{one}/accounts/x/password/reset", {"new_password": "Stolen123!"}),
        ("GET", f"/flavors?instance_id={victim.instance['instance_id']}", None),
        ("DELETE", f"{one}/tasks/{job}", None),
        ("GET", f"{one}/tasks/{job}/progress", None),
        ("DELETE", f"{attacker.one}/tasks/{job}", None),
        ("GET", f"{attacker.one}/tasks/{job}/progress", None),
        ("DELETE", f"/tasks/{job}", None),
        ("GET", f"/jobs/{job}", None),
    ]


def test_the_other_s_instances_do_not_exist_in_one_s_own_project(both_ways: tuple[Tenant, Tenant]):
    attacker, victim = both_ways
    before = look(victim.api)
    for method, path, body in everything(attacker, victim):
        answer = attacker.api.request(method, path, json=body)
        expected = ("DCS.3022", 404) if "tasks/" not in path and "jobs/" not in path else ("DCS.4133", 400)
        check_refused(answer, expected[0], status=expected[1])
        assert victim.instance["name"] not in answer.text
    assert look(victim.api) == before
    assert client_of(victim.instance).ping()


def test_a_batch_on_the_other_s_instances_fails(both_ways: tuple[Tenant, Tenant]):
    attacker, victim = both_ways
    before = look(victim.api)
    ids = [victim.instance["instance_id"]]
    failed = [{"instance": ids[0], "result": "failed"}]
    for action in ("restart", "soft_restart", "flush"):
        answer = attacker.api.put("/instances/status", json={"action": action, "instances": ids})
        assert answer.json()["results"] == failed
    assert attacker.api.request("DELETE", "/instances", json={"instances": ids}).json()["results"] == failed
    assert attacker.api.delete("/instances", params={"all_failure": "true"}).status_code == 204
    assert look(victim.api) == before
    assert len(victim.api.get("/tasks").json()["tasks"]) == len(victim.jobs)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?limit=1000&include_failure=true&include_delete=true",
        "?instance_id={instance_id}",
        "?name={name}",
        "?name_equal={name}",
        "?ip={ip}",
        "?tags=owner={name}",
        "?tags=owner",
        "?status=RUNNING",
    ],
)
def test_no_filter_lists_the_other_s_instances(both_ways: tuple[Tenant, Tenant], query: str):
    attacker, victim = both_ways
    listed = attacker.api.get("/instances" + query.format(**victim.instance)).json()
    ids = {one["instance_id"] for one in listed["instances"]}
    assert ids <= {attacker.instance["instance_id"]}
    assert listed["instance_num"] == len(ids)


def test_counts_quotas_figures_and_tasks_are_one_s_own(both_ways: tuple[Tenant, Tenant]):
    attacker, _ = both_ways
    assert attacker.api.get("/instances/status").json()["running_count"] == 1
    quota = {one["type"]: one["used"] for one in attacker.api.get("/quota").json()["quotas"]["resources"]}
    assert quota == {"instance": 1, "ram": 1}
    figures = attacker.api.get("/instances/statistic").json()["statistics"]
    assert [one["instance_id"] for one in figures] == [attacker.instance["instance_id"]]
    nodes = attacker.api.get("/instances-logical-nodes").json()
    assert nodes["count"] == 1
    assert [one["instance_id"] for one in nodes["instances"]] == [attacker.instance["instance_id"]]
    tasks = attacker.api.get("/tasks", params={"limit": 1000}).json()["tasks"]
    assert {one["id"] for one in tasks} <= set(attacker.jobs)


def test_another_s_node_is_none_of_one_s_own_instance(both_ways: tuple[Tenant, Tenant]):
    attacker, victim = both_ways
    client = client_of(victim.instance, single_connection_client=True)
    client.ping()
    body = {"node_id": victim.node_id, "client_addrs": ["{}:{}".format(*client.connection._sock.getsockname())]}
    for path in ("clients", "clients/kill", "clients/kill-all"):
        check_refused(attacker.api.post(f"{attacker.one}/{path}", json=body), "DCS.3053", "node_id")
    check_refused(attacker.api.get(f"{attacker.one}/clients", params=body), "DCS.3053", "node_id")
    assert client.connection._sock
    assert client.ping()


def test_tags_of_the_tenant_are_one_s_own(both_ways: tuple[Tenant, Tenant]):
    attacker, _ = both_ways
    own = [{"key": "owner", "values": [attacker.instance["name"]]}]
    assert attacker.api.get("/dcs/tags").json() == {"tags": own}


def test_the_other_s_project_is_closed_to_one_s_token(both_ways: tuple[Tenant, Tenant]):
    attacker, victim = both_ways
    before = look(victim.api)
    paths = [
        *everything(attacker, victim),
        ("GET", "/instances", None),
        ("POST", "/instances", {"name": "stolen"}),
        ("DELETE", "/instances", {"instances": [victim.instance["instance_id"]]}),
        ("PUT", "/instances/status", {"action": "flush", "instances": [victim.instance["instance_id"]]}),
        ("GET", "/instances/status", None),
        ("GET", "/instances/statistic", None),
        ("GET", "/quota", None),
        ("GET", "/flavors", None),
        ("GET", "/tasks", None),
    ]
    for method, path, body in paths:
        url = str(victim.api.base_url).rstrip("/") + path
        check_refused(attacker.api.request(method, url, json=body), "DCS.1004", status=401)
    header = {"X-Project-Id": victim.env["project_id"]}
    assert attacker.api.get("/instances", headers=header).json()["instance_num"] == 1
    assert look(victim.api) == before


def test_keys_are_as_narrow_as_tokens(service: Installation, tenants: tuple[Tenant, Tenant]):
    first, other = tenants
    key = {"access_key": OTHER["access_key"], "secret_key": OTHER["secret_key"]}
    own = service.sdk({**key, "project_id": other.env["project_id"]})
    listed = own.list_instances(sdk.ListInstancesRequest()).instances
    assert [one.instance_id for one in listed] == [other.instance["instance_id"]]

    theirs = first.instance["instance_id"]
    with pytest.raises(ClientRequestException) as refusal:
        own.show_instance(sdk.ShowInstanceRequest(instance_id=theirs))
    assert (refusal.value.status_code, refusal.value.error_code) == (404, "DCS.3022")
    with pytest.raises(ClientRequestException) as refusal:
        own.delete_single_instance(sdk.DeleteSingleInstanceRequest(instance_id=theirs))
    assert (refusal.value.status_code, refusal.value.error_code) == (404, "DCS.3022")

    reaching = service.sdk({**key, "project_id": first.env["project_id"]})
    for call in (
        lambda: reaching.list_instances(sdk.ListInstancesRequest()),
        lambda: reaching.show_instance(sdk.ShowInstanceRequest(instance_id=theirs)),
        lambda: reaching.show_quota_of_tenant(sdk.ShowQuotaOfTenantRequest()),
    ):
        with pytest.raises(ClientRequestException) as refusal:
            call()
        assert (refusal.value.status_code, refusal.value.error_code) == (401, "DCS.1004")
    assert first.api.get(first.one).json()["status"] == "RUNNING"


def test_the_other_s_network_cannot_be_ordered_into(service: Installation, both_ways: tuple[Tenant, Tenant]):
    attacker, victim = both_ways
    before = look(attacker.api)
    mine, theirs = attacker.network, victim.network
    for fields, code, field in [
        (theirs, "DCS.4068", "vpc_id"),
        (mine | {"vpc_id": theirs["vpc_id"]}, "DCS.4068", "vpc_id"),
        (mine | {"subnet_id": theirs["subnet_id"]}, "DCS.4018", "subnet_id"),
        (mine | {"security_group_id": theirs["security_group_id"]}, "DCS.4046", "security_group_id"),
    ]:
        check_refused(attacker.api.post("/instances", json=service.order(**fields)), code, field)
    foreign = {"security_group_id": theirs["security_group_id"]}
    check_refused(attacker.api.put(attacker.one, json=foreign), "DCS.4046", "security_group_id")
    address = attacker.network | {"private_ip": victim.instance["ip"]}
    check_refused(attacker.api.post("/instances", json=service.order(**address)), "DCS.4062", "private_ip")
    assert look(attacker.api) == before


def test_identity_tells_nothing_of_the_other(service: Installation, both_ways: tuple[Tenant, Tenant]):
    attacker, victim = both_ways
    for path in ("/v3/projects", "/v3/auth/projects", "/v3/auth/domains", "/v3/auth/catalog"):
        answer = attacker.api.get(service.endpoint + path)
        assert answer.status_code == 200
        assert victim.env["project_id"] not in answer.text
    assert attacker.api.get(f"{service.endpoint}/v3/projects/{victim.env['project_id']}").status_code == 404
    subject = {"X-Subject-Token": victim.api.headers["X-Auth-Token"]}
    assert attacker.api.get(f"{service.endpoint}/v3/auth/tokens", headers=subject).status_code == 404


def test_one_s_failed_instances_are_deleted_and_the_other_s_stay(tenants: tuple[Tenant, Tenant]):
    first, other = tenants
    assert first.api.delete("/instances?all_failure=true").status_code == 204
    assert other.api.get(other.one).json()["status"] == "RUNNING"


def test_a_password_lock_is_the_instance_s_and_not_the_other_s_to_cause(tenants: tuple[Tenant, Tenant]):
    first, other = tenants
    for _ in range(6):
        body = {"old_password": "Wrong1234!", "new_password": "Stolen123!"}
        check_refused(other.api.put(f"{first.one}/password", json=body), "DCS.3022", status=404)
    body = {"old_password": "Wrong1234!", "new_password": "Stolen123!"}
    assert first.api.put(f"{first.one}/password", json=body).json()["retry_times_left"] == "4"


def test_data_is_behind_each_one_s_own_password(service: Installation, tenants: tuple[Tenant, Tenant]):
    first, other = tenants
    answer = first.api.post(f"{first.one}/password/reset", json={"new_password": "First-own-1"})
    assert answer.json()["code"] == "1"
    assert client_of(first.instance, "First-own-1").ping()
    assert client_of(other.instance).ping()
    with pytest.raises(redis.AuthenticationError):
        client_of(other.instance, "First-own-1", retry=Retry(NoBackoff(), 0)).ping()


def test_the_other_s_templates_and_changes_do_not_exist(both_ways: tuple[Tenant, Tenant]):
    attacker, victim = both_ways
    body = {"template_id": "21", "type": "sys", "name": "a-secret-template", "params": {"timeout": "7"}}
    made = victim.api.post("/config-templates", json=body).json()["id"]
    own = {"type": "user"}
    before = victim.api.get(f"/config-templates/{made}", params=own).json()
    check_refused(attacker.api.get(f"/config-templates/{made}", params=own), "DCS.4988")
    check_refused(attacker.api.put(f"/config-templates/{made}", json={"name": "stolen"}), "DCS.4988")
    check_refused(attacker.api.delete(f"/config-templates/{made}"), "DCS.4988")
    copy = body | {"template_id": made, "type": "user"}
    check_refused(attacker.api.post("/config-templates", json=copy), "DCS.4062", "template_id")
    assert attacker.api.get("/config-templates", params=own).json() == {"template_num": 0, "templates": []}
    assert victim.api.get(f"/config-templates/{made}", params=own).json() == before
    # Names are each project's own.
    again = attacker.api.post("/config-templates", json=body).json()["id"]
    for tenant, template in ((attacker, again), (victim, made)):
        assert tenant.api.delete(f"/config-templates/{template}").status_code == 200

    assert victim.api.put(f"{victim.one}/configs", json=CONFIG).status_code == 204
    [newest, *_] = victim.api.get(f"{victim.one}/config-histories").json()["histories"]
    path = f"{attacker.one}/config-histories/{newest['history_id']}"
    check_refused(attacker.api.get(path), "DCS.4062", "history_id")
    eventually(lambda: victim.api.get(f"{victim.one}/configs").json()["config_status"] == "SUCCESS")
