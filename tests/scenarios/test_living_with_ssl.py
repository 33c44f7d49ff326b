"""Everything that happens to an instance happens to one with SSL, and clients that come by TLS notice no difference.

Certificates are so short-lived here that all of them are renewed all the time.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from crashes import ANSWERED, Crash, settled
from installation import CLUSTER, HA, PASSWORD, SINGLE, Installation, client_of, eventually
from postgresql import NewDatabase
from real_engines import ENGINES
from redis.cluster import RedisCluster
from redis.connection import SSLConnection as Tls
from witnesses import assert_nothing_is_left_over

ALWAYS_RENEWED = {
    "CERTIFICATES__DAYS": "1",
    "CERTIFICATES__RENEW_DAYS": "2",
    "CERTIFICATES__SECONDS": "0.2",
}
Instance = dict[str, Any]


BY = {"engine": {}, "front": {"ENGINE__SEARCH_PATH": "false"}}
"""Who speaks TLS, with the settings for it: the bundled engine was built without."""


@pytest.fixture(scope="module", params=BY)
def by(request: pytest.FixtureRequest) -> str:
    """Who speaks TLS."""
    if request.param == "engine" and not any(one.has_tls for one in ENGINES):
        pytest.skip("no engine here has TLS")
    return str(request.param)


@pytest.fixture(scope="module")
def installation(
    by: str, tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase
) -> Iterator[Installation]:
    made = Installation(tmp_path_factory.mktemp("living"), new_database(), settings=ALWAYS_RENEWED | BY[by])
    try:
        yield made.start()
    finally:
        made.remove()


@pytest.fixture(scope="module")
def api(installation: Installation) -> Iterator[httpx.Client]:
    with installation.http() as client:
        yield client


def switch(installation: Installation, api: httpx.Client, instance: Instance, *, enabled: bool) -> Instance:
    answer = api.put(f"/instances/{instance['instance_id']}/ssl", json={"enabled": enabled})
    assert answer.status_code == 200, answer.text
    shown = installation.wait(instance["instance_id"], seconds=60)
    assert shown["enable_ssl"] is enabled
    return shown


def trust(api: httpx.Client, instance: Instance) -> dict[str, Any]:
    """How redis-py comes by TLS and makes sure of whom it has reached."""
    link = api.post(f"/instances/{instance['instance_id']}/ssl-certs/download").json()["link"]
    with zipfile.ZipFile(io.BytesIO(httpx.get(link).content)) as archive:
        authority = archive.read("ca.crt").decode()
    return {"ssl": True, "ssl_ca_data": authority, "ssl_check_hostname": True}


def create(
    installation: Installation, api: httpx.Client, name: str, flavor: str, capacity: float, version: str = "7.0"
) -> Instance:
    made = installation.create(name, flavor, capacity=capacity, engine_version=version)
    return switch(installation, api, made, enabled=True)


def resize(installation: Installation, api: httpx.Client, instance: Instance, **body: Any) -> Instance:
    answer = api.post(f"/instances/{instance['instance_id']}/resize", json=body)
    assert answer.status_code == 204, answer.text
    shown = installation.wait(instance["instance_id"], seconds=120)
    assert shown["spec_code"] == body["spec_code"], shown["fail_reason"]
    return shown


def restart(installation: Installation, api: httpx.Client, instance: Instance) -> None:
    before = installation.node_pids(instance["instance_id"])
    api.put("/instances/status", json={"action": "restart", "instances": [instance["instance_id"]]})
    installation.wait(instance["instance_id"], seconds=60)
    after = installation.node_pids(instance["instance_id"])
    assert not {*before.values()} & {*after.values()}


def assert_well(api: httpx.Client, instance: Instance) -> None:
    """Every node shows a certificate that clients trust."""

    def look() -> bool:
        return bool(api.get(f"/instances/{instance['instance_id']}/ssl").json()["ssl_validated"])

    eventually(look)


def test_master_and_standby(installation: Installation, api: httpx.Client) -> None:
    instance = create(installation, api, "living-ha", HA, 0.125)
    path, how = f"/instances/{instance['instance_id']}", trust(api, instance)
    with client_of(instance, **how) as client:
        client.set("kept", "yes")
        backup = api.post(f"{path}/backups", json={"remark": "before"}).json()["backup_id"]
        installation.wait(instance["instance_id"])
        client.set("kept", "no")
        assert api.post(f"{path}/restores", json={"backup_id": backup}).status_code == 200
        installation.wait(instance["instance_id"], seconds=60)
        assert client.get("kept") == "yes"
        client.delete("kept")
        task = {
            "task_name": "ssl-import",
            "migration_type": "backupfile_import",
            "migration_method": "full_amount_migration",
            "backup_files": {"file_source": "backup_record", "backup_id": backup},
            "target_instance": {"id": instance["instance_id"], "password": PASSWORD},
        }
        assert api.post("/migration-task", json=task).status_code == 200
        eventually(lambda: client.get("kept") == "yes")
        installation.wait(instance["instance_id"], seconds=60)
        assert api.post(f"{path}/swap").status_code == 204
        assert client.set("swapped", "yes")
    resized = resize(installation, api, instance, spec_code="redis.ha.xu1.large.r2.1", new_capacity=1)
    three = {"spec_code": "redis.ha.xu1.large.r3.1", "new_capacity": 1, "change_type": "createReplication"}
    resized = resize(installation, api, resized, **three, available_zones=["local-1a"])
    restart(installation, api, instance)
    with client_of(resized, **how) as client:
        assert client.get("kept") == "yes"
    assert_well(api, resized)
    assert_nothing_is_left_over(installation)


def test_a_cluster_gets_more_shards(by: str, installation: Installation, api: httpx.Client) -> None:
    if by == "front":
        pytest.skip("a cluster has none")
    instance = create(installation, api, "living-cluster", CLUSTER, 4)
    how, keys = trust(api, instance), [f"key-{number}" for number in range(3000)]
    first = instance["ip"].split(",")[0]
    with RedisCluster(first, instance["port"], password=PASSWORD, **how) as client:
        for key in keys:
            client.set(key, key)
    wish = {"spec_code": "redis.cluster.xu1.large.r2.s1.4", "new_capacity": 4}
    grown = resize(installation, api, instance, **wish)
    assert len(grown["ip"].split(",")) == 8
    with RedisCluster(first, instance["port"], password=PASSWORD, **how) as client:
        assert len(client.get_primaries()) == 4
        assert [client.get(key).decode() for key in keys] == keys
    restart(installation, api, instance)
    assert_well(api, grown)
    back = switch(installation, api, grown, enabled=False)
    with RedisCluster(first, back["port"], password=PASSWORD) as client:
        assert [client.get(key).decode() for key in keys] == keys


def test_a_single_node_becomes_master_and_standby(installation: Installation, api: httpx.Client) -> None:
    instance = create(installation, api, "living-single", SINGLE, 0.125, "6.0")
    with client_of(instance, **trust(api, instance)) as client:
        client.set("kept", "yes")
        wish = {"spec_code": HA, "new_capacity": 0.125, "change_type": "instanceType"}
        changed = resize(installation, api, instance, **wish)
        assert client.get("kept") == "yes"
    assert_well(api, changed)
    refused = {"spec_code": "redis.proxy.xu1.large.4", "new_capacity": 4, "change_type": "instanceType"}
    answer = api.post(f"/instances/{instance['instance_id']}/resize", json=refused)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "DCS.4200"), answer.text


def test_certificates_are_renewed_under_clients_that_stay(installation: Installation, api: httpx.Client) -> None:
    instance = create(installation, api, "living-renewed", SINGLE, 0.125)
    how = trust(api, instance)
    with client_of(instance, single_connection_client=True, **how) as client:
        number = client.client_id()
        before = _shown(instance, how)
        eventually(lambda: _shown(instance, how) != before)
        assert client.client_id() == number
    assert_well(api, instance)


def _shown(instance: Instance, how: dict[str, Any]) -> bytes:
    authority = {name: value for name, value in how.items() if name != "ssl"}
    connection = Tls(host=instance["ip"], port=instance["port"], **authority)
    wrapped = connection._connect()
    try:
        return bytes(wrapped.getpeercert(binary_form=True))
    finally:
        wrapped.close()


@pytest.mark.parametrize("moment", [ANSWERED, "stop_nodes", "save_switch", "start_nodes", "verify"])
@pytest.mark.parametrize("enabled", [True, False], ids=["on", "off"])
def test_the_switch_is_thrown_although_the_service_is_killed(
    installation: Installation, *, enabled: bool, moment: str
) -> None:
    with installation.http() as api:
        found = api.get("/instances", params={"name": "living-crash"}).json()["instances"]
        instance = found[0] if found else installation.create("living-crash", HA)
        if instance["enable_ssl"] is enabled:
            switch(installation, api, instance, enabled=not enabled)
    path = f"/instances/{instance['instance_id']}/ssl"
    Crash(installation).during(lambda one: one.put(path, json={"enabled": enabled}), moment)
    after = settled(installation, instance["instance_id"])
    assert after is not None
    assert (after["status"], after["enable_ssl"]) == ("RUNNING", enabled)
    with installation.http() as api:
        how = trust(api, after) if enabled else {}
    with client_of(after, **how) as client:
        assert client.set("served", "yes")
    assert_nothing_is_left_over(installation)
