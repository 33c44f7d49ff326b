"""An installation of the product for tests: the real program in a process of its own, over a temporary folder.

Its ports and its addresses are its own; whatever happens, no process of it is left when the test ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
import redis
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkdcs.v2 import DcsClient

from cachestead.runtime.process.packet_filter import PacketFilter, find_program

PASSWORD = "Passw0rd!x"
SINGLE, HA = "redis.single.xu1.tiny.128", "redis.ha.xu1.tiny.r2.128"
HA_3, CLUSTER = "redis.ha.xu1.large.r3.1", "redis.cluster.xu1.large.r2.4"
PROXY, SPLIT = "redis.proxy.xu1.large.4", "redis.ha.xu1.large.p2.1"
"""Ordered with a capacity of 1 and 4 GB; cluster and Proxy Cluster have three shards of two nodes."""
PATIENCE = 30.0
START_PATIENCE = 90.0
"""Python alone takes seconds to begin where many tests run at once."""

Found = TypeVar("Found")


def eventually(look: Callable[[], Found], seconds: float = PATIENCE) -> Found:
    """What `look` finds once it neither raises nor finds nothing."""
    deadline, failure = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        try:
            if found := look():
                return found
            failure = None
        except Exception as error:
            failure = error
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds:g} s") from failure


def free_port() -> int:
    """A TCP port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def claim_subnet() -> tuple[str, socket.socket]:
    """Addresses that no other installation on this machine has, while the socket is open."""
    while True:
        first, second = random.randint(65, 99), random.randint(0, 15) * 16
        claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            claim.bind((f"127.{first}.{second + 15}.254", 50999))
        except OSError:
            claim.close()
        else:
            return f"127.{first}.{second}.0/20", claim


@dataclass
class Installation:
    """A data directory, and the service over it when it is started."""

    folder: Path
    database_url: str | None = None
    settings: dict[str, str] = field(default_factory=dict)
    """More settings, as environment variables without the prefix."""
    port: int = field(default_factory=free_port)
    names_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.subnet, self._claim = claim_subnet()

    @property
    def environment(self) -> dict[str, str]:
        """What the program is started with."""
        own = {
            "CACHESTEAD_DATA_DIR": str(self.folder),
            "CACHESTEAD_SERVER__PORT": str(self.port),
            "CACHESTEAD_NAMES__PORT": str(self.names_port),
            "CACHESTEAD_REGION__SUBNET_CIDR": self.subnet,
            "CACHESTEAD_CAPACITY__MEMORY_MB": "65536",
            "CACHESTEAD_LOG__LEVEL": "debug",
            "CACHESTEAD_LOG__FORMAT": "json",
        }
        if self.database_url:
            own["CACHESTEAD_STORE__DATABASE_URL"] = self.database_url
        own |= {f"CACHESTEAD_{name}": value for name, value in self.settings.items()}
        return {key: value for key, value in os.environ.items() if not key.startswith("CACHESTEAD_")} | own

    def start(self) -> Installation:
        """The service listens."""
        ready = self.folder / "run" / "ready"
        ready.unlink(missing_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "service.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "cachestead", "up"], env=self.environment, stdout=log, stderr=log
            )
        eventually(lambda: ready.exists() or self._raise_if_ended(), START_PATIENCE)
        return self

    def _raise_if_ended(self) -> bool:
        assert self.process
        if self.process.poll() is not None:
            raise RuntimeError(self.log()[-3000:])
        return False

    def log(self) -> str:
        """What the service wrote."""
        return (self.folder / "service.log").read_text()

    def stop(self) -> None:
        """Asked to end; it has."""
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)
            self.process = None

    def kill(self) -> None:
        """Ended without a word, as by a crash."""
        if self.process:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def remove(self) -> None:
        """No process of the installation is left."""
        self.kill()
        # A subnet may be another installation's later.
        if program := find_program():
            table = PacketFilter(self.folder).table
            subprocess.run([program, "delete", "table", "ip", table], capture_output=True, check=False)
        for process in self.node_processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._claim.close()

    def node_processes(self) -> list[psutil.Process]:
        """Every living process that works in one of the installation's node folders, known to it or not."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if Path(process.cwd()).is_relative_to(self.folder / "nodes"):
                    found.append(process)
        return found

    def node_pids(self, instance_id: str) -> dict[str, int]:
        """Process ids of an instance's nodes by address, as their folders have them."""
        records = [json.loads(path.read_text()) for path in (self.folder / "nodes").glob("*/node.json")]
        return {one["address"]: one["pid"] for one in records if one["owner"] == instance_id and one["pid"]}

    def run(self, *words: str, **kwargs: Any) -> subprocess.CompletedProcess[str]:
        """The command line, over this installation."""
        return subprocess.run(
            [sys.executable, "-m", "cachestead", *words],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            **kwargs,
        )

    @property
    def env(self) -> dict[str, str]:
        """What `cachestead env` tells clients."""
        cached: dict[str, str] | None = self.__dict__.get("_env")
        if cached is None:
            answer = self.run("env", "--format", "json")
            assert answer.returncode == 0, answer.stderr
            cached = self.__dict__["_env"] = json.loads(answer.stdout)
        return cached

    @property
    def endpoint(self) -> str:
        """Where the API is."""
        return f"http://127.0.0.1:{self.port}"

    def sdk(self, tenant: dict[str, str] | None = None) -> DcsClient:
        """The official client with AK/SK."""
        env = tenant or self.env
        credentials = BasicCredentials(env["access_key"], env["secret_key"], env["project_id"])
        return DcsClient.new_builder().with_credentials(credentials).with_endpoint(self.endpoint).build()

    def token(self) -> str:
        """A token of the administrator, for the project."""
        env = self.env
        user = {"name": env["user"], "password": env["password"], "domain": {"name": env["domain"]}}
        body = {
            "auth": {
                "identity": {"methods": ["password"], "password": {"user": user}},
                "scope": {"project": {"id": env["project_id"]}},
            }
        }
        answer = httpx.post(f"{self.endpoint}/v3/auth/tokens", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.headers["X-Subject-Token"])

    def http(self) -> httpx.Client:
        """A plain HTTP client with a token; paths begin at the project: `/instances`."""
        token = self.__dict__.setdefault("_token", None) or self.token()
        self.__dict__["_token"] = token
        headers = {"X-Auth-Token": token}
        return httpx.Client(base_url=f"{self.endpoint}/v2/{self.env['project_id']}", headers=headers, timeout=60)

    def order(self, name: str = "test-instance", flavor: str = SINGLE, **fields: Any) -> dict[str, Any]:
        """A body for create_instance that is right, but for what is named."""
        zones = ["local-1a", "local-1b"] if ".ha." in flavor else ["local-1a"]
        behind_proxies = ".proxy." in flavor or ".large.p" in flavor
        return {
            "name": name,
            "engine": "Redis",
            "engine_version": "6.0" if behind_proxies else "7.0",
            "capacity": 0.125,
            "spec_code": flavor,
            "az_codes": zones,
            "vpc_id": self.env["vpc_id"],
            "subnet_id": self.env["subnet_id"],
            "password": PASSWORD,
        } | fields

    def create(self, name: str = "test-instance", flavor: str = SINGLE, **fields: Any) -> dict[str, Any]:
        """A new instance, RUNNING; its details."""
        with self.http() as api:
            answer = api.post("/instances", json=self.order(name, flavor, **fields))
            assert answer.status_code == 200, answer.text
            return self.wait(answer.json()["instances"][0]["instance_id"])

    def show(self, instance_id: str) -> dict[str, Any] | None:
        """An instance's details, or None when it is gone."""
        with self.http() as api:
            answer = api.get(f"/instances/{instance_id}")
        return None if answer.status_code == 404 else dict(answer.json())

    def wait(self, instance_id: str, status: str = "RUNNING", seconds: float = PATIENCE) -> dict[str, Any]:
        """The instance's details once it has this status and nothing is being done to it."""
        with self.http() as api:

            def look() -> dict[str, Any] | None:
                seen: dict[str, Any] = api.get(f"/instances/{instance_id}").json()
                if status != "CREATEFAILED" and seen.get("status") == "CREATEFAILED":
                    raise RuntimeError(seen["fail_reason"])
                return seen if seen.get("status") == status and not seen.get("task") else None

            return eventually(look, seconds)

    def wait_gone(self, instance_id: str) -> None:
        """The instance answers 404."""
        eventually(lambda: self.show(instance_id) is None)


def client_of(instance: dict[str, Any], password: str | None = PASSWORD, **more: Any) -> redis.Redis:
    """redis-py on the address the API returned."""
    return redis.Redis(instance["ip"], instance["port"], password=password, decode_responses=True, **more)
