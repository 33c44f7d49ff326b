"""Resharding: 3 to 4 shards and back under load; how long, how slow for clients, what they lost (nothing)."""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import multiprocessing
import random
import re
import statistics
import sys
import tempfile
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from installation import PASSWORD, Installation, eventually
from redis.cluster import RedisCluster
from redis.crc import key_slot

from cachestead.engine.catalogue import Engine, find_engines
from cachestead.settings import EngineSettings

THREE, FOUR = ("redis.cluster.xu1.large.r2.s8.24", 24), ("redis.cluster.xu1.large.r2.s8.32", 32)
PHASES = ("before", "3 to 4", "between", "4 to 3", "after")
BATCH = 5000
_SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Place:
    """Where a cluster answers."""

    host: str
    port: int

    def client(self) -> RedisCluster:
        """redis-py as it comes: its own retries, its own view of the slots."""
        return RedisCluster(host=self.host, port=self.port, password=PASSWORD)

    def masters(self) -> dict[str, redis.Redis]:
        """A client of each master, by name."""
        with self.client() as client:
            names = [node.name for node in client.get_primaries()]
        return {name: redis.Redis(*_split(name), password=PASSWORD) for name in names}

    def owners(self) -> list[str]:
        """The name of each slot's master."""
        with self.client() as client:
            slots = client.nodes_manager.slots_cache
            return [slots[slot][0].name for slot in range(16384)]


@dataclass
class Witness:
    """What one client saw. A key has one writer, who therefore knows what it must hold."""

    began: array[float] = field(default_factory=lambda: array("d"))
    took: array[float] = field(default_factory=lambda: array("d"))
    errors: list[tuple[float, str]] = field(default_factory=list)
    acknowledged: dict[int, int] = field(default_factory=dict)
    attempted: dict[int, int] = field(default_factory=dict)
    writes: int = 0
    stale: list[tuple[int, int]] = field(default_factory=list)
    """Keys that were read, and held something older than what had been acknowledged."""

    def is_right(self, number: int, value: int) -> bool:
        """Whether a key may hold this: what was acknowledged last, or what was tried since."""
        least = self.acknowledged.get(number, 0)
        return least <= value <= self.attempted.get(number, least)


@dataclass(frozen=True)
class Resize:
    """What one change took."""

    seconds: float
    moving: float
    """Seconds of it in which slots moved."""
    keys: int


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--keys", type=int, default=2_000_000, help="filled in beforehand")
    options.add_argument("--clients", type=int, default=3, help="processes, each with one request at a time")
    options.add_argument("--seconds", type=float, default=10.0, help="before, between and after the changes")
    options.add_argument("--engine", default="", help="'redis' or 'valkey'; else the catalogue's choice for 7.0")
    chosen = options.parse_args()
    engine = choose_engine(chosen.engine)
    settings = {"LOG__LEVEL": "info", "ENGINE__BINARIES": json.dumps([str(engine.path)])}
    with tempfile.TemporaryDirectory() as folder:
        installation = Installation(Path(folder) / "data", settings=settings)
        try:
            measure(installation.start(), engine, chosen)
        except BaseException:
            print(installation.log()[-3000:], file=sys.stderr)
            raise
        finally:
            installation.remove()


def choose_engine(product: str) -> Engine:
    catalogue = find_engines(EngineSettings())
    if not product:
        return catalogue.engine_for("7.0")
    return next(engine for engine in catalogue.engines if engine.product == product)


def measure(installation: Installation, engine: Engine, chosen: argparse.Namespace) -> None:
    instance = installation.create("measured", THREE[0], capacity=THREE[1])
    place = Place(instance["ip"].split(",")[0], instance["port"])
    print(f"{engine}, redis-py {redis.__version__}; {chosen.keys} keys, {chosen.clients} clients", flush=True)
    on_each_master(place, chosen.keys, fill)
    stop = _SPAWN.Event()
    with concurrent.futures.ProcessPoolExecutor(chosen.clients, _SPAWN, _remember, (stop,)) as pool:
        try:
            loads = [pool.submit(load, place, chosen.keys, n, chosen.clients) for n in range(chosen.clients)]
            time.sleep(2)  # the clients start
            ends, resizes = [time.perf_counter()], []
            for phase in PHASES:
                if "to" in phase:
                    flavor = FOUR if phase == "3 to 4" else THREE
                    resizes.append(resize(installation, instance["instance_id"], place, flavor))
                else:
                    time.sleep(chosen.seconds)
                ends.append(time.perf_counter())
        finally:
            stop.set()
        witnesses = [one.result(60) for one in loads]
    report(witnesses, ends, resizes)
    verify(place, chosen.keys, witnesses)


def name_of(number: int) -> str:
    return f"key:{number}"


def _split(name: str) -> tuple[str, int]:
    host, _, port = name.rpartition(":")
    return host, int(port)


_stop: Any = None


def _remember(stop: Any) -> None:
    global _stop  # noqa: PLW0603 - how a pool hands an event to its processes
    _stop = stop


def load(place: Place, keys: int, me: int, clients: int) -> Witness:
    """Reads and writes random keys of its own, half and half, until told to stop."""
    witness, own = Witness(), range(me, keys, clients)
    chance = random.Random(me)
    value = 0
    with place.client() as client:
        while not _stop.is_set():
            value += 1
            number = own[chance.randrange(len(own))]
            began = time.perf_counter()
            try:
                if value % 2:
                    witness.attempted[number] = value
                    client.set(name_of(number), value)
                    witness.acknowledged[number] = value
                    witness.writes += 1
                else:
                    read = int(client.get(name_of(number)) or -1)
                    if not witness.is_right(number, read):
                        witness.stale.append((number, read))
            except Exception as error:
                kind = re.sub(r"\d[\d.:]*", "N", f"{type(error).__name__}: {error}")
                witness.errors.append((began, kind[:100]))
            witness.began.append(began)
            witness.took.append(time.perf_counter() - began)
    return witness


def on_each_master(
    place: Place, keys: int, act: Callable[[str, Sequence[int]], list[tuple[int, int]]]
) -> Iterator[tuple[int, int]]:
    """What came of it for all keys, each asked of the master that has it; a process per master."""
    owners = place.owners()
    parts: dict[str, array[int]] = {name: array("L") for name in owners}
    for number in range(keys):
        parts[owners[key_slot(name_of(number).encode())]].append(number)
    with concurrent.futures.ProcessPoolExecutor(len(parts), _SPAWN) as pool:
        done = list(pool.map(act, parts, parts.values()))
    return (one for part in done for one in part)


def fill(master: str, numbers: Sequence[int]) -> list[tuple[int, int]]:
    with redis.Redis(*_split(master), password=PASSWORD) as client:
        for some in (numbers[at : at + BATCH] for at in range(0, len(numbers), BATCH)):
            pipeline = client.pipeline(transaction=False)
            for number in some:
                pipeline.set(name_of(number), 0)
            pipeline.execute()
    return []


def read_back(master: str, numbers: Sequence[int]) -> list[tuple[int, int]]:
    found = []
    with redis.Redis(*_split(master), password=PASSWORD) as client:
        for some in (numbers[at : at + BATCH] for at in range(0, len(numbers), BATCH)):
            pipeline = client.pipeline(transaction=False)
            for number in some:
                pipeline.get(name_of(number))
            found += [(number, int(value or -1)) for number, value in zip(some, pipeline.execute(), strict=True)]
    return found


def resize(installation: Installation, instance: str, place: Place, flavor: tuple[str, int]) -> Resize:
    before = sizes(place)
    spec, capacity = flavor
    body = {"spec_code": spec, "new_capacity": capacity}
    if flavor == FOUR:
        body["change_type"] = "addSharding"
    with installation.http() as api:
        began = time.perf_counter()
        api.post(f"/instances/{instance}/resize", json=body).raise_for_status()
        task = api.get(f"/instances/{instance}/tasks").json()["tasks"][0]["id"]
        moving: list[float] = []

        def look() -> bool:
            steps = api.get(f"/instances/{instance}/tasks/{task}/progress").json()["step_details"]
            if steps and steps[-1]["step_name"] == "spread_slots":
                moving.append(time.perf_counter())
            time.sleep(0.1)
            shown = api.get(f"/instances/{instance}").json()
            return shown["status"] == "RUNNING" and shown["spec_code"] == spec

        eventually(look, 1800)
        seconds = time.perf_counter() - began
    after = sizes(place)
    return Resize(
        seconds, moving[-1] - moving[0], sum(max(0, after[name] - before.get(name, 0)) for name in after)
    )


def sizes(place: Place) -> dict[str, int]:
    found = {}
    for name, client in place.masters().items():
        with client:
            found[name] = client.dbsize()
    return found


def report(witnesses: Sequence[Witness], ends: Sequence[float], resizes: Sequence[Resize]) -> None:
    for name, change in zip(("3 to 4", "4 to 3"), resizes, strict=True):
        print(
            f"{name}: {change.seconds:.1f} s, slots moved for {change.moving:.1f} s of it, "
            f"{change.keys} keys, {change.keys / change.moving:.0f} keys/s"
        )
    print(
        f"{'as clients saw it':12} {'s':>7} {'op/s':>7} {'p50 ms':>7} {'p99 ms':>7} {'max ms':>7} {'errors':>7}",
        end="",
    )
    print(f" {'op/s ratio':>10} {'p99 ratio':>10}")
    first: tuple[float, float] | None = None
    for phase, begin, end in zip(PHASES, ends, ends[1:], strict=False):
        took = [t for one in witnesses for at, t in zip(one.began, one.took, strict=True) if begin <= at < end]
        errors = sum(begin <= at < end for one in witnesses for at, _ in one.errors)
        cuts = [cut * 1000 for cut in statistics.quantiles(took, n=100)]
        rate = len(took) / (end - begin)
        first = first or (rate, cuts[98])
        print(
            f"{phase:12} {end - begin:7.1f} {rate:7.0f} {cuts[49]:7.2f} {cuts[98]:7.2f} {max(took) * 1000:7.0f}"
            f" {errors:7} {rate / first[0]:10.2f} {cuts[98] / first[1]:10.2f}"
        )
    for kind, count in Counter(kind for one in witnesses for _, kind in one.errors).most_common():
        print(f"error, {count} of {sum(len(one.took) for one in witnesses)} commands: {kind}")


def verify(place: Place, keys: int, witnesses: Sequence[Witness]) -> None:
    """Every key, written meanwhile or not, is there once and holds what its writer knows."""
    found = dict(on_each_master(place, keys, read_back))
    lost = [n for n in range(keys) if not witnesses[n % len(witnesses)].is_right(n, found[n])]
    print(f"acknowledged writes: {sum(one.writes for one in witnesses)}, ", end="")
    print(f"keys that lost theirs: {len(lost)}{lost[:5] or ''}, ", end="")
    stale = [one for witness in witnesses for one in witness.stale]
    print(f"stale reads: {len(stale)}{stale[:5] or ''}, DBSIZE {sum(sizes(place).values())} of {keys}")


if __name__ == "__main__":
    main()
