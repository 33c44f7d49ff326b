"""`account …`: who may log in to an instance besides `default`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from cachestead.cli.client import Client, Json
from cachestead.cli.failures import CommandFailed
from cachestead.cli.options import Config, DataDir, Output, OutputFormat, Yes, confirm, examples
from cachestead.cli.password import AskPassword, PasswordStdin, choose_password
from cachestead.cli.printing import print_rows, say
from cachestead.cli.session import Instance, get_instance, open_client

app = typer.Typer(
    no_args_is_help=True,
    help="Accounts of instances of 4.0 and 5.0: who may log in besides `default`.",
    epilog=examples("cachestead account create sessions reports --role read"),
)

COLUMNS = {
    "account_name": "NAME",
    "account_type": "TYPE",
    "account_role": "ROLE",
    "status": "STATUS",
    "description": "DESCRIPTION",
}


class Role(StrEnum):
    """What an account may do."""

    READ = "read"
    WRITE = "write"


Account = Annotated[str, typer.Argument(help="Name of the account.", show_default=False)]
ForRole = Annotated[Role, typer.Option("--role", help="What the account may do.")]


@app.command("list", epilog=examples("cachestead account list sessions"))
def list_accounts(
    instance: Instance,
    output: OutputFormat = Output.TABLE,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """List the accounts of an instance."""
    with open_client(data_dir, config) as client:
        found = client.list_acl_accounts(get_instance(client, instance)["instance_id"])
    print_rows(found, COLUMNS, output)


@app.command(epilog=examples("cachestead account create sessions reports --role read --ask-password"))
def create(
    instance: Instance,
    account: Account,
    role: ForRole = Role.WRITE,
    description: Annotated[str | None, typer.Option(help="A sentence about it.", show_default=False)] = None,
    ask_password: AskPassword = False,
    password_stdin: PasswordStdin = False,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Make an account. Without a password one is made up and printed; it can log in when it is AVAILABLE."""
    password = choose_password(ask=ask_password, stdin=password_stdin, none=False)
    body: Json = {"account_name": account, "account_role": role.value, "account_password": password.value}
    if description is not None:
        body["description"] = description
    with open_client(data_dir, config) as client:
        client.create_acl_account(get_instance(client, instance)["instance_id"], body)
    if password.made_up:
        typer.echo(password.value)
    say(f"{account} is being made.")


@app.command("reset-password", epilog=examples("cachestead account reset-password sessions reports"))
def reset_password(
    instance: Instance,
    account: Account,
    ask_password: AskPassword = False,
    password_stdin: PasswordStdin = False,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Give an account another password. The old one is not asked for; clients stay connected."""
    password = choose_password(ask=ask_password, stdin=password_stdin, none=False)
    assert password.value is not None, "an account always has a password"
    with open_client(data_dir, config) as client:
        one, number = _get_account(client, instance, account)
        answer = client.reset_acl_account_pass_word(one, number, password.value)
    if answer["code"] != "1":
        raise CommandFailed(f"The password was not changed: {answer['message']}")
    if password.made_up:
        typer.echo(password.value)
    say("The password is changed.")


@app.command("set-role", epilog=examples("cachestead account set-role sessions reports --role write"))
def set_role(
    instance: Instance,
    account: Account,
    role: Annotated[Role, typer.Option("--role", help="What the account may do.", show_default=False)],
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Let an account write, or only read."""
    with open_client(data_dir, config) as client:
        client.update_acl_account(*_get_account(client, instance, account), role.value)
    say(f"{account} is being changed.")


@app.command(epilog=examples('cachestead account describe sessions reports "Reads for the reports."'))
def describe(
    instance: Instance,
    account: Account,
    description: Annotated[str, typer.Argument(help="A sentence about it.", show_default=False)],
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Change the description of an account."""
    with open_client(data_dir, config) as client:
        client.update_acl_account_remark(*_get_account(client, instance, account), description)


@app.command(epilog=examples("cachestead account delete sessions reports --yes"))
def delete(
    instance: Instance,
    account: Account,
    yes: Yes = False,
    data_dir: DataDir = None,
    config: Config = None,
) -> None:
    """Delete an account; its clients are disconnected."""
    with open_client(data_dir, config) as client:
        one, number = _get_account(client, instance, account)
        confirm(f"Delete the account {account}?", yes=yes)
        client.delete_acl_account(one, number)
    say(f"{account} is being deleted.")


def _get_account(client: Client, instance: str, account: str) -> tuple[str, str]:
    """Ids of the instance and of its account of this name."""
    one = str(get_instance(client, instance)["instance_id"])
    for known in client.list_acl_accounts(one):
        if known["account_name"] == account:
            return one, str(known["account_id"])
    raise CommandFailed(f"There is no account called {account}.", advice="`cachestead account list` shows all.")
