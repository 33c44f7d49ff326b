"""`up` and `down`: the service on this machine."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer

from cachestead.cli.failures import CommandFailed
from cachestead.cli.installation import read_settings, running_pid, stop_service
from cachestead.cli.options import Config, DataDir
from cachestead.cli.printing import say
from cachestead.cli.release import find_release

LogFormat = Literal["auto", "json", "console"]
LogLevel = Literal["debug", "info", "warning", "error"]


def up(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; loopback when absent.", show_default=False)
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port of API and identity; 8635 when absent.", show_default=False)
    ] = None,
    data_dir: DataDir = None,
    config: Config = None,
    database_url: Annotated[
        str | None,
        typer.Option(
            help="postgresql://user@host/db; SQLite in the data folder when absent. A URL with a password "
            "belongs in CACHESTEAD_STORE__DATABASE_URL or the settings file, where other users do not see it.",
            show_default=False,
        ),
    ] = None,
    log_format: Annotated[LogFormat | None, typer.Option(help="Form of the log.", show_default=False)] = None,
    log_level: Annotated[
        LogLevel | None, typer.Option(help="Least urgent line to log.", show_default=False)
    ] = None,
) -> None:
    """Run the whole service until Ctrl-C or SIGTERM.

    The first start creates the domain, its administrator, project and keys; `cachestead env` prints them. Nodes
    outlive the service and are taken over at the next start.
    """
    settings = read_settings(
        data_dir,
        config,
        server={"host": host, "port": port},
        store={"database_url": database_url},
        log={"format": log_format, "level": log_level},
    )
    # Imported here: it brings the whole service with it, which no other command needs.
    from cachestead.main import AlreadyRunning, serve  # noqa: PLC0415

    if sys.stderr.isatty():
        say(f"Cachestead {find_release()} on {settings.public_url}, data in {settings.data_dir}.")
        say("Ctrl-C stops the service; `cachestead env`, in another terminal, prints what clients need.")
    try:
        serve(settings)
    except AlreadyRunning as exc:
        raise CommandFailed(
            f"A service already runs on {settings.data_dir} (process {running_pid(settings) or 'unknown'}).",
            advice="`cachestead down` stops it; `--data-dir` names another folder for a second service.",
        ) from exc


def down(
    everything: Annotated[
        bool, typer.Option("--all", help="Stop the instances' nodes too; their data stays.")
    ] = False,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Stop the service; with --all the nodes of its instances too."""
    settings = read_settings(data_dir, config)
    stopped = stop_service(settings)
    say("The service has stopped." if stopped else f"No service was running on {settings.data_dir}.")
    if everything:
        from cachestead.main import stop_nodes  # noqa: PLC0415 - see `up`

        say(f"Nodes stopped: {stop_nodes(settings)}.")
    elif stopped:
        say("Nodes go on and keep serving; `cachestead down --all` stops them too.")
