"""Clusters of real nodes: made, interrupted, healed."""

from __future__ import annotations

import time

from clusters import Cluster, start_shards
from real_engines import Machine

from cachestead.engine.cluster import form_cluster


async def test_a_cluster_is_formed_and_every_node_agrees(machine: Machine):
    began = time.monotonic()
    shards = await start_shards(machine, [1, 2, 3], replicas=1)
    started = time.monotonic()
    view = await form_cluster(shards)
    print(f"{machine.engine}: started {started - began:.2f} s, formed {time.monotonic() - started:.2f} s")

    assert [len(slots) for slots in view.owners.values()] == [5461, 5461, 5462] or view.slots_ok == 16384
    assert {len(view.members(master)) for master in view.owners} == {2}
    assert len({view.nodes[master].epoch for master in view.owners}) == 3
    cluster = Cluster(machine, shards)
    tenant = cluster.tenant()
    for number in range(50):
        await tenant.set(f"key-{number}", number)
    assert await tenant.get("key-49") == "49"
    await tenant.aclose()
