"""The demonstration that `scripts/demo` runs: from nothing to a key in Redis, as a customer would do it.

Uses what a customer has: the `cachestead` command, the official SDK with an access key, and redis-py. It keeps to
a data folder of its own, and what it started it also ends: service, nodes and folder are gone when it returns.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import platformdirs
import redis
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import SdkException
from huaweicloudsdkcore.region.region import Region
from huaweicloudsdkdcs.v2 import (
    CreateInstanceBody,
    CreateInstanceRequest,
    DcsClient,
    ListAvailableZonesRequest,
    ListBackgroundTaskRequest,
    ShowBackgroundTaskProgressRequest,
    ShowInstanceRequest,
)
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

NAME = "demo"
FLAVOR, CAPACITY, VERSION = "redis.ha.xu1.tiny.r2.128", 0.125, "7.0"
START_SECONDS, CREATE_SECONDS, STOP_SECONDS = 60, 120, 60

console = Console(highlight=False, soft_wrap=True)


class DemoFailed(Exception):
    """The demonstration did not get to its end."""


def main() -> int:
    """Exit code 0 if the key came back."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="clean up and leave as soon as the key has come back")
    parser.add_argument("--port", type=int, default=0, help="port of the API; a free one when absent")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    # A proxy of the environment is for the internet; the SDK would send it what is meant for this machine.
    os.environ["NO_PROXY"] = ",".join(filter(None, [os.environ.get("NO_PROXY"), "127.0.0.1"]))
    try:
        with _data_folder(temporary=options.once) as folder, _service(folder, options.port) as service:
            _show(folder, options.once)
            if not options.once:
                _stay(service, folder)
    except KeyboardInterrupt:
        console.print("Interrupted.")
        return 130
    except (DemoFailed, SdkException, redis.RedisError, OSError) as exc:
        console.print(f"The demonstration failed: {exc}", style="red", markup=False)
        return 1
    console.print("Everything the demonstration started has been stopped and removed.")
    return 0


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def _data_folder(*, temporary: bool) -> Iterator[Path]:
    """A folder of our own that is gone afterwards; what a killed demonstration left in it is ended first."""
    if temporary:
        folder = Path(tempfile.mkdtemp(prefix="cachestead-demo-"))
    else:
        folder = Path(platformdirs.user_data_dir("cachestead-demo"))
        folder.parent.mkdir(parents=True, exist_ok=True)
        _claim(folder.with_suffix(".lock"))
        if folder.exists():
            _cachestead("down", "--all", folder=folder)
            shutil.rmtree(folder)
        folder.mkdir(parents=True, mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _claim(lock: Path) -> None:
    """Keep other demonstrations away for as long as this process lives."""
    descriptor = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        raise DemoFailed("another one is running; end it first, or use --once") from exc


@contextmanager
def _service(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The service, listening; afterwards neither it nor a node of it is left."""
    log = folder / "service.log"
    command = _command("up", "--port", str(port or _free_port()), "--log-format", "console", folder=folder)
    with log.open("wb") as output:
        # In a session of its own, so that Ctrl-C reaches us alone and we end things in order.
        service = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True, env=_environ()
        )
    try:
        with console.status("Starting the service"):
            _wait_until_ready(service, folder, log)
        yield service
    finally:
        with console.status("Stopping the service and its nodes"):
            stopped = _cachestead("down", "--all", folder=folder)
            if stopped.returncode != 0:
                console.print(f"Stopping failed: {stopped.stderr}", style="red", markup=False)
                service.kill()
            service.wait(STOP_SECONDS)


def _wait_until_ready(service: subprocess.Popen[bytes], folder: Path, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not (folder / "run" / "ready").exists():
        if service.poll() is not None or time.monotonic() > deadline:
            last = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
            raise DemoFailed(f"the service has not started. The end of its log:\n{last}")
        time.sleep(0.05)


def _show(folder: Path, once: bool) -> None:  # noqa: FBT001 - said by name in `main`
    environment = json.loads(_printed("env", "--format", "json", folder=folder))
    console.print(f"[bold]Service[/]  {environment['endpoint']}  (region {environment['region']})")

    client = _sdk_client(environment)
    password = "Demo-" + secrets.token_urlsafe(12) + "-1a"
    began = time.monotonic()
    instance = _create_instance(client, environment, password)
    console.print(
        f"[bold]Instance[/] {instance.name} {instance.spec_code} (master and standby) on "
        f"{instance.ip}:{instance.port}, running after {time.monotonic() - began:.1f} s"
    )
    _write_and_read(instance, password)
    console.print(f"[bold]Password[/] {password}\n", markup=True)
    if not once:
        _print_for_clients(folder, environment, instance)


def _sdk_client(environment: dict[str, str]) -> Any:
    keys = BasicCredentials(environment["access_key"], environment["secret_key"], environment["project_id"])
    region = Region(environment["region"], environment["endpoint"])
    return DcsClient.new_builder().with_credentials(keys).with_region(region).build()


def _create_instance(client: Any, environment: dict[str, str], password: str) -> Any:
    zones = [zone.code for zone in client.list_available_zones(ListAvailableZonesRequest()).available_zones]
    body = CreateInstanceBody(
        name=NAME,
        engine="Redis",
        engine_version=VERSION,
        capacity=CAPACITY,
        spec_code=FLAVOR,
        az_codes=zones[:2],
        vpc_id=environment["vpc_id"],
        subnet_id=environment["subnet_id"],
        password=password,
        no_password_access=False,
    )
    made = client.create_instance(CreateInstanceRequest(body=body)).instances[0]
    return _watch(client, made.instance_id)


def _watch(client: Any, instance_id: str) -> Any:
    """The instance once it runs, with its progress shown meanwhile."""
    deadline = time.monotonic() + CREATE_SECONDS
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(30), TimeElapsedColumn())
    last = ""
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("Creating", total=None)
        while time.monotonic() < deadline:
            instance = client.show_instance(ShowInstanceRequest(instance_id=instance_id))
            step, percent = _step(client, instance_id)
            sight = f"{NAME}: {instance.status}" + (f", {step}" if step else "")
            progress.update(bar, description=sight, total=100, completed=percent or 0)
            if not console.is_terminal and sight != last:
                console.print(sight, markup=False)
                last = sight
            if instance.status == "RUNNING":
                progress.update(bar, description=f"{NAME}: RUNNING", completed=100)
                return instance
            if instance.status != "CREATING":
                raise DemoFailed(f"the instance ended in {instance.status}")
            time.sleep(0.1)
    raise DemoFailed(f"the instance was not running within {CREATE_SECONDS} s")


def _step(client: Any, instance_id: str) -> tuple[str | None, float | None]:
    """Step and percentage of the work under way, where the service tells."""
    try:
        tasks = client.list_background_task(ListBackgroundTaskRequest(instance_id=instance_id)).tasks
        if not tasks or tasks[0].status != "EXECUTING":
            return None, None
        request = ShowBackgroundTaskProgressRequest(instance_id=instance_id, task_id=tasks[0].id)
        found = client.show_background_task_progress(request)
    except SdkException:
        return None, None
    steps = [step.step_name for step in found.step_details or [] if not step.end_time]
    return (steps[0] if steps else None), found.progress


def _write_and_read(instance: Any, password: str) -> None:
    with redis.Redis(host=instance.ip, port=instance.port, password=password, decode_responses=True) as connection:
        value = secrets.token_hex(8)
        connection.set("greeting", value)
        came_back = connection.get("greeting")
    if came_back != value:
        raise DemoFailed(f"wrote {value!r} and read {came_back!r}")
    console.print(f"[bold]Key[/]      greeting = {came_back}, written and read through the instance's address")


def _print_for_clients(folder: Path, environment: dict[str, str], instance: Any) -> None:
    console.print("[bold]Credentials[/]")
    for key in ("user", "password", "domain", "project_id", "access_key", "secret_key"):
        console.print(f"  {key:<11} {environment[key]}", markup=False)
    console.print("\n[bold]For the SDK, Terraform and OpenStack clients[/] (cachestead env)")
    _plain(_printed("env", folder=folder))
    console.print("\n[bold]Terraform's provider[/] (cachestead env --format terraform)")
    _plain(_printed("env", "--format", "terraform", folder=folder))
    console.print("\n[bold]Redis[/]")
    _plain(f"redis-cli -h {instance.ip} -p {instance.port}   # then: AUTH <the password above>")


def _plain(text: str) -> None:
    # As it is: these lines are for copying, and a folded line would be another line.
    console.print(text.rstrip(), markup=False, soft_wrap=True)


def _stay(service: subprocess.Popen[bytes], folder: Path) -> None:
    console.print("\n[bold]The service runs until Ctrl-C.[/] In another terminal, for example:")
    _plain(f"  .venv/bin/cachestead instance list --data-dir {folder}")
    try:
        code = service.wait()
    except KeyboardInterrupt:
        console.print()
        return
    raise DemoFailed(f"the service has ended by itself (code {code})")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environ() -> dict[str, str]:
    """Our environment without settings meant for another installation."""
    return {key: value for key, value in os.environ.items() if not key.startswith("CACHESTEAD_")}


def _command(*words: str, folder: Path) -> list[str]:
    return [sys.executable, "-m", "cachestead", *words, "--data-dir", str(folder)]


def _cachestead(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = _command(*words, folder=folder)
    environ, patience = _environ(), STOP_SECONDS
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=patience, env=environ)


def _printed(*words: str, folder: Path) -> str:
    done = _cachestead(*words, folder=folder)
    if done.returncode != 0:
        raise DemoFailed(f"`cachestead {' '.join(words)}` failed: {done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
