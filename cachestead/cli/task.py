"""`task …`: what was and is being done to an instance."""

from __future__ import annotations

from typing import Annotated

import typer

from cachestead.cli.client import Client, Json
from cachestead.cli.failures import CommandFailed
from cachestead.cli.options import Config, DataDir, Output, OutputFormat, examples
from cachestead.cli.printing import print_fields, print_rows
from cachestead.cli.session import Instance, get_instance, open_client

app = typer.Typer(no_args_is_help=True, help="Work on instances, past and present.")

COLUMNS = {"name": "TASK", "status": "STATUS", "created_at": "BEGUN", "updated_at": "CHANGED", "id": "ID"}
_MOST = 1000

Task = Annotated[str, typer.Argument(help="Id of the task.", show_default=False)]


@app.command("list", epilog=examples("cachestead task list sessions"))
def list_tasks(
    instance: Instance,
    limit: Annotated[int, typer.Option(min=1, max=_MOST, help="At most so many, the newest.")] = 20,
    output: OutputFormat = Output.TABLE,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """List the tasks of an instance, the newest first."""
    with open_client(data_dir, config) as client:
        found = client.list_background_tasks(get_instance(client, instance)["instance_id"], limit)
    print_rows(found, COLUMNS, output)


@app.command(epilog=examples("cachestead task show sessions 8abf6e1e72c12e7c0172c15b508500aa"))
def show(
    instance: Instance,
    task: Task,
    output: OutputFormat = Output.TABLE,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Show what a task changes, how far it is, and why it failed if it did."""
    with open_client(data_dir, config) as client:
        found = get_instance(client, instance)["instance_id"]
        listed = _find(client, found, task)
        progress = client.show_background_task_progress(found, task)
        reason = client.show_job_info(task).get("fail_reason")
    details = {key: value for key, value in (listed.pop("details") or {}).items() if value is not None}
    print_fields(listed | {"details": details, "fail_reason": reason} | progress, output)


@app.command(epilog=examples("cachestead task delete sessions 8abf6e1e72c12e7c0172c15b508500aa"))
def delete(
    instance: Instance,
    tasks: Annotated[list[str], typer.Argument(help="Ids of the tasks.", show_default=False)],
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Take tasks off the list. One that waits for its maintenance window is called off; one that runs stays."""
    with open_client(data_dir, config) as client:
        found = get_instance(client, instance)["instance_id"]
        for task in tasks:
            client.delete_background_task(found, task)


def _find(client: Client, instance: str, task: str) -> Json:
    for one in client.list_background_tasks(instance, _MOST):
        if one["id"] == task:
            return one
    raise CommandFailed(f"There is no task {task}.", advice="`cachestead task list NAME` shows all.")
