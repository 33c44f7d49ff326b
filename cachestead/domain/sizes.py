"""Units of memory, and how the API prints a capacity."""

from __future__ import annotations

from typing import NewType

MiB = NewType("MiB", int)
Bytes = NewType("Bytes", int)


def mib_of_gb(gigabytes: float) -> MiB:
    """Flavors count in GB of 1024 MiB: 0.125 GB is 128 MiB."""
    return MiB(round(gigabytes * 1024))


def bytes_of(size: MiB) -> Bytes:
    """The same size in bytes."""
    return Bytes(size * 1024 * 1024)


def whole_gb(gigabytes: float) -> int:
    """The API's `capacity`: whole GB, 0 below one."""
    return int(gigabytes) if gigabytes >= 1 else 0


def minor_gb(gigabytes: float) -> str | None:
    """The API's `capacity_minor`: ".125" for an instance below 1 GB, else None."""
    return f"{gigabytes:g}".lstrip("0") if gigabytes < 1 else None


def capacity_text(gigabytes: float) -> str:
    """A capacity as flavors print it: "1", "0.125"."""
    return f"{gigabytes:g}"
