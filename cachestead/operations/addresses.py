"""Free addresses of the region's subnet."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from itertools import islice

from cachestead import errors
from cachestead.domain.orders import Network
from cachestead.operations.service import Service

_STRANGERS = 512
"""Addresses that others may hold before a search for free ones is given up."""


def free_addresses(service: Service, network: Network, taken: set[str], *ports: int) -> Iterator[str]:
    """Addresses that neither we nor, at these ports, anybody else on the machine uses."""
    strangers = 0
    for host in ipaddress.ip_network(network.cidr).hosts():
        address = str(host)
        if address in taken:
            continue
        if all(service.is_address_free(address, port) for port in set(ports)):
            yield address
        elif (strangers := strangers + 1) >= _STRANGERS:
            # Somebody listens on such a port of every address; the rest of the network would tell nothing else.
            return


def take(free: Iterator[str], count: int, network: Network) -> tuple[str, ...]:
    """The next so many; raises `AddressesExhausted`."""
    found = tuple(islice(free, count))
    if len(found) < count:
        raise errors.AddressesExhausted(f"subnet_id: {network.cidr} has no room for that many")
    return found
