"""Terraform's tags of an instance, its data source of clients, and its resource that ends all sessions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from go_client import GoClient, Json
from installation import HA, Installation, client_of, eventually


@pytest.fixture(scope="module")
def terraform(installation: Installation) -> GoClient:
    return GoClient(installation)


@pytest.fixture(scope="module")
def instance(installation: Installation) -> Json:
    return installation.create(
        "terraformed", HA, tags=[{"key": "owner", "value": "me"}, {"key": "old", "value": "1"}]
    )


@pytest.fixture
def clients(instance: Json) -> Iterator[None]:
    """A dozen, more than a page."""
    with ExitStack() as stack:
        for number in range(12):
            name = f"client-{number:02}"
            stack.enter_context(client_of(instance, single_connection_client=True, client_name=name)).ping()
        yield


def test_changed_tags_are_all_removed_and_all_made(terraform: GoClient, instance: Json) -> None:
    path = f"/v2/{{}}/dcs/{instance['instance_id']}/tags/action"
    old = [{"key": "owner", "value": "me"}, {"key": "old", "value": "1"}]
    terraform.ask("POST", path, {"action": "delete", "tags": old}, ok={200, 204})
    # A value that is empty is left out.
    new = [{"key": "owner", "value": "you"}, {"key": "flag"}]
    terraform.ask("POST", path, {"action": "create", "tags": new}, ok={200, 204})
    tags = terraform.wait_running(instance["instance_id"])["tags"]
    assert {one["key"]: one["value"] for one in tags} == {"owner": "you", "flag": ""}


@pytest.mark.usefixtures("clients")
def test_the_data_source_of_clients_needs_nothing_before(terraform: GoClient, instance: Json) -> None:
    nodes = terraform.ask("GET", f"/v2/{{}}/instances/{instance['instance_id']}/logical-nodes")["nodes"]
    master = next(
        one["node_id"] for one in nodes if one["node_role"] == "redis-server" and one["node_type"] == "master"
    )
    path = f"/v2/{{}}/instances/{instance['instance_id']}/clients?node_id={master}&sort=name&order=desc"
    listed = [one for page in terraform.pages(path, 10) for one in page]
    assert [one["name"] for one in listed] == [f"client-{number:02}" for number in reversed(range(12))]
    texts, numbers = ("id", "addr", "fd", "db", "flags", "peer"), ("age", "idle", "multi", "qbuf_free", "omem")
    assert all(isinstance(one[name], str) for one in listed for name in texts)
    assert all(isinstance(one[name], int) for one in listed for name in numbers)


@pytest.mark.usefixtures("clients")
def test_the_resource_that_ends_all_sessions_follows_its_job(terraform: GoClient, instance: Json) -> None:
    path = f"/v2/{{}}/instances/{instance['instance_id']}/clients/kill-all"
    job = terraform.ask("POST", path, {"kill_all_nodes": True})["job_id"]
    eventually(lambda: terraform.ask("GET", f"/v2/{{}}/jobs/{job}")["status"] == "SUCCESS")
    with client_of(instance) as client:
        assert [one for one in client.client_list() if one["name"].startswith("client-")] == []
