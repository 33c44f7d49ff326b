"""Requests and replies are found in a stream of bytes however it is cut, and what is none is told as engines do."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as some

from cachestead.proxy.framing import LARGE, Frame, ProtocolError, ReplyFramer, RequestFramer, arguments, pack

VALUES = some.one_of(
    some.sampled_from([b"", b"\r\n", b"$5\r\n", b"*1\r\n", b"GET", b"x" * 300]), some.binary(max_size=8)
)
REQUESTS = some.lists(some.lists(VALUES, min_size=1, max_size=5), max_size=6)
CUTS = some.lists(some.integers(0, 4000), max_size=6)
LINES = some.sampled_from([b"+OK\r\n", b"-ERR x\r\n", b":7\r\n", b"_\r\n", b"#t\r\n", b",1.5\r\n", b"(99\r\n"])
STRINGS = some.one_of(
    some.sampled_from([b"$-1\r\n", b"*-1\r\n"]),
    some.builds(
        lambda kind, body: b"%b%d\r\n%b\r\n" % (kind, len(body), body),
        some.sampled_from([b"$", b"=", b"!"]),
        VALUES,
    ),
)


def _rows(parts: some.SearchStrategy[bytes]) -> some.SearchStrategy[bytes]:
    rows = some.builds(
        lambda kind, row: b"%b%d\r\n%b" % (kind, len(row), b"".join(row)),
        some.sampled_from([b"*", b"~", b">"]),
        some.lists(parts, max_size=4),
    )
    pairs = some.builds(
        lambda row: b"%%%d\r\n%b" % (len(row), b"".join(map(b"".join, row))),
        some.lists(some.tuples(parts, parts), max_size=3),
    )
    told = some.builds(lambda key, value, reply: b"|1\r\n" + key + value + reply, parts, parts, parts)
    return some.one_of(rows, pairs, told)


REPLIES = some.lists(some.recursive(some.one_of(LINES, STRINGS), _rows, max_leaves=8), max_size=6)


def in_pieces(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in zip(places, places[1:], strict=False)]  # noqa: RUF007


def trusting() -> RequestFramer:
    framer = RequestFramer()
    framer.trust()
    return framer


@given(REQUESTS, CUTS, some.booleans())
def test_requests_are_found_however_they_are_cut(requests, cuts, is_trusted):
    framer = RequestFramer()
    if is_trusted:
        framer.trust()
    frames = [
        frame
        for piece in in_pieces(b"".join(pack(*words) for words in requests), cuts)
        for frame in framer.feed(piece)
    ]
    assert frames == [
        (pack(*words), words[0].lower(), len(words), words[1] if len(words) > 1 else b"") for words in requests
    ]
    assert [arguments(frame[0]) for frame in frames] == requests
    assert framer.held == 0


@given(REPLIES, CUTS)
def test_replies_are_found_however_they_are_cut(replies, cuts):
    framer = ReplyFramer()
    assert [reply for piece in in_pieces(b"".join(replies), cuts) for reply in framer.feed(piece)] == replies


@given(some.binary(max_size=40) | some.text("*$0123-\r\n \"'GETx", max_size=40).map(str.encode), CUTS)
def test_nonsense_is_told_the_same_however_it_is_cut(data, cuts):
    assert _read(in_pieces(data, cuts)) == _read([data])


def _read(pieces: Sequence[bytes]) -> tuple[list[Frame], str]:
    """The requests, and what was told in the end."""
    framer, frames = trusting(), []
    for piece in pieces:
        try:
            frames += framer.feed(piece)
        except ProtocolError as wrong:
            return frames + wrong.args[1], wrong.args[0]
    return frames, ""


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"*x\r\n", "invalid multibulk length"),
        (b"*2147483648\r\n", "invalid multibulk length"),
        (b"*" + b"1" * 70_000, "too big mbulk count string"),
        (b"*1\r\n$" + b"1" * 70_000, "too big bulk count string"),
        (b"*1\r\n+PING\r\n", "expected '$', got '+'"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$536870913\r\n", "invalid bulk length"),
        (b"x" * 70_000, "too big inline request"),
        (b'GET "a\r\n', "unbalanced quotes in request"),
    ],
)
def test_what_is_told(data, told):
    assert _read([pack(b"PING") + data]) == ([(pack(b"PING"), b"ping", 1, b"")], f"Protocol error: {told}")


@pytest.mark.parametrize(
    ("data", "told"),
    [(b"*11\r\n", "unauthenticated multibulk length"), (b"*1\r\n$16385\r\n", "unauthenticated bulk length")],
)
def test_strangers_may_say_little(data, told):
    with pytest.raises(ProtocolError) as wrong:
        RequestFramer().feed(data)
    assert wrong.value.args == (f"Protocol error: {told}", [])
    assert trusting().feed(data) == []


@pytest.mark.parametrize(
    "words", [(b"SET", b"k", None), (b"SET", b"k", None, b"EX", b"9"), (b"APPEND", b"", None)]
)
@given(cuts=some.lists(some.integers(1, LARGE + 200), max_size=5))
def test_large_requests_are_passed_on_as_they_come(words, cuts):
    data = pack(*(b"v" * (LARGE + 100) if word is None else word for word in words))
    framer, passed, ended = trusting(), [], []

    def take(piece: bytes, is_last: bool) -> None:  # noqa: FBT001
        passed.append(piece)
        ended.append(is_last)

    start = len(pack(*words[:2])) + 12
    assert framer.feed(data[:start]) == []
    assert framer.large() == (b"", words[0].lower(), len(words), words[1])
    framer.pass_on(take)
    assert framer.large() is None
    frames = [
        frame for piece in in_pieces(data[start:] + pack(b"PING"), cuts) if piece for frame in framer.feed(piece)
    ]
    assert b"".join(passed) == data
    assert ended == [False] * (len(ended) - 1) + [True]
    assert frames == [(pack(b"PING"), b"ping", 1, b"")]


def test_large_replies_are_taken_as_they_come():
    framer, body = ReplyFramer(), b"v" * LARGE
    reply = b"$%d\r\n%b\r\n" % (len(body), body)
    assert framer.feed(b"+OK\r\n" + reply[:1000]) == [b"+OK\r\n"]
    assert framer.awaited == len(reply)
    assert framer.take() == reply[:1000]
