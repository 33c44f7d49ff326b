"""The routes and their answers against the public contract, operation by operation and field by field."""

from __future__ import annotations

import csv
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from contract import (
    ADDITIONS,
    EMPTY_OBJECTS,
    MISSING,
    NULLS,
    OPEN_ENUMS,
    OPERATIONS,
    SCHEMAS,
    departures,
    success_of,
)
from fastapi.routing import APIRoute
from installation import CLUSTER, HA, HA_3, PASSWORD, SINGLE, Installation, client_of
from pydantic import BaseModel
from starlette.routing import Match

from cachestead.api.access import access_of
from cachestead.api.v2 import CHAPTERS

pytestmark = pytest.mark.skipif(bool(MISSING), reason=MISSING)

ROOT = Path(__file__).resolve().parents[2]
ROUTES = [route for chapter in CHAPTERS for route in chapter.router.routes if isinstance(route, APIRoute)]
ROUTED = {route.name: route for route in ROUTES}
NOT_ROUTED = set(Path(__file__).with_name("not_routed.txt").read_text().split())
DOCUMENTED_ROUTED = 58
"""Operations of the current reference (English) that are routed; raise it with every new one."""

ALIASES = {
    "list_background_task": {"begin_time"},  # the reference's own example writes it for start_time
    "show_nodes_information": {"status"},  # only its example has it
    "list_backup_records": {"beginTime"},  # the spelling of its example
    "list_restore_records": {"begin_Time", "end_Time"},  # the same
}
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"
UNKNOWN_JOB = "0" * 32
BY_INSTANCE = {"dim_name": "dcs_instance_id"}

each_route = pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)


@each_route
def test_route_is_an_operation_with_its_path_method_and_title(route: APIRoute) -> None:
    operation = OPERATIONS[route.name]
    assert (route.methods, route.path) == ({operation["method"]}, operation["path"])


@each_route
def test_route_takes_the_documented_parameters(route: APIRoute) -> None:
    operation = OPERATIONS[route.name]
    assert set(route.param_convertors) == {one["name"] for one in operation["path_params"]}
    taken = {one.alias: one.field_info.annotation for one in route.dependant.query_params}
    documented = {one["name"]: one["type"] for one in operation["query_params"]}
    assert taken.keys() == documented.keys() | ALIASES.get(route.name, set())
    assert {name for name, kind in taken.items() if kind is int} == {
        name for name, kind in documented.items() if kind == "Integer"
    }


@each_route
def test_route_takes_the_documented_body(route: APIRoute) -> None:
    documented = OPERATIONS[route.name]["request_body"]
    models = [_model_of(one.field_info.annotation) for one in route.dependant.body_params]
    if documented is None:
        assert models == []
        return
    [model] = models
    assert set(model.model_fields) == {one["name"] for one in SCHEMAS[documented["schema"]]["fields"]}


def _model_of(annotation: Any) -> type[BaseModel]:
    kinds = getattr(annotation, "__args__", (annotation,))
    return next(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel))


@each_route
def test_route_asks_for_the_action_of_table_5_1(route: APIRoute) -> None:
    assert access_of(route) == (OPERATIONS[route.name]["iam_action"] or "signed in")


@each_route
def test_route_answers_with_a_documented_status(route: APIRoute) -> None:
    assert route.status_code in success_of(OPERATIONS[route.name])


@each_route
def test_no_earlier_route_takes_the_requests_of_this_one(route: APIRoute) -> None:
    path = route.path.format(**dict.fromkeys(route.param_convertors, "x"))
    scope = {"type": "http", "method": next(iter(route.methods)), "path": path}
    assert next(one.name for one in ROUTES if one.matches(scope)[0] is Match.FULL) == route.name


def test_what_is_not_routed_only_gets_less(record_property: Callable[[str, object], None]) -> None:
    documented = {one["id"] for one in OPERATIONS.values() if "en-2025-05" in one["sources"]}
    routed = documented & ROUTED.keys()
    print(
        f"{len(routed)} of {len(documented)} documented operations are routed, {len(ROUTED)} of {len(OPERATIONS)} in all"
    )
    record_property("documented_routed", len(routed))
    assert len(routed) >= DOCUMENTED_ROUTED
    assert OPERATIONS.keys() - ROUTED.keys() == NOT_ROUTED, "take what is routed now off tests/api/not_routed.txt"


def test_the_manual_lists_the_operations_of_the_contract() -> None:
    with (ROOT / "scripts" / "operations.csv").open() as file:
        listed = {one["id"]: (one["title"], one["method"], one["path"]) for one in csv.DictReader(file)}
    assert listed == {one["id"]: (one["title"], one["method"], one["path"]) for one in OPERATIONS.values()}


def test_exceptions_to_the_contract_are_about_fields_it_has() -> None:
    fields = {name: {field["name"] for field in schema["fields"]} for name, schema in SCHEMAS.items()}
    assert all(names - {"*"} <= fields[schema] for schema, names in NULLS.items())
    assert not any(names & fields[schema] for schema, names in ADDITIONS.items())
    assert all(field in fields[schema] for schema, field in OPEN_ENUMS)
    assert all(None in success_of(OPERATIONS[name]).values() for name in EMPTY_OBJECTS)


@dataclass
class World:
    """A project with instances to ask about and to use up."""

    installation: Installation
    api: httpx.Client
    outside: httpx.Client
    """The same caller; paths begin at the version."""
    ha: str
    single: str
    three: str
    """Master/standby with three nodes."""
    cluster: str
    used_up: list[str]
    """Instances that operations may remove."""

    def order(self, **fields: Any) -> dict[str, Any]:
        return self.installation.order("contract-made", SINGLE, **fields)

    def replica(self) -> str:
        """Path of a replica of the instance with three nodes."""
        [group] = self.api.get(f"/instance/{self.three}/groups").json()["group_list"]
        node = group["replication_list"][1]["node_id"]
        return f"/instances/{self.three}/groups/{group['group_id']}/replications/{node}"

    def replica_of_shard(self) -> str:
        """Path of a replica of the cluster, as the operation that promotes it writes it."""
        group, *_ = self.api.get(f"/instance/{self.cluster}/groups").json()["group_list"]
        node = group["replication_list"][1]["node_id"]
        return f"/instance/{self.cluster}/groups/{group['group_id']}/replications/{node}"

    def node(self, instance: str) -> str:
        """Id of a node of the instance."""
        return str(self.api.get(f"/instances/{instance}/logical-nodes").json()["nodes"][0]["node_id"])

    def call_with_client(self, method: str, path: str, body: Callable[[str], dict[str, Any]]) -> httpx.Response:
        """Ask about the sessions of the single node while a client is there, whose address the body may name."""
        node = self.node(self.single)
        with client_of(self.installation.show(self.single), single_connection_client=True) as client:
            client.ping()
            addr = "{}:{}".format(*client.connection._sock.getsockname())
            fields = {"node_id": node, **body(addr)}
            more = {"params": fields} if method == "GET" else {"json": fields}
            return self.api.request(method, f"/instances/{self.single}/{path}", **more)

    def account(self) -> tuple[str, str]:
        """Paths of the accounts of an instance that nothing is being done to, and of the first one."""
        path = f"/instances/{self.settled_old()}/accounts"
        if not (found := self.api.get(path).json()["accounts"][1:]):
            assert self.new_account().is_success
            self.settled_old()
            found = self.api.get(path).json()["accounts"][1:]
        return path, f"{path}/{found[0]['account_id']}"

    def new_account(self) -> httpx.Response:
        """An account that reads."""
        body = {
            "account_name": f"account-{time.monotonic_ns()}",
            "account_role": "read",
            "account_password": PASSWORD,
            "description": "contract",
        }
        return self.api.post(f"/instances/{self.settled_old()}/accounts", json=body)

    def settled_old(self) -> str:
        """An instance of a version that has accounts, once nothing is being done to it."""
        listed = self.api.get("/instances", params={"name": "contract-old"}).json()["instances"]
        made = listed[0] if listed else self.installation.create("contract-old", SINGLE, engine_version="5.0")
        return str(self.installation.wait(made["instance_id"])["instance_id"])

    def with_ssl(self) -> str:
        """An instance that clients reach by TLS, once nothing is being done to it."""
        listed = self.api.get("/instances", params={"name": "contract-ssl"}).json()["instances"]
        made = listed[0] if listed else self.installation.create("contract-ssl")
        if not made["enable_ssl"]:
            answer = self.api.put(f"/instances/{made['instance_id']}/ssl", json={"enabled": True})
            assert answer.status_code == 200, answer.text
        return str(self.installation.wait(made["instance_id"])["instance_id"])

    def settled_single(self) -> str:
        """The single-node instance once nothing is being done to it."""
        return str(self.installation.wait(self.single)["instance_id"])

    def backup(self) -> str:
        """Id of a new backup of the instance with three nodes, which nothing is being done to."""
        path = f"/instances/{self.settled_three()}/backups"
        made = str(self.api.post(path, json={"remark": "contract"}).json()["backup_id"])
        self.settled_three()
        return made

    def settled_three(self) -> str:
        """The instance with three nodes once nothing is being done to it."""
        return str(self.installation.wait(self.three)["instance_id"])

    def new_import(self) -> httpx.Response:
        """A backup is imported into the instance that it is of."""
        body = {
            "task_name": "contract-import",
            "migration_type": "backupfile_import",
            "migration_method": "full_amount_migration",
            "backup_files": {"file_source": "backup_record", "backup_id": self.backup()},
            "target_instance": {"id": self.three, "password": PASSWORD},
        }
        return self.api.post("/migration-task", json=body)

    def finished_import(self) -> str:
        """Id of a migration task that has ended."""
        task = str(self.new_import().json()["id"])
        self.settled_three()
        return task

    @staticmethod
    def timeout(seconds: int) -> dict[str, Any]:
        """A body that changes one parameter."""
        return {"redis_config": [{"param_id": "1", "param_name": "timeout", "param_value": str(seconds)}]}

    def history(self) -> str:
        """A change of parameters."""
        return str(self.api.get(f"/instances/{self.ha}/config-histories").json()["histories"][0]["history_id"])

    def new_template(self) -> httpx.Response:
        """The answer to a template of the project's own."""
        name = f"made-{uuid.uuid4().hex}"
        body = {"template_id": "11", "type": "sys", "name": name, "params": {"latency-monitor-threshold": 15}}
        return self.api.post("/config-templates", json=body)

    def finished_task(self) -> str:
        tasks = self.api.get(f"/instances/{self.ha}/tasks").json()["tasks"]
        return str(next(one["id"] for one in tasks if one["status"] == "SUCCESS"))


@pytest.fixture(scope="module")
def world(installation: Installation) -> Iterator[World]:
    policy = {
        "backup_type": "auto",
        "save_days": 2,
        "periodical_backup_plan": {
            "timezone_offset": "+0800", "backup_at": [1, 3], "period_type": "weekly", "begin_at": "01:00-02:00",
        },
    }  # fmt: skip
    full = {
        "tags": [{"key": "use", "value": "contract"}],
        "description": "all of it",
        "instance_backup_policy": policy,
    }
    ha = installation.create("contract-ha", HA, **full)["instance_id"]
    single = installation.create("contract-single")["instance_id"]
    three = installation.create("contract-three", HA_3, capacity=1)["instance_id"]
    cluster = installation.create("contract-cluster", CLUSTER, capacity=4)["instance_id"]
    token = installation.token()
    with (
        installation.http() as api,
        httpx.Client(
            base_url=f"{installation.endpoint}/v2", headers={"X-Auth-Token": token}, timeout=60
        ) as outside,
    ):
        made = api.post("/instances", json=installation.order("contract-spare", instance_num=2)).json()[
            "instances"
        ]
        spare = [installation.wait(one["instance_id"])["instance_id"] for one in made]
        restarted = api.put("/instances/status", json={"action": "soft_restart", "instances": [ha]})
        assert restarted.json()["results"][0]["result"] == "success"
        installation.wait(ha)
        yield World(installation, api, outside, ha, single, three, cluster, spare)


Call = Callable[[World], httpx.Response]

NOBODY_LISTED = {
    "enable_whitelist": False,
    "whitelist": [{"group_name": "test001", "ip_list": ["10.10.10.1", "10.10.10.2"]}],
}
CALLS: dict[str, Call] = {
    "create_instance": lambda w: w.api.post("/instances", json=w.order()),
    "list_instances": lambda w: w.api.get(
        "/instances", params={"include_failure": "true", "include_delete": "true"}
    ),
    "show_instance": lambda w: w.api.get(f"/instances/{w.ha}"),
    "show_instance_version": lambda w: w.api.get(f"/instances/{w.single}/version"),
    "update_instance": lambda w: w.api.put(f"/instances/{w.ha}", json={"description": "changed"}),
    "list_group_replication_info": lambda w: w.api.get(f"/instance/{w.ha}/groups"),
    "batch_show_nodes_information": lambda w: w.api.get("/instances-logical-nodes", params={"limit": 100}),
    "show_nodes_information": lambda w: w.api.get(f"/instances/{w.cluster}/logical-nodes"),
    "update_slave_priority": lambda w: w.api.post(
        f"{w.replica()}/slave-priority", json={"slave_priority_weight": 10}
    ),
    "delete_ip_from_domain_name": lambda w: w.api.delete(f"{w.replica()}/remove-ip"),
    "change_master_standby": lambda w: w.api.post(f"/instances/{w.ha}/swap"),
    "change_master_standby_async": lambda w: w.api.put(f"/instances/{w.three}/async-swap"),
    "resize_instance": lambda w: w.api.post(
        f"/instances/{w.single}/resize", json={"spec_code": "redis.single.xu1.tiny.256", "new_capacity": 0.25}
    ),
    "execute_cluster_switchover": lambda w: w.api.post(f"{w.replica_of_shard()}/async-switchover"),
    "validate_deletable_replica": lambda w: w.api.get(f"/instances/{w.cluster}/deletable-replication"),
    "list_number_of_instances_in_different_status": lambda w: w.api.get("/instances/status"),
    "list_statistics_of_running_instances": lambda w: w.api.get("/instances/statistic"),
    "update_password": lambda w: w.api.put(
        f"/instances/{w.ha}/password", json={"old_password": PASSWORD, "new_password": PASSWORD + "2"}
    ),
    "reset_password": lambda w: w.api.post(
        f"/instances/{w.settled_single()}/password/reset", json={"new_password": PASSWORD}
    ),
    "restart_or_flush_instances": lambda w: w.api.put(
        "/instances/status", json={"action": "flush", "instances": [w.single, UNKNOWN_ID]}
    ),
    "list_configurations": lambda w: w.api.get(f"/instances/{w.ha}/configs"),
    "update_configurations": lambda w: w.api.put(f"/instances/{w.ha}/configs", json=w.timeout(60)),
    "update_instance_config": lambda w: w.api.put(
        f"/instances/{w.settled_single()}/async-configs", json=w.timeout(61)
    ),
    "list_config_histories": lambda w: w.api.get(f"/instances/{w.ha}/config-histories"),
    "show_config_history_detail": lambda w: w.api.get(f"/instances/{w.ha}/config-histories/{w.history()}"),
    "list_config_templates": lambda w: w.api.get("/config-templates", params={"type": "sys"}),
    "show_config_template": lambda w: w.api.get("/config-templates/6", params={"type": "sys"}),
    "create_custom_template": lambda w: w.new_template(),
    "update_config_template": lambda w: w.api.put(
        f"/config-templates/{w.new_template().json()['id']}", json={"description": "changed"}
    ),
    "delete_config_template": lambda w: w.api.delete(f"/config-templates/{w.new_template().json()['id']}"),
    "update_ssl_switch": lambda w: w.api.put(f"/instances/{w.with_ssl()}/ssl", json={"enabled": True}),
    "show_instance_ssl_detail": lambda w: w.api.get(f"/instances/{w.with_ssl()}/ssl"),
    "download_ssl_cert": lambda w: w.api.post(f"/instances/{w.with_ssl()}/ssl-certs/download"),
    "list_flavors": lambda w: w.api.get("/flavors"),
    "list_available_zones": lambda w: w.outside.get("/available-zones"),
    "list_maintenance_windows": lambda w: w.outside.get("/instances/maintain-windows"),
    "list_monitored_objects": lambda w: w.api.get("/dims/monitored-objects", params=BY_INSTANCE),
    "list_monitored_objects_of_instance": lambda w: w.api.get(
        f"/dims/monitored-objects/{w.cluster}", params=BY_INSTANCE
    ),
    "show_quota_of_tenant": lambda w: w.api.get("/quota"),
    "list_tags_of_tenant": lambda w: w.api.get("/dcs/tags"),
    "batch_create_or_delete_tags": lambda w: w.api.post(
        f"/dcs/{w.ha}/tags/action", json={"action": "create", "tags": [{"key": "use", "value": "another"}]}
    ),
    "show_tags": lambda w: w.api.get(f"/instances/{w.ha}/tags"),
    "scan_clients": lambda w: w.api.post(f"/instances/{w.cluster}/clients", json={"node_id": w.node(w.cluster)}),
    "list_clients": lambda w: w.call_with_client("GET", "clients", lambda _: {}),
    "hang_up_clients": lambda w: w.call_with_client("POST", "clients/kill", lambda addr: {"client_addrs": [addr]}),
    "hang_up_kill_all_clients": lambda w: w.api.post(
        f"/instances/{w.ha}/clients/kill-all", json={"kill_all_nodes": True}
    ),
    "create_acl_account": lambda w: w.new_account(),
    "list_acl_accounts": lambda w: w.api.get(w.account()[0]),
    "update_acl_account_pass_word": lambda w: w.api.put(
        f"{w.account()[1]}/password/modify", json={"old_password": PASSWORD, "new_password": PASSWORD + "2"}
    ),
    "reset_acl_account_pass_word": lambda w: w.api.put(
        f"{w.account()[1]}/password/reset", json={"new_password": PASSWORD}
    ),
    "update_acl_account": lambda w: w.api.put(f"{w.account()[1]}/role", json={"account_role": "write"}),
    "delete_acl_account": lambda w: w.api.delete(w.account()[1]),
    "update_acl_account_remark": lambda w: w.api.put(w.account()[1], json={"description": "changed"}),
    "update_ip_whitelist": lambda w: w.api.put(f"/instance/{w.settled_old()}/whitelist", json=NOBODY_LISTED),
    "update_ip_whitelist_async": lambda w: w.api.put(
        f"/instance/{w.settled_old()}/whitelist-async", json=NOBODY_LISTED
    ),
    "show_ip_whitelist": lambda w: w.api.get(f"/instance/{w.settled_old()}/whitelist"),
    "list_background_task": lambda w: w.api.get(f"/instances/{w.ha}/tasks"),
    "list_center_task": lambda w: w.api.get("/tasks"),
    "show_background_task_progress": lambda w: w.api.get(f"/instances/{w.ha}/tasks/{w.finished_task()}/progress"),
    "show_job_info": lambda w: w.api.get(f"/jobs/{w.finished_task()}"),
    "delete_background_task": lambda w: w.api.delete(f"/instances/{w.ha}/tasks/{w.finished_task()}"),
    "delete_center_task": lambda w: w.api.delete(f"/tasks/{w.finished_task()}"),
    "copy_instance": lambda w: w.api.post(
        f"/instances/{w.settled_three()}/backups", json={"backup_format": "rdb"}
    ),
    "list_backup_records": lambda w: w.api.get(f"/instances/{w.three}/backups"),
    "list_backup_file_links": lambda w: w.api.post(
        f"/instances/{w.three}/backups/{w.backup()}/links", json={"expiration": 300}
    ),
    "restore_instance": lambda w: w.api.post(f"/instances/{w.three}/restores", json={"backup_id": w.backup()}),
    "list_restore_records": lambda w: w.api.get(f"/instances/{w.three}/restores"),
    "delete_backup_file": lambda w: w.api.delete(f"/instances/{w.three}/backups/{w.backup()}"),
    "create_migration_task": lambda w: w.new_import(),
    "list_migration_task": lambda w: w.api.get("/migration-tasks"),
    "show_migration_task": lambda w: w.api.get(f"/migration-task/{w.finished_import()}"),
    "show_migration_task_stats": lambda w: w.api.get(f"/migration-task/{w.finished_import()}/stats"),
    "delete_migration_task": lambda w: w.api.request(
        "DELETE", "/migration-tasks/delete", json={"task_id_list": [w.finished_import()]}
    ),
    "batch_delete_instances": lambda w: w.api.request(
        "DELETE", "/instances", json={"instances": [w.used_up.pop(), UNKNOWN_ID]}
    ),
    "delete_single_instance": lambda w: w.api.delete(f"/instances/{w.used_up.pop()}"),
}


def test_every_routed_operation_is_called() -> None:
    assert CALLS.keys() == ROUTED.keys()


@pytest.mark.parametrize("name", CALLS)
def test_answer_is_what_the_contract_says(name: str, world: World) -> None:
    answer = CALLS[name](world)
    # Where there is a status for nothing to tell as well, the calls find something.
    assert answer.status_code == ROUTED[name].status_code, answer.text
    schema = success_of(OPERATIONS[name])[answer.status_code]
    if schema is None:
        assert answer.content == (b"{}" if name in EMPTY_OBJECTS else b"")
        return
    assert answer.headers["Content-Type"].startswith("application/json")
    assert list(departures(answer.json(), schema)) == []


def test_answers_about_an_instance_being_made_are_what_the_contract_says(world: World) -> None:
    made = world.api.post("/instances", json=world.installation.order("contract-young", HA)).json()["instances"][0]
    young = made["instance_id"]
    seen, waited_until = set(), time.monotonic() + 30
    while "RUNNING" not in seen:
        assert time.monotonic() < waited_until, seen
        for path, schema in (
            (f"/instances/{young}", "ShowInstanceResponse"),
            (f"/instances?instance_id={young}", "ListInstancesResponse"),
            (f"/instance/{young}/groups", "ListGroupReplicationInfoResponse"),
            (f"/instances/{young}/logical-nodes", "ShowNodesInformationResponse"),
            ("/instances-logical-nodes", "BatchShowNodesInformationResponse"),
            (f"/instances/{young}/tasks", "ListBackgroundTaskResponse"),
        ):
            body = world.api.get(path).json()
            assert list(departures(body, schema, path)) == []
            seen |= {body["status"]} if "status" in body else set()
    assert seen == {"CREATING", "RUNNING"}


def test_removing_failed_instances_answers_without_a_body(world: World) -> None:
    answer = world.api.request("DELETE", "/instances", params={"all_failure": "true"})
    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize("name", ROUTED)
def test_refusal_of_strangers_has_the_documented_shape(name: str, world: World) -> None:
    answer = _ask_for_nothing_known(ROUTED[name], world, {})
    assert answer.status_code == 401
    assert_refused(answer)


@pytest.mark.parametrize(
    "name", [one for one, route in ROUTED.items() if route.param_convertors.keys() - {"project_id"}]
)
def test_refusal_of_what_is_not_there_has_the_documented_shape(name: str, world: World) -> None:
    answer = _ask_for_nothing_known(ROUTED[name], world, {"X-Auth-Token": world.outside.headers["X-Auth-Token"]})
    kinds = ROUTED[name].param_convertors.keys()
    assert_refused(answer)
    if "template_id" in kinds:
        assert (answer.status_code, answer.json()["error_code"]) == (400, "DCS.4988")
    elif kinds & {"task_id", "job_id"}:
        assert (answer.status_code, answer.json()["error_code"]) == (400, "DCS.4133")
    else:
        assert (answer.status_code, answer.json()["error_code"]) == (404, "DCS.3022")


def _ask_for_nothing_known(route: APIRoute, world: World, headers: dict[str, str]) -> httpx.Response:
    ids = dict.fromkeys(("task_id", "job_id", "node_id"), UNKNOWN_JOB)
    ids |= dict.fromkeys(
        ("instance_id", "group_id", "history_id", "template_id", "backup_id", "account_id"), UNKNOWN_ID
    )
    path = route.path.format(project_id=world.installation.env["project_id"], **ids)
    body = {"description": "x", "old_password": PASSWORD, "new_password": PASSWORD + "2"}
    body |= {"action": "create", "tags": [{"key": "k"}], "client_addrs": ["10.0.0.1:1"]}
    body |= world.timeout(60) | {"slave_priority_weight": 1, "spec_code": HA, "new_capacity": 0.125}
    body |= {"expiration": 300, "backup_id": UNKNOWN_ID, "enabled": True} | NOBODY_LISTED
    body |= {"account_name": "nobody", "account_role": "read", "account_password": PASSWORD}
    [method] = route.methods
    query = BY_INSTANCE | ({"type": "user"} if route.name == "show_config_template" else {})
    return httpx.request(method, world.installation.endpoint + path, params=query, headers=headers, json=body)


def assert_refused(answer: httpx.Response) -> None:
    assert answer.headers["X-Request-Id"]
    assert answer.headers["Content-Type"].startswith("application/json")
    assert list(departures(answer.json(), "ErrorResponse")) == []
