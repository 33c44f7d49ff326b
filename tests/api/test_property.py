"""Generated requests at every route: never a 5xx, always our error shapes, and nothing half-made left behind.

Bodies are anything at all, or a right one with a few fields gone wrong. `CACHESTEAD_EXAMPLES=500` looks harder,
each time elsewhere.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from installation import HA, PASSWORD, SINGLE, Installation, eventually
from postgresql import NewDatabase
from refusals import check_shape

from cachestead.api.iam import routes as iam
from cachestead.api.v2 import CHAPTERS
from cachestead.domain.instances import node_id

EXAMPLES = os.environ.get("CACHESTEAD_EXAMPLES")
ROUTERS = [*(chapter.router for chapter in CHAPTERS), iam.router]
ROUTES = [
    (method, route)
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, APIRoute)
    for method in sorted(route.methods or ())
    if route.path != "/v3/{rest:path}" or method == "POST"
]
FINAL = {"RUNNING", "CREATEFAILED", "ERROR"}
JSON = {"Content-Type": "application/json"}


@dataclass
class World:
    """The service under attack."""

    installation: Installation
    api: httpx.Client
    jobs: list[str] = field(default_factory=list)

    def instances(self) -> list[dict[str, Any]]:
        """Every instance, failed ones too."""
        listed = self.api.get(self.path("/instances"), params={"limit": 1000, "include_failure": "true"}).json()
        return list(listed["instances"])

    def path(self, rest: str) -> str:
        """A path in the attacker's own project."""
        return f"/v2/{self.installation.env['project_id']}{rest}"

    def settle(self) -> list[dict[str, Any]]:
        """The instances once nothing is being done to any."""

        def look() -> list[dict[str, Any]] | None:
            found = self.instances()
            at_rest = all(one["status"] in FINAL for one in found)
            tasks = self.api.get(self.path("/tasks"), params={"limit": 1000}).json()["tasks"]
            return [{}, *found] if at_rest and all(one["status"] != "EXECUTING" for one in tasks) else None

        return eventually(look, 60)[1:]

    def make_room(self) -> str:
        """One running instance and no other; its id."""
        running = [one["instance_id"] for one in self.settle() if one["status"] == "RUNNING"]
        gone = [one["instance_id"] for one in self.instances() if one["instance_id"] not in running[:1]]
        for one in gone:
            assert self.api.delete(self.path(f"/instances/{one}")).status_code == 204
        eventually(lambda: not [one for one in self.instances() if one["instance_id"] in gone])
        kept = running[0] if running else self.installation.create("property-victim")["instance_id"]
        tasks = self.api.get(self.path(f"/instances/{kept}/tasks")).json()["tasks"]
        self.jobs = [one["id"] for one in tasks]
        return kept


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase) -> Iterator[World]:
    """A service with little room, so that few of the generated orders can be had."""
    narrow = {"QUOTAS__INSTANCES": "4", "CAPACITY__MEMORY_MB": "1024"}
    made = Installation(tmp_path_factory.mktemp("property"), new_database(), narrow)
    try:
        made.start()
        with httpx.Client(base_url=made.endpoint, headers={"X-Auth-Token": made.token()}, timeout=60) as api:
            yield World(made, api)
    finally:
        made.remove()


NASTY: list[Any] = [
    None, True, False, "", " ", "x", "x" * 5000, "\x00", "\ud800", "ä", "١٢", "../..", "'; --", "%00", "null",
    "true", "NaN", 0, -1, 1, 65535, 65536, 2**31, 2**63, 10**30, 0.125, 0.5, 1e308, float("nan"), float("inf"),
    [], {}, [[]], [None], {"": None}, {"a": {"b": [1]}}, ["x"] * 60, "127.0.0.1", "local-1a", "0" * 32, str(uuid4()),
]  # fmt: skip
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=20)
    | st.sampled_from(NASTY),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def mutated(draw: st.DrawFn, right: Any) -> Any:
    """A right value with a few things gone wrong inside."""
    if isinstance(right, dict):
        wrong = draw(st.sets(st.sampled_from(sorted(right)), max_size=2)) if right else set()
        made = {key: draw(mutated(value)) if key in wrong else value for key, value in right.items()}
        for key in wrong:
            if draw(st.integers(0, 4)) == 0:
                del made[key]
        return made | ({"surplus": draw(anything)} if draw(st.integers(0, 9)) == 0 else {})
    if isinstance(right, list) and right and draw(st.booleans()):
        return [draw(mutated(one)) for one in right] + draw(st.lists(anything, max_size=2))
    return draw(anything)


def right_body(operation: str, world: World, instance: str) -> dict[str, Any] | None:
    """A body that the operation takes."""
    plan = {"period_type": "weekly", "backup_at": [1, 3], "begin_at": "00:00-01:00"}
    policy = {"backup_type": "auto", "save_days": 1, "periodical_backup_plan": plan}
    facts = {
        "name": "property-test",
        "description": "made by a property",
        "maintain_begin": "02:00:00",
        "maintain_end": "03:00:00",
        "security_group_id": world.installation.env["security_group_id"],
    }
    user = {"name": "admin", "password": "wrong", "domain": {"name": "cachestead"}}
    more = {"tags": [{"key": "a", "value": "b"}], "port": 6400, "rename_commands": {"keys": "my-keys"}}
    shape = {"spec_param": {"replica_count": 1}, "bss_param": {"charging_mode": "postPaid"}, "instance_num": 1}
    bodies: dict[str, dict[str, Any]] = {
        "create_instance": world.installation.order(flavor=SINGLE, **facts, **more, **shape),
        "update_instance": facts | {"rename_commands": {"scan": "my-scan"}, "instance_backup_policy": policy},
        "batch_delete_instances": {"instances": [str(uuid4())]},
        "restart_or_flush_instances": {"action": "flush", "instances": [instance]},
        "update_password": {"old_password": PASSWORD, "new_password": "Passw0rd!y"},
        "reset_password": {"new_password": PASSWORD, "no_password_access": False},
        "delete_center_task": {"message": ""},
        "batch_create_or_delete_tags": {"action": "create", "tags": [{"key": "a", "value": "b"}]},
        "scan_clients": {"node_id": node_id(instance, 0, 0), "clean_cache": True},
        "hang_up_clients": {"node_id": node_id(instance, 0, 0), "client_addrs": ["127.0.0.1:4000"]},
        "hang_up_kill_all_clients": {"node_id": node_id(instance, 0, 0), "kill_all_nodes": False},
        "copy_instance": {"remark": "by a property", "backup_format": "rdb"},
        "list_backup_file_links": {"expiration": 300},
        "restore_instance": {"backup_id": str(uuid4()), "remark": "by a property"},
        "create_migration_task": {
            "task_name": "property-import",
            "description": "by a property",
            "migration_type": "backupfile_import",
            "migration_method": "full_amount_migration",
            "backup_files": {
                "file_source": "self_build_obs",
                "bucket_name": "cachestead",
                "files": [{"file_name": "imports/a.rdb", "size": "1.5MB"}],
            },
            "target_instance": {"id": instance, "name": "property-test"},
        },
        "delete_migration_task": {"task_id_list": ["0" * 32]},
        "create_token": {
            "auth": {
                "identity": {"methods": ["password"], "password": {"user": user}},
                "scope": {"project": {"name": "local-1"}},
            }
        },
    }
    return bodies.get(operation)


def encoded(value: Any) -> bytes:
    """The value on the wire; what JSON does not have (NaN) and no text should hold goes too."""
    return json.dumps(value).encode()


def segments(name: str, world: World, instance: str) -> st.SearchStrategy[str]:
    """What may stand in a path for this parameter."""
    real = {
        "project_id": [world.installation.env["project_id"]] * 8,
        "instance_id": [instance, instance, instance.upper(), str(uuid4())],
        "task_id": [*world.jobs, "0" * 32],
        "job_id": [*world.jobs, "0" * 32],
        "wanted_id": [world.installation.env["project_id"]],
        "region_id": ["local-1"],
    }.get(name, ["x"])
    odd = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).map(
        lambda text: quote(text, safe="")
    )
    raw = st.sampled_from(["%00", "%ff", "%2e%2e", "%ED%A0%80", "%", "%zz", "..", ".", "x" * 3000])
    return st.one_of(st.sampled_from(real), st.sampled_from(real), st.sampled_from(real), odd, raw)


def queries(route: APIRoute) -> st.SearchStrategy[list[tuple[str, str]]]:
    """Parameters the route knows, and others, with all sorts of values."""
    known = [parameter.name for parameter in route.dependant.query_params]
    names = st.sampled_from([*known, *known, "surplus", "", "\x00"])
    values = st.sampled_from(
        ["", "0", "1", "-1", "10", "1001", "9" * 30, "true", "false", "TRUE", "maybe", "nan", "inf", "a=b,c", "\x00",
         "%", "_", "20250101000000", "99991231235959", "00000000000000", "RUNNING", "7.0", "ha", "instance", "'"]
    )  # fmt: skip
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
    return st.lists(st.tuples(names, values | text), max_size=4)


def check_answer(answer: httpx.Response, told: str) -> None:
    assert answer.status_code < 500, f"{told}: {answer.text}"
    assert answer.headers["x-request-id"], told
    if answer.status_code < 400 or answer.request.method == "HEAD":
        return
    if answer.request.url.path.startswith("/v3/") or "error" in answer.json():
        assert {"error", "error_code", "error_msg", "request_id"} <= set(answer.json()), told
    else:
        check_shape(answer)


@pytest.mark.parametrize(("method", "route"), ROUTES, ids=[f"{method} {route.path}" for method, route in ROUTES])
def test_no_request_upsets_a_route(world: World, method: str, route: APIRoute):
    instance = world.make_room()
    right = right_body(str(route.operation_id), world, instance)
    shaped = mutated(right).map(encoded) if right else st.nothing()
    bodies = st.one_of(
        *([shaped] * 6 if right else []), st.just(b""), anything.map(encoded), st.binary(max_size=64)
    )
    places = st.fixed_dictionaries({name: segments(name, world, instance) for name in _named(route.path)})

    @settings(
        max_examples=int(EXAMPLES or (60 if right else 25)),
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(place=places, query=queries(route), body=bodies)
    def attack(place: dict[str, str], query: list[tuple[str, str]], body: bytes) -> None:
        path = route.path.replace(":path}", "}").format(**place)
        url = httpx.URL(world.installation.endpoint).copy_with(raw_path=_target(path, query))
        answer = world.api.request(method, url, content=body, headers=JSON)
        check_answer(answer, f"{method} {url} {body[:500]!r}")

    attack()


def _named(path: str) -> list[str]:
    return [part.strip("{}").removesuffix(":path") for part in path.split("/") if part.startswith("{")]


def _target(path: str, query: list[tuple[str, str]]) -> bytes:
    pairs = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query)
    return f"{path}?{pairs}".encode() if pairs else path.encode()


@settings(
    max_examples=int(EXAMPLES or 40),
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"]),
    path=st.text(st.sampled_from("/v23.%instancesjob{}\\ä;:@"), max_size=40).map(
        lambda text: "/" + quote(text, safe="/%")
    ),
    body=st.binary(max_size=32),
)
def test_no_url_upsets_the_service(world: World, method: str, path: str, body: bytes):
    url = httpx.URL(world.installation.endpoint).copy_with(raw_path=path.encode())
    answer = world.api.request(method, url, content=body, headers=JSON)
    assert answer.status_code < 500, f"{method} {path}"
    assert answer.headers["x-request-id"]


def test_orders_of_every_kind_leave_nothing_half_made(world: World):
    """Near-valid orders, made as long as there is room; each is whole in the end, or refused, or gone."""
    instance = world.make_room()
    right = right_body("create_instance", world, instance)
    assert right
    ha = right | {"spec_code": HA, "az_codes": ["local-1a", "local-1b"], "spec_param": {"replica_count": 2}}

    @settings(
        max_examples=int(EXAMPLES or 80),
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(order=mutated(right) | mutated(ha))
    def attack(order: dict[str, Any]) -> None:
        answer = world.api.post(world.path("/instances"), content=encoded(order), headers=JSON)
        check_answer(answer, str(order)[:500])

    attack()
    made = world.settle()
    assert {one["status"] for one in made} == {"RUNNING"}, made


def test_after_all_that_processes_and_records_agree(world: World):
    made = world.settle()
    assert {one["status"] for one in made} <= {"RUNNING"}, made
    ids = {one["instance_id"] for one in made}
    folder = Path(world.installation.folder, "nodes")

    def agreed() -> bool:
        nodes = [json.loads(path.read_text()) for path in folder.glob("*/node.json")]
        owners = {one["owner"] for one in nodes} - {"sentinel"}
        return owners == ids and len(world.installation.node_processes()) == len(nodes)

    assert eventually(agreed)
    world.make_room()
    assert "request failed" not in world.installation.log()
