"""The command line: every command, and the one place where a failed one is printed.

Commands on instances use the HTTP API as any client does. Only `up`, `down`, `env` and `doctor` touch this
machine's installation, through `cachestead.main` and `cachestead.local`.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cachestead.cli import (
    account,
    audit,
    backup,
    flavor,
    group,
    instance,
    key,
    metric,
    migration,
    objects,
    parameter,
    policy,
    sessions,
    tag,
    task,
    template,
    user,
    zone,
)
from cachestead.cli.doctor import doctor
from cachestead.cli.env import env
from cachestead.cli.failures import CommandFailed
from cachestead.cli.options import examples
from cachestead.cli.printing import say
from cachestead.cli.quota import quota
from cachestead.cli.release import find_release
from cachestead.cli.up import down, up


class Commands(TyperGroup):
    """All commands; a `CommandFailed` of any ends as a sentence and exit code 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the arguments name."""
        try:
            return super().invoke(ctx)
        except CommandFailed as exc:
            say(exc.sentence)
            if exc.advice:
                say(exc.advice)
            raise typer.Exit(1) from exc


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,  # they hold passwords
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples("cachestead up", 'eval "$(cachestead env)"', "cachestead instance create sessions --wait"),
)
app.command(epilog=examples("cachestead up", "cachestead up --port 9000 --data-dir ./state"))(up)
app.command(epilog=examples("cachestead down", "cachestead down --all --data-dir ./state"))(down)
app.command(epilog=examples('eval "$(cachestead env)"', "cachestead env --format json | jq -r .endpoint"))(env)
app.command(epilog=examples("cachestead doctor"))(doctor)
app.add_typer(instance.app, name="instance")
app.add_typer(parameter.app, name="parameter")
app.add_typer(template.app, name="template")
app.add_typer(sessions.app, name="session")
app.add_typer(account.app, name="account")
app.add_typer(tag.app, name="tag")
app.add_typer(flavor.app, name="flavor")
app.add_typer(zone.app, name="zone")
app.command(epilog=examples("cachestead quota"))(quota)
app.add_typer(task.app, name="task")
app.add_typer(metric.app, name="metric")
app.add_typer(backup.app, name="backup")
app.add_typer(migration.app, name="migration")
app.add_typer(objects.app, name="object")
app.add_typer(user.app, name="user")
app.add_typer(group.app, name="group")
app.add_typer(policy.app, name="policy")
app.add_typer(key.app, name="key")
app.add_typer(audit.app, name="audit")


def _print_version(asked: bool) -> None:  # noqa: FBT001 - the shape Typer calls
    if asked:
        typer.echo(f"cachestead {find_release()}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    """Cachestead: a Distributed Cache Service you run yourself."""


if __name__ == "__main__":
    app()
