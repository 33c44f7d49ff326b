"""Failover: how long a client cannot write, after the loss of a master of each type of instance.

In the same run without the service: what Sentinel does alone, and a native cluster.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "scenarios"))

from installation import CLUSTER, HA, Installation, client_of, eventually
from witnesses import ClusterWriter, NodeSeen, Writer, agreed

Instance = dict[str, str]
VOTE_SECONDS = 10.0
"""Masters of a cluster do not vote twice about the loss of one node within this: twice its node timeout."""


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
        # Sentinels that have only just been told of an instance do not know each other yet.
        eventually(lambda: agreed(installation, instance))
        installation.stop()
        by_sentinel.append(lose_master(installation, instance, signal.SIGKILL, heal=False))
        installation.start()
    report("master/standby", {"master killed": killed, "master frozen": frozen}, "Sentinel alone", by_sentinel)

    cluster = ClusterLosses(installation, installation.create("measured-too", CLUSTER, capacity=4))
    killed = [cluster.lose_master(signal.SIGKILL) for _ in range(runs)]
    frozen = [cluster.lose_master(signal.SIGSTOP) for _ in range(runs)]
    by_itself = [cluster.lose_master_alone() for _ in range(alone)]
    report("cluster", {"master killed": killed, "master frozen": frozen}, "cluster alone", by_itself)


def report(kind: str, healed: dict[str, list[float]], without: str, alone: list[float]) -> None:
    print(f"{kind + ', seconds without a write':44} {'runs':>5} {'median':>7} {'max':>7} {without + ' is':>18}")
    for name, seconds in (healed | {without: alone}).items():
        if seconds:
            median = statistics.median(seconds)
            ratio = f"{statistics.median(alone) / median:17.1f}x" if alone else ""
            print(f"{name:44} {len(seconds):5} {median:7.3f} {max(seconds):7.3f} {ratio}")


class ClusterLosses:
    """Masters of a cluster are lost in turn, each so late that its loss is voted about."""

    def __init__(self, installation: Installation, instance: Instance) -> None:
        self.installation, self.instance = installation, instance
        self._lost: dict[str, float] = {}

    def lose_master(self, how: signal.Signals) -> float:
        """With the service."""
        return self._lose(self._choose(), how)

    def lose_master_alone(self) -> float:
        """Without it."""
        master = self._choose()
        self.installation.stop()
        gap = self._lose(master, signal.SIGKILL)
        self.installation.start()
        return gap

    def _lose(self, master: NodeSeen, how: signal.Signals) -> float:
        """From the last write that the lost master took to the first on its keys that the next one took."""
        with ClusterWriter(self.instance, 3) as writer:
            psutil.Process(master.pid).send_signal(how)
            eventually(lambda: writer.gaps, 90)
        self._lost[master.address] = time.monotonic()
        return max(writer.gaps)

    def _choose(self) -> NodeSeen:
        """The master whose loss is longest ago, once the cluster is whole and would vote about it."""

        def look() -> NodeSeen | None:
            masters = [node for node in agreed(self.installation, self.instance) if node.role == "master"]
            longest = min(masters, key=lambda node: self._lost.get(node.address, 0))
            return longest if time.monotonic() > self._lost.get(longest.address, 0) + VOTE_SECONDS else None

        return eventually(look, 60)


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
