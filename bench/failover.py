"""Failover: how long a client cannot write at the instance's address; and by Sentinel alone, in the same run."""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import tempfile
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "scenarios"))

from installation import HA, Installation, client_of, eventually
from witnesses import Writer

Instance = dict[str, str]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--runs", type=int, default=10, help="losses of each kind with the service")
    options.add_argument("--alone", type=int, default=3, help="losses with the service stopped")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        installation = Installation(Path(folder) / "data")
        try:
            measure(installation.start(), chosen.runs, chosen.alone)
        finally:
            installation.remove()


def measure(installation: Installation, runs: int, alone: int) -> None:
    instance = installation.create("measured", HA)
    killed = [lose_master(installation, instance, signal.SIGKILL) for _ in range(runs)]
    frozen = [lose_master(installation, instance, signal.SIGSTOP) for _ in range(runs)]
    by_sentinel = []
    for _ in range(alone):
        await_whole(installation, instance)
        installation.stop()
        by_sentinel.append(lose_master(installation, instance, signal.SIGKILL, heal=False))
        installation.start()
    print(f"{'seconds without a write':28} {'runs':>5} {'median':>7} {'max':>7} {'Sentinel alone is':>18}")
    for name, seconds in (("master killed", killed), ("master frozen", frozen), ("Sentinel alone", by_sentinel)):
        median = statistics.median(seconds)
        ratio = statistics.median(by_sentinel) / median
        print(f"{name:28} {len(seconds):5} {median:7.3f} {max(seconds):7.3f} {ratio:17.1f}x")


def lose_master(
    installation: Installation, instance: Instance, how: signal.Signals, *, heal: bool = True
) -> float:
    """From the last write that the lost master took to the first that the next one took."""
    if heal:
        await_whole(installation, instance)
    with Writer(instance) as writer:
        psutil.Process(master_pid(instance)).send_signal(how)
        eventually(lambda: writer.gaps, 90)
    return writer.gaps[0]


def await_whole(installation: Installation, instance: Instance) -> None:
    """The replica is in step with its master, and the records know."""

    def look() -> bool:
        with client_of(instance) as client:
            facts = client.info("replication")
        shown = installation.show(instance["instance_id"])
        return facts["role"] == "master" and facts["slave0"]["state"] == "online" and shown["status"] == "RUNNING"

    eventually(look, 60)


def master_pid(instance: Instance) -> int:
    with client_of(instance) as client:
        return int(client.info("server")["process_id"])


if __name__ == "__main__":
    main()
