"""All keys of a master, page by page, each in groups that it can send to another in one command.

Outside of a cluster that is any keys; within one, `MIGRATE` takes only those of one slot. Every key that is there
all the while is in some page; it may be in two.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

from cachestead.engine.cluster import observe_cluster
from cachestead.engine.connection import Client, call, call_each
from cachestead.engine.info import NodeFacts

PAGE_KEYS = 2000
PAGE_BYTES = 4 * 1024 * 1024
"""A source answers nobody while it sends a page, and holds it in memory: keys in it go by their mean size."""
SLOTS_AT_ONCE = 256

Key = str
Page = Sequence[Sequence[Key]]


def keys_in_a_page(seen: NodeFacts) -> int:
    """How many keys of a node may be sent together, by the size that they have in the mean."""
    size = int(seen.raw.get("used_memory_dataset", seen.used_memory)) // max(seen.keys, 1)
    return max(1, min(PAGE_KEYS, PAGE_BYTES // max(size, 1)))


async def pages(client: Client, page_keys: int, *, is_cluster: bool) -> AsyncIterator[Page]:
    """All keys in the database that the client is at."""
    if is_cluster:
        async for page in _slot_pages(client, page_keys):
            yield page
        return
    cursor = 0
    while True:
        cursor, keys = await call(client, "SCAN", cursor, "COUNT", page_keys)
        for first in range(0, len(keys), PAGE_KEYS):
            yield [keys[first : first + PAGE_KEYS]]
        if not int(cursor):
            return


async def _slot_pages(client: Client, page_keys: int) -> AsyncIterator[Page]:
    for slots in (await observe_cluster(client)).myself.slots.batches(SLOTS_AT_ONCE):
        counts = await call_each(client, [("CLUSTER", "COUNTKEYSINSLOT", slot) for slot in slots])
        for some in _together(dict(zip(slots, counts, strict=True)), page_keys):
            commands = [("CLUSTER", "GETKEYSINSLOT", slot, count) for slot, count in some.items()]
            found = await call_each(client, commands)
            if len(found) > 1:
                yield found
                continue
            for first in range(0, len(found[0]), page_keys):
                yield [found[0][first : first + page_keys]]


def _together(counts: Mapping[int, int], most: int) -> Iterator[dict[int, int]]:
    """Slots that have keys, in groups of no more keys than that, unless one slot alone has more."""
    group: dict[int, int] = {}
    for slot, count in counts.items():
        if group and sum(group.values()) + count > most:
            yield group
            group = {}
        if count:
            group[slot] = count
    if group:
        yield group
