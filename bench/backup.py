"""Backup and restoration of one instance: MB/s, against `redis-cli --rdb` and an engine's own start, same data.

The peers do a part of the work. `redis-cli --rdb` fetches an image and writes it to a file; a backup also takes
its checksum, stores it, reads it back and has an engine load it before it counts. An engine's start reads a file;
a restoration also fetches it, stops the nodes, and brings the replica up with the data. Steps are told apart.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from installation import Installation, client_of, eventually, free_port
from records import admin_of

from cachestead.engine.catalogue import find_engines
from cachestead.settings import EngineSettings

FLAVOR = ("redis.ha.xu1.large.r2.8", 8)
PATIENCE = 600.0
_BATCH = 5000


@dataclass
class Figures:
    """Seconds of each kind of run."""

    seconds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, seconds: float) -> None:
        """One more run."""
        self.seconds.setdefault(name, []).append(seconds)

    def median(self, name: str) -> float:
        """Of all runs so far."""
        return statistics.median(self.seconds[name])


def fill(instance: dict[str, Any], keys: int, size: int) -> None:
    """So many keys of so many bytes that do not compress."""
    with client_of(instance) as client:
        for first in range(0, keys, _BATCH):
            with client.pipeline(transaction=False) as pipeline:
                for number in range(first, min(first + _BATCH, keys)):
                    pipeline.set(f"key:{number}", os.urandom(size))
                pipeline.execute()


def fetch_with_cli(installation: Installation, instance: dict[str, Any], replica: str, file: Path) -> float:
    """Seconds that `redis-cli --rdb` takes from the replica."""
    login = admin_of(installation, instance, replica).connection_pool.connection_kwargs
    command = ["redis-cli", "-h", replica, "-p", str(instance["port"]), "--user", login["username"]]
    began = time.monotonic()
    subprocess.run(
        [*command, "--no-auth-warning", "--rdb", str(file)],
        env={**os.environ, "REDISCLI_AUTH": login["password"]},
        check=True,
        capture_output=True,
    )
    return time.monotonic() - began


def start_plainly(binary: Path, file: Path) -> float:
    """Seconds until an engine that starts from the file has read it."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(file, Path(folder) / "dump.rdb")
        began = time.monotonic()
        engine = subprocess.Popen(
            [binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", ""],
            stdout=subprocess.DEVNULL,
        )
        try:
            with redis.Redis(port=port, socket_timeout=5) as client:
                eventually(lambda: client.ping() and not client.info("persistence")["loading"], PATIENCE)
            return time.monotonic() - began
        finally:
            engine.kill()
            engine.wait()


def done(installation: Installation, instance: dict[str, Any], kind: str, body: dict[str, Any]) -> dict[str, Any]:
    """A backup or restoration that was asked for, once it has succeeded."""
    path, one = f"/instances/{instance['instance_id']}/{kind}s", f"{kind}_id"
    with installation.http() as api:
        wanted = api.post(path, json=body).raise_for_status().json()[one]

        def look() -> dict[str, Any] | None:
            records = api.get(path, params={"limit": 100}).json()[f"{kind}_record_response"]
            found = next(record for record in records if record[one] == wanted)
            if found["status"] == "failed":
                raise SystemExit(f"{kind} failed: {found}")
            return dict(found) if found["status"] == "succeed" else None

        return eventually(look, PATIENCE)


def steps_of(installation: Installation, since: int) -> dict[str, float]:
    """Seconds of each step, as the service's log has them from a place on."""
    lines = (installation.folder / "service.log").read_text()[since:].splitlines()
    events = [json.loads(line) for line in lines if '"event": "step"' in line or '"event": "job done"' in line]
    at = [time.mktime(time.strptime(one["timestamp"][:19], "%Y-%m-%dT%H:%M:%S")) for one in events]
    exact = [whole + float(f"0.{one['timestamp'][20:26]}") for whole, one in zip(at, events, strict=True)]
    named = zip(events, exact, exact[1:], strict=False)
    return {one["step"]: after - before for one, before, after in named if "step" in one}


def main() -> None:
    """Print the figures of all rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--size", type=int, default=1000, help="bytes of a value")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    binary = find_engines(EngineSettings()).engine_for("7.0").path
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder:
        installation = Installation(Path(folder) / "service")
        try:
            installation.start()
            run(installation, given, binary, figures, Path(folder) / "peer.rdb")
        finally:
            installation.remove()


def run(installation: Installation, given: argparse.Namespace, binary: Path, figures: Figures, file: Path) -> None:
    """All rounds, one peer after the other in each."""
    flavor, gb = FLAVOR
    instance = installation.create("archive", flavor, capacity=gb)
    fill(instance, given.keys, given.size)
    for number in range(given.rounds):
        with installation.http() as api:
            groups = api.get(f"/instance/{instance['instance_id']}/groups").json()["group_list"]
        replicas = [one for one in groups[0]["replication_list"] if one["replication_role"] == "slave"]
        figures.add("redis-cli", fetch_with_cli(installation, instance, replicas[0]["replication_ip"], file))
        since = len((installation.folder / "service.log").read_text())
        backup = done(installation, instance, "backup", {"remark": str(number)})
        for step, seconds in steps_of(installation, since).items():
            figures.add(step, seconds)
        figures.add("plain start", start_plainly(binary, file))
        since = len((installation.folder / "service.log").read_text())
        done(installation, instance, "restore", {"backup_id": backup["backup_id"]})
        for step, seconds in steps_of(installation, since).items():
            figures.add(step, seconds)
        tell(figures, backup["size"] / 1e6, number + 1)


def tell(figures: Figures, megabytes: float, rounds: int) -> None:
    """What is known so far."""
    fetched, verified = figures.median("take_snapshots"), figures.median("verify_files")
    away = sum(figures.median(step) for step in ("stop_serving", "place_files", "load_data", "open_instance"))
    restored = figures.median("fetch_files") + away + figures.median("verify") + figures.median("remove_old")
    rows = (
        ("redis-cli --rdb, to a file", figures.median("redis-cli"), "redis-cli"),
        ("backup: fetched and stored", fetched, "redis-cli"),
        ("backup: read back and loaded", verified, "plain start"),
        ("backup in all", fetched + verified, "redis-cli"),
        ("engine's start from the file", figures.median("plain start"), "plain start"),
        ("restoration: nobody served", away, "plain start"),
        ("restoration in all", restored, "plain start"),
    )
    print(f"{megabytes:.0f} MB, medians of {rounds}", flush=True)
    for name, seconds, peer in rows:
        ratio = figures.median(peer) / seconds
        print(f"  {name:32} {seconds:6.2f} s {megabytes / seconds:7.0f} MB/s {ratio:5.2f} x {peer}", flush=True)


if __name__ == "__main__":
    main()
