"""Changes of an instance's specification, seen to their end."""

from __future__ import annotations

from typing import Any

import httpx
from crashes import settled
from installation import Installation, eventually
from witnesses import agreed, assert_nothing_is_left_over


def resize(api: httpx.Client, instance: dict[str, Any], spec_code: str, gb: float, **wish: Any) -> httpx.Response:
    body = {"spec_code": spec_code, "new_capacity": gb, **wish}
    return api.post(f"/instances/{instance['instance_id']}/resize", json=body)


def resized(installation: Installation, instance: dict[str, Any], spec_code: str, gb: float, **wish: Any) -> None:
    """The instance has the flavor and the nodes that go with it, and every view of it says the same."""
    with installation.http() as api:
        answer = resize(api, instance, spec_code, gb, **wish)
        assert answer.status_code == 204, answer.text
    now = settled(installation, instance["instance_id"])
    assert now is not None
    assert now["spec_code"] == spec_code, last_task(installation, instance)
    eventually(lambda: agreed(installation, now))
    assert_nothing_is_left_over(installation)


def last_task(installation: Installation, instance: dict[str, Any]) -> dict[str, Any]:
    """The newest background task, with the reason if it failed."""
    with installation.http() as api:
        task = api.get(f"/instances/{instance['instance_id']}/tasks").json()["tasks"][0]
        return {**task, **api.get(f"/jobs/{task['job_id']}").json()}
