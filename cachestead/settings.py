"""Every setting of the product: typed, grouped, with its unit, its default and the reason for it.

Read once, by `bootstrap.py`, from (strongest first) command-line flags, environment variables
(`CACHESTEAD_SERVER__PORT=8635`), a TOML file (`--config`, or `cachestead.toml` in the data directory) and the
defaults below. Rooms receive the group they need, never the whole.
"""

from __future__ import annotations

import ipaddress
import re
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import platformdirs
from pydantic import BaseModel, Field, SecretStr, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_ZONE = re.compile(rf"{_LABEL}(\.{_LABEL})*", re.IGNORECASE)
# A name has at most 253 characters; those of instances put 52 before the zone.
_ZONE_LENGTH = 200


class Group(BaseModel):
    """A group of settings; an unknown key is an error, because it is a typing mistake."""

    model_config = {"extra": "forbid", "frozen": True}


class ServerSettings(Group):
    """Where the HTTP API listens."""

    host: str = "127.0.0.1"
    """Loopback unless told otherwise: the API holds passwords."""
    port: int = Field(default=8635, ge=1, le=65535)
    """TCP port of the API, identity and (later) console."""
    public_url: str | None = None
    """Address that clients reach us by, for catalogue and links; made of host and port when absent."""
    max_body_bytes: int = Field(default=12 * 1024 * 1024, ge=1024)
    """Largest request body, in bytes; the public gateway's limit."""
    stop_grace_seconds: float = Field(default=10.0, ge=0)
    """How long a stop waits for running jobs; what is not done by then continues at the next start."""
    tls: bool = False
    """Whether it is HTTPS. Without a certificate of yours one is made, with an authority for clients to trust."""
    certificate: Path | None = None
    """Certificate to show (PEM, with those between it and the authority)."""
    private_key: Path | None = None
    """Private key that goes with it (PEM, not encrypted)."""

    @model_validator(mode="after")
    def _check_certificate(self) -> Self:
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("server.certificate and server.private_key go together")
        if self.certificate is not None and not self.tls:
            raise ValueError("server.certificate is for HTTPS: set server.tls too")
        return self


class LimitSettings(Group):
    """How much, how fast and how often anybody may ask the API. The size of bodies is `server.max_body_bytes`."""

    head_bytes: int = Field(default=32 * 1024, ge=1024)
    """Largest head of a request, in bytes; tokens and signatures take two or three thousand."""
    head_seconds: float = Field(default=10.0, gt=0)
    """How long a client may take to send the head, in seconds."""
    body_seconds: float = Field(default=60.0, gt=0)
    """How long it may take to send the body, in seconds; uploads keep to `objects.timeout_seconds`."""
    requests_per_second: float = Field(default=2000.0, ge=0)
    """Requests of one user, in the long run; 0 is without limit. About as many as the service answers in a second,
    so that nobody notices who does not keep all others out."""
    burst: int = Field(default=4000, ge=1)
    """Requests that a user may send at once, who has not for a while."""
    unsigned_per_second: float = Field(default=50.0, ge=0)
    """Requests of one address that are not signed in, attempts to sign in among them; 0 is without limit."""
    unsigned_burst: int = Field(default=500, ge=1)
    """The same at once."""


class IdentitySettings(Group):
    """The first tenant's names and how long credentials live."""

    domain: str = "cachestead"
    """Name of the first domain (account)."""
    user: str = "admin"
    """Name of its administrator."""
    password: SecretStr | None = None
    """Password of the administrator; made up at the first start when absent."""
    access_key: str | None = Field(default=None, min_length=8, max_length=64)
    """Access key of the administrator; made up at the first start when absent."""
    secret_key: SecretStr | None = None
    """Secret key that goes with it; made up at the first start when absent."""
    project_id: str | None = Field(default=None, pattern=r"^[0-9a-f]{32}$")
    """Id of the first project, for installations that must be reproducible; made up when absent."""
    token_hours: float = Field(default=24.0, gt=0)
    """Life of a token, in hours; the public service's figure."""
    clock_skew_seconds: int = Field(default=900, ge=1)
    """How far the date of a signed request may be off; 15 minutes, as usual for the scheme."""
    lockout_attempts: int = Field(default=5, ge=0)
    """Wrong passwords of a user in a row after which it is locked; the public service's figure. 0: never. The
    refusal reads as before, so that nobody learns which users there are; access keys and tokens go on."""
    lockout_minutes: float = Field(default=15.0, gt=0)
    """How long a locked user stays so and a wrong password counts, in minutes; the public service's figure."""
    failures_per_minute: int = Field(default=60, ge=1)
    """Refused sign-ins from one address within a minute; more are not even looked at, because to check a password
    costs tens of milliseconds on purpose."""


class TenantSettings(Group):
    """A further tenant: a domain of its own with one administrator and one project."""

    domain: str = Field(min_length=1, max_length=64)
    user: str = "admin"
    password: SecretStr
    access_key: str = Field(min_length=8, max_length=64)
    secret_key: SecretStr = Field(min_length=8)


class ZoneSettings(Group):
    """An availability zone: on one machine a name, on many a failure domain."""

    code: str
    name: str


def _three_zones() -> list[ZoneSettings]:
    return [ZoneSettings(code=f"local-1{letter}", name=f"AZ {n}") for n, letter in enumerate("abc", 1)]


class RegionSettings(Group):
    """The region: its zones and the network that instances get their addresses from."""

    id: str = "local-1"
    """Region id; also the name of each tenant's project, which is how clients find it."""
    zones: list[ZoneSettings] = Field(default_factory=_three_zones, min_length=1)
    """Availability zones, in order."""
    vpc_name: str = "vpc-default"
    subnet_name: str = "subnet-default"
    security_group_name: str = "default"
    subnet_cidr: str = "127.64.0.0/16"
    """Addresses of nodes and instances. All of 127.0.0.0/8 works on Linux without any set-up."""
    dns_zone: str = "dcs.cachestead.internal"
    """End of the instances' domain names, without a final dot."""

    @model_validator(mode="after")
    def _check_cidr(self) -> Self:
        network = ipaddress.ip_network(self.subnet_cidr)
        if network.version != 4 or network.num_addresses < 32:
            raise ValueError("region.subnet_cidr must be an IPv4 network of at least 32 addresses")
        return self

    @model_validator(mode="after")
    def _check_dns_zone(self) -> Self:
        if len(self.dns_zone) > _ZONE_LENGTH or not _ZONE.fullmatch(self.dns_zone):
            raise ValueError("region.dns_zone must be a domain name of letters, digits, hyphens and dots")
        return self


class NamesSettings(Group):
    """The small DNS server that answers for the instances' domain names, and for nothing else."""

    enabled: bool = True
    """Whether it runs. Without it names resolve only if somebody else answers for the region's zone."""
    host: IPv4Address | IPv6Address = IPv4Address("127.0.0.1")
    """Address it listens on; loopback, as the instances are."""
    port: int = Field(default=8653, ge=1, le=65535)
    """UDP and TCP port; not 53, which needs privileges and is often taken."""
    ttl_seconds: int = Field(default=5, ge=0, le=3600)
    """How long clients may believe an answer, in seconds; short, because roles change."""


class StoreSettings(Group):
    """Where records live."""

    database_url: str | None = None
    """SQLAlchemy URL, for example postgresql://user@host/db; SQLite in the data directory when absent."""
    pool_size: int = Field(default=10, ge=1)
    """Connections kept open per pool."""


class EngineSettings(Group):
    """Which engine binaries may be used."""

    binaries: list[Path] = Field(default_factory=list)
    """Paths of redis-server or valkey-server binaries, preferred over what is found on PATH."""
    search_path: bool = True
    """Whether redis-server and valkey-server on PATH are used for the versions they are."""


class CapacitySettings(Group):
    """How much the machine may promise."""

    memory_mb: int | None = Field(default=None, ge=64)
    """Memory that instances may be promised in all, in MiB; the machine's physical memory when absent."""
    overcommit: float = Field(default=1.0, gt=0)
    """Factor on that memory. A flavor is a ceiling, not a reservation, so a test machine may promise more."""


class QuotaSettings(Group):
    """Limits per project; the public service publishes none, so these keep one tenant from taking all."""

    instances: int = Field(default=200, ge=0)
    """Instances per project."""
    ram_gb: int = Field(default=1024, ge=0)
    """Memory per project, in GB."""
    templates: int = Field(default=100, ge=0)
    """Parameter templates of its own, per project."""


class FailoverSettings(Group):
    """How quickly a lost master is replaced."""

    sentinel_port: int = Field(default=26379, ge=1, le=65535)
    """Port of the three Sentinels, each on an address of its own."""
    down_after_ms: int = Field(default=5000, ge=200)
    """Silence after which a Sentinel calls a master down, in ms. A process that ends is seen at once by the
    supervisor; this figure is for hangs, and must outlast a slow command."""
    frozen_after_ms: int = Field(default=1000, ge=100)
    """How long a master may be stopped (state T) before it is ended and replaced, in ms."""
    health_seconds: float = Field(default=2.0, gt=0)
    """Pause between two passes of the health reconciler, in seconds."""


class JobSettings(Group):
    """How long work is run."""

    at_once: int = Field(default=8, ge=1)
    """Jobs that run at the same time; more would only make each slower on a small machine."""
    keep_days: int = Field(default=30, ge=1)
    """How long finished jobs and earlier changes of parameters stay listed, in days."""
    maintenance_seconds: float = Field(default=30.0, gt=0)
    """Pause between two looks at what waits for a maintenance window, in seconds."""


class BackupSettings(Group):
    """Backups by plan, and how long backups are kept."""

    seconds: float = Field(default=60.0, gt=0)
    """Pause between two looks at plans and at what is to be removed, in seconds. A plan says an hour, and what was
    missed is made up for: a minute is soon enough, and costs a query or two."""


class SessionSettings(Group):
    """Lists of sessions."""

    keep_hours: int = Field(default=24, ge=1)
    """How long the last list of a node's sessions can be read, in hours; it tells who a tenant's clients are."""


class MonitoringSettings(Group):
    """What is measured of instances, and who may read the figures of all tenants at once."""

    interval_seconds: int = Field(default=60, ge=1, le=300)
    """Time between two samples, in seconds, and what "per period" is about; the public service's figure."""
    keep_days: int = Field(default=1825, ge=1)
    """Nothing is kept for longer, in days. Samples are kept for 2, summaries of 5 and 20 minutes for 10 and 20,
    those of 1 and 4 hours for 155 and 300, those of a day for 1825."""
    token: SecretStr | None = Field(default=None, min_length=16)
    """Who sends it may read `/metrics`, which has the figures of every tenant; made up at the first start when
    absent, and printed by `cachestead env --format prometheus`."""


class CertificateSettings(Group):
    """Certificates of instances that clients reach by TLS."""

    days: int = Field(default=365, ge=1, le=825)
    """How long a node's certificate is good, in days; some clients take none for longer than 825."""
    renew_days: float = Field(default=30.0, ge=0)
    """How long before its end it is renewed, in days: time enough to see that it was not."""
    seconds: float = Field(default=3600.0, gt=0)
    """Pause between two looks at all certificates, in seconds."""


BucketName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
ProjectId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class ImportBucketSettings(Group):
    """A further bucket, beside the service's own, that some projects may import from."""

    name: BucketName
    projects: list[ProjectId]


class ObjectSettings(Group):
    """Where backups and uploads are kept: a folder, or a bucket of a server that speaks S3 (OBS, MinIO, AWS)."""

    bucket: BucketName = "cachestead"
    """Name of the service's own bucket: a folder below `objects` in the data directory or, with an endpoint, a
    bucket that is there."""
    endpoint: str | None = Field(default=None, pattern=r"^https?://[^/?#@]+/?$")
    """Address of the S3 server, for example https://obs.eu-de.otc.t-systems.com; a folder is used when absent."""
    region: str = "us-east-1"
    """Region that requests to the server are signed for; many servers take any."""
    access_key: str | None = None
    """Access key for the server."""
    secret_key: SecretStr | None = None
    """Secret key that goes with it."""
    virtual_host: bool = False
    """Whether the bucket is part of the host's name (OBS and AWS) or of the path (MinIO)."""
    ca_file: Path | None = None
    """Certificates (PEM) to trust besides the system's, for a server with a private authority."""
    direct_links: bool = True
    """Whether links to what is not encrypted lead to the server itself; if not, or in a folder, they lead here."""
    encrypt: bool = False
    """Whether what is put from now on is encrypted, in the age format. What is there can still be read."""
    import_buckets: list[ImportBucketSettings] = Field(default_factory=list)
    """Further buckets, on the same server or beside the same folder, that projects may import from."""
    max_upload_bytes: int = Field(default=5 * 1024**3, ge=1)
    """Largest file that a tenant may upload, in bytes; the size that OBS takes in one request."""
    max_uploads: int = Field(default=100, ge=0)
    """Uploaded files that a project may have at a time; they stay until they are deleted."""
    uploads_at_once: int = Field(default=4, ge=1)
    """Files that a project may upload at the same time; each takes three parts of memory."""
    part_mb: int = Field(default=16, ge=5, le=1024)
    """Size of the parts in which objects are sent, in MiB. Servers take 10 000; two are in memory at once."""
    connect_seconds: float = Field(default=5.0, gt=0)
    """How long a connection to the server may take, in seconds."""
    timeout_seconds: float = Field(default=30.0, gt=0)
    """How long the server, or an uploading client, may be silent, in seconds; enough to send one part."""
    retry_seconds: float = Field(default=20.0, ge=0)
    """For how long a request that failed is tried again, in seconds, before the work that needs it fails."""

    @model_validator(mode="after")
    def _check_server(self) -> Self:
        keys = (self.access_key, self.secret_key)
        if (self.endpoint is None and any(keys)) or (self.endpoint is not None and not all(keys)):
            raise ValueError("objects.endpoint, objects.access_key and objects.secret_key go together")
        return self


class AuditSettings(Group):
    """The audit trail: who changed what, and who was refused."""

    keep_days: int = Field(default=7, ge=1)
    """How long traces can be listed, in days; the public service's figure."""
    file: Path | None = None
    """File that each trace is also written to, as a line of JSON, for its owner only; none when absent."""
    file_mb: int = Field(default=100, ge=1)
    """Size at which the file is put aside, in MiB."""
    files: int = Field(default=10, ge=1)
    """Files that are kept beside the newest; older ones are deleted."""


class LogSettings(Group):
    """The program's own log."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"
    """auto: console on a terminal, JSON lines elsewhere."""


class Settings(BaseSettings):
    """All groups. `load_settings` is the way to make one."""

    model_config = SettingsConfigDict(
        env_prefix="CACHESTEAD_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    data_dir: Path = Field(default_factory=lambda: Path(platformdirs.user_data_dir("cachestead")))
    """Everything the program keeps: records, keys, node folders, objects."""
    server: ServerSettings = ServerSettings()
    limits: LimitSettings = LimitSettings()
    identity: IdentitySettings = IdentitySettings()
    tenants: list[TenantSettings] = Field(default_factory=list)
    region: RegionSettings = RegionSettings()
    names: NamesSettings = NamesSettings()
    store: StoreSettings = StoreSettings()
    engine: EngineSettings = EngineSettings()
    capacity: CapacitySettings = CapacitySettings()
    quotas: QuotaSettings = QuotaSettings()
    failover: FailoverSettings = FailoverSettings()
    jobs: JobSettings = JobSettings()
    backups: BackupSettings = BackupSettings()
    sessions: SessionSettings = SessionSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    certificates: CertificateSettings = CertificateSettings()
    objects: ObjectSettings = ObjectSettings()
    audit: AuditSettings = AuditSettings()
    log: LogSettings = LogSettings()

    @classmethod
    def settings_customise_sources(  # noqa: D102 - pydantic-settings' hook
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        toml = TomlConfigSettingsSource(settings_cls, _config_file)
        return init_settings, env_settings, toml

    @property
    def public_url(self) -> str:
        """Address clients use, without a final slash."""
        scheme = "https" if self.server.tls else "http"
        return (self.server.public_url or f"{scheme}://{self.server.host}:{self.server.port}").rstrip("/")


_config_file: Path | None = None


def load_settings(config: Path | None = None, **flags: Any) -> Settings:
    """Settings from flags, environment, file and defaults.

    `flags` are nested as the groups are (`server={"port": 1}`); None values are left out. Raises
    `FileNotFoundError` for a named file that is not there and pydantic's `ValidationError` for bad values.
    """
    global _config_file  # noqa: PLW0603 - pydantic-settings asks for sources on the class, not the call
    if config is not None and not config.is_file():
        raise FileNotFoundError(config)
    given = {key: value for key, value in flags.items() if value is not None}
    _config_file = config
    try:
        settings = Settings(**given)
        beside = settings.data_dir / "cachestead.toml"
        if config is None and beside.is_file():
            _config_file = beside
            settings = Settings(**given)
    finally:
        _config_file = None
    return settings.model_copy(update={"data_dir": settings.data_dir.expanduser().absolute()})
