"""Request bodies: what every one of them keeps to.

A field that cannot be read answers its own documented code: the field's annotation names the error
(`Annotated[str, Refused(errors.InvalidName)]`), `refusal` finds it. Unknown fields are ignored, as the public
service ignores them; texts that no database takes (NUL, lone surrogates) are refused with the whole body.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from cachestead import errors


@dataclass(frozen=True)
class Refused:
    """The error of a field that cannot be read."""

    error: type[errors.ServiceError]


class RequestBody(BaseModel):
    """Base of all request bodies."""

    model_config = ConfigDict(extra="ignore", frozen=True, coerce_numbers_to_str=True)

    @model_validator(mode="before")
    @classmethod
    def _readable(cls, raw: Any) -> Any:
        if isinstance(raw, dict):
            for key, value in raw.items():
                _check_text(key, str(key))
                _check_text(value, str(key))
        return raw

    @classmethod
    def refusal(cls, where: Sequence[int | str], problem: str) -> errors.ServiceError:
        """The documented error for a field that could not be read. `where` is its path in the body."""
        name = str(where[0])
        field = cls.model_fields.get(name)
        path = ".".join(str(part) for part in where)
        for extra in field.metadata if field else ():
            if isinstance(extra, Refused):
                return extra.error(f"{path}: {problem}", name=name)
        return errors.InvalidParameter(f"{path}: {problem}", name=name)


def _check_text(value: Any, field: str) -> None:
    if isinstance(value, str):
        if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise errors.MalformedBody(f"{field[:64].encode('ascii', 'replace').decode()}: not a readable text")
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check_text(key, field)
            _check_text(inner, field)
    elif isinstance(value, list):
        for inner in value:
            _check_text(inner, field)
