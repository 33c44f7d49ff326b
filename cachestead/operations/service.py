"""What operations work with, handed to them as one value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Protocol

from cachestead.domain.flavors import FlavorCatalogue
from cachestead.domain.jobs import Job
from cachestead.domain.orders import Network
from cachestead.domain.parameters import ParameterCatalogue
from cachestead.domain.sizes import MiB
from cachestead.identity.secrets import Vault
from cachestead.objects.store import Objects
from cachestead.settings import QuotaSettings, RegionSettings
from cachestead.store import networks
from cachestead.store.database import Database, Tx
from cachestead.store.remembered import Remembered
from cachestead.workflows.machinery import Machinery


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

    machinery: Machinery
    worker: Worker
    region: RegionSettings
    zones: tuple[Zone, ...]
    quotas: QuotaSettings
    memory: MiB
    """What the machine may promise in all."""
    is_address_free: Callable[[str, int], bool]
    """Whether nothing listens on an address and port of this machine."""

    networks: dict[str, Network] = field(default_factory=dict)
    """Those read so far, by project."""
    uploading: Counter[str] = field(default_factory=Counter)
    """Uploads that are running, by project."""

    @cached_property
    def pages(self) -> Remembered[Any]:
        """Pages of lists that clients poll."""
        return Remembered(self.database)

    @property
    def database(self) -> Database:
        """The records."""
        return self.machinery.database

    @property
    def flavors(self) -> FlavorCatalogue:
        """Every flavor there is."""
        return self.machinery.flavors

    @property
    def parameters(self) -> ParameterCatalogue:
        """Every parameter there is."""
        return self.machinery.parameters

    @property
    def vault(self) -> Vault:
        """What seals secrets."""
        return self.machinery.vault

    @property
    def objects(self) -> Objects:
        """Where backups and uploads are."""
        return self.machinery.objects

    async def network_of(self, tx: Tx, project: str) -> Network:
        """The project's network: made with the project, and never another, so it is read once."""
        if project not in self.networks:
            self.networks[project] = await networks.get_network(tx, project, self.region.subnet_cidr)
        return self.networks[project]

    def now(self) -> datetime:
        """The time."""
        return self.machinery.now()
