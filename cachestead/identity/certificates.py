"""The service's own certificate, where nobody gives it one: signed by the installation's authority.

Made at the first start with HTTPS; renewed at any start that finds it old, damaged, or made for other names.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization

from cachestead.domain.ssl import CertificateNames
from cachestead.identity.authority import Authority

LIFE_DAYS, RENEWED_BEFORE = 397, timedelta(days=60)


def names_for(hosts: Iterable[str]) -> CertificateNames:
    """These domain names and addresses, told apart."""
    domains, addresses = set(), set()
    for host in hosts:
        try:
            addresses.add(str(ipaddress.ip_address(host)))
        except ValueError:
            domains.add(host)
    return CertificateNames(tuple(sorted(domains)), tuple(sorted(addresses)))


def authority_file(folder: Path) -> Path:
    """What clients trust."""
    return folder / "ca.crt"


def ensure_certificate(folder: Path, authority: Authority, names: CertificateNames, now: datetime) -> Path:
    """A file (PEM, readable by its owner only) with a key and its certificate, good for a while yet."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / "service.pem"
    if not _is_good(file, authority, names, now):
        _write(file, authority.issue(names, now, LIFE_DAYS))
    _write(authority_file(folder), authority.certificate)
    return file


def _is_good(file: Path, authority: Authority, names: CertificateNames, now: datetime) -> bool:
    try:
        text = file.read_bytes()
        certificate = x509.load_pem_x509_certificate(text)
        key = serialization.load_pem_private_key(text, None)
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate.encode()))
    except (OSError, ValueError, TypeError, InvalidSignature):
        return False
    known = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return (
        certificate.public_key() == key.public_key()
        and set(known.get_values_for_type(x509.DNSName)) == set(names.domains)
        and set(map(str, known.get_values_for_type(x509.IPAddress))) == set(names.addresses)
        and certificate.not_valid_after_utc - now > RENEWED_BEFORE
    )


def _write(path: Path, text: str) -> None:
    """The file holds this, readable by its owner only; never half of it."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.touch(mode=0o600)
    fresh.write_text(text)
    fresh.replace(path)
