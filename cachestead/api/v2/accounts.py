"""Chapter 4.10: Account Management. Who may log in to an instance besides `default`, and whether only to read."""

from __future__ import annotations

from typing import Annotated

from fastapi import Response

from cachestead.api.access import May
from cachestead.api.chapter import Chapter
from cachestead.api.formats import InstanceIdPath
from cachestead.api.schemas.accounts import (
    AcceptedOut,
    AccountJobOut,
    AccountsOut,
    ChangeAccountPassword,
    ChangeAccountRole,
    CreateAccount,
    DescribeAccount,
    ResetAccountPassword,
    ResetAccountPasswordOut,
)
from cachestead.api.schemas.management import ChangePasswordOut
from cachestead.api.services import Use
from cachestead.identity.callers import Caller
from cachestead.operations import accounts

chapter = Chapter("4.10", "Account Management")
_ALL = "/v2/{project_id}/instances/{instance_id}/accounts"
_ONE = _ALL + "/{account_id}"


@chapter.post(_ALL)
async def create_acl_account(
    instance_id: InstanceIdPath,
    body: CreateAccount,
    caller: Annotated[Caller, May["dcs:aclaccount:create"]],
    service: Use,
) -> AcceptedOut:
    """Make an account of a 4.0 or 5.0 instance. It can log in once it is listed as `AVAILABLE`.

    An instance may have 18 besides `default`. There are none while it needs no password.
    """
    await accounts.create_account(service, caller, instance_id, body.to_account())
    return AcceptedOut()


@chapter.get(_ALL)
async def list_acl_accounts(
    instance_id: InstanceIdPath, caller: Annotated[Caller, May["dcs:aclaccount:list"]], service: Use
) -> AccountsOut:
    """List the accounts of an instance, `default` first."""
    return AccountsOut.of(await accounts.list_accounts(service, caller, instance_id))


@chapter.put(_ONE + "/password/modify")
async def update_acl_account_pass_word(
    instance_id: InstanceIdPath,
    account_id: str,
    body: ChangeAccountPassword,
    caller: Annotated[Caller, May["dcs:aclaccount:modify"]],
    service: Use,
) -> ChangePasswordOut:
    """Change an account's password, naming the old one. Five wrong ones in a row lock it for five minutes."""
    old, new = body.old_password, body.new_password
    return ChangePasswordOut.of(await accounts.change_password(service, caller, instance_id, account_id, old, new))


@chapter.put(_ONE + "/password/reset")
async def reset_acl_account_pass_word(
    instance_id: InstanceIdPath,
    account_id: str,
    body: ResetAccountPassword,
    caller: Annotated[Caller, May["dcs:aclaccount:modify"]],
    service: Use,
) -> ResetAccountPasswordOut:
    """Set a new password for an account without the old one."""
    answer = await accounts.reset_password(service, caller, instance_id, account_id, body.new_password)
    return ResetAccountPasswordOut.of(answer)


@chapter.put(_ONE + "/role")
async def update_acl_account(
    instance_id: InstanceIdPath,
    account_id: str,
    body: ChangeAccountRole,
    caller: Annotated[Caller, May["dcs:aclaccount:modify"]],
    service: Use,
) -> AccountJobOut:
    """Let an account write, or only read. Clients that are connected may do so, too, from then on."""
    job_id = await accounts.change_role(service, caller, instance_id, account_id, body.to_role())
    return AccountJobOut(instance_id=instance_id, job_id=job_id)


@chapter.delete(_ONE)
async def delete_acl_account(
    instance_id: InstanceIdPath,
    account_id: str,
    caller: Annotated[Caller, May["dcs:aclaccount:delete"]],
    service: Use,
) -> Response:
    """Delete an account; its clients are disconnected. `default` cannot be deleted."""
    await accounts.delete_account(service, caller, instance_id, account_id)
    return Response()


@chapter.put(_ONE, status=204)
async def update_acl_account_remark(
    instance_id: InstanceIdPath,
    account_id: str,
    body: DescribeAccount,
    caller: Annotated[Caller, May["dcs:aclaccount:modify"]],
    service: Use,
) -> None:
    """Change the description of an account."""
    await accounts.describe_account(service, caller, instance_id, account_id, body.to_description())
