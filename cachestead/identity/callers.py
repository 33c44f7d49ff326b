"""Who is calling: the one value that authentication yields and every access check reads.

Holds no secret, so it may appear in logs and in records of work.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """A user, in the domain it belongs to, working on one project (or on the domain as a whole)."""

    user_id: str
    user_name: str
    domain_id: str
    domain_name: str
    project_id: str | None
    project_name: str | None
    roles: tuple[str, ...]
