"""An installation on this machine as files and records have it: what commands read without the service.

Kept apart from `bootstrap` so that a command need not load everything that the service is.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from cachestead.identity import seed
from cachestead.identity.certificates import authority_file
from cachestead.identity.secrets import Vault
from cachestead.objects.keys import ObjectKeys
from cachestead.settings import NamesSettings, Settings
from cachestead.store import facts
from cachestead.store.database import Database

SCRAPE_TOKEN = "scrape_token"  # noqa: S105 - the name of a fact
OBJECT_KEYS = "object_keys"


class NotInitialised(Exception):
    """The data directory has never been started."""


def client_environment(settings: Settings) -> dict[str, str]:
    """What clients of the first tenant need. Raises `NotInitialised` before the first start."""

    async def read() -> dict[str, str]:
        database = open_database(settings)
        try:
            known = await seed.client_environment(database, Vault.at(settings.data_dir), settings)
            authority = find_authority(settings)
            return known | _names_environment(settings.names) | ({"ca_file": str(authority)} if authority else {})
        finally:
            await database.close()

    if not (settings.data_dir / "keys").is_dir():
        raise NotInitialised(str(settings.data_dir))
    try:
        return asyncio.run(read())
    except LookupError as missing:
        raise NotInitialised(str(settings.data_dir)) from missing


def scrape_token(settings: Settings) -> str:
    """What opens `/metrics`. Raises `NotInitialised` before the first start."""

    async def read() -> str | None:
        database = open_database(settings)
        try:
            return await find_scrape_token(database, Vault.at(settings.data_dir), settings)
        finally:
            await database.close()

    if not (settings.data_dir / "keys").is_dir() or (token := asyncio.run(read())) is None:
        raise NotInitialised(str(settings.data_dir))
    return token


def object_identity(settings: Settings) -> str:
    """What decrypts objects with the `age` program. Raises `NotInitialised` before the first start."""

    async def read() -> ObjectKeys | None:
        database = open_database(settings)
        try:
            return await find_object_keys(database, Vault.at(settings.data_dir))
        finally:
            await database.close()

    if not (settings.data_dir / "keys").is_dir() or (keys := asyncio.run(read())) is None:
        raise NotInitialised(str(settings.data_dir))
    return keys.identity


def _names_environment(names: NamesSettings) -> dict[str, str]:
    """Where domain names are answered; nothing if they are not."""
    return {"dns_host": str(names.host), "dns_port": str(names.port)} if names.enabled else {}


def open_database(settings: Settings) -> Database:
    """The records' database, not yet migrated."""
    return Database(database_url(settings), settings.store.pool_size)


def database_url(settings: Settings) -> str:
    """Where the records are."""
    return settings.store.database_url or f"sqlite:///{settings.data_dir / 'cachestead.sqlite'}"


def find_authority(settings: Settings) -> Path | None:
    """What clients of the API have to trust that nobody else trusts; None where there is no such thing."""
    file = authority_file(settings.data_dir / "tls")
    return file if settings.server.tls and settings.server.certificate is None and file.exists() else None


async def find_scrape_token(database: Database, vault: Vault, settings: Settings) -> str | None:
    """What opens `/metrics`: the setting, else what was made up at the first start; None before that."""
    if settings.monitoring.token is not None:
        return settings.monitoring.token.get_secret_value()
    async with database.reading() as tx:
        sealed = await facts.find_fact(tx, SCRAPE_TOKEN)
    return str(vault.open(sealed)["token"]) if sealed else None


async def find_object_keys(database: Database, vault: Vault) -> ObjectKeys | None:
    """What encrypts objects and signs links, as it was made up at the first start; None before that."""
    async with database.reading() as tx:
        sealed = await facts.find_fact(tx, OBJECT_KEYS)
    return ObjectKeys(**vault.open(sealed)) if sealed else None
