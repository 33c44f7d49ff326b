"""A plain engine and an instance behind a proxy, on the same binary, that are asked the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from documented import REFUSED_INSIDE
from likeness import same
from proxied import Proxied
from raw_replies import CLOSED, Replies, Reply
from real_engines import ADMIN_SECRET
from wires import Wire, request, wire_to

from cachestead.engine.acl import ADMIN
from cachestead.engine.catalogue import Engine
from cachestead.proxy.configuration import Address, DataNode, Layout
from cachestead.proxy.slots import slot_of
from cachestead.proxy.vocabulary import SHIELDED

DATABASES = 256
Words = tuple[bytes, ...]
_CONFIRMED_EACH = {b"subscribe", b"psubscribe", b"ssubscribe"}


@dataclass
class Side:
    """One of the two, and those who talk to it."""

    address: Address
    login: tuple[str, ...]
    wires: dict[str, Wire] = field(default_factory=dict)
    stack: ExitStack = field(default_factory=ExitStack)

    def wire(self, name: str = "") -> Wire:
        """A client's connection, made when it is first used."""
        if name not in self.wires:
            wire = self.wires[name] = self.stack.enter_context(wire_to(self.address))
            if self.login:
                assert wire.ask("AUTH", *self.login) == b"+OK"
        return self.wires[name]

    def ask(self, words: Sequence[bytes], client: str = "", count: int = 1) -> list[Reply]:
        """The replies to one request."""
        wire = self.wire(client)
        try:
            wire.send(request(*words))
        except OSError:
            return [Reply(CLOSED, "x")]
        return list(Replies(wire).take(count))

    def ask_at_once(self, requests: Sequence[Words]) -> list[Reply]:
        """The replies to requests that are sent together."""
        wire = self.wire()
        wire.send(b"".join(request(*words) for words in requests))
        return list(Replies(wire).take(sum(map(confirmations, requests))))

    def hang_up(self) -> None:
        self.stack.close()
        self.wires.clear()


@dataclass(frozen=True)
class Command:
    """A command or subcommand, as the engine tells of it."""

    name: str
    arity: int
    flags: frozenset[str]
    first_key: int

    @property
    def blocks(self) -> bool:
        return "blocking" in self.flags


def confirmations(words: Words) -> int:
    """How many replies a request has."""
    return len(words) - 1 if words[0].lower() in _CONFIRMED_EACH and len(words) > 1 else 1


@dataclass
class Twins:
    """Both."""

    proxied: Proxied
    plain: Side
    proxy: Side

    @cached_property
    def masters(self) -> list[Side]:
        """The plain engine and all that have keys of the instance, past the proxy."""
        nodes = self.proxied.nodes if self.layout is Layout.CLUSTER else self.proxied.nodes[:1]
        return [Side(address, self.plain.login) for address in (self.plain.address, *nodes)]

    @property
    def layout(self) -> Layout:
        return self.proxied.layout

    def reset(self) -> None:
        """No keys, no scripts, no clients."""
        for side in (self.plain, self.proxy):
            side.hang_up()
        for side in self.masters:
            assert {reply.raw for reply in side.ask_at_once(_EMPTY)} == {b"+OK\r\n"}

    @cached_property
    def commands(self) -> dict[str, Command]:
        """All that the engine knows, subcommands as `client|id`."""
        (reply,) = self.plain.ask((b"COMMAND",), "about commands")
        found = [command for row in reply.parts for command in _commands(row)]
        return {command.name: command for command in sorted(found, key=lambda command: command.name)}

    @property
    def supported(self) -> list[Command]:
        """Those that the proxy has too."""
        return [
            command
            for name, command in self.commands.items()
            if name not in SHIELDED and name.partition("|")[0] not in SHIELDED
        ]

    def slots_of(self, words: Words) -> set[int]:
        """The slots of a request's keys, by the engine's own account of them."""
        (reply,) = self.plain.ask((b"COMMAND", b"GETKEYS", *words), "about commands")
        return {slot_of(key.text) for key in reply.parts}

    def may_stand_in_a_transaction(self, words: Words) -> bool:
        """Whether the engine would queue it, and the proxy is not documented to do otherwise."""
        name = words[0].decode(errors="replace").lower()
        command = self.commands.get(
            f"{name}|{words[1].decode(errors='replace').lower()}" if len(words) > 1 else ""
        )
        command = command or self.commands.get(name)
        if command is None or name in REFUSED_INSIDE | SHIELDED.keys() or command.name == name + "|help":
            return False
        if any(other.startswith(f"{name}|") for other in self.commands) and "|" not in command.name:
            return False
        fits = len(words) == command.arity or len(words) >= -command.arity > 0
        return fits and (self.layout is Layout.REPLICATED or len(self.slots_of(words)) < 2)

    def compare(self, words: Words, client: str = "") -> str | None:
        """What differs in the replies to a request, or None."""
        count = confirmations(words)
        expected, answered = (side.ask(words, client, count) for side in (self.plain, self.proxy))
        return difference([words] * count, expected, answered)

    def compare_at_once(self, requests: Sequence[Words]) -> str | None:
        """The same of requests that are sent together."""
        expected, answered = (side.ask_at_once(requests) for side in (self.plain, self.proxy))
        return difference([words for words in requests for _ in range(confirmations(words))], expected, answered)


def difference(requests: Sequence[Words], expected: Sequence[Reply], answered: Sequence[Reply]) -> str | None:
    """What differs, in words, or None."""
    for words, left, right in zip(requests, expected, answered, strict=False):
        if not same(words, left, right):
            return f"{shown(words)}\n    engine: {left}\n    proxy:  {right}"
    if len(expected) != len(answered):
        return f"{len(answered)} replies instead of {len(expected)}"
    return None


def shown(words: Sequence[bytes]) -> str:
    """A request for people."""
    return " ".join(repr(word)[1:] if word.isascii() and word else repr(word) for word in words)


_EMPTY = [(b"FLUSHALL",), (b"SCRIPT", b"FLUSH"), (b"FUNCTION", b"FLUSH")]


def names_of(words: Words) -> tuple[str, str]:
    """The names that a request may be known by: the command's, and with the subcommand."""
    shown = [word.decode(errors="replace").lower() for word in words[:2]]
    return shown[0], "|".join(shown)


def _commands(row: Reply) -> Iterator[Command]:
    name, arity, _, first_key = (part.text.decode() for part in row.parts[:4])
    yield Command(name, int(arity), frozenset(flag.text.decode() for flag in row.parts[2].parts), int(first_key))
    for subcommand in row.parts[9].parts:
        yield from _commands(subcommand)


@contextmanager
def start_twins(folder: Path, engine: Engine, layout: Layout, **configuration: Any) -> Iterator[Twins]:
    """An instance with a proxy that reads from masters only, and an engine to compare with."""
    proxied = Proxied(folder, layout, engine)
    twins = Twins(proxied, Side(Address("", 0), (ADMIN, ADMIN_SECRET)), Side(proxied.endpoint, ()))
    try:
        proxied.start_nodes()
        databases = 1 if layout is Layout.CLUSTER else DATABASES
        twins.plain.address = proxied.start_engine(databases=databases)
        masters = tuple(DataNode(str(node), node, weight=0) for node in proxied.nodes)
        proxied.start_proxy(**{"nodes": masters, "databases": databases} | configuration)
        yield twins
    finally:
        for side in (twins.plain, twins.proxy, *twins.masters):
            side.hang_up()
        proxied.close()
