"""What the service does against those who ask too much, too slowly or too often, and what it shows of itself."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkdcs.v2 import DcsClient, ListInstancesRequest
from installation import Installation, eventually
from refusals import check_refused

LIMITS = {
    "LIMITS__HEAD_BYTES": "4096",
    "LIMITS__HEAD_SECONDS": "0.5",
    "LIMITS__BODY_SECONDS": "0.5",
    "LIMITS__REQUESTS_PER_SECOND": "2",
    "LIMITS__BURST": "20",
    "LIMITS__UNSIGNED_PER_SECOND": "1",
    "LIMITS__UNSIGNED_BURST": "40",
}
HTTPS = {"SERVER__TLS": "true"}
SECONDS = 5.0


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """A service of little patience."""
    made = Installation(tmp_path_factory.mktemp("limited"), settings=LIMITS)
    try:
        yield made.start()
    finally:
        made.remove()


@contextlib.contextmanager
def connection(installation: Installation) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", installation.port), SECONDS) as made:
        yield made


def everything(connection: socket.socket) -> bytes:
    """What comes until the connection ends; it must end."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def test_a_large_head_is_refused(limited: Installation) -> None:
    with connection(limited) as large:
        large.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nx-large: " + b"x" * 5000 + b"\r\n\r\n")
        assert everything(large).startswith(b"HTTP/1.1 431 ")


def test_a_head_without_end_is_refused(limited: Installation) -> None:
    with connection(limited) as endless:
        with contextlib.suppress(ConnectionError):
            endless.sendall(b"GET / HTTP/1.1\r\nx-endless: ")
            for _ in range(50):
                endless.sendall(b"x" * 1000)
                time.sleep(0.002)
        assert everything(endless)[:13] in (b"HTTP/1.1 431 ", b"")
    with connection(limited) as usual:
        usual.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert everything(usual).startswith(b"HTTP/1.1 300 ")


@pytest.mark.parametrize(
    "said",
    [b"", b"GET / HTTP/1.1\r\nhost:", b"GET / HTTP/1.1\r\nhost: x\r\n\r\nGET "],
    ids=["nothing", "half", "more"],
)
def test_a_head_that_does_not_come_is_not_waited_for(limited: Installation, said: bytes) -> None:
    with connection(limited) as slow:
        slow.sendall(said)
        begun = time.monotonic()
        everything(slow)
        assert time.monotonic() - begun < SECONDS


def test_a_body_that_does_not_come_is_not_waited_for(limited: Installation) -> None:
    with connection(limited) as slow:
        slow.sendall(b"POST /v3/auth/tokens HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{")
        answer = everything(slow)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"APIGW.0408" in answer


def test_who_asks_too_often_is_told_when_to_come_again(limited: Installation) -> None:
    with limited.http() as api:
        begun = time.monotonic()
        answers = [api.get("/quota") for _ in range(40)]
        seconds = time.monotonic() - begun
        refused = [one for one in answers if one.status_code == 429]
        assert 20 <= len(answers) - len(refused) <= 20 + 2 * seconds + 1
        check_refused(refused[0], "APIGW.0308", status=429)
        assert refused[0].headers["retry-after"] == "1"
        # The command line waits until it may.
        assert limited.run("quota").returncode == 0
        # Whoever else there is may ask meanwhile.
        assert httpx.get(f"{limited.endpoint}/v3").status_code != 429
        eventually(lambda: api.get("/quota").status_code == 200)


def test_strangers_are_counted_by_address(limited: Installation) -> None:
    url = f"{limited.endpoint}/v2/{'0' * 32}/instances"
    with httpx.Client() as stranger:
        codes = [stranger.get(url).status_code for _ in range(60)]
        # Who somebody says to be is not who calls.
        claims = [{"X-Forwarded-For": f"127.7.7.{n}"} for n in range(5)]
        claimed = [stranger.get(url, headers=claim).status_code for claim in claims]

    assert set(codes) == {401, 429}
    assert 429 in claimed
    elsewhere = httpx.HTTPTransport(local_address="127.8.8.8")
    with httpx.Client(transport=elsewhere) as other:
        assert other.get(url).status_code == 401


def test_every_answer_says_what_browsers_may_not(installation: Installation) -> None:
    with installation.http() as api:
        answers = [api.get("/instances"), api.get("/nowhere"), httpx.get(installation.endpoint)]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "strict-transport-security" not in answer.headers
        assert "server" not in answer.headers


def sdk_trusting(installation: Installation, authority: str) -> DcsClient:
    """The official client, told what to trust."""
    env, how = installation.env, HttpConfig.get_default_config()
    how.ssl_ca_cert = authority
    credentials = BasicCredentials(env["access_key"], env["secret_key"], env["project_id"])
    builder = DcsClient.new_builder().with_http_config(how).with_credentials(credentials)
    return builder.with_endpoint(env["endpoint"]).build()


def test_https_with_a_certificate_that_it_made(tmp_path: Path) -> None:
    made = Installation(tmp_path / "data", settings=HTTPS)
    try:
        made.start()
        authority = made.env["ca_file"]
        url = f"https://localhost:{made.port}/v2/{'0' * 32}/instances"
        with httpx.Client(verify=ssl.create_default_context(cafile=authority)) as client:
            answer = client.get(url)
            assert answer.status_code == 401
            assert answer.headers["strict-transport-security"].startswith("max-age=")
            assert client.get(url.replace("localhost", "127.0.0.1")).status_code == 401
        with pytest.raises(httpx.ConnectError):
            httpx.get(url)
        assert made.env["endpoint"] == f"https://127.0.0.1:{made.port}"
        # The command line finds the authority by itself.
        assert made.run("quota").returncode == 0
        assert sdk_trusting(made, authority).list_instances(ListInstancesRequest()).instance_num == 0
        assert made.run("env").stdout.count(authority) == 2
        assert f'ca_file: "{authority}"' in made.run("env", "--format", "prometheus").stdout
        assert (tmp_path / "data" / "tls" / "service.pem").stat().st_mode & 0o077 == 0
        before = Path(authority).read_bytes()
        made.stop()
        made.start()
        assert Path(authority).read_bytes() == before
    finally:
        made.remove()


def test_https_with_a_certificate_of_ones_own(tmp_path: Path) -> None:
    first = Installation(tmp_path / "first", settings=HTTPS)
    try:
        first.start().stop()
        folder = tmp_path / "first" / "tls"
        given = dict.fromkeys(("SERVER__CERTIFICATE", "SERVER__PRIVATE_KEY"), str(folder / "service.pem"))
        second = Installation(tmp_path / "second", settings=HTTPS | given)
        try:
            second.start()
            trust = ssl.create_default_context(cafile=folder / "ca.crt")
            url = f"https://localhost:{second.port}/v3"
            assert httpx.get(url, verify=trust).status_code < 500
            assert "ca_file" not in second.env
            assert not (tmp_path / "second" / "tls").exists()
        finally:
            second.remove()
    finally:
        first.remove()
