"""System parameter templates: one per version and type, with the version's own defaults.

Ids are small numbers as texts, as the public service prints them. Reference: section 4.14.
"""

from __future__ import annotations

from cachestead.domain.instances import Mode

_VERSIONS = ("4.0", "5.0", "6.0", "7.0")
SYSTEM_TEMPLATES: dict[str, tuple[str, Mode]] = {
    str(number): (version, mode)
    for number, (version, mode) in enumerate(((version, mode) for version in _VERSIONS for mode in Mode), 1)
}
"""Version and type of each system template, by id."""


def is_known_template(template_id: str, version: str, mode: Mode) -> bool:
    """Whether an instance of this version and type can be made from the template."""
    return SYSTEM_TEMPLATES.get(template_id) == (version, mode)
