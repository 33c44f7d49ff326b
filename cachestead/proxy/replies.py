"""Replies that the proxy makes itself, and what it needs to know of an engine's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

OK, PONG, QUEUED, EMPTY_ARRAY = b"+OK\r\n", b"+PONG\r\n", b"+QUEUED\r\n", b"*0\r\n"
NULL2, NULL3, NULL_ARRAY2 = b"$-1\r\n", b"_\r\n", b"*-1\r\n"

Value = str | bytes | int | bool | None | Sequence[Any] | Mapping[Any, Any]


def error(text: str) -> bytes:
    """An error; the text begins with its code (`ERR`, `NOAUTH`, …)."""
    # What a caller sent may stand in it: no line ends there, or it would be read as another reply.
    return b"-" + text.replace("\r", " ").replace("\n", " ").encode(errors="surrogateescape") + b"\r\n"


def bulk(value: bytes | str) -> bytes:
    """A string of any bytes."""
    data = value.encode() if isinstance(value, str) else value
    return b"$%d\r\n%b\r\n" % (len(data), data)


def integer(value: int) -> bytes:
    """A number."""
    return b":%d\r\n" % value


def array(items: Sequence[bytes]) -> bytes:
    """An array of replies."""
    return b"*%d\r\n" % len(items) + b"".join(items)


def encode(value: Value, protocol: int) -> bytes:
    """A value as a reply: text as bulk strings, mappings flat where the protocol has no maps."""
    if value is None:
        return NULL3 if protocol == 3 else NULL2
    if isinstance(value, bool | int):
        return integer(int(value))
    if isinstance(value, str | bytes):
        return bulk(value)
    if isinstance(value, Mapping):
        pairs = [encode(part, protocol) for pair in value.items() for part in pair]
        return (b"%%%d\r\n" % len(value) if protocol == 3 else b"*%d\r\n" % len(pairs)) + b"".join(pairs)
    return array([encode(item, protocol) for item in value])


def verbatim(text: str, protocol: int) -> bytes:
    """Text for people (INFO, CLIENT LIST)."""
    if protocol == 3:
        return b"=%d\r\ntxt:%b\r\n" % (len(text.encode()) + 4, text.encode())
    return bulk(text)


def is_error(reply: bytes) -> bool:
    """Whether the reply is an error."""
    return reply[0] == 45


def first_error(replies: Iterable[bytes]) -> bytes | None:
    """The first error among replies, if any."""
    return next((reply for reply in replies if reply[0] == 45), None)


def number(reply: bytes) -> int:
    """The value of an integer reply."""
    return int(reply[1:-2])


def text(reply: bytes) -> str:
    """The text of a bulk, verbatim or simple string."""
    if reply[0] in b"$=":
        start = reply.index(b"\r\n") + 2
        body = reply[start:-2]
        return (body[4:] if reply[0] == 61 else body).decode(errors="replace")
    return reply[1:-2].decode(errors="replace")


def elements(reply: bytes) -> tuple[int, bytes]:
    """How many elements an array has, and their bytes."""
    end = reply.index(b"\r\n")
    return max(int(reply[1:end]), 0), reply[end + 2 :]


def not_permitted(user: str, command: str) -> bytes:
    """What an engine says of a command that the user may not call."""
    return error(f"NOPERM User {user} has no permissions to run the '{command}' command")


def unknown_command(words: Sequence[bytes]) -> bytes:
    """What an engine says of a command it does not have."""
    shown = ""
    for word in words[1:]:
        if len(shown) >= 128:
            break
        shown += f"'{_clipped(word, 128 - len(shown))}' "
    return error(f"ERR unknown command '{_clipped(words[0], 128)}', with args beginning with: {shown}")


def unknown_subcommand(words: Sequence[bytes]) -> bytes:
    """What an engine says of a subcommand it does not have."""
    shown, container = _clipped(words[1], 128), words[0].decode(errors="surrogateescape").upper()
    return error(f"ERR unknown subcommand '{shown}'. Try {container} HELP.")


def wrong_arity(name: str) -> bytes:
    """What an engine says of a wrong number of arguments; a subcommand is named `client|kill`."""
    return error(f"ERR wrong number of arguments for '{name}' command")


def _clipped(word: bytes, length: int) -> str:
    # To an engine, which prints it as C does, it ends with its first zero byte.
    return word[:length].partition(b"\0")[0].decode(errors="surrogateescape")
