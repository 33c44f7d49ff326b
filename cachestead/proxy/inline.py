"""The words of an inline request, quoted as redis-cli and telnet users write them."""

from __future__ import annotations

import re

_WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"|\'((?:[^\'\\]|\\.)*)\'|([^\s"\']+)')
_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_NAMED = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"a": b"\a"}


def split_line(line: bytes) -> list[bytes]:
    """The words. Raises `ValueError` where quotes are not closed or something stands right behind them."""
    words: list[bytes] = []
    position, size = 0, len(line)
    while position < size:
        if line[position : position + 1].isspace() or line[position] == 0:
            position += 1
            continue
        found = _WORD.match(line, position)
        if found is None:
            raise ValueError(line)
        position = found.end()
        double, single, bare = found.groups()
        if bare is None and position < size and not line[position : position + 1].isspace():
            raise ValueError(line)
        if double is not None:
            words.append(_ESCAPE.sub(_unescape, double))
        else:
            words.append(bare if bare is not None else single.replace(b"\\'", b"'"))
    return words


def _unescape(found: re.Match[bytes]) -> bytes:
    if found[1]:
        return bytes([int(found[1], 16)])
    return _NAMED.get(found[2], found[2])
