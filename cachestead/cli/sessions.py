"""`session …`: who is connected to an instance, and ending connections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from cachestead.cli.client import Client, Json
from cachestead.cli.failures import CommandFailed
from cachestead.cli.options import Config, DataDir, Output, OutputFormat, Timeout, Yes, confirm, examples
from cachestead.cli.printing import print_rows, say
from cachestead.cli.resizing import find_node
from cachestead.cli.session import Instance, get_instance, open_client
from cachestead.cli.waiting import wait_for_end

app = typer.Typer(no_args_is_help=True, help="Clients that are connected to instances.")

COLUMNS = {
    "addr": "ADDRESS",
    "name": "NAME",
    "db": "DB",
    "age": "AGE",
    "idle": "IDLE",
    "cmd": "COMMAND",
    "omem": "OUTPUT",
    "node_ip": "NODE",
}

Node = Annotated[
    str | None,
    typer.Option("--node", help="Node or proxy, by id or address; all when absent.", show_default=False),
]


@app.command(epilog=examples("cachestead session scan sessions"))
def scan(
    instance: Instance, node: Node = None, timeout: Timeout = 60, data_dir: DataDir = None, config: Config = None
) -> None:
    """Take a list of the sessions there are now, which `session list` then reads."""
    with open_client(data_dir, config) as client:
        found = get_instance(client, instance)["instance_id"]
        _scan(client, found, _places(client, found, node), timeout)


@app.command(
    "list",
    epilog=examples(
        "cachestead session list sessions", "cachestead session list sessions --sort idle --descending"
    ),
)
def list_sessions(
    instance: Instance,
    node: Node = None,
    address: Annotated[str | None, typer.Option(help="Part of the client's address.", show_default=False)] = None,
    sort: Annotated[
        str | None, typer.Option(help="Field to sort by, as idle or omem; the oldest first when absent.")
    ] = None,
    descending: Annotated[bool, typer.Option("--descending", help="The largest first.")] = False,
    take: Annotated[bool, typer.Option("--scan/--no-scan", help="Take a new list, or read the last.")] = True,
    timeout: Timeout = 60,
    output: OutputFormat = Output.TABLE,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """List who is connected, node by node."""
    wanted = {"addr": address, "sort": sort, "order": "desc" if descending else None}
    query = {key: value for key, value in wanted.items() if value}
    with open_client(data_dir, config) as client:
        found = get_instance(client, instance)["instance_id"]
        places = _places(client, found, node)
        if take:
            _scan(client, found, places, timeout)
        rows = [
            one | {"node_id": place["node_id"], "node_ip": place["node_ip"]}
            for place in places
            for one in client.list_clients(found, place["node_id"], **query)
        ]
    print_rows(rows, COLUMNS, output)


@app.command(
    epilog=examples(
        "cachestead session kill sessions 127.0.0.1:41222", "cachestead session kill sessions --all --yes"
    )
)
def kill(
    instance: Instance,
    addresses: Annotated[
        list[str] | None, typer.Argument(metavar="[ADDRESS...]", help="Clients, as the list has them.")
    ] = None,
    everyone: Annotated[bool, typer.Option("--all", help="Every client, of the node if one is named.")] = False,
    node: Node = None,
    yes: Yes = False,
    timeout: Timeout = 60,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """End sessions. Their clients may connect again."""
    if bool(addresses) is everyone:
        raise CommandFailed("Name the clients by their addresses, or all of them by --all.")
    with open_client(data_dir, config) as client:
        shown = get_instance(client, instance)
        found, name = shown["instance_id"], shown["name"]
        places = _places(client, found, node)
        if everyone:
            confirm(f"End every session of {name}?", yes=yes)
            job = client.hang_up_kill_all_clients(found, places[0]["node_id"] if node else None)
            wait_for_end(client, job, timeout)
            return
        for place, chosen in _chosen(client, found, places, addresses or []):
            client.hang_up_clients(found, place["node_id"], chosen)
            say(f"Ended at {place['node_ip']}: {', '.join(chosen)}")


def _places(client: Client, instance: str, node: str | None) -> list[Json]:
    """Where the instance's clients are; only one of these if it is named."""
    nodes = client.show_nodes_information(instance)
    places = [one for one in nodes if one["node_role"] == "redis-proxy"] or nodes
    return [find_node(places, node)] if node else places


def _scan(client: Client, instance: str, places: Sequence[Json], timeout: float) -> None:
    for job in [client.scan_clients(instance, place["node_id"]) for place in places]:
        wait_for_end(client, job, timeout)


def _chosen(
    client: Client, instance: str, places: Sequence[Json], addresses: Sequence[str]
) -> list[tuple[Json, list[str]]]:
    """The addresses by where the last lists have them. If there is one place only, that is where they are."""
    if len(places) == 1:
        return [(places[0], list(addresses))]
    chosen, missing = [], list(addresses)
    for place in places:
        present = {one["addr"] for one in client.list_clients(instance, place["node_id"])}
        if here := [address for address in addresses if address in present]:
            chosen.append((place, here))
            missing = [address for address in missing if address not in here]
    if missing:
        raise CommandFailed(
            f"No list has a client at {missing[0]}.", advice="`cachestead session scan NAME` takes new lists."
        )
    return chosen
