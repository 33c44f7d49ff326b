"""System templates, and how templates may be called."""

from __future__ import annotations

import pytest

from cachestead import errors
from cachestead.domain.instances import Mode
from cachestead.domain.templates import (
    SYSTEM_TEMPLATES,
    TemplateFilter,
    check_template_description,
    check_template_name,
)

VERSIONS = ("3.0", "4.0", "5.0", "6.0", "7.0")


@pytest.mark.parametrize("template", SYSTEM_TEMPLATES)
def test_a_system_template_fits_its_own_version_and_type_only(template: str):
    one = SYSTEM_TEMPLATES[template]
    fitting = [(version, mode) for version in VERSIONS for mode in Mode if one.fits(version, mode)]
    assert fitting == [(one.engine_version, one.mode)]


def test_there_is_one_for_each_version_and_type_that_can_be_ordered():
    kinds = [(one.engine_version, one.mode) for one in SYSTEM_TEMPLATES.values()]
    assert len(kinds) == len(set(kinds)) == 5 + 5 + 5 + 3
    assert ("7.0", Mode.PROXY) not in kinds


@pytest.mark.parametrize(
    ("template", "name"),
    [("6", "Default-Redis-4.0-single-generic-DRAM"), ("11", "Default-Redis-5.0-single-generic-DRAM")],
)
def test_ids_and_names_are_those_of_the_reference_s_examples(template: str, name: str):
    assert SYSTEM_TEMPLATES[template].name == name


@pytest.mark.parametrize("name", ["abcd", "1.2-3_4", "a" * 64])
def test_names_that_may_be(name: str):
    assert check_template_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["abc", "a" * 65, "-abc", ".abc", "_abc", "ab cd", "abcd\n", "äbcd", "", SYSTEM_TEMPLATES["6"].name],
    ids=["short", "long", "dash", "dot", "line", "blank", "newline", "umlaut", "empty", "system template"],
)
def test_names_that_may_not_be(name: str):
    with pytest.raises(errors.InvalidParameter, match="name"):
        check_template_name(name)


def test_descriptions_have_an_end():
    assert check_template_description(None) is None
    assert check_template_description("") == ""
    assert check_template_description("x" * 1024)
    with pytest.raises(errors.InvalidParameter, match="description"):
        check_template_description("x" * 1025)


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        ({}, list(SYSTEM_TEMPLATES)),
        ({"template_id": "7"}, ["7"]),
        ({"template_id": "1"}, []),
        ({"name": "redis-7.0-HA"}, ["22"]),
        ({"description": "anything"}, []),
        ({"engine_version": "7.0"}, ["21", "22", "23"]),
        ({"engine_version": "6.0", "mode": "proxy"}, ["19"]),
    ],
    ids=["none", "id", "unknown id", "part of a name", "description", "version", "version and type"],
)
def test_filters(wanted: dict[str, str], ids: list[str]):
    found = [one.id for one in SYSTEM_TEMPLATES.values() if TemplateFilter(**wanted).matches(one)]
    assert found == ids
