"""Which group has which role, and where: for identity, in a project, or everywhere in the domain."""

from __future__ import annotations

from typing import Annotated, Any

from cachestead.api.access import May
from cachestead.api.iam import answers
from cachestead.api.iam.room import Room, answers_at, new_router
from cachestead.domain.roles import Grant, Scope
from cachestead.identity.callers import Caller
from cachestead.identity.refusals import not_found
from cachestead.operations import groups as operations

router = new_router()

_PLACES = {
    Scope.DOMAIN: ("/v3/domains/{scope_id}/groups/{group_id}/roles", ""),
    Scope.PROJECT: ("/v3/projects/{scope_id}/groups/{group_id}/roles", ""),
    Scope.EVERYWHERE: (
        "/v3/OS-INHERIT/domains/{scope_id}/groups/{group_id}/roles",
        "/inherited_to_projects",
    ),
}
"""Paths of grants: what stands before the role's id and after it."""


def _route_grants(scope: Scope, start: str, end: str) -> None:
    one = f"{start}/{{role_id}}{end}"

    @answers_at(router, f"{start}{end}", "GET")
    async def list_roles_for_group(
        scope_id: str,
        group_id: str,
        caller: Annotated[Caller, May["iam:permissions:listRolesForGroup"]],
        room: Room,
    ) -> dict[str, Any]:
        """The roles that a group has there."""
        project = _place(scope, caller, scope_id)
        found = await operations.list_granted_roles(room.database, caller, group_id, scope, project)
        shown = [answers.render_role(room.public_url, role) for role in found]
        path = start.format(scope_id=scope_id, group_id=group_id) + end
        return answers.render_list(room.public_url, path, "roles", shown)

    @answers_at(router, one, "PUT", status=204)
    async def grant_role_to_group(
        scope_id: str,
        group_id: str,
        role_id: str,
        caller: Annotated[Caller, May["iam:permissions:grantRoleToGroup"]],
        room: Room,
    ) -> None:
        """Give a group a role there. Its users have it from their next request on."""
        grant = Grant(group_id, role_id, scope, _place(scope, caller, scope_id))
        await operations.grant_role(room.database, caller, grant)

    @answers_at(router, one, "GET", "HEAD", status=204)
    async def check_role_for_group(
        scope_id: str,
        group_id: str,
        role_id: str,
        caller: Annotated[Caller, May["iam:permissions:checkRoleForGroup"]],
        room: Room,
    ) -> None:
        """Nothing for a role that the group has there, not found for others."""
        grant = Grant(group_id, role_id, scope, _place(scope, caller, scope_id))
        await operations.check_grant(room.database, caller, grant)

    @answers_at(router, one, "DELETE", status=204)
    async def revoke_role_from_group(
        scope_id: str,
        group_id: str,
        role_id: str,
        caller: Annotated[Caller, May["iam:permissions:revokeRoleFromGroup"]],
        room: Room,
    ) -> None:
        """Take a role from a group there. Its users do not have it any more at their next request."""
        grant = Grant(group_id, role_id, scope, _place(scope, caller, scope_id))
        await operations.revoke_role(room.database, caller, grant)


def _place(scope: Scope, caller: Caller, scope_id: str) -> str:
    """The project of a grant on one; else nothing, for the caller's own domain."""
    if scope is Scope.PROJECT:
        return scope_id
    if scope_id != caller.domain_id:
        raise not_found("Could not find domain.")
    return ""


for _scope, (_start, _end) in _PLACES.items():
    _route_grants(_scope, _start, _end)
