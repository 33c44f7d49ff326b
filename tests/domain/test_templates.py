from __future__ import annotations

import pytest

from cachestead.domain.instances import Mode
from cachestead.domain.templates import SYSTEM_TEMPLATES, is_known_template


@pytest.mark.parametrize("template", SYSTEM_TEMPLATES)
def test_a_template_fits_its_own_version_and_type_only(template: str):
    fitting = [
        (version, mode)
        for version in ("3.0", "4.0", "5.0", "6.0", "7.0")
        for mode in Mode
        if is_known_template(template, version, mode)
    ]
    assert fitting == [SYSTEM_TEMPLATES[template]]


@pytest.mark.parametrize("template", ["", "0", "01", " 1", "99", "x"])
def test_other_ids_are_no_template(template: str):
    assert not any(is_known_template(template, "7.0", mode) for mode in Mode)
