"""Opening a client for a command, and finding instances by what people call them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from cachestead.cli.client import Client, Json
from cachestead.cli.connection import find_connection
from cachestead.cli.failures import CommandFailed

_ID = re.compile(r"^[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}$")


def open_client(data_dir: Path | None, config: Path | None) -> Client:
    """A client of the service that options and environment name."""
    return Client(find_connection(data_dir, config))


def get_instance(client: Client, given: str) -> Json:
    """The instance with this id or, if it is none, this name."""
    if _ID.match(given):
        return client.show_instance(given)
    # The service's filter by name is fuzzy.
    found = [instance for instance in client.list_instances(name=given) if instance["name"] == given]
    if not found:
        raise CommandFailed(
            f"There is no instance called {given}.", advice="`cachestead instance list` shows all."
        )
    if len(found) > 1:
        ids = ", ".join(instance["instance_id"] for instance in found)
        raise CommandFailed(f"{len(found)} instances are called {given}; name one by its id: {ids}.")
    return found[0]


def complete_instance(incomplete: str) -> list[str]:
    """Names of instances for the shell; none where the service cannot be asked."""
    try:
        with open_client(None, None) as client:
            return sorted(
                {str(one["name"]) for one in client.list_instances() if one["name"].startswith(incomplete)}
            )
    except CommandFailed:
        return []


Instance = Annotated[str, typer.Argument(help="Name or id.", autocompletion=complete_instance, show_default=False)]
