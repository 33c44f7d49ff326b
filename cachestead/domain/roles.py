"""Roles: policies with a name, the system's and those that tenants write, and where groups have them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any

from cachestead.domain.policies import Policy, parse_policy

_IDENTITY = "iam:"
_NAME = re.compile(r"[^\x00-\x1f<>\"'&]{1,64}")
TYPES = ("AX", "XA", "AA")
"""Where a role is meant to be granted: on the domain, on projects, on both."""


class Scope(StrEnum):
    """Where a grant is in force."""

    DOMAIN = "domain"
    """For identity, which belongs to no project."""
    PROJECT = "project"
    EVERYWHERE = "everywhere"
    """In the domain and in all of its projects."""


@dataclass(frozen=True)
class Role:
    """A policy with a name."""

    id: str
    name: str
    display_name: str
    type: str
    description: str
    document: Mapping[str, Any]
    domain_id: str | None = None
    """None: the system's."""
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @cached_property
    def policy(self) -> Policy:
        """What the document says."""
        return parse_policy(self.document)


@dataclass(frozen=True, slots=True)
class Grant:
    """A group has a role somewhere."""

    group_id: str
    role_id: str
    scope: Scope
    project_id: str = ""
    """Of a grant on a project."""

    def is_in_force(self, project_id: str | None) -> bool:
        """Whether it is for somebody at work on this project, or (None) on identity."""
        if self.scope is Scope.PROJECT:
            return self.project_id == project_id
        return self.scope is Scope.EVERYWHERE or project_id is None


@dataclass(frozen=True, slots=True)
class Permissions:
    """The roles in force for somebody: where identity is concerned, and in the project."""

    identity: tuple[Role, ...] = ()
    project: tuple[Role, ...] = ()

    def roles_for(self, action: str) -> tuple[Role, ...]:
        """Those that count for an action."""
        return self.identity if action.startswith(_IDENTITY) else self.project

    def policies_for(self, action: str) -> list[Policy]:
        """The same, as what they say."""
        return [role.policy for role in self.roles_for(action)]


def find_role_name_fault(name: str) -> str | None:
    """What is wrong with the name of a role, or None."""
    return None if _NAME.fullmatch(name) else "1 to 64 characters, without quotation marks, &, < and >"
