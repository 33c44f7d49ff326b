"""What commands print: tables for people, JSON for programs, sentences to standard error.

Data goes to standard output and remarks to standard error, so that `cachestead … -o json | jq` always works.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cachestead.cli.options import Output

_STATE_STYLES = {
    "RUNNING": "green",
    "SUCCESS": "green",
    "succeed": "green",
    "failed": "red",
    "CREATEFAILED": "red",
    "ERROR": "red",
    "FAIL": "red",
    "FAILED": "red",
    "FROZEN": "red",
}


def say(sentence: str) -> None:
    """A remark for the person at the terminal."""
    typer.echo(sentence, err=True)


def print_json(value: Any) -> None:
    """The value as indented JSON."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_rows(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], output: Output) -> None:
    """Rows as a table with the given columns (key to heading), or whole as JSON."""
    if output is Output.JSON:
        print_json(list(rows))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in columns.values():
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(key, row.get(key)) for key in columns))
    _console().print(table)


def print_fields(values: Mapping[str, Any], output: Output) -> None:
    """One thing, a line for each of its fields that has a value."""
    if output is Output.JSON:
        print_json(values)
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for key, value in values.items():
        if value not in (None, "", [], {}):
            table.add_row(escape(key), _cell(key, value))
    _console().print(table)


def _console() -> Console:
    # Where the output is no terminal there is no width to keep: a folded id would be useless to grep.
    found = Console()
    return found if found.is_terminal else Console(width=10_000)


def _cell(key: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        text = ", ".join(value)
    elif isinstance(value, list | dict):
        text = json.dumps(value, ensure_ascii=False)
    else:
        text = str(value)
    style = _STATE_STYLES.get(text) if key in {"status", "result"} else None
    return f"[{style}]{escape(text)}[/{style}]" if style else escape(text)
