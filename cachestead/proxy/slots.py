"""The hash slot of a key, as Redis Cluster counts it."""

from __future__ import annotations

from binascii import crc_hqx

SLOT_COUNT = 16384


def slot_of(key: bytes) -> int:
    """The key's slot: of what stands between its first `{` and the next `}`, if anything, else of all of it."""
    if (start := key.find(b"{")) >= 0 and (end := key.find(b"}", start + 1)) > start + 1:
        key = key[start + 1 : end]
    return crc_hqx(key, 0) & 16383
