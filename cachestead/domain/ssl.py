"""Encrypted connections (SSL) of instances: which may have them, at which ports, and whom a certificate names.

With SSL on, clients reach an instance at its port as before, now by TLS only. Its nodes speak without it to each
other, to the Sentinels and to the control plane, at a port of their own beside. Reference: section 4.11.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cachestead import errors
from cachestead.domain.instances import Instance, Mode, Node
from cachestead.domain.names import domain_name, has_readonly_name, readonly_domain_name

SSL_VERSIONS = ("6.0", "7.0")
SSL_MODES = frozenset({Mode.SINGLE, Mode.HA, Mode.CLUSTER})
LINK_SECONDS = 24 * 3600
"""How long a link to the certificate is good."""
ARCHIVE_NAME, CERTIFICATE_NAME = "ssl.zip", "ca.crt"
_PLAIN_PORTS = (16380, 16381)


@dataclass(frozen=True)
class CertificateNames:
    """Whom a node's certificate is for."""

    domains: tuple[str, ...]
    addresses: tuple[str, ...]


@dataclass(frozen=True)
class Endpoint:
    """How an instance is reached by TLS, as it was just seen."""

    ip: str
    port: int
    domain_name: str
    expires_at: datetime | None
    """When the first of its nodes' certificates ends; None where no node showed one."""
    is_valid: bool
    """Whether every node showed a certificate that clients trust."""


def may_have_ssl(instance: Instance) -> bool:
    """Whether instances of this type and version can have SSL."""
    return instance.engine_version in SSL_VERSIONS and instance.mode in SSL_MODES


def check_ssl(instance: Instance) -> None:
    """The same; raises `SslNotSupported`."""
    if not may_have_ssl(instance):
        raise errors.SslNotSupported(
            f"instance {instance.id} is {instance.mode} of version {instance.engine_version}"
        )


def plain_port(port: int) -> int:
    """Where nodes listen without TLS, if clients come to `port` with it."""
    return next(one for one in _PLAIN_PORTS if one != port)


def port_of_nodes(instance: Instance, *, enabled: bool) -> int:
    """Where the instance's nodes listen without TLS, if SSL is switched so."""
    return plain_port(instance.port) if enabled else instance.port


def check_new_port(instance: Instance, port: int) -> None:
    """Clients may come there. Raises `InvalidParameter` for the port where nodes listen without TLS."""
    if instance.enable_ssl and any(node.port == port for node in instance.nodes):
        raise errors.InvalidParameter(f"port: {port} is in use by nodes while SSL is on", name="port")


def client_port(instance: Instance, node: Node) -> int:
    """Where clients reach the node."""
    return instance.port if instance.enable_ssl else node.port


def names_of(instance: Instance, node: Node, zone: str) -> CertificateNames:
    """Every name and address by which clients may come to the node, whatever its role is then."""
    domains = [domain_name(instance.id, zone)]
    if has_readonly_name(instance.mode):
        domains.append(readonly_domain_name(instance.id, zone))
    shared = () if instance.mode is Mode.CLUSTER else (instance.ip,)
    return CertificateNames(tuple(domains), tuple(dict.fromkeys((node.address, *shared))))
