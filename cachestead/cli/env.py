"""`env`: what clients need to know, in the words each of them reads by itself.

One table (`client_variables`) says which variable carries what; the formats only quote it. The names of ours avoid
those that `settings.py` reads, so that a shell that has sourced this can still start a service.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit

import typer

from cachestead.cli.failures import CommandFailed
from cachestead.cli.installation import read_settings
from cachestead.cli.options import Config, DataDir
from cachestead.settings import Settings

OWN_VARIABLES = {
    "CACHESTEAD_ENDPOINT": "endpoint",
    "CACHESTEAD_IAM_ENDPOINT": "iam_endpoint",
    "CACHESTEAD_ACCESS_KEY": "access_key",
    "CACHESTEAD_SECRET_KEY": "secret_key",
    "CACHESTEAD_PROJECT_ID": "project_id",
    "CACHESTEAD_REGION_ID": "region",
    "CACHESTEAD_USER": "user",
    "CACHESTEAD_PASSWORD": "password",
    "CACHESTEAD_DOMAIN": "domain",
    "CACHESTEAD_VPC_ID": "vpc_id",
    "CACHESTEAD_SUBNET_ID": "subnet_id",
    "CACHESTEAD_SECURITY_GROUP_ID": "security_group_id",
}
"""Variables of ours by the key they carry; the command line reads them back (`connection.py`)."""
CA_VARIABLES = ("CACHESTEAD_CA_FILE", "OS_CACERT")
"""Where clients look for certificates to trust; set only where the service made its own."""


class Format(StrEnum):
    """Forms that `env` can print."""

    SHELL = "shell"
    DOTENV = "dotenv"
    JSON = "json"
    TERRAFORM = "terraform"
    PROMETHEUS = "prometheus"
    AGE = "age"


def env(
    data_dir: DataDir = None,
    config: Config = None,
    form: Annotated[Format, typer.Option("--format", "-f", help="Form of what is printed.")] = Format.SHELL,
) -> None:
    """Print addresses, keys and ids that clients need. The output holds secrets.

    The shell form exports the variables that the official SDK, Terraform's provider and OpenStack clients read by
    themselves; the terraform form is a provider block, because the provider takes addresses only from there. The
    prometheus form is for whoever runs the service: a job that collects the figures of all tenants. So is the age
    form: the identity with which the `age` program decrypts everybody's backups.
    """
    settings = read_settings(data_dir, config)
    environment = read_environment(settings)
    if form is Format.PROMETHEUS:
        token = read_scrape_token(settings)
        typer.echo(scrape_job(environment["endpoint"], token, environment.get("ca_file")))
    elif form is Format.AGE:
        typer.echo(read_object_identity(settings))
    else:
        typer.echo(render(environment, form))


def read_environment(settings: Settings) -> dict[str, str]:
    """What clients of this installation need; it need not be running, but must have been."""
    from cachestead.local import NotInitialised, client_environment  # noqa: PLC0415 - brings the records with it

    try:
        return dict(client_environment(settings))
    except NotInitialised as exc:
        raise CommandFailed(
            f"Nothing has been set up in {settings.data_dir} yet.",
            advice="`cachestead up` does that; `--data-dir` names another folder.",
        ) from exc


def read_scrape_token(settings: Settings) -> str:
    """What opens `/metrics`."""
    from cachestead.local import NotInitialised, scrape_token  # noqa: PLC0415 - brings the records with it

    try:
        return scrape_token(settings)
    except NotInitialised as exc:
        raise CommandFailed("There is no token for /metrics yet.", advice="`cachestead up` makes one.") from exc


def read_object_identity(settings: Settings) -> str:
    """What decrypts objects."""
    from cachestead.local import NotInitialised, object_identity  # noqa: PLC0415 - brings the records with it

    try:
        return object_identity(settings)
    except NotInitialised as exc:
        raise CommandFailed("There is no key for objects yet.", advice="`cachestead up` makes one.") from exc


def scrape_job(endpoint: str, token: str, ca_file: str | None = None) -> str:
    """A job for `scrape_configs` of Prometheus' configuration; `ca_file` is what it has to trust."""
    address = urlsplit(endpoint)
    return "\n".join(
        [
            "- job_name: cachestead",
            f"  scheme: {address.scheme}",
            f"  metrics_path: {json.dumps(address.path + '/metrics')}",
            "  authorization:",
            f"    credentials: {json.dumps(token)}",
            *(["  tls_config:", f"    ca_file: {json.dumps(ca_file)}"] if ca_file else []),
            "  static_configs:",
            f"    - targets: [{json.dumps(address.netloc)}]",
        ]
    )


def render(environment: Mapping[str, str], form: Format) -> str:
    """The environment in one of the forms for clients, the shell's if it is none of the others."""
    match form:
        case Format.JSON:
            return json.dumps(dict(environment), indent=2)
        case Format.TERRAFORM:
            return _terraform_block(environment)
        case Format.DOTENV:
            return "\n".join(
                f"{name}={_dotenv_quote(value)}" for name, value in client_variables(environment).items()
            )
    return "\n".join(
        f"export {name}={shlex.quote(value)}" for name, value in client_variables(environment).items()
    )


def client_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that each family of clients reads by itself."""
    region = environment["region"]
    iam = environment["iam_endpoint"].rstrip("/").removesuffix("/v3")
    return {
        **{name: environment[key] for name, key in OWN_VARIABLES.items()},
        # Official SDK: credentials and, for `DcsRegion.value_of(region)` and `CesRegion`, the address.
        "HUAWEICLOUD_SDK_AK": environment["access_key"],
        "HUAWEICLOUD_SDK_SK": environment["secret_key"],
        "HUAWEICLOUD_SDK_PROJECT_ID": environment["project_id"],
        "HUAWEICLOUD_SDK_IAM_ENDPOINT": iam,
        f"HUAWEICLOUD_SDK_REGION_DCS_{_variable_part(region)}": environment["endpoint"],
        f"HUAWEICLOUD_SDK_REGION_CES_{_variable_part(region)}": environment["endpoint"],
        # Terraform's provider: all but the addresses of services, which only its block can name. Any cloud but the
        # public one keeps it from asking the public billing service what kind of site this is.
        "HW_REGION_NAME": region,
        "HW_ACCESS_KEY": environment["access_key"],
        "HW_SECRET_KEY": environment["secret_key"],
        "HW_PROJECT_ID": environment["project_id"],
        "HW_AUTH_URL": f"{iam}/v3",
        "HW_CLOUD": "cachestead.internal",
        # OpenStack clients. The project by id alone: an id needs no domain beside it.
        "OS_AUTH_TYPE": "password",
        "OS_AUTH_URL": f"{iam}/v3",
        "OS_IDENTITY_API_VERSION": "3",
        "OS_USERNAME": environment["user"],
        "OS_PASSWORD": environment["password"],
        "OS_USER_DOMAIN_NAME": environment["domain"],
        "OS_PROJECT_ID": environment["project_id"],
        "OS_REGION_NAME": region,
        **{name: environment["ca_file"] for name in CA_VARIABLES if "ca_file" in environment},
    }


def _variable_part(region: str) -> str:
    return region.upper().replace("-", "_")


def _dotenv_quote(value: str) -> str:
    plain = value and all(char.isalnum() or char in "-_./:@+=," for char in value)
    return value if plain else "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _hcl_quote(value: str) -> str:
    # JSON's escapes are HCL's; `${` and `%{` begin templates there and are doubled to be plain text.
    return json.dumps(value).replace("${", "$${").replace("%{", "%%{")


def _terraform_block(environment: Mapping[str, str]) -> str:
    iam = environment["iam_endpoint"].rstrip("/").removesuffix("/v3")
    return "\n".join(
        [
            'provider "huaweicloud" {',
            f"  region     = {_hcl_quote(environment['region'])}",
            f"  access_key = {_hcl_quote(environment['access_key'])}",
            f"  secret_key = {_hcl_quote(environment['secret_key'])}",
            f"  project_id = {_hcl_quote(environment['project_id'])}",
            f"  auth_url   = {_hcl_quote(iam + '/v3')}",
            '  cloud      = "cachestead.internal"',
            f"  endpoints  = {{ dcs = {_hcl_quote(environment['endpoint'])}, iam = {_hcl_quote(iam)} }}",
            "}",
        ]
    )
