"""`backup …`: backups of instances, putting instances back, and the plan of backups."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cachestead.cli.client import Client, Json
from cachestead.cli.failures import CommandFailed
from cachestead.cli.objects import transfers
from cachestead.cli.options import Config, DataDir, Output, OutputFormat, Timeout, Wait, Yes, confirm, examples
from cachestead.cli.printing import print_fields, print_json, print_rows
from cachestead.cli.session import Instance, get_instance, open_client
from cachestead.cli.waiting import wait_for_record

app = typer.Typer(no_args_is_help=True, help="Backups of instances.")

COLUMNS = {
    "backup_name": "NAME",
    "status": "STATUS",
    "backup_type": "KIND",
    "backup_format": "FORMAT",
    "size": "BYTES",
    "created_at": "MADE",
    "remark": "REMARK",
    "backup_id": "ID",
}
RESTORES = {
    "restore_name": "NAME",
    "status": "STATUS",
    "backup_name": "BACKUP",
    "created_at": "BEGUN",
    "error_code": "ERROR",
    "restore_remark": "REMARK",
}
LINKS = {"file_name": "FILE", "link": "LINK"}
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DOWNLOAD_SECONDS = 86_400


class FileFormat(StrEnum):
    """Formats of a backup's files."""

    RDB = "rdb"
    AOF = "aof"


def complete_backup(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of the instance's backups for the shell; none where the service cannot be asked."""
    try:
        with open_client(None, None) as client:
            found = get_instance(client, str(ctx.params.get("instance") or ""))["instance_id"]
            names = [str(one["backup_name"]) for one in client.list_backup_records(found)]
    except CommandFailed:
        return []
    return [name for name in names if name.startswith(incomplete)]


def get_backup(client: Client, instance: str, given: str) -> Json:
    """The instance's backup with this id or name."""
    for one in client.list_backup_records(instance):
        if given in (one["backup_id"], one["backup_name"]):
            return one
    raise CommandFailed(f"There is no backup {given}.", advice="`cachestead backup list NAME` shows all.")


Backup = Annotated[str, typer.Argument(help="Name or id.", autocompletion=complete_backup, show_default=False)]
Remark = Annotated[str | None, typer.Option(help="A note, up to 128 characters.", show_default=False)]


@app.command(
    epilog=examples("cachestead backup create sessions --wait", "cachestead backup create carts --format aof")
)
def create(
    instance: Instance,
    file_format: Annotated[FileFormat, typer.Option("--format", help="What the files are.")] = FileFormat.RDB,
    remark: Remark = None,
    wait: Wait = False,
    timeout: Timeout = 1800,
    output: OutputFormat = Output.TABLE,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Back an instance up, a file for each shard. Its clients notice nothing."""
    body = {"backup_format": file_format.value, **({"remark": remark} if remark else {})}
    with open_client(data_dir, config) as client:
        found = get_instance(client, instance)["instance_id"]
        backup = client.copy_instance(found, body)
        look = partial(get_backup, client, found, backup)
        made = wait_for_record(look, look()["backup_name"], timeout) if wait else look()
    print_rows([made], COLUMNS, output)


@app.command("list", epilog=examples("cachestead backup list sessions", "cachestead backup list sessions -o json"))
def list_backups(
    instance: Instance, output: OutputFormat = Output.TABLE, data_dir: DataDir = None, config: Config = None
) -> None:
    """List the backups of an instance, the newest first."""
    with open_client(data_dir, config) as client:
        found = list(client.list_backup_records(get_instance(client, instance)["instance_id"]))
    print_rows(found, COLUMNS, output)


@app.command(epilog=examples("cachestead backup show sessions backup_20250501020000"))
def show(
    instance: Instance,
    backup: Backup,
    output: OutputFormat = Output.TABLE,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Show a backup: how far it is, how large, and why it failed if it did."""
    with open_client(data_dir, config) as client:
        print_fields(get_backup(client, get_instance(client, instance)["instance_id"], backup), output)


@app.command(epilog=examples("cachestead backup delete sessions backup_20250501020000 --yes"))
def delete(
    instance: Instance,
    backups: Annotated[
        list[str],
        typer.Argument(
            metavar="BACKUP...", help="Names or ids.", autocompletion=complete_backup, show_default=False
        ),
    ],
    yes: Yes = False,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Delete backups with their files."""
    confirm(f"Delete {', '.join(backups)} of {instance}?", yes=yes)
    with open_client(data_dir, config) as client:
        found = get_instance(client, instance)["instance_id"]
        for one in [get_backup(client, found, backup) for backup in backups]:
            client.delete_backup_file(found, one["backup_id"])


@app.command(epilog=examples("cachestead backup links sessions backup_20250501020000 --seconds 3600"))
def links(
    instance: Instance,
    backup: Backup,
    seconds: Annotated[int, typer.Option(min=300, max=86_400, help="How long they are good for.")] = 1800,
    output: OutputFormat = Output.TABLE,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Print links to a backup's files. Whoever has one needs no account, until it expires."""
    with open_client(data_dir, config) as client:
        found = get_instance(client, instance)["instance_id"]
        one = get_backup(client, found, backup)
        print_rows(client.list_backup_file_links(found, one["backup_id"], seconds), LINKS, output)


@app.command(epilog=examples("cachestead backup download sessions backup_20250501020000 --to ./copies"))
def download(
    instance: Instance,
    backup: Backup,
    to: Annotated[
        Path, typer.Option(file_okay=False, help="Folder for the files; it is made if need be.")
    ] = Path(),
    output: OutputFormat = Output.TABLE,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Download a backup's files under their own names. Files that are there are replaced by whole ones only."""
    with open_client(data_dir, config) as client:
        found = get_instance(client, instance)["instance_id"]
        one = get_backup(client, found, backup)
        files = client.list_backup_file_links(found, one["backup_id"], _DOWNLOAD_SECONDS)
        rows = [{"file": str(path), "size": path.stat().st_size} for path in _download(client, files, to)]
    print_rows(rows, {"file": "FILE", "size": "BYTES"}, output)


def _download(client: Client, files: list[Json], to: Path) -> list[Path]:
    to.mkdir(parents=True, exist_ok=True)
    saved = []
    with transfers() as progress:
        for file in files:
            # The name is the service's word for it, and must not lead elsewhere.
            path = to / Path(file["file_name"]).name
            part = path.with_name(f"{path.name}.part")
            task = progress.add_task(path.name, total=None)
            try:
                with part.open("wb") as opened:
                    client.download(file["link"], opened, partial(progress.advance, task))
                saved.append(part.replace(path))
            finally:
                part.unlink(missing_ok=True)
    return saved


@app.command(
    epilog=examples(
        "cachestead backup restore sessions backup_20250501020000 --wait",
        "cachestead migration import carts --from sessions   # into another instance",
    )
)
def restore(
    instance: Instance,
    backup: Backup,
    remark: Remark = None,
    wait: Wait = False,
    timeout: Timeout = 1800,
    yes: Yes = False,
    output: OutputFormat = Output.TABLE,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Put an instance back to what it was when the backup was made. What came later is gone."""
    with open_client(data_dir, config) as client:
        found = get_instance(client, instance)["instance_id"]
        one = get_backup(client, found, backup)
        confirm(f"Give {instance} the data of {one['created_at']}? What came later is lost.", yes=yes)
        body = {"backup_id": one["backup_id"], **({"remark": remark} if remark else {})}
        look = partial(_get_restore, client, found, client.restore_instance(found, body))
        made = wait_for_record(look, look()["restore_name"], timeout) if wait else look()
    print_rows([made], RESTORES, output)


@app.command(epilog=examples("cachestead backup restores sessions"))
def restores(
    instance: Instance, output: OutputFormat = Output.TABLE, data_dir: DataDir = None, config: Config = None
) -> None:
    """List the restorations of an instance, the newest first."""
    with open_client(data_dir, config) as client:
        found = list(client.list_restore_records(get_instance(client, instance)["instance_id"]))
    print_rows(found, RESTORES, output)


def _get_restore(client: Client, instance: str, restore_id: str) -> Json:
    return next(one for one in client.list_restore_records(instance) if one["restore_id"] == restore_id)


@app.command(
    epilog=examples(
        "cachestead backup policy sessions",
        "cachestead backup policy sessions --auto --days mon,thu --hour 2 --keep 7",
        "cachestead backup policy sessions --manual",
    )
)
def policy(
    instance: Instance,
    auto: Annotated[
        bool | None, typer.Option("--auto/--manual", help="By plan, or only by hand.", show_default=False)
    ] = None,
    days: Annotated[
        str | None, typer.Option(help="Weekdays, as mon,thu; every day when absent.", show_default=False)
    ] = None,
    hour: Annotated[
        int | None, typer.Option(min=0, max=23, help="Hour of the day (UTC).", show_default=False)
    ] = None,
    keep: Annotated[int, typer.Option(min=1, max=7, help="Days that a backup by plan is kept.")] = 7,
    output: OutputFormat = Output.TABLE,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Show when an instance is backed up by itself, or change it. Switched to manual, the plan stays for later."""
    wanted = _policy(days, hour, keep, auto=auto)
    with open_client(data_dir, config) as client:
        found = get_instance(client, instance)["instance_id"]
        if wanted is not None:
            client.update_instance(found, {"instance_backup_policy": wanted})
        kept = client.show_instance(found).get("instance_backup_policy")
    if output is Output.JSON:
        print_json(kept)
    elif kept is None:
        print_fields({"backup_type": "manual"}, output)
    else:
        plan = kept["policy"].pop("periodical_backup_plan", None) or {}
        told = {"days": [_DAYS[day - 1] for day in plan.get("backup_at", [])], "hour": plan.get("begin_at")}
        print_fields(kept["policy"] | told | {"changed": kept["updated_at"]}, output)


def _policy(days: str | None, hour: int | None, keep: int, *, auto: bool | None) -> Json | None:
    """The policy to set; None if nothing was said. Raises `CommandFailed`."""
    if auto is None and (days, hour) == (None, None):
        return None
    if auto is False:
        return {"backup_type": "manual"}
    if hour is None:
        raise CommandFailed("An automatic backup needs --hour.")
    plan = {
        "period_type": "weekly",
        "backup_at": _read_days(days),
        "begin_at": f"{hour:02}:00-{(hour + 1) % 24:02}:00",
    }
    return {"backup_type": "auto", "save_days": keep, "periodical_backup_plan": plan}


def _read_days(given: str | None) -> list[int]:
    names = given.lower().split(",") if given else list(_DAYS)
    if unknown := [name for name in names if name not in _DAYS]:
        raise CommandFailed(f"{unknown[0]} is none of {', '.join(_DAYS)}.")
    return sorted({_DAYS.index(name) + 1 for name in names})
