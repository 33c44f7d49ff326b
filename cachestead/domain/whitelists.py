"""Whose connections an instance takes: rules for whitelists, and what one means.

Groups are for people; the engine's side knows only the networks. One that is switched off, or names nobody, lets
everybody in. Reference: sections 4.11.4 and 4.11.5.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cachestead import errors

Network = ipaddress.IPv4Network

MOST_GROUPS, MOST_ADDRESSES, LONGEST_NAME = 4, 20, 64
_EVERYBODY = Network("0.0.0.0/0")


@dataclass(frozen=True)
class WhitelistGroup:
    """Some addresses and networks under one name."""

    name: str
    addresses: tuple[str, ...]
    """As the tenant wrote them."""


@dataclass(frozen=True)
class Whitelist:
    """An instance's whitelist as its tenant wrote it."""

    enabled: bool = False
    groups: tuple[WhitelistGroup, ...] = ()

    @property
    def networks(self) -> tuple[Network, ...]:
        """Who is let in, each once, in order; empty: everybody."""
        if not self.enabled:
            return ()
        named = (network_of(address) for group in self.groups for address in group.addresses)
        return tuple(ipaddress.collapse_addresses(named))

    @property
    def is_in_force(self) -> bool:
        """Whether anybody is kept out."""
        return bool(self.networks)


def network_of(address: str) -> Network:
    """An address or CIDR block as a network; bits behind its prefix do not count. Raises `ValueError`."""
    return Network(address, strict=False)


def is_admitted(address: str, networks: Iterable[Network]) -> bool:
    """Whether one of the networks has the address."""
    client = ipaddress.ip_address(address)
    return any(client in network for network in networks)


def check_whitelist(whitelist: Whitelist) -> Whitelist:
    """The whitelist; raises `InvalidParameter`, naming the field, for one that an instance cannot have."""
    groups = whitelist.groups
    if len(groups) > MOST_GROUPS:
        raise _refusal(f"an instance has at most {MOST_GROUPS} groups")
    names = [group.name for group in groups]
    for place, group in enumerate(groups):
        where = f".{place}.group_name"
        if not 0 < len(group.name) <= LONGEST_NAME:
            raise _refusal(f"1 to {LONGEST_NAME} characters", where)
        if group.name in names[:place]:
            raise _refusal("another group has this name", where)
    _check_addresses(groups)
    return whitelist


def _check_addresses(groups: Sequence[WhitelistGroup]) -> None:
    seen: set[Network] = set()
    for place, group in enumerate(groups):
        if not group.addresses:
            raise _refusal("names no address", f".{place}.ip_list")
        for number, address in enumerate(group.addresses):
            where = f".{place}.ip_list.{number}"
            network = _checked(address, where)
            if network in seen:
                raise _refusal("is there twice", where)
            seen.add(network)
    if len(seen) > MOST_ADDRESSES:
        raise _refusal(f"an instance has at most {MOST_ADDRESSES} addresses and networks")


def _checked(address: str, where: str) -> Network:
    try:
        network = network_of(address)
    except ValueError:
        raise _refusal("neither an IPv4 address nor a CIDR block", where) from None
    # A prefix is a number of bits here, not a mask in dots.
    if "/" in address and not address.partition("/")[2].isdecimal():
        raise _refusal("neither an IPv4 address nor a CIDR block", where)
    if network in (_EVERYBODY, Network("0.0.0.0/32")):
        raise _refusal("0.0.0.0 and 0.0.0.0/0 cannot be listed; switch the whitelist off instead", where)
    return network


def _refusal(reason: str, where: str = "") -> errors.InvalidParameter:
    return errors.InvalidParameter(f"whitelist{where}: {reason}", name="whitelist")
