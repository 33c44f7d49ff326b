"""An instance as a value, for tests that need one on record, or none at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from cachestead.domain.instances import Instance, Mode, State

NOW = datetime(2025, 5, 1, tzinfo=UTC)
INSTANCE_ID = "1b671a64-40d5-491e-99b0-da01ff1f3341"
PROJECT_ID = "p" * 32
_EXAMPLE = Instance(
    id=INSTANCE_ID,
    project_id=PROJECT_ID,
    name="example",
    state=State.RUNNING,
    engine="Redis",
    engine_version="7.0",
    spec_code="redis.single.xu1.tiny.128",
    mode=Mode.SINGLE,
    capacity_gb=0.125,
    cpu_type="x86_64",
    vpc_id="v",
    subnet_id="s",
    security_group_id=None,
    ip="127.64.0.9",
    port=6379,
    az_codes=("az1",),
    no_password_access=False,
    maintain_begin="18:00:00",
    maintain_end="19:00:00",
    created_at=NOW,
    updated_at=NOW,
    user_id="u",
    user_name="U",
)


def instance_like(**changes: Any) -> Instance:
    """A running single-node instance without nodes, but for what is said."""
    return replace(_EXAMPLE, **changes)
