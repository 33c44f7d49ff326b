import io
import sys

import pytest

from cachestead.cli.failures import CommandFailed
from cachestead.cli.password import VARIABLE, choose_password, make_password


def test_a_made_up_password_meets_the_rules():
    made = {make_password() for _ in range(200)}

    assert len(made) == 200
    for password in made:
        assert len(password) == 24
        assert any(char.islower() for char in password)
        assert any(char.isupper() for char in password)
        assert any(char.isdigit() for char in password)
        assert password.isalnum()


def test_it_comes_from_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("Secret-123 \nsecond line\n"))

    assert choose_password(ask=False, stdin=True, none=False).value == "Secret-123 "


def test_nothing_on_standard_input_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))

    with pytest.raises(CommandFailed):
        choose_password(ask=False, stdin=True, none=False)


def test_it_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv(VARIABLE, "From-Env-1")

    found = choose_password(ask=False, stdin=False, none=False)

    assert (found.value, found.made_up) == ("From-Env-1", False)


def test_it_is_made_up_otherwise(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)

    found = choose_password(ask=False, stdin=False, none=False)

    assert found.made_up
    assert found.value not in repr(found)


def test_two_sources_are_refused():
    with pytest.raises(CommandFailed, match="exclude each other"):
        choose_password(ask=False, stdin=True, none=True)
