"""`key …`: access keys, which programs sign their requests with."""

from __future__ import annotations

from typing import Annotated

import typer

from cachestead.cli.client import Client
from cachestead.cli.named import get_user
from cachestead.cli.options import Config, DataDir, Output, OutputFormat, Yes, confirm, examples
from cachestead.cli.printing import print_fields, print_rows
from cachestead.cli.session import open_client

app = typer.Typer(no_args_is_help=True, help="Access keys of users.")

COLUMNS = {"access": "ACCESS KEY", "status": "STATUS", "create_time": "MADE AT", "description": "DESCRIPTION"}
_ALL = "/v3.0/OS-CREDENTIAL/credentials"
User = Annotated[str, typer.Argument(help="Name or id of the user.", show_default=False)]
Key = Annotated[str, typer.Argument(help="Access key.", show_default=False)]


@app.command("list", epilog=examples("cachestead key list ann"))
def list_keys(
    user: User, output: OutputFormat = Output.TABLE, data_dir: DataDir = None, config: Config = None
) -> None:
    """List the access keys of a user."""
    with open_client(data_dir, config) as client:
        found = client.identity("GET", _ALL, query={"user_id": get_user(client, user)["id"]})
        print_rows(found["credentials"], COLUMNS, output)


@app.command(epilog=examples("cachestead key create robot -o json"))
def create(
    user: User,
    description: Annotated[str, typer.Option(help="A sentence about it.")] = "",
    output: OutputFormat = Output.TABLE,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Make an access key. Its secret key is printed now and never again."""
    with open_client(data_dir, config) as client:
        body = {"credential": {"user_id": get_user(client, user)["id"], "description": description}}
        print_fields(client.identity("POST", _ALL, body)["credential"], output)


@app.command(epilog=examples("cachestead key disable PABCDEFGHIJKLMNOPQRS"))
def disable(key: Key, data_dir: DataDir = None, config: Config = None) -> None:
    """Refuse what an access key signs, at once, until it is enabled again."""
    with open_client(data_dir, config) as client:
        _save(client, key, "inactive")


@app.command(epilog=examples("cachestead key enable PABCDEFGHIJKLMNOPQRS"))
def enable(key: Key, data_dir: DataDir = None, config: Config = None) -> None:
    """Take what an access key signs again."""
    with open_client(data_dir, config) as client:
        _save(client, key, "active")


@app.command(epilog=examples("cachestead key delete PABCDEFGHIJKLMNOPQRS --yes"))
def delete(key: Key, yes: Yes = False, data_dir: DataDir = None, config: Config = None) -> None:
    """Delete an access key."""
    with open_client(data_dir, config) as client:
        confirm(f"Delete the access key {key}?", yes=yes)
        client.identity("DELETE", f"{_ALL}/{key}")


def _save(client: Client, key: str, status: str) -> None:
    client.identity("PUT", f"{_ALL}/{key}", {"credential": {"status": status}})
