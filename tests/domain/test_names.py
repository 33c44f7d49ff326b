"""Names are read back as they were made, and stand for the right addresses."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from cachestead.domain.instances import Mode, Role
from cachestead.domain.names import (
    NamedInstance,
    NamedNode,
    addresses_of,
    domain_name,
    parse_name,
    readonly_domain_name,
)

ID = "7f3a2b10-0c4d-4e5f-8a9b-0123456789ab"
ZONE = "dcs.cachestead.internal"
VIP, FIRST, SECOND, THIRD = "127.64.0.9", "127.64.0.1", "127.64.0.2", "127.64.0.3"


def node(address, role=Role.REPLICA, *, active=True, in_domain_name=True):
    return NamedNode(address, role, active, in_domain_name)


def master(address):
    return node(address, Role.MASTER)


@given(some.uuids(), some.sampled_from([ZONE, "example", "DCS.Example"]))
def test_names_are_read_back(instance, zone):
    instance = str(instance)

    assert parse_name(domain_name(instance, zone), zone) == (instance, False)
    assert parse_name(readonly_domain_name(instance, zone), zone) == (instance, True)


@pytest.mark.parametrize(
    "name",
    [f"redis-{ID}.{ZONE}.", f"REDIS-{ID.upper()}.{ZONE}", f"redis-{ID}.{ZONE.title()}", f"Redis-{ID}.{ZONE}."],
    ids=["final dot", "capitals before the zone", "capitals in the zone", "all of it"],
)
def test_a_name_may_be_written_in_other_ways(name):
    assert parse_name(name, ZONE) == (ID, False)
    assert parse_name(name, ZONE + ".") == (ID, False)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        ZONE,
        "." + ZONE,
        ID,
        f"redis-{ID}",
        f"redis-{ID}.",
        f"{ID}.{ZONE}",
        f"redis-{ID}.other.internal",
        f"redis-{ID}.sub.{ZONE}",
        f"a.redis-{ID}.{ZONE}",
        f"redis-{ID}.x{ZONE}",
        f"redis-{ID}-writable.{ZONE}",
        f"redis-{ID}-readonly-readonly.{ZONE}",
        f"redis-{ID[:-1]}.{ZONE}",
        f"redis-{ID.replace('-', '')}.{ZONE}",
        f"redis-{ID[:-1]}g.{ZONE}",
        f"redis-{ID[:-1]}\N{ARABIC-INDIC DIGIT ONE}.{ZONE}",
        f"redis-{ID}\n.{ZONE}",
        f"redis-{ID}..{ZONE}",
        f"redis-{ID}.{ZONE}..",
    ],
)
def test_other_names_are_nobodys(name):
    assert parse_name(name, ZONE) is None


@given(some.text())
def test_any_text_may_be_asked_for(text):
    assert parse_name(text, ZONE) is None


@pytest.mark.parametrize(
    ("mode", "nodes", "addresses", "readonly_addresses"),
    [
        pytest.param(Mode.SINGLE, [master(VIP)], [VIP], [], id="single: no read-only name"),
        pytest.param(Mode.HA, [master(FIRST), node(SECOND)], [VIP], [SECOND], id="master and standby"),
        pytest.param(
            Mode.HA, [node(FIRST), master(SECOND), node(THIRD)], [VIP], [FIRST, THIRD], id="after a failover"
        ),
        pytest.param(
            Mode.HA,
            [master(FIRST), node(SECOND, active=False), node(THIRD)],
            [VIP],
            [THIRD],
            id="a replica that does not answer",
        ),
        pytest.param(
            Mode.HA, [master(FIRST), node(SECOND, active=False)], [VIP], [VIP], id="no replica answers: the master"
        ),
        pytest.param(
            Mode.HA,
            [master(FIRST), node(SECOND, in_domain_name=False), node(THIRD)],
            [VIP],
            [THIRD],
            id="a replica that was taken out",
        ),
        pytest.param(
            Mode.HA,
            [master(FIRST), node(SECOND, in_domain_name=False), node(THIRD, active=False)],
            [VIP],
            [VIP],
            id="only the one that was taken out answers: the master",
        ),
        pytest.param(Mode.HA, [], [VIP], [VIP], id="nodes are gone already"),
        pytest.param(
            Mode.CLUSTER,
            [master(FIRST), node(SECOND), master(THIRD)],
            [FIRST, SECOND, THIRD],
            [],
            id="cluster: every node",
        ),
        pytest.param(Mode.PROXY, [master(FIRST), master(SECOND)], [VIP], [], id="proxy: its one address"),
    ],
)
def test_names_stand_for(mode, nodes, addresses, readonly_addresses):
    instance = NamedInstance(mode, VIP, tuple(nodes))

    assert list(addresses_of(instance, readonly=False)) == addresses
    assert list(addresses_of(instance, readonly=True)) == readonly_addresses
