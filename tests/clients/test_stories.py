"""Every operation there is, driven by the official SDK with AK/SK, and again by plain HTTP with a token."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from callers import CALLERS, Call
from installation import Installation
from real_engines import engine_that_starts_unless
from story import (
    Story,
    tell_of_a_batch,
    tell_of_a_failure,
    tell_of_an_instance,
    tell_of_an_open_instance,
    tell_of_the_catalogue,
)

Caller = Callable[[Installation], Call]

each_mode = pytest.mark.parametrize("mode", ["single", "ha"])


@pytest.fixture(scope="module", params=CALLERS.values(), ids=CALLERS.keys())
def caller(request: pytest.FixtureRequest) -> Caller:
    return request.param


@pytest.fixture(scope="module")
def story(installation: Installation, caller: Caller) -> Story:
    return Story(installation, caller(installation))


@each_mode
def test_an_instance_from_its_order_to_its_end(story: Story, mode: str) -> None:
    tell_of_an_instance(story, mode)


@each_mode
def test_a_batch_is_made_listed_and_removed(story: Story, mode: str) -> None:
    tell_of_a_batch(story, mode)


def test_an_instance_without_a_password(story: Story) -> None:
    tell_of_an_open_instance(story)


def test_what_can_be_ordered(story: Story) -> None:
    tell_of_the_catalogue(story)


def test_failed_instances_are_told_from_others_and_removed_together(
    fresh_installation: Installation, caller: Caller, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    engine = engine_that_starts_unless(broken, tmp_path / "engine")
    fresh_installation.settings |= {"ENGINE__BINARIES": json.dumps([str(engine)]), "ENGINE__SEARCH_PATH": "false"}
    fresh_installation.start()
    broken.touch()
    tell_of_a_failure(Story(fresh_installation, caller(fresh_installation)))
