"""Replies as they stand on the wire, cut by nothing of the proxy's own, and what they hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wires import Wire

CLOSED = b"(closed)"
_LINES, _STRINGS, _ROWS, _PAIRS = b"+-:_#,(", b"$=!", b"*~>", b"%|"


@dataclass(frozen=True)
class Reply:
    """A reply, its bytes and its parts."""

    raw: bytes
    kind: str
    """Its first character."""
    text: bytes = b""
    """What a line or a string says."""
    parts: tuple[Reply, ...] = ()
    """Elements; of mappings keys and values in turn."""

    def __str__(self) -> str:
        return f"{self.kind}[{', '.join(map(str, self.parts))}]" if self.parts else repr(self.raw)


class Replies:
    """Whole replies out of what comes over a connection."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire

    def next(self) -> Reply:
        """The next reply; one that says so if the connection ended instead."""
        try:
            return self._next()
        except (AssertionError, ConnectionError):
            return Reply(CLOSED, "x", self.wire.received)

    def _next(self) -> Reply:
        line = self.wire.line()
        kind, head = line[:1], line[1:]
        if kind in _LINES:
            return Reply(line + b"\r\n", kind.decode(), head)
        if head == b"-1" or (head and head[:1] not in b"0123456789"):
            return Reply(line + b"\r\n", kind.decode(), head)
        size = int(head)
        if kind in _STRINGS:
            body = self.wire.exactly(size + 2)
            return Reply(line + b"\r\n" + body, kind.decode(), body[:-2])
        count = size * 2 if kind in _PAIRS else size
        parts = tuple(self._next() for _ in range(count))
        assert kind in _ROWS + _PAIRS, line
        return Reply(line + b"\r\n" + b"".join(part.raw for part in parts), kind.decode(), head, parts)

    def take(self, count: int) -> Iterator[Reply]:
        """So many replies, fewer if the connection ends."""
        for _ in range(count):
            reply = self.next()
            yield reply
            if reply.raw == CLOSED:
                return
