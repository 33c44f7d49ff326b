"""Users' passwords: kept as scrypt hashes, compared in constant time.

Both functions take tens of milliseconds on purpose; callers in the event loop run them in a thread. A user that
does not exist costs as much as a wrong password, so that names cannot be found by timing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os

_COST, _BLOCK, _LANES = 2**14, 8, 1
_LENGTH = 32


def hash_password(password: str) -> str:
    """The text to store: the parameters, the salt and the hash."""
    salt = os.urandom(16)
    digest = _scrypt(password, salt, _COST, _BLOCK, _LANES)
    return f"scrypt${_COST}${_BLOCK}${_LANES}${_text(salt)}${_text(digest)}"


def is_password(password: str, stored: str | None) -> bool:
    """Whether the password is the one that was hashed; None stands for a user that does not exist."""
    if stored is None:
        _scrypt(password, b"nobody has this.", _COST, _BLOCK, _LANES)
        return False
    _name, cost, block, lanes, salt, digest = stored.split("$")
    found = _scrypt(password, base64.b64decode(salt), int(cost), int(block), int(lanes))
    return hmac.compare_digest(found, base64.b64decode(digest))


def password_stamp(stored: str) -> str:
    """A short mark of the stored hash: tokens carry it, so that a new password ends the old tokens."""
    return hashlib.sha256(stored.encode()).hexdigest()[:16]


def _scrypt(password: str, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    # "surrogatepass": JSON may carry lone surrogates, which are a wrong password and not a failure of ours.
    secret = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(secret, salt=salt, n=cost, r=block, p=lanes, maxmem=2**26, dklen=_LENGTH)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
