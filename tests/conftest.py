"""Fixtures every room may use. `installation` is shared by a module, `fresh_installation` is one test's own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from installation import Installation


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A running service that the tests of a module share."""
    made = Installation(tmp_path_factory.mktemp("installation"))
    try:
        yield made.start()
    finally:
        made.remove()


@pytest.fixture
def fresh_installation(tmp_path: Path) -> Iterator[Installation]:
    """A service of this test's own, not yet started."""
    made = Installation(tmp_path / "data")
    try:
        yield made
    finally:
        made.remove()
