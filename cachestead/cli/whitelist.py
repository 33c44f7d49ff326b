"""`instance whitelist …`: whose connections an instance takes."""

from __future__ import annotations

from typing import Annotated

import typer

from cachestead.cli.client import Json
from cachestead.cli.failures import CommandFailed
from cachestead.cli.options import Config, DataDir, Output, OutputFormat, examples
from cachestead.cli.printing import print_json, print_rows, say
from cachestead.cli.session import Instance, get_instance, open_client

app = typer.Typer(
    no_args_is_help=True,
    help="Whose connections an instance takes.",
    epilog=examples("cachestead instance whitelist set sessions --group office=10.0.0.0/24,10.1.2.3"),
)

COLUMNS = {"group_name": "GROUP", "ip_list": "ADDRESSES"}


@app.command(epilog=examples("cachestead instance whitelist show sessions"))
def show(
    instance: Instance, output: OutputFormat = Output.TABLE, data_dir: DataDir = None, config: Config = None
) -> None:
    """Show an instance's whitelist."""
    with open_client(data_dir, config) as client:
        found = client.show_ip_whitelist(get_instance(client, instance)["instance_id"])
    if output is Output.JSON:
        print_json(found)
        return
    say("The whitelist is on." if found["enable_whitelist"] else "The whitelist is off: everybody is let in.")
    print_rows([one | {"ip_list": ", ".join(one["ip_list"])} for one in found["whitelist"]], COLUMNS, output)


@app.command(
    "set",
    epilog=examples(
        "cachestead instance whitelist set sessions --group office=10.0.0.0/24 --group admin=10.1.2.3,10.1.2.4"
    ),
)
def set_groups(
    instance: Instance,
    group: Annotated[
        list[str], typer.Option("--group", help="NAME=ADDRESS,ADDRESS; may be repeated.", show_default=False)
    ],
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Let only these in, in place of those who were. All others are refused, and disconnected."""
    _write(instance, data_dir, config, enabled=True, groups=[_read_group(one) for one in group])
    say("The whitelist is in force.")


@app.command(epilog=examples("cachestead instance whitelist on sessions"))
def on(instance: Instance, data_dir: DataDir = None, config: Config = None) -> None:
    """Let in only those on the list that there is."""
    _write(instance, data_dir, config, enabled=True)
    say("The whitelist is in force.")


@app.command(epilog=examples("cachestead instance whitelist off sessions"))
def off(instance: Instance, data_dir: DataDir = None, config: Config = None) -> None:
    """Let everybody in. The list stays, to be switched on again."""
    _write(instance, data_dir, config, enabled=False)
    say("Everybody is let in.")


def _write(
    name: str, data_dir: DataDir, config: Config, *, enabled: bool, groups: list[Json] | None = None
) -> None:
    """Write the groups, those that there are if none are given."""
    with open_client(data_dir, config) as client:
        one = str(get_instance(client, name)["instance_id"])
        known = client.show_ip_whitelist(one)["whitelist"] if groups is None else groups
        if enabled and not known:
            raise CommandFailed("There is nobody on the list.", advice="`… whitelist set` writes one.")
        client.update_ip_whitelist(one, {"enable_whitelist": enabled, "whitelist": known})


def _read_group(given: str) -> Json:
    name, _, addresses = given.partition("=")
    if not name or not addresses:
        raise CommandFailed(f"{given} is no group.", advice="Write NAME=ADDRESS,ADDRESS.")
    return {"group_name": name, "ip_list": addresses.split(",")}
