"""`migration …`: bringing data into instances."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from cachestead.cli.backup import get_backup
from cachestead.cli.client import Client, Json
from cachestead.cli.failures import CommandFailed
from cachestead.cli.options import Config, DataDir, Output, OutputFormat, Timeout, Wait, Yes, confirm, examples
from cachestead.cli.printing import print_fields, print_rows
from cachestead.cli.session import Instance, complete_instance, get_instance, open_client
from cachestead.cli.waiting import wait_for_record

app = typer.Typer(no_args_is_help=True, help="Bringing data into instances.")

COLUMNS = {
    "task_name": "NAME",
    "status": "STATUS",
    "migration_type": "KIND",
    "data_source": "FROM",
    "target_instance_name": "TO",
    "created_at": "BEGUN",
    "error_message": "ERROR",
    "task_id": "ID",
}


def complete_task(incomplete: str) -> list[str]:
    """Names of migration tasks for the shell; none where the service cannot be asked."""
    try:
        with open_client(None, None) as client:
            names = {str(one["task_name"]) for one in client.list_migration_task()}
    except CommandFailed:
        return []
    return sorted(name for name in names if name.startswith(incomplete))


def get_task(client: Client, given: str) -> Json:
    """The newest migration task with this id or name."""
    for one in client.list_migration_task():
        if given in (one["task_id"], one["task_name"]):
            return one
    raise CommandFailed(f"There is no migration {given}.", advice="`cachestead migration list` shows all.")


Task = Annotated[str, typer.Argument(help="Name or id.", autocompletion=complete_task, show_default=False)]


@app.command(
    "import",
    epilog=examples(
        "cachestead migration import carts --from sessions --wait",
        "cachestead migration import carts --from sessions --backup backup_20250501020000",
        "cachestead object upload dump.rdb && cachestead migration import carts imports/dump.rdb --wait",
    ),
)
def import_files(
    instance: Instance,
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE...", help="Files of a bucket, as `object list` shows them.", show_default=False
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Instance whose backup is imported.",
            autocompletion=complete_instance,
            show_default=False,
        ),
    ] = None,
    backup: Annotated[
        str | None,
        typer.Option(help="Which backup of it, by name or id; the newest when absent.", show_default=False),
    ] = None,
    bucket: Annotated[
        str | None,
        typer.Option(help="Bucket of the files; that of uploads when absent.", show_default=False),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the migration; made up when absent.", show_default=False)
    ] = None,
    description: Annotated[str | None, typer.Option(help="A sentence about it.", show_default=False)] = None,
    wait: Wait = False,
    timeout: Timeout = 1800,
    output: OutputFormat = Output.TABLE,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Import a backup of an instance, or files, into an instance. Its own keys stay; equal ones are replaced."""
    if bool(files) == bool(source):
        raise CommandFailed("Say either files, or with --from whose backup to import.")
    with open_client(data_dir, config) as client:
        target = get_instance(client, instance)
        body: Json = {
            "task_name": name or f"import-{datetime.now(UTC):%Y%m%d%H%M%S}",
            "migration_type": "backupfile_import",
            "migration_method": "full_amount_migration",
            "backup_files": _of_backup(client, source, backup) if source else _of_files(client, files, bucket),
            "target_instance": {"id": target["instance_id"], "name": target["name"]},
        }
        if description is not None:
            body["description"] = description
        task = str(client.create_migration_task(body)["id"])
        if wait:
            wait_for_record(lambda: _with_progress(client, task), body["task_name"], timeout)
        made = get_task(client, task)
    print_rows([made], COLUMNS, output)


def _of_backup(client: Client, source: str, backup: str | None) -> Json:
    found = get_instance(client, source)["instance_id"]
    if backup is not None:
        one = get_backup(client, found, backup)
    else:
        usable = (each for each in client.list_backup_records(found) if each["is_support_restore"] == "TRUE")
        newest = next(usable, None)
        if newest is None:
            raise CommandFailed(f"{source} has no backup.", advice="`cachestead backup create` makes one.")
        one = newest
    return {"file_source": "backup_record", "backup_id": one["backup_id"]}


def _of_files(client: Client, files: list[str] | None, bucket: str | None) -> Json:
    named = [{"file_name": file} for file in files or ()]
    place = bucket or client.show_buckets()["bucket_name"]
    return {"file_source": "self_build_obs", "bucket_name": place, "files": named}


def _with_progress(client: Client, task: str) -> Json:
    shown = client.show_migration_task(task)
    return shown | {"progress": client.show_migration_task_stats(task)["full_migration_progress"]}


@app.command("list", epilog=examples("cachestead migration list", "cachestead migration list -o json"))
def list_tasks(output: OutputFormat = Output.TABLE, data_dir: DataDir = None, config: Config = None) -> None:
    """List migrations, the newest first."""
    with open_client(data_dir, config) as client:
        print_rows(list(client.list_migration_task()), COLUMNS, output)


@app.command(epilog=examples("cachestead migration show import-20250501020000"))
def show(task: Task, output: OutputFormat = Output.TABLE, data_dir: DataDir = None, config: Config = None) -> None:
    """Show a migration: where from, where to, how far it is, and why it failed if it did."""
    with open_client(data_dir, config) as client:
        found = get_task(client, task)["task_id"]
        shown = client.show_migration_task(found) | client.show_migration_task_stats(found)
    print_fields(shown, output)


@app.command(epilog=examples("cachestead migration delete import-20250501020000 --yes"))
def delete(
    tasks: Annotated[
        list[str],
        typer.Argument(
            metavar="MIGRATION...", help="Names or ids.", autocompletion=complete_task, show_default=False
        ),
    ],
    yes: Yes = False,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Take migrations that have ended off the list. The data that they brought stays."""
    confirm(f"Take {', '.join(tasks)} off the list?", yes=yes)
    with open_client(data_dir, config) as client:
        client.delete_migration_task([get_task(client, task)["task_id"] for task in tasks])
