"""The service's own certificate, where nobody gives it one: signed by an authority that this installation made up.

Made at the first start with HTTPS; renewed at any start that finds it old, or made for other names. Keys are
readable by their owner only, and never leave the folder; `ca.crt` is what clients trust.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFE, LIFE, RENEWED_BEFORE = timedelta(days=3650), timedelta(days=397), timedelta(days=60)
_EARLIER = timedelta(hours=1)
"""Clocks differ: a certificate is good for a moment before it was made."""


@dataclass(frozen=True)
class CertificateFiles:
    """Where a certificate and its key are (PEM)."""

    certificate: Path
    private_key: Path


@dataclass(frozen=True)
class _Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def authority_file(folder: Path) -> Path:
    """What clients trust."""
    return folder / "ca.crt"


def ensure_certificate(folder: Path, names: Sequence[str], now: datetime) -> CertificateFiles:
    """A certificate for these names and addresses, good for a while yet."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = CertificateFiles(folder / "service.crt", folder / "service.key")
    if not _is_good(files, authority_file(folder), names, now):
        authority = _ensure_authority(folder, now)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _issue(authority, key.public_key(), names, now)
        # The key first: a certificate without its key is made anew at the next start.
        _write(files.private_key, _key_text(key))
        _write(files.certificate, _text(certificate) + _text(authority.certificate))
    return files


def _is_good(files: CertificateFiles, authority: Path, names: Sequence[str], now: datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        key = serialization.load_pem_private_key(files.private_key.read_bytes(), None)
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.read_bytes()))
    except (OSError, ValueError, TypeError):
        return False
    known = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return (
        certificate.public_key() == key.public_key()
        and known == _names(names)
        and certificate.not_valid_after_utc - now > RENEWED_BEFORE
    )


def _ensure_authority(folder: Path, now: datetime) -> _Authority:
    """The authority there is, unless it would end before what it signs."""
    place, key_place = authority_file(folder), folder / "ca.key"
    try:
        certificate = x509.load_pem_x509_certificate(place.read_bytes())
        key = serialization.load_pem_private_key(key_place.read_bytes(), None)
    except (OSError, ValueError):
        pass
    else:
        is_ours = isinstance(key, ec.EllipticCurvePrivateKey) and certificate.public_key() == key.public_key()
        if is_ours and certificate.not_valid_after_utc - now > LIFE:
            assert isinstance(key, ec.EllipticCurvePrivateKey), "just looked at"
            return _Authority(certificate, key)
    fresh = ec.generate_private_key(ec.SECP256R1())
    made = _Authority(_self_sign(fresh, now), fresh)
    _write(key_place, _key_text(fresh))
    _write(place, _text(made.certificate))
    return made


def _self_sign(key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Cachestead service authority")])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        _begin(subject, subject, key.public_key(), now, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, SHA256())
    )


def _issue(
    authority: _Authority, key: ec.EllipticCurvePublicKey, names: Sequence[str], now: datetime
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Cachestead service")])
    issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    return (
        _begin(subject, authority.certificate.subject, key, now, LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_names(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(issuer_key, critical=False)
        .sign(authority.key, SHA256())
    )


def _begin(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.serial_number(x509.random_serial_number())
    return builder.not_valid_before(now - _EARLIER).not_valid_after(now + life)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _names(names: Sequence[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([_name(one) for one in sorted(set(names))])


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _text(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_text(key: ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _write(path: Path, content: bytes) -> None:
    """The file holds this, readable by its owner only; never half of it."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    fresh.replace(path)
