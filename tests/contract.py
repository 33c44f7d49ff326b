"""The contract: facts of the public service, beside the checkout where the project is developed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def contract_file(name: str) -> Path:
    """A file of the contract; the test is skipped where there is none."""
    folder = Path(os.environ.get("CACHESTEAD_CONTRACT", Path(__file__).parents[2] / "shared" / "contract"))
    if not (folder / name).is_file():
        pytest.skip(f"the contract is not at {folder}")
    return folder / name
