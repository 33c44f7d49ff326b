"""A tenant besides the first, and how it signs in."""

from __future__ import annotations

import json

import httpx
from installation import Installation

OTHER = {
    "domain": "other-company",
    "user": "boss",
    "password": "Other-password-1",
    "access_key": "OTHERACCESSKEY",
    "secret_key": "other-secret-key-of-some-length",
}
WITH_OTHER = {"TENANTS": json.dumps([OTHER])}
"""Settings of an installation that has it."""


def sign_in(installation: Installation) -> httpx.Client:
    """The other tenant with a token; paths begin at its project."""
    user = {"name": OTHER["user"], "password": OTHER["password"], "domain": {"name": OTHER["domain"]}}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}
    answer = httpx.post(f"{installation.endpoint}/v3/auth/tokens", json=body)
    assert answer.status_code == 201, answer.text
    project = answer.json()["token"]["project"]["id"]
    headers = {"X-Auth-Token": answer.headers["X-Subject-Token"]}
    return httpx.Client(base_url=f"{installation.endpoint}/v2/{project}", headers=headers, timeout=60)
