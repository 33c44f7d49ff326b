"""The roles that every tenant has: read once from the data that ships with the product."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from functools import cache
from importlib import resources

from cachestead.domain.roles import Role

_NAMESPACE = uuid.UUID("7f5cf1f1-98e1-4b06-9ac2-2a8a6d5f5b0e")


@cache
def system_roles() -> Mapping[str, Role]:
    """Every one by its id, which is made of its name and so the same everywhere."""
    text = resources.files("cachestead.domain").joinpath("data/policies.json").read_text()
    found = [
        Role(
            id=uuid.uuid5(_NAMESPACE, one["name"]).hex,
            name=one["name"],
            display_name=one["display_name"],
            type="AA",
            description=one["description"],
            document=one["policy"],
        )
        for one in json.loads(text)
    ]
    return {role.id: role for role in found}


@cache
def find_system_role(name: str) -> Role | None:
    """The one of this name."""
    return next((role for role in system_roles().values() if role.name == name), None)
