"""`flavor …`: what can be created."""

from __future__ import annotations

from typing import Annotated

import typer

from cachestead.cli.options import Config, DataDir, Output, OutputFormat, examples
from cachestead.cli.order import cache_mode_of, shards_of
from cachestead.cli.printing import print_rows
from cachestead.cli.session import open_client

app = typer.Typer(no_args_is_help=True, help="Sizes and types that can be created.")

COLUMNS = {
    "spec_code": "FLAVOR",
    "cache_mode": "TYPE",
    "capacity": "GB",
    "shards": "SHARDS",
    "replica_count": "NODES",
    "engine_version": "VERSIONS",
    "cpu_type": "CPU",
    "product_type": "EDITION",
}


@app.command("list", epilog=examples("cachestead flavor list --type ha --capacity 1"))
def list_flavors(
    kind: Annotated[
        str | None,
        typer.Option("--type", help="single, ha, cluster, proxy or rw-split.", show_default=False),
    ] = None,
    engine_version: Annotated[str | None, typer.Option(help="Redis version.", show_default=False)] = None,
    capacity: Annotated[float | None, typer.Option(help="Memory, in GB.", show_default=False)] = None,
    spec_code: Annotated[str | None, typer.Option(help="One flavor.", show_default=False)] = None,
    output: OutputFormat = Output.TABLE,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """List flavors."""
    filters = {
        "cache_mode": kind and cache_mode_of(kind),
        "engine_version": engine_version,
        "capacity": None if capacity is None else f"{capacity:g}",
        "spec_code": spec_code,
    }
    with open_client(data_dir, config) as client:
        found = client.list_flavors(**{key: value for key, value in filters.items() if value is not None})
    rows = found if output is Output.JSON else [one | {"shards": shards_of(one)} for one in found]
    print_rows(rows, COLUMNS, output)
