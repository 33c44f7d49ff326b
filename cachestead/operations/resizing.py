"""Changing an instance's size or shape, at once or in its maintenance window.

Everything is judged when the call comes. What waits for the window is judged again when it opens: meanwhile data
may have grown, or the instance may be gone. Reference: section 4.1.7.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

from cachestead import errors
from cachestead.domain.flavors import Flavor
from cachestead.domain.instances import (
    BUSY,
    Event,
    Instance,
    Node,
    Proxy,
    Role,
    State,
    busy_error,
    group_name,
    node_id,
    node_name,
)
from cachestead.domain.jobs import Job, JobStatus
from cachestead.domain.maintenance import next_opening
from cachestead.domain.orders import DEFAULT_PORT
from cachestead.domain.proxies import free_ordinals, plan_proxies, proxy_count
from cachestead.domain.resizing import Kind, ResizePlan, ResizeWish, memory_meanwhile, plan_resize
from cachestead.domain.sizes import Bytes, capacity_text
from cachestead.engine.copying import databases_in_use
from cachestead.engine.errors import EngineError
from cachestead.engine.info import NodeFacts, observe_node
from cachestead.identity.callers import Caller
from cachestead.operations.addresses import free_addresses, take
from cachestead.operations.changes import Change, change, take_for
from cachestead.operations.jobs import new_job
from cachestead.operations.service import Service
from cachestead.store import instances as store
from cachestead.store import jobs as job_store
from cachestead.store import networks
from cachestead.store import proxies as proxy_store
from cachestead.store.database import Tx
from cachestead.workflows.change_type import CHANGE_TYPE
from cachestead.workflows.machinery import client_of, engine_of
from cachestead.workflows.move_address import MOVE_ADDRESS
from cachestead.workflows.replace_nodes import REPLACE_NODES
from cachestead.workflows.resize_instance import (
    ADD_REPLICAS,
    ADD_SHARDS,
    CHANGE_CAPACITY,
    REMOVE_REPLICAS,
    REMOVE_SHARDS,
)

WORKFLOWS = {
    Kind.CAPACITY: CHANGE_CAPACITY,
    Kind.ADD_REPLICAS: ADD_REPLICAS,
    Kind.REMOVE_REPLICAS: REMOVE_REPLICAS,
    Kind.ADD_SHARDS: ADD_SHARDS,
    Kind.REMOVE_SHARDS: REMOVE_SHARDS,
    Kind.STANDBY: CHANGE_TYPE,
    Kind.ADDRESS: MOVE_ADDRESS,
    Kind.NODES: REPLACE_NODES,
}

MAY_PASS = (*BUSY.values(), errors.WrongState, errors.Recovering)
"""Refusals that say only: not now."""
_AGAIN = timedelta(minutes=1)

Seen = Mapping[str, NodeFacts]
"""An instance's nodes by id."""


async def resize_instance(
    service: Service, caller: Caller, instance_id: str, wish: ResizeWish, *, at_once: bool = True
) -> None:
    """The change is under way, or will be in the maintenance window.

    Raises the code of what stands in the way: `Recovering` while a node is down, `ResizeRunning` while another
    change waits for its window.
    """
    async with service.database.reading() as tx:
        instance = await store.get_instance(tx, caller.project, instance_id)
    seen = await _observe(service, instance)
    wish = replace(wish, zones=_zone_codes(service, wish.zones))
    async with service.database.writing() as tx:
        await networks.lock_allocation(tx)
        instance = await store.lock_instance(tx, caller.project, instance_id)
        plan = await _plan(tx, service, instance, wish, seen)
        if await job_store.has_waiting(tx, instance_id):
            raise errors.ResizeRunning(f"instance {instance_id} has a change that waits for its window")
        if at_once:
            await change(tx, service, caller, instance, await _change(tx, service, instance, plan))
        else:
            await _wait_for_window(tx, service, caller, instance, wish, plan)
    service.worker.nudge()


async def begin_waiting(service: Service, job: Job) -> None:
    """The job, whose window is open, is under way. Raises as `resize_instance` does, and changes nothing then."""
    wish = _read_wish(job.params["wish"])
    async with service.database.reading() as tx:
        instance = await store.get_instance(tx, job.project_id, job.instance_id or "")
    seen = await _observe(service, instance)
    async with service.database.writing() as tx:
        await networks.lock_allocation(tx)
        instance = await store.lock_instance(tx, job.project_id, job.instance_id or "")
        waiting = await job_store.find_any_job(tx, job.id)
        if waiting is None or waiting.status.is_final or waiting.due_at is None:
            return
        plan = await _plan(tx, service, instance, wish, seen)
        wanted = await _change(tx, service, instance, plan)
        await take_for(tx, service, instance, wanted)
        begun = replace(waiting, kind=wanted.workflow.name, task=wanted.workflow.task, due_at=None)
        begun = replace(begun, params=dict(wanted.params or {}), details=dict(wanted.details or {}))
        await job_store.save_job(tx, replace(begun, updated_at=service.now()))
    service.worker.nudge()


def _read_wish(kept: Mapping[str, Any]) -> ResizeWish:
    lists = {name: tuple(kept[name]) for name in ("zones", "node_list", "reserved_ip")}
    return ResizeWish(kept["spec_code"], kept["capacity_gb"], kept["change_type"], **lists)


async def put_off(service: Service, job: Job, reason: errors.ServiceError) -> None:
    """A job that could not begin has failed; if the reason may pass, it is tried again while its window lasts."""
    async with service.database.writing() as tx:
        waiting = await job_store.find_any_job(tx, job.id)
        if waiting is None or waiting.status.is_final or waiting.due_at is None:
            return
        now = service.now()
        instance = await store.find_any_instance(tx, job.instance_id or "")
        if instance is not None and isinstance(reason, MAY_PASS):
            due = next_opening(instance.maintain_begin, instance.maintain_end, now + _AGAIN)
            await job_store.save_job(tx, replace(waiting, due_at=due, updated_at=now))
            return
        failed = replace(waiting, status=JobStatus.FAIL, fail_reason=str(reason), due_at=None)
        await job_store.save_job(tx, replace(failed, updated_at=now, ended_at=now))


async def _observe(service: Service, instance: Instance) -> Seen:
    """The nodes as they are now. Raises `Recovering` where one does not answer."""
    if instance.state is not State.RUNNING or instance.task is not None:
        raise busy_error(instance)

    async def look(node: Node) -> NodeFacts:
        try:
            return await observe_node(client_of(service.machinery, instance, node))
        except EngineError as error:
            raise errors.Recovering(f"node {node.address} does not answer") from error

    seen = await asyncio.gather(*(look(node) for node in instance.nodes))
    return dict(zip((node.id for node in instance.nodes), seen, strict=True))


def _zone_codes(service: Service, named: Sequence[str]) -> tuple[str, ...]:
    """Zones may be named by code, as the text says, or by id, as the example does."""
    codes = {zone.id: zone.code for zone in service.zones} | {zone.code: zone.code for zone in service.zones}
    if unknown := [name for name in named if name not in codes]:
        raise errors.InvalidZones(f"available_zones: {unknown[0][:64]} is no zone here")
    return tuple(dict.fromkeys(codes[name] for name in named))


async def _plan(tx: Tx, service: Service, instance: Instance, wish: ResizeWish, seen: Seen) -> ResizePlan:
    """The plan, within the project's quota and the machine's memory."""
    if instance.state is not State.RUNNING or instance.task is not None:
        raise busy_error(instance)
    used = {node: Bytes(facts.used_memory) for node, facts in seen.items()}
    plan = plan_resize(instance, wish, service.flavors, used, databases_in_use(list(seen.values())))
    if plan.changes_type and not engine_of(service.machinery, instance).has_subcommand_rules:
        raise errors.InstanceTypeUnchangeable(f"spec_code: not on {instance.binary}")
    if instance.enable_ssl and plan.kind in (Kind.ADDRESS, Kind.NODES):
        raise errors.InstanceTypeUnchangeable("spec_code: switch SSL off first")
    if instance.whitelist.is_in_force and not plan.flavor.mode.has_proxies:
        await _check_guarded(service)
    usage = await store.get_usage(tx, instance.project_id)
    before = _flavor_of(service, instance)
    left = service.quotas.ram_gb - usage.ram_gb + before.capacity_gb
    if plan.flavor.capacity_gb > max(left, before.capacity_gb):
        raise errors.MemoryQuotaExceeded(f"new_capacity: {left:g} GB are left")
    free = service.memory - await store.get_promised_memory(tx)
    if memory_meanwhile(before, plan) - before.promised_memory > max(free, 0):
        raise errors.ZoneQuotaExceeded(f"new_capacity: the machine has {free} MiB left to promise")
    return plan


async def _check_guarded(service: Service) -> None:
    """Behind proxies a whitelist needs no packet filter; without them it does."""
    if not await service.machinery.guards.is_permitted():
        raise errors.ResizeNotSupported("spec_code: this machine has no packet filter for the whitelist")


def _flavor_of(service: Service, instance: Instance) -> Flavor:
    return service.flavors.get(instance.spec_code, instance.capacity_gb)


async def _change(tx: Tx, service: Service, instance: Instance, plan: ResizePlan) -> Change:
    """The change to start; the new nodes have their addresses, and the memory is promised."""
    before, after = _flavor_of(service, instance), plan.flavor
    joining = await _add_nodes(tx, service, instance, plan)
    # Nodes of another shape have proxies of their own: those that are there serve until the address moves.
    kept = () if plan.kind is Kind.NODES else instance.proxies[: proxy_count(after)]
    proxies = await _add_proxies(tx, service, instance, proxy_count(after) - len(kept))
    await store.save_promised_memory(tx, instance.id, memory_meanwhile(before, plan))
    params = {
        "flavor": [after.spec_code, after.capacity_gb],
        "old_flavor": [before.spec_code, before.capacity_gb],
        "joining": [*(node.id for node in joining), *(proxy.id for proxy in proxies)],
        "leaving": [*plan.leaving, *(proxy.id for proxy in instance.proxies if proxy not in kept)],
        "mode": after.mode.value,
    }
    return Change(WORKFLOWS[plan.kind], Event.RESIZE_ASKED, params, _details(instance, before, plan, joining))


async def _add_nodes(tx: Tx, service: Service, instance: Instance, plan: ResizePlan) -> list[Node]:
    if not plan.places:
        return []
    port = _node_port(instance, plan)
    owned = await _take_addresses(tx, service, instance, port, len(plan.places))
    joining = [
        Node(
            id=node_id(instance.id, place.shard, place.ordinal),
            instance_id=instance.id,
            shard=place.shard,
            ordinal=place.ordinal,
            address=address,
            port=port,
            zone=place.zone,
            role=Role.REPLICA if place.ordinal else Role.MASTER,
        )
        for place, address in zip(plan.places, owned, strict=True)
    ]
    await store.add_nodes(tx, joining)
    return joining


def _node_port(instance: Instance, plan: ResizePlan) -> int:
    """Where the new nodes listen: at the instance's port, unless they are behind proxies."""
    if plan.kind is not Kind.NODES:
        return instance.nodes[0].port
    return DEFAULT_PORT if plan.flavor.mode.has_proxies else instance.port


async def _add_proxies(tx: Tx, service: Service, instance: Instance, count: int) -> Sequence[Proxy]:
    """So many more."""
    if count <= 0:
        return ()
    owned = await _take_addresses(tx, service, instance, DEFAULT_PORT, count)
    ordinals = free_ordinals(instance.proxies, count)
    joining = plan_proxies(instance.id, DEFAULT_PORT, instance.az_codes, ordinals, owned)
    await proxy_store.add_proxies(tx, joining)
    return joining


async def _take_addresses(tx: Tx, service: Service, instance: Instance, port: int, count: int) -> tuple[str, ...]:
    """So many more addresses are the instance's."""
    network = await service.network_of(tx, instance.project_id)
    free = free_addresses(service, network, await networks.list_taken_addresses(tx), port)
    owned = take(free, count, network)
    await networks.add_addresses(tx, instance.id, owned)
    return owned


def _details(instance: Instance, before: Flavor, plan: ResizePlan, joining: Sequence[Node]) -> dict[str, Any]:
    """What the background task list says of it (DetailsBody)."""
    after = plan.flavor
    moved = joining or [node for node in instance.nodes if node.id in plan.leaving]
    return {
        "old_capacity": capacity_text(before.capacity_gb),
        "new_capacity": capacity_text(after.capacity_gb),
        "old_cache_mode": before.mode.value,
        "new_cache_mode": after.mode.value,
        "old_resource_spec_code": before.spec_code,
        "new_resource_spec_code": after.spec_code,
        "old_replica_num": before.replica_count,
        "new_replica_num": after.replica_count,
        "old_cache_type": before.mode.value,
        "new_cache_type": after.mode.value,
        "is_only_adjust_charging": False,
        "replica_ip": ",".join(node.address for node in moved) or None,
        "replica_az": ",".join(dict.fromkeys(node.zone for node in moved)) or None,
        "group_name": ",".join(dict.fromkeys(group_name(node.shard) for node in moved)) or None,
        "node_name": ",".join(node_name(node) for node in moved) or None,
    }


async def _wait_for_window(
    tx: Tx, service: Service, caller: Caller, instance: Instance, wish: ResizeWish, plan: ResizePlan
) -> None:
    details = _details(instance, _flavor_of(service, instance), plan, ())
    job = new_job(WORKFLOWS[plan.kind], instance, caller, service.now(), {"wish": asdict(wish)}, details)
    due = next_opening(instance.maintain_begin, instance.maintain_end, service.now())
    await job_store.add_job(tx, replace(job, due_at=due))
