"""Writes the pages of the manual that follow from the code, or (`--check`) says which of them are out of date.

`docs/settings.md` and the table in the README come from `settings.py`, `docs/errors.md` from the catalogue of
errors, `docs/states.md` from the table of transitions, `docs/coverage.md` from the routes and the operations in
`operations.csv`, `docs/proxy-commands.md` from the tables of the proxy, `docs/metrics.md` from the catalogue of
metrics. The words are those of the code; none are written here.
"""

from __future__ import annotations

import argparse
import ast
import csv
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from cachestead import errors, settings
from cachestead.api.v2 import CHAPTERS
from cachestead.domain.commands import COMMAND_NAMES
from cachestead.domain.history import KEPT, SAMPLED, Period
from cachestead.domain.instances import BUSY, TRANSITIONS, Mode, State
from cachestead.domain.metrics import INSTANCE, METRICS, NODE, PROXY, Metric, Whose
from cachestead.engine.acl import refused_commands
from cachestead.proxy import server as _handlers  # noqa: F401 - brings in all who answer commands
from cachestead.proxy.calls import ALONE, IMMEDIATE
from cachestead.proxy.keyspace import SPLIT
from cachestead.proxy.vocabulary import SHIELDED

ROOT = Path(__file__).resolve().parent.parent
NOTE = "<!-- Written by scripts/generate_docs.py; change the code it comes from instead. -->"
ABOUT_SETTINGS = """\
In the file, groups are tables (`[server]`) and lists of groups are arrays of tables (`[[tenants]]`). In the
environment, lists are written as JSON. Flags exist for what is changed most: see `cachestead up --help`."""
ABOUT_ERRORS = """\
An answer with an error is `{"error_code": …, "error_msg": …, "error_ext_msg": …}` with the status below and the
header `X-Request-Id`, by which the service's log can be searched. `{name}` stands for what the error is about."""
ABOUT_STATES = """\
What is not in this table is refused. The code says what stands in the way; where nothing special does, it is"""
ABOUT_COVERAGE = """\
The operations of the public API, in the order of its reference. *Section* is that of the English reference (of the
Chinese one for V1.0 and where only that has the operation); what has none is known from the official SDK only."""
ABOUT_PROXY_COMMANDS = """\
What clients of a Proxy Cluster and of read/write splitting may call, by version of the instance, and what is done
with it. A command is served if the engine behind the proxies knows it; *refused* commands answer `ERR unknown
command`. Keys of one call have to be in one slot on a Proxy Cluster unless the command is *split*; a hash tag
(`{…}`) puts them there. What stands in no line is passed on to the shard of its keys, and answered by the engine
itself.
[Decision 0010](decisions/0010-where-a-proxy-helps-more-than-the-documents-promise.md) says why."""
ABOUT_METRICS = """\
All of them are in namespace `SYS.DCS`. *Instance*, *nodes* and *proxies* say on which dimension a metric is:
`dcs_instance_id`, `dcs_instance_id,dcs_cluster_redis_node` and `dcs_instance_id,dcs_cluster_proxy2_node`.
Prometheus finds it as `cachestead_instance_…`, `cachestead_node_…` and `cachestead_proxy_…`. The node of a
single-node instance is the instance. Units "per period" are about the time between two samples
(`monitoring.interval_seconds`)."""
ABOUT_HISTORY = """\
How long figures are kept, and how far back one question may reach; one that reaches further begins later. Period
60 is made of samples when it is asked for."""
PROXY_VERSIONS = ("4.0", "5.0", "6.0")
BLOCKING = (
    "blmove", "blmpop", "blpop", "brpop", "brpoplpush", "bzmpop", "bzpopmax", "bzpopmin", "xread", "xreadgroup",
)  # fmt: skip
"""Commands that an engine calls blocking."""
COMMON = (
    "data_dir",
    "server.host",
    "server.port",
    "server.public_url",
    "identity.password",
    "region.subnet_cidr",
    "store.database_url",
    "engine.binaries",
    "capacity.overcommit",
    "quotas.instances",
    "failover.down_after_ms",
    "objects.endpoint",
    "log.level",
)
"""Settings that the README shows; the rest is in the page it points to."""


@dataclass(frozen=True)
class Setting:
    """One setting as the manual shows it."""

    group: str
    name: str
    kind: str
    default: str
    limits: str
    text: str

    @property
    def key(self) -> str:
        """Its place in the settings file."""
        return f"{self.group}.{self.name}" if self.group else self.name

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return "CACHESTEAD_" + self.key.upper().replace(".", "__")


def main() -> int:
    """Exit code 1 with `--check` if a page is not what the code says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail if something would change")
    check = parser.parse_args().check
    stale = [path for path, text in pages().items() if not path.exists() or path.read_text() != text]
    for path in stale:
        print(f"{'out of date' if check else 'written'}: {path.relative_to(ROOT)}")
    if check:
        if stale:
            print("Run scripts/generate_docs.py in the environment of scripts/check and commit what it writes.")
        return 1 if stale else 0
    for path in stale:
        path.write_text(pages()[path])
    return 0


def pages() -> dict[Path, str]:
    """Every generated page with the text it ought to have."""
    readme = ROOT / "README.md"
    return {
        ROOT / "docs" / "settings.md": render_settings(),
        ROOT / "docs" / "errors.md": render_errors(),
        ROOT / "docs" / "states.md": render_states(),
        ROOT / "docs" / "coverage.md": render_coverage(),
        ROOT / "docs" / "proxy-commands.md": render_proxy_commands(),
        ROOT / "docs" / "metrics.md": render_metrics(),
        readme: _replace_block(readme.read_text(), "settings", _common_table()),
    }


def render_settings() -> str:
    """The page of all settings."""
    lines = [
        "# Settings",
        NOTE,
        _paragraphs(settings),
        ABOUT_SETTINGS,
    ]
    grouped: dict[str, list[Setting]] = {}
    for setting in _all_settings():
        grouped.setdefault(setting.group, []).append(setting)
    for group, members in grouped.items():
        about = _group_text(group)
        lines.append(f"## {group or 'General'}" + (f"\n\n{about}" if about else ""))
        lines.append(_table(("Setting", "Environment", "Type", "Default", "Meaning"), map(_row, members)))
    for name, model in (("tenants", settings.TenantSettings), ("region.zones", settings.ZoneSettings)):
        lines.append(f"## Entries of {name}\n\n{inspect.getdoc(model)}")
        rows = [(f"`{one.name}`", one.kind, one.default, _meaning(one)) for one in _settings_of(model, "")]
        lines.append(_table(("Key", "Type", "Default", "Meaning"), rows))
    return _page(lines)


def render_errors() -> str:
    """The page of all errors."""
    rows = [
        (f"`{error.code}`", str(error.status), f"`{error.__name__}`", _sentence(error))
        for error in errors.catalogue()
    ]
    return _page(
        [
            "# Errors",
            NOTE,
            _paragraphs(errors),
            ABOUT_ERRORS,
            _table(("Code", "Status", "Name in the code", "Sentence"), rows),
        ]
    )


def render_states() -> str:
    """The page of an instance's states."""
    edges = [f"    {before} --> {after}: {event}" for (before, event), after in TRANSITIONS.items()]
    rows = [(f"`{before}`", str(event), f"`{after}`") for (before, event), after in TRANSITIONS.items()]
    busy = [(f"`{what}`", f"`{error.code}`", _sentence(error)) for what, error in BUSY.items()]
    reached = {state for (before, _), after in TRANSITIONS.items() for state in (before, after)}
    unused = ", ".join(f"`{state}`" for state in State if state not in reached)
    return _page(
        [
            "# States of an instance",
            NOTE,
            inspect.getdoc(State) or "",
            "\n".join(["```mermaid", "stateDiagram-v2", f"    [*] --> {State.CREATING}", *edges, "```"]),
            _table(("In state", "when", "becomes"), rows),
            f"{ABOUT_STATES} `{errors.WrongState.code}`.",
            _table(("While", "Code", "Sentence"), busy),
            f"States of the reference that nothing leads to yet: {unused}." if unused else "",
        ]
    )


def render_coverage() -> str:
    """The page of all operations: which are routed, which not yet."""
    with (ROOT / "scripts" / "operations.csv").open(newline="") as file:
        operations = list(csv.DictReader(file))
    routed = {getattr(route, "name", "") for chapter in CHAPTERS for route in chapter.router.routes}
    groups: dict[str, list[dict[str, str]]] = {}
    for one in operations:
        groups.setdefault(one["group"], []).append(one)
    kinds = {
        "documented (English reference)": [one for one in operations if "en-2025-05" in one["sources"]],
        "V2 in all, with those of the SDK only": [one for one in operations if one["api"] == "v2"],
        "V1.0": [one for one in operations if one["api"] == "v1.0"],
    }
    counts = [
        (name, str(sum(one["id"] in routed for one in members)), str(len(members)))
        for name, members in kinds.items()
    ]
    lines = ["# Coverage of the API", NOTE, ABOUT_COVERAGE, _table(("Operations", "Routed", "Of"), counts)]
    for group, members in groups.items():
        rows = [
            (
                one["section"],
                one["title"],
                f"`{one['id']}`",
                f"`{one['method']} {one['path']}`",
                "routed" if one["id"] in routed else "not yet",
            )
            for one in members
        ]
        lines += [f"## {group}", _table(("Section", "Title", "Operation", "Call", "State"), rows)]
    return _page(lines)


def render_proxy_commands() -> str:
    """What proxies do with each command."""
    refused = {
        mode: {version: refused_commands(version, mode) for version in PROXY_VERSIONS}
        for mode in (Mode.PROXY, Mode.HA_RW_SPLIT)
    }
    listed = {name for tables in refused.values() for table in tables.values() for name in table}
    names = sorted({*COMMAND_NAMES, *ALONE, *IMMEDIATE, *SHIELDED, *listed} - {"proxy"})
    rows = [
        (
            f"`{name.replace('|', ' ').upper()}`",
            *(_versions(name, table) for table in refused.values()),
            _how(name),
        )
        for name in names
    ]
    return _page(
        [
            NOTE,
            "# Commands through proxies",
            ABOUT_PROXY_COMMANDS,
            _table(("Command", "Proxy Cluster", "Read/write splitting", "How"), rows),
        ]
    )


def render_metrics() -> str:
    """What is measured, where, and how long it is kept."""
    rows = [
        (
            f"`{metric.id}`",
            metric.name,
            metric.unit,
            _of_instances(metric),
            "yes" if metric.has_level(NODE, Mode.CLUSTER) else "",
            "yes" if metric.has_level(PROXY, Mode.PROXY) else "",
        )
        for metric in METRICS
    ]
    kept = [
        (
            "as sampled (1)" if period.seconds == SAMPLED else f"{period.seconds} s",
            f"{period.keep_days} days",
            _reach(period),
        )
        for period in KEPT.values()
    ]
    return _page(
        [
            "# Metrics",
            NOTE,
            ABOUT_METRICS,
            _table(("Metric", "Name", "Unit", "Instance", "Nodes", "Proxies"), rows),
            "## History",
            ABOUT_HISTORY,
            _table(("Period", "Kept for", "At once"), kept),
        ]
    )


def _of_instances(metric: Metric) -> str:
    """Types of instance that have it, and whose figures it is made of."""
    modes = [mode for mode in Mode if metric.has_level(INSTANCE, mode)]
    if not modes:
        return ""
    types = "all types" if len(modes) == len(Mode) else ", ".join(f"`{mode}`" for mode in modes)
    return types + (": masters and replicas" if metric.instance is Whose.EVERY else "")


def _reach(period: Period) -> str:
    hours = period.longest_seconds // 3600
    return f"{hours} hours" if hours < 24 else f"{hours // 24} days"


def _versions(name: str, table: dict[str, frozenset[str]]) -> str:
    """For which versions a command is served."""
    container = name.partition("|")[0]
    if name in SHIELDED or container in SHIELDED:
        return "refused"
    served = [version for version, names in table.items() if not {name, container} & names]
    return "yes" if len(served) == len(table) else ", ".join(served) or "refused"


def _how(name: str) -> str:
    container = name.partition("|")[0]
    if (reason := SHIELDED.get(name) or SHIELDED.get(container)) is not None:
        return f"Refused: {reason}."
    if name in SPLIT:
        return "Split by slot and merged; with read/write splitting as it is."
    if name in BLOCKING:
        return "On a connection of its own, so that nobody waits behind it."
    handler = ALONE.get(name) or IMMEDIATE.get(name) or IMMEDIATE.get(container)
    return " ".join((inspect.getdoc(handler) or "").split("\n\n")[0].split()) if handler else "Passed on."


def _all_settings() -> Iterator[Setting]:
    yield from (one for one in _settings_of(settings.Settings, "") if one.name not in _groups())
    for group, model in _groups().items():
        yield from _settings_of(model, group)


def _groups() -> dict[str, type[BaseModel]]:
    found = {}
    for name, field in settings.Settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found[name] = field.annotation
    return found


def _group_text(group: str) -> str:
    return inspect.getdoc(_groups()[group]) or "" if group else ""


def _settings_of(model: type[BaseModel], group: str) -> Iterator[Setting]:
    written = _written_fields(model)
    for name, field in model.model_fields.items():
        kind, text = written[name]
        yield Setting(group, name, f"`{kind}`", _default(name, field), _limits(field), text)


def _written_fields(model: type[BaseModel]) -> dict[str, tuple[str, str]]:
    """Each field's annotation as written, and the docstring under it."""
    (tree,) = ast.parse(inspect.getsource(model)).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for statement, following in zip(tree.body, [*tree.body[1:], None], strict=True):
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        text = ""
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            text = " ".join(str(following.value.value).split())
        found[statement.target.id] = (ast.unparse(statement.annotation).replace("'", '"'), text)
    return found


def _default(name: str, field: FieldInfo) -> str:
    if name == "data_dir":
        return "the user's data folder"
    if field.is_required():
        return "must be given"
    value: Any = field.get_default(call_default_factory=True, validated_data={})
    if value is None:
        return "none"
    if isinstance(value, list):
        return ", ".join(
            f"`{item.code}`" if isinstance(item, settings.ZoneSettings) else str(item) for item in value
        ) or ("empty")
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _limits(field: FieldInfo) -> str:
    words = {
        "ge": "at least {}",
        "gt": "more than {}",
        "le": "at most {}",
        "min_length": "length at least {}",
        "max_length": "length at most {}",
        "pattern": "of the form `{}`",
    }
    found = []
    for limit in field.metadata:
        for name, text in words.items():
            value = getattr(limit, name, None)
            if value is not None:
                found.append(text.format(value))
    return ", ".join(found)


def _meaning(setting: Setting) -> str:
    limits = setting.limits and f"{setting.limits[0].upper()}{setting.limits[1:]}."
    return " ".join(filter(None, [setting.text, limits]))


def _row(setting: Setting) -> tuple[str, ...]:
    return f"`{setting.name}`", f"`{setting.variable}`", setting.kind, setting.default, _meaning(setting)


def _common_table() -> str:
    by_key = {setting.key: setting for setting in _all_settings()}
    rows = [(f"`{key}`", by_key[key].default, by_key[key].text) for key in COMMON]
    return _table(("Setting", "Default", "Meaning"), rows)


def _replace_block(text: str, name: str, block: str) -> str:
    pattern = re.compile(rf"(<!-- {name}: [^\n]*-->\n).*?(<!-- end {name} -->)", re.DOTALL)
    if not pattern.search(text):
        raise SystemExit(f"The README has no block called {name}.")
    return pattern.sub(lambda found: f"{found[1]}\n{block}\n\n{found[2]}", text)


def _table(headings: tuple[str, ...], rows: Any) -> str:
    lines = [headings, tuple("---" for _ in headings), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _paragraphs(module: Any) -> str:
    """A module's docstring without its line breaks."""
    return "\n\n".join(" ".join(part.split()) for part in (inspect.getdoc(module) or "").split("\n\n"))


def _sentence(error: type[errors.ServiceError]) -> str:
    return " ".join((inspect.getdoc(error) or "").split()).replace("_", "\\_")


def _page(parts: list[str]) -> str:
    return "\n\n".join(filter(None, parts)) + "\n"


if __name__ == "__main__":
    sys.exit(main())
