"""Changing and resetting an instance's password.

A change must name the old password; five wrong ones in a row lock change and reset for five minutes. The new
password is in force when the call answers: the job is waited for. Reference: sections 4.2.2 and 4.2.3.
"""

from __future__ import annotations

import hmac
import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from cachestead import errors
from cachestead.domain import rules
from cachestead.domain.accounts import PasswordState
from cachestead.domain.instances import Instance, State, busy_error
from cachestead.domain.jobs import JobStatus
from cachestead.identity.callers import Caller
from cachestead.operations.jobs import new_job
from cachestead.operations.service import Service
from cachestead.store import instances as store
from cachestead.store import jobs as job_store
from cachestead.store.database import Tx
from cachestead.workflows.change_password import CHANGE_PASSWORD

TRIES = 5
LOCK = timedelta(minutes=5)
_PATIENCE = 60.0


class PasswordResult(StrEnum):
    """Outcomes of a password change, in the API's words."""

    SUCCESS = "success"
    WRONG = "passwordFailed"
    LOCKED = "locked"
    FAILED = "failed"


@dataclass(frozen=True)
class PasswordAnswer:
    """The outcome and what the caller may still do."""

    result: PasswordResult
    tries_left: int = TRIES
    lock_minutes: int = 0
    lock_minutes_left: int = 0


async def change_password(
    service: Service, caller: Caller, instance_id: str, old: str, new: str
) -> PasswordAnswer:
    """The password is `new` from now on, if `old` was right."""
    async with service.database.writing() as tx:
        instance = await store.lock_instance(tx, caller.project, instance_id)
        if instance.no_password_access:
            raise errors.PasswordFreeInstance(f"instance {instance_id}")
        refusal = locked(instance.password_state, service.now())
        if refusal:
            return refusal
        _check_ready(instance)
        rules.check_password(new, "new_password")
        current: str = service.vault.open(instance.secrets)["password"]
        if not hmac.compare_digest(current.encode(), old.encode()):
            return await _count_failure(tx, instance, service.now())
        if hmac.compare_digest(current.encode(), new.encode()):
            raise errors.WeakPassword("new_password: must differ from the old one")
        job_id = await _start(tx, service, caller, instance, new, no_password=False)
    return PasswordAnswer(await outcome_of(service, job_id))


async def reset_password(
    service: Service, caller: Caller, instance_id: str, new: str | None, *, no_password: bool
) -> PasswordAnswer:
    """The password is `new` from now on, or none is needed; the old one is not asked for."""
    if no_password and new:
        raise errors.PasswordNotExpected("new_password: not together with no_password_access")
    if not no_password and not new:
        raise errors.InvalidPassword("new_password: needed unless no_password_access is true")
    if new:
        rules.check_password(new, "new_password")
    async with service.database.writing() as tx:
        instance = await store.lock_instance(tx, caller.project, instance_id)
        refusal = locked(instance.password_state, service.now())
        if refusal:
            return refusal
        _check_ready(instance)
        job_id = await _start(tx, service, caller, instance, new or "", no_password=no_password)
    return PasswordAnswer(await outcome_of(service, job_id))


async def verify_password(service: Service, caller: Caller, instance_id: str, given: str) -> None:
    """The password is the instance's, if it has one. Raises `WrongPassword`; wrong ones count as in a change."""
    async with service.database.writing() as tx:
        instance = await store.lock_instance(tx, caller.project, instance_id)
        if instance.no_password_access:
            return
        answer = locked(instance.password_state, service.now())
        current: str = service.vault.open(instance.secrets)["password"]
        if answer is None and not hmac.compare_digest(current.encode(), given.encode()):
            answer = await _count_failure(tx, instance, service.now())
    if answer is not None:
        wait = f"locked for {answer.lock_minutes_left} minutes" if answer.lock_minutes_left else "wrong"
        raise errors.WrongPassword(f"password: {wait}")


def _check_ready(instance: Instance) -> None:
    if instance.state is not State.RUNNING or instance.task is not None:
        raise busy_error(instance)


def locked(state: PasswordState, now: datetime) -> PasswordAnswer | None:
    """The answer to who tries while the password is locked; None while it is not."""
    until = state.locked_until
    if until is None or until <= now:
        return None
    left = math.ceil((until - now).total_seconds() / 60)
    return PasswordAnswer(PasswordResult.LOCKED, 0, int(LOCK.total_seconds() // 60), left)


async def _count_failure(tx: Tx, instance: Instance, now: datetime) -> PasswordAnswer:
    state, answer = failed(instance.password_state, now)
    await store.save_instance(tx, replace(instance, password_state=state))
    return answer


def failed(state: PasswordState, now: datetime) -> tuple[PasswordState, PasswordAnswer]:
    """What becomes of a password when a wrong one was named, and what is answered."""
    failures = state.failures + 1
    after = PasswordState(0, now + LOCK) if failures >= TRIES else PasswordState(failures)
    return after, locked(after, now) or PasswordAnswer(PasswordResult.WRONG, TRIES - failures)


async def _start(
    tx: Tx, service: Service, caller: Caller, instance: Instance, new: str, *, no_password: bool
) -> str:
    after = replace(instance, task=CHANGE_PASSWORD.lock, updated_at=service.now(), password_state=PasswordState())
    if not await store.take_instance(tx, instance, after):
        raise busy_error(instance)
    # The new password travels to the workflow sealed: jobs are readable records.
    before = {"secrets": instance.secrets, "no_password_access": instance.no_password_access}
    sealed = service.vault.seal({"password": new})
    params = {"sealed": sealed, "no_password_access": no_password, "before": before}
    job = new_job(CHANGE_PASSWORD, after, caller, service.now(), params)
    await job_store.add_job(tx, job)
    return job.id


async def outcome_of(service: Service, job_id: str) -> PasswordResult:
    """How a change of a password ended, which is waited for."""
    service.worker.nudge()
    job = await service.worker.wait(job_id, _PATIENCE)
    return PasswordResult.SUCCESS if job and job.status is JobStatus.SUCCESS else PasswordResult.FAILED
