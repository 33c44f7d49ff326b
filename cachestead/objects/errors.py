"""What can go wrong with objects. No message has a secret in it."""

from __future__ import annotations


class ObjectsError(Exception):
    """Something is wrong with an object or with where it is kept."""


class ObjectMissing(ObjectsError):
    """There is no such key or bucket."""

    def __str__(self) -> str:
        return f"{super().__str__()} is not there"


class ObjectDamaged(ObjectsError):
    """An encrypted object is not what was put: cut off, altered, or encrypted with another key.

    Found out while it is read, if need be at its very end: what was read until then is not to be trusted.
    """


class ObjectsUnavailable(ObjectsError):
    """The store cannot be reached, refuses, is full or takes too long; the message says which."""
