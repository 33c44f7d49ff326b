"""Guessing passwords: a locked user opens by itself, and an address that guesses is held off, whoever it asks for."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest
from installation import Installation, eventually
from postgresql import NewDatabase

LOCKED_SECONDS, MOST = 2.0, 6
PASSWORD = "Passw0rd-of-it"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase) -> Iterator[Installation]:
    settings = {
        "IDENTITY__LOCKOUT_ATTEMPTS": "2",
        "IDENTITY__LOCKOUT_MINUTES": str(LOCKED_SECONDS / 60),
        "IDENTITY__FAILURES_PER_MINUTE": str(MOST),
    }
    made = Installation(tmp_path_factory.mktemp("guessing"), new_database(), settings)
    try:
        yield made.start()
    finally:
        made.remove()


def sign_in(service: Installation, user: str, password: str, address: str) -> httpx.Response:
    """An attempt that comes from this address."""
    proof = {"name": user, "password": password, "domain": {"name": service.env["domain"]}}
    auth = {"auth": {"identity": {"methods": ["password"], "password": {"user": proof}}}}
    with httpx.Client(transport=httpx.HTTPTransport(local_address=address), timeout=30) as client:
        return client.post(f"{service.endpoint}/v3/auth/tokens", json=auth)


def new_user(service: Installation, name: str) -> None:
    headers = {"X-Auth-Token": service.token()}
    body = {"user": {"name": name, "password": PASSWORD}}
    assert httpx.post(f"{service.endpoint}/v3/users", json=body, headers=headers).status_code == 201


def test_a_locked_user_is_refused_for_so_long_and_then_is_not(service: Installation) -> None:
    new_user(service, "locked")
    assert sign_in(service, "locked", PASSWORD, "127.0.0.2").status_code == 201
    begun = time.monotonic()
    for _ in range(2):
        assert sign_in(service, "locked", "wrong", "127.0.0.2").status_code == 401
    eventually(
        lambda: sign_in(service, "locked", PASSWORD, f"127.0.1.{time.monotonic_ns() % 250 + 1}").status_code == 201
    )
    assert time.monotonic() - begun >= LOCKED_SECONDS


def test_a_right_password_begins_the_count_anew(service: Installation) -> None:
    new_user(service, "forgiven")
    for _ in range(3):
        assert sign_in(service, "forgiven", "wrong", "127.0.0.3").status_code == 401
        assert sign_in(service, "forgiven", PASSWORD, "127.0.0.3").status_code == 201


def test_an_address_is_held_off_and_others_are_not(service: Installation) -> None:
    new_user(service, "wanted")
    for number in range(MOST):
        assert sign_in(service, f"nobody-{number}", "wrong", "127.0.0.4").status_code == 401
    held_off = sign_in(service, "wanted", PASSWORD, "127.0.0.4")
    assert held_off.status_code == 429
    assert held_off.json()["error"]["code"] == 429
    assert sign_in(service, "wanted", PASSWORD, "127.0.0.5").status_code == 201
