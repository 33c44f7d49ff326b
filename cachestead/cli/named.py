"""Finding users, groups and policies by what people call them."""

from __future__ import annotations

from cachestead.cli.client import Client, Json
from cachestead.cli.failures import CommandFailed


def get_user(client: Client, given: str) -> Json:
    """The user with this name or id."""
    return _find(client.identity("GET", "/v3/users")["users"], given, "user", "name")


def get_group(client: Client, given: str) -> Json:
    """The group with this name or id."""
    return _find(client.identity("GET", "/v3/groups")["groups"], given, "group", "name")


def get_policy(client: Client, given: str) -> Json:
    """The policy with this name or id, the system's or the domain's own."""
    return _find(list_policies(client), given, "policy", "display_name", "name")


def list_policies(client: Client) -> list[Json]:
    """The domain's own policies, then the system's."""
    own = client.identity("GET", "/v3.0/OS-ROLE/roles")["roles"]
    return list(own) + list(client.identity("GET", "/v3/roles")["roles"])


def _find(things: list[Json], given: str, what: str, *names: str) -> Json:
    for thing in things:
        if given in (thing["id"], *(thing[name] for name in names)):
            return thing
    raise CommandFailed(f"There is no {what} called {given}.", advice=f"`cachestead {what} list` shows all.")
