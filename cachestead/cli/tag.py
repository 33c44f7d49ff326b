"""`tag …`: what instances are called by besides their names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from cachestead.cli.failures import CommandFailed
from cachestead.cli.options import Config, DataDir, Output, OutputFormat, examples
from cachestead.cli.printing import print_rows
from cachestead.cli.session import Instance, complete_instance, get_instance, open_client

app = typer.Typer(no_args_is_help=True, help="Tags of instances.")

COLUMNS = {"key": "KEY", "value": "VALUE"}
TENANT_COLUMNS = {"key": "KEY", "values": "VALUES"}


@app.command("list", epilog=examples("cachestead tag list", "cachestead tag list sessions -o json"))
def list_tags(
    instance: Annotated[
        str | None,
        typer.Argument(
            help="Name or id; all instances when absent.", autocompletion=complete_instance, show_default=False
        ),
    ] = None,
    output: OutputFormat = Output.TABLE,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """List the tags of an instance, or each key with the values it has on any."""
    with open_client(data_dir, config) as client:
        if instance is None:
            print_rows(client.list_tags_of_tenant(), TENANT_COLUMNS, output)
        else:
            print_rows(client.show_tags(get_instance(client, instance)["instance_id"]), COLUMNS, output)


@app.command("set", epilog=examples("cachestead tag set sessions team=blue stage=test"))
def set_tags(
    instance: Instance,
    tags: Annotated[list[str], typer.Argument(metavar="KEY=VALUE...", help="Tags.", show_default=False)],
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Add tags to an instance. A key that is there takes the new value."""
    wanted = [{"key": key, "value": value} for key, value in read_tags(tags).items()]
    with open_client(data_dir, config) as client:
        client.batch_create_or_delete_tags(get_instance(client, instance)["instance_id"], "create", wanted)


@app.command("remove", epilog=examples("cachestead tag remove sessions stage"))
def remove_tags(
    instance: Instance,
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="Keys of the tags.", show_default=False)],
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Remove tags of an instance by their keys. One that is not there is no mistake."""
    with open_client(data_dir, config) as client:
        unwanted = [{"key": key} for key in keys]
        client.batch_create_or_delete_tags(get_instance(client, instance)["instance_id"], "delete", unwanted)


def read_tags(given: Sequence[str]) -> dict[str, str]:
    """Tags as they are written on a command line, by key; `CommandFailed` for what is no pair."""
    pairs = [text.partition("=") for text in given]
    if any(not key or not separator for key, separator, _ in pairs):
        raise CommandFailed("A tag is written KEY=VALUE.")
    return {key: value for key, _, value in pairs}
