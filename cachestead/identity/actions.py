"""Who may do what: the actions of the reference's table 5-1 and the system roles.

One small pure function decides. Custom policies will be another source of the same answer, asked in `is_allowed`;
nothing else in the product looks at roles.
"""

from __future__ import annotations

from enum import Enum

from cachestead.errors import PolicyNotAllowed, ReadOnlyTenant, RoleNotAllowed
from cachestead.identity.callers import Caller


class Effect(Enum):
    """What an action does, which is what the system roles go by."""

    READ = "read"
    USE = "use"
    """Changes data or settings of an instance that is there."""
    OWN = "own"
    """Makes, changes the size of, or removes what costs money."""


ACTIONS: dict[str, Effect] = {
    "dcs:aclaccount:create": Effect.USE,
    "dcs:aclaccount:delete": Effect.USE,
    "dcs:aclaccount:list": Effect.READ,
    "dcs:aclaccount:modify": Effect.USE,
    "dcs:auditlog:get": Effect.READ,
    "dcs:auditlog:modify": Effect.USE,
    "dcs:clientiptrans:modify": Effect.USE,
    "dcs:clients:kill": Effect.USE,
    "dcs:clients:list": Effect.READ,
    "dcs:domainname:rebuild": Effect.USE,
    "dcs:histroydomainname:release": Effect.USE,  # spelt so in the table
    "dcs:instance:analyze": Effect.USE,
    "dcs:instance:backupData": Effect.USE,
    "dcs:instance:create": Effect.OWN,
    "dcs:instance:delete": Effect.OWN,
    "dcs:instance:deleteBackgroundTask": Effect.USE,
    "dcs:instance:deleteDataBackupFile": Effect.USE,
    "dcs:instance:diagnosis": Effect.USE,
    "dcs:instance:downloadBackupData": Effect.USE,
    "dcs:instance:get": Effect.READ,
    "dcs:instance:getBackgroundTask": Effect.READ,
    "dcs:instance:getConfiguration": Effect.READ,
    "dcs:instance:getDataBackupLog": Effect.READ,
    "dcs:instance:getDataRestoreLog": Effect.READ,
    "dcs:instance:getUpgradeInfo": Effect.READ,
    "dcs:instance:list": Effect.READ,
    "dcs:instance:migrateData": Effect.USE,
    "dcs:instance:modify": Effect.OWN,
    "dcs:instance:modifyAuthInfo": Effect.USE,
    "dcs:instance:modifyConfigureation": Effect.USE,  # spelt so in the table
    "dcs:instance:modifyStatus": Effect.USE,
    "dcs:instance:resetAuthInfo": Effect.USE,
    "dcs:instance:restoreData": Effect.USE,
    "dcs:instance:scale": Effect.OWN,
    "dcs:instance:swap": Effect.USE,
    "dcs:instance:upgrade": Effect.USE,
    "dcs:instance:webcli": Effect.USE,
    "dcs:job:get": Effect.READ,
    "dcs:migrationTask:create": Effect.USE,
    "dcs:migrationTask:delete": Effect.USE,
    "dcs:migrationTask:exchangeIp": Effect.USE,
    "dcs:migrationTask:get": Effect.READ,
    "dcs:migrationTask:list": Effect.READ,
    "dcs:migrationTask:modify": Effect.USE,
    "dcs:migrationTask:rollbackIp": Effect.USE,
    "dcs:publicdomainname:update": Effect.USE,
    "dcs:slowlog:list": Effect.READ,
    "dcs:ssl:get": Effect.READ,
    "dcs:ssl:modify": Effect.USE,
    "dcs:template:create": Effect.USE,
    "dcs:template:delete": Effect.USE,
    "dcs:template:get": Effect.READ,
    "dcs:template:list": Effect.READ,
    "dcs:template:modify": Effect.USE,
    "dcs:whitelist:list": Effect.READ,
    "dcs:whitelist:modify": Effect.USE,
}
"""Every action, and what it does."""

_EVERYTHING = frozenset(Effect)

ROLES: dict[str, frozenset[Effect]] = {
    "te_admin": _EVERYTHING,
    "dcs_admin": _EVERYTHING,
    "dcs_user": frozenset({Effect.READ, Effect.USE}),
    "dcs_viewer": frozenset({Effect.READ}),
    "readonly": frozenset({Effect.READ}),
}
"""System roles: Tenant Administrator, DCS FullAccess, DCS UserAccess, DCS ReadOnlyAccess, Tenant Guest."""


def is_allowed(caller: Caller, action: str) -> bool:
    """Whether one of the caller's roles permits the action."""
    effect = ACTIONS[action]
    return any(effect in ROLES.get(role, ()) for role in caller.roles)


def check_allowed(caller: Caller, action: str) -> None:
    """Nothing, or the documented refusal."""
    if is_allowed(caller, action):
        return
    known = [role for role in caller.roles if role in ROLES]
    if not known:
        raise RoleNotAllowed
    if known == ["readonly"]:
        raise ReadOnlyTenant
    raise PolicyNotAllowed(name=action)
