"""The vault: what encrypts secret keys and passwords before they are stored.

The key is a file of its own (`keys/vault.key` in the data directory, readable by its owner only), made at the
first start, so that a copy of the database alone gives nothing away. Every line of the file is a key: the first
seals, all open, which is how a key is replaced. Sealed text is authenticated: it opens unchanged or not at all.
"""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path
from typing import Any, Self

import orjson
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class VaultError(Exception):
    """The vault's key file is unusable, or something was sealed with a key that is not in it."""


class Vault:
    """Seals and opens small records."""

    def __init__(self, keys: list[bytes]) -> None:
        if not keys:
            raise VaultError("the vault's key file is empty")
        try:
            self._records = MultiFernet([Fernet(key) for key in keys])
        except ValueError:
            raise VaultError("the vault's key file is damaged") from None
        self._keys = tuple(keys)

    def __repr__(self) -> str:
        return f"Vault({len(self._keys)} keys)"

    @classmethod
    def at(cls, data_dir: Path) -> Self:
        """The vault of this data directory; its key is made if there is none."""
        return cls(_ensure_key_file(data_dir / "keys" / "vault.key").split())

    def seal(self, record: dict[str, Any]) -> str:
        """The record as text that only this vault opens."""
        return self._records.encrypt(orjson.dumps(record)).decode()

    def open(self, sealed: str) -> dict[str, Any]:
        """The record that was sealed; `VaultError` if it was not sealed here or was changed since."""
        try:
            record: dict[str, Any] = orjson.loads(self._records.decrypt(sealed.encode()))
        except InvalidToken:
            raise VaultError("sealed with another key, or damaged; is keys/vault.key the right one?") from None
        return record

    def derived(self, purpose: str) -> MultiFernet:
        """Encryption for another purpose, with keys that tell nothing about the vault's own."""
        return MultiFernet([Fernet(_derive(key, purpose)) for key in self._keys])


def _derive(key: bytes, purpose: str) -> bytes:
    derivation = HKDF(algorithm=SHA256(), length=32, salt=None, info=f"cachestead {purpose}".encode())
    return base64.urlsafe_b64encode(derivation.derive(base64.urlsafe_b64decode(key)))


def _ensure_key_file(path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    if not path.exists():
        _make_key_file(path)
    path.chmod(0o600)
    return path.read_bytes()


def _make_key_file(path: Path) -> None:
    """Write a new key so that it appears whole or not at all, and never over one that is already there."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(Fernet.generate_key() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return  # another process was first: its key is the one
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        draft.unlink()
