"""Words of a line, as the engine takes them apart."""

from __future__ import annotations

import pytest

from cachestead.proxy.inline import split_line


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"", []),
        (b" \t ", []),
        (b"GET a", [b"GET", b"a"]),
        (b"  GET\t a  ", [b"GET", b"a"]),
        (b'GET "a b"', [b"GET", b"a b"]),
        (b"GET 'a b' \"\"", [b"GET", b"a b", b""]),
        (rb'"\n\r\t\b\a\\\"\q"', [b'\n\r\t\b\a\\"q']),
        (rb'"\x00\xfF\xg1"', [b"\0\xffxg1"]),
        (rb"'\n \' \\'", [rb"\n ' \\"]),
        (b'"it\'s"', [b"it's"]),
        (b"GET \xff\0", [b"GET", b"\xff\0"]),
    ],
)
def test_words(line: bytes, words: list[bytes]):
    assert split_line(line) == words


@pytest.mark.parametrize("line", [b'"a', b"'a", b'GET "a"b', b"'a'\"b\"", rb'"a\"', rb"'a\'"])
def test_quotes_that_make_no_word(line: bytes):
    with pytest.raises(ValueError):  # noqa: PT011 - any is told the client in the same words
        split_line(line)
