"""What operations work with, handed to them as one value."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from cachestead.domain.flavors import FlavorCatalogue
from cachestead.domain.jobs import Job
from cachestead.domain.sizes import MiB
from cachestead.domain.instances import Instance
from cachestead.engine.observing import InstanceLoad
from cachestead.identity.secrets import Vault
from cachestead.settings import QuotaSettings, RegionSettings
from cachestead.store.database import Database


@dataclass(frozen=True)
class Zone:
    """An availability zone."""

    id: str
    code: str
    name: str


class Worker(Protocol):
    """Runs jobs. Operations save a job first and nudge the worker after."""

    def nudge(self) -> None:
        """There may be new jobs."""

    async def wait(self, job_id: str, seconds: float) -> Job | None:
        """The job once it is final, or None if it is not by then."""


@dataclass(frozen=True)
class Service:
    """The operations' collaborators."""

    database: Database
    flavors: FlavorCatalogue
    region: RegionSettings
    zones: tuple[Zone, ...]
    quotas: QuotaSettings
    memory: MiB
    """What the machine may promise in all."""
    vault: Vault
    worker: Worker
    observe: Callable[[Sequence[Instance]], Awaitable[dict[str, InstanceLoad]]]
    """Figures from the engines, by instance id; instances that do not answer are left out."""
    now: Callable[[], datetime]
    is_address_free: Callable[[str, int], bool]
    """Whether nothing listens on an address and port of this machine."""
