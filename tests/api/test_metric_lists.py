"""The list of metrics by pages, of more instances than are read at once, on real records without nodes that run.

Pages must be parts of the whole list as it is defined: instance by instance in the order of ids, all objects of
each, all metrics of each object.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from examples import PROJECT_ID, instance_like
from postgresql import NewDatabase

from cachestead.api.ces.listing import Listing, Measured
from cachestead.api.ces.requests import Dimensions, Marker
from cachestead.domain.instances import Instance, Mode, Node, Proxy, Role, State
from cachestead.domain.metrics import INSTANCE, NODE, PROXY, metrics_of, monitored_of
from cachestead.domain.sizes import MiB
from cachestead.store import instances as store
from cachestead.store.database import Database

CHANCE = random.Random(3)
NODES = {Mode.SINGLE: 1, Mode.HA: 2, Mode.HA_RW_SPLIT: 3, Mode.CLUSTER: 6, Mode.PROXY: 6}
MODES = [*([Mode.SINGLE] * 60), *([Mode.HA] * 45), Mode.HA_RW_SPLIT, Mode.HA_RW_SPLIT, Mode.CLUSTER, Mode.PROXY]


def new_id() -> str:
    return str(uuid.UUID(int=CHANCE.getrandbits(128)))


def instance_of(mode: Mode, state: State = State.RUNNING, project: str = PROJECT_ID) -> Instance:
    """With as many nodes and proxies as its type has; no two share an address."""
    own = new_id()
    nodes = tuple(
        Node(uuid.UUID(new_id()).hex, own, number, 0, "127.64.0.9", 6379, "az1", Role.MASTER)
        for number in range(NODES[mode])
    )
    proxies = tuple(
        Proxy(uuid.UUID(new_id()).hex, own, number, "127.64.0.9", 6379, "az1")
        for number in range(3 if mode.has_proxies else 0)
    )
    return instance_like(
        id=own, name=own[:8], mode=mode, state=state, project_id=project, ip="", nodes=nodes, proxies=proxies
    )


INSTANCES = sorted((instance_of(mode) for mode in MODES), key=lambda one: one.id)
HIDDEN = [
    *(instance_of(Mode.HA, state) for state in (State.CREATING, State.CREATEFAILED, State.DELETED)),
    instance_of(Mode.HA, project="q" * 32),
]
PROXIED = next(one for one in INSTANCES if one.mode is Mode.PROXY)
OTHERS = next(one for one in HIDDEN if one.project_id != PROJECT_ID)


def whole_list(metric_name: str = "", dimensions: Dimensions = ()) -> list[Measured]:
    """What all pages together must be."""
    return [
        (metric, one.dimensions)
        for instance in INSTANCES
        for one in monitored_of(instance)
        if set(dimensions) <= set(one.dimensions)
        for metric in metrics_of(one.level, instance.mode)
        if metric_name in ("", metric.id)
    ]


@pytest.fixture
async def database(tmp_path: Path, new_database: NewDatabase) -> AsyncIterator[Database]:
    made = Database(new_database() or f"sqlite:///{tmp_path / 'records.sqlite'}")
    await made.migrate()
    async with made.writing() as tx:
        for one in CHANCE.sample([*INSTANCES, *HIDDEN], len(INSTANCES) + len(HIDDEN)):
            await store.add_instance(tx, one, MiB(0))
    yield made
    await made.close()


def mark(entry: Measured) -> Marker:
    return Marker(entry[0].id, entry[1])


FILTERS: dict[str, tuple[str, Dimensions]] = {
    "nothing": ("", ()),
    "a metric of every instance": ("keys", ()),
    "a metric of nodes": ("ms_repl_offset", ()),
    "a metric of no object": ("cpu_util", ()),
    "an instance": ("", ((INSTANCE, PROXIED.id),)),
    "a node": ("", ((INSTANCE, PROXIED.id), (NODE, PROXIED.nodes[1].id))),
    "a node, first": ("keys", ((NODE, PROXIED.nodes[1].id), (INSTANCE, PROXIED.id))),
    "a node alone": ("", ((NODE, PROXIED.nodes[1].id),)),
    "a proxy alone": ("", ((PROXY, PROXIED.proxies[1].id),)),
    "a proxy as a node": ("", ((NODE, PROXIED.proxies[1].id),)),
    "a node of another instance": ("", ((INSTANCE, INSTANCES[0].id), (NODE, PROXIED.nodes[1].id))),
    "another tenant's instance": ("", ((INSTANCE, OTHERS.id),)),
    "another tenant's node": ("", ((NODE, OTHERS.nodes[0].id),)),
    "a dimension of nothing": ("", (("instance_id", PROXIED.id),)),
    "an instance on a dimension of nothing": ("", ((INSTANCE, PROXIED.id), ("instance_id", PROXIED.id))),
}
EMPTY = {
    "a metric of no object",
    "a proxy as a node",
    "a node of another instance",
    "another tenant's instance",
    "another tenant's node",
    "a dimension of nothing",
    "an instance on a dimension of nothing",
}


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_pages_are_the_whole_list(database: Database, name: str, order: str) -> None:
    backwards = order == "desc"
    whole = whole_list(*FILTERS[name])
    assert bool(whole) is (name not in EMPTY)
    whole = whole[::-1] if backwards else whole
    for limit in (1000, 37):
        found: list[Measured] = []
        async with database.reading() as tx:
            listing = Listing(tx, PROJECT_ID, *FILTERS[name])
            assert await listing.count() == len(whole)
            while page := await listing.page(mark(found[-1]) if found else None, limit, backwards=backwards):
                assert len(page) == min(limit, len(whole) - len(found))
                found += page
        assert found == whole


@pytest.mark.parametrize("order", ["asc", "desc"])
async def test_a_list_goes_on_with_the_next_instance_after_what_is_gone(database: Database, order: str) -> None:
    backwards = order == "desc"
    whole = whole_list()[::-1] if backwards else whole_list()
    async with database.reading() as tx:
        listing = Listing(tx, PROJECT_ID, "", ())
        for _ in range(20):
            gone, one = new_id(), CHANCE.choice(INSTANCES).id
            of_nobody = Marker("keys", ((INSTANCE, gone),))
            of_lost_node = Marker("keys", ((INSTANCE, one), (NODE, "n" * 32)))
            for marker, before in ((of_nobody, gone), (of_lost_node, one)):
                rest = [
                    entry for entry in whole if (entry[1][0][1] < before if backwards else entry[1][0][1] > before)
                ]
                assert await listing.page(marker, 200, backwards=backwards) == rest[:200]
        # A marker that names no instance is before all others.
        nothing = await listing.page(Marker("keys", (("other", "x"),)), 10, backwards=backwards)
        assert nothing == ([] if backwards else whole[:10])
