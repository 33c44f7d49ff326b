"""Queries about instances, with their nodes, proxies and accounts.

Whatever a caller can reach goes by project; functions whose name says `any` are for the control plane itself.
Deleted instances stay as records (callers may list them), without nodes and addresses.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    update,
)

from cachestead import errors
from cachestead.domain.accounts import VERSIONS, PasswordState
from cachestead.domain.instances import Instance, InstanceId, Mode, Node, Role, State
from cachestead.domain.sizes import MiB
from cachestead.domain.whitelists import Whitelist, WhitelistGroup
from cachestead.store.accounts import list_accounts_of
from cachestead.store.database import Tx
from cachestead.store.proxies import add_proxies, list_proxies_of
from cachestead.store.tables import instance_tags, instances, nodes, proxies
from cachestead.store.times import from_ms, to_ms

_AT_A_TIME = 50
_GONE = (State.DELETED, State.CREATEFAILED)
_ONE = select(instances).where(instances.c.id == bindparam("id"))


@dataclass(frozen=True)
class InstanceFilter:
    """What a caller may filter instances by; None matches all."""

    instance_id: str | None = None
    name: str | None = None
    name_is: str | None = None
    status: str | None = None
    ip: str | None = None
    capacity_gb: float | None = None
    tags: tuple[tuple[str, str | None], ...] = ()
    """Keys with their values; None matches any."""
    with_failed: bool = False
    with_deleted: bool = False


@dataclass(frozen=True)
class Monitored:
    """Which of the instances that have nodes that serve or served: of some types, or one."""

    modes: frozenset[Mode]
    instance_id: str | None = None


@dataclass(frozen=True)
class ObjectCounts:
    """How many there are."""

    instances: int
    nodes: int
    proxies: int


@dataclass(frozen=True)
class Usage:
    """What a project has taken."""

    instances: int
    ram_gb: float


async def add_instance(tx: Tx, instance: Instance, promised: MiB) -> None:
    """A new instance with all that it has. `promised` is what its nodes together may take of the machine."""
    await tx.execute(insert(instances).values(**_row(instance), memory_mb=promised))
    if instance.tags:
        await tx.execute(
            insert(instance_tags),
            [{"instance_id": instance.id, "key": key, "value": value} for key, value in instance.tags.items()],
        )
    await tx.execute(insert(nodes), [_node_row(node) for node in instance.nodes])
    await add_proxies(tx, instance.proxies)


async def save_instance(tx: Tx, instance: Instance) -> None:
    """The instance's own fields as they are now (not its tags and nodes)."""
    await tx.execute(update(instances).where(instances.c.id == instance.id).values(**_row(instance)))


async def edit_instance(tx: Tx, instance_id: str, **changes: Any) -> None:
    """Some of the instance's own fields, the others as they are on record now."""
    await save_instance(tx, replace(await lock_any_instance(tx, instance_id), **changes))


async def take_instance(tx: Tx, before: Instance, after: Instance) -> bool:
    """Save what `after` changed, if nobody changed state or task since `before` was read: the lock on an instance.

    What others changed meanwhile, as a name or a password, stays theirs.
    """
    was, becomes = _row(before), _row(after)
    changed = {key: value for key, value in becomes.items() if key == "state" or value != was[key]}
    same_task = instances.c.task.is_(None) if before.task is None else instances.c.task == before.task
    done = await tx.execute(
        update(instances)
        .where(instances.c.id == before.id, instances.c.state == before.state, same_task)
        .values(**changed)
    )
    return done.rowcount == 1


async def get_instance(tx: Tx, project_id: str, instance_id: str) -> Instance:
    """One instance of a project, with nodes; raises `InstanceNotFound`, also for what is deleted."""
    found = await find_any_instance(tx, instance_id)
    if found is None or found.project_id != project_id or found.state is State.DELETED:
        raise errors.InstanceNotFound(f"instance {instance_id}")
    return found


async def lock_instance(tx: Tx, project_id: str, instance_id: str) -> Instance:
    """The same, with its row locked until the transaction ends: what is read here may be saved."""
    await _lock(tx, instance_id)
    return await get_instance(tx, project_id, instance_id)


async def lock_any_instance(tx: Tx, instance_id: str) -> Instance:
    """The same of any project; the instance must be on record."""
    await _lock(tx, instance_id)
    found = await find_any_instance(tx, instance_id)
    assert found is not None, f"instance {instance_id} is on record"
    return found


async def _lock(tx: Tx, instance_id: str) -> None:
    # SQLite has no row locks; there the transaction itself holds the write lock from its start.
    await tx.execute(select(instances.c.id).where(instances.c.id == instance_id).with_for_update())


async def find_any_instance(tx: Tx, instance_id: str) -> Instance | None:
    """One instance of any project, with nodes, or None."""
    row = (await tx.execute(_ONE, {"id": instance_id})).mappings().first()
    if row is None:
        return None
    tags = await _tags_of(tx, [instance_id])
    [whole] = await _with_nodes(tx, [_instance(row, tags.get(instance_id))])
    return whole


async def find_any_living(tx: Tx, ids: Collection[str]) -> dict[str, Instance]:
    """Those of the instances that are not deleted, by id, without nodes."""
    query = select(instances).where(instances.c.id.in_(ids), instances.c.state != State.DELETED)
    return {row["id"]: _instance(row) for row in (await tx.execute(query)).mappings()}


async def list_instances(
    tx: Tx, project_id: str, wanted: InstanceFilter, *, offset: int, limit: int
) -> tuple[int, list[Instance]]:
    """How many match, and the page asked for, newest first; without nodes."""
    count, page = _count_and_page(project_id, wanted)
    rows = (await tx.execute(page, {"first": offset, "most": limit})).mappings().all()
    if rows:
        tags = await _tags_of(tx, [row["id"] for row in rows])
        return rows[0]["total"], [_instance(row, tags.get(row["id"])) for row in rows]
    return (await tx.scalar(count) or 0) if offset else 0, []


@lru_cache(maxsize=256)
def _count_and_page(project_id: str, wanted: InstanceFilter) -> tuple[Select[Any], Select[Any]]:
    """Kept, because clients ask the same again and again, and building a query takes longer than running it."""
    conditions = _conditions(project_id, wanted)
    count = select(func.count()).select_from(instances).where(*conditions)
    # The count is a query of its own within the other: the page is then found by the index, and nothing sorted.
    page = select(instances, count.correlate(None).scalar_subquery().label("total")).where(*conditions)
    in_order = page.order_by(instances.c.created_at.desc(), instances.c.id.desc())
    return count, in_order.offset(bindparam("first")).limit(bindparam("most"))


async def list_any_instances(tx: Tx, states: Sequence[State]) -> list[Instance]:
    """Every instance in one of these states, with nodes."""
    rows = (await tx.execute(select(instances).where(instances.c.state.in_(states)))).mappings().all()
    return await _with_nodes(tx, [_instance(row) for row in rows])


async def list_any_with_parameter(tx: Tx, states: Sequence[State], name: str, value: str) -> list[Instance]:
    """Every instance in one of these states whose tenant chose this value of a parameter, with nodes."""
    chosen = instances.c.parameters[name].as_string() == value
    rows = (await tx.execute(select(instances).where(instances.c.state.in_(states), chosen))).mappings().all()
    return await _with_nodes(tx, [_instance(row) for row in rows])


async def list_any_whitelisted(tx: Tx) -> list[Instance]:
    """Every instance with a whitelist that is switched on, with nodes."""
    guarded = (instances.c.whitelist_enabled, instances.c.state.not_in(_GONE))
    rows = (await tx.execute(select(instances).where(*guarded))).mappings().all()
    return await _with_nodes(tx, [_instance(row) for row in rows])


async def list_any_planned(tx: Tx, states: Sequence[State]) -> list[Instance]:
    """Every instance in one of these states that is to be backed up by plan, without nodes."""
    by_plan = instances.c.backup_policy["backup_type"].as_string() == "auto"
    rows = (await tx.execute(select(instances).where(instances.c.state.in_(states), by_plan))).mappings()
    return [_instance(row) for row in rows]


async def each_instance(tx: Tx, states: Sequence[State]) -> AsyncIterator[Instance]:
    """The same, some at a time, with the event loop let go in between: for passes over all that there is."""
    page = select(instances).where(instances.c.state.in_(states)).order_by(instances.c.id).limit(_AT_A_TIME)
    last = ""
    while rows := (await tx.execute(page.where(instances.c.id > last))).mappings().all():
        for one in await _with_nodes(tx, [_instance(row) for row in rows]):
            yield one
        last = rows[-1]["id"]
        await asyncio.sleep(0)


async def list_instances_with_nodes(
    tx: Tx, project_id: str, *, offset: int, limit: int
) -> tuple[int, list[Instance]]:
    """How many instances of the project have nodes that serve or served, and the page asked for, newest first."""
    there = (instances.c.project_id == project_id, instances.c.state.not_in((State.CREATING, *_GONE)))
    count = await tx.scalar(select(func.count()).select_from(instances).where(*there)) or 0
    page = select(instances).where(*there).order_by(instances.c.created_at.desc(), instances.c.id.desc())
    rows = (await tx.execute(page.offset(offset).limit(limit))).mappings().all()
    return count, await _with_nodes(tx, [_instance(row) for row in rows])


async def each_monitored_instance(
    tx: Tx, project_id: str, wanted: Monitored, start: str | None = None, *, backwards: bool = False
) -> AsyncIterator[Instance]:
    """The project's instances that have figures, by id from `start` on, some at a time."""
    c = instances.c
    query = select(instances).where(*_monitored(project_id, wanted)).limit(_AT_A_TIME)
    query = query.order_by(c.id.desc() if backwards else c.id)
    page = query
    if start is not None:
        page = query.where(c.id <= start if backwards else c.id >= start)
    while rows := (await tx.execute(page)).mappings().all():
        for one in await _with_nodes(tx, [_instance(row) for row in rows]):
            yield one
        last = rows[-1]["id"]
        page = query.where(c.id < last if backwards else c.id > last)
        await asyncio.sleep(0)


async def count_monitored_objects(tx: Tx, project_id: str, wanted: Monitored) -> dict[Mode, ObjectCounts]:
    """How many objects the same instances have, by type of instance."""

    def of_instance(table: Table) -> ColumnElement[int]:
        count = select(func.count()).where(table.c.instance_id == instances.c.id)
        return func.sum(count.correlate(instances).scalar_subquery())

    query = (
        select(instances.c.mode, func.count(), of_instance(nodes), of_instance(proxies))
        .where(*_monitored(project_id, wanted))
        .group_by(instances.c.mode)
    )
    return {Mode(mode): ObjectCounts(*map(int, counts)) for mode, *counts in await tx.execute(query)}


async def list_project_instances(tx: Tx, project_id: str, state: State) -> list[Instance]:
    """The project's instances in a state, with nodes."""
    query = select(instances).where(instances.c.project_id == project_id, instances.c.state == state)
    rows = (await tx.execute(query.order_by(instances.c.created_at.desc()))).mappings().all()
    return await _with_nodes(tx, [_instance(row) for row in rows])


async def list_failed_ids(tx: Tx, project_id: str) -> list[str]:
    """Ids of the project's instances whose creation failed."""
    query = select(instances.c.id).where(
        instances.c.project_id == project_id, instances.c.state == State.CREATEFAILED
    )
    return list((await tx.scalars(query)).all())


async def count_by_state(tx: Tx, project_id: str) -> dict[str, int]:
    """How many instances the project has in each state, deleted ones left out."""
    query = (
        select(instances.c.state, func.count())
        .where(instances.c.project_id == project_id, instances.c.state != State.DELETED)
        .group_by(instances.c.state)
    )
    return dict((await tx.execute(query)).tuples().all())


async def get_usage(tx: Tx, project_id: str) -> Usage:
    """What the project has taken of its quotas."""
    query = select(func.count(), func.coalesce(func.sum(instances.c.capacity_gb), 0.0)).where(
        instances.c.project_id == project_id, instances.c.state.not_in(_GONE)
    )
    count, ram = (await tx.execute(query)).one()
    return Usage(count, float(ram))


async def get_promised_memory(tx: Tx) -> MiB:
    """What all instances of all projects may take of the machine."""
    query = select(func.coalesce(func.sum(instances.c.memory_mb), 0)).where(instances.c.state.not_in(_GONE))
    return MiB(int(await tx.scalar(query) or 0))


async def find_instance_of_node(tx: Tx, node: str) -> InstanceId | None:
    """The instance a node belongs to, or None."""
    owner: InstanceId | None = await tx.scalar(select(nodes.c.instance_id).where(nodes.c.id == node))
    return owner


async def list_any_node_ids(tx: Tx) -> set[str]:
    """Ids of all nodes on record."""
    return set((await tx.scalars(select(nodes.c.id))).all())


async def list_any_ids_with_nodes(tx: Tx) -> set[str]:
    """Ids of all instances that have nodes on record."""
    return set((await tx.scalars(select(nodes.c.instance_id).distinct())).all())


async def add_nodes(tx: Tx, added: Sequence[Node]) -> None:
    """New nodes of an instance that is there."""
    await tx.execute(insert(nodes), [_node_row(node) for node in added])


async def save_promised_memory(tx: Tx, instance_id: str, promised: MiB) -> None:
    """What all nodes of the instance may take of the machine."""
    await tx.execute(update(instances).where(instances.c.id == instance_id).values(memory_mb=promised))


async def remove_node(tx: Tx, node: str) -> None:
    """The node is on record no more."""
    await tx.execute(delete(nodes).where(nodes.c.id == node))


async def save_node(tx: Tx, node: Node) -> None:
    """What is seen of a node now, without what its tenant chose: who saves may have read that long ago."""
    seen = {key: value for key, value in _node_row(node).items() if key not in ("priority", "in_domain_name")}
    await tx.execute(update(nodes).where(nodes.c.id == node.id).values(**seen))


async def save_priority(tx: Tx, node: str, priority: int) -> None:
    """The node's failover priority, as its tenant chose it."""
    await tx.execute(update(nodes).where(nodes.c.id == node).values(priority=priority))


async def save_in_domain_name(tx: Tx, node: str, *, wanted: bool) -> None:
    """Whether the read-only domain name may resolve to the node, as its tenant chose it."""
    await tx.execute(update(nodes).where(nodes.c.id == node).values(in_domain_name=wanted))


async def save_used_memory(tx: Tx, used: dict[str, MiB]) -> None:
    """Used memory by instance id, of at least one."""
    await tx.execute(
        update(instances).where(instances.c.id == bindparam("_id")).values(used_memory=bindparam("_used")),
        [{"_id": instance_id, "_used": size} for instance_id, size in used.items()],
    )


async def remove_nodes(tx: Tx, instance_id: str) -> None:
    """The instance has no nodes on record any more."""
    await tx.execute(delete(nodes).where(nodes.c.instance_id == instance_id))


def _conditions(project_id: str, wanted: InstanceFilter) -> list[ColumnElement[bool]]:
    c = instances.c
    found: list[ColumnElement[bool]] = [c.project_id == project_id]
    if not wanted.with_deleted:
        found.append(c.state != State.DELETED)
    if not wanted.with_failed and wanted.status != State.CREATEFAILED:
        found.append(c.state != State.CREATEFAILED)
    if wanted.instance_id is not None:
        found.append(c.id == wanted.instance_id)
    if wanted.name is not None:
        found.append(c.name.icontains(wanted.name, autoescape=True))
    if wanted.name_is is not None:
        found.append(c.name == wanted.name_is)
    if wanted.status is not None:
        found.append(c.state == wanted.status)
    if wanted.ip is not None:
        found.append(or_(c.ip == wanted.ip, c.ip.contains(wanted.ip, autoescape=True)))
    if wanted.capacity_gb is not None:
        found.append(c.capacity_gb == wanted.capacity_gb)
    found += [_has_tag(key, value) for key, value in wanted.tags]
    return found


def _monitored(project_id: str, wanted: Monitored) -> list[ColumnElement[bool]]:
    c = instances.c
    found = [c.project_id == project_id, c.state.not_in((State.CREATING, *_GONE)), c.mode.in_(wanted.modes)]
    if wanted.instance_id is not None:
        found.append(c.id == wanted.instance_id)
    return found


def _has_tag(key: str, value: str | None) -> ColumnElement[bool]:
    c = instance_tags.c
    match = and_(c.instance_id == instances.c.id, c.key == key)
    return exists(select(1).where(match if value is None else and_(match, c.value == value)))


@lru_cache(maxsize=128)
def _tags_of_so_many(count: int) -> Select[Any]:
    return select(instance_tags).where(_is_one_of(instance_tags.c.instance_id, count))


@lru_cache(maxsize=128)
def _nodes_of_so_many(count: int) -> Select[Any]:
    return select(nodes).where(_is_one_of(nodes.c.instance_id, count)).order_by(nodes.c.shard, nodes.c.ordinal)


def _is_one_of(column: ColumnElement[str], count: int) -> ColumnElement[bool]:
    """As many places as there are ids: a list that is filled in at each call costs more than all else together."""
    return column.in_([bindparam(f"id_{place}") for place in range(count)])


def _numbered(ids: Sequence[str]) -> dict[str, str]:
    return {f"id_{place}": one for place, one in enumerate(ids)}


async def _tags_of(tx: Tx, ids: list[str]) -> dict[str, dict[str, str]]:
    tags: dict[str, dict[str, str]] = {}
    for row in await tx.execute(_tags_of_so_many(len(ids)), _numbered(ids)):
        tags.setdefault(row.instance_id, {})[row.key] = row.value
    return tags


async def _with_nodes(tx: Tx, found: list[Instance]) -> list[Instance]:
    if not found:
        return found
    by_instance: dict[str, list[Node]] = {}
    ids = [one.id for one in found]
    for row in (await tx.execute(_nodes_of_so_many(len(ids)), _numbered(ids))).mappings():
        by_instance.setdefault(row["instance_id"], []).append(_node(row))
    # What becomes one behind proxies has some already.
    behind = [one.id for one in found if one.mode.has_proxies or one.state is State.EXTENDING]
    proxies = await list_proxies_of(tx, behind) if behind else {}
    with_accounts = [one.id for one in found if one.engine_version in VERSIONS]
    accounts = await list_accounts_of(tx, with_accounts) if with_accounts else {}
    return [
        replace(
            one,
            nodes=tuple(by_instance.get(one.id, ())),
            proxies=tuple(proxies.get(one.id, ())),
            accounts=tuple(accounts.get(one.id, ())),
        )
        for one in found
    ]


def _row(instance: Instance) -> dict[str, Any]:
    return {
        "id": instance.id,
        "project_id": instance.project_id,
        "name": instance.name,
        "description": instance.description,
        "state": instance.state.value,
        "task": instance.task,
        "engine": instance.engine,
        "engine_version": instance.engine_version,
        "spec_code": instance.spec_code,
        "mode": instance.mode.value,
        "capacity_gb": instance.capacity_gb,
        "cpu_type": instance.cpu_type,
        "vpc_id": instance.vpc_id,
        "subnet_id": instance.subnet_id,
        "security_group_id": instance.security_group_id,
        "ip": instance.ip,
        "port": instance.port,
        "az_codes": list(instance.az_codes),
        "no_password_access": instance.no_password_access,
        "enable_ssl": instance.enable_ssl,
        "binary": instance.binary,
        "secrets": instance.secrets,
        "rename_commands": instance.rename_commands,
        "parameters": instance.parameters,
        "maintain_begin": instance.maintain_begin,
        "maintain_end": instance.maintain_end,
        "backup_policy": instance.backup_policy,
        "backup_policy_created_at": to_ms(instance.backup_policy_created_at),
        "backup_policy_updated_at": to_ms(instance.backup_policy_updated_at),
        "template_id": instance.template_id,
        "enterprise_project_id": instance.enterprise_project_id,
        "enterprise_project_name": instance.enterprise_project_name,
        "user_id": instance.user_id,
        "user_name": instance.user_name,
        "created_at": to_ms(instance.created_at),
        "updated_at": to_ms(instance.updated_at),
        "launched_at": to_ms(instance.launched_at),
        "fail_reason": instance.fail_reason,
        "used_memory": instance.used_memory,
        "password_failures": instance.password_state.failures,
        "password_locked_until": to_ms(instance.password_state.locked_until),
        "whitelist_enabled": instance.whitelist.enabled,
        "whitelist": {group.name: list(group.addresses) for group in instance.whitelist.groups},
    }


def _instance(row: Any, tags: dict[str, str] | None = None) -> Instance:
    return Instance(
        id=row["id"],
        project_id=row["project_id"],
        name=row["name"],
        description=row["description"],
        state=State(row["state"]),
        task=row["task"],
        engine=row["engine"],
        engine_version=row["engine_version"],
        spec_code=row["spec_code"],
        mode=Mode(row["mode"]),
        capacity_gb=row["capacity_gb"],
        cpu_type=row["cpu_type"],
        vpc_id=row["vpc_id"],
        subnet_id=row["subnet_id"],
        security_group_id=row["security_group_id"],
        ip=row["ip"],
        port=row["port"],
        az_codes=tuple(row["az_codes"]),
        no_password_access=row["no_password_access"],
        enable_ssl=row["enable_ssl"],
        binary=row["binary"],
        secrets=row["secrets"],
        rename_commands=row["rename_commands"],
        parameters=row["parameters"],
        maintain_begin=row["maintain_begin"],
        maintain_end=row["maintain_end"],
        backup_policy=row["backup_policy"],
        backup_policy_created_at=from_ms(row["backup_policy_created_at"]),
        backup_policy_updated_at=from_ms(row["backup_policy_updated_at"]),
        tags=tags or {},
        template_id=row["template_id"],
        enterprise_project_id=row["enterprise_project_id"],
        enterprise_project_name=row["enterprise_project_name"],
        user_id=row["user_id"],
        user_name=row["user_name"],
        created_at=from_ms(row["created_at"]),
        updated_at=from_ms(row["updated_at"]),
        launched_at=from_ms(row["launched_at"]),
        fail_reason=row["fail_reason"],
        used_memory=MiB(row["used_memory"]),
        password_state=PasswordState(row["password_failures"], from_ms(row["password_locked_until"])),
        whitelist=Whitelist(
            row["whitelist_enabled"],
            tuple(WhitelistGroup(name, tuple(addresses)) for name, addresses in row["whitelist"].items()),
        ),
    )


def _node_row(node: Node) -> dict[str, Any]:
    return {
        "id": node.id,
        "instance_id": node.instance_id,
        "shard": node.shard,
        "ordinal": node.ordinal,
        "address": node.address,
        "port": node.port,
        "zone": node.zone,
        "role": node.role.value,
        "active": node.active,
        "priority": node.priority,
        "in_domain_name": node.in_domain_name,
    }


def _node(row: Any) -> Node:
    return Node(
        id=row["id"],
        instance_id=row["instance_id"],
        shard=row["shard"],
        ordinal=row["ordinal"],
        address=row["address"],
        port=row["port"],
        zone=row["zone"],
        role=Role(row["role"]),
        active=row["active"],
        priority=row["priority"],
        in_domain_name=row["in_domain_name"],
    )
