"""The same requests to an engine and to the proxy in front of the same engine: every reply is the same.

What is compared is the bytes; where they cannot be equal, `likeness.py` says why and what is compared instead, and
what the proxy is documented to do otherwise stands in `documented.py`, command by command.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from command_scenarios import SCENARIOS
from real_engines import ENGINES
from twins import Twins, start_twins

from cachestead.proxy.configuration import Layout


@pytest.fixture(
    scope="module",
    params=[(engine, layout) for engine in ENGINES for layout in Layout],
    ids=lambda param: f"{param[0]}-{param[1]}",
)
def started(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    """An engine, and the same with a proxy that refuses nothing of itself."""
    engine, layout = request.param
    with start_twins(tmp_path_factory.mktemp("twins"), engine, layout) as made:
        yield made


@pytest.fixture
def twins(started: Twins) -> Twins:
    """Both, empty."""
    started.reset()
    return started


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("topic", SCENARIOS)
def test_one_by_one(twins: Twins, topic: str, protocol: int):
    found = []
    for client in dict.fromkeys(client for client, _ in SCENARIOS[topic]):
        for side in (twins.plain, twins.proxy):
            side.ask((b"HELLO", b"%d" % protocol), client)
    for client, words in SCENARIOS[topic]:
        if (difference := twins.compare(words, client)) is not None:
            found.append(difference)
    assert not found, "\n".join(found)
