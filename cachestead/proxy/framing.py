"""Where requests and replies begin and end in a stream of bytes, without building what they hold.

Protocol only: no sockets, no loop. Feed bytes, take frames. A frame keeps its bytes as they came, so that passing
it on costs nothing; only who needs the arguments takes them apart (`arguments`). Frames that come in pieces are
looked at once per byte, however many pieces there are.

Errors and limits are the engine's own (`Protocol error: …`), so that a client cannot tell the difference.
"""

from __future__ import annotations

from collections.abc import Callable

import hiredis

from cachestead.proxy.inline import split_line

MAX_BULK = 512 * 1024 * 1024
MAX_ARGUMENTS = 2**31 - 1
MAX_LINE = 64 * 1024
LARGE = 1024 * 1024
"""An argument or a string reply beyond this is passed on in pieces where that is possible."""
STRANGER_BULK, STRANGER_ARGUMENTS = 16_384, 10
"""What a client may send before it has logged in."""
FEW, MANY = 4, 64
"""So many replies are looked at together, because they are often of one length."""
_HEADS = 4096
"""Beginnings of requests remembered, so that a usual one is recognised by one look into a dictionary."""
_HEAD_BYTES = 80
_LENGTHS = {b"\r\n$%d\r\n" % length: length for length in range(4096)}
"""Lines that say how long an argument is: sooner looked up than read, and none that an engine would refuse."""


class ProtocolError(Exception):
    """The stream cannot be understood any further; the text is what the client is told."""


_RESTS = {b"$%d\r\n" % length: length + 2 for length in range(4096)} | {b"+OK\r\n": 0, b"$-1\r\n": 0, b"_\r\n": 0}
"""First lines of usual replies: how many bytes follow."""

Frame = tuple[bytes, bytes, int, bytes]
"""One request: its bytes as they came (of an inline request, as they would have come otherwise), the command's
name in lower case, how many arguments with the name, and the first one after the name, empty where there is
none. A bare tuple, because one is made for each request."""


_heads: dict[bytes, tuple[bytes, int]] = {}
"""Name and number of arguments by what a request begins with, up to its first argument."""


class RequestFramer:
    """Takes bytes, gives requests."""

    def __init__(self) -> None:
        self.max_bulk = STRANGER_BULK
        self.max_arguments = STRANGER_ARGUMENTS
        self._open = bytearray()
        """The beginning of a request whose end has not come."""
        self._seen = 0
        """How much of it is known to be whole arguments."""
        self._left = -1
        """Arguments of it that have not come whole; -1 while their number is not known."""
        self.awaited = 0
        """Size of the argument that is coming, once it is known, else 0."""
        self._passing: Callable[[bytes, bool], None] | None = None
        """Who gets the open request in pieces, and whether a piece is the last."""

    def trust(self, max_bulk: int = MAX_BULK) -> None:
        """The client has logged in: only the usual limits count from now."""
        self.max_bulk, self.max_arguments = max_bulk, MAX_ARGUMENTS

    @property
    def held(self) -> int:
        """Bytes kept of a request that is not whole."""
        return len(self._open)

    def large(self) -> Frame | None:
        """What is known of an open request whose next argument is large, if that is enough to route it."""
        if self.awaited <= LARGE or self._passing is not None:
            return None
        parts = bytes(self._open[: self._seen]).split(b"\r\n", 5)
        if len(parts) < 6 or len(parts[2]) != int(parts[1][1:]) or len(parts[4]) != int(parts[3][1:]):
            return None
        return b"", parts[2].lower(), int(parts[0][1:]), parts[4]

    def pass_on(self, to: Callable[[bytes, bool], None]) -> None:
        """Keep nothing of the open request: its pieces go there as they come, this first one included."""
        first, self._open = bytes(self._open), bytearray()
        self._passing, self.awaited = to, self.awaited - (len(first) - self._seen)
        self._head = b""
        to(first, False)

    def _pass(self, data: bytes) -> bytes:
        """Pass on what belongs to the open request; what follows it is returned."""
        position, size = 0, len(data)
        while self._left:
            if self.awaited:
                step = min(self.awaited, size - position)
                self.awaited, position = self.awaited - step, position + step
                if self.awaited:
                    break
                self._left -= 1
                continue
            end = data.find(b"\n", position)
            if end < 0:
                self._head += data[position:]
                position = size
                break
            self.awaited = self._bulk_length(bytearray((self._head + data[position:end])[1:-1])) + 2
            self._head, position = b"", end + 1
        to, is_last = self._passing, not self._left
        assert to is not None
        if is_last:
            self._passing = None
        to(data[:position], is_last)
        return data[position:]

    def feed(self, data: bytes) -> list[Frame]:
        """The requests that are whole now. Raises `ProtocolError`; those before it are in its second argument."""
        frames: list[Frame] = []
        try:
            if self._passing is not None:
                data = self._pass(data)
            elif self._open:
                data = self._go_on(data, frames)
            self._split(data, frames)
        except ProtocolError as error:
            raise ProtocolError(error.args[0], frames) from None
        return frames

    def _split(self, data: bytes, frames: list[Frame]) -> None:
        """Every whole request of `data`; the rest is kept."""
        size, position = len(data), 0
        find, index, known, lengths, append = data.find, data.index, _heads.get, _LENGTHS, frames.append
        careful = self.max_arguments == STRANGER_ARGUMENTS
        while position < size:
            name_end = find(b"\r\n$", position + 6, position + _HEAD_BYTES)
            head = known(data[position:name_end]) if name_end > 0 and not careful else None
            if head is not None:
                name, argc = head
                try:
                    start = index(b"\r\n", name_end + 3, name_end + 9) + 2
                    end = start + lengths[data[name_end:start]]
                    first = data[start:end]
                    if argc == 3:
                        start = index(b"\r\n", end + 3, end + 9) + 2
                        end = start + lengths[data[end:start]]
                    elif argc > 3:
                        end = _past(data, end, argc - 2)
                except (KeyError, ValueError):
                    # Something is missing, long or wrong: the careful way says which.
                    end = size
                end += 2
                if end <= size:
                    append((data[position:end], name, argc, first))
                    position = end
                    continue
            position = self._split_one(data, position, frames)
            if position < 0:
                return

    def _split_one(self, data: bytes, position: int, frames: list[Frame]) -> int:
        """One request, checked in every way; where the next begins, or -1 with the rest kept."""
        self._open = bytearray(data[position:])
        self._seen, self._left, self.awaited = 0, -1, 0
        end = self._finish(frames)
        if end < 0:
            return -1
        self._open = bytearray()
        return position + end

    def _go_on(self, data: bytes, frames: list[Frame]) -> bytes:
        """The request that was open, with more of it; what follows it is returned."""
        self._open += data
        end = self._finish(frames)
        if end < 0:
            return b""
        rest = bytes(memoryview(self._open)[end:])
        self._open = bytearray()
        return rest

    def _finish(self, frames: list[Frame]) -> int:
        """The end of the open request, once it is there, else -1."""
        held = self._open
        if held[0] != 42:
            return self._finish_line(frames)
        if self._left < 0 and not self._count():
            return -1
        while self._left > 0:
            line = held.find(b"\r\n", self._seen)
            if line < 0:
                if len(held) - self._seen > MAX_LINE:
                    raise ProtocolError("Protocol error: too big bulk count string")
                return -1
            if held[self._seen] != 36:
                raise ProtocolError(f"Protocol error: expected '$', got '{_shown(held[self._seen])}'")
            end = line + 2 + self._bulk_length(held[self._seen + 1 : line]) + 2
            if end > len(held):
                self.awaited = end - self._seen
                return -1
            self._seen, self._left = end, self._left - 1
        end, self.awaited = self._seen, 0
        raw = bytes(memoryview(held)[:end])
        if raw[1:2] not in b"0-":
            frames.append(_frame(raw))
        return end

    def _count(self) -> bool:
        """Whether the number of arguments is known now."""
        line = self._open.find(b"\r\n")
        if line < 0:
            if len(self._open) > MAX_LINE:
                raise ProtocolError("Protocol error: too big mbulk count string")
            return False
        count = _number(self._open[1:line])
        if count is None or count > MAX_ARGUMENTS:
            raise ProtocolError("Protocol error: invalid multibulk length")
        if count > self.max_arguments:
            raise ProtocolError("Protocol error: unauthenticated multibulk length")
        self._seen, self._left = line + 2, max(count, 0)
        return True

    def _bulk_length(self, text: bytearray) -> int:
        length, is_stranger = _number(text), self.max_arguments == STRANGER_ARGUMENTS
        if length is None or length < 0 or length > (MAX_BULK if is_stranger else self.max_bulk):
            raise ProtocolError("Protocol error: invalid bulk length")
        if length > self.max_bulk:
            raise ProtocolError("Protocol error: unauthenticated bulk length")
        return length

    def _finish_line(self, frames: list[Frame]) -> int:
        """An inline request: words on a line."""
        end = self._open.find(b"\n")
        if end < 0:
            if len(self._open) > MAX_LINE:
                raise ProtocolError("Protocol error: too big inline request")
            return -1
        try:
            words = split_line(bytes(self._open[:end]).rstrip(b"\r"))
        except ValueError:
            raise ProtocolError("Protocol error: unbalanced quotes in request") from None
        if words:
            frames.append(_frame(pack(*words)))
        return end + 1


def _past(data: bytes, end: int, count: int) -> int:
    """Where so many arguments end. Raises `KeyError` and `ValueError` as looking for them does."""
    line, length = b" ", 0
    for _ in range(count):
        # Those that follow each other are often of one length.
        start = end + len(line)
        if data[end:start] != line:
            start = data.index(b"\r\n", end + 3, end + 9) + 2
            line = data[end:start]
            length = _LENGTHS[line]
        end = start + length
    return end


def _alike(data: bytes, start: int, line: bytes, length: int, count: int) -> list[bytes]:
    """What follows each `line`, if so many are there with as many bytes after each; nothing if not."""
    parts = data[start : start + count * (len(line) + length)].split(line)
    del parts[0]
    return parts if len(parts) == count and set(map(len, parts)) == {length} else []


def _frame(raw: bytes) -> Frame:
    """The frame of a whole, checked request; what it begins with is remembered."""
    name_end = raw.find(b"\r\n", (start := raw.index(b"\r\n", raw.index(b"\r\n") + 2) + 2))
    name_end = start + int(raw[raw.index(b"$") + 1 : start - 2]) if name_end >= 0 else len(raw)
    name, argc = raw[start:name_end].lower(), int(raw[1 : raw.index(b"\r\n")])
    if argc == 1:
        return raw, name, argc, b""
    if name_end < _HEAD_BYTES and name.isalnum() and len(_heads) < _HEADS:
        _heads[raw[:name_end]] = (name, argc)
    key = raw.index(b"\r\n", name_end + 3) + 2
    return raw, name, argc, raw[key : key + int(raw[name_end + 3 : key - 2])]


def arguments(raw: bytes) -> list[bytes]:
    """The arguments of a framed request, the name first."""
    # A request is an array of strings as any other: what reads replies of engines reads it, seven times as fast.
    _reader.feed(raw)
    words: list[bytes] = _reader.gets()
    return words


_reader = hiredis.Reader()


def pack(*words: bytes) -> bytes:
    """A request of these words."""
    return b"*%d\r\n" % len(words) + b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words])


class ReplyFramer:
    """Takes bytes of an engine, gives whole replies, pushed messages included (RESP2 and RESP3)."""

    def __init__(self) -> None:
        self._open = bytearray()
        self._seen = 0
        """How much of the open reply is known to be whole elements."""
        self._left = 1
        """Elements of it that have not come whole."""
        self.awaited = 0
        """Size of the open reply where it is a single string, else 0."""
        self.has_errors = False
        """Whether an error is among the replies that were given last."""

    def take(self) -> bytes:
        """What has come of the open reply; who takes it sees to the rest."""
        taken, self._open = bytes(self._open), bytearray()
        return taken

    def feed(self, data: bytes) -> list[bytes]:
        """The replies that are whole now."""
        replies: list[bytes] = []
        self.has_errors = False
        if self._open:
            self._open += data
            if not self._advance(self._open):
                return replies
            data = self._close(replies)
        self._seen, self._left, self.awaited = 0, 1, 0
        position = self._split(data, replies)
        if position < len(data):
            self._open = bytearray(data[position:])
            # What an aggregate was seen of stays seen; the rest is looked at when more has come.
            self._seen, self._left = (self._seen - position, self._left) if self._seen > position else (0, 1)
        return replies

    def _close(self, replies: list[bytes]) -> bytes:
        """The open reply is whole; what follows it is returned."""
        with memoryview(self._open) as whole:
            replies.append(bytes(whole[: self._seen]))
            rest = bytes(whole[self._seen :])
        self.has_errors = replies[0][0] == 45
        self._open = bytearray()
        return rest

    def _split(self, data: bytes, replies: list[bytes]) -> int:
        """Every whole reply of `data`; where the rest begins."""
        size, position, may_be_alike = len(data), 0, True
        find, append, known = data.find, replies.append, _RESTS.get
        while position < size:
            end = find(b"\r\n", position) + 2
            if end == 1:
                break
            line = data[position:end]
            rest = known(line)
            if rest is None or end + rest > size:
                if not self._see_one(data, position, end):
                    break
                append(data[position : self._seen])
                position = self._seen
                continue
            end += rest
            if may_be_alike and (count := min((size - position) // (end - position), MANY)) >= FEW:
                if parts := _alike(data, position, line, rest, count):
                    replies += [line + part for part in parts]
                    position += count * (end - position)
                    continue
                may_be_alike = False
            append(data[position:end])
            position = end
        return position

    def _see_one(self, data: bytes, position: int, end: int) -> bool:
        """Whether a reply is whole whose first line ends there."""
        kind = data[position]
        if kind == 36 and data[position + 1] != 45:
            self._seen = end + int(data[position + 1 : end - 2]) + 2
            if self._seen > len(data):
                self.awaited, self._seen = self._seen - position, 0
                return False
            return True
        if kind in _ONE_LINE or kind == 36:
            self.has_errors |= kind == 45
            self._seen = end
            return True
        self._seen, self._left = position, 1
        return self._advance(data)

    def _advance(self, data: bytes | bytearray) -> bool:
        """Look at what has come of a reply; whether it is whole."""
        position, left, size, find = self._seen, self._left, len(data), data.find
        while left:
            end = find(b"\r\n", position) + 2
            if end == 1:
                break
            kind = data[position]
            if kind == 36 or kind == 61 or kind == 33:  # noqa: PLR1714 - measured
                if data[position + 1] != 45:
                    end += int(data[position + 1 : end - 2]) + 2
                    if end > size:
                        break
            elif kind not in _ONE_LINE:
                left += max(int(data[position + 1 : end - 2]), 0) * (2 if kind in b"%|" else 1)
                left += kind == 124
            left -= 1
            position = end
        self._seen, self._left = position, left
        return not left


def split_array(reply: bytes) -> list[bytes]:
    """The elements of an array, each as it stands."""
    return ReplyFramer().feed(reply[reply.index(b"\r\n") + 2 :])


_ONE_LINE = frozenset(b"+-:_#,(")
"""First bytes of what ends with its line."""


def _number(text: bytes | bytearray) -> int | None:
    """The number a line says, as strictly as the engine reads it."""
    digits = text[1:] if text[:1] == b"-" else text
    if not digits.isdigit() or len(digits) > 19 or (digits[0] == 48 and len(text) > 1):
        return None
    return int(text)


def _shown(byte: int) -> str:
    return chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}"
