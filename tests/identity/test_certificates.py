"""The service's own certificate: what it is good for, and when there is another."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store

from cachestead.identity.certificates import LIFE, RENEWED_BEFORE, authority_file, ensure_certificate

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAMES = ("cache.example", "127.0.0.1")


def shown(folder: Path, names: tuple[str, ...] = NAMES, now: datetime = NOW) -> bytes:
    return ensure_certificate(folder, names, now).certificate.read_bytes()


def test_it_is_good_for_its_names_and_no_others(tmp_path: Path) -> None:
    leaf, *between = x509.load_pem_x509_certificates(shown(tmp_path))
    store = Store(x509.load_pem_x509_certificates(authority_file(tmp_path).read_bytes()))
    policy = PolicyBuilder().store(store).time(NOW)

    policy.build_server_verifier(x509.DNSName("cache.example")).verify(leaf, between)
    with pytest.raises(x509.verification.VerificationError):
        policy.build_server_verifier(x509.DNSName("other.example")).verify(leaf, between)


def test_it_stays_until_it_is_old_or_for_other_names(tmp_path: Path) -> None:
    first, authority = shown(tmp_path), authority_file(tmp_path).read_bytes()

    assert shown(tmp_path, now=NOW + LIFE - RENEWED_BEFORE - timedelta(days=1)) == first
    renewed = shown(tmp_path, now=NOW + LIFE - RENEWED_BEFORE + timedelta(days=1))
    assert renewed != first
    assert shown(tmp_path, ("other.example",)) != renewed
    assert authority_file(tmp_path).read_bytes() == authority


def test_an_authority_that_is_old_is_another(tmp_path: Path) -> None:
    shown(tmp_path)
    authority = authority_file(tmp_path).read_bytes()

    shown(tmp_path, now=NOW + timedelta(days=3600))

    assert authority_file(tmp_path).read_bytes() != authority


@pytest.mark.parametrize("name", ["service.key", "service.crt", "ca.crt", "ca.key"])
def test_what_is_damaged_is_made_anew(tmp_path: Path, name: str) -> None:
    shown(tmp_path)
    (tmp_path / name).write_text("damaged")

    [leaf, authority] = x509.load_pem_x509_certificates(shown(tmp_path))

    leaf.verify_directly_issued_by(authority)
    if name != "ca.key":  # which is only looked at when something is to be signed
        assert authority == x509.load_pem_x509_certificate(authority_file(tmp_path).read_bytes())
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())
