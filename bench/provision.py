"""Provisioning: from POST to RUNNING for one instance and for a hundred; beside it, the bare server's start."""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import httpx
import redis

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from installation import CLUSTER, HA, SINGLE, Installation, eventually

from cachestead.engine.catalogue import find_engines
from cachestead.settings import EngineSettings

AT_ONCE = 8
"""Bare servers started at the same time: as many as the service runs jobs."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=10, help="instances of each kind, one after another")
    options.add_argument("--batch", type=int, default=100, help="instances in one request")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        installation = Installation(Path(folder) / "data")
        try:
            with installation.start().http() as api:
                single = [provision(installation, api, SINGLE) for _ in range(chosen.runs)]
                standby = [provision(installation, api, HA) for _ in range(chosen.runs)]
                cluster = [provision(installation, api, CLUSTER, capacity=4) for _ in range(chosen.runs)]
                batch = provision(installation, api, SINGLE, chosen.batch)
        finally:
            installation.remove()
        bare, bare_batch = (
            start_bare(Path(folder), chosen.runs, 1),
            start_bare(Path(folder), chosen.batch, AT_ONCE),
        )
    print(f"{'seconds':34} {'runs':>5} {'median':>8} {'max':>8} {'bare start':>11}")
    one = statistics.median(bare)
    kinds = {"single": single, "master/standby": standby, "cluster 3x2": cluster}
    for name, seconds in (kinds | {"bare valkey-server to PING": bare}).items():
        median = statistics.median(seconds)
        print(f"{name:34} {len(seconds):5} {median:8.3f} {max(seconds):8.3f} {median / one:10.1f}x")
    total = sum(bare_batch)
    print(f"{f'{chosen.batch} singles in one request':34} {1:5} {batch:8.2f} {batch:8.2f} {batch / total:10.1f}x")
    print(f"{f'{chosen.batch} bare servers, {AT_ONCE} at once':34} {1:5} {total:8.2f} {total:8.2f} {1:10.1f}x")


def provision(
    installation: Installation, api: httpx.Client, flavor: str, count: int = 1, capacity: float = 0.125
) -> float:
    """Seconds from the POST until all are RUNNING; they are removed afterwards."""
    order = installation.order("measured", flavor, instance_num=count, capacity=capacity)
    began = time.perf_counter()
    answer = api.post("/instances", json=order).raise_for_status().json()
    ids = [one["instance_id"] for one in answer["instances"]]
    if count == 1:
        eventually(lambda: api.get(f"/instances/{ids[0]}").json()["status"] == "RUNNING")
    else:
        eventually(lambda: api.get("/instances/status").json()["running_count"] == count, 300)
    seconds = time.perf_counter() - began
    for some in (ids[start : start + 50] for start in range(0, count, 50)):
        api.request("DELETE", "/instances", json={"instances": some}).raise_for_status()
    eventually(lambda: api.get("/instances").json()["instance_num"] == 0, 120)
    return seconds


def start_bare(folder: Path, count: int, at_once: int) -> Sequence[float]:
    """Seconds until each server answered; for many at once, the whole as the only figure."""
    engine = str(find_engines(EngineSettings()).newest().path)
    began = time.perf_counter()
    with contextlib.ExitStack() as stack, concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        each = list(pool.map(lambda n: _start_one(stack, engine, folder, n), range(count)))
        return each if at_once == 1 else [time.perf_counter() - began]


def _start_one(stack: contextlib.ExitStack, engine: str, folder: Path, number: int) -> float:
    began = time.perf_counter()
    path = folder / f"{number}.sock"
    words = [engine, "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(folder)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    stack.callback(process.wait)
    stack.callback(process.kill)
    with redis.Redis(unix_socket_path=str(path)) as client:
        eventually(client.ping)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
