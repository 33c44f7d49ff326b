"""Which release this is, as the installed package says."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def find_release() -> str:
    """The version that is installed; a source tree that is not installed has none."""
    try:
        return version("cachestead")
    except PackageNotFoundError:
        return "unreleased"
