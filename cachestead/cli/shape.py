"""`instance resize`, `instance swap` and `instance nodes`: an instance's nodes, and what is changed about them."""

from __future__ import annotations

from typing import Annotated

import typer

from cachestead.cli.client import Client, Json
from cachestead.cli.failures import CommandFailed
from cachestead.cli.options import Config, DataDir, Output, OutputFormat, Timeout, Wait
from cachestead.cli.order import CLUSTERED, cache_mode_of
from cachestead.cli.printing import print_rows, say
from cachestead.cli.resizing import Wish, build_resize, check_wish, choose_new_flavor, find_node, flavor_filters
from cachestead.cli.session import Instance, get_instance, open_client
from cachestead.cli.waiting import Goal, wait_for, wait_for_job

NODE_COLUMNS = {
    "group_name": "SHARD",
    "node_type": "ROLE",
    "node_ip": "ADDRESS",
    "node_port": "PORT",
    "az_code": "ZONE",
    "status": "STATUS",
    "priority_weight": "PRIORITY",
    "node_id": "NODE",
}


def resize(
    instance: Instance,
    kind: Annotated[
        str | None,
        typer.Option("--type", help="Another type: ha, proxy or rw-split.", show_default=False),
    ] = None,
    capacity: Annotated[float | None, typer.Option(help="Memory, in GB.", show_default=False)] = None,
    replicas: Annotated[
        int | None, typer.Option(min=0, help="Replicas beside each master.", show_default=False)
    ] = None,
    shards: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Shards; none gets smaller unless --capacity is given.",
            show_default=False,
        ),
    ] = None,
    flavor: Annotated[str | None, typer.Option(help="Spec code instead of these.", show_default=False)] = None,
    zone: Annotated[
        list[str] | None,
        typer.Option("--zone", help="Zone that nodes come to or go from; may be repeated.", show_default=False),
    ] = None,
    node: Annotated[
        str | None,
        typer.Option(help="Replica that goes, by id or address; the newest when absent.", show_default=False),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option("--keep", help="Address of a node that stays; may be repeated.", show_default=False),
    ] = None,
    in_maintenance_window: Annotated[
        bool, typer.Option("--in-maintenance-window", help="Begin when the maintenance window opens.")
    ] = False,
    wait: Wait = False,
    timeout: Timeout = 3600,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Change an instance's memory, replicas or shards; it goes on serving. Or change its type.

    Replicas are changed in a call of their own, and go one at a time. When the type changes, address, password and
    data stay; connections are cut, and while data is copied to other nodes nothing can be written.
    """
    wish = Wish(
        mode=cache_mode_of(kind) if kind else None,
        capacity=capacity,
        replicas=replicas,
        shards=shards,
        flavor=flavor,
        zones=tuple(zone or ()),
        node=node,
        keep=tuple(keep or ()),
        at_once=not in_maintenance_window,
    )
    check_wish(wish)
    if wait and in_maintenance_window:
        raise CommandFailed("--wait is for a change that begins at once; the maintenance window may be far.")
    with open_client(data_dir, config) as client:
        found = client.show_instance(get_instance(client, instance)["instance_id"])
        _resize(client, found, wish)
        if wait:
            _wait(client, found, timeout)


def swap(
    instance: Instance,
    node: Annotated[
        str | None,
        typer.Option(help="Replica of a shard to promote, by id or address.", show_default=False),
    ] = None,
    timeout: Timeout = 60,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Let a replica be master. No acknowledged write is lost, and writes wait for a moment.

    Where there is one shard the priorities choose; of a cluster or Proxy Cluster the replica is named. It is done
    when the command ends.
    """
    with open_client(data_dir, config) as client:
        found = client.show_instance(get_instance(client, instance)["instance_id"])
        if found["cache_mode"] not in CLUSTERED:
            if node:
                raise CommandFailed(
                    "--node is for several shards; elsewhere the priorities of the replicas choose."
                )
            client.change_master_standby(found["instance_id"])
            return
        if not node:
            raise CommandFailed(
                "Of several shards, name the replica to promote: --node.",
                advice=f"`cachestead instance nodes {instance}` shows all.",
            )
        chosen = find_node(client.show_nodes_information(found["instance_id"]), node)
        job = client.execute_cluster_switchover(found["instance_id"], chosen["group_id"], chosen["node_id"])
        wait_for_job(client, found, job, timeout)


def nodes(
    instance: Instance, output: OutputFormat = Output.TABLE, data_dir: DataDir = None, config: Config = None
) -> None:
    """List an instance's nodes, shard by shard, then its proxies; none while it is being created."""
    with open_client(data_dir, config) as client:
        found = client.show_nodes_information(get_instance(client, instance)["instance_id"])
    print_rows(found, NODE_COLUMNS, output)


def _resize(client: Client, instance: Json, wish: Wish) -> None:
    instance_id = instance["instance_id"]
    flavor = choose_new_flavor(wish, instance, client.list_flavors(**flavor_filters(wish, instance)))
    body = build_resize(wish, instance, flavor, client.show_nodes_information(instance_id))
    client.resize_instance(instance_id, body)
    before, after = instance["spec_code"], f"{body['spec_code']}, {body['new_capacity']:g} GB"
    begin = "" if wish.at_once else f", from {instance['maintain_begin']} UTC on"
    say(f"{instance['name']}: {before} becomes {after}{begin}")


def _wait(client: Client, instance: Json, timeout: float) -> None:
    # The answer to a resize names no job; the newest task is the one it began.
    tasks = client.list_background_tasks(instance["instance_id"], limit=1)
    if tasks:
        wait_for_job(client, instance, tasks[0]["job_id"], timeout)
    else:
        wait_for(client, {instance["instance_id"]: instance["name"]}, Goal.RUNNING, timeout)
