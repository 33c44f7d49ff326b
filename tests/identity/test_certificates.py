"""The service's own certificate: what it is good for, and when there is another."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from cachestead.identity.authority import Authority
from cachestead.identity.certificates import (
    LIFE_DAYS,
    RENEWED_BEFORE,
    authority_file,
    ensure_certificate,
    names_for,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("cache.example", "127.0.0.1")
AUTHORITY = Authority.made_up(NOW)
OLD = NOW + timedelta(days=LIFE_DAYS) - RENEWED_BEFORE


def shown(
    folder: Path, names: tuple[str, ...] = NAMES, now: datetime = NOW, authority: Authority = AUTHORITY
) -> bytes:
    return ensure_certificate(folder, authority, names_for(names), now).read_bytes()


def test_it_is_good_for_its_names_and_no_others(tmp_path: Path) -> None:
    leaf, *between = x509.load_pem_x509_certificates(shown(tmp_path))
    store = Store(x509.load_pem_x509_certificates(authority_file(tmp_path).read_bytes()))
    policy = PolicyBuilder().store(store).time(NOW)

    policy.build_server_verifier(x509.DNSName("cache.example")).verify(leaf, between)
    with pytest.raises(x509.verification.VerificationError):
        policy.build_server_verifier(x509.DNSName("other.example")).verify(leaf, between)


def test_it_stays_until_it_is_old_or_for_other_names(tmp_path: Path) -> None:
    first = shown(tmp_path)

    assert shown(tmp_path, now=OLD - timedelta(days=1)) == first
    renewed = shown(tmp_path, now=OLD + timedelta(days=1))
    assert renewed != first
    assert shown(tmp_path, ("other.example", "127.0.0.1")) != renewed


def test_one_of_another_authority_is_made_anew(tmp_path: Path) -> None:
    first, other = shown(tmp_path), Authority.made_up(NOW)

    leaf = x509.load_pem_x509_certificate(shown(tmp_path, authority=other))

    assert shown(tmp_path, authority=other) != first
    assert authority_file(tmp_path).read_text() == other.certificate
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(other.certificate.encode()))


@pytest.mark.parametrize("name", ["service.pem", "ca.crt"])
def test_what_is_damaged_is_made_anew(tmp_path: Path, name: str) -> None:
    shown(tmp_path)
    (tmp_path / name).write_text("damaged")

    leaf = x509.load_pem_x509_certificate(shown(tmp_path))

    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(authority_file(tmp_path).read_bytes()))
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())
