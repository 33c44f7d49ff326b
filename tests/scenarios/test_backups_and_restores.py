"""What was backed up comes back, key by key, into every type of instance."""

from __future__ import annotations

from typing import Any

import pytest
from archived import back_up, digest, fill, flush, masters_of, restore
from installation import CLUSTER, HA_3, PROXY, SPLIT, Installation
from witnesses import assert_nothing_is_left_over

SIZES: dict[str, dict[str, Any]] = {
    HA_3: {"capacity": 1},
    SPLIT: {"capacity": 1},
    CLUSTER: {"capacity": 4},
    PROXY: {"capacity": 4},
}


@pytest.fixture
def keys(pytestconfig: pytest.Config) -> int:
    """Fewer on the second database, to which keys make no difference."""
    return 2_000_000 if pytestconfig.getoption("--database") == "sqlite" else 20_000


@pytest.mark.parametrize("flavor", SIZES)
def test_two_million_keys_come_back_as_they_were(installation: Installation, flavor: str, keys: int):
    instance = installation.create("kept", flavor, **SIZES[flavor])
    fill(installation, instance, keys)
    before = digest(installation, instance)
    backup = back_up(installation, instance, backup_format="rdb")
    flush(installation, instance)
    restored = restore(installation, instance, backup)
    assert restored["status"] == "succeed", restored
    assert digest(installation, instance) == before
    for master in masters_of(installation, instance):
        assert master.execute_command("FUNCTION", "LIST")
    assert_nothing_is_left_over(installation)
    with installation.http() as api:
        api.delete(f"/instances/{instance['instance_id']}")
    installation.wait_gone(instance["instance_id"])
