"""Fixtures every room may use. `installation` is shared by a module, `fresh_installation` is one test's own.

`--hypothesis-profile search` makes up what the usual run does not, as much of it as there is time for, where a
property test knows it. `--database postgresql` runs the tests that keep records on a PostgreSQL server of the run's own, and only those.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))

from installation import Installation
from postgresql import NewDatabase, find_binaries, start_server

settings.register_profile("search", max_examples=20_000, print_blob=True)
_WITHOUT_PROCESSES = {"domain", "identity", "names", "store"}
_KEEPS_RECORDS = {"installation", "fresh_installation", "new_database"}
_LONG_AND_ABOUT_NODES = {
    "test_accounts_last",
    "test_backups_and_restores",
    "test_changing_types",
    "test_cluster_life",
    "test_imports_of_files",
    "test_living_with_ssl",
    "test_losing_cluster_nodes",
    "test_losing_memory",
    "test_losing_nodes",
    "test_losing_parts_of_backups",
    "test_proxies_under_load",
    "test_resizing_under_load",
    "test_switchover_under_load",
    "test_whitelists_last",
}
"""Not repeated on the second database unless they are named: it makes no difference to nodes and files."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database", choices=("sqlite", "postgresql"), default="sqlite", help="where records are kept"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        # Servers are started and killed at moments that nobody chooses, on machines that do other things too. A
        # second failure is one; that there was a first, and why, is said at the end of the run.
        if item.path.parent.name not in _WITHOUT_PROCESSES:
            item.add_marker(pytest.mark.flaky(reruns=1))
    if config.getoption("--database") == "sqlite":
        return
    whole = not config.args or config.args == config.getini("testpaths")
    others = [
        item
        for item in items
        if not _KEEPS_RECORDS & set(getattr(item, "fixturenames", ()))
        or (whole and item.path.stem in _LONG_AND_ABOUT_NODES)
    ]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]


@pytest.fixture(scope="session")
def new_database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NewDatabase]:
    """Makes the URL of an empty database; None stands for SQLite in the data directory."""
    if request.config.getoption("--database") == "sqlite":
        yield lambda: None
        return
    if find_binaries() is None:
        pytest.skip("PostgreSQL is not installed")
    server = start_server(tmp_path_factory.mktemp("postgresql") / "server")
    try:
        yield server.new_database
    finally:
        server.close()


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase) -> Iterator[Installation]:
    """A running service that the tests of a module share."""
    made = Installation(tmp_path_factory.mktemp("installation"), new_database())
    try:
        yield made.start()
    finally:
        made.remove()


@pytest.fixture
def fresh_installation(tmp_path: Path, new_database: NewDatabase) -> Iterator[Installation]:
    """A service of this test's own, not yet started."""
    made = Installation(tmp_path / "data", new_database())
    try:
        yield made
    finally:
        made.remove()
