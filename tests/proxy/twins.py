"""A plain engine and an instance behind a proxy, on the same binary, that are asked the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from likeness import same
from proxied import Proxied
from raw_replies import CLOSED, Replies, Reply
from real_engines import ADMIN_SECRET
from wires import Wire, request, wire_to

from cachestead.engine.acl import ADMIN
from cachestead.engine.catalogue import Engine
from cachestead.proxy.configuration import Address, DataNode, Layout

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


def confirmations(words: Words) -> int:
    """How many replies a request has."""
    return len(words) - 1 if words[0].lower() in _CONFIRMED_EACH and len(words) > 1 else 1


@dataclass
class Twins:
    """Both."""

    proxied: Proxied
    plain: Side
    proxy: Side

    @property
    def layout(self) -> Layout:
        return self.proxied.layout

    def reset(self) -> None:
        """No keys, no scripts, no clients."""
        for side in (self.plain, self.proxy):
            side.hang_up()
        masters = self.proxied.nodes if self.layout is Layout.CLUSTER else self.proxied.nodes[:1]
        for address in (self.plain.address, *masters):
            with wire_to(address) as wire:
                for words in (
                    ("AUTH", ADMIN, ADMIN_SECRET),
                    ("FLUSHALL",),
                    ("SCRIPT", "FLUSH"),
                    ("FUNCTION", "FLUSH"),
                ):
                    assert wire.ask(*words) == b"+OK", words

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
        for side in (twins.plain, twins.proxy):
            side.hang_up()
        proxied.close()
