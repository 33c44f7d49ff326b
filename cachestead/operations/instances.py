"""Making, changing and removing instances.

Each change is one transaction: load, let the domain decide, save the new state with its job; the worker is nudged
after the commit. Reference: sections 4.1 and 4.2.5.
"""

from __future__ import annotations

import ipaddress
import secrets
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from cachestead import errors
from cachestead.domain import rules
from cachestead.domain.instances import Event, Instance, State, with_backup_policy
from cachestead.domain.maintenance import next_opening
from cachestead.domain.orders import (
    CheckedOrder,
    Headroom,
    Network,
    Order,
    Orderer,
    check_headroom,
    check_order,
    check_security_group,
    plan_instances,
)
from cachestead.domain.sizes import MiB
from cachestead.domain.ssl import check_new_port
from cachestead.engine.errors import EngineMissing
from cachestead.identity.callers import Caller
from cachestead.operations.addresses import free_addresses, take
from cachestead.operations.changes import Change, change
from cachestead.operations.jobs import new_job
from cachestead.operations.service import Service
from cachestead.store import instances as store
from cachestead.store import jobs as job_store
from cachestead.store import networks, templates
from cachestead.store.database import Tx
from cachestead.workflows.change_port import CHANGE_PORT
from cachestead.workflows.create_instance import CREATE_INSTANCE
from cachestead.workflows.delete_instance import DELETE_INSTANCE
from cachestead.workflows.flush_instance import FLUSH_INSTANCE
from cachestead.workflows.machinery import READ_ONLY
from cachestead.workflows.restart_instance import RENAME_COMMANDS, RESTART_INSTANCE


async def create_instances(service: Service, caller: Caller, order: Order) -> list[Instance]:
    """As many instances as ordered, all or none, CREATING.

    Raises the documented code of the first rule, quota or limit that stands in the way (section 4.1.1).
    """
    project = caller.project
    async with service.database.writing() as tx:
        await networks.lock_allocation(tx)
        network = await service.network_of(tx, project)
        template = await templates.find_template(tx, project, order.template_id) if order.template_id else None
        checked = check_order(order, service.flavors, network, [zone.code for zone in service.zones], template)
        _check_read_only(service, checked)
        usage = await store.get_usage(tx, project)
        promised = await store.get_promised_memory(tx)
        check_headroom(
            checked,
            Headroom(
                instances_used=usage.instances,
                instances_limit=service.quotas.instances,
                ram_used_gb=usage.ram_gb,
                ram_limit_gb=service.quotas.ram_gb,
                memory_free=MiB(service.memory - promised),
            ),
        )
        addresses = await _choose_addresses(tx, service, checked, network)
        ids = [str(uuid.uuid4()) for _ in addresses]
        orderer = Orderer(project, caller.user_id, caller.user_name)
        planned = plan_instances(checked, orderer, ids, addresses, service.now())
        made = [replace(one, secrets=_new_secrets(service, order.password)) for one in planned]
        for instance, owned in zip(made, addresses, strict=True):
            await networks.add_addresses(tx, instance.id, owned)
            await store.add_instance(tx, instance, checked.flavor.promised_memory)
            await job_store.add_job(tx, new_job(CREATE_INSTANCE, instance, caller, service.now()))
    service.worker.nudge()
    return made


def _check_read_only(service: Service, checked: CheckedOrder) -> None:
    """Only an engine with users can keep one of them from writing."""
    if checked.parameters.get(READ_ONLY) != "yes":
        return
    mode = checked.flavor.mode
    try:
        engine = service.machinery.engines.engine_for(
            str(checked.order.engine_version), guarded=mode.is_watched or mode.has_proxies
        )
    except EngineMissing:
        # The job will say so.
        return
    if not engine.has_acl:
        raise errors.InvalidParameterValue(f"{READ_ONLY}: {engine} has no users", name=READ_ONLY)


def _new_secrets(service: Service, password: str | None) -> str:
    own = {user: secrets.token_urlsafe(32) for user in ("admin", "replica", "proxy")}
    return service.vault.seal({"password": password or "", **own})


async def _choose_addresses(
    tx: Tx, service: Service, checked: CheckedOrder, network: Network
) -> list[tuple[str, ...]]:
    """A set of free addresses for each instance; the instance's own comes last in its set."""
    taken = await networks.list_taken_addresses(tx)
    own: tuple[str, ...] = ()
    if checked.order.private_ip:
        own = (_own_address(service, checked, taken),)
        taken.update(own)
    free = free_addresses(service, network, taken, checked.port, checked.node_port)
    size = checked.addresses_per_instance - len(own)
    return [(*take(free, size, network), *own) for _ in range(checked.order.count)]


def _own_address(service: Service, checked: CheckedOrder, taken: set[str]) -> str:
    wanted = str(ipaddress.ip_address(checked.order.private_ip or ""))
    if wanted in taken or not service.is_address_free(wanted, checked.port):
        raise errors.InvalidParameter("private_ip: in use", name="private_ip")
    return wanted


async def delete_instance(service: Service, caller: Caller, instance_id: str) -> None:
    """The instance is on its way out. Raises `NotDeletable` while it is made or restarted."""
    async with service.database.writing() as tx:
        instance = await store.lock_instance(tx, caller.project, instance_id)
        if instance.state is not State.DELETING:
            await _start_delete(tx, service, caller, instance)
    service.worker.nudge()


async def _start_delete(tx: Tx, service: Service, caller: Caller, instance: Instance) -> None:
    if instance.state in (State.CREATING, State.RESTARTING):
        raise errors.NotDeletable(f"instance {instance.id} is {instance.state}")
    await change(tx, service, caller, instance, Change(DELETE_INSTANCE, Event.DELETE_ASKED))


@dataclass(frozen=True)
class Outcome:
    """What became of one instance of a batch."""

    instance_id: str
    done: bool


async def delete_instances(service: Service, caller: Caller, ids: Sequence[str]) -> list[Outcome]:
    """Each instance by itself: some may be refused while others go."""
    outcomes = []
    for one in ids:
        try:
            await delete_instance(service, caller, one)
            outcomes.append(Outcome(one, done=True))
        except errors.ServiceError:
            outcomes.append(Outcome(one, done=False))
    return outcomes


async def delete_failed_instances(service: Service, caller: Caller) -> None:
    """Every instance of the project whose creation failed is on its way out."""
    async with service.database.reading() as tx:
        failed = await store.list_failed_ids(tx, caller.project)
    await delete_instances(service, caller, failed)


async def change_status(service: Service, caller: Caller, action: str, ids: Sequence[str]) -> list[Outcome]:
    """Restart or flush each instance by itself; a refused one is reported as failed."""
    changes = {
        "restart": Change(RESTART_INSTANCE, Event.RESTART_ASKED, {"graceful": False}),
        "soft_restart": Change(RESTART_INSTANCE, Event.RESTART_ASKED, {"graceful": True}),
        "flush": Change(FLUSH_INSTANCE, Event.FLUSH_ASKED),
    }
    outcomes = []
    for one in ids:
        try:
            async with service.database.writing() as tx:
                instance = await store.lock_instance(tx, caller.project, one)
                await change(tx, service, caller, instance, changes[action])
            outcomes.append(Outcome(one, done=True))
        except errors.ServiceError:
            outcomes.append(Outcome(one, done=False))
    service.worker.nudge()
    return outcomes


@dataclass(frozen=True)
class Edit:
    """What a caller wants changed; None leaves a field as it is."""

    name: str | None = None
    description: str | None = None
    port: int | None = None
    rename_commands: Mapping[str, Any] | None = None
    maintain_begin: str | None = None
    maintain_end: str | None = None
    security_group_id: str | None = None
    backup_policy: Mapping[str, Any] | None = None


async def update_instance(service: Service, caller: Caller, instance_id: str, edit: Edit) -> None:
    """Facts change at once; a new port or renamed commands start their workflow.

    Everything is judged before anything changes. A rename restarts the instance, so no new port comes with it.
    """
    async with service.database.writing() as tx:
        instance = await store.lock_instance(tx, caller.project, instance_id)
        if instance.state is State.DELETING:
            raise errors.InstanceNotFound(f"instance {instance_id}")
        check_security_group(edit.security_group_id, await service.network_of(tx, caller.project))
        edited = _edited(instance, edit, service.now())
        if edited != instance:
            edited = replace(edited, updated_at=service.now())
            await store.save_instance(tx, edited)
            if (edited.maintain_begin, edited.maintain_end) != (instance.maintain_begin, instance.maintain_end):
                opens = next_opening(edited.maintain_begin, edited.maintain_end, service.now())
                await job_store.move_waiting(tx, instance_id, opens)
        wanted = _change_of(instance, edit)
        if wanted is not None:
            await change(tx, service, caller, edited, wanted)
    service.worker.nudge()


def _edited(instance: Instance, edit: Edit, at: datetime) -> Instance:
    if edit.name is not None:
        instance = replace(instance, name=rules.check_name(edit.name))
    if edit.description is not None:
        instance = replace(instance, description=rules.check_description(edit.description))
    window = rules.check_maintenance_window(edit.maintain_begin, edit.maintain_end)
    if window is not None:
        instance = replace(instance, maintain_begin=window[0], maintain_end=window[1])
    if edit.security_group_id:
        instance = replace(instance, security_group_id=edit.security_group_id)
    if edit.backup_policy is not None:
        policy = rules.check_backup_policy(edit.backup_policy)
        if instance.mode == "single":
            raise errors.BackupNotSupported(
                "instance_backup_policy: a single-node instance keeps nothing to back up"
            )
        instance = with_backup_policy(instance, policy, at)
    return instance


def _change_of(instance: Instance, edit: Edit) -> Change | None:
    new_port = None if edit.port is None else rules.check_port(edit.port)
    renames = None if edit.rename_commands is None else rules.check_rename_commands(edit.rename_commands)
    ports = new_port is not None and new_port != instance.port
    if ports and renames is not None:
        raise errors.InvalidParameter("rename_commands: not together with a new port", name="rename_commands")
    if ports and new_port is not None:
        check_new_port(instance, new_port)
        ends = {"old_port": instance.port, "new_port": new_port}
        return Change(CHANGE_PORT, Event.CHANGE_ASKED, {"port": new_port}, ends)
    if renames is not None and renames != instance.rename_commands:
        params = {"graceful": True, "renames": renames, "old_renames": instance.rename_commands}
        return Change(RENAME_COMMANDS, Event.RESTART_ASKED, params, {"rename_commands": sorted(renames)})
    return None
