"""`metric …`: what is measured of an instance, and how it went."""

from __future__ import annotations

import time
from enum import StrEnum
from typing import Annotated

import typer

from cachestead.cli.client import Client, Dimensions, Json
from cachestead.cli.failures import CommandFailed
from cachestead.cli.options import Config, DataDir, Output, OutputFormat, examples
from cachestead.cli.printing import print_rows
from cachestead.cli.session import Instance, get_instance, open_client

app = typer.Typer(no_args_is_help=True, help="Figures of instances, their nodes and their proxies.")

COLUMNS = {"metric_name": "METRIC", "unit": "UNIT"}
_INSTANCE = "dcs_instance_id"
_BELOW = ("dcs_cluster_redis_node", "dcs_cluster_proxy2_node")


class Filter(StrEnum):
    """What is shown of each period."""

    AVERAGE = "average"
    MAX = "max"
    MIN = "min"
    SUM = "sum"
    VARIANCE = "variance"


class Period(StrEnum):
    """Seconds that a point is about; 1: as sampled."""

    SAMPLED = "1"
    MINUTE = "60"
    FIVE_MINUTES = "300"
    TWENTY_MINUTES = "1200"
    HOUR = "3600"
    FOUR_HOURS = "14400"
    DAY = "86400"


Node = Annotated[str | None, typer.Option("--node", help="A node or proxy, by id or address.", show_default=False)]


@app.command("list", epilog=examples("cachestead metric list sessions"))
def list_metrics(
    instance: Instance,
    node: Node = None,
    output: OutputFormat = Output.TABLE,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """List what is measured of an instance, or of one of its nodes."""
    with open_client(data_dir, config) as client:
        wanted = _dimensions(client, get_instance(client, instance)["instance_id"], node)
        found = client.list_metrics(wanted)
    print_rows([one for one in found if len(one["dimensions"]) == len(wanted)], COLUMNS, output)


@app.command(
    "show",
    epilog=examples(
        "cachestead metric show sessions used_memory",
        "cachestead metric show sessions cpu_usage --period 300 --filter max --hours 24",
    ),
)
def show_metric_data(
    instance: Instance,
    metric: Annotated[str, typer.Argument(help="Name of the metric, such as used_memory.", show_default=False)],
    node: Node = None,
    hours: Annotated[float, typer.Option(min=0.01, help="How far back.")] = 1.0,
    period: Annotated[Period, typer.Option(help="Seconds that a point is about; 1: as sampled.")] = Period.SAMPLED,
    shown: Annotated[Filter, typer.Option("--filter", help="What of each period.")] = Filter.AVERAGE,
    output: OutputFormat = Output.TABLE,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Show the course of one figure, the oldest point first."""
    end = round(time.time() * 1000)
    course: dict[str, int | str] = {"from": end - round(hours * 3_600_000), "to": end}
    with open_client(data_dir, config) as client:
        wanted = _dimensions(client, get_instance(client, instance)["instance_id"], node)
        found = client.show_metric_data(metric, wanted, **course, period=period.value, filter=shown.value)
    rows = found if output is Output.JSON else [one | {"time": _time(one["timestamp"])} for one in found]
    print_rows(rows, {"time": "TIME", shown.value: shown.value.upper(), "unit": "UNIT"}, output)


def _dimensions(client: Client, instance: str, node: str | None) -> Dimensions:
    """The instance, and the node or proxy that has this id or address."""
    if node is None:
        return {_INSTANCE: instance}
    objects = client.list_monitored_objects_of_instance(instance)
    for name in _BELOW:
        for one in objects[name]:
            if node == one[name] or node == _address(one):
                return {_INSTANCE: instance, name: one[name]}
    raise CommandFailed(
        f"The instance has no node {node} with figures of its own.",
        advice="`cachestead instance nodes` shows them; the node of a single-node instance is the instance.",
    )


def _address(monitored: Json) -> str:
    """The address in a name such as `(master)127.64.0.10`."""
    return str(monitored["name"]).rpartition(")")[2]


def _time(milliseconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(milliseconds / 1000))
