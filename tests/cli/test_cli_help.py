import pytest
import typer
from typer.testing import CliRunner

from cachestead.cli.main import app


def _paths(command, path=()):
    yield path
    for name, child in getattr(command, "commands", {}).items():
        yield from _paths(child, (*path, name))


WITH_COMMANDS = {
    *("account", "backup", "instance", "metric", "migration", "object", "parameter", "session", "tag", "task"),
    *("template", "audit", "group", "key", "policy", "user"),
}
PATHS = sorted(_paths(typer.main.get_command(app)))


@pytest.mark.parametrize("path", PATHS, ids=lambda path: " ".join(path) or "cachestead")
def test_help_is_there_and_says_something(path):
    result = CliRunner().invoke(app, [*path, "--help"])

    assert result.exit_code == 0
    assert "Usage:" in result.stdout
    command = typer.main.get_command(app)
    for name in path:
        command = command.commands[name]
    assert command.help


@pytest.mark.parametrize(
    "path",
    [path for path in PATHS if len(path) == 1 and path[0] not in {"flavor", "zone"} | WITH_COMMANDS]
    + [path for path in PATHS if len(path) == 2 and path[0] in WITH_COMMANDS - {"instance"}]
    + [("instance", name) for name in ("create", "resize", "swap", "nodes")],
)
def test_commands_show_an_example(path):
    assert "Examples:" in CliRunner().invoke(app, [*path, "--help"]).stdout


def test_the_version_is_printed():
    result = CliRunner().invoke(app, ["--version"])

    assert result.exit_code == 0
    assert result.stdout.startswith("cachestead ")


def test_every_operation_on_instances_is_a_command():
    assert {
        "create", "list", "show", "update", "delete", "restart", "flush", "reset-password", "wait", "resize", "swap",
        "nodes",
    } <= {path[1] for path in PATHS if len(path) == 2 and path[0] == "instance"}  # fmt: skip


def test_no_command_takes_a_password_as_an_argument():
    command = typer.main.get_command(app)
    create = command.commands["instance"].commands["create"]
    reset = command.commands["instance"].commands["reset-password"]

    for one in (create, reset):
        takes_value = [
            parameter.name for parameter in one.params if "password" in parameter.name and not parameter.is_flag
        ]
        assert takes_value == []
