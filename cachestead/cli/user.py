"""`user …`: who may sign in. What a user may do is what its groups have."""

from __future__ import annotations

from typing import Annotated

import typer

from cachestead.cli.client import Json
from cachestead.cli.failures import CommandFailed
from cachestead.cli.named import get_user
from cachestead.cli.options import Config, DataDir, Output, OutputFormat, Yes, confirm, examples
from cachestead.cli.printing import print_fields, print_rows
from cachestead.cli.session import open_client

app = typer.Typer(no_args_is_help=True, help="Users of the domain.")

COLUMNS = {"name": "NAME", "enabled": "ENABLED", "description": "DESCRIPTION", "id": "ID"}
User = Annotated[str, typer.Argument(help="Name or id.", show_default=False)]
Description = Annotated[str | None, typer.Option(help="A sentence about it.", show_default=False)]
Email = Annotated[str | None, typer.Option(help="Mail address.", show_default=False)]
Password = Annotated[bool, typer.Option("--password", help="Ask for a password, to sign in with.")]


@app.command("list", epilog=examples("cachestead user list"))
def list_users(output: OutputFormat = Output.TABLE, data_dir: DataDir = None, config: Config = None) -> None:
    """List users."""
    with open_client(data_dir, config) as client:
        print_rows(client.identity("GET", "/v3/users")["users"], COLUMNS, output)


@app.command(epilog=examples("cachestead user show ann"))
def show(user: User, output: OutputFormat = Output.TABLE, data_dir: DataDir = None, config: Config = None) -> None:
    """Show a user and the groups that it is in."""
    with open_client(data_dir, config) as client:
        found = get_user(client, user)["id"]
        detail = client.identity("GET", f"/v3.0/OS-USER/users/{found}")["user"]
        groups = client.identity("GET", f"/v3/users/{found}/groups")["groups"]
    detail.pop("links", None)
    print_fields(detail | {"groups": [group["name"] for group in groups]}, output)


@app.command(epilog=examples("cachestead user create ann --password", "cachestead user create robot"))
def create(
    name: Annotated[str, typer.Argument(help="Name, as no other has it.", show_default=False)],
    password: Password = False,
    description: Description = None,
    email: Email = None,
    output: OutputFormat = Output.TABLE,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Make a user. Without a password it can only sign requests with an access key."""
    body = _body(password=password, name=name, description=description, email=email)
    with open_client(data_dir, config) as client:
        made = client.identity("POST", "/v3.0/OS-USER/users", {"user": body})["user"]
    print_rows([made], COLUMNS, output)


@app.command(epilog=examples("cachestead user update ann --disable", "cachestead user update ann --password"))
def update(
    user: User,
    enabled: Annotated[bool | None, typer.Option("--enable/--disable", help="Whether it may sign in.")] = None,
    password: Password = False,
    name: Annotated[str | None, typer.Option(help="New name.", show_default=False)] = None,
    description: Description = None,
    email: Email = None,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Change a user. A disabled one is refused at once, whatever it signed in with."""
    body = _body(password=password, name=name, description=description, email=email, enabled=enabled)
    if not body:
        raise CommandFailed("Nothing to change was given.")
    with open_client(data_dir, config) as client:
        client.identity("PUT", f"/v3.0/OS-USER/users/{get_user(client, user)['id']}", {"user": body})


@app.command(epilog=examples("cachestead user delete ann --yes"))
def delete(user: User, yes: Yes = False, data_dir: DataDir = None, config: Config = None) -> None:
    """Delete a user with its access keys. What it made stays."""
    with open_client(data_dir, config) as client:
        found = get_user(client, user)
        confirm(f"Delete the user {found['name']}?", yes=yes)
        client.identity("DELETE", f"/v3/users/{found['id']}")


def _body(*, password: bool, **fields: str | bool | None) -> Json:
    """The fields that were given; the password is asked for, so that no history of a shell has it."""
    body: Json = {key: value for key, value in fields.items() if value is not None}
    if password:
        body["password"] = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    return body
