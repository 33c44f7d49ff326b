from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis.asyncio as redis
from real_engines import ADMIN_SECRET, REPLICA_SECRET, Machine
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from cachestead.domain.accounts import Account, AccountRole, AccountStatus, hash_of
from cachestead.domain.instances import Mode
from cachestead.engine.acl import (
    NodeUsers,
    copier_arguments,
    refused_commands,
    set_user_arguments,
    tenant_rules,
    user_lines,
)
from cachestead.engine.catalogue import Engine
from cachestead.engine.live import set_users

VERSIONS = ("3.0", "4.0", "5.0", "6.0", "7.0")
REFUSED = (
    "REPLICAOF NO ONE", "SLAVEOF NO ONE", "FAILOVER", "SHUTDOWN NOSAVE", "DEBUG SLEEP 0", "MODULE LIST",
    "CONFIG SET maxmemory 0", "CONFIG REWRITE", "CONFIG RESETSTAT", "ACL SETUSER x on", "ACL DELUSER cachestead",
    "ACL LOAD", "ACL SAVE", "BGSAVE", "SAVE", "BGREWRITEAOF", "MIGRATE h 1 k 0 1", "SYNC", "PSYNC ? -1",
    "CLUSTER MEET 127.0.0.1 1", "CLUSTER RESET", "CLUSTER FAILOVER",
)  # fmt: skip
ALLOWED = (
    "PING", "SET a 1", "GET a", "COMMAND", "INFO", "CLIENT LIST", "ACL WHOAMI",
    "PUBLISH news hello", "PUBLISH __keyspace@0__:a set", "PUBLISH _ x", "PUBLISH __sentinel x", "FLUSHALL",
    "SELECT 255", "SLOWLOG GET", "MONITOR",
)  # fmt: skip


def users_of(version: str, mode: Mode, **changes: object) -> NodeUsers:
    return replace(NodeUsers(version, mode, ADMIN_SECRET, REPLICA_SECRET, "tenant-Passw0rd"), **changes)


@pytest.mark.parametrize("command", REFUSED)
async def test_tenant_is_refused_what_would_take_the_node_away(refusing: redis.Redis, command: str):
    # NOPERM, or the engine's own lock on DEBUG and MODULE, which it looks at first.
    with pytest.raises(ResponseError):
        await refusing.execute_command(*command.split())


@pytest.fixture
async def refusing(machine: Machine) -> redis.Redis:
    await machine.start(11)
    return machine.tenant(machine.node(11).address)


async def test_tenant_may_do_what_clients_do(machine: Machine):
    await machine.start(11)
    for command in ALLOWED:
        tenant = machine.tenant(machine.node(11).address)
        await tenant.execute_command(*command.split())


async def test_tenant_may_speak_resp3_and_subscribe_to_patterns(machine: Machine):
    await machine.start(11)
    tenant = machine.tenant(machine.node(11).address, protocol=3)
    assert (await tenant.execute_command("HELLO", 3))["proto"] == 3
    async with tenant.pubsub() as channel:
        await channel.psubscribe("news*")
        assert (await channel.get_message(timeout=2))["type"] == "psubscribe"


@pytest.mark.parametrize(
    "how",
    [
        ("PUBLISH", "__sentinel__:hello", "127.0.0.1,1,x,1,name,127.0.0.1,1,1"),
        ("EVAL", "return redis.call('publish', '__sentinel__:hello', 'x')", 0),
    ],
    ids=["directly", "from a script"],
)
async def test_tenant_cannot_speak_to_sentinels(machine: Machine, how: tuple[object, ...]):
    await machine.start(11)
    tenant = machine.tenant(machine.node(11).address)
    with pytest.raises(ResponseError, match="channel"):
        await tenant.execute_command(*how)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("mode", Mode)
async def test_engine_takes_the_rules_of_every_version_and_type(machine: Machine, version: str, mode: Mode):
    machine.users = users_of(version, mode)
    admin = await machine.start(11)
    assert await admin.execute_command("ACL WHOAMI") == "cachestead"
    for arguments in set_user_arguments(machine.users, machine.engine):
        await admin.execute_command("ACL SETUSER", *arguments)


async def test_each_command_of_the_table_is_refused(machine: Machine):
    machine.users = users_of("7.0", Mode.HA)
    admin = await machine.start(11)
    known = {name.lower() for name in await admin.execute_command("COMMAND LIST")}
    for command in {"module|list", *refused_commands("7.0", Mode.HA)} & known - {"module"}:
        assert "no permissions" in await dry_run(admin, command), command


async def dry_run(admin: redis.Redis, command: str, user: str = "default") -> str:
    """What the rules say to the tenant's command, with as many arguments as it wants."""
    for count in range(8):
        try:
            answer = await admin.execute_command("ACL DRYRUN", user, *command.split("|"), *["1"] * count)
        except ResponseError as error:
            if "wrong number of arguments" not in str(error):
                raise
        else:
            return str(answer).lower()
    raise AssertionError(command)


async def test_replica_secret_is_worth_nothing_but_replication(machine: Machine):
    await machine.start(11)
    thief = machine.tenant(machine.node(11).address, username="cachestead-replica", password=REPLICA_SECRET)
    for command in ("GET a", "SET a 1", "CONFIG GET *", "ACL LIST", "INFO", "REPLICAOF NO ONE", "PUBLISH a b"):
        with pytest.raises(NoPermissionError):
            await thief.execute_command(*command.split())
    with pytest.raises(AuthenticationError):
        await machine.tenant(
            machine.node(11).address, username="cachestead", password=REPLICA_SECRET
        ).execute_command("PING")


async def test_tenant_of_a_watched_instance_cannot_read_the_replica_secret(machine: Machine):
    await machine.start(11)
    tenant = machine.tenant(machine.node(11).address)
    for command in ("CONFIG GET masterauth", "EVAL return{redis.call('CONFIG','GET','masterauth')} 0"):
        with pytest.raises((NoPermissionError, ResponseError)) as refusal:
            await tenant.execute_command(*command.split())
        assert REPLICA_SECRET not in str(refusal.value)


@pytest.mark.parametrize("mode", [Mode.SINGLE, Mode.CLUSTER])
async def test_tenant_of_an_instance_without_sentinels_may_read_its_configuration(mode: Mode):
    assert "config|get" not in refused_commands("7.0", mode)


BEHIND_PROXIES = [Mode.PROXY, Mode.HA_RW_SPLIT]
DONE_BY_PROXIES = (
    "PING", "SET a 1", "GET a", "READONLY", "CLIENT ID", "CLIENT SETNAME x", "CLIENT NO-EVICT on",
    "CLIENT UNBLOCK 1", "CLIENT KILL TYPE pubsub", "CLUSTER SLOTS", "CLUSTER SHARDS", "CLUSTER NODES",
    "CLUSTER INFO", "CLUSTER MYID", "INFO replication", "SLOWLOG GET", "SCRIPT LOAD x", "PUBLISH news hello",
)  # fmt: skip
NOT_IN_SCRIPTS = (
    "CONFIG GET masterauth", "ACL LIST", "LATENCY RESET", "SWAPDB 0 1", "CLIENT PAUSE 1", *REFUSED[:12]
)  # fmt: skip


@pytest.mark.parametrize("mode", BEHIND_PROXIES)
async def test_nobody_goes_around_the_proxies(machine: Machine, mode: Mode):
    machine.users = users_of("6.0", mode, proxy_secret="proxy-s3cret")
    admin = await machine.start(11)
    for _ in range(2):
        for password in ("tenant-Passw0rd", None):
            with pytest.raises((AuthenticationError, ResponseError)):
                await machine.tenant(machine.node(11).address, password=password).execute_command("PING")
        await set_users(admin, machine.users, machine.engine)


@pytest.mark.parametrize("mode", BEHIND_PROXIES)
async def test_a_proxy_may_do_its_work_and_what_tenants_run_through_it_may_not_reach_further(
    machine: Machine, mode: Mode
):
    machine.users = users_of("6.0", mode, proxy_secret="proxy-s3cret")
    admin = await machine.start(11)
    for command in DONE_BY_PROXIES:
        answer = await admin.execute_command("ACL DRYRUN", "cachestead-proxy", *command.split())
        assert answer == "OK", command
    for command in (*NOT_IN_SCRIPTS, "PUBLISH __sentinel__:hello x"):
        try:
            answer = await admin.execute_command("ACL DRYRUN", "cachestead-proxy", *command.split())
        except ResponseError as error:
            assert "not found" in str(error), command  # noqa: PT017 - this engine has no such command
            continue
        assert "no permissions" in str(answer).lower() or "no access" in str(answer).lower(), command


@pytest.mark.parametrize("version", ["4.0", "5.0", "6.0"])
@pytest.mark.parametrize("mode", BEHIND_PROXIES)
def test_clients_of_proxies_may_name_themselves_and_look_at_sessions(version: str, mode: Mode):
    refused = refused_commands(version, mode)
    for allowed in ("list", "kill", "getname", "setname", "setinfo", "id", "no-evict"):
        assert f"client|{allowed}" not in refused
    assert "client" not in refused
    assert ("client|pause" in refused) == (mode is Mode.PROXY)
    assert {"swapdb", "wait", "migrate", "replicaof", "config|set"} <= refused
    assert "config|get" not in refused


def test_the_tables_of_read_write_splitting_are_the_reference_s():
    assert {"bzpopmin", "zpopmax", "readonly", "readwrite"} <= refused_commands("4.0", Mode.HA_RW_SPLIT)
    assert {"zpopmax"}.isdisjoint(refused_commands("5.0", Mode.HA_RW_SPLIT))
    newest = refused_commands("6.0", Mode.HA_RW_SPLIT)
    assert {"client|tracking", "client|caching", "acl", "reset", "failover"} <= newest
    assert {"readonly", "readwrite", "latency", "move", "acl|setuser"}.isdisjoint(newest)


async def test_tenant_password_changes_on_a_running_node(machine: Machine):
    admin = await machine.start(11)
    changed = replace(machine.users, tenant_password="another-Passw0rd")
    await set_users(admin, changed, machine.engine)
    await set_users(admin, changed, machine.engine)
    with pytest.raises(AuthenticationError):
        await machine.tenant(machine.node(11).address).ping()
    assert await machine.tenant(machine.node(11).address, password="another-Passw0rd").ping()


async def test_without_a_password_everybody_is_the_tenant(machine: Machine):
    admin = await machine.start(11)
    await set_users(admin, replace(machine.users, tenant_password=None), machine.engine)
    tenant = machine.tenant(machine.node(11).address, password=None)
    assert await tenant.ping()
    with pytest.raises(NoPermissionError):
        await tenant.execute_command("CONFIG", "SET", "maxmemory", "0")


async def test_read_only_refuses_writes_and_answers_reads(machine: Machine):
    admin = await machine.start(11)
    await set_users(admin, replace(machine.users, read_only=True), machine.engine)
    tenant = machine.tenant(machine.node(11).address)
    assert await tenant.get("a") is None
    with pytest.raises(NoPermissionError):
        await tenant.set("a", 1)


def test_no_password_is_written_in_clear(engine: Engine):
    for mode in Mode:
        text = "\n".join(user_lines(users_of("7.0", mode, proxy_secret="proxy-s3cret"), engine))
        secrets = (ADMIN_SECRET, REPLICA_SECRET, "tenant-Passw0rd", "proxy-s3cret")
        assert not any(secret in text for secret in secrets)


def test_redis_6_gets_containers_taken_and_the_rest_given_back():
    six = Engine(Path("redis-server"), "redis", (6, 2, 14), "path")
    rules = tenant_rules(users_of("6.0", Mode.SINGLE), six)
    assert "+config|get" in rules
    assert rules.index("-config") < rules.index("+config|get")
    assert not any(rule.startswith("-") and "|" in rule for rule in rules)
    assert not any("(" in rule for rule in rules)
    assert "+config|set" not in rules


def account(name: str, role: AccountRole) -> Account:
    word = hash_of(f"{name}-Passw0rd")
    at = datetime(2026, 1, 1, tzinfo=UTC)
    return Account(name, "one", name, role, word, AccountStatus.AVAILABLE, at)


ACCOUNTS = (account("writer", AccountRole.WRITE), account("reader", AccountRole.READ))


@pytest.mark.parametrize("mode", [Mode.SINGLE, Mode.HA, Mode.CLUSTER])
async def test_an_account_may_do_what_the_tenant_may_or_only_read_of_it(machine: Machine, mode: Mode):
    machine.users = users_of("5.0", mode, accounts=ACCOUNTS)
    admin = await machine.start(11)
    known = [str(name) for name in await admin.execute_command("ACL", "CAT", "write")]
    assert len(known) > 50
    for command in known:
        assert "no permissions" in await dry_run(admin, command, "reader"), command
    for command in ("get", "set", "debug", "info"):
        as_writer = (await dry_run(admin, command, "writer")).replace("writer", "default")
        assert as_writer == await dry_run(admin, command)
    for name in ("writer", "reader"):
        for command in ("acl|list", "config|set", "psync", "migrate"):
            assert "no permissions" in await dry_run(admin, command, name), command
    assert "no permissions" in await dry_run(admin, "config|get", "reader")


async def test_users_that_are_no_accounts_any_more_go_with_their_clients(machine: Machine):
    machine.users = users_of("5.0", Mode.SINGLE, accounts=ACCOUNTS)
    admin = await machine.start(11)
    await admin.execute_command("ACL", "SETUSER", *copier_arguments("c0py"))
    reader = machine.tenant(machine.node(11).address, username="reader", password="reader-Passw0rd")
    assert await reader.ping()
    await set_users(admin, replace(machine.users, accounts=ACCOUNTS[:1]), machine.engine)
    with pytest.raises(RedisError):
        await reader.ping()
    left = set(await admin.execute_command("ACL USERS"))
    assert left == {"default", "writer", "cachestead", "cachestead-replica", "cachestead-copy"}


@pytest.mark.parametrize("mode", BEHIND_PROXIES)
async def test_a_proxy_reads_for_accounts_that_only_read(machine: Machine, mode: Mode):
    machine.users = users_of("5.0", mode, proxy_secret="proxy-s3cret", accounts=ACCOUNTS)
    admin = await machine.start(11)
    users = set(await admin.execute_command("ACL USERS"))
    assert users == {"default", "cachestead", "cachestead-replica", "cachestead-proxy", "cachestead-proxy-reader"}
    for command in ("set", "del", "sort", "flushall", "acl|list", "config|get"):
        assert "no permissions" in await dry_run(admin, command, "cachestead-proxy-reader"), command
    assert await dry_run(admin, "get", "cachestead-proxy-reader") == "ok"
