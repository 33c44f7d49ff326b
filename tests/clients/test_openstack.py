"""OpenStack's own clients against the DCS API: what they find in the catalogue, and V2 through their sessions."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import openstack
import pytest
from installation import SINGLE, Installation, client_of, eventually
from keystoneauth1 import adapter, session
from keystoneauth1.identity import v3

from cachestead.cli.env import client_variables


@pytest.fixture(scope="module")
def dcs(installation: Installation) -> adapter.Adapter:
    """keystoneauth at the V2 address, found as the OTC provider finds it: the catalogue's V1.0 address rewritten."""
    env = installation.env
    login = v3.Password(
        f"{env['iam_endpoint']}/v3",
        username=env["user"],
        password=env["password"],
        user_domain_name=env["domain"],
        project_name=env["region"],
        project_domain_name=env["domain"],
    )
    found = session.Session(login)
    addresses = {
        kind: found.get_endpoint(service_type=kind, interface="public", region_name=env["region"])
        for kind in ("dcs", "dcsv1")
    }
    assert set(addresses.values()) == {f"{installation.endpoint}/v1.0/{env['project_id']}"}
    return adapter.Adapter(found, endpoint_override=addresses["dcsv1"].replace("v1.0", "v2"))


def test_an_instance_is_made_and_removed_through_a_keystone_session(
    dcs: adapter.Adapter, installation: Installation
) -> None:
    made = dcs.post("/instances", json=installation.order("keystoned", SINGLE)).json()["instances"][0]
    instance = installation.wait(made["instance_id"])
    with client_of(instance) as client:
        assert client.set("key", "value")
    listed = dcs.get("/instances", params={"name": "keystoned"}).json()
    assert [one["instance_id"] for one in listed["instances"]] == [made["instance_id"]]
    assert dcs.delete(f"/instances/{made['instance_id']}").status_code == 204
    eventually(lambda: dcs.get(f"/instances/{made['instance_id']}", raise_exc=False).status_code == 404)


def test_tags_and_sessions_through_a_keystone_session(dcs: adapter.Adapter, installation: Installation) -> None:
    instance = installation.create("keystone-tagged")
    one = instance["instance_id"]
    tags = [{"key": "team", "value": "blue"}]
    assert dcs.post(f"/dcs/{one}/tags/action", json={"action": "create", "tags": tags}).status_code == 204
    assert dcs.get(f"/instances/{one}/tags").json() == {"tags": tags}
    assert {"key": "team", "values": ["blue"]} in dcs.get("/dcs/tags").json()["tags"]
    node = dcs.get(f"/instances/{one}/logical-nodes").json()["nodes"][0]["node_id"]
    with client_of(instance, single_connection_client=True, client_name="openstacked") as client:
        client.ping()
        [found] = dcs.get(f"/instances/{one}/clients", params={"node_id": node}).json()["clients"]
        assert found["name"] == "openstacked"
        body = {"node_id": node, "client_addrs": [found["peer"]]}
        assert dcs.post(f"/instances/{one}/clients/kill", json=body).status_code == 204
    dcs.delete(f"/instances/{one}")


def test_an_openstacksdk_connection_reaches_v2(installation: Installation) -> None:
    env = installation.env
    connection = openstack.connection.Connection(
        auth={
            "auth_url": f"{env['iam_endpoint']}/v3",
            "username": env["user"],
            "password": env["password"],
            "user_domain_name": env["domain"],
            "project_id": env["project_id"],
        },
        region_name=env["region"],
    )
    answer = connection.session.get(f"{installation.endpoint}/v2/{connection.current_project_id}/quota")
    assert {one["type"] for one in answer.json()["quotas"]["resources"]} == {"instance", "ram"}


def test_the_openstack_command_logs_in_with_what_env_prints(installation: Installation, tmp_path: Path) -> None:
    command = shutil.which("openstack", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if command is None:
        pytest.skip("python-openstackclient is not installed")
    variables = {
        name: value for name, value in client_variables(installation.env).items() if name.startswith("OS_")
    }
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)} | variables

    def run(*words: str) -> str:
        done = subprocess.run(
            [command, *words], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    issued = json.loads(run("token", "issue", "-f", "json"))
    assert issued["project_id"] == installation.env["project_id"]
    assert issued["id"]
    assert {"dcs", "dcsv1"} <= {one["Type"] for one in json.loads(run("catalog", "list", "-f", "json"))}
