"""Request bodies: what every one of them keeps to.

A field that cannot be read answers its own documented code: the field's annotation names the error
(`Annotated[str, Refused(errors.InvalidName)]`), `refusal` finds it. Unknown fields are ignored, as the public
service ignores them; what JSON or a database does not take (NaN, NUL, lone surrogates) is refused with the body.
"""

from __future__ import annotations

import math
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
                _check_value(key, str(key))
                _check_value(value, str(key))
        return raw

    @classmethod
    def refusal(cls, where: Sequence[int | str], problem: str) -> errors.ServiceError:
        """The documented error for a field that could not be read. `where` is its path in the body."""
        name = str(where[0])
        field = cls.model_fields.get(name)
        path = ".".join(str(part) for part in where)
        for extra in field.metadata if field else ():
            if isinstance(extra, Refused):
                return extra.error(f"{path}: {problem.removeprefix('Value error, ')}", name=name)
        return errors.InvalidParameter(f"{path}: {problem}", name=name)


def _check_value(value: Any, field: str) -> None:
    # Not by recursion: bodies may be nested more deeply than calls.
    pending = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, dict):
            pending += one.keys()
            pending += one.values()
        elif isinstance(one, list):
            pending += one
        elif not _is_readable(one):
            raise errors.MalformedBody(f"{field[:64].encode('ascii', 'replace').decode()}: not readable")


def _is_readable(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if not isinstance(value, str):
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\x00" not in value
