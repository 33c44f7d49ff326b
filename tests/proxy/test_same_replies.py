"""The same requests to an engine and to the proxy in front of the same engine: every reply is the same.

What is compared is the bytes; where they cannot be equal, `likeness.py` says why and what is compared instead, and
what the proxy is documented to do otherwise stands in `documented.py`, command by command.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from command_scenarios import DATABASES, SCENARIOS, requests_of
from documented import DIFFERENCES
from proxied import VERSION
from real_engines import ENGINES
from twins import Command, Twins, Words, difference, names_of, shown, start_twins

from cachestead.domain.instances import Mode
from cachestead.engine.acl import refused_commands
from cachestead.engine.catalogue import find_engines
from cachestead.proxy.configuration import Layout
from cachestead.proxy.vocabulary import SHIELDED
from cachestead.settings import EngineSettings

TALKS = {
    "transactions", "channels", "a listening client", "the connection", "resetting", "the server", "unknown commands",
    "scripts", "functions",
}  # fmt: skip
"""Topics that are about more than keys."""
WITHOUT_CLUSTER = {"cluster", "cluster|help", "cluster|keyslot"}
"""What some engines answer even if they are part of none."""
NOT_IN_CLUSTERS = {"move"}
"""Refused by the engines of a cluster, and to clients of a proxy in front of one (13.2)."""
EVERY_TYPE: list[tuple[bytes, Words]] = [
    (b"{t}string", (b"SET", b"{t}string", b"x")),
    (b"{t}list", (b"RPUSH", b"{t}list", b"x")),
    (b"{t}set", (b"SADD", b"{t}set", b"x")),
    (b"{t}sorted", (b"ZADD", b"{t}sorted", b"1", b"x")),
    (b"{t}hash", (b"HSET", b"{t}hash", b"x", b"1")),
    (b"{t}stream", (b"XADD", b"{t}stream", b"1-1", b"x", b"1")),
    (b"{t}missing", (b"PING",)),
]


@pytest.fixture(
    scope="module",
    params=[(engine, layout) for engine in ENGINES for layout in Layout],
    ids=lambda param: f"{param[0]}-{param[1]}",
)
def started(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twins]:
    """An engine, and the same with a proxy that refuses nothing of itself."""
    engine, layout = request.param
    with start_twins(tmp_path_factory.mktemp("twins"), engine, layout) as made:
        yield made


@pytest.fixture
def twins(started: Twins) -> Twins:
    """Both, empty."""
    started.reset()
    return started


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("topic", SCENARIOS)
def test_one_by_one(twins: Twins, topic: str, protocol: int):
    found = []
    for client in dict.fromkeys(client for client, _ in SCENARIOS[topic]):
        for side in (twins.plain, twins.proxy):
            side.ask((b"HELLO", b"%d" % protocol), client)
    for client, words in SCENARIOS[topic]:
        if (difference := twins.compare(words, client)) is not None:
            found.append(difference)
    assert not found, "\n".join(found)


def test_databases(twins: Twins):
    if twins.layout is Layout.CLUSTER:
        pytest.skip("clusters have one database")
    found = [twins.compare(words, client) for client, words in requests_of(DATABASES)]
    assert not any(found), "\n".join(filter(None, found))


@pytest.mark.parametrize("topic", SCENARIOS)
def test_at_once(twins: Twins, topic: str):
    """The same without waiting for replies, as far as it is one client's."""
    difference = twins.compare_at_once([words for client, words in SCENARIOS[topic] if not client])
    assert not difference, difference


@pytest.mark.parametrize("topic", [topic for topic in SCENARIOS if topic not in TALKS])
def test_in_a_transaction(twins: Twins, topic: str):
    queued: list[Words] = []
    for _, words in SCENARIOS[topic]:
        if not twins.may_stand_in_a_transaction(words):
            continue
        queued.append(words)
    requests = [(b"MULTI",), *queued, (b"EXEC",)]
    expected, answered = (side.ask_at_once(requests) for side in (twins.plain, twins.proxy))
    while_queued = difference(requests[:-1], expected[:-1], answered[:-1])
    assert not while_queued, while_queued
    assert expected[-1].kind == "*", expected[-1]
    done = difference(queued, expected[-1].parts, answered[-1].parts)
    assert not done, done


def test_every_command_is_covered(twins: Twins):
    """Nothing is forgotten: a command is asked in some scenario, or it says why not."""
    asked = {name for _, words in requests_of(DATABASES) for name in names_of(words)}
    asked |= {name for topic in SCENARIOS.values() for _, words in topic for name in names_of(words)}
    asked |= {
        name for one in DIFFERENCES.values() for _, words in requests_of(one.requests) for name in names_of(words)
    }
    missing = twins.commands.keys() - asked - SHIELDED.keys()
    assert not {name for name in missing if name.partition("|")[0] not in {*SHIELDED, "cluster"}}


def test_there_is_no_cluster_to_be_seen(twins: Twins):
    """Every subcommand of CLUSTER says so, as on an engine that is part of none."""
    found = [
        difference
        for command in twins.supported
        if command.name.partition("|")[0] in ("cluster", "clusterscan") and command.name not in WITHOUT_CLUSTER
        for words in ((*command.name.encode().split(b"|"), *(b"1",) * abs(command.arity))[: abs(command.arity)],)
        if (difference := twins.compare(words)) is not None
    ]
    assert not found, "\n".join(found)


def test_wrong_numbers_of_arguments(twins: Twins):
    requests = [words for command in twins.supported for words in _wrong_numbers(command)]
    found = [difference for words in requests if (difference := twins.compare(words)) is not None]
    assert not found, "\n".join(found)


def _wrong_numbers(command: Command) -> Iterator[Words]:
    name = tuple(command.name.encode().split(b"|"))
    lengths = range(len(name), abs(command.arity))
    for length in (*lengths, *([command.arity + 1] if command.arity > 0 else [])):
        yield name + (b"x",) * (length - len(name))


@pytest.mark.parametrize("protocol", [2, 3])
def test_wrong_types(twins: Twins, protocol: int):
    """Every command over a first key of every type, with arguments that make sense to some."""
    for side in (twins.plain, twins.proxy):
        side.ask((b"HELLO", b"%d" % protocol))
    found = []
    for command in twins.supported:
        if command.name in NOT_IN_CLUSTERS and twins.layout is Layout.CLUSTER:
            continue
        for words in _over_every_type(command):
            if len(twins.slots_of(words)) > 1 and twins.layout is Layout.CLUSTER:
                continue
            for side in (twins.plain, twins.proxy):
                side.ask_at_once([(b"DEL", *(key for key, _ in EVERY_TYPE)), *(made for _, made in EVERY_TYPE)])
            if (difference := twins.compare(words)) is not None:
                found.append(difference)
    assert not found, "\n".join(found)


def _over_every_type(command: Command) -> Iterator[Words]:
    if not command.first_key:
        return
    name = tuple(command.name.encode().split(b"|"))
    for key, _ in EVERY_TYPE:
        for filler in (b"{t}x", b"0"):
            if command.blocks and filler == b"0":
                continue
            before = (filler,) * (command.first_key - len(name))
            yield (*name, *before, key, *(filler,) * (abs(command.arity) - command.first_key - 1))


def test_unknown_subcommands(twins: Twins):
    containers = {name.partition("|")[0] for name in twins.commands if "|" in name}
    found = [
        difference
        for name in sorted(containers - SHIELDED.keys())
        for rest in ((b"nosuch",), (b"NoSuch", b"a", b"b"), (b"a\r\nb",), (b"x" * 200,), (b"",))
        if (difference := twins.compare((name.encode(), *rest))) is not None
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", SHIELDED)
def test_what_is_not_supported_is_unknown(twins: Twins, name: str):
    for rest in ((), (b"a",), (b"a", b"b")):
        words = (*name.encode().split(b"|"), *rest)
        (reply,) = twins.proxy.ask(words)
        assert reply.raw.startswith((b"-ERR unknown command '", b"-ERR unknown subcommand '")), shown(words)


@pytest.mark.parametrize("case", DIFFERENCES)
def test_what_is_documented_to_differ(twins: Twins, case: str):
    different = DIFFERENCES[case]
    requests = [words for _, words in requests_of(different.requests)]
    replies = [reply for words in requests for reply in twins.proxy.ask(words)]
    if twins.layout in different.layouts:
        assert replies[-1].raw == different.reply, different.why
    else:
        expected = [reply for words in requests for reply in twins.plain.ask(words)]
        found = difference(requests, expected, replies)
        assert not found, found


@pytest.mark.parametrize("layout", Layout)
def test_what_a_version_refuses_is_unknown(tmp_path: Path, layout: Layout):
    """In any writing and with any arguments, alone and in a transaction; what is not refused still answers."""
    mode = Mode.PROXY if layout is Layout.CLUSTER else Mode.HA_RW_SPLIT
    refused = refused_commands(VERSION, mode)
    found = []
    with start_twins(
        tmp_path, find_engines(EngineSettings()).engine_for(VERSION), layout, refused=refused
    ) as twins:
        for name in sorted(refused):
            words = tuple(name.encode().split(b"|"))
            for asked in (words, (*words, b"{t}a", b"1"), tuple(word.upper() for word in words)):
                (reply,) = twins.proxy.ask(asked)
                if not reply.raw.startswith((b"-ERR unknown command '", b"-ERR unknown subcommand '")):
                    found.append(f"{shown(asked)}: {reply}")
            replies = twins.proxy.ask_at_once([(b"MULTI",), words, (b"EXEC",)])
            if not replies[1].raw.startswith(b"-ERR unknown ") or not replies[2].raw.startswith(b"-EXECABORT "):
                found.append(f"{shown(words)} in a transaction: {replies[1]}, {replies[2]}")
        assert twins.compare((b"SET", b"a", b"1")) is None
    assert not found, "\n".join(found)
