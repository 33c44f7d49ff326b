"""`policy …`: documents that say what may be done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cachestead.cli.client import Json
from cachestead.cli.failures import CommandFailed
from cachestead.cli.named import get_policy, list_policies
from cachestead.cli.options import Config, DataDir, Output, OutputFormat, Yes, confirm, examples
from cachestead.cli.printing import print_json, print_rows
from cachestead.cli.session import open_client

app = typer.Typer(no_args_is_help=True, help="Policies: what may be done.")

COLUMNS = {"display_name": "NAME", "catalog": "KIND", "description": "DESCRIPTION", "id": "ID"}
Policy = Annotated[str, typer.Argument(help="Name or id.", show_default=False)]
Document = Annotated[
    Path, typer.Argument(help="File with the document (JSON).", exists=True, dir_okay=False, show_default=False)
]
Description = Annotated[str, typer.Option(help="A sentence about it.")]


@app.command("list", epilog=examples("cachestead policy list"))
def list_all(output: OutputFormat = Output.TABLE, data_dir: DataDir = None, config: Config = None) -> None:
    """List policies: the domain's own, then the system's."""
    with open_client(data_dir, config) as client:
        print_rows(list_policies(client), COLUMNS, output)


@app.command(epilog=examples("cachestead policy show lookers > lookers.json"))
def show(policy: Policy, data_dir: DataDir = None, config: Config = None) -> None:
    """Print the document of a policy."""
    with open_client(data_dir, config) as client:
        print_json(get_policy(client, policy)["policy"])


@app.command(epilog=examples("cachestead policy create lookers lookers.json"))
def create(
    name: Annotated[str, typer.Argument(help="Name, as no other has it.", show_default=False)],
    document: Document,
    description: Description = "",
    output: OutputFormat = Output.TABLE,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Make a policy of a document, of version 1.1 or 5.0."""
    body = _body(name, description, document)
    with open_client(data_dir, config) as client:
        print_rows([client.identity("POST", "/v3.0/OS-ROLE/roles", body)["role"]], COLUMNS, output)


@app.command(epilog=examples("cachestead policy update lookers lookers.json"))
def update(policy: Policy, document: Document, data_dir: DataDir = None, config: Config = None) -> None:
    """Give a policy another document. It counts from the next request on."""
    with open_client(data_dir, config) as client:
        found = get_policy(client, policy)
        body = _body(found["display_name"], found["description"], document)
        client.identity("PATCH", f"/v3.0/OS-ROLE/roles/{found['id']}", body)


@app.command(epilog=examples("cachestead policy delete lookers --yes"))
def delete(policy: Policy, yes: Yes = False, data_dir: DataDir = None, config: Config = None) -> None:
    """Delete a policy that no group has."""
    with open_client(data_dir, config) as client:
        found = get_policy(client, policy)
        confirm(f"Delete the policy {found['display_name']}?", yes=yes)
        client.identity("DELETE", f"/v3.0/OS-ROLE/roles/{found['id']}")


def _body(name: str, description: str, document: Path) -> Json:
    try:
        policy = json.loads(document.read_text())
    except ValueError as exc:
        raise CommandFailed(f"{document} is not JSON: {exc}.") from exc
    return {"role": {"display_name": name, "type": "AA", "description": description, "policy": policy}}
