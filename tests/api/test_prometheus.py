"""`/metrics`: who may read it, what is there, and that a real Prometheus collects it and answers questions."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from installation import HA, PROXY, Installation, client_of, eventually, free_port
from monitored import SCRAPE_TOKEN, sampled_installation
from postgresql import NewDatabase
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

CONTRIB = Path(__file__).resolve().parents[2] / "contrib"
needs_prometheus = pytest.mark.skipif(not shutil.which("prometheus"), reason="Prometheus is not installed")


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase) -> Iterator[Installation]:
    """An installation with instances of which every metric has been seen."""
    with sampled_installation(tmp_path_factory.mktemp("scraped"), new_database) as installation:
        installation.create("scraped-single")
        installation.create("scraped-ha", HA)
        installation.create("scraped-proxied", PROXY, capacity=4)
        eventually(lambda: {"ms_repl_offset", "set"} <= {name for name, _, _ in nodes(installation)})
        yield installation


def scrape(installation: Installation, **headers: str) -> httpx.Response:
    told = {"Authorization": f"Bearer {SCRAPE_TOKEN}"} | headers
    return httpx.get(f"{installation.endpoint}/metrics", headers=told)


def samples(installation: Installation) -> list[tuple[str, dict[str, str], float]]:
    families = read_text(scrape(installation).text)
    return [(one.name, one.labels, one.value) for family in families for one in family.samples]


def nodes(installation: Installation) -> list[tuple[str, dict[str, str], float]]:
    """What is told of nodes, by the metric's own name."""
    prefix = "cachestead_node_"
    return [(name.removeprefix(prefix), *rest) for name, *rest in samples(installation) if name.startswith(prefix)]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "DCS.1003"),
        ({"Authorization": "Bearer"}, "DCS.1003"),
        ({"Authorization": f"Basic {SCRAPE_TOKEN}"}, "DCS.1003"),
        ({"Authorization": "Bearer nonsense"}, "DCS.1001"),
        ({"Authorization": f"Bearer {SCRAPE_TOKEN}x"}, "DCS.1001"),
    ],
    ids=["nothing", "no token", "another scheme", "another token", "a longer token"],
)
def test_only_who_has_the_token_may_read(sampled: Installation, headers: dict[str, str], code: str) -> None:
    answer = httpx.get(f"{sampled.endpoint}/metrics", headers=headers)
    assert (answer.status_code, answer.json()["error_code"]) == (401, code)
    assert "scraped" not in answer.text


def test_a_tenants_own_token_opens_nothing(sampled: Installation) -> None:
    with sampled.http() as api:
        assert api.get(f"{sampled.endpoint}/metrics").status_code == 401
        token = api.headers["X-Auth-Token"]
    answer = httpx.get(f"{sampled.endpoint}/metrics", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 401


def test_the_token_is_not_in_the_log(sampled: Installation) -> None:
    scrape(sampled)
    assert SCRAPE_TOKEN not in sampled.log()


def test_without_a_setting_there_is_a_token_that_stays(fresh_installation: Installation) -> None:
    fresh_installation.start()
    first = fresh_installation.run("env", "--format", "prometheus").stdout
    fresh_installation.stop()
    fresh_installation.start()
    assert fresh_installation.run("env", "--format", "prometheus").stdout == first
    [token] = re.findall(r'credentials: "(.+)"', first)
    assert len(token) >= 32
    answer = httpx.get(f"{fresh_installation.endpoint}/metrics", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    for form in ("shell", "dotenv", "json", "terraform"):
        assert token not in fresh_installation.run("env", "--format", form).stdout, (
            "tenants' variables do not open it"
        )
    for path in fresh_installation.folder.glob("cachestead.sqlite*"):
        assert token.encode() not in path.read_bytes()


def test_both_forms_of_text_are_spoken(sampled: Installation) -> None:
    plain = scrape(sampled)
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    open_form = scrape(sampled, Accept="application/openmetrics-text; version=1.0.0")
    assert open_form.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    told = {family.name for family in read_openmetrics(open_form.text)}
    assert {"cachestead_instance_keys", "cachestead_node_used_memory", "cachestead_proxy_cpu_usage"} <= told


def test_figures_carry_whose_they_are(sampled: Installation) -> None:
    found = samples(sampled)
    keys = {labels["instance_name"]: labels for name, labels, _ in found if name == "cachestead_instance_keys"}
    assert keys.keys() == {"scraped-single", "scraped-ha", "scraped-proxied"}
    assert keys["scraped-ha"]["project_id"] == sampled.env["project_id"]
    assert (keys["scraped-ha"]["domain"], keys["scraped-ha"]["project"]) == (sampled.env["domain"], "local-1")
    roles = [labels["role"] for name, labels, _ in found if name == "cachestead_node_keys"]
    assert (roles.count("master"), roles.count("slave")) == (1 + 3, 1 + 3)
    assert sum(name == "cachestead_proxy_connected_clients" for name, _, _ in found) == 3


def test_the_service_tells_of_itself(sampled: Installation) -> None:
    found = {(name, labels.get("reconciler")): value for name, labels, value in samples(sampled)}
    assert found["process_resident_memory_bytes", None] > 10_000_000
    assert found["process_cpu_seconds_total", None] > 0
    assert found["cachestead_reconciler_passes_total", "sampler"] > 0
    assert found["cachestead_reconciler_failures_total", "sampler"] == 0


def expressions() -> Iterator[str]:
    """Every question of the dashboard and of the alarms."""
    dashboard = json.loads((CONTRIB / "grafana" / "cachestead.json").read_text())
    for panel in dashboard["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]
    yield from re.findall(r"expr: (.+)", (CONTRIB / "prometheus" / "alarms.yml").read_text())


def test_the_dashboard_and_the_alarms_ask_for_what_there_is(sampled: Installation) -> None:
    asked = {name for one in expressions() for name in re.findall(r"\b(?:cachestead|process)_\w+", one)}
    assert len(asked) >= 50
    assert asked <= {name for name, _, _ in samples(sampled)}


class Prometheus:
    """A server of one's own, with the configuration that the project ships."""

    def __init__(self, folder: Path, installation: Installation) -> None:
        self.port = free_port()
        told = (CONTRIB / "prometheus" / "prometheus.yml").read_text()
        changes = {"127.0.0.1:8635": f"127.0.0.1:{installation.port}", "interval: 30s": "interval: 1s"}
        for before, after in changes.items():
            assert before in told
            told = told.replace(before, after)
        (folder / "prometheus.yml").write_text(told)
        shutil.copy(CONTRIB / "prometheus" / "alarms.yml", folder)
        (folder / "cachestead.token").write_text(SCRAPE_TOKEN)
        command = [
            "prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]  # fmt: skip
        with (folder / "prometheus.log").open("wb") as log:
            self.process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)

    def ask(self, path: str, **query: str) -> Any:
        answer = httpx.get(f"http://127.0.0.1:{self.port}/api/v1/{path}", params=query)
        assert answer.json()["status"] == "success", answer.text
        return answer.json()["data"]

    def values(self, question: str) -> dict[str, float]:
        """Values by name of instance."""
        found = self.ask("query", query=question)["result"]
        return {one["metric"].get("instance_name", ""): float(one["value"][1]) for one in found}

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture
def prometheus(tmp_path: Path, sampled: Installation) -> Iterator[Prometheus]:
    server = Prometheus(tmp_path, sampled)
    try:
        yield server
    finally:
        server.close()


@needs_prometheus
def test_prometheus_collects_and_answers(sampled: Installation, prometheus: Prometheus) -> None:
    with sampled.http() as api:
        [listed] = api.get("/instances", params={"name": "scraped-ha"}).json()["instances"]
    with client_of(listed) as client:
        for number in range(250):
            client.set(f"key-{number}", "value")
    eventually(lambda: prometheus.values("cachestead_instance_keys")["scraped-ha"] == 250)
    both = 'sum by (instance_name) (cachestead_node_keys{instance_name="scraped-ha"})'
    eventually(lambda: prometheus.values(both) == {"scraped-ha": 500})
    [target] = prometheus.ask("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
    for question in expressions():
        plain = question.replace("$__rate_interval", "1m").replace("$instance", ".*").replace("$domain", ".*")
        if not plain.startswith("label_values"):
            prometheus.ask("query", query=plain)
    rules = {rule["name"]: rule["health"] for rule in eventually(lambda: _evaluated(prometheus))}
    assert set(rules.values()) == {"ok"}


def _evaluated(prometheus: Prometheus) -> list[dict[str, Any]] | None:
    [group] = prometheus.ask("rules")["groups"]
    known = {rule["health"] for rule in group["rules"]}
    return list(group["rules"]) if "unknown" not in known else None


@needs_prometheus
def test_the_printed_job_is_one_for_prometheus(sampled: Installation, tmp_path: Path) -> None:
    printed = sampled.run("env", "--format", "prometheus").stdout
    (tmp_path / "prometheus.yml").write_text("scrape_configs:\n" + printed)
    checked = subprocess.run(
        ["promtool", "check", "config", str(tmp_path / "prometheus.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr


def test_an_instance_that_is_gone_is_told_of_no_more(sampled: Installation) -> None:
    made = sampled.create("scraped-briefly")

    def told() -> bool:
        return any(labels.get("instance_name") == "scraped-briefly" for _, labels, _ in samples(sampled))

    assert eventually(told)
    with sampled.http() as api:
        api.delete(f"/instances/{made['instance_id']}")
    sampled.wait_gone(made["instance_id"])
    assert not told()
