"""`parameter …`: an instance's parameters, and what was changed about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from cachestead.cli.client import Client
from cachestead.cli.failures import CommandFailed
from cachestead.cli.options import Config, DataDir, Output, OutputFormat, Timeout, Wait, examples
from cachestead.cli.printing import print_fields, print_rows
from cachestead.cli.session import Instance, get_instance, open_client
from cachestead.cli.waiting import wait_for_job

app = typer.Typer(
    no_args_is_help=True,
    help="Parameters of instances.",
    epilog=examples("cachestead parameter set sessions maxmemory-policy=allkeys-lru --wait"),
)

COLUMNS = {
    "param_name": "PARAMETER",
    "param_value": "VALUE",
    "default_value": "DEFAULT",
    "value_range": "RANGE",
    "description": "MEANING",
}
CHANGES = {"created_at": "BEGUN", "status": "STATUS", "history_id": "CHANGE"}

Changed = Annotated[bool, typer.Option("--changed", help="Only those that are not at their default.")]


def _complete_assignment(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of the instance's parameters; none where the service cannot be asked."""
    try:
        with open_client(None, None) as client:
            instance = get_instance(client, str(ctx.params.get("instance") or ""))["instance_id"]
            names = [f"{one['param_name']}=" for one in client.list_configurations(instance)["redis_config"]]
    except CommandFailed:
        return []
    return [name for name in names if name.startswith(incomplete)]


Assignments = Annotated[
    list[str],
    typer.Argument(
        metavar="NAME=VALUE...",
        help="Parameters with their values.",
        autocompletion=_complete_assignment,
        show_default=False,
    ),
]


def read_assignments(given: Sequence[str]) -> dict[str, str]:
    """Values by name."""
    pairs = [text.partition("=") for text in given]
    if not all(name and sign for name, sign, _ in pairs):
        raise CommandFailed("A parameter is written NAME=VALUE.")
    return {name: value for name, _, value in pairs}


@app.command(
    "list", epilog=examples("cachestead parameter list sessions", "cachestead parameter list carts --changed")
)
def list_parameters(
    instance: Instance,
    changed: Changed = False,
    output: OutputFormat = Output.TABLE,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """List an instance's parameters with what they are and what they may be."""
    with open_client(data_dir, config) as client:
        found = client.list_configurations(get_instance(client, instance)["instance_id"])["redis_config"]
    rows = [one for one in found if not changed or one["param_value"] != one["default_value"]]
    print_rows(rows, COLUMNS, output)


@app.command(
    "set",
    epilog=examples(
        "cachestead parameter set sessions maxmemory-policy=allkeys-lru --wait",
        "cachestead parameter set sessions timeout=300 slowlog-log-slower-than=5000",
    ),
)
def set_parameters(
    instance: Instance,
    assignments: Assignments,
    wait: Wait = False,
    timeout: Timeout = 60,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Give parameters other values; clients notice nothing else of it."""
    values = read_assignments(assignments)
    with open_client(data_dir, config) as client:
        found = get_instance(client, instance)
        job = client.update_instance_config(found["instance_id"], values)
        if wait:
            wait_for_job(client, found, job, timeout)


@app.command(
    epilog=examples(
        "cachestead parameter history sessions",
        "cachestead parameter history sessions 4ae8507f-7992-40e2-9928-41ccf1db4bdc",
    )
)
def history(
    instance: Instance,
    change: Annotated[
        str | None, typer.Argument(help="One change, with its values before and after.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many, the newest.")] = 20,
    output: OutputFormat = Output.TABLE,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """List what was changed about an instance's parameters, the newest first, or show one change."""
    with open_client(data_dir, config) as client:
        found = get_instance(client, instance)["instance_id"]
        if change is None:
            print_rows(client.list_config_histories(found, limit), CHANGES, output)
        else:
            _show(client, found, change, output)


def _show(client: Client, instance: str, change: str, output: Output) -> None:
    detail = client.show_config_history_detail(instance, change)
    if output is Output.JSON:
        print_fields(detail, output)
        return
    values = {one["param_name"]: f"{one['old_value']} -> {one['new_value']}" for one in detail.pop("redis_config")}
    print_fields(detail | values, output)
