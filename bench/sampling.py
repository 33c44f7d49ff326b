"""Sampling: what monitoring costs an engine and its clients.

One engine under redis-benchmark's load, in turns with and without sampling; with it, it is looked at many times as
often as the service does. What a client loses is the median of the ratios of neighbouring rounds; what the engine
spends is its own word (the processor time of our commands). Both are then taken down to the service's rate.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import statistics
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from real_engines import ADMIN_SECRET, ENGINES, Machine

from cachestead.engine.acl import ADMIN
from cachestead.engine.connection import Client
from cachestead.engine.looking import look_at_node, observe_processor_seconds
from cachestead.settings import MonitoringSettings

INTERVAL = MonitoringSettings().interval_seconds
GLANCES = 6
"""Looks at processor time in an interval, as the service takes them."""
OURS = ("info", "slowlog|get", "latency|histogram", "client|list")


@dataclass
class Sampling:
    """Looks at a node `often` times as often as the service does, and keeps count."""

    client: Client
    often: float
    looks: int = 0

    async def run(self) -> None:
        """Until it is cancelled."""
        before = None
        while True:
            for _ in range(GLANCES):
                await observe_processor_seconds(self.client)
                await asyncio.sleep(INTERVAL / GLANCES / self.often)
            before = await look_at_node(self.client, before)
            self.looks += 1


async def load(machine: Machine, requests: int, clients: int) -> float:
    """Requests a second of SET with keys out of many, one by one."""
    node = machine.node(11)
    command = [
        "redis-benchmark", "-h", node.address, "-p", str(node.port), "--user", ADMIN, "-a", ADMIN_SECRET, "--csv",
        "-t", "set", "-r", "100000", "-c", str(clients), "-n", str(requests),
    ]  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    out, _ = await process.communicate()
    [row] = [row for row in csv.reader(out.decode().splitlines()) if row and row[0] == "SET"]
    return float(row[1])


async def spent(client: Client) -> int:
    """Microseconds that the engine has spent on our commands."""
    info = await client.info("commandstats")
    return sum(int(info[f"cmdstat_{name}"]["usec"]) for name in OURS if f"cmdstat_{name}" in info)


async def measure(machine: Machine, rounds: int, seconds: float, clients: int, often: float) -> None:
    clock = asyncio.get_running_loop().time
    client = await machine.start(11, maxmemory=512 * 1024 * 1024, persistent=False)
    # As many as take about as long as was asked for.
    requests = round(await load(machine, 50_000, clients) * seconds)
    without, with_it, looks, engine, sampled_seconds = [], [], 0, 0, 0.0
    for _ in range(rounds):
        without.append(await load(machine, requests, clients))
        before, began = await spent(client), clock()
        sampling = Sampling(client, often)
        task = asyncio.create_task(sampling.run())
        with_it.append(await load(machine, requests, clients))
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        sampled_seconds += clock() - began
        engine += await spent(client) - before
        looks += sampling.looks
    ratio = statistics.median(there / here for here, there in zip(without, with_it, strict=True))
    share = engine / 1e6 / sampled_seconds
    print(f"{machine.engine}: SET by {clients} clients, {rounds} rounds of {seconds:g} s")
    print(f"  without sampling        {statistics.median(without):9.0f}/s")
    print(f"  sampled {often:g} times as often as the service does: {looks} looks")
    print(f"                          {statistics.median(with_it):9.0f}/s   ratio {ratio:.3f}")
    print(
        f"  the engine's own time spent on it       {share:.4%}; at one look in {INTERVAL} s {share / often:.5%}"
    )
    print(f"  what clients lose at one look in {INTERVAL} s   {max(0.0, 1 - ratio) / often:.4%}", flush=True)


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5, help="each without and with sampling")
    options.add_argument("--seconds", type=float, default=2.0, help="about, for each")
    options.add_argument("--clients", type=int, default=50, help="connections")
    options.add_argument("--often", type=float, default=60.0, help="how many times as often as the service looks")
    chosen = options.parse_args()
    for engine in ENGINES:
        with tempfile.TemporaryDirectory() as folder:
            machine = Machine(engine, Path(folder))
            await machine.runtime.start()
            try:
                await measure(machine, chosen.rounds, chosen.seconds, chosen.clients, chosen.often)
            finally:
                for client in machine.clients:
                    await client.aclose()
                machine.clients.clear()
                await close(machine)


async def close(machine: Machine) -> None:
    """Every process has ended; its log is not of interest."""
    await machine.runtime.kill_node("node-11")
    await machine.runtime.close()


if __name__ == "__main__":
    asyncio.run(main())
