from __future__ import annotations

import pytest
from real_engines import Machine

from cachestead.engine.addresses import NodeAddress
from cachestead.engine.connection import Connections, connect
from cachestead.engine.endpoint import bound_addresses, ensure_bound, ensure_port, ensure_unbound
from cachestead.engine.errors import EndpointTaken, EngineRefused, EngineUnreachable, ReplicationLate
from cachestead.engine.info import observe_node, observe_role
from cachestead.engine.live import drop_tenant_clients, flush
from cachestead.engine.replication import ensure_master, ensure_replica_of, wait_caught_up, wait_in_sync


async def test_a_replica_follows_its_master_under_its_own_address(machine: Machine):
    master, replica = await machine.start(11), await machine.start(12)
    await master.set("a", "1")
    for _ in range(2):
        await ensure_replica_of(replica, machine.node(11))
    await wait_in_sync([replica], machine.node(11), 20)

    facts = await observe_node(master)
    assert [link.node for link in facts.replicas] == [machine.node(12)]
    assert await wait_caught_up(replica, master, 10) >= 0
    assert await replica.get("a") == "1"


async def test_a_promoted_replica_is_master(machine: Machine):
    await machine.start(11)
    replica = await machine.start(12, replica_of=machine.node(11))
    await wait_in_sync([replica], machine.node(11), 20)
    for _ in range(2):
        await ensure_master(replica)

    assert await observe_role(replica) == "master"


async def test_a_replica_without_a_master_is_late(machine: Machine):
    replica = await machine.start(12, replica_of=machine.node(11))
    with pytest.raises(ReplicationLate, match="link down"):
        await wait_in_sync([replica], machine.node(11), 0.2)


async def test_facts_are_what_the_engine_says(machine: Machine):
    admin = await machine.start(11)
    await admin.set("a", "1", ex=100)
    await admin.set("b", "1")
    facts = await observe_node(admin)

    assert (facts.role, facts.keys, facts.keyspace[0].expires, facts.loading) == ("master", 2, 1, False)
    assert facts.maxmemory == 64 * 1024 * 1024
    assert facts.used_memory > 0
    assert facts.calls_of("set") == 2
    assert facts.calls_of("get") == 0
    assert facts.aof_enabled
    assert facts.aof_ok


async def test_the_instance_address_moves_and_is_never_held_twice(machine: Machine):
    first, second = await machine.start(11), await machine.start(12)
    for _ in range(2):
        await ensure_bound(first, machine.node(11).address, machine.vip)
    with pytest.raises(EndpointTaken):
        await ensure_bound(second, machine.node(12).address, machine.vip)
    assert await bound_addresses(second) == [machine.node(12).address]

    for _ in range(2):
        await ensure_unbound(first, machine.node(11).address)
    await ensure_bound(second, machine.node(12).address, machine.vip)
    assert await machine.tenant(machine.vip).ping()


async def test_the_port_moves(machine: Machine):
    admin = await machine.start(11, vip=machine.vip)
    await ensure_port(admin, 6400)
    moved = connect(NodeAddress(machine.vip, 6400), "admin-s3cret")
    await ensure_port(moved, 6400)

    assert await moved.ping()
    await moved.aclose()


async def test_flushing_leaves_no_key(machine: Machine):
    admin = await machine.start(11, rename_commands={})
    await admin.set("a", "1")
    await flush(admin)

    assert (await observe_node(admin)).keys == 0


async def test_tenants_are_dropped_and_we_are_not(machine: Machine):
    admin = await machine.start(11)
    tenant = machine.tenant(machine.node(11).address)
    before = await tenant.client_id()
    await drop_tenant_clients(admin)

    assert await admin.ping()
    assert await tenant.client_id() != before


async def test_a_node_that_is_not_there_is_unreachable(machine: Machine):
    connections = Connections()
    client = connections.get(machine.node(11), "x")
    assert connections.get(machine.node(11), "x") is client
    with pytest.raises(EngineUnreachable, match="did not answer"):
        await observe_node(client)
    await connections.close()


async def test_a_wrong_secret_is_told_without_the_secret(machine: Machine):
    await machine.start(11)
    client = connect(machine.node(11), "not-the-s3cret")
    with pytest.raises((EngineUnreachable, EngineRefused)) as told:
        await observe_node(client)
    assert "not-the-s3cret" not in str(told.value)
    await client.aclose()
