"""`object …`: files to import from, in the service's own bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from cachestead.cli.failures import CommandFailed
from cachestead.cli.options import Config, DataDir, Output, OutputFormat, Yes, confirm, examples
from cachestead.cli.printing import print_rows
from cachestead.cli.session import open_client

app = typer.Typer(no_args_is_help=True, help="Files that were uploaded to be imported.")

COLUMNS = {"file_name": "FILE", "size": "BYTES", "bucket_name": "BUCKET"}
_FOLDER = "imports/"
_CHUNK = 1 << 20

Prefix = Annotated[str, typer.Option(help="Only names that begin so.", show_default=False)]


@app.command(epilog=examples("cachestead object upload dump.rdb", "cachestead object upload *.rdb --folder carts"))
def upload(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", exists=True, dir_okay=False, show_default=False),
    ],
    folder: Annotated[str, typer.Option(help="Folder to put them in.", show_default=False)] = "",
    output: OutputFormat = Output.TABLE,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Upload files under their own names. One that is there is replaced."""
    names = {_named(folder, file): file for file in files}
    if len(names) < len(files):
        raise CommandFailed("Two of the files have the same name.")
    with open_client(data_dir, config) as client, transfers() as progress:
        bucket = client.show_buckets()["bucket_name"]
        found = []
        for name, path in names.items():
            size = path.stat().st_size
            task = progress.add_task(name, total=size)
            with path.open("rb") as file:
                chunks = _counted(file, partial(progress.advance, task))
                found.append(client.upload_file(bucket, name, chunks, size))
    print_rows(found, COLUMNS, output)


@app.command("list", epilog=examples("cachestead object list", "cachestead object list --prefix carts/ -o json"))
def list_files(
    prefix: Prefix = "", output: OutputFormat = Output.TABLE, data_dir: DataDir = None, config: Config = None
) -> None:
    """List the files that were uploaded."""
    with open_client(data_dir, config) as client:
        bucket = client.show_buckets()["bucket_name"]
        print_rows(client.list_uploads(bucket, _FOLDER + prefix.removeprefix(_FOLDER)), COLUMNS, output)


@app.command(epilog=examples("cachestead object delete dump.rdb", "cachestead object delete carts/a.rdb -y"))
def delete(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="As listed.", show_default=False)],
    yes: Yes = False,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Delete files that were uploaded."""
    confirm(f"Delete {', '.join(names)}?", yes=yes)
    with open_client(data_dir, config) as client:
        bucket = client.show_buckets()["bucket_name"]
        for name in names:
            client.delete_file(bucket, name.removeprefix(_FOLDER))


def _named(folder: str, file: Path) -> str:
    return f"{folder.removeprefix(_FOLDER).strip('/')}/{file.name}".removeprefix("/")


def _counted(file: BinaryIO, advance: Callable[[int], None]) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk
        advance(len(chunk))


@contextmanager
def transfers() -> Iterator[Progress]:
    """A bar for each file, on a terminal."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield progress
