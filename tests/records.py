"""What the service has written down, and with it the control plane's own clients of nodes and proxies."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import redis
from installation import Installation
from sqlalchemy import Connection, create_engine, make_url, select

from cachestead.domain.instances import Mode
from cachestead.domain.orders import DEFAULT_PORT
from cachestead.engine.acl import ADMIN
from cachestead.identity.secrets import Vault
from cachestead.store.tables import instances


@contextlib.contextmanager
def reading(installation: Installation) -> Iterator[Connection]:
    """A connection to what the service has written down."""
    url = installation.database_url or f"sqlite:///{installation.folder / 'cachestead.sqlite'}"
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg") if installation.database_url else url
    )
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def admin_of(installation: Installation, instance: dict[str, Any], address: str) -> redis.Redis:
    """A node's own client of the control plane, for what tenants may not ask."""
    with reading(installation) as connection:
        sealed = connection.scalar(select(instances.c.secrets).where(instances.c.id == instance["instance_id"]))
    secret = Vault.at(installation.folder).open(sealed)["admin"]
    # Behind proxies nodes keep their port whatever the instance's is.
    port = DEFAULT_PORT if Mode(instance["cache_mode"]).has_proxies else instance["port"]
    login = {"username": ADMIN, "password": secret, "protocol": 2}
    return redis.Redis(address, port, decode_responses=True, socket_timeout=2, **login)
