"""The commands of the data nodes: what each takes, where its keys stand, whether it only reads.

Read from the engine itself (COMMAND), so that the proxy knows exactly what the engine behind it knows. Pure: a
parsed reply in, a table out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BUCKETS = 64


@dataclass(frozen=True)
class KeySpec:
    """Where keys stand: where to begin, and how to go on from there."""

    index: int = 0
    """Position of the first key; 0: look for `keyword`."""
    keyword: bytes = b""
    search_from: int = 0
    counted: bool = False
    """Whether the number of keys is itself an argument."""
    last: int = 0
    """Position of the last key from the first, negative: from the end; or of the number of keys."""
    first: int = 0
    """Where the first key stands from where the search ended (counted only)."""
    step: int = 1
    limit: int = 0

    def positions(self, words: Sequence[bytes]) -> range:
        """Positions of the keys in a request, none where it makes no sense."""
        begin = self._begin(words)
        if begin <= 0:
            return range(0)
        if self.counted:
            count = _count(words, begin + self.last)
            begin += self.first
            last = begin + (count - 1) * self.step
            if count <= 0 or last >= len(words):
                return range(0)
        elif self.last >= 0:
            last = begin + self.last
        elif self.limit <= 1:
            last = len(words) + self.last
        else:
            last = begin + (len(words) - begin) // self.limit + self.last
        return range(begin, min(last, len(words) - 1) + 1, self.step)

    def _begin(self, words: Sequence[bytes]) -> int:
        if self.index:
            return self.index
        places = (
            range(self.search_from, len(words) - 1)
            if self.search_from > 0
            else range(len(words) + self.search_from, 0, -1)
        )
        return next((place + 1 for place in places if words[place].upper() == self.keyword), 0)


class Command:
    """One command or subcommand, and how often and how long it was run here."""

    __slots__ = (
        "arity", "blocks", "buckets", "calls", "fast", "flags", "handler", "key_specs", "microseconds", "name",
        "reads", "redirects", "renamed", "subcommands",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        arity: int = -1,
        flags: frozenset[str] = frozenset(),
        key_specs: tuple[KeySpec, ...] = (),
        subcommands: Mapping[bytes, Command] | None = None,
    ) -> None:
        self.name, self.arity, self.flags, self.key_specs = name, arity, flags, key_specs
        self.subcommands: Mapping[bytes, Command] = subcommands or {}
        self.reads = "readonly" in flags
        """Whether it may be asked again, and of a replica."""
        self.blocks = "blocking" in flags
        self.redirects = True
        """Whether the proxy follows when a node says that it is asked in vain."""
        self.renamed = False
        """Whether clients know it under another name."""
        self.fast = False
        """Whether one key, the first argument, is all there is to know of it."""
        self.handler: Callable[[Any], bytes | None] | None = None
        """Who answers it at once, where nothing of the client's state matters."""
        self.calls = 0
        self.microseconds = 0
        self.buckets = [0] * BUCKETS
        """Calls by the logarithm of their microseconds."""

    @property
    def has_one_key(self) -> bool:
        """Whether its first argument is its key, and nothing else can be one."""
        return self.key_specs == (KeySpec(index=1),) and self.name != "sort"

    def takes(self, argc: int) -> bool:
        """Whether so many arguments, the name included, can be right."""
        return argc == self.arity if self.arity >= 0 else argc >= -self.arity

    def keys(self, words: Sequence[bytes]) -> list[int]:
        """Positions of the keys."""
        if self.name == "sort":
            return _keys_of_sort(words)
        found = [place for spec in self.key_specs for place in spec.positions(words)]
        return found if len(self.key_specs) < 2 else sorted(set(found))


class CommandTable:
    """Every command of an engine, by name in lower case."""

    def __init__(self, commands: Mapping[bytes, Command]) -> None:
        self._commands = commands
        self.get = commands.get

    def find(self, words: Sequence[bytes]) -> Command | None:
        """The command of a request, or its subcommand; of an unknown subcommand the command."""
        command = self._commands.get(words[0].lower())
        if command is None or not command.subcommands or len(words) < 2:
            return command
        return command.subcommands.get(words[1].lower(), command)

    def __iter__(self) -> Iterator[Command]:
        """All, subcommands too."""
        for command in self._commands.values():
            yield command
            yield from command.subcommands.values()


def parse_commands(reply: Sequence[Any]) -> CommandTable:
    """The table out of what COMMAND answers (RESP2)."""
    commands = (_command(entry) for entry in reply)
    return CommandTable({command.name.encode(): command for command in commands})


def _command(entry: Sequence[Any]) -> Command:
    name, arity, flags, first, last, step = entry[:6]
    container = name.decode().lower()
    specs = tuple(_specs(entry[8])) if len(entry) > 8 else ()
    if not specs and first > 0:
        specs = (KeySpec(index=first, last=last if last < 0 else last - first, step=step),)
    subcommands = [_command(nested) for nested in entry[9]] if len(entry) > 9 else []
    return Command(
        container,
        arity,
        frozenset(flag.decode() for flag in flags),
        specs,
        {nested.name.partition("|")[2].encode(): nested for nested in subcommands},
    )


def _keys_of_sort(words: Sequence[bytes]) -> list[int]:
    """The key and the last STORE's, which engines do not tell in their tables: other options take words, too."""
    place, into = 2, 0
    while place < len(words):
        option = words[place].upper()
        if option == b"STORE" and place + 1 < len(words):
            into = place + 1
        place += {b"LIMIT": 3, b"STORE": 2, b"BY": 2, b"GET": 2}.get(option, 1)
    found = [1, into] if into else [1]
    return found if len(words) > 1 else []


def _specs(specs: Sequence[Any]) -> Iterator[KeySpec]:
    for flat in specs:
        spec = _mapping(flat)
        begin, find = _mapping(spec[b"begin_search"]), _mapping(spec[b"find_keys"])
        if b"unknown" in (begin[b"type"], find[b"type"]):
            continue
        where, how = _mapping(begin[b"spec"]), _mapping(find[b"spec"])
        counted = find[b"type"] == b"keynum"
        yield KeySpec(
            index=where.get(b"index", 0),
            keyword=where.get(b"keyword", b"").upper(),
            search_from=where.get(b"startfrom", 0),
            counted=counted,
            last=how[b"keynumidx"] if counted else how[b"lastkey"],
            first=how[b"firstkey"] if counted else 0,
            step=how[b"keystep"],
            limit=how.get(b"limit", 0),
        )


def _mapping(flat: Sequence[Any]) -> dict[bytes, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _count(words: Sequence[bytes], place: int) -> int:
    try:
        return int(words[place])
    except (ValueError, IndexError):
        return 0
