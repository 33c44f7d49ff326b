"""Limits hold under TLS as they do without, and for what comes before the first request."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator

import httpx
import pytest
from installation import Installation

PATIENCE = 0.5
SETTINGS = {
    "SERVER__TLS": "true",
    "LIMITS__HEAD_BYTES": "4096",
    "LIMITS__HEAD_SECONDS": str(PATIENCE),
    "LIMITS__BODY_SECONDS": str(PATIENCE),
}
SECONDS = 10.0
"""Within which a connection must have ended that nobody goes on with; a busy machine is slow."""


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An HTTPS service of little patience."""
    made = Installation(tmp_path_factory.mktemp("secure"), settings=SETTINGS)
    try:
        yield made.start()
    finally:
        made.remove()


@pytest.fixture(scope="module")
def trust(secure: Installation) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=secure.folder / "tls" / "ca.crt")


@pytest.fixture(autouse=True)
def goes_on(secure: Installation, trust: ssl.SSLContext) -> Iterator[None]:
    """Whatever somebody does, the next one is served, and the log tells no story of it."""
    before = len(secure.log())
    yield
    assert httpx.get(f"https://127.0.0.1:{secure.port}/v3", verify=trust).status_code < 500
    assert "Traceback" not in secure.log()[before:]


@contextlib.contextmanager
def connection(secure: Installation) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", secure.port), SECONDS) as made:
        yield made


@contextlib.contextmanager
def session(secure: Installation, trust: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    with connection(secure) as plain, trust.wrap_socket(plain, server_hostname="127.0.0.1") as made:
        yield made


def everything(connection: socket.socket) -> bytes:
    """What comes until the connection ends; it must end."""
    parts = []
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def client_hello(trust: ssl.SSLContext) -> bytes:
    """What a client says first."""
    said = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        trust.wrap_bio(ssl.MemoryBIO(), said, server_hostname="127.0.0.1").do_handshake()
    return said.read()


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0], ids=["nothing", "half of it", "no more"])
def test_a_handshake_that_does_not_come_is_not_waited_for(
    secure: Installation, trust: ssl.SSLContext, share: float
) -> None:
    hello = client_hello(trust)
    with connection(secure) as slow:
        slow.sendall(hello[: int(len(hello) * share)])
        begun = time.monotonic()
        everything(slow)
    assert PATIENCE / 2 < time.monotonic() - begun < SECONDS


def test_who_speaks_plainly_is_sent_away_at_once(secure: Installation) -> None:
    with connection(secure) as plain:
        plain.sendall(b"GET /v3 HTTP/1.1\r\nhost: x\r\n\r\n")
        assert not everything(plain).startswith(b"HTTP/")
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{secure.port}/v3")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_versions_are_refused(secure: Installation, trust: ssl.SSLContext) -> None:
    old = ssl.create_default_context(cafile=secure.folder / "tls" / "ca.crt")
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with connection(secure) as plain, pytest.raises((ssl.SSLError, ConnectionError)):
        old.wrap_socket(plain, server_hostname="127.0.0.1")
    with session(secure, trust) as usual:
        assert usual.version() in ("TLSv1.2", "TLSv1.3")


def test_a_large_head_is_refused(secure: Installation, trust: ssl.SSLContext) -> None:
    with session(secure, trust) as large:
        large.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nx-large: " + b"x" * 5000 + b"\r\n\r\n")
        assert everything(large).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nhost:"], ids=["nothing", "half"])
def test_a_head_that_does_not_come_is_not_waited_for(
    secure: Installation, trust: ssl.SSLContext, said: bytes
) -> None:
    with session(secure, trust) as slow:
        slow.sendall(said)
        assert everything(slow) == b""


def test_a_body_that_does_not_come_is_not_waited_for(secure: Installation, trust: ssl.SSLContext) -> None:
    with session(secure, trust) as slow:
        slow.sendall(b"POST /v3/auth/tokens HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{")
        assert everything(slow).startswith(b"HTTP/1.1 408 ")
