"""Whitelists in force: the machine's guards are as the records have them.

All instances' guards are one text, made whole from the records: of whitelists, and of the nodes and addresses that
instances have by now. So they are set before a node starts that nobody was kept from yet.
"""

from __future__ import annotations

from ipaddress import IPv4Network, collapse_addresses

from cachestead.domain.instances import Instance
from cachestead.runtime.interface import Guard, GuardsNotSet
from cachestead.store import instances as store
from cachestead.workflows.machinery import Machinery


async def ensure_guarded(machinery: Machinery) -> None:
    """Whoever is on no whitelist is kept out, wherever there is one. Raises `GuardsNotSet`."""
    async with machinery.turns.guarding:
        async with machinery.database.reading() as tx:
            listed = [one for one in await store.list_any_whitelisted(tx) if one.whitelist.is_in_force]
        if listed and not await machinery.guards.is_permitted():
            # Proxies keep strangers out by themselves.
            listed = [one for one in listed if not one.mode.has_proxies]
        await machinery.guards.ensure([guard_of(machinery, one) for one in listed])


async def ensure_guarded_for(machinery: Machinery, instance: Instance) -> None:
    """The same for the sake of one instance: where it has no whitelist, those of others hold nothing up."""
    try:
        await ensure_guarded(machinery)
    except GuardsNotSet:
        if instance.whitelist.is_in_force:
            raise


def guard_of(machinery: Machinery, instance: Instance) -> Guard:
    """Only the whitelist's networks, the instance itself and the Sentinels reach its nodes."""
    places = dict.fromkeys([*(node.address for node in instance.nodes), *filter(None, instance.ip.split(","))])
    own = map(IPv4Network, (*places, *(node.address for node in machinery.sentinels.nodes)))
    return Guard(tuple(places), tuple(collapse_addresses([*instance.whitelist.networks, *own])))
