"""Which service the command line talks to, and as whom.

Strongest first: `--data-dir` or `--config` (the installation there), `CACHESTEAD_ENDPOINT` and its companions
(what `cachestead env` exports), the installation in the usual place, and last the `OS_*` variables of OpenStack
clients, so that a machine which only has those can still be used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cachestead.cli.env import CA_VARIABLES, OWN_VARIABLES, read_environment
from cachestead.cli.failures import CommandFailed
from cachestead.cli.installation import read_settings


@dataclass(frozen=True)
class Connection:
    """Address and credentials of a service."""

    endpoint: str
    iam_endpoint: str
    user: str
    password: str
    domain: str
    project_id: str
    vpc_id: str | None = None
    subnet_id: str | None = None
    security_group_id: str | None = None
    ca_file: str | None = None
    """Certificates to trust, where the service made its own."""

    def __repr__(self) -> str:
        return f"Connection({self.endpoint!r}, user={self.user!r})"


def find_connection(data_dir: Path | None, config: Path | None) -> Connection:
    """The service that options and environment name."""
    if data_dir is None and config is None:
        if "CACHESTEAD_ENDPOINT" in os.environ:
            own = {key: os.environ.get(name, "") for name, key in OWN_VARIABLES.items()}
            own["ca_file"] = os.environ.get(CA_VARIABLES[0], "")
            return _connection_of(own, "the CACHESTEAD_… variables of `cachestead env`")
        try:
            return _connection_of(read_environment(read_settings()), "the data folder")
        except CommandFailed:
            if "OS_AUTH_URL" in os.environ:
                return _connection_of(_openstack_environment(os.environ), "the OS_… variables")
            raise
    return _connection_of(read_environment(read_settings(data_dir, config)), "the data folder")


def _openstack_environment(environ: Mapping[str, str]) -> dict[str, str]:
    iam = environ["OS_AUTH_URL"].rstrip("/").removesuffix("/v3")
    return {
        "endpoint": iam,
        "iam_endpoint": iam,
        "user": environ.get("OS_USERNAME", ""),
        "password": environ.get("OS_PASSWORD", ""),
        "domain": environ.get("OS_USER_DOMAIN_NAME", ""),
        "project_id": environ.get("OS_PROJECT_ID", ""),
        "ca_file": environ.get("OS_CACERT", ""),
    }


def _connection_of(environment: Mapping[str, str], source: str) -> Connection:
    needed = ("endpoint", "iam_endpoint", "user", "password", "domain", "project_id")
    missing = [key for key in needed if not environment.get(key)]
    if missing:
        raise CommandFailed(f"To reach the service, {source} lack: {', '.join(missing)}.")
    return Connection(
        endpoint=environment["endpoint"].rstrip("/"),
        iam_endpoint=environment["iam_endpoint"].rstrip("/").removesuffix("/v3"),
        user=environment["user"],
        password=environment["password"],
        domain=environment["domain"],
        project_id=environment["project_id"],
        vpc_id=environment.get("vpc_id") or None,
        subnet_id=environment.get("subnet_id") or None,
        security_group_id=environment.get("security_group_id") or None,
        ca_file=environment.get("ca_file") or None,
    )
