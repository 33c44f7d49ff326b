"""Put an instance's accounts into force as they are on record: after one was made, changed or deleted.

Before: the instance is RUNNING with the task `ModifyAcl`, and the account's record has what is wanted already, so
that nodes and proxies which start meanwhile start with it. After: every node, or every proxy, knows the accounts,
and the account is available or gone. If a node refuses: all are as they were, and so is the record, but for the
status of an account that could not be made or deleted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from cachestead.domain.accounts import Account, AccountRole, AccountStatus
from cachestead.domain.instances import Instance, Node
from cachestead.domain.jobs import Job, JobStatus
from cachestead.engine import live
from cachestead.engine.errors import EngineUnreachable
from cachestead.engine.sessions import end_waiting
from cachestead.store import accounts as store
from cachestead.store import instances as instance_store
from cachestead.store.database import Tx
from cachestead.workflows.machinery import Machinery, client_of, engine_of, running_of, users_of
from cachestead.workflows.proxies import ensure_proxies
from cachestead.workflows.workflow import Step, StepContext, Workflow, change_done, change_failed


async def set_accounts(ctx: StepContext) -> None:
    """Whoever clients log in to knows the accounts on record; clients of one that is gone are gone."""
    await _apply(ctx.machinery, ctx.instance, _new_reader(ctx.job, ctx.instance))


def _new_reader(job: Job, instance: Instance) -> str | None:
    """Name of the account, if it may only read from now on and might have written before."""
    if "role" not in job.params["before"]:
        return None
    return next(
        (one.name for one in instance.accounts if one.id == job.params["account"] and one.reads_only), None
    )


async def set_back(ctx: StepContext) -> None:
    """The record and whoever clients log in to are as they were."""
    async with ctx.machinery.database.writing() as tx:
        if (account := await _lock_account(tx, ctx.job)) is not None:
            await store.save_account(tx, replace(account, **_read(ctx.job.params["before"])))
        instance = await instance_store.lock_any_instance(tx, ctx.instance.id)
    await _apply(ctx.machinery, instance, _new_reader(ctx.job, instance))


async def _settle(tx: Tx, job: Job, _at: datetime) -> None:
    """With the end of the job the account is available, or gone from the record; a failure has saved its own."""
    account = await _lock_account(tx, job)
    if account is None or job.status is not JobStatus.SUCCESS:
        return
    if account.status is AccountStatus.DELETING:
        await store.remove_account(tx, account.id)
    else:
        await store.save_account(tx, replace(account, status=AccountStatus.AVAILABLE))


async def _lock_account(tx: Tx, job: Job) -> Account | None:
    """The account that the job is about, with its instance locked."""
    assert job.instance_id is not None, f"job {job.id} is about an instance"
    instance = await instance_store.lock_any_instance(tx, job.instance_id)
    return next((one for one in instance.accounts if one.id == job.params["account"]), None)


def _read(before: Mapping[str, str]) -> dict[str, Any]:
    """Fields of an account as a job carries them."""
    kinds = {"role": AccountRole, "status": AccountStatus}
    return {name: kinds.get(name, str)(value) for name, value in before.items()}


async def _apply(machinery: Machinery, instance: Instance, new_reader: str | None) -> None:
    if instance.mode.has_proxies:
        async with machinery.turns.healing_proxies(instance.id):
            await ensure_proxies(machinery, instance)
        return
    await asyncio.gather(*(_tell_node(machinery, instance, node, new_reader) for node in instance.nodes))


async def _tell_node(machinery: Machinery, instance: Instance, node: Node, new_reader: str | None) -> None:
    """The node knows the accounts, or does not run: it will when it is started."""
    users, engine = users_of(machinery.vault, instance), engine_of(machinery, instance)
    client = client_of(machinery, instance, node)
    try:
        await live.set_users(client, users, engine)
        if new_reader is not None:
            await end_waiting(client, new_reader)
    except EngineUnreachable:
        if await running_of(machinery, [node]):
            raise


def _change(name: str, job_type: str, task: str) -> Workflow:
    return Workflow(
        name,
        job_type=job_type,
        steps=(Step(set_accounts, undo=set_back),),
        succeed=change_done,
        fail=change_failed,
        settle=_settle,
        task=task,
        lock="ModifyAcl",
    )


CREATE_ACCOUNT = _change("create-acl-account", "createAclJob", "CreateAcl")
CHANGE_ACCOUNT_PASSWORD = _change("change-acl-account-password", "modifyAclPasswordJob", "ModifyAclPassword")
CHANGE_ACCOUNT_ROLE = _change("update-acl-account", "modifyAclRoleJob", "ModifyAclRole")
DELETE_ACCOUNT = _change("delete-acl-account", "deleteAclJob", "DeleteAcl")
"""Clients wait for the task of this name (`real-clients` 4.3)."""
