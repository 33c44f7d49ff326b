"""Bodies of chapter 4.7, Tag Management."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from cachestead import errors
from cachestead.api.bodies import RequestBody
from cachestead.api.schemas.lifecycle import Tag

ACTIONS = ("create", "delete")


class CreateOrDeleteTags(RequestBody):
    """Body of batch_create_or_delete_tags."""

    action: str
    tags: list[dict[str, Any]]

    def checked_action(self) -> str:
        """The action; raises `InvalidParameter`: the sentence of `InvalidAction` is about other actions."""
        if self.action not in ACTIONS:
            raise errors.InvalidParameter(f"action: one of {', '.join(ACTIONS)}", name="action")
        return self.action


class TagsOut(BaseModel):
    """Answer of show_tags."""

    tags: list[Tag]

    @classmethod
    def of(cls, tags: Mapping[str, str]) -> TagsOut:
        """An instance's tags, by key."""
        return cls(tags=[Tag(key=key, value=value) for key, value in sorted(tags.items())])


class TagValues(BaseModel):
    """A key with the values it has on some instance."""

    key: str
    values: list[str]


class TagValuesOut(BaseModel):
    """Answer of list_tags_of_tenant."""

    tags: list[TagValues]

    @classmethod
    def of(cls, values: Mapping[str, list[str]]) -> TagValuesOut:
        """The values by key."""
        return cls(tags=[TagValues(key=key, values=found) for key, found in values.items()])
