"""`instance ssl …`: clients that come by TLS, and the certificate that they trust."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Annotated

import typer

from cachestead.cli.failures import CommandFailed
from cachestead.cli.options import Config, DataDir, Output, OutputFormat, Timeout, Wait, Yes, confirm, examples
from cachestead.cli.printing import print_fields, say
from cachestead.cli.session import Instance, get_instance, open_client
from cachestead.cli.waiting import wait_for_job

app = typer.Typer(
    no_args_is_help=True,
    help="Encrypted connections of instances of 6.0 and 7.0: single, ha and cluster.",
    epilog=examples(
        "cachestead instance ssl enable sessions --yes --wait",
        "cachestead instance ssl certificate sessions --to ca.crt",
    ),
)


@app.command(epilog=examples("cachestead instance ssl enable sessions --yes --wait"))
def enable(
    instance: Instance,
    yes: Yes = False,
    wait: Wait = False,
    timeout: Timeout = 600,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Let clients come by TLS only. The instance restarts; a single node comes back empty."""
    _switch(instance, enabled=True, yes=yes, patience=timeout if wait else None, where=(data_dir, config))


@app.command(epilog=examples("cachestead instance ssl disable sessions --yes --wait"))
def disable(
    instance: Instance,
    yes: Yes = False,
    wait: Wait = False,
    timeout: Timeout = 600,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Let clients come without TLS again. The instance restarts; a single node comes back empty."""
    _switch(instance, enabled=False, yes=yes, patience=timeout if wait else None, where=(data_dir, config))


@app.command(epilog=examples("cachestead instance ssl show sessions"))
def show(
    instance: Instance,
    output: OutputFormat = Output.TABLE,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Show how an instance is reached by TLS, and until when its certificates are good."""
    with open_client(data_dir, config) as client:
        found = client.show_instance_ssl_detail(get_instance(client, instance)["instance_id"])
    print_fields(found or {"enabled": False}, output)


@app.command(epilog=examples("cachestead instance ssl certificate sessions --to ca.crt"))
def certificate(
    instance: Instance,
    to: Annotated[
        Path | None, typer.Option(help="File to write; printed when absent.", show_default=False)
    ] = None,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Get the certificate that clients of an instance trust (PEM); all instances have the same."""
    with open_client(data_dir, config) as client:
        link = client.download_ssl_cert(get_instance(client, instance)["instance_id"])["link"]
        packed = io.BytesIO()
        client.download(link, packed, lambda _: None)
    with zipfile.ZipFile(packed) as archive:
        text = archive.read("ca.crt").decode()
    if to is None:
        typer.echo(text, nl=False)
        return
    try:
        to.write_text(text)
    except OSError as error:
        raise CommandFailed(f"{to} cannot be written: {error.strerror}.") from error
    say(f"{to} is written.")


def _switch(
    given: str, *, enabled: bool, yes: bool, patience: float | None, where: tuple[Path | None, Path | None]
) -> None:
    with open_client(*where) as client:
        instance = get_instance(client, given)
        confirm(f"Restart {instance['name']}?", yes=yes)
        job = client.update_ssl_switch(instance["instance_id"], enabled=enabled)
        if patience is not None:
            wait_for_job(client, instance, job, patience)
    when, how = "will be" if patience is None else "is", "by" if enabled else "without"
    say(f"{instance['name']} {when} reached {how} TLS.")
