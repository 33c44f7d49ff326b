"""`zone …`: where instances can be put."""

from __future__ import annotations

import typer

from cachestead.cli.options import Config, DataDir, Output, OutputFormat, examples
from cachestead.cli.printing import print_rows
from cachestead.cli.session import open_client

app = typer.Typer(no_args_is_help=True, help="Availability zones.")

COLUMNS = {"code": "ZONE", "name": "NAME", "id": "ID", "resource_availability": "ROOM"}


@app.command("list", epilog=examples("cachestead zone list"))
def list_zones(output: OutputFormat = Output.TABLE, data_dir: DataDir = None, config: Config = None) -> None:
    """List availability zones, and whether there is room in them."""
    with open_client(data_dir, config) as client:
        found = client.list_available_zones()
    print_rows(found, COLUMNS, output)
