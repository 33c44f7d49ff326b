"""Data nodes with a proxy in front. `proxied` is empty for each test; what a test starts besides, it may leave."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

# What starts engines and proxies stands beside the rooms' folders.
sys.path.insert(0, str(Path(__file__).parent.parent))

from proxied import Proxied

from cachestead.proxy.configuration import Layout


@pytest.fixture(scope="module", params=list(Layout), ids=str)
def started(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    """Data nodes of each layout with one proxy, which the tests of a module share."""
    made = Proxied(tmp_path_factory.mktemp("proxied"), request.param)
    try:
        made.start_nodes()
        made.start_proxy()
        yield made
    finally:
        made.close()


@pytest.fixture
def proxied(started: Proxied) -> Iterator[Proxied]:
    """The same without any key, with nobody left who talks to it."""
    started.flush()
    yield started
    for proxy in started.proxies[1:]:
        proxy.stop()
    del started.proxies[1:]


@pytest.fixture
def client(proxied: Proxied) -> Iterator[redis.Redis]:
    """A tenant's client."""
    with proxied.client() as client:
        yield client
