"""`instance …`: the commands on instances, named as the operations of the reference are."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import typer

from cachestead.cli import ssl, whitelist
from cachestead.cli.client import Client, Json
from cachestead.cli.failures import CommandFailed
from cachestead.cli.options import Config, DataDir, Output, OutputFormat, Timeout, Wait, Yes, confirm, examples
from cachestead.cli.order import Order, build_body, cache_mode_of, choose_flavor, choose_zones, newest_version
from cachestead.cli.password import AskPassword, NoPassword, Password, PasswordStdin, choose_password
from cachestead.cli.printing import print_fields, print_json, print_rows, say
from cachestead.cli.session import Instance, complete_instance, get_instance, open_client
from cachestead.cli.shape import nodes, resize, swap
from cachestead.cli.tag import read_tags
from cachestead.cli.template import complete_template, get_template
from cachestead.cli.waiting import Goal, wait_for

app = typer.Typer(no_args_is_help=True, help="Create, look at, change and delete instances.")
app.add_typer(ssl.app, name="ssl")

COLUMNS = {
    "name": "NAME",
    "instance_id": "ID",
    "status": "STATUS",
    "spec_code": "FLAVOR",
    "engine_version": "VERSION",
    "ip": "ADDRESS",
    "port": "PORT",
}

Instances = Annotated[
    list[str], typer.Argument(help="Names or ids.", autocompletion=complete_instance, show_default=False)
]


@app.command(
    epilog=examples(
        "cachestead instance create sessions --wait",
        "cachestead instance create cache --type single --capacity 1 --no-password",
        "cachestead instance create events --type cluster --shards 4",
        "cachestead instance create views --type rw-split --replicas 3",
        'printf %s "$PASSWORD" | cachestead instance create orders --password-stdin -w',
    )
)
def create(
    name: Annotated[str, typer.Argument(help="Name; a batch is numbered after it.", show_default=False)],
    kind: Annotated[
        str,
        typer.Option(
            "--type",
            help="single, ha (master and standby), cluster (Redis Cluster), proxy (Proxy Cluster) or rw-split "
            "(read/write splitting).",
        ),
    ] = "ha",
    engine_version: Annotated[
        str | None,
        typer.Option("--engine-version", help="Redis version; the newest when absent.", show_default=False),
    ] = None,
    capacity: Annotated[
        float | None, typer.Option(help="Memory, in GB; the smallest when absent.", show_default=False)
    ] = None,
    flavor: Annotated[
        str | None, typer.Option(help="Spec code instead of a choice by type and memory.", show_default=False)
    ] = None,
    replicas: Annotated[
        int | None, typer.Option(min=0, help="Replicas beside each master; usually 1.", show_default=False)
    ] = None,
    shards: Annotated[
        int | None, typer.Option(min=1, help="Shards of cluster or proxy.", show_default=False)
    ] = None,
    zone: Annotated[
        list[str] | None, typer.Option("--zone", help="Zone; may be repeated.", show_default=False)
    ] = None,
    count: Annotated[int | None, typer.Option(help="How many, up to 100.", show_default=False)] = None,
    port: Annotated[int | None, typer.Option(help="Port; 6379 when absent.", show_default=False)] = None,
    private_ip: Annotated[str | None, typer.Option(help="Address out of the subnet.", show_default=False)] = None,
    description: Annotated[str | None, typer.Option(help="A sentence about it.", show_default=False)] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", help="KEY=VALUE; may be repeated.", show_default=False)
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            help="Parameter template, by name or id.", autocompletion=complete_template, show_default=False
        ),
    ] = None,
    vpc_id: Annotated[
        str | None, typer.Option(help="VPC; the installation's when absent.", show_default=False)
    ] = None,
    subnet_id: Annotated[
        str | None, typer.Option(help="Subnet; the installation's when absent.", show_default=False)
    ] = None,
    ask_password: AskPassword = False,
    password_stdin: PasswordStdin = False,
    no_password: NoPassword = False,
    wait: Wait = False,
    timeout: Timeout = 600,
    output: OutputFormat = Output.TABLE,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Create an instance, or several alike.

    The password comes from --ask-password, --password-stdin or the variable CACHESTEAD_INSTANCE_PASSWORD. Without
    any of them one is made up and printed, once.
    """
    mode = cache_mode_of(kind)
    order = Order(
        name=name,
        mode=mode,
        engine_version=engine_version or newest_version(mode),
        capacity=capacity,
        flavor=flavor,
        replicas=replicas,
        shards=shards,
        zones=tuple(zone or ()),
        count=count,
        port=port,
        private_ip=private_ip,
        description=description,
        tags=read_tags(tag or []),
        vpc_id=vpc_id,
        subnet_id=subnet_id,
    )
    password = choose_password(ask=ask_password, stdin=password_stdin, none=no_password)
    with open_client(data_dir, config) as client:
        if template is not None:
            order = replace(order, template_id=get_template(client, template)["template_id"])
        made = _create(client, order, password)
        # Before the wait: whoever interrupts it still has to know the password.
        if password.made_up and output is Output.TABLE:
            say(f"Password: {password.value}")
        if wait:
            wait_for(client, {one["instance_id"]: one["instance_name"] for one in made}, Goal.RUNNING, timeout)
        found = [client.show_instance(one["instance_id"]) for one in made]
    if output is Output.JSON:
        print_json([one | ({"password": password.value} if password.made_up else {}) for one in found])
    else:
        print_rows(found, COLUMNS, output)


@app.command(
    "list", epilog=examples("cachestead instance list", "cachestead instance list --status RUNNING -o json")
)
def list_instances(
    name: Annotated[str | None, typer.Option(help="Part of the name.", show_default=False)] = None,
    status: Annotated[str | None, typer.Option(help="State, as RUNNING.", show_default=False)] = None,
    output: OutputFormat = Output.TABLE,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """List the project's instances."""
    filters = {"name": name, "status": status}
    with open_client(data_dir, config) as client:
        found = list(client.list_instances(**{key: value for key, value in filters.items() if value is not None}))
    print_rows(found, COLUMNS, output)


@app.command(
    epilog=examples("cachestead instance show sessions", "cachestead instance show sessions -o json | jq .ip")
)
def show(
    instance: Instance, output: OutputFormat = Output.TABLE, data_dir: DataDir = None, config: Config = None
) -> None:
    """Show everything the service knows about an instance."""
    with open_client(data_dir, config) as client:
        found = client.show_instance(get_instance(client, instance)["instance_id"])
    print_fields(found, output)


@app.command(epilog=examples("cachestead instance update sessions --name web-sessions"))
def update(
    instance: Instance,
    name: Annotated[str | None, typer.Option(help="New name.", show_default=False)] = None,
    description: Annotated[str | None, typer.Option(help="New description.", show_default=False)] = None,
    maintain_begin: Annotated[
        str | None, typer.Option(help="Start of the maintenance window, as 02:00:00 (UTC).", show_default=False)
    ] = None,
    maintain_end: Annotated[str | None, typer.Option(help="Its end, an hour later.", show_default=False)] = None,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Change an instance's name, description or maintenance window."""
    wishes = {
        "name": name,
        "description": description,
        "maintain_begin": maintain_begin,
        "maintain_end": maintain_end,
    }
    body: Json = {key: value for key, value in wishes.items() if value is not None}
    if not body:
        raise CommandFailed("Nothing to change was given.")
    with open_client(data_dir, config) as client:
        client.update_instance(get_instance(client, instance)["instance_id"], body)


@app.command(
    epilog=examples("cachestead instance delete sessions --wait", "cachestead instance delete a b c --yes")
)
def delete(
    instances: Instances,
    yes: Yes = False,
    wait: Wait = False,
    timeout: Timeout = 600,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Delete instances and their data."""
    with open_client(data_dir, config) as client:
        names = _names(client, instances)
        confirm(f"Delete {', '.join(names.values())} with all data?", yes=yes)
        for instance in names:
            client.delete_single_instance(instance)
        if wait:
            wait_for(client, names, Goal.DELETED, timeout)


@app.command(epilog=examples("cachestead instance restart sessions --wait"))
def restart(
    instances: Instances,
    soft: Annotated[bool, typer.Option("--soft", help="Only the process.")] = False,
    wait: Wait = False,
    timeout: Timeout = 600,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Restart instances. What was not saved to disk is lost."""
    with open_client(data_dir, config) as client:
        names = _names(client, instances)
        _change_status(client, names, "soft_restart" if soft else "restart")
        if wait:
            wait_for(client, names, Goal.RUNNING, timeout)


@app.command(epilog=examples("cachestead instance flush sessions --yes --wait"))
def flush(
    instances: Instances,
    yes: Yes = False,
    wait: Wait = False,
    timeout: Timeout = 600,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Clear all data of instances; this cannot be undone."""
    with open_client(data_dir, config) as client:
        names = _names(client, instances)
        confirm(f"Clear all data of {', '.join(names.values())}?", yes=yes)
        _change_status(client, names, "flush")
        if wait:
            wait_for(client, names, Goal.RUNNING, timeout)


@app.command(
    "reset-password",
    epilog=examples(
        "cachestead instance reset-password sessions",
        "cachestead instance reset-password sessions --ask-password",
    ),
)
def reset_password(
    instance: Instance,
    ask_password: AskPassword = False,
    password_stdin: PasswordStdin = False,
    no_password: NoPassword = False,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Give an instance another password, or none. The old one is not asked for."""
    password = choose_password(ask=ask_password, stdin=password_stdin, none=no_password)
    with open_client(data_dir, config) as client:
        answer = client.reset_password(get_instance(client, instance)["instance_id"], password.value)
    # The operation answers 200 even when the instance is locked, and says so in the body.
    if answer.get("message") not in (None, "success"):
        raise CommandFailed(f"The password was not changed: {answer['message']}.")
    if password.made_up:
        typer.echo(password.value)
    say("Access needs no password now." if password.value is None else "The password is changed.")


@app.command(epilog=examples("cachestead instance wait sessions", "cachestead instance wait a b --for deleted"))
def wait(
    instances: Instances,
    goal: Annotated[Goal, typer.Option("--for", help="What to wait for.")] = Goal.RUNNING,
    timeout: Timeout = 600,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Wait until instances run, or are gone."""
    with open_client(data_dir, config) as client:
        try:
            names = _names(client, instances)
        except CommandFailed:
            if goal is Goal.DELETED and len(instances) == 1:
                return
            raise
        wait_for(client, names, goal, timeout)


app.command(
    epilog=examples(
        "cachestead instance resize sessions --capacity 1 --wait",
        "cachestead instance resize sessions --replicas 2",
        "cachestead instance resize events --shards 6 --wait",
    )
)(resize)
app.command(
    epilog=examples("cachestead instance swap sessions", "cachestead instance swap events --node 127.64.0.14")
)(swap)
app.command(epilog=examples("cachestead instance nodes events"))(nodes)
app.add_typer(whitelist.app, name="whitelist")


def _create(client: Client, order: Order, password: Password) -> list[Json]:
    wanted = (
        {"spec_code": order.flavor}
        if order.flavor
        else {
            "cache_mode": order.mode,
            "engine": "Redis",
            "engine_version": order.engine_version,
            **({} if order.capacity is None else {"capacity": f"{order.capacity:g}"}),
        }
    )
    flavor = choose_flavor(order, client.list_flavors(**wanted), platform.machine())
    zones = choose_zones(order, flavor, client.list_available_zones())
    return client.create_instance(build_body(order, flavor, zones, client.connection, password.value))


def _change_status(client: Client, names: dict[str, str], action: str) -> None:
    refused = [
        names.get(str(result["instance"]), str(result["instance"]))
        for result in client.restart_or_flush_instances(list(names), action)
        if result.get("result") != "success"
    ]
    if refused:
        raise CommandFailed(f"The service did not accept this for: {', '.join(refused)}.")


def _names(client: Client, given: Sequence[str]) -> dict[str, str]:
    found = [get_instance(client, one) for one in given]
    return {instance["instance_id"]: instance["name"] for instance in found}
