"""Passwords of instances on the command line: prompted for, read, or made up; never an argument.

An argument would be in the shell's history and in every user's list of processes.
"""

from __future__ import annotations

import os
import secrets
import string
import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from cachestead.cli.failures import CommandFailed

VARIABLE = "CACHESTEAD_INSTANCE_PASSWORD"
_KINDS = (string.ascii_lowercase, string.ascii_uppercase, string.digits)
_LENGTH = 24

AskPassword = Annotated[bool, typer.Option("--ask-password", help="Prompt for the password.")]
PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]
NoPassword = Annotated[bool, typer.Option("--no-password", help="Let everyone in who can reach the address.")]


@dataclass(frozen=True)
class Password:
    """The password to set; None for access without one."""

    value: str | None
    made_up: bool = False

    def __repr__(self) -> str:
        return f"Password(made_up={self.made_up})"


def choose_password(*, ask: bool, stdin: bool, none: bool) -> Password:
    """The password that the options name; without any, the environment's or a new one."""
    if ask + stdin + none > 1:
        raise CommandFailed("--ask-password, --password-stdin and --no-password exclude each other.")
    if none:
        return Password(None)
    if ask:
        return Password(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    if stdin:
        line = sys.stdin.readline().rstrip("\r\n")
        if not line:
            raise CommandFailed("There is no password on standard input.")
        return Password(line)
    if given := os.environ.get(VARIABLE):
        return Password(given)
    return Password(make_password(), made_up=True)


def make_password() -> str:
    """A password that the service's rules accept and that needs no quoting anywhere."""
    while True:
        found = "".join(secrets.choice("".join(_KINDS)) for _ in range(_LENGTH))
        if all(any(char in kind for char in found) for kind in _KINDS):
            return found
