"""Files that tenants upload: kept as they are, each project's own, and refused where they cannot be."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.sdk_request import SdkRequest
from huaweicloudsdkcore.signer.signer import Signer
from installation import Installation, eventually
from object_stores import MIB
from postgresql import NewDatabase
from refusals import check_refused
from test_tenants import OTHER, sign_in

LIMIT = 40 * MIB
MOST = 5


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase) -> Iterator[Installation]:
    """A service with two tenants and little room for uploads."""
    settings = {
        "TENANTS": json.dumps([OTHER]),
        "OBJECTS__MAX_UPLOAD_BYTES": str(LIMIT),
        "OBJECTS__MAX_UPLOADS": str(MOST),
        "OBJECTS__UPLOADS_AT_ONCE": "2",
        "OBJECTS__TIMEOUT_SECONDS": "2",
        "OBJECTS__IMPORT_BUCKETS": json.dumps([{"name": "shared-dumps", "projects": ["a" * 32]}]),
    }
    made = Installation(tmp_path_factory.mktemp("uploads"), new_database(), settings)
    try:
        yield made.start()
    finally:
        made.remove()


@pytest.fixture
def api(service: Installation) -> Iterator[httpx.Client]:
    """A client with a token; its uploads are gone after the test."""
    with httpx.Client(
        base_url=f"{service.endpoint}/objects/", headers={"X-Auth-Token": service.token()}, timeout=30
    ) as api:
        yield api
        for one in files(api):
            assert (
                api.delete(f"cachestead/{service.env['project_id']}/{quote(one['file_name'])}").status_code == 204
            )


@pytest.fixture
def other(service: Installation) -> Iterator[httpx.Client]:
    """The other tenant; paths begin at the service."""
    with sign_in(service) as client:
        token = client.headers["X-Auth-Token"]
        with httpx.Client(base_url=f"{service.endpoint}/objects/", headers={"X-Auth-Token": token}) as other:
            yield other


def files(api: httpx.Client, **query: str) -> list[dict[str, Any]]:
    answer = api.get("cachestead", params=query)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["files"])


def where(service: Installation, name: str) -> str:
    return f"cachestead/{service.env['project_id']}/imports/{quote(name)}"


def content(service: Installation, name: str) -> bytes:
    folder = service.folder / "objects" / "cachestead" / service.env["project_id"] / "imports"
    return (folder / name).read_bytes()


@pytest.mark.parametrize("name", ["dump.rdb", "2026/nov/dump.rdb", "with blank & ünïcode #x.rdb", "x" * 240])
def test_a_file_is_kept_as_it_was_sent(service: Installation, api: httpx.Client, name: str) -> None:
    sent = os.urandom(3 * MIB + 1)

    answer = api.put(where(service, name), content=sent)

    assert answer.status_code == 200, answer.text
    told = {"bucket_name": "cachestead", "file_name": f"imports/{name}", "size": len(sent)}
    assert answer.json() == told
    assert files(api) == [told]
    assert content(service, name) == sent


def test_a_file_may_be_larger_than_other_bodies(service: Installation, api: httpx.Client) -> None:
    piece = os.urandom(MIB)

    answer = api.put(where(service, "large"), content=(piece for _ in range(30)))

    assert answer.json()["size"] == 30 * MIB
    assert content(service, "large") == piece * 30


def test_other_bodies_keep_their_limit(service: Installation, api: httpx.Client) -> None:
    with service.http() as v2:
        check_refused(v2.put("/instances/status", content=bytes(13 * MIB)), "APIGW.0201", status=413)
    check_refused(api.post("cachestead", content=bytes(13 * MIB)), "APIGW.0201", status=413)


@pytest.mark.parametrize("known", [True, False], ids=["its size is known", "its size is not known"])
def test_a_file_that_is_too_large_is_refused(service: Installation, api: httpx.Client, *, known: bool) -> None:
    piece = bytes(MIB)
    sent = bytes(LIMIT + 1) if known else (piece for _ in range(41))

    check_refused(api.put(where(service, "large"), content=sent), "APIGW.0201", status=413)

    assert files(api) == []


def test_the_same_name_is_replaced(service: Installation, api: httpx.Client) -> None:
    api.put(where(service, "dump.rdb"), content=b"first and long")
    api.put(where(service, "dump.rdb"), content=b"second")

    assert [one["size"] for one in files(api)] == [6]


def test_an_empty_file_is_one(service: Installation, api: httpx.Client) -> None:
    assert api.put(where(service, "empty")).json()["size"] == 0


NAMES = {
    "none": "",
    "dots": "..",
    "dots inside": "a/../../x",
    "a dot": "a/./b",
    "two slashes": "a//b",
    "a slash at the end": "a/",
    "a tab": "a\tb",
    "a delete": "a\x7fb",
    "a part too long": "x" * 241,
    "too long": "/".join(["x" * 100] * 6),
    "of a file in the making": "dump.rdb#1",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=list(NAMES))
def test_names_that_files_cannot_have_are_refused(service: Installation, api: httpx.Client, name: str) -> None:
    path = f"/objects/cachestead/{service.env['project_id']}/imports/{quote(name, safe='').replace('.', '%2E')}"
    answer = raw(service, api, "PUT", path, b"content")

    check_refused(answer, "DCS.4062", "name")
    assert files(api) == []


@pytest.mark.parametrize(("first", "second"), [("a", "a/b"), ("a/b/c", "a/b"), ("a/b/c", "a")])
def test_a_file_cannot_be_a_folder_too(service: Installation, api: httpx.Client, first: str, second: str) -> None:
    api.put(where(service, first), content=b"x")

    check_refused(api.put(where(service, second), content=b"y"), "DCS.4062", "name")

    assert [one["file_name"] for one in files(api)] == [f"imports/{first}"]


def test_a_list_is_narrowed_by_prefix(service: Installation, api: httpx.Client) -> None:
    for name in ("a/1", "a/2", "b"):
        api.put(where(service, name), content=b"x")

    assert [one["file_name"] for one in files(api, prefix="imports/a/")] == ["imports/a/1", "imports/a/2"]
    assert files(api, prefix="backups/") == []


def test_a_project_has_only_so_many_files(service: Installation, api: httpx.Client) -> None:
    for n in range(MOST):
        assert api.put(where(service, f"{n}"), content=b"x").status_code == 200

    check_refused(api.put(where(service, "more"), content=b"x"), "DCS.4039")
    assert api.put(where(service, "0"), content=b"in its place").status_code == 200


def test_a_deleted_file_is_gone(service: Installation, api: httpx.Client) -> None:
    api.put(where(service, "a/dump.rdb"), content=b"x")

    assert api.delete(where(service, "a/dump.rdb")).status_code == 204
    check_refused(api.delete(where(service, "a/dump.rdb")), "DCS.4001", status=404)
    check_refused(api.delete(where(service, "a")), "DCS.4001", status=404)
    assert files(api) == []


def test_buckets_are_told(service: Installation, api: httpx.Client) -> None:
    assert api.get(f"{service.endpoint}/objects").json() == {"bucket_name": "cachestead", "import_buckets": []}


@pytest.mark.parametrize("bucket", ["another-bucket", "shared-dumps"])
def test_other_buckets_take_nothing(service: Installation, api: httpx.Client, bucket: str) -> None:
    project = service.env["project_id"]

    check_refused(api.put(f"{bucket}/{project}/imports/x", content=b"x"), "DCS.4001", status=404)
    check_refused(api.delete(f"{bucket}/{project}/imports/x"), "DCS.4001", status=404)
    assert api.get(bucket).status_code in {403, 404}


def test_another_s_project_is_out_of_reach(service: Installation, api: httpx.Client, other: httpx.Client) -> None:
    path = where(service, "dump.rdb")
    api.put(path, content=b"of the first")

    check_refused(other.put(path, content=b"of the other"), "DCS.1004", status=401)
    check_refused(other.delete(path), "DCS.1004", status=401)
    assert files(other) == []
    assert content(service, "dump.rdb") == b"of the first"


def test_strangers_are_refused_before_anything_is_read(service: Installation, api: httpx.Client) -> None:
    for path in (where(service, "x"), where(service, ".."), "cachestead/nonsense/imports/x"):
        answer = httpx.put(f"{service.endpoint}/objects/{path}", content=bytes(MIB))
        assert answer.status_code in {401, 404, 405}, answer.text
    check_refused(httpx.put(f"{service.endpoint}/objects/{where(service, 'x')}"), "DCS.1003", status=401)
    check_refused(httpx.get(f"{service.endpoint}/objects/cachestead"), "DCS.1003", status=401)
    assert files(api) == []


def sign(service: Installation, path: str, body: bytes, **headers: str) -> dict[str, str]:
    """Headers by the official SDK."""
    parts = urlsplit(service.endpoint)
    request = SdkRequest(
        "PUT", parts.scheme, parts.netloc, f"/objects/{path}", f"/objects/{path}", [], dict(headers), body
    )
    signed = Signer(BasicCredentials(service.env["access_key"], service.env["secret_key"])).sign(request)
    return dict(signed.header_params)


def test_a_signed_file_is_checked_while_it_comes(service: Installation, api: httpx.Client) -> None:
    path, sent = where(service, "signed.rdb"), os.urandom(MIB)
    headers = sign(service, path, sent, **{"X-Sdk-Content-Sha256": hashlib.sha256(sent).hexdigest()})
    url = f"{service.endpoint}/objects/{path}"

    check_refused(httpx.put(url, headers=headers, content=sent[:-1] + b"?"), "APIGW.0301", status=401)
    check_refused(httpx.put(url, headers=headers, content=sent[:-1]), "APIGW.0301", status=401)
    assert files(api) == []
    assert httpx.put(url, headers=headers, content=sent).status_code == 200
    assert content(service, "signed.rdb") == sent


def test_a_signature_without_the_content_s_hash_is_refused(service: Installation, api: httpx.Client) -> None:
    path = where(service, "signed.rdb")

    answer = httpx.put(f"{service.endpoint}/objects/{path}", headers=sign(service, path, b"x"), content=b"x")

    check_refused(answer, "APIGW.0301", "X-Sdk-Content-Sha256", status=401)
    assert files(api) == []


def test_a_signature_may_waive_the_content(service: Installation, api: httpx.Client) -> None:
    path = where(service, "waived.rdb")
    headers = sign(service, path, b"x", **{"X-Sdk-Content-Sha256": "UNSIGNED-PAYLOAD"})

    answer = httpx.put(f"{service.endpoint}/objects/{path}", headers=headers, content=b"anything")

    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("leaves", [True, False], ids=["that leaves", "that falls silent"])
def test_of_a_client_nothing_stays(service: Installation, api: httpx.Client, *, leaves: bool) -> None:
    with begin(service, api, "half.rdb", 20 * MIB) as connection:
        connection.sendall(bytes(10 * MIB))
        if not leaves:
            eventually(lambda: connection.recv(1) in {b"", b"H"})

    eventually(lambda: not any(service.folder.rglob("half.rdb*")))
    assert files(api) == []


def test_only_so_many_uploads_run_at_once(service: Installation, api: httpx.Client) -> None:
    def look() -> bool:
        """Again if the third came before the others, which one of them was refused for then."""
        with begin(service, api, "a", 2) as first, begin(service, api, "b", 2) as second:
            for connection in (first, second):
                connection.sendall(b"x")
            if api.put(where(service, "c"), content=b"x").status_code != 400:
                return False
            for connection in (first, second):
                connection.sendall(b"y")
                assert connection.recv(12) == b"HTTP/1.1 200"
        return True

    eventually(look)
    assert api.put(where(service, "c"), content=b"x").status_code == 200


def begin(service: Installation, api: httpx.Client, name: str, size: int) -> socket.socket:
    """The head of an upload is sent."""
    connection = socket.create_connection(("127.0.0.1", service.port), timeout=20)
    token = api.headers["X-Auth-Token"]
    head = (
        f"PUT /objects/{where(service, name)} HTTP/1.1\r\nHost: x\r\n"
        f"X-Auth-Token: {token}\r\nContent-Length: {size}\r\n\r\n"
    )
    connection.sendall(head.encode())
    return connection


def raw(service: Installation, api: httpx.Client, method: str, path: str, body: bytes) -> httpx.Response:
    """The answer to a path that is sent as it is: clients tidy paths up."""
    url = httpx.URL(service.endpoint).copy_with(raw_path=path.encode())
    return api.request(method, url, content=body)
