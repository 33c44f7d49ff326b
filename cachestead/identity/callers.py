"""Who is calling: the one value that authentication yields and every access check reads.

Holds no secret, so it may appear in logs and in records of work.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cachestead.domain.policies import Policy
from cachestead.domain.roles import Permissions
from cachestead.errors import ProjectMismatch


@dataclass(frozen=True, slots=True)
class Caller:
    """A user, in the domain it belongs to, working on one project (or on the domain as a whole)."""

    user_id: str
    user_name: str
    domain_id: str
    domain_name: str
    project_id: str | None
    project_name: str | None
    permissions: Permissions = field(repr=False)
    access_key: str | None = None
    """What the request was signed with; None for a token."""
    is_temporary: bool = False
    """Whether that key expires by itself."""
    limits: Policy | None = field(default=None, repr=False)
    """What a temporary key was limited to."""
    until: int | None = None
    """When the token or the temporary key expires, in UTC epoch milliseconds."""

    @property
    def project(self) -> str:
        """The project's id; raises `ProjectMismatch` for a caller that works on the domain as a whole."""
        if self.project_id is None:
            raise ProjectMismatch("the token is scoped to a domain, not to a project")
        return self.project_id

    @property
    def roles(self) -> tuple[str, ...]:
        """Names of the roles in force where the caller works."""
        found = self.permissions.identity if self.project_id is None else self.permissions.project
        return tuple(role.name for role in found)
