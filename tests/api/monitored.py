"""An installation that samples every second, and ways to ask it for figures."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from huaweicloudsdkces.v1 import CesClient, ShowMetricDataRequest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from installation import Installation
from postgresql import NewDatabase

SCRAPE_TOKEN = "a-token-for-prometheus"
OTHER = {
    "domain": "other-company",
    "user": "boss",
    "password": "Other-password-1",
    "access_key": "OTHERACCESSKEY",
    "secret_key": "other-secret-key-of-some-length",
}
INSTANCE, NODE, PROXY = "dcs_instance_id", "dcs_cluster_redis_node", "dcs_cluster_proxy2_node"


@contextmanager
def sampled_installation(folder: Path, new_database: NewDatabase) -> Iterator[Installation]:
    """It runs, with a second tenant."""
    fields = ",".join(f'"{name}": "{value}"' for name, value in OTHER.items())
    settings = {
        "MONITORING__INTERVAL_SECONDS": "1",
        "MONITORING__TOKEN": SCRAPE_TOKEN,
        "TENANTS": f"[{{{fields}}}]",
    }
    made = Installation(folder, new_database(), settings)
    try:
        yield made.start()
    finally:
        made.remove()


def other_tenant(installation: Installation) -> dict[str, str]:
    """Keys and project of the second tenant."""
    user = {"name": OTHER["user"], "password": OTHER["password"], "domain": {"name": OTHER["domain"]}}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}
    answer = httpx.post(f"{installation.endpoint}/v3/auth/tokens", json=body)
    return OTHER | {
        "project_id": answer.json()["token"]["project"]["id"],
        "token": answer.headers["X-Subject-Token"],
    }


def cloud_eye(installation: Installation, tenant: dict[str, str] | None = None) -> CesClient:
    """The vendor's client with AK/SK."""
    env = tenant or installation.env
    credentials = BasicCredentials(env["access_key"], env["secret_key"], env["project_id"])
    return CesClient.new_builder().with_credentials(credentials).with_endpoint(installation.endpoint).build()


def now() -> int:
    """The time as Cloud Eye has it."""
    return round(time.time() * 1000)


def course(client: CesClient, metric: str, *dimensions: str, **more: Any) -> list[Any]:
    """The points of one figure, in the last hours."""
    wanted = {f"dim_{number}": text for number, text in enumerate(dimensions)}
    span = {"_from": now() - 3_600_000, "to": now() + 1000, "period": 1, "filter": "average"} | more
    request = ShowMetricDataRequest(namespace="SYS.DCS", metric_name=metric, **wanted, **span)
    return list(client.show_metric_data(request).datapoints)


def values(client: CesClient, metric: str, *dimensions: str, **more: Any) -> list[float]:
    """The same without times."""
    return [point.average for point in course(client, metric, *dimensions, **more)]
