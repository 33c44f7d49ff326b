"""API: list and show over HTTP with 1 000 instances recorded, by token and by signature; beside it, a bare app."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import psutil
import uvloop
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer
from installation import SINGLE, Installation, eventually, free_port

from cachestead.domain.instances import node_id
from cachestead.domain.sizes import MiB
from cachestead.store import instances as store
from cachestead.store.database import Database

HELLO = """
async def app(scope, receive, send):
    headers = [(b"content-type", b"application/json"), (b"content-length", b"17")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"hello":"world"}'})
"""


@dataclass(frozen=True)
class Load:
    """What one process sends, on all its connections."""

    port: int
    request: bytes
    clients: int
    seconds: float


@dataclass(frozen=True)
class Figures:
    """What came of it."""

    rate: float
    p50: float
    p99: float
    cpu: float
    """Processor time of the service for each request, in ms: what a machine that others use, too, cannot hide."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--clients", type=int, default=32, help="connections, each with one request at a time")
    options.add_argument("--seconds", type=float, default=5.0, help="for each row")
    options.add_argument("--instances", type=int, default=1000, help="recorded, without nodes")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        installation = Installation(Path(folder) / "data", settings={"LOG__LEVEL": "info"})
        try:
            paths = record_instances(installation.start(), chosen.instances)
            rows = {}
            for name, path in paths.items():
                for way, headers in (("token", by_token(installation)), ("AK/SK", by_key(installation, path))):
                    load = Load(installation.port, get(path, headers), chosen.clients, chosen.seconds)
                    rows[f"{name}, {way}"] = measure(load, installation.process.pid)
        finally:
            installation.remove()
    with bare_app() as (port, pid):
        bare = rows["bare uvicorn app"] = measure(Load(port, get("/", {}), chosen.clients, chosen.seconds), pid)
    title = f"{chosen.clients} clients, one worker"
    print(f"{title:28} {'req/s':>8} {'p50 ms':>8} {'p99 ms':>8} {'CPU ms':>8} {'of the bare app':>16}")
    for name, row in rows.items():
        print(
            f"{name:28} {row.rate:8.0f} {row.p50:8.1f} {row.p99:8.1f} {row.cpu:8.2f} {row.rate / bare.rate:15.2f}x"
        )


def record_instances(installation: Installation, count: int) -> dict[str, str]:
    """That many RUNNING instances are on record; paths to measure by name."""
    made = installation.create("measured", SINGLE)["instance_id"]

    async def record() -> None:
        database = Database(f"sqlite:///{installation.folder / 'cachestead.sqlite'}")
        async with database.writing() as tx:
            model = await store.lock_any_instance(tx, made)
            for number in range(1, count):
                one = str(uuid.uuid4())
                nodes = (replace(model.nodes[0], id=node_id(one, 0, 0), instance_id=one),)
                at = model.created_at - timedelta(seconds=number)
                copy = replace(model, id=one, name=f"measured-{number:04}", created_at=at, nodes=nodes)
                await store.add_instance(tx, replace(copy, tags={"n": str(number)}), MiB(0))
                await store.remove_nodes(tx, one)
        await database.close()

    asyncio.run(record())
    all_of_them = f"/v2/{installation.env['project_id']}/instances"
    return {f"list, 10 of {count}": f"{all_of_them}?limit=10", "show": f"{all_of_them}/{made}"}


def by_token(installation: Installation) -> dict[str, str]:
    return {"X-Auth-Token": installation.token()}


def by_key(installation: Installation, path: str) -> dict[str, str]:
    """The headers of a request that the SDK signed; good for fifteen minutes."""
    env, url = installation.env, urlsplit(f"{installation.endpoint}{path}")
    query = [tuple(pair.split("=")) for pair in url.query.split("&") if pair]
    place = {"schema": "http", "host": url.netloc, "resource_path": url.path}
    request = SdkRequest("GET", **place, query_params=query, header_params={}, body="")
    signed = Signer(BasicCredentials(env["access_key"], env["secret_key"], env["project_id"])).sign(request)
    return {name: value for name, value in signed.header_params.items() if name.lower() != "host"}


def get(path: str, headers: dict[str, str]) -> bytes:
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode()


def measure(load: Load, pid: int) -> Figures:
    """The load, sent from a process of its own."""
    load = replace(load, request=load.request + f"\r\nHost: 127.0.0.1:{load.port}\r\n\r\n".encode())
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        warm = replace(load, seconds=1.0)
        pool.apply(send_load, (warm,))
        before = processor_seconds(pid)
        taken = pool.apply(send_load, (load,))
        spent = processor_seconds(pid) - before
    cuts = statistics.quantiles(taken, n=100)
    return Figures(len(taken) / load.seconds, cuts[49] * 1000, cuts[98] * 1000, spent * 1000 / len(taken))


def processor_seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def send_load(load: Load) -> list[float]:
    """Seconds that each answer took."""

    async def run() -> list[float]:
        taken: list[float] = []
        end = time.perf_counter() + load.seconds
        await asyncio.gather(*(_client(load, end, taken) for _ in range(load.clients)))
        return taken

    return uvloop.run(run())


async def _client(load: Load, end: float, taken: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", load.port)
    while (began := time.perf_counter()) < end:
        writer.write(load.request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head + await reader.read(500)
        await reader.readexactly(int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]))
        taken.append(time.perf_counter() - began)
    writer.close()


@contextlib.contextmanager
def bare_app() -> Iterator[tuple[int, int]]:
    """The least that answers JSON behind the same server; its port and process."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "hello.py").write_text(HELLO)
        words = ["-m", "uvicorn", "hello:app", "--port", str(port), "--http", "httptools", "--loop", "uvloop"]
        quiet = ["--no-access-log", "--log-level", "warning", "--app-dir", folder]
        process = subprocess.Popen([sys.executable, *words, *quiet])
        try:
            eventually(lambda: asyncio.run(_answers(port)))
            yield port, process.pid
        finally:
            process.terminate()
            process.wait()


async def _answers(port: int) -> bool:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    return True


if __name__ == "__main__":
    main()
