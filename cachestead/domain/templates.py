"""Parameter templates: values to make instances with, for one version and type.

There is a system template for each version and type, with the service's own defaults, and projects make their own
from them. Ids of system templates are small numbers as texts, as the public service prints them. Reference:
section 4.14.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from cachestead import errors
from cachestead.domain.instances import Mode

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{3,63}")
_LONGEST_DESCRIPTION = 1024
_VERSIONS = ("4.0", "5.0", "6.0", "7.0")
_OLDEST_ID = 6
"""Those before are of versions that are no longer on offer."""


class TemplateKind(StrEnum):
    """Whose template it is."""

    SYSTEM = "sys"
    USER = "user"


@dataclass(frozen=True)
class Template:
    """A template as the records, or this file, have it."""

    id: str
    kind: TemplateKind
    name: str
    engine_version: str
    mode: Mode
    description: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Values that were chosen; the others are the defaults."""
    created_at: datetime | None = None
    """None of system templates."""

    def fits(self, version: str, mode: Mode) -> bool:
        """Whether an instance of this version and type can be made from it."""
        return (self.engine_version, self.mode) == (version, mode)


@dataclass(frozen=True)
class TemplateFilter:
    """What a caller may filter templates by; None matches all."""

    template_id: str | None = None
    name: str | None = None
    """Part of it, in any case."""
    description: str | None = None
    """The same."""
    engine_version: str | None = None
    mode: str | None = None

    def matches(self, template: Template) -> bool:
        """Whether the template passes."""
        return (
            self.template_id in (None, template.id)
            and (self.name or "").lower() in template.name.lower()
            and (self.description or "").lower() in (template.description or "").lower()
            and self.engine_version in (None, template.engine_version)
            and self.mode in (None, template.mode)
        )


def _system_templates() -> dict[str, Template]:
    # Proxies end with version 6.0.
    kinds = [(v, mode) for v in _VERSIONS for mode in Mode if v != "7.0" or not mode.has_proxies]
    return {
        str(number): Template(
            str(number), TemplateKind.SYSTEM, f"Default-Redis-{version}-{mode}-generic-DRAM", version, mode
        )
        for number, (version, mode) in enumerate(kinds, _OLDEST_ID)
    }


SYSTEM_TEMPLATES = _system_templates()
"""The system templates, by id."""


def check_template_name(name: str) -> str:
    """4-64 letters, digits and `_.-`; those of the system templates are taken."""
    if not _NAME.fullmatch(name):
        raise errors.InvalidParameter(
            "name: 4-64 letters, digits, _, . and -, beginning with a letter or digit", name="name"
        )
    if name in {one.name for one in SYSTEM_TEMPLATES.values()}:
        raise name_taken(name)
    return name


def name_taken(name: str) -> errors.InvalidParameter:
    """The error for a name that another template has."""
    return errors.InvalidParameter(f"name: there is a template {name}", name="name")


def check_template_description(description: str | None) -> str | None:
    """Free text of at most 1024 characters."""
    if description is not None and len(description) > _LONGEST_DESCRIPTION:
        raise errors.InvalidParameter(f"description: up to {_LONGEST_DESCRIPTION} characters", name="description")
    return description
