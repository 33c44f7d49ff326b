"""The command line over a stand-in service."""

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parent))

from stand_in import PROJECT, Service

from cachestead.cli.main import app


@pytest.fixture
def service():
    service = Service()
    yield service
    service.server.shutdown()
    service.server.server_close()


@pytest.fixture
def run(service, monkeypatch):
    for key, value in {
        "ENDPOINT": service.endpoint, "IAM_ENDPOINT": service.endpoint + "/v3", "USER": "admin", "PASSWORD": "pass word",
        "DOMAIN": "cachestead", "PROJECT_ID": PROJECT, "VPC_ID": "vpc", "SUBNET_ID": "subnet",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"CACHESTEAD_{key}", value)
    return lambda *words, **more: CliRunner().invoke(app, list(words), **more)
