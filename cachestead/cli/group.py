"""`group …`: users who may do the same, and which policies they have where."""

from __future__ import annotations

from typing import Annotated

import typer

from cachestead.cli.client import Client
from cachestead.cli.named import get_group, get_policy, get_user
from cachestead.cli.options import Config, DataDir, Output, OutputFormat, Yes, confirm, examples
from cachestead.cli.printing import print_fields, print_rows
from cachestead.cli.session import open_client

app = typer.Typer(no_args_is_help=True, help="Groups of users and what they may do.")

COLUMNS = {"name": "NAME", "description": "DESCRIPTION", "id": "ID"}
Group = Annotated[str, typer.Argument(help="Name or id of the group.", show_default=False)]
User = Annotated[str, typer.Argument(help="Name or id of the user.", show_default=False)]
Policy = Annotated[str, typer.Argument(help="Name or id of the policy.", show_default=False)]


@app.command("list", epilog=examples("cachestead group list"))
def list_groups(output: OutputFormat = Output.TABLE, data_dir: DataDir = None, config: Config = None) -> None:
    """List groups."""
    with open_client(data_dir, config) as client:
        print_rows(client.identity("GET", "/v3/groups")["groups"], COLUMNS, output)


@app.command(epilog=examples("cachestead group show readers"))
def show(
    group: Group, output: OutputFormat = Output.TABLE, data_dir: DataDir = None, config: Config = None
) -> None:
    """Show a group: who is in it, and its policies."""
    with open_client(data_dir, config) as client:
        found = get_group(client, group)
        users = client.identity("GET", f"/v3/groups/{found['id']}/users")["users"]
        roles = client.identity("GET", _roles(found["domain_id"], found["id"]))["roles"]
    found.pop("links", None)
    shown = {"users": [user["name"] for user in users], "policies": [role["display_name"] for role in roles]}
    print_fields(found | shown, output)


@app.command(epilog=examples("cachestead group create readers"))
def create(
    name: Annotated[str, typer.Argument(help="Name, as no other has it.", show_default=False)],
    description: Annotated[str, typer.Option(help="A sentence about it.")] = "",
    output: OutputFormat = Output.TABLE,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Make a group."""
    body = {"group": {"name": name, "description": description}}
    with open_client(data_dir, config) as client:
        print_rows([client.identity("POST", "/v3/groups", body)["group"]], COLUMNS, output)


@app.command(epilog=examples("cachestead group delete readers --yes"))
def delete(group: Group, yes: Yes = False, data_dir: DataDir = None, config: Config = None) -> None:
    """Delete a group. Its users stay, without its policies."""
    with open_client(data_dir, config) as client:
        found = get_group(client, group)
        confirm(f"Delete the group {found['name']}?", yes=yes)
        client.identity("DELETE", f"/v3/groups/{found['id']}")


@app.command(epilog=examples("cachestead group add readers ann"))
def add(group: Group, user: User, data_dir: DataDir = None, config: Config = None) -> None:
    """Put a user into a group."""
    with open_client(data_dir, config) as client:
        client.identity("PUT", _member(client, group, user))


@app.command(epilog=examples("cachestead group remove readers ann"))
def remove(group: Group, user: User, data_dir: DataDir = None, config: Config = None) -> None:
    """Take a user out of a group."""
    with open_client(data_dir, config) as client:
        client.identity("DELETE", _member(client, group, user))


@app.command(epilog=examples('cachestead group grant readers "DCS ReadOnlyAccess"'))
def grant(group: Group, policy: Policy, data_dir: DataDir = None, config: Config = None) -> None:
    """Give a group a policy, in the domain and all of its projects."""
    with open_client(data_dir, config) as client:
        client.identity("PUT", _grant(client, group, policy))


@app.command(epilog=examples('cachestead group revoke readers "DCS ReadOnlyAccess"'))
def revoke(group: Group, policy: Policy, data_dir: DataDir = None, config: Config = None) -> None:
    """Take a policy from a group."""
    with open_client(data_dir, config) as client:
        client.identity("DELETE", _grant(client, group, policy))


def _member(client: Client, group: str, user: str) -> str:
    return f"/v3/groups/{get_group(client, group)['id']}/users/{get_user(client, user)['id']}"


def _grant(client: Client, group: str, policy: str) -> str:
    found = get_group(client, group)
    return _roles(found["domain_id"], found["id"], f"/{get_policy(client, policy)['id']}")


def _roles(domain: str, group: str, role: str = "") -> str:
    return f"/v3/OS-INHERIT/domains/{domain}/groups/{group}/roles{role}/inherited_to_projects"
