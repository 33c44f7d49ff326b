"""The only place that builds objects. Everything else is handed what it needs."""

from __future__ import annotations

import ipaddress
import secrets
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

import psutil
from dbos import DBOSConfig
from fastapi import FastAPI
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from cachestead.api.app import build_app
from cachestead.api.iam.room import Identity
from cachestead.api.services import Services
from cachestead.domain.flavors import FlavorCatalogue, parse_flavors
from cachestead.domain.parameters import ParameterCatalogue, parse_parameters
from cachestead.domain.sizes import MiB
from cachestead.engine.addresses import NodeAddress
from cachestead.engine.catalogue import Engine, find_engines
from cachestead.engine.config import SENTINEL_FILE, SentinelConf, render_sentinel_conf
from cachestead.engine.connection import Connections
from cachestead.engine.sentinel import Sentinels
from cachestead.identity.authentication import Authenticator
from cachestead.identity.authority import Authority
from cachestead.identity.certificates import ensure_certificate, names_for
from cachestead.identity.secrets import Vault
from cachestead.identity.seed import ensure_tenants
from cachestead.identity.sign_in import SignIn
from cachestead.local import (
    OBJECT_KEYS,
    SCRAPE_TOKEN,
    find_object_keys,
    find_scrape_token,
    open_database,
)
from cachestead.names.answers import Answers
from cachestead.names.directory import Directory
from cachestead.names.responder import Responder
from cachestead.objects.keys import ObjectKeys
from cachestead.objects.store import Objects
from cachestead.operations.audit import Trail
from cachestead.operations.service import Service, Zone
from cachestead.reconcilers.backups import Backups
from cachestead.reconcilers.certificates import Certificates
from cachestead.reconcilers.health import Health
from cachestead.reconcilers.leftovers import Leftovers, Retention
from cachestead.reconcilers.maintenance import Maintenance
from cachestead.reconcilers.sampler import Sampler
from cachestead.reconcilers.scripts import Scripts
from cachestead.runtime.interface import NodeRuntime, NodeSpec
from cachestead.runtime.process.addresses import is_free
from cachestead.runtime.process.packet_filter import PacketFilter
from cachestead.runtime.process.runtime import ProcessRuntime
from cachestead.runtime.process.vip_script import write_script
from cachestead.settings import CapacitySettings, RegionSettings, Settings
from cachestead.store import facts, networks
from cachestead.store.database import Database
from cachestead.workflows.all import ALL
from cachestead.workflows.machinery import Machinery
from cachestead.workflows.runner import Runner

SENTINEL_COUNT = 3
_SENTINEL_OWNER = "sentinel"
_AUTHORITY = "authority"


@dataclass(frozen=True)
class Application:
    """Everything that runs, built and not yet started."""

    settings: Settings
    database: Database
    machinery: Machinery
    runner: Runner
    health: Health
    leftovers: Leftovers
    maintenance: Maintenance
    backups: Backups
    scripts: Scripts
    certificates: Certificates
    sampler: Sampler
    registry: CollectorRegistry
    """The service's own figures, for Prometheus."""
    sentinels: SentinelNodes
    names: Responder | None
    http: FastAPI


class SentinelNodes:
    """The three Sentinels as nodes of the runtime."""

    def __init__(self, runtime: NodeRuntime, engine: Engine, addresses: list[NodeAddress], secret: str) -> None:
        self._runtime = runtime
        self._specs = {
            f"sentinel-{n}": NodeSpec(
                id=f"sentinel-{n}",
                command=(str(engine.path), SENTINEL_FILE, "--sentinel"),
                files={},
                # Written once: from then on a Sentinel keeps in it what it knows of its masters.
                initial_files={
                    SENTINEL_FILE: render_sentinel_conf(SentinelConf(engine, node.address, node.port, secret))
                },
                address=node.address,
                port=node.port,
                owner=_SENTINEL_OWNER,
            )
            for n, node in enumerate(addresses)
        }

    @property
    def ids(self) -> frozenset[str]:
        """Their node ids."""
        return frozenset(self._specs)

    async def ensure_all(self) -> None:
        """All three run."""
        for node in self._specs:
            await self.ensure(node)

    async def ensure(self, node: str) -> bool:
        """The Sentinel of this node id runs; False if it is no Sentinel's."""
        if node not in self._specs:
            return False
        await self._runtime.ensure_node(self._specs[node])
        return True


def load_flavors() -> FlavorCatalogue:
    """The catalogue that ships with the product."""
    return parse_flavors(resources.files("cachestead.domain").joinpath("data/flavors.csv").read_text())


def load_parameters() -> ParameterCatalogue:
    """The catalogue that ships with the product."""
    return parse_parameters(resources.files("cachestead.domain").joinpath("data/parameters.toml").read_text())


async def build(settings: Settings) -> Application:
    """Migrate the records, make what the first start makes, and put everything together."""
    make_private(settings.data_dir)
    vault = Vault.at(settings.data_dir)
    database = open_database(settings)
    await database.migrate()
    await ensure_tenants(database, vault, settings)
    engines = find_engines(settings.engine)
    runtime = ProcessRuntime(settings.data_dir / "nodes")
    addresses, sentinel_secret = await _sentinel_facts(database, vault, settings)
    machinery = Machinery(
        database=database,
        runtime=runtime,
        guards=PacketFilter(settings.data_dir),
        engines=engines,
        connections=Connections(),
        sentinels=Sentinels(addresses, sentinel_secret),
        vip_folder=settings.data_dir / "vip",
        vip_script=write_script(settings.data_dir / "vip"),
        staging_host=addresses[0].address,
        vault=vault,
        authority=await _authority(database, vault),
        certificates=settings.certificates,
        dns_zone=settings.region.dns_zone,
        flavors=load_flavors(),
        parameters=load_parameters(),
        failover=settings.failover,
        objects=await _objects(settings, database, vault),
        now=lambda: datetime.now(UTC),
    )
    sentinels = SentinelNodes(runtime, engines.newest(), addresses, sentinel_secret)
    runner = Runner(machinery, ALL, _dbos(settings), at_once=settings.jobs.at_once)
    authenticator = Authenticator(database, vault, settings.identity, settings.region.id)
    service = Service(
        machinery=machinery,
        worker=runner,
        region=settings.region,
        zones=zones_of(settings.region),
        quotas=settings.quotas,
        memory=promisable_memory(settings.capacity),
        is_address_free=is_free,
    )
    registry = _own_figures()
    return Application(
        settings=settings,
        database=database,
        machinery=machinery,
        runner=runner,
        health=Health(machinery, sentinels.ensure),
        leftovers=Leftovers(machinery, runner, sentinels.ids, _retention(settings)),
        maintenance=Maintenance(service),
        backups=Backups(service, timedelta(days=settings.jobs.keep_days)),
        scripts=Scripts(machinery),
        certificates=Certificates(machinery),
        sampler=Sampler(machinery, settings.monitoring),
        registry=registry,
        sentinels=sentinels,
        names=_names(settings, database),
        http=build_app(
            Services(
                settings,
                service,
                Identity(database, authenticator, SignIn(database, authenticator), settings.public_url),
                Trail(database, settings.audit),
                registry,
                await ensure_scrape_token(database, vault, settings),
            )
        ),
    )


def service_certificate(settings: Settings, authority: Authority) -> tuple[Path, Path] | None:
    """Files with what the API shows and with its key; made and renewed here where nobody gives them.

    None without HTTPS.
    """
    server = settings.server
    if not server.tls:
        return None
    if server.certificate is not None and server.private_key is not None:
        return server.certificate, server.private_key
    hosts = {server.host, "localhost", "127.0.0.1", urlsplit(settings.public_url).hostname or server.host}
    file = ensure_certificate(settings.data_dir / "tls", authority, names_for(hosts), datetime.now(UTC))
    return file, file


def make_private(folder: Path) -> None:
    """The folder is there and nobody else can look into it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)


def zones_of(region: RegionSettings) -> tuple[Zone, ...]:
    """The region's zones. Their ids are derived, so that they are the same at every start."""
    return tuple(
        Zone(uuid.uuid5(uuid.NAMESPACE_DNS, f"{zone.code}.{region.id}").hex, zone.code, zone.name)
        for zone in region.zones
    )


def promisable_memory(capacity: CapacitySettings) -> MiB:
    """What instances may be promised in all."""
    machine = capacity.memory_mb or psutil.virtual_memory().total // (1024 * 1024)
    return MiB(int(machine * capacity.overcommit))


def _retention(settings: Settings) -> Retention:
    """How long records are kept."""
    return Retention(
        jobs=timedelta(days=settings.jobs.keep_days),
        session_lists=timedelta(hours=settings.sessions.keep_hours),
        traces=timedelta(days=settings.audit.keep_days),
    )


def _names(settings: Settings, database: Database) -> Responder | None:
    """The instances' domain names, unless they are switched off."""
    names = settings.names
    if not names.enabled:
        return None
    answers = Answers(settings.region.dns_zone, names.ttl_seconds, names.host, Directory(database).find)
    return Responder(answers, names.host, names.port)


def _own_figures() -> CollectorRegistry:
    """What the process takes, in a registry of this service's own: the library's would be shared by all."""
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    return registry


async def ensure_scrape_token(database: Database, vault: Vault, settings: Settings) -> str:
    """The same, made up if there is none."""
    token = await find_scrape_token(database, vault, settings)
    if token is None:
        token = secrets.token_urlsafe(32)
        async with database.writing() as tx:
            await facts.save_fact(tx, SCRAPE_TOKEN, vault.seal({"token": token}))
    return token


async def _authority(database: Database, vault: Vault) -> Authority:
    """What signs certificates, made up at the first start."""
    async with database.writing() as tx:
        sealed = await facts.find_fact(tx, _AUTHORITY)
        if sealed is not None:
            return Authority(**vault.open(sealed))
        made = Authority.made_up(datetime.now(UTC))
        await facts.save_fact(tx, _AUTHORITY, vault.seal(asdict(made)))
    return made


async def _objects(settings: Settings, database: Database, vault: Vault) -> Objects:
    keys = await find_object_keys(database, vault)
    if keys is None:
        keys = ObjectKeys.made_up()
        async with database.writing() as tx:
            await facts.save_fact(tx, OBJECT_KEYS, vault.seal(asdict(keys)))
    objects = open_objects(settings, keys)
    objects.prepare()
    return objects


def open_objects(settings: Settings, keys: ObjectKeys) -> Objects:
    """Where backups and uploads are kept."""
    return Objects(settings.objects, settings.data_dir / "objects", keys, settings.public_url)


def _dbos(settings: Settings) -> DBOSConfig:
    """The workflows' own records: beside ours on PostgreSQL, in a second file on SQLite, which has one writer."""
    url = settings.store.database_url or f"sqlite:///{settings.data_dir / 'workflows.sqlite'}"
    return DBOSConfig(
        name="cachestead",
        system_database_url=url,
        # Steps look before they act, so any version may continue what another began.
        application_version="1",
        executor_id="local",
        log_level="WARNING",
        console_log_level="WARNING",
    )


async def _sentinel_facts(database: Database, vault: Vault, settings: Settings) -> tuple[list[NodeAddress], str]:
    """Where the Sentinels listen and what they ask for: chosen at the first start, the same ever after."""
    port = settings.failover.sentinel_port
    async with database.writing() as tx:
        sealed = await facts.find_fact(tx, _SENTINEL_OWNER)
        chosen = await networks.list_addresses_of(tx, _SENTINEL_OWNER)
        if sealed is None or len(chosen) < SENTINEL_COUNT:
            taken = await networks.list_taken_addresses(tx)
            hosts = (str(host) for host in ipaddress.ip_network(settings.region.subnet_cidr).hosts())
            free = (host for host in hosts if host not in taken and is_free(host, port))
            chosen = [next(free) for _ in range(SENTINEL_COUNT)]
            sealed = vault.seal({"secret": secrets.token_urlsafe(32)})
            await networks.remove_addresses_of(tx, _SENTINEL_OWNER)
            await networks.add_addresses(tx, _SENTINEL_OWNER, chosen)
            await facts.save_fact(tx, _SENTINEL_OWNER, sealed)
    return [NodeAddress(address, port) for address in chosen], vault.open(sealed)["secret"]
