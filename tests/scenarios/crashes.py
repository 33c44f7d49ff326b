"""Killing the service in the middle of a change, and waiting for what becomes of the change."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

import httpx
from installation import Installation, eventually

ANSWERED = "answered"
"""The moment when the request was answered, instead of the name of a step."""


@dataclass
class Crash:
    """Kills the service at a moment of a change, and starts it again."""

    installation: Installation

    def during(
        self, ask: Callable[[httpx.Client], httpx.Response], moment: str, later: float = 0.0
    ) -> httpx.Response | None:
        """Ask, kill at the moment or some seconds later, start again; the answer if there was one before the end."""
        answers: list[httpx.Response] = []

        def request() -> None:
            with contextlib.suppress(httpx.HTTPError):
                answers.append(ask(api))

        with self.installation.http() as api, (self.installation.folder / "service.log").open() as log:
            log.seek(0, 2)
            thread = threading.Thread(target=request)
            thread.start()
            if moment == ANSWERED:
                thread.join(30)
            else:
                await_step(log, moment)
            time.sleep(later)
            self.installation.kill()
            thread.join(30)
        self.installation.start()
        return answers[0] if answers else None


def await_step(log: IO[str], step: str) -> None:
    """The step begins, as the service writes into this log; what it wrote before does not count."""
    deadline, line = time.monotonic() + 30, ""
    while time.monotonic() < deadline:
        line += log.readline()
        if not line.endswith("\n"):
            time.sleep(0.0005)
            continue
        if '"event": "step"' in line and json.loads(line)["step"] == step:
            return
        line = ""
    raise AssertionError(f"step {step} was not reached")


def settled(installation: Installation, instance_id: str) -> dict[str, Any] | None:
    """The instance once nothing is being done to it any more; None if it is gone."""
    seen: list[dict[str, Any] | None] = []

    def look() -> bool:
        seen[:] = [installation.show(instance_id)]
        return seen[0] is None or (seen[0]["status"] in ("RUNNING", "CREATEFAILED") and not seen[0]["task"])

    eventually(look, 60)
    return seen[0]
