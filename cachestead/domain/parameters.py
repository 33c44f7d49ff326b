"""Parameters: which ones an instance has, what they may be, and what they are.

The catalogue is data (`data/parameters.toml`, facts of the public service); this file gives it types and judges
values. An instance's record has only what was chosen; `values_of` fills in the rest, so that defaults which are a
share of a flavor follow it. Reference: sections 4.4 and 4.14.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cachestead import errors
from cachestead.domain.flavors import Flavor
from cachestead.domain.instances import Mode

Values = dict[str, str]
"""Values by the parameter's name."""

_NUMBER = re.compile(r"-?[0-9]{1,19}")
_LONGEST_PATTERN = 11
"""Letters that a set of notifications can have; what is longer repeats one."""


class Kind(StrEnum):
    """What values of a parameter are."""

    INTEGER = "integer"
    CHOICE = "choice"
    """One word of a list."""
    EVENTS = "pattern"
    """Letters of `notify-keyspace-events`."""
    TEXT = "text"
    """One word of a list, or nothing."""


class ConfigStatus(StrEnum):
    """How a change of parameters is doing (section 4.4.1)."""

    UPDATING = "UPDATING"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"


@dataclass(frozen=True)
class Parameter:
    """One parameter as an instance has it: figures of the flavor are filled in."""

    id: str
    name: str
    text: str
    """What it does, for people."""
    kind: Kind
    range: str
    """What it may be, as the API prints it."""
    default: str
    needs_restart: bool = False
    """Whether it is in force only after a restart. The engines take all there are while they run."""

    @property
    def bounds(self) -> tuple[int, int]:
        """The least and the greatest, of a number."""
        least, _, most = self.range.partition("-")
        return int(least), int(most)

    def check(self, value: str) -> str:
        """The value as it is kept; raises `InvalidParameterValue`."""
        match self.kind:
            case Kind.INTEGER:
                least, most = self.bounds
                if not _NUMBER.fullmatch(value) or not least <= int(value) <= most:
                    raise self._refusal(f"a whole number, {self.range}")
                return str(int(value))
            case Kind.CHOICE | Kind.TEXT:
                if not self._is_choice(value):
                    raise self._refusal(f"one of {self.range or 'nothing here'}")
            case Kind.EVENTS:
                if not _are_events(value, self.range):
                    raise self._refusal("K or E, then A or letters of g$lshzxe, each once; or empty")
        return value

    def nearest(self, value: str) -> str:
        """The value, or the nearest one that may be: flavor and type may have changed since it was chosen."""
        match self.kind:
            case Kind.INTEGER:
                least, most = self.bounds
                return str(min(max(int(value), least), most))
            case Kind.CHOICE | Kind.TEXT:
                return value if self._is_choice(value) else self.default
            case Kind.EVENTS:
                return value

    def _is_choice(self, value: str) -> bool:
        return value == self.default or value in self.range.split(",")

    def _refusal(self, detail: str) -> errors.InvalidParameterValue:
        return errors.InvalidParameterValue(f"{self.name}: {detail}", name=self.name)


def _are_events(value: str, pattern: str) -> bool:
    if len(value) > _LONGEST_PATTERN or len(set(value)) < len(value) or not re.fullmatch(pattern, value):
        return False
    return "A" not in value or not set(value) & set("g$lshzxe")


@dataclass(frozen=True)
class _Entry:
    """One parameter of the catalogue."""

    id: str
    name: str
    text: str
    kind: str
    range: str
    default: str
    modes: tuple[str, ...]
    default_of_cluster: str | None = None
    default_without_replicas: str | None = None
    refused: Mapping[str, tuple[str, ...]] | None = None
    """Documented values that cannot be had here, by type."""

    @property
    def depends_on_flavor(self) -> bool:
        return "{" in self.default

    def bind(self, mode: Mode, flavor: Flavor | None) -> Parameter:
        figures = _figures(mode, flavor) if flavor and self.depends_on_flavor else {}
        return Parameter(
            id=self.id,
            name=self.name,
            text=self.text,
            kind=Kind(self.kind),
            range=self._range(mode).format_map(figures) if figures else self._range(mode),
            default=self._default(mode, flavor).format_map(figures),
        )

    def _range(self, mode: Mode) -> str:
        refused = (self.refused or {}).get(mode)
        return ",".join(word for word in self.range.split(",") if word not in refused) if refused else self.range

    def _default(self, mode: Mode, flavor: Flavor | None) -> str:
        if mode is Mode.CLUSTER and self.default_of_cluster is not None:
            return self.default_of_cluster
        if flavor and flavor.replica_count == 1 and self.default_without_replicas is not None:
            return self.default_without_replicas
        return self.default


def _figures(mode: Mode, flavor: Flavor) -> dict[str, int]:
    # A Proxy Cluster's clients are counted in all, a Redis Cluster's by node.
    parts = 1 if mode.has_proxies else flavor.sharding_num
    return {
        "node_memory": flavor.node_memory,
        "tenth_of_memory": flavor.node_memory // 10,
        "clients": flavor.max_connections // parts,
        "client_limit": flavor.max_connections_limit // parts,
    }


@dataclass(frozen=True)
class Wanted:
    """A value that a caller names a parameter for: by id, by name, or by both."""

    value: str
    id: str | None = None
    name: str | None = None


class ParameterCatalogue:
    """Every parameter there is, in the catalogue's order."""

    def __init__(self, entries: Iterable[_Entry]) -> None:
        self._entries = tuple(entries)

    def parameters_of(self, mode: Mode, flavor: Flavor | None = None) -> list[Parameter]:
        """The parameters of a type; without a flavor, those that depend on none, as templates have them."""
        return [
            entry.bind(mode, flavor)
            for entry in self._entries
            if mode in entry.modes and (flavor or not entry.depends_on_flavor)
        ]

    def id_of(self, name: str) -> str:
        """The id of a parameter that is there."""
        return next(entry.id for entry in self._entries if entry.name == name)

    def values_of(self, mode: Mode, flavor: Flavor, chosen: Mapping[str, str]) -> Values:
        """What every parameter of an instance is that has chosen these values."""
        return {
            one.name: one.nearest(chosen[one.name]) if one.name in chosen else one.default
            for one in self.parameters_of(mode, flavor)
        }


def check_values(parameters: Iterable[Parameter], wanted: Iterable[Wanted]) -> Values:
    """The values as they are kept, by name. Raises `InvalidParameterValue` for the first that cannot be."""
    by_id, by_name = {}, {}
    for one in parameters:
        by_id[one.id], by_name[one.name] = one, one
    kept: Values = {}
    for wish in wanted:
        named = (wish.name or wish.id or "")[:64]
        found = by_name.get(wish.name) if wish.name is not None else by_id.get(wish.id or "")
        if found is None or wish.id not in (None, found.id):
            which = f"param_id {wish.id[:64]!r} of " if wish.id and wish.name else ""
            raise errors.InvalidParameterValue(f"{which}{named!r}: no parameter of this instance", name=named)
        if found.name in kept:
            raise errors.InvalidParameterValue(f"{found.name}: there twice", name=found.name)
        kept[found.name] = found.check(wish.value)
    return kept


def parse_parameters(text: str) -> ParameterCatalogue:
    """The catalogue out of its TOML text."""
    rows = tomllib.loads(text)["parameter"]
    return ParameterCatalogue(_Entry(**{**row, "modes": tuple(row["modes"])}) for row in rows)


@dataclass(frozen=True)
class ValueChange:
    """One parameter of a change."""

    name: str
    before: str
    after: str


@dataclass(frozen=True)
class ParameterChange:
    """A change of an instance's parameters, as the records keep it."""

    id: str
    instance_id: str
    job_id: str
    status: ConfigStatus
    changes: tuple[ValueChange, ...]
    created_at: datetime
    updated_at: datetime
    """When it came to its end, if it has."""


def plan_change(before: Mapping[str, str], wanted: Mapping[str, str]) -> tuple[ValueChange, ...]:
    """What changes when these values become those wanted."""
    return tuple(ValueChange(name, before[name], value) for name, value in wanted.items())
