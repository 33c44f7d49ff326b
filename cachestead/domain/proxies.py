"""Proxies of an instance: how many there are, and where they go."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count, islice

from cachestead.domain.flavors import Flavor
from cachestead.domain.instances import InstanceId, Mode, Proxy, proxy_id

SPLIT_PROXIES = 2
"""Of an instance with read/write splitting. Its flavors print none; one alone would take all clients with it."""


def proxy_count(flavor: Flavor) -> int:
    """How many proxies an instance of this flavor has."""
    if flavor.mode is Mode.HA_RW_SPLIT:
        return SPLIT_PROXIES
    return flavor.proxy_num if flavor.mode.has_proxies else 0


def proxy_connections(flavor: Flavor, in_all: int) -> int:
    """Clients that one proxy of the flavor takes, of so many in all."""
    return max(1, in_all // max(1, proxy_count(flavor)))


def free_ordinals(proxies: Sequence[Proxy], wanted: int) -> list[int]:
    """The lowest so many that no proxy has."""
    taken = {proxy.ordinal for proxy in proxies}
    return list(islice((ordinal for ordinal in count() if ordinal not in taken), wanted))


def plan_proxies(
    instance: InstanceId, port: int, zones: Sequence[str], ordinals: Sequence[int], addresses: Sequence[str]
) -> tuple[Proxy, ...]:
    """New proxies of these ordinals, one for each address, spread over the zones."""
    return tuple(
        Proxy(
            id=proxy_id(instance, ordinal),
            instance_id=instance,
            ordinal=ordinal,
            address=address,
            port=port,
            zone=zones[ordinal % len(zones)],
        )
        for ordinal, address in zip(ordinals, addresses, strict=True)
    )
