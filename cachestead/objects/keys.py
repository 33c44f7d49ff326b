"""The secrets of an installation's objects: made up once, kept with its other secrets, the same ever after."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Self

from pyrage import x25519


@dataclass(frozen=True)
class ObjectKeys:
    """What encrypts objects, and what signs links to them."""

    identity: str = field(repr=False)
    """An identity of age (`AGE-SECRET-KEY-1…`)."""
    links: str = field(repr=False)

    @classmethod
    def made_up(cls) -> Self:
        """New ones."""
        return cls(str(x25519.Identity.generate()), secrets.token_urlsafe(32))
