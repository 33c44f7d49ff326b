"""`task …`: what was and is being done to an instance."""

from __future__ import annotations

from typing import Annotated

import typer

from cachestead.cli.options import Config, DataDir, Output, OutputFormat, examples
from cachestead.cli.printing import print_rows
from cachestead.cli.session import Instance, get_instance, open_client

app = typer.Typer(no_args_is_help=True, help="Work on instances, past and present.")

COLUMNS = {"name": "TASK", "status": "STATUS", "created_at": "BEGUN", "updated_at": "CHANGED", "id": "ID"}


@app.command("list", epilog=examples("cachestead task list sessions"))
def list_tasks(
    instance: Instance,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, the newest.")] = 20,
    output: OutputFormat = Output.TABLE,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """List the tasks of an instance, the newest first."""
    with open_client(data_dir, config) as client:
        found = client.list_background_tasks(get_instance(client, instance)["instance_id"], limit)
    print_rows(found, COLUMNS, output)
