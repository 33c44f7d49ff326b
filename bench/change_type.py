"""Changes of type: every type becomes every other; how long, how long nothing could be written, what was lost."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests/scenarios"))

from crashes import settled
from installation import Installation, client_of
from ledger import to_address, writing

from cachestead.engine.catalogue import find_engines
from cachestead.settings import EngineSettings

HA, SPLIT, PROXY = "ha", "ha_rw_split", "proxy"
FLAVORS = {
    HA: ("redis.ha.xu1.large.r2.1", 1),
    SPLIT: ("redis.ha.xu1.large.p2.1", 1),
    PROXY: ("redis.proxy.xu1.large.4", 4),
}
EVERY_PAIR = (SPLIT, PROXY, HA, PROXY, SPLIT, HA)
BATCH = 10_000


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--keys", type=int, default=200_000, help="filled in beforehand, of 100 bytes")
    options.add_argument("--engine", default="redis", help="'redis' or 'valkey'")
    chosen = options.parse_args()
    engine = next(one for one in find_engines(EngineSettings()).engines if one.product == chosen.engine)
    settings = {
        "CAPACITY__MEMORY_MB": str(1024 * 1024),
        "ENGINE__BINARIES": json.dumps([str(engine.path)]),
        "ENGINE__SEARCH_PATH": "false",
    }
    with tempfile.TemporaryDirectory() as folder:
        installation = Installation(Path(folder) / "data", settings=settings)
        try:
            print(f"{engine}, {chosen.keys} keys", flush=True)
            measure(installation.start(), chosen.keys)
        finally:
            installation.remove()


def measure(installation: Installation, keys: int) -> None:
    flavor, gb = FLAVORS[HA]
    instance = installation.create("measured", flavor, capacity=gb, engine_version="6.0")
    with client_of(instance) as client:
        for first in range(0, keys, BATCH):
            client.mset({f"key-{number}": "x" * 100 for number in range(first, min(first + BATCH, keys))})
    before = HA
    for after in EVERY_PAIR:
        change(installation, instance, before, after)
        before = after


def change(installation: Installation, instance: dict[str, Any], before: str, after: str) -> None:
    flavor, gb = FLAVORS[after]
    body = {"spec_code": flavor, "new_capacity": gb, "change_type": "instanceType"}
    with writing(to_address(instance)) as ledger, installation.http() as api:
        ledger.longest, began = 0.0, time.monotonic()
        api.post(f"/instances/{instance['instance_id']}/resize", json=body).raise_for_status()
        now = settled(installation, instance["instance_id"])
        took = time.monotonic() - began
        assert now is not None
        assert now["cache_mode"] == after
        acknowledged = dict(ledger.acknowledged)
        while dict(ledger.acknowledged) == acknowledged:
            time.sleep(0.01)
    print(
        f"{before:>11} to {after:11} {took:6.2f} s, nothing written for {ledger.longest:5.2f} s, "
        f"lost {len(ledger.lost())} of {len(ledger.acknowledged)}",
        flush=True,
    )


if __name__ == "__main__":
    main()
