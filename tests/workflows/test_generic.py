"""What every workflow promises, by being listed in `ALL`.

It fails at each step and leaves nothing but the recorded failure; every step may run twice; every undo may run
twice. The real runner runs it on the real nodes of a master/standby instance, or of a cluster where only that has
what is changed, and where it acts on proxies, on instances that have some; faults are put in by wrapping steps.
Nobody heals meanwhile, unless a test asks.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest
import pytest_asyncio
import redis.asyncio as redis
from dbos import DBOS
from installation import HA, PASSWORD, free_port
from real_engines import eventually, kill_all_under, pids_under
from sqlalchemy import select
from visitors import needs_packet_filter

from cachestead import bootstrap
from cachestead.bootstrap import Application
from cachestead.domain.accounts import AccountRole, AccountStatus
from cachestead.domain.backups import Backup
from cachestead.domain.instances import Event, Instance, Mode, Node, State
from cachestead.domain.jobs import Job, JobStatus
from cachestead.domain.migration_tasks import (
    FileSource,
    ImportOrder,
    MigrationMethod,
    MigrationType,
    TargetOrder,
)
from cachestead.domain.orders import Order
from cachestead.domain.parameters import Wanted
from cachestead.domain.resizing import ResizeWish
from cachestead.domain.roles import Permissions
from cachestead.domain.sessions import places_of
from cachestead.domain.shards import master_of, masters_of, replicas_of
from cachestead.domain.whitelists import Whitelist, WhitelistGroup
from cachestead.engine import replication
from cachestead.engine.addresses import NodeAddress
from cachestead.engine.cluster import wait_agreed
from cachestead.engine.connection import connected
from cachestead.engine.endpoint import ensure_bound
from cachestead.identity.callers import Caller
from cachestead.operations import (
    accounts,
    backups,
    migration_tasks,
    parameters,
    passwords,
    resizing,
    sessions,
    ssl,
    whitelists,
)
from cachestead.operations import instances as operations
from cachestead.operations.changes import Change, change
from cachestead.operations.service import Service
from cachestead.settings import load_settings
from cachestead.store import identity, networks
from cachestead.store import instances as store
from cachestead.store import jobs as job_store
from cachestead.store import proxies as proxy_store
from cachestead.store.tables import jobs
from cachestead.workflows.all import ALL
from cachestead.workflows.change_type import CHANGE_TYPE
from cachestead.workflows.change_whitelist import CHANGE_WHITELIST
from cachestead.workflows.leave_domain_name import LEAVE_DOMAIN_NAME
from cachestead.workflows.machinery import address_of, client_of, shards_at, sightings_now
from cachestead.workflows.replace_nodes import REPLACE_NODES
from cachestead.workflows.resize_instance import ADD_REPLICAS, REMOVE_REPLICAS
from cachestead.workflows.set_priority import SET_PRIORITY
from cachestead.workflows.switch_master import SWITCH_MASTER
from cachestead.workflows.switch_shard import SWITCH_SHARD
from cachestead.workflows.workflow import Step, StepContext, StepFunction, Workflow

pytestmark = pytest.mark.asyncio(loop_scope="module")


def of_nodes(mode: Mode, count: int, gb: int = 1) -> str:
    """A flavor of one shard."""
    return f"redis.ha.xu1.large.{'r' if mode is Mode.HA else 'p'}{count}.{gb}"


def of_shards(mode: Mode, count: int) -> str:
    """A flavor of shards of 8 GB."""
    return f"redis.{'cluster.xu1.large.r2' if mode is Mode.CLUSTER else 'proxy.xu1.large'}.s8.{count * 8}"


def of_three(mode: Mode) -> tuple[str, float]:
    """The flavor of three nodes or three shards, and its capacity."""
    return (of_shards(mode, 3), 24) if mode.is_clustered else (of_nodes(mode, 3), 1)


class Fault(Exception):
    """What a test puts in."""


@dataclass
class World:
    """A control plane in this process, and the caller who uses it."""

    application: Application
    caller: Caller
    order: Order
    served: dict[str, int] = field(default_factory=dict)
    """How often a cluster was asked to serve: what its keys count."""

    @property
    def service(self) -> Service:
        return self.application.http.state.services.service

    def install(self, workflow: Workflow) -> None:
        """From now on this is the workflow of its name."""
        self.application.runner._workflows[workflow.name] = workflow

    async def create(self, **order: object) -> str:
        """The id of a new instance on its way."""
        [made] = await operations.create_instances(self.service, self.caller, replace(self.order, **order))
        return made.id

    async def create_of(self, mode: Mode) -> str:
        """The id of a new instance of a type: one shard with two replicas, or three shards."""
        spec_code, gb = of_three(mode)
        return await self.create(spec_code=spec_code, capacity_gb=gb)

    async def instance(self, instance_id: str) -> Instance:
        async with self.service.database.reading() as tx:
            found = await store.find_any_instance(tx, instance_id)
        assert found is not None
        return found

    async def last_job(self, instance_id: str) -> Job:
        """The instance's newest job, which is final."""
        query = select(jobs.c.id).where(jobs.c.instance_id == instance_id).order_by(jobs.c.created_at.desc())
        async with self.service.database.reading() as tx:
            job_id = (await tx.scalars(query)).first()
        await self.service.worker.wait(job_id, 60)
        async with self.service.database.reading() as tx:
            job = await job_store.find_any_job(tx, job_id)
        assert job is not None
        assert job.status.is_final
        return job

    async def serves(self, instance_id: str, password: str = PASSWORD, port: int | None = None) -> Instance:
        """The instance is RUNNING, takes writes, copies them, and the Sentinels watch it where it is."""
        instance = await self.instance(instance_id)
        assert (instance.state, instance.task) == (State.RUNNING, None)
        assert instance.port == (port or instance.port)
        if instance.mode.is_clustered:
            await self._serves_as_cluster(instance, password)
            return instance
        machinery, master = self.application.machinery, address_of(master_of(instance))
        # Where clients come by TLS, nodes still take us plainly.
        place = master if instance.enable_ssl else NodeAddress(instance.ip, instance.port)
        async with connected(place, password, user=None) as client:
            assert await client.set("served", "yes")
        standby = [client_of(machinery, instance, node) for node in replicas_of(instance)]
        await replication.wait_in_sync(standby, master, 20)
        if instance.mode.is_watched:
            watched = await machinery.sentinels.masters()
            assert watched == {**watched, instance_id: master}
        return instance

    async def _serves_as_cluster(self, instance: Instance, password: str) -> None:
        """Its nodes and no others agree; its shards share all slots; keys that were written are there."""
        shards = shards_at(self.application.machinery, instance)
        view = await wait_agreed([node for shard in shards for node in shard.nodes], 20)
        counts = [len(slots) for slots in view.owners.values()]
        assert len(counts) == len(shards)
        assert max(counts) - min(counts) <= 1
        async with self._client_of_shards(instance, password) as client:
            for number in range(50):
                assert await client.incr(f"kept-{number}") == self.served.get(instance.id, 0) + 1
        self.served[instance.id] = self.served.get(instance.id, 0) + 1

    def _client_of_shards(self, instance: Instance, password: str) -> redis.RedisCluster | redis.Redis:
        if instance.proxies:
            return redis.Redis(host=instance.ip, port=instance.port, password=password)
        first = instance.nodes[0]
        return redis.RedisCluster(host=first.address, port=first.port, password=password)

    async def assert_nothing_is_left_of(self, instance_id: str) -> None:
        """No process, folder, address, node or Sentinel entry."""
        machinery = self.application.machinery
        async with self.service.database.reading() as tx:
            assert await networks.list_addresses_of(tx, instance_id) == []
            known = await store.list_any_node_ids(tx) | await proxy_store.list_any_proxy_ids(tx)
        instance = await self.instance(instance_id)
        assert (instance.nodes, instance.proxies) == ((), ())
        assert instance_id not in await machinery.sentinels.watched_names()
        assert not (machinery.vip_folder / "endpoints" / f"{instance_id}.json").exists()
        folder = self.application.settings.data_dir / "nodes"
        present = {*known, *(f"sentinel-{n}" for n in range(3))}
        assert {one.name for one in folder.iterdir()} == present
        assert len(list(pids_under(folder))) == len(present)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """Everything but HTTP and the reconcilers' loops."""
    settings = load_settings(
        data_dir=tmp_path_factory.mktemp("world"),
        server={"port": free_port()},
        # The engine that comes with us moves slots at once: many of these tests move them there and back again.
        engine={"search_path": False},
        region={"subnet_cidr": f"127.{random.randint(100, 120)}.{random.randint(0, 15) * 16}.0/20"},
        capacity={"memory_mb": 1024 * 1024},
    )
    application = await bootstrap.build(settings)
    machinery = application.machinery
    try:
        await machinery.runtime.start()
        await application.sentinels.ensure_all()
        await application.runner.start()
        yield await _new_world(application)
    finally:
        await application.runner.close(0)
        DBOS.destroy()
        await machinery.sentinels.close()
        await machinery.connections.close()
        await machinery.runtime.close()
        await machinery.database.close()
        kill_all_under(settings.data_dir / "nodes")


async def _new_world(application: Application) -> World:
    settings = application.settings
    async with application.database.reading() as tx:
        domain = await identity.find_domain_named(tx, settings.identity.domain)
        [project] = await identity.list_projects(tx, domain.id)
        network = await networks.get_network(tx, project.id, settings.region.subnet_cidr)
    caller = Caller("u", "admin", domain.id, domain.name, project.id, project.name, Permissions())
    zones = tuple(zone.code for zone in settings.region.zones[:2])
    order = Order(
        "generic", "Redis", "6.0", 0.125, HA, zones, network.vpc_id, network.subnet_id, password=PASSWORD
    )
    return World(application, caller, order)


@pytest.fixture(autouse=True)
def restored(world: World) -> Iterator[None]:
    """A test's faults end with it."""
    yield
    for workflow in ALL:
        world.install(workflow)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def kept_ones(world: World) -> dict[str, str]:
    """The instances that are changed again and again, one of each type that was asked for."""
    return {}


async def keep(world: World, kept_ones: dict[str, str], mode: Mode) -> str:
    if mode not in kept_ones:
        kept_ones[mode] = await world.create_of(mode)
        await world.last_job(kept_ones[mode])
        await world.serves(kept_ones[mode])
    return kept_ones[mode]


@pytest_asyncio.fixture(loop_scope="module")
async def kept_cluster(world: World, kept_ones: dict[str, str]) -> str:
    """The cluster that is changed again and again."""
    return await keep(world, kept_ones, Mode.CLUSTER)


@pytest_asyncio.fixture(loop_scope="module")
async def kept(world: World, kept_ones: dict[str, str], workflow: Workflow, mode: Mode) -> str:
    """The one of the type, in a shape that can be changed so."""
    if workflow.name == "change-type":
        # There is no way back: each test has one of its own.
        single = await world.create(
            spec_code="redis.single.xu1.large.1", capacity_gb=1, az_codes=world.order.az_codes[:1]
        )
        await world.last_job(single)
        await world.serves(single)
        return single
    if workflow.name in ON_ACCOUNTS:
        return await _with_account(world, kept_ones, mode)
    chosen = await keep(world, kept_ones, mode)
    needed = {"add-shards": 3, "remove-shards": 4}.get(workflow.name)
    if needed and (await world.instance(chosen)).spec_code != of_shards(mode, needed):
        await ASK["remove-shards" if needed == 3 else "add-shards"](world, chosen)
        assert (await world.last_job(chosen)).status is JobStatus.SUCCESS
    return chosen


Ask = Callable[[World, str], Awaitable[object]]
"""How to have a workflow started on an instance."""


async def _change(world: World, instance_id: str, **edit: object) -> None:
    await operations.update_instance(world.service, world.caller, instance_id, operations.Edit(**edit))


async def _set_timeout(world: World, instance_id: str, seconds: int) -> None:
    wanted = [Wanted(str(seconds), name="timeout")]
    await parameters.change_parameters(world.service, world.caller, instance_id, wanted)


async def _resize(world: World, instance_id: str, spec_code: str, gb: float, **wish: object) -> None:
    await resizing.resize_instance(world.service, world.caller, instance_id, ResizeWish(spec_code, gb, **wish))


async def _resize_nodes(world: World, instance_id: str, count: int, gb: int = 1, **wish: object) -> None:
    mode = (await world.instance(instance_id)).mode
    await _resize(world, instance_id, of_nodes(mode, count, gb), gb, **wish)


async def _resize_shards(world: World, instance_id: str, count: int, **wish: object) -> None:
    mode = (await world.instance(instance_id)).mode
    await _resize(world, instance_id, of_shards(mode, count), count * 8, **wish)


async def _change_type(world: World, instance_id: str, one: Mode, other: Mode) -> None:
    """From whichever it is to the other."""
    spec_code, gb = of_three(other if (await world.instance(instance_id)).mode is one else one)
    await _resize(world, instance_id, spec_code, gb, change_type="instanceType")


async def _remove_replica(world: World, instance_id: str) -> None:
    """Not the same each time: roles may have moved."""
    instance = await world.instance(instance_id)
    wish = {"change_type": "deleteReplication", "node_list": (replicas_of(instance)[-1].id,)}
    await _resize_nodes(world, instance_id, len(instance.nodes) - 1, **wish)


async def _with_account(world: World, kept_ones: dict[str, str], mode: Mode) -> str:
    """The kept instance of the type that may have accounts, and has one that can be changed."""
    name, (spec_code, gb) = f"{mode}-with-accounts", of_three(mode)
    if name not in kept_ones:
        kept_ones[name] = await world.create(spec_code=spec_code, capacity_gb=gb, engine_version="5.0")
        await world.last_job(kept_ones[name])
    if all(one.status is AccountStatus.ERROR for one in (await world.instance(kept_ones[name])).accounts):
        await _add_account(world, kept_ones[name])
        assert (await world.last_job(kept_ones[name])).status is JobStatus.SUCCESS
    return kept_ones[name]


async def _add_account(world: World, instance_id: str) -> None:
    count = len((await world.instance(instance_id)).accounts)
    wanted = accounts.NewAccount(f"account-{count}", AccountRole.READ, "Acc0unt-word")
    await accounts.create_account(world.service, world.caller, instance_id, wanted)


async def _on_account(
    world: World, instance_id: str, act: Callable[..., Awaitable[object]], *words: object
) -> None:
    """Does something to the first account that is in force."""
    account = (await world.instance(instance_id)).accounts_in_force[0]
    await act(world.service, world.caller, instance_id, account.id, *words)


async def _scan(world: World, instance_id: str) -> None:
    place = places_of(await world.instance(instance_id))[0]
    await sessions.scan_sessions(world.service, world.caller, instance_id, place.id)


async def _back_up(world: World, instance_id: str) -> Backup:
    return await backups.back_up(world.service, world.caller, instance_id, "", None)


async def _backup_of(world: World, instance_id: str) -> str:
    """The id of a backup that succeeded."""
    backup = await _back_up(world, instance_id)
    assert (await world.last_job(instance_id)).status is JobStatus.SUCCESS
    return backup.id


async def _restore(world: World, instance_id: str) -> None:
    await backups.restore(world.service, world.caller, instance_id, await _backup_of(world, instance_id), "")


async def _import(world: World, instance_id: str) -> None:
    order = ImportOrder(
        "generic",
        MigrationType.IMPORT,
        MigrationMethod.FULL,
        TargetOrder(instance_id),
        source=FileSource.BACKUP,
        backup_id=await _backup_of(world, instance_id),
    )
    await migration_tasks.create_import(world.service, world.caller, order)


async def _start_on_replica(world: World, instance_id: str, workflow: Workflow, **params: object) -> None:
    await _start(world, instance_id, workflow, lambda instance: replicas_of(instance)[0], **params)


async def _start(
    world: World, instance_id: str, workflow: Workflow, node: Callable[[Instance], Node], **params: object
) -> None:
    """Not by the operation: it judges what the workflow then does, and waits for it."""
    async with world.service.database.writing() as tx:
        instance = await store.lock_any_instance(tx, instance_id)
        chosen = node(instance).id
        wanted = Change(workflow, Event.CHANGE_ASKED, {"node": chosen, "master": chosen, **params})
        await change(tx, world.service, world.caller, instance, wanted)
    world.service.worker.nudge()


async def _write_whitelist(world: World, instance_id: str, *addresses: str) -> None:
    groups = (WhitelistGroup("friends", addresses),) if addresses else ()
    wanted = Whitelist(enabled=bool(groups), groups=groups)
    await whitelists.begin_change(world.service, world.caller, instance_id, wanted)


ASK: dict[str, Ask] = {
    "delete-instance": lambda world, one: operations.delete_instance(world.service, world.caller, one),
    "restart-instance": lambda world, one: operations.change_status(world.service, world.caller, "restart", [one]),
    "flush-instance": lambda world, one: operations.change_status(world.service, world.caller, "flush", [one]),
    "change-password": lambda world, one: passwords.reset_password(
        world.service, world.caller, one, "An0ther-word", no_password=False
    ),
    "change-port": lambda world, one: _change(world, one, port=6400),
    "change-parameters": lambda world, one: _set_timeout(world, one, 7000),
    "rename-commands": lambda world, one: _change(world, one, rename_commands={"keys": "kkeys"}),
    "change-capacity": lambda world, one: _resize_nodes(world, one, 3, 2),
    "add-replicas": lambda world, one: _resize_nodes(world, one, 4, change_type="createReplication"),
    "remove-replicas": _remove_replica,
    "switch-shard": lambda world, one: _start_on_replica(world, one, SWITCH_SHARD),
    "change-type": lambda world, one: _resize(world, one, of_nodes(Mode.HA, 2), 1, change_type="instanceType"),
    "move-address": lambda world, one: _change_type(world, one, Mode.HA, Mode.HA_RW_SPLIT),
    "replace-nodes": lambda world, one: _change_type(world, one, Mode.HA, Mode.PROXY),
    "add-shards": lambda world, one: _resize_shards(world, one, 4, change_type="addSharding"),
    "remove-shards": lambda world, one: _resize_shards(world, one, 3),
    "set-priority": lambda world, one: _start_on_replica(world, one, SET_PRIORITY, priority=7, before=100),
    "leave-domain-name": lambda world, one: _start_on_replica(world, one, LEAVE_DOMAIN_NAME, before=True),
    "switch-master": lambda world, one: _start(world, one, SWITCH_MASTER, master_of),
    "scan-clients": _scan,
    "create-acl-account": _add_account,
    "change-acl-account-password": lambda world, one: _on_account(
        world, one, accounts.reset_password, "An0ther-word"
    ),
    "update-acl-account": lambda world, one: _on_account(world, one, accounts.change_role, AccountRole.WRITE),
    "delete-acl-account": lambda world, one: _on_account(world, one, accounts.delete_account),
    "update-ip-whitelist": lambda world, one: _write_whitelist(world, one, "127.0.0.0/8"),
    "change-ssl": lambda world, one: ssl.switch_ssl(world.service, world.caller, one, enabled=True),
    "keep-ssl": lambda world, one: ssl.switch_ssl(world.service, world.caller, one, enabled=False),
    "back-up-instance": _back_up,
    "restore-instance": _restore,
    "import-backup": _import,
    "hang-up-kill-all-clients": lambda world, one: sessions.end_all_sessions(
        world.service, world.caller, one, None, everywhere=True
    ),
}
ON_ACCOUNTS = {"create-acl-account", "change-acl-account-password", "update-acl-account", "delete-acl-account"}
ASK_BACK: dict[str, Ask] = {
    "change-password": lambda world, one: passwords.reset_password(
        world.service, world.caller, one, PASSWORD, no_password=False
    ),
    "change-port": lambda world, one: _change(world, one, port=6379),
    "rename-commands": lambda world, one: _change(world, one, rename_commands={}),
    "change-capacity": lambda world, one: _resize_nodes(world, one, 3),
    "move-address": ASK["move-address"],
    "replace-nodes": ASK["replace-nodes"],
    "add-replicas": _remove_replica,
    "remove-replicas": lambda world, one: _resize_nodes(world, one, 3, change_type="createReplication"),
    "set-priority": lambda world, one: _start_on_replica(world, one, SET_PRIORITY, priority=100, before=7),
    "update-ip-whitelist": _write_whitelist,
    "change-ssl": ASK["keep-ssl"],
}
"""So that the next test finds the instance as this one did."""


async def start(world: World, workflow: Workflow, kept: str) -> tuple[str, Job]:
    """Have the workflow run to its end; the instance it ran on, and its job."""
    mode = (await world.instance(kept)).mode
    if workflow.name == "create-instance":
        instance_id = await world.create_of(mode)
        return instance_id, await world.last_job(instance_id)
    if workflow.name == "delete-instance":
        kept = await world.create_of(mode)
        assert (await world.last_job(kept)).status is JobStatus.SUCCESS
    await ASK[workflow.name](world, kept)
    return kept, await world.last_job(kept)


def failing_after(workflow: Workflow, number: int) -> Workflow:
    """It does this step, and then says that it could not."""

    async def fail(run: StepFunction, ctx: StepContext) -> None:
        await run(ctx)
        raise Fault("put in by a test")

    step = workflow.steps[number]
    broken = Step(_wrapped(step.run, fail), step.undo)
    return replace(workflow, steps=(*workflow.steps[:number], broken, *workflow.steps[number + 1 :]))


async def _twice(run: StepFunction, ctx: StepContext) -> None:
    await run(ctx)
    # As after a crash: what the step saved is read again.
    async with ctx.machinery.database.reading() as tx:
        instance = await store.find_any_instance(tx, ctx.instance.id)
    await run(replace(ctx, instance=instance))


def _wrapped(run: StepFunction, around: Callable[[StepFunction, StepContext], Awaitable[None]]) -> StepFunction:
    @functools.wraps(run)
    async def wrapped(ctx: StepContext) -> None:
        await around(run, ctx)

    return wrapped


def with_steps_twice(workflow: Workflow) -> Workflow:
    return replace(workflow, steps=tuple(Step(_wrapped(one.run, _twice), one.undo) for one in workflow.steps))


def with_undos_twice(workflow: Workflow) -> Workflow:
    undone = (Step(one.run, one.undo and _wrapped(one.undo, _twice)) for one in workflow.steps)
    return replace(workflow, steps=tuple(undone))


async def assert_only_the_failure_is_left(
    world: World, workflow: Workflow, before: Instance | None, one: str
) -> None:
    """What each kind of work says it leaves when it fails."""
    after = await world.instance(one)
    assert after.task is None
    if workflow.name == "create-instance":
        assert after.state is State.CREATEFAILED
        assert "put in by a test" in (after.fail_reason or "")
        await world.assert_nothing_is_left_of(one)
        return
    if workflow.name == "delete-instance":
        assert after.state is State.DELETING
        world.install(workflow)
        await world.application.leftovers.run_pass()
        assert (await world.last_job(one)).status is JobStatus.SUCCESS
        await world.assert_nothing_is_left_of(one)
        return
    if after.state is State.ERROR:
        await eventually(lambda: healed(world, one))
    after = await world.serves(one)
    assert before is not None
    untold = {
        "updated_at": before.updated_at,
        "fail_reason": before.fail_reason,
        "used_memory": before.used_memory,
        "accounts": before.accounts,
    }
    assert _accounts_of(after) == _accounts_of(before)
    assert replace(after, **untold, nodes=before.nodes, proxies=before.proxies) == before
    assert {proxy.id for proxy in after.proxies} == {proxy.id for proxy in before.proxies}
    assert _kept_of(after) == _kept_of(before)


async def healed(world: World, one: str) -> bool:
    """A cluster whose nodes all came back needs a moment to agree."""
    await world.application.health.run_pass()
    return (await world.instance(one)).state is State.RUNNING


def _accounts_of(instance: Instance) -> set[tuple[object, ...]]:
    return {(one.id, one.name, one.role, one.password_hash) for one in instance.accounts_in_force}


def _kept_of(instance: Instance) -> set[tuple[object, ...]]:
    return {(node.address, node.port, node.priority, node.in_domain_name) for node in instance.nodes}


ON_PROXIES = {
    Mode.PROXY: {
        "create-instance", "delete-instance", "restart-instance", "change-port", "add-shards", "remove-shards",
        "replace-nodes", "scan-clients", "update-ip-whitelist", "back-up-instance", "restore-instance", "import-backup",
    },
    Mode.HA_RW_SPLIT: {
        "create-instance", "rename-commands", "change-parameters", "change-password", "change-capacity", "add-replicas",
        "remove-replicas", "leave-domain-name", "switch-master", "move-address",
        "hang-up-kill-all-clients", "restore-instance", *ON_ACCOUNTS,
    },
}  # fmt: skip
"""Workflows that act on proxies, each on the type where there is more to it."""


def marks_of(workflow: Workflow, mode: Mode) -> list[pytest.MarkDecorator]:
    """What the machine must have for the workflow on that type."""
    return [needs_packet_filter] if workflow is CHANGE_WHITELIST and not mode.has_proxies else []


def modes_of(workflow: Workflow) -> list[Mode]:
    """Types of instance to try the workflow on."""
    plain = Mode.CLUSTER if "shard" in workflow.name else Mode.HA
    return [plain, *(mode for mode, names in ON_PROXIES.items() if workflow.name in names)]


EVERY_WORKFLOW = [
    pytest.param(workflow, mode, id=f"{workflow.name}-{mode}", marks=marks_of(workflow, mode))
    for workflow in ALL
    for mode in modes_of(workflow)
]
EVERY_STEP = [
    pytest.param(workflow, mode, number, id=f"{workflow.name}-{mode}-{step.name}", marks=marks_of(workflow, mode))
    for workflow in ALL
    for mode in modes_of(workflow)
    for number, step in enumerate(workflow.steps)
]


@pytest.mark.parametrize(("workflow", "mode", "number"), EVERY_STEP)
async def test_a_failure_at_a_step_leaves_nothing_but_the_failure(
    world: World, kept: str, workflow: Workflow, mode: Mode, number: int
):
    before = await world.instance(kept)
    world.install(failing_after(workflow, number))
    instance_id, job = await start(world, workflow, kept)

    assert job.status is JobStatus.FAIL
    assert job.fail_reason == f"{workflow.steps[number].name}: put in by a test"
    await assert_only_the_failure_is_left(world, workflow, before, instance_id)


@pytest.mark.parametrize(("workflow", "mode"), EVERY_WORKFLOW)
async def test_every_undo_may_run_twice(world: World, kept: str, workflow: Workflow, mode: Mode):
    before = await world.instance(kept)
    world.install(failing_after(with_undos_twice(workflow), len(workflow.steps) - 1))
    instance_id, job = await start(world, workflow, kept)

    assert job.status is JobStatus.FAIL
    await assert_only_the_failure_is_left(world, workflow, before, instance_id)


@pytest.mark.parametrize(("workflow", "mode"), EVERY_WORKFLOW)
async def test_every_step_may_run_twice(world: World, kept: str, workflow: Workflow, mode: Mode):
    world.install(with_steps_twice(workflow))
    instance_id, job = await start(world, workflow, kept)

    assert (job.status, job.fail_reason) == (JobStatus.SUCCESS, None)
    if workflow.name == "delete-instance":
        assert (await world.instance(instance_id)).state is State.DELETED
        await world.assert_nothing_is_left_of(instance_id)
        return
    await world.serves(
        instance_id,
        password="An0ther-word" if workflow.name == "change-password" else PASSWORD,
        port=6400 if workflow.name == "change-port" else None,
    )
    if workflow.name in ASK_BACK:
        await ASK_BACK[workflow.name](world, instance_id)
        assert (await world.last_job(instance_id)).status is JobStatus.SUCCESS


async def test_a_leaving_node_that_is_master_by_now_is_relieved(world: World):
    one = await world.create_of(Mode.HA)
    await world.last_job(one)
    before = await world.serves(one)
    leaving = master_of(before)
    await _remove(world, before, leaving)
    job = await world.last_job(one)

    assert (job.status, job.fail_reason) == (JobStatus.SUCCESS, None)
    after = await world.serves(one)
    assert {node.id for node in after.nodes} == {node.id for node in before.nodes} - {leaving.id}


async def test_a_leaving_node_that_is_master_of_a_shard_by_now_is_relieved(world: World, kept_cluster: str):
    before = await world.serves(kept_cluster)
    leaving = masters_of(before)
    await _remove(world, before, leaving[0])
    job = await world.last_job(kept_cluster)

    assert (job.status, job.fail_reason) == (JobStatus.SUCCESS, None)
    after = await world.serves(kept_cluster)
    assert {node.id for node in after.nodes} == {node.id for node in before.nodes} - {leaving[0].id}


async def _remove(world: World, instance: Instance, leaving: Node) -> None:
    """As if roles had changed after the order was accepted."""
    flavor = [instance.spec_code, instance.capacity_gb]
    params = {"flavor": flavor, "old_flavor": flavor, "joining": [], "leaving": [leaving.id]}
    async with world.service.database.writing() as tx:
        taken = await store.lock_any_instance(tx, instance.id)
        await change(tx, world.service, world.caller, taken, Change(REMOVE_REPLICAS, Event.RESIZE_ASKED, params))
    world.service.worker.nudge()


@pytest.mark.parametrize("step", ["copy_data", "hand_over", "remove_old", "verify"])
async def test_a_single_node_has_its_data_back_when_its_change_fails(world: World, step: str):
    one = await world.create(
        spec_code="redis.single.xu1.large.1", capacity_gb=1, az_codes=world.order.az_codes[:1]
    )
    await world.last_job(one)
    instance = await world.serves(one)
    async with connected(NodeAddress(instance.ip, instance.port), PASSWORD, user=None) as client:
        await client.set("kept", "yes")
    number = [known.name for known in CHANGE_TYPE.steps].index(step)
    world.install(with_undos_twice(failing_after(CHANGE_TYPE, number)))
    await ASK["change-type"](world, one)

    assert (await world.last_job(one)).status is JobStatus.FAIL
    instance = await world.serves(one)
    async with connected(NodeAddress(instance.ip, instance.port), PASSWORD, user=None) as client:
        assert await client.get("kept") == "yes"


@pytest.mark.parametrize("mode", [Mode.HA, Mode.HA_RW_SPLIT])
async def test_nothing_is_lost_with_a_master_that_ends_while_a_replica_comes(
    world: World, kept_ones: dict[str, str], mode: Mode
):
    one = await keep(world, kept_ones, mode)
    instance = await world.serves(one)
    address = NodeAddress(instance.ip, instance.port)
    async with connected(address, PASSWORD, user=None) as client:
        await client.set("kept", "yes")

    async def lose_master(run: StepFunction, ctx: StepContext) -> None:
        await run(ctx)
        await replication.wait_in_sync(
            [client_of(ctx.machinery, instance, node) for node in replicas_of(instance)],
            address_of(master_of(instance)),
            20,
        )
        await ctx.machinery.runtime.kill_node(master_of(instance).id)

    first, *others = ADD_REPLICAS.steps
    world.install(replace(ADD_REPLICAS, steps=(Step(_wrapped(first.run, lose_master), first.undo), *others)))
    await ASK["add-replicas"](world, one)
    job = await world.last_job(one)

    assert (job.status, job.fail_reason) == (JobStatus.SUCCESS, None)
    await world.serves(one)
    async with connected(address, PASSWORD, user=None) as client:
        assert await client.get("kept") == "yes"
    await ASK_BACK["add-replicas"](world, one)
    assert (await world.last_job(one)).status is JobStatus.SUCCESS


async def test_an_instance_is_in_error_while_no_proxy_comes_up(world: World, kept_ones: dict[str, str]):
    one = await keep(world, kept_ones, Mode.HA_RW_SPLIT)
    instance = await world.serves(one)
    with contextlib.ExitStack() as strangers:
        for proxy in instance.proxies:
            await world.application.machinery.runtime.kill_node(proxy.id)
            strangers.enter_context(socket.create_server((proxy.address, proxy.port)))
        for _ in range(2):
            await world.application.health.run_pass()
        broken = await world.instance(one)
        assert (broken.state, {proxy.active for proxy in broken.proxies}) == (State.ERROR, {False})
    await eventually(lambda: healed(world, one))
    assert {proxy.active for proxy in (await world.serves(one)).proxies} == {True}


async def test_a_proxy_that_does_not_answer_is_ended_and_started_again(world: World, kept_ones: dict[str, str]):
    one = await keep(world, kept_ones, Mode.HA_RW_SPLIT)
    machinery, [silent, other] = world.application.machinery, (await world.serves(one)).proxies
    before = await sightings_now(machinery)
    os.kill(before[silent.id].pid, signal.SIGSTOP)
    await world.application.health.run_pass()
    after = await sightings_now(machinery)
    assert after[silent.id].pid not in (None, before[silent.id].pid)
    assert after[other.id].pid == before[other.id].pid
    await world.serves(one)


@pytest.mark.parametrize("mode", [Mode.HA, Mode.PROXY])
async def test_what_was_written_at_the_new_nodes_comes_back_with_the_old_ones(
    world: World, kept_ones: dict[str, str], mode: Mode
):
    one = await keep(world, kept_ones, mode)
    instance = await world.instance(one)
    address = NodeAddress(instance.ip, instance.port)
    async with connected(address, PASSWORD, user=None) as client:
        await client.mset({"kept": "before", "changed": "before", "removed": "before"})

    async def write_and_fail(_: StepContext) -> None:
        async with connected(address, PASSWORD, user=None) as client:
            await client.set("changed", "meanwhile", px=3_600_000)
            await client.delete("removed")
        raise Fault("put in by a test")

    steps = [
        replace(step, run=write_and_fail) if step.name == "verify_new" else step for step in REPLACE_NODES.steps
    ]
    world.install(with_undos_twice(replace(REPLACE_NODES, steps=tuple(steps))))
    await ASK["replace-nodes"](world, one)

    assert (await world.last_job(one)).status is JobStatus.FAIL
    after = await world.serves(one)
    assert (after.mode, _kept_of(after)) == (mode, _kept_of(instance))
    async with connected(address, PASSWORD, user=None) as client:
        assert [await client.get(key) for key in ("kept", "changed", "removed")] == ["before", "meanwhile", None]
        assert 3_500_000 < await client.pttl("changed") <= 3_600_000


async def test_an_instance_takes_writes_again_where_its_data_cannot_be_copied(
    world: World, kept_ones: dict[str, str]
):
    one = await keep(world, kept_ones, Mode.HA)
    instance = await world.instance(one)
    address = NodeAddress(instance.ip, instance.port)

    async def use_another_database(run: StepFunction, ctx: StepContext) -> None:
        await run(ctx)
        async with connected(address, PASSWORD, user=None, database=5) as client:
            await client.set("kept", "yes")

    first, *others = REPLACE_NODES.steps
    steps = (Step(_wrapped(first.run, use_another_database), first.undo), *others)
    world.install(replace(REPLACE_NODES, steps=steps))
    await ASK["replace-nodes"](world, one)

    job = await world.last_job(one)
    assert job.status is JobStatus.FAIL
    assert "a cluster has one database" in str(job.fail_reason)
    assert _kept_of(await world.serves(one)) == _kept_of(instance)
    async with connected(address, PASSWORD, user=None, database=5) as client:
        assert await client.getdel("kept") == "yes"


async def test_a_replica_that_kept_the_address_gives_it_back(world: World):
    one = await world.create()
    await world.last_job(one)
    instance = await world.serves(one)
    machinery = world.application.machinery
    [replica] = replicas_of(instance)
    await machinery.sentinels.ensure_forgotten(one)
    await machinery.runtime.stop_node(master_of(instance).id)
    await ensure_bound(client_of(machinery, instance, replica), replica.address, instance.ip)

    for _ in range(2):
        await world.application.health.run_pass()
    await world.serves(one)
