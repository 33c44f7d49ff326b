"""An instance's accounts: making, changing and deleting them.

The record has what is wanted before the work begins; the workflow makes it so on nodes and proxies. Changing a
password names the old one, with the instance's own rule for wrong ones; the new one is in force when the call
answers. `default` is the instance's own account: its password is the instance's. Reference: section 4.10.
"""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from cachestead import errors
from cachestead.domain import accounts as rules
from cachestead.domain.accounts import Account, AccountRole, AccountStatus, PasswordState
from cachestead.domain.instances import Event, Instance
from cachestead.identity.callers import Caller
from cachestead.operations import passwords
from cachestead.operations.changes import Change, change
from cachestead.operations.passwords import PasswordAnswer
from cachestead.operations.service import Service
from cachestead.store import accounts as store
from cachestead.store import instances as instance_store
from cachestead.store.database import Tx
from cachestead.workflows.change_accounts import (
    CHANGE_ACCOUNT_PASSWORD,
    CHANGE_ACCOUNT_ROLE,
    CREATE_ACCOUNT,
    DELETE_ACCOUNT,
)
from cachestead.workflows.machinery import engine_of
from cachestead.workflows.workflow import Workflow


@dataclass(frozen=True)
class NewAccount:
    """What a caller wants an account to be."""

    name: str
    role: AccountRole
    password: str = field(repr=False)
    description: str | None = None


async def list_accounts(service: Service, caller: Caller, instance_id: str) -> list[Account]:
    """The instance's accounts, `default` first. Raises `EngineVersionNotSupported` where there are none."""
    async with service.database.reading() as tx:
        instance = await instance_store.get_instance(tx, caller.project, instance_id)
    rules.check_version(instance.engine_version)
    return [_default_account(instance), *instance.accounts]


def _default_account(instance: Instance) -> Account:
    return Account(
        id=rules.default_account_id(instance.id),
        instance_id=instance.id,
        name=rules.DEFAULT,
        role=AccountRole.WRITE,
        password_hash="",
        status=AccountStatus.AVAILABLE,
        created_at=instance.created_at,
    )


async def create_account(service: Service, caller: Caller, instance_id: str, wanted: NewAccount) -> Account:
    """A new account, on its way to nodes and proxies. Raises the code of what stands against it."""
    async with service.database.writing() as tx:
        instance = await _lock_instance(tx, caller, instance_id)
        _check_possible(service, instance)
        rules.check_free(wanted.name, {one.name for one in instance.accounts})
        account = Account(
            id=str(uuid.uuid4()),
            instance_id=instance.id,
            name=wanted.name,
            role=wanted.role,
            password_hash=rules.hash_of(wanted.password),
            status=AccountStatus.CREATING,
            created_at=service.now(),
            description=wanted.description,
        )
        # A failure leaves it to be seen, and deleted.
        await _begin(tx, service, caller, instance, CREATE_ACCOUNT, account, {"status": AccountStatus.ERROR})
        await store.add_account(tx, account)
    service.worker.nudge()
    return account


def _check_possible(service: Service, instance: Instance) -> None:
    if instance.no_password_access:
        raise errors.PasswordFreeInstance(f"instance {instance.id}")
    engine = engine_of(service.machinery, instance)
    if not engine.has_acl:
        raise errors.EngineVersionNotSupported(f"accounts: {engine} has none")


async def change_role(
    service: Service, caller: Caller, instance_id: str, account_id: str, role: AccountRole
) -> str:
    """The account may do this from the end of the job on, whose id is returned. Clients stay connected."""
    async with service.database.writing() as tx:
        instance, account = await _lock_available(tx, caller, instance_id, account_id)
        after = replace(account, role=role, status=AccountStatus.UPDATING)
        before = {"status": AccountStatus.AVAILABLE, "role": account.role}
        job_id = await _begin(tx, service, caller, instance, CHANGE_ACCOUNT_ROLE, after, before)
        await store.save_account(tx, after)
    service.worker.nudge()
    return job_id


async def change_password(
    service: Service, caller: Caller, instance_id: str, account_id: str, old: str, new: str
) -> PasswordAnswer:
    """The account's password is `new` from now on, if `old` was right."""
    if await _is_default(service, caller, instance_id, account_id):
        return await passwords.change_password(service, caller, instance_id, old, new)
    async with service.database.writing() as tx:
        instance, account = await _lock_available(tx, caller, instance_id, account_id)
        if refusal := passwords.locked(account.password_state, service.now()):
            return refusal
        rules.check_new_account_password(new, account.name)
        if not hmac.compare_digest(account.password_hash, rules.hash_of(old)):
            state, answer = passwords.failed(account.password_state, service.now())
            await store.save_account(tx, replace(account, password_state=state))
            return answer
        job_id = await _begin_password(tx, service, caller, instance, account, new)
    return PasswordAnswer(await passwords.outcome_of(service, job_id))


async def reset_password(
    service: Service, caller: Caller, instance_id: str, account_id: str, new: str
) -> PasswordAnswer:
    """The account's password is `new` from now on; the old one is not asked for."""
    if await _is_default(service, caller, instance_id, account_id):
        return await passwords.reset_password(service, caller, instance_id, new, no_password=False)
    async with service.database.writing() as tx:
        instance, account = await _lock_available(tx, caller, instance_id, account_id)
        if refusal := passwords.locked(account.password_state, service.now()):
            return refusal
        rules.check_new_account_password(new, account.name)
        job_id = await _begin_password(tx, service, caller, instance, account, new)
    return PasswordAnswer(await passwords.outcome_of(service, job_id))


async def _is_default(service: Service, caller: Caller, instance_id: str, account_id: str) -> bool:
    """Whether the account is the one that every instance has."""
    return account_id == (await list_accounts(service, caller, instance_id))[0].id


async def _begin_password(
    tx: Tx, service: Service, caller: Caller, instance: Instance, account: Account, new: str
) -> str:
    after = replace(
        account,
        password_hash=rules.hash_of(new),
        status=AccountStatus.UPDATING,
        password_state=PasswordState(),
    )
    before = {"status": AccountStatus.AVAILABLE, "password_hash": account.password_hash}
    job_id = await _begin(tx, service, caller, instance, CHANGE_ACCOUNT_PASSWORD, after, before)
    await store.save_account(tx, after)
    return job_id


async def delete_account(service: Service, caller: Caller, instance_id: str, account_id: str) -> None:
    """The account and its clients are on their way out. `default` cannot be deleted."""
    async with service.database.writing() as tx:
        instance = await _lock_instance(tx, caller, instance_id)
        after = replace(_get_account(instance, account_id), status=AccountStatus.DELETING)
        await _begin(tx, service, caller, instance, DELETE_ACCOUNT, after, {"status": AccountStatus.DELETE_FAILED})
        await store.save_account(tx, after)
    service.worker.nudge()


async def describe_account(
    service: Service, caller: Caller, instance_id: str, account_id: str, description: str | None
) -> None:
    """The account is described so, or not at all."""
    async with service.database.writing() as tx:
        instance = await _lock_instance(tx, caller, instance_id)
        await store.save_account(tx, replace(_get_account(instance, account_id), description=description))


async def _lock_instance(tx: Tx, caller: Caller, instance_id: str) -> Instance:
    instance = await instance_store.lock_instance(tx, caller.project, instance_id)
    rules.check_version(instance.engine_version)
    return instance


async def _lock_available(tx: Tx, caller: Caller, instance_id: str, account_id: str) -> tuple[Instance, Account]:
    """The instance and an account of it that can be changed."""
    instance = await _lock_instance(tx, caller, instance_id)
    account = _get_account(instance, account_id)
    if account.status is AccountStatus.ERROR:
        raise errors.InvalidAccount("account_id: the account could not be made; it can only be deleted")
    return instance, account


def _get_account(instance: Instance, account_id: str) -> Account:
    if account_id == rules.default_account_id(instance.id):
        raise errors.InvalidAccount("account_id: the account default can neither be changed nor deleted")
    for account in instance.accounts:
        if account.id == account_id:
            return account
    raise errors.InvalidAccount("account_id: the instance has no such account")


async def _begin(
    tx: Tx,
    service: Service,
    caller: Caller,
    instance: Instance,
    workflow: Workflow,
    account: Account,
    before: Mapping[str, str],
) -> str:
    """Take the lock and save the job; `before` is what the account is again if the work fails."""
    params = {"account": account.id, "before": dict(before)}
    job = await change(tx, service, caller, instance, Change(workflow, Event.CHANGE_ASKED, params))
    return job.id
