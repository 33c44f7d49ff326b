from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

# The shared engines stand beside the rooms' folders.
sys.path.insert(0, str(Path(__file__).parent.parent))

from real_engines import ENGINES, Machine

from cachestead.engine.catalogue import Engine


@pytest.fixture(params=ENGINES, ids=str)
def engine(request: pytest.FixtureRequest) -> Engine:
    """Every engine this machine has."""
    return request.param


@pytest.fixture
async def machine(engine: Engine, tmp_path: Path) -> AsyncIterator[Machine]:
    """Nodes on addresses of this test's own; none is left when it ends."""
    machine = Machine(engine, tmp_path / "nodes")
    await machine.runtime.start()
    yield machine
    await machine.close()
