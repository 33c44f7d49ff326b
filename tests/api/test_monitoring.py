"""Figures through Cloud Eye's queries, read with the vendor's client, of real instances under a known load."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import openstack
import otcextensions.sdk
import pytest
from huaweicloudsdkces.v1 import (
    BatchListMetricDataRequest,
    BatchListMetricDataRequestBody,
    CesClient,
    ListMetricsRequest,
    MetricInfo,
    MetricsDimension,
)
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from installation import HA, PROXY, Installation, client_of, eventually
from monitored import INSTANCE, NODE, cloud_eye, course, now, other_tenant, sampled_installation, values
from monitored import PROXY as PROXIES
from postgresql import NewDatabase
from redis import RedisError
from refusals import check_refused

from cachestead.api.access import access_of
from cachestead.api.ces.routes import router
from cachestead.domain.instances import Mode
from cachestead.domain.metrics import METRICS, metrics_of

NOBODY = "00000000-0000-4000-8000-000000000000"


@dataclass
class World:
    """Instances that are sampled."""

    installation: Installation
    ces: CesClient
    single: dict[str, Any]
    ha: dict[str, Any]
    proxied: dict[str, Any]

    def of(self, instance: dict[str, Any]) -> str:
        """The instance as a dimension."""
        return f"{INSTANCE},{instance['instance_id']}"

    def objects(self, instance: dict[str, Any]) -> dict[str, Any]:
        """What is monitored of it."""
        with self.installation.http() as api:
            path = f"/dims/monitored-objects/{instance['instance_id']}"
            return dict(api.get(path, params={"dim_name": INSTANCE}).json())


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase) -> Iterator[World]:
    with sampled_installation(tmp_path_factory.mktemp("monitored"), new_database) as installation:
        single = installation.create("measured-single")
        ha = installation.create("measured-ha", HA)
        proxied = installation.create("measured-proxied", PROXY, capacity=4)
        yield World(installation, cloud_eye(installation), single, ha, proxied)


def settled(world: World, metric: str, *dimensions: str, expected: float) -> bool:
    """The points since the beginning add up to this, exactly."""
    assert sum(values(world.ces, metric, *dimensions)) <= expected
    return sum(values(world.ces, metric, *dimensions)) == expected


def test_figures_agree_with_a_known_load(world: World) -> None:
    here = world.of(world.single)
    assert eventually(lambda: values(world.ces, "keyspace_misses", here))
    before = sum(values(world.ces, "keyspace_misses", here))
    with client_of(world.single) as client:
        for number in range(200):
            client.set(f"key-{number}", "x" * 1000, ex=10_000 if number < 50 else None)
        for number in range(300):
            client.get(f"key-{number}")
        assert eventually(lambda: values(world.ces, "keys", here)[-1] == 200)
        assert values(world.ces, "expires", here)[-1] == 50
        assert eventually(lambda: settled(world, "keyspace_misses", here, expected=before + 100))
        info = client.info()
        assert values(world.ces, "used_memory", here)[-1] == pytest.approx(info["used_memory"], rel=0.1)
        memory = values(world.ces, "memory_usage", here)[-1]
        assert memory == pytest.approx(info["used_memory"] / (128 * 1024 * 1024) * 100, rel=0.1)
        assert eventually(
            lambda: values(world.ces, "connected_clients", here)[-1] == client.info("clients")["connected_clients"]
        )
    # A point is a rate over what should be a second: on a busy machine it is longer.
    rates = {name: sum(values(world.ces, name, here)) for name in ("set", "get", "hget")}
    assert 200 / 15 < rates["set"] < 400
    assert 300 / 15 < rates["get"] < 600
    assert rates["hget"] == 0
    assert max(values(world.ces, "command_max_rt", here)) > 0


def test_nodes_of_master_and_standby_are_seen_apart(world: World) -> None:
    with client_of(world.ha) as client:
        for number in range(60):
            client.set(f"key-{number}", "value")
    objects = world.objects(world.ha)["dcs_cluster_redis_node"]
    assert {one["name"].partition(")")[0] for one in objects} == {"(master", "(replica"}
    for one in objects:
        node = f"{NODE},{one[NODE]}"
        assert eventually(lambda node=node: values(world.ces, "keys", world.of(world.ha), node)[-1] == 60)
        assert values(world.ces, "used_memory", world.of(world.ha), node)[-1] > 0
    assert eventually(lambda: values(world.ces, "keys", world.of(world.ha))[-1] == 60)


def test_proxies_and_shards_are_seen_apart(world: World) -> None:
    here, objects = world.of(world.proxied), world.objects(world.proxied)
    assert (len(objects["dcs_cluster_redis_node"]), len(objects["dcs_cluster_proxy2_node"])) == (6, 3)
    clients = [client_of(world.proxied) for _ in range(12)]
    try:
        for number in range(300):
            clients[number % 12].set(f"key-{number}", "value")
        assert eventually(lambda: values(world.ces, "keys", here)[-1] == 300)
        nodes = [f"{NODE},{one[NODE]}" for one in objects["dcs_cluster_redis_node"]]
        eventually(lambda: sum(values(world.ces, "keys", here, node)[-1] for node in nodes) == 600)
        proxies = [f"{PROXIES},{one[PROXIES]}" for one in objects["dcs_cluster_proxy2_node"]]
        eventually(lambda: sum(values(world.ces, "connected_clients", here, one)[-1] for one in proxies) == 12)
        assert sum(sum(values(world.ces, "total_net_input_bytes", here, one)) for one in proxies) > 300 * 20
        assert max(max(values(world.ces, "command_max_rt", here, one)) for one in proxies) > 0
        assert {values(world.ces, "node_status", here, one)[-1] for one in proxies} == {0}
        assert all(values(world.ces, "memory_usage", here, one)[-1] > 0 for one in proxies)
        gaps = [values(world.ces, "ms_repl_offset", here, node) for node in nodes]
        assert sum(bool(one) for one in gaps) == 3, "the replicas'"
        # Older texts call the dimension of proxies so.
        old = proxies[0].replace(PROXIES, "dcs_cluster_proxy_node")
        assert values(world.ces, "connected_clients", here, old)
    finally:
        for client in clients:
            client.close()


def test_every_metric_of_every_object_has_a_point(world: World) -> None:
    listed = list_all(world.ces)
    expected = {
        ("measured-single", ()): metrics_of(INSTANCE, Mode.SINGLE),
        ("measured-ha", (NODE,)): metrics_of(NODE, Mode.HA),
        ("measured-proxied", (PROXIES,)): metrics_of(PROXIES, Mode.PROXY),
    }
    names = {one["instance_id"]: one["name"] for one in (world.single, world.ha, world.proxied)}
    found: dict[Any, set[str]] = {}
    for one in listed:
        own, *others = one.dimensions
        found.setdefault((names[own.value], tuple(other.name for other in others)), set()).add(one.metric_name)
    for key, metrics in expected.items():
        assert found[key] == {metric.id for metric in metrics}
    assert {one.unit for one in listed} == {metric.unit for metric in METRICS}

    def without_points() -> set[str]:
        wanted = [MetricInfo(one.namespace, one.metric_name, _plain(one.dimensions)) for one in listed]
        answered = [
            one for begin in range(0, len(wanted), 500) for one in batch(world.ces, wanted[begin : begin + 500])
        ]
        return {one.metric_name for one in answered if not one.datapoints} - {"ms_repl_offset"}

    eventually(lambda: not without_points())


def _plain(dimensions: list[Any]) -> list[MetricsDimension]:
    return [MetricsDimension(one.name, one.value) for one in dimensions]


def batch(ces: CesClient, metrics: list[MetricInfo], **more: Any) -> list[Any]:
    fields = {"period": "1", "filter": "average", "_from": now() - 60_000, "to": now()} | more
    body = BatchListMetricDataRequestBody(metrics=metrics, **fields)
    return list(ces.batch_list_metric_data(BatchListMetricDataRequest(body=body)).metrics)


def list_all(ces: CesClient, limit: int = 1000, **filters: Any) -> list[Any]:
    """Every metric, page by page."""
    found: list[Any] = []
    start = ""
    while True:
        answer = ces.list_metrics(ListMetricsRequest(limit=limit, start=start, **filters))
        assert answer.meta_data.count == len(answer.metrics)
        found += answer.metrics
        if not answer.metrics:
            return found
        assert answer.meta_data.total >= len(found)
        start = answer.meta_data.marker


def test_pages_of_metrics_are_the_whole_list(world: World) -> None:
    whole = [str(one) for one in list_all(world.ces)]
    assert [str(one) for one in list_all(world.ces, limit=97)] == whole
    assert [str(one) for one in list_all(world.ces, limit=97, order="desc")] == whole[::-1]
    assert len(set(whole)) == len(whole) > 400


def test_metrics_are_filtered(world: World) -> None:
    own = list_all(world.ces, dim_0=world.of(world.single))
    assert {one.dimensions[0].value for one in own} == {world.single["instance_id"]}
    keys = list_all(world.ces, metric_name="keys", namespace="SYS.DCS")
    assert {one.metric_name for one in keys} == {"keys"}
    assert len(keys) == 1 + 3 + 7
    assert list_all(world.ces, namespace="SYS.ECS") == list_all(world.ces, metric_name="cpu_util") == []
    assert list_all(world.ces, dim_0=f"{INSTANCE},{NOBODY}") == []


def test_a_list_goes_on_after_what_is_gone(world: World) -> None:
    marker = f"SYS.DCS.keys.{INSTANCE}:{'0' * 8}-0000-4000-8000-{'0' * 12}"
    assert len(world.ces.list_metrics(ListMetricsRequest(start=marker)).metrics) == len(list_all(world.ces))
    last = f"SYS.DCS.keys.{INSTANCE}:{'f' * 8}-ffff-4fff-8fff-{'f' * 12}"
    assert world.ces.list_metrics(ListMetricsRequest(start=last)).metrics == []
    downwards = world.ces.list_metrics(ListMetricsRequest(start=last, order="desc"))
    assert [str(one) for one in downwards.metrics] == [str(one) for one in list_all(world.ces)][::-1]


@pytest.mark.parametrize("name", ["average", "max", "min", "sum", "variance"])
def test_points_carry_what_was_asked_for(world: World, name: str) -> None:
    def look() -> Any:
        return course(world.ces, "used_memory", world.of(world.single), filter=name, period=60)

    points = eventually(look)
    sampled = values(world.ces, "used_memory", world.of(world.single))
    for point in points:
        assert point.timestamp % 60_000 == 0
        assert point.unit == "byte"
        others = {"average", "max", "min", "sum", "variance"} - {name}
        assert {other for other in others if getattr(point, other) is not None} == set()
    if name in ("max", "min", "average"):
        assert min(sampled) <= getattr(points[-1], name) <= max(sampled) * 1.1


def test_several_figures_are_answered_in_the_order_asked_for(world: World) -> None:
    own = [MetricsDimension(INSTANCE, world.single["instance_id"])]
    gone = [MetricsDimension(INSTANCE, NOBODY)]
    wanted = [
        MetricInfo("SYS.DCS", "keys", own),
        MetricInfo("SYS.DCS", "used_memory", gone),
        MetricInfo("SYS.ECS", "cpu_util", own),
        MetricInfo("SYS.DCS", "no_such_metric", own),
        MetricInfo("SYS.DCS", "used_memory", own),
    ]
    answered = eventually(lambda: (found := batch(world.ces, wanted)) and found[0].datapoints and found)
    assert [(one.namespace, one.metric_name) for one in answered] == [
        (one.namespace, one.metric_name) for one in wanted
    ]
    assert [bool(one.datapoints) for one in answered] == [True, False, False, False, True]
    assert (answered[0].unit, answered[0].dimensions[0].value) == ("count", world.single["instance_id"])


def test_a_question_that_reaches_too_far_begins_later(world: World) -> None:
    eventually(lambda: values(world.ces, "keys", world.of(world.single)))
    assert values(world.ces, "keys", world.of(world.single), _from=now() - 10**10)
    assert values(world.ces, "keys", world.of(world.single), _from=now() - 10**10, to=now() + 5 * 3_600_000) == []


def test_another_tenant_sees_nothing(world: World) -> None:
    other = cloud_eye(world.installation, other_tenant(world.installation))
    here = world.of(world.single)
    assert eventually(lambda: values(world.ces, "keys", here))
    assert list_all(other) == list_all(other, dim_0=here) == values(other, "keys", here) == []
    own = [MetricsDimension(INSTANCE, world.single["instance_id"])]
    assert [one.datapoints for one in batch(other, [MetricInfo("SYS.DCS", "keys", own)])] == [[]]


def test_the_client_is_told_what_is_wrong_by_cloud_eyes_code(world: World) -> None:
    with pytest.raises(ClientRequestException) as wrong:
        values(world.ces, "keys", world.of(world.single), period=7)
    assert (wrong.value.status_code, wrong.value.error_code) == (400, "ces.0013")
    assert "period" in wrong.value.error_msg
    stranger = cloud_eye(world.installation, world.installation.env | {"secret_key": "wrong"})
    with pytest.raises(ClientRequestException) as unknown:
        list_all(stranger)
    assert (unknown.value.status_code, unknown.value.error_code) == (401, "APIGW.0301")


RIGHT = {
    "namespace": "SYS.DCS", "metric_name": "keys", "dim.0": f"{INSTANCE},{NOBODY}", "from": "1700000000000",
    "to": "1700000060000", "period": "1", "filter": "average",
}  # fmt: skip
WRONG = [
    ({"namespace": None}, "namespace"),
    ({"namespace": "DCS"}, "namespace"),
    ({"metric_name": None}, "metric_name"),
    ({"metric_name": "1 or 1"}, "metric_name"),
    ({"dim.0": None}, "dim.0"),
    ({"dim.0": INSTANCE}, "dim.0"),
    ({"dim.0": f"{INSTANCE},"}, "dim"),
    ({"dim.1": f"{INSTANCE},{NOBODY}"}, "dim"),
    ({"from": None}, "from"),
    ({"from": "yesterday"}, "from"),
    ({"from": "1"}, "from"),
    ({"from": "9" * 40}, "from"),
    ({"from": "1700000060000"}, "from"),
    ({"to": "-1"}, "to"),
    ({"period": "7"}, "period"),
    ({"period": None}, "period"),
    ({"filter": "median"}, "filter"),
    ({"filter": None}, "filter"),
]


@pytest.mark.parametrize(
    ("change", "field"),
    WRONG,
    ids=[" ".join(f"{name} {value}" for name, value in one.items()) for one, _ in WRONG],
)
def test_a_bad_parameter_is_named(world: World, change: dict[str, str | None], field: str) -> None:
    query = {name: value for name, value in (RIGHT | change).items() if value is not None}
    with world.installation.http() as api:
        answer = api.get(_ces(world, "/metric-data"), params=query)
        assert api.get(_ces(world, "/metric-data"), params=RIGHT).json() == {
            "datapoints": [],
            "metric_name": "keys",
        }
    check_ces(answer, 400, "ces.0013", field)


def check_ces(answer: Any, status: int, code: str, field: str = "") -> None:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body.keys() == {"code", "element", "message", "details", "error_code", "error_msg"}
    assert (body["code"], body["details"]["code"]) == (status, code)
    assert field in body["details"]["details"]
    assert answer.headers["X-Request-Id"]


def _ces(world: World, path: str, project: str | None = None) -> str:
    return f"{world.installation.endpoint}/V1.0/{project or world.installation.env['project_id']}{path}"


def test_bad_lists_and_bodies_are_refused(world: World) -> None:
    own = {"name": INSTANCE, "value": NOBODY}
    one = {"namespace": "SYS.DCS", "metric_name": "keys", "dimensions": [own]}
    right = {"metrics": [one], "from": 1700000000000, "to": 1700000060000, "period": "1", "filter": "average"}
    path = "/batch-query-metric-data"
    with world.installation.http() as api:
        for query, code in (
            ({"limit": "0"}, "ces.0013"), ({"limit": "1001"}, "ces.0013"), ({"limit": "x"}, "ces.0013"),
            ({"order": "up"}, "ces.0013"), ({"start": "nonsense"}, "ces.0006"), ({"dim.0": "x"}, "ces.0013"),
        ):  # fmt: skip
            check_ces(api.get(_ces(world, "/metrics"), params=query), 400, code)
        assert api.post(_ces(world, path), json=right).status_code == 200
        for change, field in (
            ({"metrics": []}, "metrics"), ({"metrics": [one] * 501}, "metrics"), ({"metrics": "keys"}, "metrics"),
            ({"metrics": [one | {"dimensions": []}]}, "dimensions"), ({"metrics": [one | {"namespace": 1}]}, "namespace"),
            ({"metrics": [one | {"dimensions": [own, own]}]}, "dimensions"), ({"period": "2"}, "period"),
            ({"period": None}, "period"), ({"filter": "none"}, "filter"), ({"from": "x"}, "from"), ({"to": 1}, "to"),
        ):  # fmt: skip
            check_ces(api.post(_ces(world, path), json=right | change), 400, "ces.0014", field)
        check_ces(api.post(_ces(world, path)), 400, "ces.0001")
        check_ces(api.post(_ces(world, path), content=b"{"), 400, "ces.0014")
        check_ces(api.get(_ces(world, "/metrics", "0" * 32)), 401, "ces.0003")
        check_ces(api.get(_ces(world, "/metrics"), headers={"X-Auth-Token": "nonsense"}), 401, "ces.0015")
        check_ces(api.post(_ces(world, path), content=b"{", headers={"X-Auth-Token": "nonsense"}), 401, "ces.0015")


def test_monitored_objects_are_paged_and_those_of_the_project(world: World) -> None:
    with world.installation.http() as api:
        whole = api.get("/dims/monitored-objects", params={"dim_name": INSTANCE}).json()
        assert [one["name"] for one in whole["instances"]] == [
            "measured-proxied",
            "measured-ha",
            "measured-single",
        ]
        assert (whole["total"], whole["router"]) == (3, [INSTANCE])
        assert [one["dim_route"] for one in whole["children"]] == [
            f"{INSTANCE},{NODE}", f"{INSTANCE},dcs_cluster_proxy_node",
        ]  # fmt: skip
        pages = [
            api.get("/dims/monitored-objects", params={"dim_name": INSTANCE, "offset": offset, "limit": 1}).json()
            for offset in range(4)
        ]
        assert [one["instances"] for one in pages] == [*([one] for one in whole["instances"]), []]
        assert {one["total"] for one in pages} == {3}
        memcached = api.get("/dims/monitored-objects", params={"dim_name": "dcs_memcached_instance_id"}).json()
        assert (memcached["total"], memcached["instances"], memcached["children"]) == (0, [], [])
        check_refused(api.get("/dims/monitored-objects", params={"dim_name": "x"}), "DCS.4800", "dim_name")
        check_refused(api.get("/dims/monitored-objects"), "DCS.4800", "dim_name")
        one = f"/dims/monitored-objects/{world.single['instance_id']}"
        check_refused(api.get(one, params={"dim_name": "x"}), "DCS.4800", "dim_name")
    objects = world.objects(world.single)
    assert (objects["children"], objects["dcs_cluster_redis_node"]) == ([], [])
    tenant = other_tenant(world.installation)
    with world.installation.http() as api:
        base, headers = (
            f"{world.installation.endpoint}/v2/{tenant['project_id']}",
            {"X-Auth-Token": tenant["token"]},
        )
        theirs = api.get(f"{base}/dims/monitored-objects", params={"dim_name": INSTANCE}, headers=headers).json()
        assert (theirs["total"], theirs["instances"]) == (0, [])
        answer = api.get(base + one, params={"dim_name": INSTANCE}, headers=headers)
        check_refused(answer, "DCS.3022", status=404)


def test_otcextensions_finds_the_figures_by_the_catalogue(world: World) -> None:
    env = world.installation.env
    connection = openstack.connect(
        auth_url=f"{env['iam_endpoint']}/v3",
        username=env["user"],
        password=env["password"],
        user_domain_name=env["domain"],
        project_id=env["project_id"],
        region_name=env["region"],
    )
    otcextensions.sdk.register_otc_extensions(connection)
    listed = list(connection.ces.metrics(metric_name="keys"))
    assert len(listed) == len(list_all(world.ces, metric_name="keys"))
    query = {
        "namespace": "SYS.DCS", "metric_name": "keys", "dim.0": world.of(world.single), "period": 1,
        "filter": "average", "from": now() - 60_000, "to": now(),
    }  # fmt: skip
    [found] = list(connection.ces.metric_data(**query))
    assert found.datapoints[-1]["average"] == values(world.ces, "keys", world.of(world.single))[-1]


def test_the_command_line_shows_figures(world: World) -> None:
    eventually(lambda: values(world.ces, "used_memory", world.of(world.single)))
    shown = world.installation.run("metric", "show", "measured-single", "used_memory", "-o", "json")
    assert shown.returncode == 0, shown.stderr
    assert '"average"' in shown.stdout
    address = world.objects(world.ha)["dcs_cluster_redis_node"][0]["name"].rpartition(")")[2]
    listed = world.installation.run("metric", "list", "measured-ha", "--node", address)
    assert "client_biggest_in_buf" in listed.stdout, listed.stderr
    assert "command_max_rt" not in listed.stdout
    unknown = world.installation.run("metric", "list", "measured-ha", "--node", "127.0.0.99")
    assert (unknown.returncode, unknown.stdout) == (1, "")


def test_every_route_asks_for_a_role(world: World) -> None:
    asked = {route.path: access_of(route) for route in router.routes}
    assert {one.rpartition("/")[2] for one in asked} == {"metrics", "metric-data", "batch-query-metric-data"}
    assert set(asked.values()) == {"dcs:instance:list", "dcs:instance:get"}


def test_a_lost_master_behind_proxies_breaks_no_series(world: World) -> None:
    here = world.of(world.proxied)
    with client_of(world.proxied) as client:
        for number in range(3000):
            client.set(f"key-{number % 300}", "x" * 100)
        eventually(lambda: values(world.ces, "keys", here)[-1] == 300)
        [lost, *_] = [one for one in world.objects(world.proxied)[NODE] if one["name"].startswith("(master)")]
        begun = now()
        pids = world.installation.node_pids(world.proxied["instance_id"])
        os.kill(pids[lost["name"].removeprefix("(master)")], signal.SIGKILL)

        def healed() -> bool:
            nodes = world.objects(world.proxied)[NODE]
            [found] = [one for one in nodes if one[NODE] == lost[NODE]]
            return found["name"].startswith("(replica)") and {one["status"] for one in nodes} == {"RUNNING"}

        eventually(healed)
        done = now()
        eventually(lambda: client.set("key-0", "after all"))
    eventually(lambda: course(world.ces, "keys", here)[-1].timestamp > done)
    eventually(lambda: values(world.ces, "keys", here)[-1] == 300)
    for metric in ("set", "keyspace_misses", "total_connections_received", "used_memory", "command_max_delay"):
        found = [point.average for point in course(world.ces, metric, here, _from=begun)]
        assert found
        assert all(0 <= one < 10**8 for one in found), (metric, found)
    assert max(point.average for point in course(world.ces, "set", here, _from=begun)) < 3000


def test_a_failover_and_a_restart_break_no_series(world: World) -> None:
    instance, here = world.ha["instance_id"], world.of(world.ha)
    wanted = ("keys", "used_memory", "set", "keyspace_misses", "total_connections_received", "cpu_usage")
    with client_of(world.ha) as client:
        for number in range(5000):
            client.set(f"key-{number % 60}", "x" * 100)
    [master] = [
        one for one in world.objects(world.ha)["dcs_cluster_redis_node"] if one["name"].startswith("(master)")
    ]
    begun = now()
    os.kill(world.installation.node_pids(instance)[master["name"].removeprefix("(master)")], signal.SIGKILL)

    def exchanged() -> bool:
        nodes = world.objects(world.ha)["dcs_cluster_redis_node"]
        return [one["name"][:7] for one in nodes if one[NODE] == master[NODE]] == ["(replic"] and all(
            one["status"] == "RUNNING" for one in nodes
        )

    eventually(exchanged)
    with world.installation.http() as api:
        asked = api.put("/instances/status", json={"action": "restart", "instances": [instance]})
        assert asked.json()["results"][0]["result"] == "success"
    world.installation.wait(instance)

    def written() -> bool:
        with client_of(world.ha) as client:
            return bool(client.set("after", "all"))

    eventually(written)
    done = now()
    eventually(lambda: course(world.ces, "keys", here)[-1].timestamp > done)
    eventually(lambda: values(world.ces, "keys", here)[-1] == 61)
    for metric in wanted:
        for dimensions in ((here,), *((here, f"{NODE},{one[NODE]}") for one in world.objects(world.ha)[NODE])):
            points = course(world.ces, metric, *dimensions, _from=begun)
            assert all(0 <= point.average < 10**8 for point in points), (metric, dimensions, points)
            assert len(points) >= 2 or metric == "keyspace_misses"
    rates = [point.average for point in course(world.ces, "set", here, _from=begun)]
    assert max(rates) < 20_000, "no counter of another process was taken for this one's"


def test_a_node_that_does_not_answer_has_no_points_and_an_instance_says_so(world: World) -> None:
    instance, here = world.single["instance_id"], world.of(world.single)
    [pid] = world.installation.node_pids(instance).values()
    os.kill(pid, signal.SIGSTOP)
    try:
        stopped = now()
        eventually(lambda: values(world.ces, "node_status", here)[-1] == 1)
        silent = [point.timestamp for point in course(world.ces, "keys", here, _from=stopped + 1000)]
        assert silent == []
    finally:
        os.kill(pid, signal.SIGCONT)
    eventually(lambda: values(world.ces, "node_status", here)[-1] == 0)
    eventually(lambda: course(world.ces, "keys", here, _from=stopped + 1000))


def test_series_go_on_after_a_restart_of_the_service(world: World) -> None:
    here = world.of(world.single)
    eventually(lambda: values(world.ces, "keys", here))
    before = values(world.ces, "keyspace_misses", here)
    world.installation.kill()
    killed = now()
    with client_of(world.single) as client:
        for _ in range(20):
            client.get("nothing")
    world.installation.start()
    eventually(lambda: len(course(world.ces, "keyspace_misses", here, _from=killed)) >= 2)
    assert values(world.ces, "keyspace_misses", here)[: len(before)] == before
    assert sum(values(world.ces, "keyspace_misses", here, _from=killed)) <= 20


def test_figures_of_a_deleted_instance_can_still_be_read_and_it_is_listed_no_more(world: World) -> None:
    made = world.installation.create("measured-briefly")
    here = world.of(made)
    eventually(lambda: values(world.ces, "keys", here))
    with world.installation.http() as api:
        api.delete(f"/instances/{made['instance_id']}")
    world.installation.wait_gone(made["instance_id"])
    assert values(world.ces, "keys", here)
    assert list_all(world.ces, dim_0=here) == []
    with pytest.raises(RedisError), client_of(made, socket_timeout=1) as client:
        client.ping()
