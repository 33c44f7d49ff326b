"""What users and groups may be called, and which passwords are too weak."""

from __future__ import annotations

import re

_NAME = re.compile(r"[A-Za-z_.-][A-Za-z0-9 _.-]{0,63}")
_GROUP = re.compile(r"[^\x00-\x1f<>/\\]{1,128}")
_EMAIL = re.compile(r"[^@\s\x00]{1,64}@[^@\s\x00]{1,190}")
_KINDS = (r"[a-z]", r"[A-Z]", r"[0-9]", r"[^A-Za-z0-9\s]")
_SHORTEST, _LONGEST = 8, 32
KEYS_PER_USER = 2
"""Permanent access keys of a user, as in the public service."""


def find_name_fault(name: str) -> str | None:
    """What is wrong with the name of a user, or None."""
    if _NAME.fullmatch(name) and not name.endswith(" "):
        return None
    return (
        "1 to 64 letters, digits, spaces, hyphens, underscores and full stops, neither a digit nor a space first"
    )


def find_group_fault(name: str) -> str | None:
    """What is wrong with the name of a group, or None."""
    return None if _GROUP.fullmatch(name) and name.strip() == name else "1 to 128 characters"


def find_email_fault(email: str) -> str | None:
    """What is wrong with a mail address, or None; an empty one is none."""
    return None if not email or _EMAIL.fullmatch(email) else "a mail address"


def find_password_fault(password: str, name: str) -> str | None:
    """What is wrong with a password of the user of this name, or None."""
    if not _SHORTEST <= len(password) <= _LONGEST or not password.isprintable():
        return f"{_SHORTEST} to {_LONGEST} characters"
    if sum(bool(re.search(kind, password)) for kind in _KINDS) < 2:
        return "at least two of: capital letters, small letters, digits, other characters"
    if name.lower() in (password.lower(), password.lower()[::-1]):
        return "not the user's name, nor the name backwards"
    return None
