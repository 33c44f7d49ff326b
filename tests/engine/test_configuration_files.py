from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from real_engines import ADMIN_SECRET, REPLICA_SECRET, SENTINEL_SECRET, Machine
from redis.exceptions import AuthenticationError, MasterDownError, ResponseError

from cachestead.domain.instances import Mode
from cachestead.engine.acl import NodeUsers
from cachestead.engine.addresses import NodeAddress
from cachestead.engine.catalogue import Engine
from cachestead.engine.commands import admin_commands, hidden_name
from cachestead.engine.config import (
    RedisConf,
    SentinelConf,
    render_redis_conf,
    render_sentinel_conf,
)
from cachestead.engine.connection import connect, connected
from cachestead.engine.errors import PortImpossible
from cachestead.engine.live import set_parameters
from cachestead.engine.parameters import directives_of, expire_effort

GOLDEN = Path(__file__).parent / "golden"
PARAMETERS = {
    "maxmemory-policy": "allkeys-lfu",
    "hash-max-ziplist-entries": "100",
    "lua-time-limit": "4000",
    "client-output-buffer-slave-hard-limit": "1000000",
    "active-expire-num": "40",
    "notify-keyspace-events": "Ex",
    "list-max-ziplist-entries": "200",
    "multi-db": "yes",
    "master-read-only": "no",
    "timeout": "60",
}


def engine_of(product: str, *version: int) -> Engine:
    return Engine(Path("redis-server"), product, version, "path")


def conf_of(engine: Engine, **changes: object) -> RedisConf:
    users = NodeUsers("7.0", Mode.HA, ADMIN_SECRET, REPLICA_SECRET, "tenant Passw0rd")
    return replace(RedisConf(engine, "127.64.0.11", 6379, users, 128 * 1024 * 1024), **changes)


CASES = {
    "master-valkey-9.conf": conf_of(engine_of("valkey", 9, 1, 2), vip="127.64.0.10", parameters=PARAMETERS),
    "replica-redis-7.conf": conf_of(
        engine_of("redis", 7, 0, 15),
        replica_of=NodeAddress("127.64.0.12", 6379),
        rename_commands={"FLUSHALL": "wipe"},
    ),
    "single-redis-6.conf": conf_of(
        engine_of("redis", 6, 2, 14),
        users=NodeUsers("6.0", Mode.SINGLE, ADMIN_SECRET, REPLICA_SECRET),
        persistent=False,
    ),
    "master-redis-5.conf": conf_of(
        engine_of("redis", 5, 0, 14),
        users=NodeUsers("5.0", Mode.HA, ADMIN_SECRET, REPLICA_SECRET, "tenant Passw0rd"),
        parameters=PARAMETERS,
    ),
    "cluster-valkey-9.conf": conf_of(
        engine_of("valkey", 9, 1, 2),
        port=60000,
        users=NodeUsers("7.0", Mode.CLUSTER, ADMIN_SECRET, REPLICA_SECRET, "tenant Passw0rd"),
        priority=0,
    ),
    "cluster-redis-7.conf": conf_of(
        engine_of("redis", 7, 0, 15),
        users=NodeUsers("7.0", Mode.CLUSTER, ADMIN_SECRET, REPLICA_SECRET, "tenant Passw0rd"),
        parameters={"appendonly": "no"},
    ),
    "cluster-redis-6.conf": conf_of(
        engine_of("redis", 6, 2, 14),
        users=NodeUsers("6.0", Mode.CLUSTER, ADMIN_SECRET, REPLICA_SECRET, "tenant Passw0rd"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_data_node_file_reads_as_before(name: str):
    assert render_redis_conf(CASES[name]) == (GOLDEN / name).read_text()


def test_sentinel_file_reads_as_before():
    conf = SentinelConf(engine_of("valkey", 9, 1, 2), "127.64.0.2", 26379, SENTINEL_SECRET)
    assert render_sentinel_conf(conf) == (GOLDEN / "sentinel-valkey-9.conf").read_text()


async def test_engine_takes_the_file_and_does_what_it_says(machine: Machine):
    admin = await machine.start(11, vip=machine.vip, parameters=PARAMETERS, rename_commands={"FLUSHALL": "wipe"})
    said = await admin.config_get("*")
    assert said["bind"] == f"{machine.node(11).address} {machine.vip}"
    assert said["bind-source-addr"] == machine.node(11).address
    assert said["maxmemory-policy"] == "allkeys-lfu"
    assert said["hash-max-listpack-entries"] == "100"
    assert said["busy-reply-threshold"] == "4000"
    assert said["active-expire-effort"] == "5"
    assert "1000000 6710886 60" in said["client-output-buffer-limit"]
    assert said["save"] == ""
    assert said["appendonly"] == "yes"
    assert said["databases"] == "256"
    with pytest.raises(ResponseError, match="unknown command"):
        await admin.flushall()
    assert await admin.execute_command("wipe")


async def test_engine_takes_the_file_of_a_cluster_node_with_any_port(machine: Machine):
    machine.users = replace(machine.users, mode=Mode.CLUSTER)
    await machine.runtime.ensure_node(replace(machine.spec(11, port=60000, priority=0), port=60000))
    async with connected(NodeAddress(machine.node(11).address, 60000), ADMIN_SECRET) as admin:
        said = await admin.config_get("*")
    assert said["cluster-port"] == "16379"
    assert said["cluster-node-timeout"] == "5000"
    assert said["cluster-replica-validity-factor"] == "0"
    assert said["cluster-replica-no-failover"] == "yes"
    assert said["cluster-require-full-coverage"] == "no"
    assert said["cluster-allow-replica-migration"] == "no"
    assert (said["appendonly"], said["appendfsync"], said["databases"]) == ("yes", "everysec", "1")


@pytest.mark.parametrize(("engine", "port"), [(("redis", 6, 2, 14), 55536), (("redis", 7, 0, 15), 16379)])
def test_a_port_that_leaves_no_room_for_the_bus_is_refused(engine: tuple, port: int):
    users = CASES["cluster-redis-7.conf"].users
    with pytest.raises(PortImpossible, match=str(port)):
        render_redis_conf(conf_of(engine_of(*engine), users=users, port=port))


async def test_parameters_change_on_a_running_node(machine: Machine):
    admin = await machine.start(11)
    await set_parameters(admin, PARAMETERS, machine.engine, 1000)
    said = await admin.config_get("*")
    assert (said["timeout"], said["active-expire-effort"]) == ("60", "5")
    assert "1000000 100 60" in said["client-output-buffer-limit"]


async def test_a_replica_of_proxies_says_rather_nothing_than_what_it_has_not(machine: Machine):
    machine.users = replace(machine.users, mode=Mode.HA_RW_SPLIT)
    replica = await machine.start(2, replica_of=machine.node(1))
    with pytest.raises(MasterDownError):
        await replica.get("key")


async def test_engine_takes_the_sentinel_file(machine: Machine):
    await machine.runtime.ensure_node(machine.sentinel_spec(1))
    sentinel = connect(NodeAddress(f"{machine.subnet}.1", 26379), SENTINEL_SECRET)
    assert len(await sentinel.execute_command("SENTINEL", "MYID")) == 40
    stranger = connect(NodeAddress(f"{machine.subnet}.1", 26379), None, user=None)
    with pytest.raises(AuthenticationError):
        await stranger.execute_command("SENTINEL", "MASTERS")
    await stranger.aclose()
    await sentinel.aclose()


async def test_without_users_dangerous_commands_hide_behind_secret_names(machine: Machine):
    # An engine of today told the way an old one is: one password, renamed commands, no users.
    old = replace(machine.engine, product="redis", version=(5, 0, 14))
    machine.users = replace(machine.users, version="5.0")
    spec = machine.spec(11, engine=old)
    await machine.runtime.ensure_node(spec)
    tenant = machine.tenant(machine.node(11).address)
    assert await tenant.ping()
    for command in ("CONFIG GET maxmemory", "SLAVEOF NO ONE", "DEBUG SLEEP 0", "SHUTDOWN"):
        with pytest.raises(ResponseError, match="unknown command"):
            await tenant.execute_command(*command.split())
    ours = connect(
        machine.node(11),
        machine.users.tenant_password,
        user=None,
        commands=admin_commands(old, ADMIN_SECRET),
    )
    assert await ours.config_set("timeout", 10)
    await ours.aclose()


def test_hidden_names_depend_on_the_secret():
    assert hidden_name("CONFIG", "a") != hidden_name("CONFIG", "b")
    assert hidden_name("CONFIG", "a") == hidden_name("config", "a")


@pytest.mark.parametrize(("keys", "effort"), [(1, 1), (20, 1), (21, 2), (40, 5), (65, 10), (1000, 10)])
def test_expire_effort_grows_with_keys_per_round(keys: int, effort: int):
    assert expire_effort(keys) == effort


def test_parameters_without_a_directive_are_skipped():
    engine = engine_of("redis", 7, 0, 15)
    assert directives_of({"multi-db": "yes", "reserved-memory": "1"}, engine, 1) == {}


def test_tls_is_beside_and_only_nodes_of_a_cluster_speak_it_to_each_other():
    engine = engine_of("redis", 7, 0, 15)
    clustered = NodeUsers("7.0", Mode.CLUSTER, ADMIN_SECRET, REPLICA_SECRET)
    alone, one_of_many = (
        render_redis_conf(conf_of(engine, tls_port=6380, **more)).splitlines()
        for more in ({}, {"users": clustered})
    )

    beside = {"port 6379", "tls-port 6380", "tls-cert-file tls.pem", "tls-key-file tls.pem", "tls-auth-clients no"}
    assert beside <= {*alone} & {*one_of_many}
    assert {"tls-cluster yes", "tls-replication yes"} <= {*one_of_many} - {*alone}
