from __future__ import annotations

import pytest

from cachestead.domain.sizes import bytes_of, capacity_text, mib_of_gb, minor_gb, whole_gb


@pytest.mark.parametrize(
    ("gigabytes", "mib", "whole", "minor", "text"),
    [
        (0.125, 128, 0, ".125", "0.125"),
        (0.25, 256, 0, ".25", "0.25"),
        (0.5, 512, 0, ".5", "0.5"),
        (1.0, 1024, 1, None, "1"),
        (24, 24576, 24, None, "24"),
        (1024, 1048576, 1024, None, "1024"),
        (4096.0, 4194304, 4096, None, "4096"),
    ],
)
def test_a_capacity_is_printed_as_the_api_does(
    gigabytes: float, mib: int, whole: int, minor: str | None, text: str
):
    assert mib_of_gb(gigabytes) == mib
    assert whole_gb(gigabytes) == whole
    assert minor_gb(gigabytes) == minor
    assert capacity_text(gigabytes) == text


def test_a_mebibyte_has_1048576_bytes():
    assert bytes_of(mib_of_gb(1)) == 2**30
