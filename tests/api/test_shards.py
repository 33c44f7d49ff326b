"""Chapter 4.3 over real nodes: what the API says of a shard is what its engines are."""

from __future__ import annotations

import os
import signal
from typing import Any

from installation import HA, Installation, eventually


def test_groups_follow_a_failover(installation: Installation) -> None:
    instance = installation.create("shards-ha", HA)
    with installation.http() as api:

        def replicas() -> list[dict[str, Any]]:
            groups = api.get(f"/instance/{instance['instance_id']}/groups").json()["group_list"]
            return list(groups[0]["replication_list"])

        before = replicas()
        os.kill(installation.node_pids(instance["instance_id"])[before[0]["replication_ip"]], signal.SIGKILL)

        def exchanged() -> list[dict[str, Any]] | None:
            now = replicas()
            taken = now[0]["node_id"] == before[1]["node_id"] and {one["status"] for one in now} == {"Active"}
            return now if taken else None

        after = eventually(exchanged)
    assert [one["replication_role"] for one in after] == ["master", "slave"]
    assert [one["az_code"] for one in after] == [one["az_code"] for one in reversed(before)]
    assert [one["replication_id"] for one in after] == [one["replication_id"] for one in reversed(before)]
