"""What every refusal must be like, and a look at everything that a refused call must leave as it was."""

from __future__ import annotations

from typing import Any

import httpx

_MOVING = {"used_memory", "updated_at"}


def check_refused(answer: httpx.Response, code: str, field: str | None = None, status: int = 400) -> None:
    """The documented code and status in the documented shape; the field, where one is to blame, by name."""
    assert (answer.status_code, answer.json().get("error_code")) == (status, code), answer.text
    check_shape(answer)
    if field is not None:
        assert field in answer.json()["error_ext_msg"], answer.text


def check_shape(answer: httpx.Response) -> None:
    """The error shape of the reference."""
    assert answer.headers["content-type"].startswith("application/json"), answer.text
    body = answer.json()
    assert (
        {"error_code", "error_msg", "error_ext_msg"}
        <= set(body)
        <= {
            "error_code",
            "error_msg",
            "error_ext_msg",
            "request_id",
        }
    ), body
    assert 0 < len(body["error_msg"]) <= 1024
    assert len(body["error_ext_msg"] or "") <= 1024
    assert len(answer.headers["x-request-id"]) == 32
    assert body.get("request_id", answer.headers["x-request-id"]) == answer.headers["x-request-id"]


def look(api: httpx.Client) -> dict[str, Any]:
    """Instances, quota and counts as the API has them now."""
    listed = api.get("/instances", params={"limit": 1000, "include_failure": "true"}).json()
    for one in listed["instances"]:
        for field in _MOVING:
            one.pop(field)
    return {
        "instances": listed,
        "quota": api.get("/quota").json(),
        "counts": api.get("/instances/status", params={"include_failure": "true"}).json(),
    }
