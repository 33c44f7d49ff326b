"""Options and arguments that several commands share, so that they are spelled and explained alike."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from cachestead.cli.failures import CommandFailed


class Output(StrEnum):
    """How a command prints what it found."""

    TABLE = "table"
    JSON = "json"


DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", help="Folder of the installation; the user's data folder when absent.", show_default=False
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="Settings file (TOML); cachestead.toml in the data folder when absent.",
        show_default=False,
    ),
]
OutputFormat = Annotated[Output, typer.Option("--output", "-o", help="A table for people or JSON for programs.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", "-w", help="Stay until it is done and show the progress.")]
Timeout = Annotated[float, typer.Option("--timeout", min=1, help="Longest wait, in seconds.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def confirm(question: str, *, yes: bool) -> None:
    """Nothing, once somebody said yes; else `CommandFailed`."""
    if not yes and not typer.confirm(question, err=True):
        raise CommandFailed("Nothing was changed.")


def examples(*commands: str) -> str:
    """The end of a help page: commands to copy."""
    return "\n\n".join(["Examples:", *(escape(f"  $ {command}") for command in commands)])
