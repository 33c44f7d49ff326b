"""Bodies of chapter 4.10, Account Management."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel

from cachestead import errors
from cachestead.api.bodies import Refused, RequestBody
from cachestead.domain.accounts import (
    Account,
    AccountRole,
    check_account_description,
    check_account_name,
    check_account_password,
    check_account_role,
)
from cachestead.operations.accounts import NewAccount
from cachestead.operations.passwords import TRIES, PasswordAnswer, PasswordResult

Text = Annotated[str, Refused(errors.InvalidAccount)]
OptionalText = Annotated[str | None, Refused(errors.InvalidAccount)]


class CreateAccount(RequestBody):
    """Body of create_acl_account."""

    account_name: Text
    account_role: Text
    account_password: Text
    description: OptionalText = None

    def to_account(self) -> NewAccount:
        """What is wanted; raises `InvalidAccount`, naming the field."""
        name = check_account_name(self.account_name)
        return NewAccount(
            name=name,
            role=check_account_role(self.account_role),
            password=check_account_password(self.account_password, name),
            description=check_account_description(self.description),
        )


class ChangeAccountPassword(RequestBody):
    """Body of update_acl_account_pass_word."""

    old_password: Text
    new_password: Text


class ResetAccountPassword(RequestBody):
    """Body of reset_acl_account_pass_word."""

    old_password: OptionalText = None
    """Not looked at, though the reference lists it."""
    new_password: Text


class ChangeAccountRole(RequestBody):
    """Body of update_acl_account."""

    account_role: Text

    def to_role(self) -> AccountRole:
        """The role; raises `InvalidAccount`."""
        return check_account_role(self.account_role)


class DescribeAccount(RequestBody):
    """Body of update_acl_account_remark."""

    description: OptionalText = None

    def to_description(self) -> str | None:
        """The description; raises `InvalidAccount`."""
        return check_account_description(self.description)


class AcceptedOut(BaseModel):
    """Answer of create_acl_account: the empty object, where the reference has no body. Terraform reads one."""


class AccountOut(BaseModel):
    """An account."""

    account_id: str
    account_name: str
    account_type: str
    instance_id: str
    status: str
    account_role: str
    description: str | None
    error_code: str | None = None

    @classmethod
    def of(cls, account: Account) -> AccountOut:
        """The account as callers see it."""
        return cls(
            account_id=account.id,
            account_name=account.name,
            account_type="default" if account.is_default else "normal",
            instance_id=account.instance_id,
            status=account.status.value,
            account_role=account.role.value,
            description=account.description,
        )


class AccountsOut(BaseModel):
    """Answer of list_acl_accounts."""

    accounts: list[AccountOut]

    @classmethod
    def of(cls, accounts: list[Account]) -> AccountsOut:
        """The accounts of an instance."""
        return cls(accounts=[AccountOut.of(one) for one in accounts])


class ResetAccountPasswordOut(BaseModel):
    """Answer of reset_acl_account_pass_word."""

    code: str
    message: str
    retry_times_left: str = str(TRIES)
    lock_time: str = "0"
    lock_time_left: str = "0"

    @classmethod
    def of(cls, answer: PasswordAnswer) -> ResetAccountPasswordOut:
        """The answer for an outcome; raises `InternalError` where the old password stayed."""
        if answer.result is PasswordResult.LOCKED:
            return cls(
                code="3",
                message="The password is locked.",
                retry_times_left="0",
                lock_time=str(answer.lock_minutes),
                lock_time_left=str(answer.lock_minutes_left),
            )
        if answer.result is not PasswordResult.SUCCESS:
            raise errors.InternalError("the password was not reset; the old one stays")
        return cls(code="1", message="Reset DCSInstance password success.")


class AccountJobOut(BaseModel):
    """Answer of update_acl_account."""

    instance_id: str
    job_id: str
