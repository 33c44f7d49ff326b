"""`metric …`: what is asked of the service, and how it is shown."""

from urllib.parse import parse_qs

import pytest
from stand_in import ID, PROJECT, RUNNING

NODE = "n" * 32
OBJECTS = {
    "dcs_cluster_redis_node": [{"name": "(master)127.64.0.11", "dcs_cluster_redis_node": NODE}],
    "dcs_cluster_proxy2_node": [{"name": "(proxy)127.64.0.12", "dcs_cluster_proxy2_node": "p" * 32}],
}
METRICS, DATA = f"/V1.0/{PROJECT}/metrics", f"/V1.0/{PROJECT}/metric-data"


def metric(name, *more):
    own = [{"name": "dcs_instance_id", "value": ID}, *more]
    return {"namespace": "SYS.DCS", "metric_name": name, "unit": "%", "dimensions": own}


@pytest.fixture
def measured(service):
    service.answers["GET", f"/instances/{ID}"] = (200, RUNNING)
    service.answers["GET", f"/dims/monitored-objects/{ID}"] = (200, OBJECTS)
    node = metric("keys", {"name": "dcs_cluster_redis_node", "value": NODE})
    pages = [
        {"metrics": [metric("cpu_usage")], "meta_data": {"count": 1, "marker": "after-this", "total": 2}},
        {"metrics": [node], "meta_data": {"count": 1, "marker": "the-end", "total": 2}},
    ]
    service.answers["GET", METRICS] = [(200, page) for page in pages]
    points = [{"max": 7.5, "timestamp": 1_700_000_000_000, "unit": "%"}]
    service.answers["GET", DATA] = (200, {"datapoints": points, "metric_name": "cpu_usage"})
    return service


def asked(service, path):
    return [parse_qs(query) for _, at, query, *_ in service.requests if at == path]


def test_metrics_of_the_instance_are_listed_from_all_pages(run, measured):
    result = run("metric", "list", ID)

    assert result.exit_code == 0
    assert result.stdout.split() == ["METRIC", "UNIT", "cpu_usage", "%"]
    first, second = asked(measured, METRICS)
    assert first["dim.0"] == second["dim.0"] == [f"dcs_instance_id,{ID}"]
    assert ("start" in first, second["start"]) == (False, ["after-this"])


@pytest.mark.parametrize("node", [NODE, "127.64.0.11"], ids=["by id", "by address"])
def test_metrics_of_a_node_are_listed(run, measured, node):
    result = run("metric", "list", ID, "--node", node)

    assert "keys" in result.stdout
    assert "cpu_usage" not in result.stdout
    assert asked(measured, METRICS)[0]["dim.1"] == [f"dcs_cluster_redis_node,{NODE}"]


def test_a_proxy_has_a_dimension_of_its_own(run, measured):
    run("metric", "show", ID, "cpu_usage", "--node", "127.64.0.12")

    assert asked(measured, DATA)[0]["dim.1"] == [f"dcs_cluster_proxy2_node,{'p' * 32}"]


def test_a_node_that_there_is_not_is_said(run, measured):
    result = run("metric", "show", ID, "cpu_usage", "--node", "127.64.0.99")

    assert result.exit_code == 1
    assert "127.64.0.99" in result.stderr
    assert asked(measured, DATA) == []


def test_the_course_of_a_figure_is_shown_as_it_was_asked_for(run, measured):
    result = run("metric", "show", ID, "cpu_usage", "--period", "300", "--filter", "max", "--hours", "2")

    assert result.exit_code == 0
    assert result.stdout.split("\n")[0].split() == ["TIME", "MAX", "UNIT"]
    assert "7.5" in result.stdout
    [query] = asked(measured, DATA)
    assert (query["period"], query["filter"], query["metric_name"]) == (["300"], ["max"], ["cpu_usage"])
    assert int(query["to"][0]) - int(query["from"][0]) == 2 * 3_600_000


def test_a_refusal_of_cloud_eye_is_said(run, measured):
    refusal = {
        "code": 400,
        "element": "Bad Request",
        "message": "x",
        "error_code": "ces.0013",
        "error_msg": "period: no",
    }
    measured.answers["GET", DATA] = (400, refusal)

    result = run("metric", "show", ID, "cpu_usage")

    assert result.exit_code == 1
    assert "ces.0013: period: no" in result.stderr
