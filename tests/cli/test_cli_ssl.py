"""`instance ssl …` against a stand-in, and once for real."""

import pytest
from installation import Installation, client_of
from real_engines import ENGINES
from stand_in import ID, RUNNING

PATH = f"/instances/{ID}/ssl"


@pytest.fixture
def sessions(service):
    """A service with an instance without SSL."""
    service.answers |= {
        ("GET", "/instances"): (200, {"instances": [RUNNING]}),
        ("GET", PATH): (204, None),
        ("PUT", PATH): (200, {"job_id": "job", "instance_id": ID}),
    }
    return service


def test_it_is_switched_on_and_off(sessions, run):
    assert run("instance", "ssl", "enable", "sessions", "--yes").exit_code == 0
    assert run("instance", "ssl", "disable", "sessions", "--yes").exit_code == 0

    assert sessions.sent("PUT", PATH) == [{"enabled": True}, {"enabled": False}]


def test_a_restart_is_not_begun_unasked(sessions, run):
    assert run("instance", "ssl", "enable", "sessions", input="n\n").exit_code != 0

    assert sessions.sent("PUT", PATH) == []


def test_what_is_off_is_shown_as_such(sessions, run):
    result = run("instance", "ssl", "show", "sessions", "--output", "json")

    assert (result.exit_code, result.stdout.strip()) == (0, '{\n  "enabled": false\n}')


@pytest.mark.skipif(not any(one.has_tls for one in ENGINES), reason="no engine here has TLS")
def test_for_real_clients_trust_what_is_downloaded(installation: Installation, tmp_path):
    made = installation.create("by-hand")
    switched = installation.run("instance", "ssl", "enable", "by-hand", "--yes", "--wait")
    assert switched.returncode == 0, switched.stderr
    authority = tmp_path / "ca.crt"
    assert installation.run("instance", "ssl", "certificate", "by-hand", "--to", str(authority)).returncode == 0
    printed = installation.run("instance", "ssl", "certificate", "by-hand")
    assert printed.stdout == authority.read_text()
    with client_of(made, ssl=True, ssl_ca_certs=str(authority), ssl_check_hostname=True) as client:
        assert client.ping()
    assert "ssl_validated" in installation.run("instance", "ssl", "show", "by-hand").stdout
