"""Which of the system's roles may do which action: every action is given to somebody, or is kept back, on purpose."""

from __future__ import annotations

import pytest
from fastapi.routing import APIRoute

from cachestead.api.access import access_of
from cachestead.api.app import ROUTERS
from cachestead.identity.actions import ACTIONS, OTHER_ACTIONS
from cachestead.identity.system_roles import find_system_role, system_roles

LOOKS = {
    "dcs:aclaccount:list",
    "dcs:auditlog:get",
    "dcs:clients:list",
    "dcs:instance:get",
    "dcs:instance:getBackgroundTask",
    "dcs:instance:getConfiguration",
    "dcs:instance:getDataBackupLog",
    "dcs:instance:getDataRestoreLog",
    "dcs:instance:getUpgradeInfo",
    "dcs:instance:list",
    "dcs:job:get",
    "dcs:migrationTask:get",
    "dcs:migrationTask:list",
    "dcs:slowlog:list",
    "dcs:ssl:get",
    "dcs:template:get",
    "dcs:template:list",
    "dcs:whitelist:list",
}
"""Whoever only looks. It changes nothing and reaches no data."""
USES = {
    "dcs:aclaccount:create",
    "dcs:aclaccount:delete",
    "dcs:aclaccount:modify",
    "dcs:auditlog:modify",
    "dcs:clientiptrans:modify",
    "dcs:clients:kill",
    "dcs:domainname:rebuild",
    "dcs:histroydomainname:release",
    "dcs:instance:analyze",  # it costs the instance time, and keys are data
    "dcs:instance:backupData",
    "dcs:instance:deleteBackgroundTask",
    "dcs:instance:deleteDataBackupFile",
    "dcs:instance:diagnosis",
    "dcs:instance:downloadBackupData",
    "dcs:instance:migrateData",
    "dcs:instance:modifyAuthInfo",
    "dcs:instance:modifyConfigureation",
    "dcs:instance:modifyStatus",
    "dcs:instance:resetAuthInfo",
    "dcs:instance:restoreData",
    "dcs:instance:swap",
    "dcs:instance:upgrade",
    "dcs:instance:webcli",
    "dcs:migrationTask:create",
    "dcs:migrationTask:delete",
    "dcs:migrationTask:exchangeIp",
    "dcs:migrationTask:modify",
    "dcs:migrationTask:rollbackIp",
    "dcs:publicdomainname:update",
    "dcs:ssl:modify",
    "dcs:template:create",
    "dcs:template:delete",
    "dcs:template:modify",
    "dcs:whitelist:modify",
}
"""Whoever works with instances that others have made; it looks, too."""
RULES = {"dcs:instance:create", "dcs:instance:delete", "dcs:instance:modify", "dcs:instance:scale"}
"""Administrators of DCS only."""
READS_BY_POST = {
    "batch_list_metric_data",
    "download_ssl_cert",
    "scan_clients",
}
"""Routes that change nothing an instance has although their method says so."""

ROUTES = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]


def granted(name: str, action: str) -> bool:
    role = find_system_role(name)
    assert role, name
    assert all(statement.allows and not statement.is_narrow for statement in role.policy.statements)
    return any(statement.is_about(action) for statement in role.policy.statements)


def test_the_roles_are_these():
    assert {role.name for role in system_roles().values()} == {
        "te_admin",
        "secu_admin",
        "readonly",
        "dcs_admin",
        "dcs_user",
        "dcs_viewer",
    }


def test_each_action_of_the_table_is_of_one_kind():
    assert LOOKS | USES | RULES == ACTIONS
    assert len(LOOKS) + len(USES) + len(RULES) == len(ACTIONS)


@pytest.mark.parametrize("action", sorted(ACTIONS | OTHER_ACTIONS))
def test_an_action_is_given_to_whom_it_is_meant_for(action: str):
    service = action.partition(":")[0]
    meant = {
        "readonly": action in LOOKS,
        "dcs_viewer": action in LOOKS,
        "dcs_user": action in LOOKS | USES,
        "dcs_admin": service == "dcs",
        "te_admin": service in {"dcs", "cts"},
        "secu_admin": service in {"iam", "cts"},
    }
    assert {name: granted(name, action) for name in meant} == meant


def test_no_role_names_an_action_that_there_is_not():
    named = {
        one
        for role in system_roles().values()
        for statement in role.policy.statements
        for one in statement.actions
    }
    assert {one for one in named if not one.endswith(":*:*")} <= ACTIONS


def test_what_the_routes_ask_for_is_in_the_lists():
    asked = {str(access_of(route)) for route in ROUTES} - {"public", "signed in"}
    assert asked <= ACTIONS | OTHER_ACTIONS


def test_whoever_only_looks_is_asked_nothing_that_changes_anything():
    changing = {
        route.name for route in ROUTES if access_of(route) in LOOKS and not route.methods <= {"GET", "HEAD"}
    }
    assert changing == READS_BY_POST
