"""Bodies of chapter 4.2, Instance Management."""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated, Any

from pydantic import BaseModel

from cachestead import errors
from cachestead.api.bodies import Refused, RequestBody
from cachestead.domain.sizes import MiB
from cachestead.engine.observing import InstanceLoad
from cachestead.operations.passwords import TRIES, PasswordAnswer, PasswordResult

ACTIONS = ("restart", "soft_restart", "flush")

_MESSAGES = {
    PasswordResult.SUCCESS: "Modify DCSInstance password success.",
    PasswordResult.WRONG: "The old password is wrong.",
    PasswordResult.LOCKED: "Too many wrong passwords: the instance's password is locked.",
    PasswordResult.FAILED: "The password was not changed.",
}


class ChangeStatus(RequestBody):
    """Body of restart_or_flush_instances."""

    action: Annotated[str | None, Refused(errors.InvalidAction)] = None
    instances: Annotated[list[Any] | None, Refused(errors.InstancesMissing)] = None

    def checked_action(self) -> str:
        """The action; raises `InvalidAction`."""
        if self.action not in ACTIONS:
            raise errors.InvalidAction(f"action: one of {', '.join(ACTIONS)}")
        return self.action


class ChangePassword(RequestBody):
    """Body of update_password."""

    old_password: Annotated[str, Refused(errors.InvalidPassword)]
    new_password: Annotated[str, Refused(errors.InvalidPassword)]


class ResetPassword(RequestBody):
    """Body of reset_password."""

    new_password: Annotated[str | None, Refused(errors.InvalidPassword)] = None
    no_password_access: Annotated[bool | None, Refused(errors.InvalidNoPasswordAccess)] = None


class ChangePasswordOut(BaseModel):
    """Answer of update_password; all figures are texts."""

    result: str
    message: str
    retry_times_left: str
    lock_time: str
    lock_time_left: str

    @classmethod
    def of(cls, answer: PasswordAnswer) -> ChangePasswordOut:
        """The answer for an outcome."""
        return cls(
            result=answer.result.value,
            message=_MESSAGES[answer.result],
            retry_times_left=str(answer.tries_left),
            lock_time=str(answer.lock_minutes),
            lock_time_left=str(answer.lock_minutes_left),
        )


class ResetPasswordOut(BaseModel):
    """Answer of reset_password."""

    retry_times_left: str = str(TRIES)
    lock_time: str = "0"
    lock_time_left: str = "0"
    code: str
    message: str
    ext_message: str | None = None

    @classmethod
    def of(cls, answer: PasswordAnswer) -> ResetPasswordOut:
        """The answer for an outcome; raises `InternalError` where the old password stayed."""
        if answer.result is PasswordResult.LOCKED:
            return cls(code="3", message="instance is locked")
        if answer.result is not PasswordResult.SUCCESS:
            raise errors.InternalError("the password was not reset; the old one stays")
        return cls(code="1", message="success")


class StatusCounts(BaseModel):
    """How many instances are in each state."""

    paying_count: int = 0
    freezing_count: int = 0
    migrating_count: int = 0
    flushing_count: int = 0
    upgrading_count: int = 0
    restoring_count: int = 0
    extending_count: int = 0
    creating_count: int = 0
    running_count: int = 0
    error_count: int = 0
    frozen_count: int = 0
    createfailed_count: int = 0
    restarting_count: int = 0

    @classmethod
    def of(cls, counts: dict[str, int], *, with_failed: bool) -> dict[str, int]:
        """The count fields for these states."""
        fields: dict[str, int] = defaultdict(int)
        for state, count in counts.items():
            name = f"{state.lower()}_count"
            if name in cls.model_fields and (with_failed or state != "CREATEFAILED"):
                fields[name] += count
        return fields


class StatusCountsOut(StatusCounts):
    """Answer of list_number_of_instances_in_different_status: all, and by engine."""

    redis: StatusCounts
    memcached: StatusCounts = StatusCounts()


class InstanceStatistic(BaseModel):
    """Figures of a running instance, read from its engine."""

    instance_id: str
    input_kbps: str
    output_kbps: str
    keys: int
    used_memory: int
    max_memory: int
    cmd_get_count: int
    cmd_set_count: int
    used_cpu: str

    @classmethod
    def of(cls, instance_id: str, max_memory: MiB, load: InstanceLoad) -> InstanceStatistic:
        """The figures of one instance."""
        return cls(
            instance_id=instance_id,
            input_kbps=f"{load.input_kbps:.2f}",
            output_kbps=f"{load.output_kbps:.2f}",
            keys=load.keys,
            used_memory=load.used_memory,
            max_memory=max_memory,
            cmd_get_count=load.gets,
            cmd_set_count=load.sets,
            used_cpu=f"{load.cpu_seconds:.2f}",
        )


class StatisticsOut(BaseModel):
    """Answer of list_statistics_of_running_instances."""

    statistics: list[InstanceStatistic]
