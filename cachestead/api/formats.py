"""How the API prints and reads times, flags and pages."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Path, Query
from pydantic import AfterValidator

from cachestead import errors

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_JOB = re.compile(r"[0-9a-f]{32}")


def iso_time(at: datetime | None) -> str | None:
    """2022-08-29T08:53:47.319Z."""
    return None if at is None else at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def epoch_text(at: datetime | None) -> str | None:
    """Epoch milliseconds as text."""
    return None if at is None else str(round(at.timestamp() * 1000))


def flag_text(value: bool) -> str:  # noqa: FBT001 - it is the value that is printed
    """Flags that the reference types as String."""
    return "true" if value else "false"


def read_compact_time(text: str | None, name: str) -> datetime | None:
    """YyyyMMddHHmmss in UTC."""
    if not text:
        return None
    try:
        # strptime takes fewer digits, the reference does not
        at = datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC) if len(text) == 14 else None
    except ValueError:
        at = None
    if at is None:
        raise errors.InvalidParameter(f"{name}: yyyyMMddHHmmss", name=name)
    return at


def read_flag(text: str | None, name: str) -> bool:
    """A flag in a query: true or false in any case; absent is false."""
    if text is None or text.lower() in ("false", ""):
        return False
    if text.lower() == "true":
        return True
    raise errors.InvalidParameter(f"{name}: true or false", name=name)


def _check_instance_id(text: str) -> str:
    if not _UUID.fullmatch(text.lower()):
        raise errors.InvalidInstanceId(f"instance_id: {text[:64]!r}")
    return text.lower()


def _check_task_id(text: str) -> str:
    if not _JOB.fullmatch(text.lower()):
        raise errors.InvalidTaskId(f"task_id: {text[:64]!r}")
    return text.lower()


InstanceIdPath = Annotated[str, Path(), AfterValidator(_check_instance_id)]
InstanceIdQuery = Annotated[str, Query(), AfterValidator(_check_instance_id)]
TaskIdPath = Annotated[str, Path(), AfterValidator(_check_task_id)]
ProjectIdPath = Annotated[str, Path(description="Project id; must be the caller's.")]
Offset = Annotated[int, Query(ge=0, le=2**31 - 1)]
Limit = Annotated[int, Query(ge=1, le=1000)]
