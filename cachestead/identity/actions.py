"""Who may do what: the actions that routes ask for, and the one function that decides.

What a caller may do is what the policies in force for it say (`domain/policies.py`), read at the time of the
request. Nothing else in the product looks at roles.
"""

from __future__ import annotations

from collections.abc import Sequence

from cachestead.domain.policies import Subject, Verdict, judge
from cachestead.errors import PolicyNotAllowed, ReadOnlyTenant, RoleNotAllowed
from cachestead.identity.callers import Caller

ACTIONS = frozenset(
    {
        "dcs:aclaccount:create",
        "dcs:aclaccount:delete",
        "dcs:aclaccount:list",
        "dcs:aclaccount:modify",
        "dcs:auditlog:get",
        "dcs:auditlog:modify",
        "dcs:clientiptrans:modify",
        "dcs:clients:kill",
        "dcs:clients:list",
        "dcs:domainname:rebuild",
        "dcs:histroydomainname:release",  # spelt so in the table
        "dcs:instance:analyze",
        "dcs:instance:backupData",
        "dcs:instance:create",
        "dcs:instance:delete",
        "dcs:instance:deleteBackgroundTask",
        "dcs:instance:deleteDataBackupFile",
        "dcs:instance:diagnosis",
        "dcs:instance:downloadBackupData",
        "dcs:instance:get",
        "dcs:instance:getBackgroundTask",
        "dcs:instance:getConfiguration",
        "dcs:instance:getDataBackupLog",
        "dcs:instance:getDataRestoreLog",
        "dcs:instance:getUpgradeInfo",
        "dcs:instance:list",
        "dcs:instance:migrateData",
        "dcs:instance:modify",
        "dcs:instance:modifyAuthInfo",
        "dcs:instance:modifyConfigureation",  # spelt so in the table
        "dcs:instance:modifyStatus",
        "dcs:instance:resetAuthInfo",
        "dcs:instance:restoreData",
        "dcs:instance:scale",
        "dcs:instance:swap",
        "dcs:instance:upgrade",
        "dcs:instance:webcli",
        "dcs:job:get",
        "dcs:migrationTask:create",
        "dcs:migrationTask:delete",
        "dcs:migrationTask:exchangeIp",
        "dcs:migrationTask:get",
        "dcs:migrationTask:list",
        "dcs:migrationTask:modify",
        "dcs:migrationTask:rollbackIp",
        "dcs:publicdomainname:update",
        "dcs:slowlog:list",
        "dcs:ssl:get",
        "dcs:ssl:modify",
        "dcs:template:create",
        "dcs:template:delete",
        "dcs:template:get",
        "dcs:template:list",
        "dcs:template:modify",
        "dcs:whitelist:list",
        "dcs:whitelist:modify",
    }
)
"""The actions of table 5-1."""

OTHER_ACTIONS = frozenset(
    {
        "cts:trace:list",
        "iam:credentials:createCredential",
        "iam:credentials:deleteCredential",
        "iam:credentials:getCredential",
        "iam:credentials:listCredentials",
        "iam:credentials:updateCredential",
        "iam:groups:createGroup",
        "iam:groups:deleteGroup",
        "iam:groups:getGroup",
        "iam:groups:listGroups",
        "iam:groups:listGroupsForUser",
        "iam:groups:updateGroup",
        "iam:permissions:addUserToGroup",
        "iam:permissions:checkRoleForGroup",
        "iam:permissions:checkUserInGroup",
        "iam:permissions:grantRoleToGroup",
        "iam:permissions:listRolesForGroup",
        "iam:permissions:removeUserFromGroup",
        "iam:permissions:revokeRoleFromGroup",
        "iam:roles:createRole",
        "iam:roles:deleteRole",
        "iam:roles:getRole",
        "iam:roles:listRoles",
        "iam:roles:updateRole",
        "iam:users:createUser",
        "iam:users:deleteUser",
        "iam:users:getUser",
        "iam:users:listUsers",
        "iam:users:listUsersForGroup",
        "iam:users:updateUser",
    }
)
"""Actions of identity and of the audit trail, as the public services name them."""

_GUEST = "readonly"


def is_allowed(caller: Caller, action: str, subjects: Sequence[Subject]) -> bool:
    """Whether the caller's policies permit the action on every subject, and the limits of its key as well."""
    permitted = caller.permissions.policies_for(action)
    limits = caller.limits
    return all(
        judge(permitted, action, one) is Verdict.ALLOWED
        and (limits is None or judge([limits], action, one) is Verdict.ALLOWED)
        for one in subjects
    )


def check_allowed(caller: Caller, action: str, subjects: Sequence[Subject]) -> None:
    """Nothing, or the documented refusal: of somebody without a role, of a guest, of anybody else."""
    if is_allowed(caller, action, subjects):
        return
    roles = caller.permissions.roles_for(action)
    if not roles:
        raise RoleNotAllowed
    if {role.name for role in roles} == {_GUEST}:
        raise ReadOnlyTenant
    raise PolicyNotAllowed(name=action)
