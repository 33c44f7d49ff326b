"""`template …`: parameters to make instances with."""

from __future__ import annotations

from typing import Annotated

import typer

from cachestead.cli.client import Client, Json
from cachestead.cli.failures import CommandFailed
from cachestead.cli.options import Config, DataDir, Output, OutputFormat, Yes, examples
from cachestead.cli.order import cache_mode_of
from cachestead.cli.parameter import COLUMNS as PARAMETER_COLUMNS
from cachestead.cli.parameter import Changed, read_assignments
from cachestead.cli.printing import print_json, print_rows
from cachestead.cli.session import open_client

app = typer.Typer(
    no_args_is_help=True,
    help="Parameter templates: values to make instances with.",
    epilog=examples(
        "cachestead template create web-defaults --from Default-Redis-7.0-ha-generic-DRAM timeout=300"
    ),
)

COLUMNS = {
    "name": "NAME",
    "type": "KIND",
    "engine_version": "VERSION",
    "cache_mode": "TYPE",
    "description": "DESCRIPTION",
    "template_id": "ID",
}
KINDS = ("user", "sys")


def complete_template(incomplete: str) -> list[str]:
    """Names of templates for the shell; none where the service cannot be asked."""
    try:
        with open_client(None, None) as client:
            names = [str(one["name"]) for kind in KINDS for one in client.list_config_templates(kind)]
    except CommandFailed:
        return []
    return sorted(name for name in names if name.startswith(incomplete))


def get_template(client: Client, given: str) -> Json:
    """The template with this id or name, the system's or one's own."""
    for kind in KINDS:
        for one in client.list_config_templates(kind):
            if given in (one["template_id"], one["name"]):
                return one
    raise CommandFailed(f"There is no template called {given}.", advice="`cachestead template list` shows all.")


Template = Annotated[str, typer.Argument(help="Name or id.", autocompletion=complete_template, show_default=False)]
Description = Annotated[str | None, typer.Option(help="A sentence about it.", show_default=False)]


@app.command("list", epilog=examples("cachestead template list --own", "cachestead template list --type cluster"))
def list_templates(
    own: Annotated[bool, typer.Option("--own", help="Only the project's own.")] = False,
    kind: Annotated[
        str | None, typer.Option("--type", help="single, ha, cluster, proxy or rw-split.", show_default=False)
    ] = None,
    engine_version: Annotated[str | None, typer.Option(help="Redis version.", show_default=False)] = None,
    output: OutputFormat = Output.TABLE,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """List templates: the project's own, then the system's."""
    filters = {"cache_mode": kind and cache_mode_of(kind), "engine_version": engine_version}
    wanted = {key: value for key, value in filters.items() if value is not None}
    with open_client(data_dir, config) as client:
        kinds = KINDS[:1] if own else KINDS
        found = [one for name in kinds for one in client.list_config_templates(name, **wanted)]
    print_rows(found, COLUMNS, output)


@app.command(epilog=examples("cachestead template show web-defaults --changed"))
def show(
    template: Template,
    changed: Changed = False,
    output: OutputFormat = Output.TABLE,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Show a template's parameters, each beside the default."""
    with open_client(data_dir, config) as client:
        found = get_template(client, template)
        detail = client.show_config_template(found["template_id"], found["type"])
    params = [one for one in detail["params"] if not changed or one["param_value"] != one["default_value"]]
    if output is Output.JSON:
        print_json(detail | {"params": params})
    else:
        print_rows(params, PARAMETER_COLUMNS, output)


@app.command(
    epilog=examples(
        "cachestead template create web-defaults --from Default-Redis-7.0-ha-generic-DRAM timeout=300",
        "cachestead instance create sessions --template web-defaults",
    )
)
def create(
    name: Annotated[str, typer.Argument(help="Name, as no other has it.", show_default=False)],
    source: Annotated[
        str,
        typer.Option(
            "--from", help="Template to begin with.", autocompletion=complete_template, show_default=False
        ),
    ],
    assignments: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME=VALUE...", help="What is to be different.", show_default=False),
    ] = None,
    description: Description = None,
    output: OutputFormat = Output.TABLE,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Make a template of one that is there, for its version and type."""
    values = read_assignments(assignments or [])
    with open_client(data_dir, config) as client:
        found = get_template(client, source)
        body: Json = {"template_id": found["template_id"], "type": found["type"], "name": name, "params": values}
        if description is not None:
            body["description"] = description
        made = client.show_config_template(client.create_custom_template(body), "user")
    made.pop("params", None)
    print_rows([made], COLUMNS, output)


@app.command(epilog=examples("cachestead template update web-defaults timeout=300 --name web"))
def update(
    template: Template,
    assignments: Annotated[
        list[str] | None, typer.Argument(metavar="NAME=VALUE...", help="Values to change.", show_default=False)
    ] = None,
    name: Annotated[str | None, typer.Option(help="New name.", show_default=False)] = None,
    description: Description = None,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Change one of the project's own templates. Instances that were made from it stay as they are."""
    wishes = {"name": name, "description": description, "params": read_assignments(assignments or []) or None}
    body: Json = {key: value for key, value in wishes.items() if value is not None}
    if not body:
        raise CommandFailed("Nothing to change was given.")
    with open_client(data_dir, config) as client:
        client.update_config_template(get_template(client, template)["template_id"], body)


@app.command(epilog=examples("cachestead template delete web-defaults --yes"))
def delete(
    template: Template,
    yes: Yes = False,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Delete one of the project's own templates. Instances that were made from it keep their values."""
    with open_client(data_dir, config) as client:
        found = get_template(client, template)
        if not yes and not typer.confirm(f"Delete the template {found['name']}?", err=True):
            raise CommandFailed("Nothing was changed.")
        client.delete_config_template(found["template_id"])
