"""The program's own log tells what went wrong, and never a secret."""

from __future__ import annotations

import subprocess
import sys

import pytest

FAILING = """
import structlog
from cachestead.main import set_up_logging
from cachestead.settings import LogSettings

set_up_logging(LogSettings(format={format!r}))

def change(password):
    raise ValueError("the reason")

try:
    change("".join(["Passw0rd", "!secret"]))
except ValueError:
    structlog.get_logger().exception("it failed")
"""


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_logged_exception_names_the_reason_but_no_values(form: str):
    ran = subprocess.run(
        [sys.executable, "-c", FAILING.format(format=form)], capture_output=True, text=True, check=True, timeout=60
    )
    assert "the reason" in ran.stderr
    assert "change" in ran.stderr
    assert "Passw0rd!secret" not in ran.stderr
