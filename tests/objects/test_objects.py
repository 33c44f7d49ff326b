"""What every object store promises: the same tests over a folder and over a server, encrypted and not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from object_stores import BUCKET, MIB, content_of, keys_of, open_store, pieces

from cachestead.objects.errors import ObjectDamaged, ObjectMissing
from cachestead.objects.keys import ObjectKeys
from cachestead.objects.store import Objects

CONTENTS = {
    "empty": [b""],
    "nothing": [],
    "a byte": [b"x"],
    "many small pieces": [bytes([n % 256]) for n in range(5000)],
    "one encrypted chunk": [os.urandom(65536)],
    "a part and a bit": [os.urandom(5 * MIB), b"bit"],
    "three parts": [os.urandom(MIB) for _ in range(15)],
    "looks encrypted": [b"age-encryp", b"tion.org/v1\n", b"-> but is not"],
}


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """One test's own, in a bucket that they share."""
    name = request.node.name.replace("[", "/").rstrip("]").replace(" ", "-")
    return f"tests/{name}/dump.rdb"


@pytest.mark.parametrize("chunks", CONTENTS.values(), ids=list(CONTENTS))
async def test_what_is_read_is_what_was_put(objects: Objects, key: str, chunks: list[bytes]) -> None:
    await objects.put(key, pieces(*chunks))

    assert await content_of(objects, key) == b"".join(chunks)
    assert await objects.size(key) == sum(map(len, chunks))


@pytest.mark.parametrize(
    "name", ["with blank", "ünïcode", "a%2Fb", "plus+and&question?", "~'()*!;:@=,$", "x" * 240]
)
async def test_keys_may_have_unusual_characters(objects: Objects, key: str, name: str) -> None:
    await objects.put(f"{key}/{name}", pieces(b"content"))

    assert await content_of(objects, f"{key}/{name}") == b"content"
    assert await keys_of(objects, key) == [f"{key}/{name}"]


async def test_the_last_put_wins(objects: Objects, key: str) -> None:
    await objects.put(key, pieces(b"first, and longer"))
    await objects.put(key, pieces(b"second"))

    assert await content_of(objects, key) == b"second"


@pytest.mark.parametrize("sent", [0, 1, 12], ids=["before a chunk", "in the first part", "in the third part"])
async def test_a_failing_iterator_leaves_nothing(objects: Objects, key: str, sent: int) -> None:
    async def failing() -> AsyncIterator[bytes]:
        for _ in range(sent):
            yield os.urandom(MIB)
        raise LookupError("the node is gone")

    with pytest.raises(LookupError, match="the node is gone"):
        await objects.put(key, failing())

    await assert_missing(objects, key)


@pytest.mark.parametrize("failure", [FileNotFoundError, OSError, ValueError, ObjectMissing, ObjectDamaged])
async def test_what_an_iterator_raises_is_not_taken_for_the_store_s(
    objects: Objects, key: str, failure: type[Exception]
) -> None:
    async def failing() -> AsyncIterator[bytes]:
        for _ in range(12):
            yield os.urandom(MIB)
        raise failure("of the source")

    with pytest.raises(failure, match="of the source"):
        await objects.put(key, failing())


async def test_a_failing_iterator_leaves_what_was_there(objects: Objects, key: str) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield os.urandom(6 * MIB)
        raise LookupError

    await objects.put(key, pieces(b"before"))
    with pytest.raises(LookupError):
        await objects.put(key, failing())

    assert await content_of(objects, key) == b"before"


async def test_nothing_is_readable_before_the_last_byte_came(objects: Objects, key: str) -> None:
    sent, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        for _ in range(12):
            yield os.urandom(MIB)
        sent.set()
        await go_on.wait()
        yield b"end"

    putting = asyncio.create_task(objects.put(key, slow()))
    await asyncio.wait_for(sent.wait(), 20)
    await assert_missing(objects, key)
    go_on.set()
    await putting

    assert await objects.size(key) == 12 * MIB + 3


@pytest.mark.parametrize("sent", [0, 1, 12])
async def test_a_cancelled_put_leaves_nothing(objects: Objects, key: str, sent: int) -> None:
    waits, ended = asyncio.Event(), asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            for _ in range(sent):
                yield os.urandom(MIB)
            waits.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    putting = asyncio.create_task(objects.put(key, endless()))
    await asyncio.wait_for(waits.wait(), 20)
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting

    await asyncio.wait_for(ended.wait(), 5)
    await assert_missing(objects, key)


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 1), (1, 2 * MIB), (3 * MIB - 1, None), (65535, 65537), (5, 9 * MIB), (0, 3 * MIB)]
)
async def test_parts_of_an_object_are_read(objects: Objects, key: str, start: int, stop: int | None) -> None:
    content = os.urandom(3 * MIB)
    await objects.put(key, pieces(content))

    assert await content_of(objects, key, start=start, stop=stop) == content[start:stop]


async def test_a_reader_may_leave_early(objects: Objects, key: str) -> None:
    await objects.put(key, pieces(*[os.urandom(MIB)] * 12))

    reading = objects.read(key)
    assert await anext(reading)
    await reading.aclose()

    assert len(await content_of(objects, key)) == 12 * MIB


async def test_pieces_are_neither_tiny_nor_the_whole(objects: Objects, key: str) -> None:
    await objects.put(key, pieces(*[os.urandom(MIB)] * 20))

    sizes = [len(piece) async for piece in objects.read(key)]

    assert sum(sizes) == 20 * MIB
    assert max(sizes) <= 8 * MIB
    assert len(sizes) <= 21


MISSING = [
    "tests/nowhere",
    "tests/nowhere/x",
    "",
    "/",
    "..",
    "../../etc/passwd",
    "a/../b",
    "a//b",
    "x\ny",
    "\ud800",
    "dump.rdb#1",
    "n" * 2000,
]


@pytest.mark.parametrize("name", MISSING, ids=lambda name: ascii(name[:20]))
async def test_what_is_not_there_is_missing(objects: Objects, name: str) -> None:
    await assert_missing(objects, name)
    await objects.remove([name])


@pytest.mark.parametrize("name", ["", "/", "..", "a/../b", "a//b", "x\ny", "\ud800", "n" * 2000], ids=ascii)
async def test_nothing_is_put_where_no_key_can_be(objects: Objects, name: str) -> None:
    with pytest.raises(ValueError, match="not a key"):
        await objects.put(name, pieces(b"x"))


@pytest.mark.parametrize("bucket", ["no-such-bucket", "..", ".", "a/b", "../objects/cachestead", "-", "Ü"])
async def test_an_unknown_bucket_is_missing(objects: Objects, key: str, bucket: str) -> None:
    with pytest.raises(ObjectMissing):
        await content_of(objects, key, bucket)
    with pytest.raises(ObjectMissing):
        await objects.size(key, bucket)


async def test_below_and_above_an_object_is_none(objects: Objects, key: str) -> None:
    await objects.put(key, pieces(b"x"))

    await assert_missing(objects, f"{key}/below")
    await assert_missing(objects, key.rpartition("/")[0])


async def test_removed_objects_are_gone_and_others_stay(objects: Objects, key: str) -> None:
    for name in "abc":
        await objects.put(f"{key}/{name}", pieces(b"x"))

    await objects.remove([f"{key}/a", f"{key}/c", f"{key}/never-was"])
    await objects.remove([f"{key}/a"])
    await objects.remove([])

    assert await keys_of(objects, key) == [f"{key}/b"]


async def test_a_list_has_what_is_below_a_folder(objects: Objects, key: str) -> None:
    for name in ("a/1", "a/b/2", "ab/3"):
        await objects.put(f"{key}/{name}", pieces(b"x"))

    assert await keys_of(objects, f"{key}/a") == [f"{key}/a/1", f"{key}/a/b/2"]
    assert await keys_of(objects, f"{key}/a/") == [f"{key}/a/1", f"{key}/a/b/2"]
    assert await keys_of(objects, f"{key}/nothing") == []


async def test_many_at_once(objects: Objects, key: str) -> None:
    contents = {f"{key}/{n}": os.urandom(200_000 + n) for n in range(12)}

    await asyncio.gather(*(objects.put(name, pieces(content)) for name, content in contents.items()))
    found = await asyncio.gather(*(content_of(objects, name) for name in contents))

    assert found == list(contents.values())


async def test_objects_stay_readable_when_encryption_is_switched(
    tmp_path: Path, settings: dict[str, Any], key: str
) -> None:
    keys = ObjectKeys.made_up()
    here = open_store(tmp_path / "objects", keys, **settings)
    switched = open_store(tmp_path / "objects", keys, **settings | {"encrypt": not settings["encrypt"]})

    await here.put(key, pieces(b"before the switch"))

    assert await content_of(switched, key) == b"before the switch"
    assert await switched.size(key) == 17


async def test_other_buckets_are_read(tmp_path: Path, settings: dict[str, Any], key: str) -> None:
    objects = open_store(tmp_path / "objects", **settings)
    if "endpoint" in settings:
        await objects.put(key, pieces(b"content"))
        assert await content_of(objects, key, BUCKET) == b"content"
        return
    other = tmp_path / "objects" / "other-bucket" / "folder"
    other.mkdir(parents=True)
    (other / "dump.rdb").write_bytes(b"of somebody else")

    assert await content_of(objects, "folder/dump.rdb", "other-bucket") == b"of somebody else"
    assert await objects.size("folder/dump.rdb", "other-bucket") == 16


async def assert_missing(objects: Objects, key: str) -> None:
    with pytest.raises(ObjectMissing):
        await content_of(objects, key)
    with pytest.raises(ObjectMissing):
        await objects.size(key)
