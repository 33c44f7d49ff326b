from __future__ import annotations

from pathlib import Path

import pytest

from cachestead.engine.catalogue import Engine, EngineCatalogue, find_engines, parse_version
from cachestead.engine.errors import EngineMissing
from cachestead.settings import EngineSettings

VALKEY = Engine(Path("valkey-server"), "valkey", (9, 1, 2), "bundled")


def redis(*version: int, source: str = "path") -> Engine:
    return Engine(Path(f"redis-{version[0]}"), "redis", version, source)


SIX, SEVEN, EIGHT = redis(6, 2, 14), redis(7, 0, 15), redis(8, 0, 1)


@pytest.mark.parametrize(
    ("have", "ordered", "chosen"),
    [
        ([VALKEY], "3.0", VALKEY),
        ([VALKEY], "7.0", VALKEY),
        ([SIX, VALKEY], "6.0", SIX),
        ([SIX, VALKEY], "5.0", SIX),
        ([SIX, VALKEY], "7.0", VALKEY),
        ([SEVEN, VALKEY], "7.0", SEVEN),
        ([EIGHT, VALKEY], "7.0", VALKEY),
        ([EIGHT, VALKEY], "4.0", VALKEY),
        ([EIGHT], "7.0", EIGHT),
    ],
)
def test_same_version_or_the_nearest_newer(have: list[Engine], ordered: str, chosen: Engine):
    assert EngineCatalogue(have).engine_for(ordered) == chosen


def test_never_an_older_one():
    with pytest.raises(EngineMissing, match=r"no engine for Redis 7\.0"):
        EngineCatalogue([SIX]).engine_for("7.0")


def test_what_serves_each_version_is_told():
    choices = {choice.dcs_version: choice for choice in EngineCatalogue([SIX]).describe()}

    assert choices["6.0"].exact
    assert not choices["5.0"].exact
    assert "newer than the ordered 5.0" in choices["5.0"].remark
    assert choices["7.0"].engine is None


@pytest.mark.parametrize(
    ("said", "product", "version"),
    [
        ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64", "redis", (7, 0, 15)),
        ("Valkey server v=9.1.2 sha=00000000:1 malloc=libc bits=64", "valkey", (9, 1, 2)),
    ],
)
def test_engines_say_who_they_are(said: str, product: str, version: tuple[int, int, int]):
    engine = parse_version(said, Path("x"), "path")

    assert (engine.product, engine.version) == (product, version)


def test_other_programs_are_no_engines():
    assert parse_version("GNU bash, version 5", Path("x"), "path") is None
    settings = EngineSettings(binaries=[Path("/bin/true"), Path("/no/such/file")], search_path=False)
    assert {engine.source for engine in find_engines(settings).engines} <= {"bundled"}


def test_the_bundled_engine_is_found():
    (engine,) = find_engines(EngineSettings(search_path=False)).engines

    assert engine.product == "valkey"
    assert engine.compatible_version == (7, 2, 4)
    assert engine.has_acl
    assert engine.has_atomic_slot_migration
    assert not engine.has_tls
    assert engine == find_engines(EngineSettings(search_path=False)).newest()


def test_a_binary_named_in_the_settings_leads():
    (bundled,) = find_engines(EngineSettings(search_path=False)).engines
    named = find_engines(EngineSettings(binaries=[bundled.path], search_path=False))

    assert [engine.source for engine in named.engines] == ["settings"]
