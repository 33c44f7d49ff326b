"""Where the keys of a request stand: the proxy's account of it is the engine's own (COMMAND GETKEYS)."""

from __future__ import annotations

from collections.abc import Iterator

import hiredis
import pytest
from command_scenarios import SCENARIOS
from proxied import Proxied
from raw_replies import Replies, Reply
from real_engines import ENGINES, USERS
from twins import Words, names_of, shown
from wires import Wire, request, wire_to

from cachestead.engine.catalogue import Engine
from cachestead.proxy.commands import CommandTable, parse_commands

MORE = """
    SORT a BY w* STORE b | SORT a GET # GET STORE | SORT STORE | SORT a STORE b STORE c | SORT a GET STORE LIMIT 0 STORE STORE d
    GEORADIUS a 1 1 1 m STORE b | GEORADIUS a 1 1 1 m STOREDIST b | GEORADIUSBYMEMBER a m 1 m STOREDIST c
    XREAD COUNT 2 STREAMS a b 0 0 | XREAD STREAMS a 0 | XREADGROUP GROUP g c COUNT 1 STREAMS a b c > > >
    XREADGROUP GROUP STREAMS c STREAMS a > | ZUNIONSTORE a 2 b c WEIGHTS 1 2 | ZUNION 2 b c | ZINTERCARD 3 a b c LIMIT 1
    EVAL x 2 a b c | EVALSHA x 1 a b | FCALL f 2 a b | LMPOP 2 a b LEFT | BLMPOP 0 2 a b LEFT | BZMPOP 0 1 a MIN
    BLPOP a b c 0 | BITOP AND a b c | MSET a 1 b 2 c 3 | MSETNX a 1 | DEL a b a | PFMERGE a | PFCOUNT a b
    OBJECT ENCODING a | MEMORY USAGE a SAMPLES 5 | XINFO STREAM a FULL | XGROUP CREATE a g 0 | SINTERCARD 2 a b
    RENAME a b | COPY a b DB 1 REPLACE | LMOVE a b LEFT LEFT | SMOVE a b c | GEOSEARCHSTORE a b FROMMEMBER m BYRADIUS 1 m
    WATCH a b | SSUBSCRIBE a b | SET a STORE | LCS a b | ZRANGESTORE a b 0 1 | SDIFFSTORE a b c | BRPOPLPUSH a b 0
"""
FEWER = {"sort_ro"}
"""Whose other keys are patterns: engines tell of none but the first, or differ in it."""


@pytest.fixture(scope="module", params=ENGINES, ids=str)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    started: Engine = request.param
    proxied = Proxied(tmp_path_factory.mktemp("keys"), engine=started)
    try:
        with wire_to(proxied.start_engine()) as wire:
            assert wire.ask("AUTH", USERS.tenant_password) == b"+OK"
            yield wire
    finally:
        proxied.close()


@pytest.fixture(scope="module")
def table(engine: Wire) -> CommandTable:
    reader = hiredis.Reader()
    reader.feed(ask(engine, (b"COMMAND",)).raw)
    return parse_commands(reader.gets())


def ask(engine: Wire, words: Words) -> Reply:
    engine.send(request(*words))
    return Replies(engine).next()


def test_keys_are_where_the_engine_says(engine: Wire, table: CommandTable):
    asked = {words for topic in SCENARIOS.values() for _, words in topic}
    asked |= {tuple(row.encode().split()) for line in MORE.strip().splitlines() for row in line.split("|")}
    found = []
    for words in sorted(asked):
        told = ask(engine, (b"COMMAND", b"GETKEYS", *words))
        command = table.find(words)
        if told.kind != "*" or command is None or names_of(words)[0] in FEWER:
            continue
        keys = [words[place] for place in command.keys(words)]
        if set(keys) != {key.text for key in told.parts}:
            found.append(f"{shown(words)}: {keys}, not {[key.text for key in told.parts]}")
    assert not found, "\n".join(found)


def test_requests_that_make_no_sense_have_no_keys(table: CommandTable):
    for text in (
        "EVAL x 3 a",
        "EVAL x -1 a",
        "EVAL x y a",
        "LMPOP 5 a LEFT",
        "ZUNIONSTORE",
        "XREAD STREAMS",
        "SORT",
    ):
        words = tuple(text.encode().split())
        command = table.find(words)
        assert command is not None
        assert [words[place] for place in command.keys(words) if place >= len(words)] == []
