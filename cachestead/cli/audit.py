"""`audit …`: who did what, when and from where."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated

import typer

from cachestead.cli.options import Config, DataDir, Output, OutputFormat, examples
from cachestead.cli.printing import print_rows
from cachestead.cli.session import open_client

app = typer.Typer(no_args_is_help=True, help="The audit trail.")

COLUMNS = {
    "at": "AT",
    "user": "USER",
    "trace_name": "WHAT",
    "resource_id": "ON",
    "source_ip": "FROM",
    "code": "RESULT",
}


@app.command(
    "list", epilog=examples("cachestead audit list --hours 24", "cachestead audit list --user ann -o json")
)
def list_traces(
    hours: Annotated[float, typer.Option(min=0, help="How far to look back, in hours.")] = 1,
    limit: Annotated[int, typer.Option(min=1, help="Traces at most.")] = 100,
    user: Annotated[str | None, typer.Option(help="Name of a user.", show_default=False)] = None,
    resource: Annotated[str | None, typer.Option(help="Id of what was changed.", show_default=False)] = None,
    output: OutputFormat = Output.TABLE,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """List changes, sign-ins and refusals, the newest first."""
    end = round(time.time() * 1000)
    wishes = {"user": user, "resource_id": resource}
    filters = {key: value for key, value in wishes.items() if value is not None}
    with open_client(data_dir, config) as client:
        found = client.list_traces(end - round(hours * 3_600_000), end, limit, **filters)
    if output is Output.TABLE:
        for trace in found:
            trace["at"] = datetime.fromtimestamp(trace["time"] / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
            trace["user"] = trace["user"]["name"]
    print_rows(found, COLUMNS, output)
