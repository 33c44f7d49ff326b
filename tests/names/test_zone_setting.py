"""A zone that names cannot end with is found at the start, not at the first question."""

import ipaddress

import pytest
from pydantic import ValidationError

from cachestead.names.answers import Answers
from cachestead.settings import RegionSettings


async def nobody(_: str) -> None:
    return None


@pytest.mark.parametrize(
    "zone", ["internal", "dcs.cachestead.internal", "DCS.Example", "x-1.2y", "a." * 98 + "zone"]
)
def test_a_zone_that_can_be_answered_for(zone: str):
    Answers(RegionSettings(dns_zone=zone).dns_zone, 5, ipaddress.ip_address("127.0.0.1"), nobody)


@pytest.mark.parametrize(
    "zone",
    ["", ".", "zone.", ".zone", "a..b", "-a.b", "a-.b", "a_b", "a b", "zürich.ch", "a" * 64, "a." * 100 + "zone"],
)
def test_a_zone_that_cannot(zone: str):
    with pytest.raises(ValidationError, match="dns_zone"):
        RegionSettings(dns_zone=zone)
