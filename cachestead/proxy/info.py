"""INFO of an instance out of what its masters say: one server, as plain clients expect. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_FIRST = frozenset({"server", "replication", "persistence", "modules", "cluster", "cpu"})
"""Sections that are not summed: the first master speaks for all."""
_GREATEST = ("_peak", "_ratio", "_perc", "max_", "_policy", "maxclients", "_eta", "latest_", "slowest")
_KEYSPACE = re.compile(r"keys=(\d+),expires=(\d+),avg_ttl=(\d+)")


def merge_info(texts: Sequence[str], own: Mapping[str, Mapping[str, object]]) -> str:
    """The masters' INFO as one: counters summed, ratios their greatest; `own` fields of a section go before."""
    sections: dict[str, dict[str, list[str]]] = {}
    for text in texts:
        name = ""
        for line in text.splitlines():
            if line.startswith("# "):
                name = line[2:]
                sections.setdefault(name, {})
            elif ":" in line:
                field, _, value = line.partition(":")
                sections.setdefault(name, {}).setdefault(field, []).append(value)
    parts = []
    for name, fields in sections.items():
        replaced = own.get(name, {})
        lines = [
            f"{field}:{replaced.get(field, _merged(name.lower(), field, values))}"
            for field, values in fields.items()
        ]
        lines += [f"{field}:{value}" for field, value in replaced.items() if field not in fields]
        parts.append("\r\n".join([f"# {name}", *lines, ""]))
    missing = [name for name in own if name not in sections and name == "Proxy"]
    parts += [
        "\r\n".join([f"# {name}", *(f"{key}:{value}" for key, value in own[name].items()), ""]) for name in missing
    ]
    return "\r\n".join(parts)


def _merged(section: str, field: str, values: Sequence[str]) -> str:
    if len(values) == 1 or section in _FIRST:
        return values[0]
    if section == "keyspace":
        rows = [tuple(map(int, found.groups())) for value in values if (found := _KEYSPACE.match(value))]
        keys, expires = sum(row[0] for row in rows), sum(row[1] for row in rows)
        lifetime = sum(row[1] * row[2] for row in rows) // expires if expires else 0
        return f"keys={keys},expires={expires},avg_ttl={lifetime}"
    if section in ("commandstats", "latencystats", "errorstats"):
        return _summed(section, values)
    try:
        numbers = [int(value) for value in values]
    except ValueError:
        return _greatest(values)
    return str(max(numbers) if any(part in field for part in _GREATEST) else sum(numbers))


def _greatest(values: Sequence[str]) -> str:
    try:
        return max(values, key=float)
    except ValueError:
        return values[0]


def _summed(section: str, values: Sequence[str]) -> str:
    """Counters within one field (`calls=1,usec=5,…`), added up; of percentiles the greatest."""
    sums: dict[str, float] = {}
    for value in values:
        for pair in value.split(","):
            name, _, number = pair.partition("=")
            amount = float(number)
            is_sum = section != "latencystats" and name != "usec_per_call"
            sums[name] = sums.get(name, 0) + amount if is_sum else max(sums.get(name, 0), amount)
    if "usec_per_call" in sums:
        sums["usec_per_call"] = sums["usec"] / sums["calls"] if sums["calls"] else 0
    return ",".join(
        f"{name}={amount:.2f}"
        if name == "usec_per_call"
        else f"{name}={amount:g}"
        if section == "latencystats"
        else f"{name}={amount:.0f}"
        for name, amount in sums.items()
    )
