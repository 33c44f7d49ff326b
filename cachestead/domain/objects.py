"""Keys of objects: what belongs to whom in the service's own bucket.

Everything of a project is below its id: backups (`domain/backups.py`), and uploads as `<project>/imports/<name>`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from cachestead.errors import InvalidParameter

NAME_BYTES = 512
"""Longest name of an upload."""
_PART_BYTES = 240
"""Longest part of it between slashes: what file systems take, and something for names of files in the making."""
_UNUSABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]|#\d+$")


def import_key(project: str, name: str) -> str:
    """Where an uploaded file is."""
    return f"{project}/imports/{name}"


def own_key(project: str, given: str) -> str:
    """The key that a tenant means by a name in the service's bucket, with the project's id before it or not."""
    prefix = f"{project}/"
    return given if given.startswith(prefix) else prefix + given


def check_upload_name(name: str, others: Iterable[str]) -> None:
    """Raises `InvalidParameter` for a name that a file cannot have, beside the others of the project."""
    if problem := _problem_with(name) or _conflict(name, others):
        raise InvalidParameter(f"name: {problem}", name="name")


def _problem_with(name: str) -> str | None:
    if _UNUSABLE.search(name):
        return "control characters, and # with a number at the end, cannot be used"
    if len(name.encode()) > NAME_BYTES:
        return f"longer than {NAME_BYTES} bytes"
    parts = name.split("/")
    if any(part in {"", ".", ".."} for part in parts):
        return "a part between slashes is empty or made of dots"
    if any(len(part.encode()) > _PART_BYTES for part in parts):
        return f"a part between slashes is longer than {_PART_BYTES} bytes"
    return None


def _conflict(name: str, others: Iterable[str]) -> str | None:
    """In a folder a file cannot be a folder too."""
    for other in others:
        if name.startswith(other + "/") or other.startswith(name + "/"):
            return f"{other} is there"
    return None
