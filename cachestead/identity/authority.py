"""The installation's certificate authority: made once, it signs what its nodes, and the service, show to clients.

A node's key is made where its certificate is and kept nowhere else, so that renewing one is making both anew. Keys
are on the curve P-256, which every TLS library of the last decade knows.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cachestead.domain.ssl import CertificateNames

AUTHORITY_DAYS = 30 * 365
"""Clients keep the authority's certificate; there is no way to give all of them another one in time."""
_CLOCKS_DIFFER = timedelta(hours=1)


@dataclass(frozen=True)
class Authority:
    """Signs certificates of nodes."""

    certificate: str
    """PEM, what clients trust."""
    key: str = field(repr=False)
    """PEM."""

    @classmethod
    def made_up(cls, now: datetime) -> Self:
        """A new one."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Cachestead CA")])
        certificate = (
            _builder(name, name, key.public_key(), now, timedelta(days=AUTHORITY_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(_pem(certificate), _key_pem(key))

    @property
    def fingerprint(self) -> str:
        """What tells this authority from others, in hex."""
        return self._certificate.fingerprint(hashes.SHA256()).hex()

    def issue(self, names: CertificateNames, now: datetime, days: int) -> str:
        """A new key and its certificate, in one PEM text: who has it is the node, until the certificate ends."""
        key, ours = ec.generate_private_key(ec.SECP256R1()), self._certificate
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names.domains[0][:64])])
        alternatives = [
            *(x509.DNSName(one) for one in names.domains),
            *(x509.IPAddress(ipaddress.ip_address(one)) for one in names.addresses),
        ]
        authority = serialization.load_pem_private_key(self.key.encode(), password=None)
        assert isinstance(authority, ec.EllipticCurvePrivateKey), "made up here"
        certificate = (
            _builder(subject, ours.subject, key.public_key(), now, timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            # Nodes of a cluster are each other's clients.
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False
            )
            .sign(authority, hashes.SHA256())
        )
        return _key_pem(key) + _pem(certificate)

    @property
    def _certificate(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.certificate.encode())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, life: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
