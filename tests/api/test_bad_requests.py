"""Requests that cannot be read, whatever they were meant to be: bodies, queries, URLs, methods, credentials."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from installation import Installation
from refusals import check_refused, check_shape, look

UNKNOWN = "00000000-0000-4000-8000-000000000001"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def api(installation: Installation) -> Iterator[httpx.Client]:
    """A client with a token."""
    with installation.http() as client:
        yield client


@pytest.fixture(scope="module")
def stranger(api: httpx.Client) -> Iterator[httpx.Client]:
    """A client without credentials."""
    with httpx.Client(base_url=api.base_url) as client:
        yield client


WITH_BODY = [
    ("POST", "/instances"),
    ("PUT", f"/instances/{UNKNOWN}"),
    ("DELETE", "/instances"),
    ("PUT", "/instances/status"),
    ("PUT", f"/instances/{UNKNOWN}/password"),
    ("POST", f"/instances/{UNKNOWN}/password/reset"),
]
UNREADABLE = {
    "half a body": b'{"name": "abcd"',
    "a word": b"nonsense",
    "a list": b"[]",
    "a text": b'""',
    "a number": b"5",
    "not a number": b'{"name": NaN}',
    "infinity deep inside": b'{"x": [{"y": -Infinity}]}',
    "number beyond all limits": b'{"name": 1e999}',
    "number of five thousand digits": b'{"name": 1' + b"0" * 5000 + b"}",
    "lone surrogate": b'{"name": "\\ud800"}',
    "lone surrogate in a field that is ignored": b'{"other": {"\\udfff": 1}}',
    "lone surrogate as a name": b'{"\\ud800": 1}',
    "NUL": b'{"name": "a\\u0000b"}',
    "raw NUL": b'{"name": "a\x00b"}',
    "not UTF-8": b'{"name": "\xff\xfe\xfd"}',
    "surrogates in UTF-8": b'{"name": "\xed\xa0\x80"}',
    "nested a hundred thousand times": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "opened a million times": b"[" * 1_000_000,
}


@pytest.mark.parametrize(("method", "path"), WITH_BODY, ids=[f"{m} {p}" for m, p in WITH_BODY])
def test_a_body_that_cannot_be_read_is_refused_whole(api: httpx.Client, method: str, path: str):
    before = look(api)
    for name, body in UNREADABLE.items():
        answer = api.request(method, path, content=body, headers=JSON)
        assert answer.status_code == 400, name
        check_refused(answer, "DCS.4005")
    assert look(api) == before


@pytest.mark.parametrize(("method", "path"), WITH_BODY, ids=[f"{m} {p}" for m, p in WITH_BODY])
def test_no_body_at_all_is_said_to_be_empty(api: httpx.Client, method: str, path: str):
    check_refused(api.request(method, path), "DCS.4004")
    check_refused(api.request(method, path, headers=JSON, content=b""), "DCS.4004")


@pytest.mark.parametrize("depth", [100, 900, 940, 950, 960, 970, 980, 990, 1000, 5000])
def test_no_depth_of_nesting_upsets_the_service(api: httpx.Client, depth: int):
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        body = '{"rename_commands":' + opening * depth + "1" + closing * depth + "}"
        for method, path in (("POST", "/instances"), ("PUT", f"/instances/{UNKNOWN}")):
            answer = api.request(method, path, content=body, headers=JSON)
            assert answer.status_code in {400, 404}, answer.text
            check_shape(answer)


def test_the_last_of_two_equal_names_counts(installation: Installation, api: httpx.Client):
    order = json.dumps(installation.order("abcd"))
    doubled = order[:-1] + ', "name": "x"}'
    check_refused(api.post("/instances", content=doubled, headers=JSON), "DCS.4010", "name")


def test_a_body_of_more_than_twelve_megabytes_is_413(api: httpx.Client, installation: Installation):
    order = installation.order(description="x" * (12 * 1024 * 1024))
    check_refused(api.post("/instances", json=order), "APIGW.0201", status=413)

    def pieces() -> Iterator[bytes]:
        for _ in range(13):
            yield b" " * 1024 * 1024

    check_refused(api.post("/instances", content=pieces(), headers=JSON), "APIGW.0201", status=413)


def test_a_body_just_below_the_limit_is_read(api: httpx.Client, installation: Installation):
    order = installation.order(description="x" * (11 * 1024 * 1024))
    check_refused(api.post("/instances", json=order), "DCS.4011", "description")


def test_a_body_without_a_content_type_is_json(api: httpx.Client):
    check_refused(api.post("/instances", content=b"{}"), "DCS.4010", "name")
    check_refused(api.post("/instances", content=b"{}", headers={"Content-Type": "text/plain"}), "DCS.4005")


QUERIES = [
    ("/instances", "limit=0", "limit"),
    ("/instances", "limit=1001", "limit"),
    ("/instances", "limit=abc", "limit"),
    ("/instances", "limit=", "limit"),
    ("/instances", "limit=1.5", "limit"),
    ("/instances", "limit=1&limit=abc", "limit"),
    ("/instances", "offset=-1", "offset"),
    ("/instances", "offset=1" + "0" * 30, "offset"),
    ("/instances", "include_failure=maybe", "include_failure"),
    ("/instances", "include_delete=2", "include_delete"),
    ("/instances", "capacity=lots", "capacity"),
    ("/instances/status", "include_failure=yes", "include_failure"),
    ("/tasks", "limit=0", "limit"),
    ("/tasks", "offset=-5", "offset"),
    ("/tasks", "start_time=yesterday", "start_time"),
    ("/tasks", "start_time=2025-01-01T00:00:00Z", "start_time"),
    ("/tasks", "end_time=20250231000000", "end_time"),
    ("/tasks", "end_time=20250101", "end_time"),
    ("/flavors", "spec_type=cluster", "spec_type"),
    (f"/instances/{UNKNOWN}/tasks", "limit=1001", "limit"),
    (f"/instances/{UNKNOWN}/tasks", "begin_time=x", "start_time"),
]


@pytest.mark.parametrize(
    ("path", "query", "field"), QUERIES, ids=[f"{path}?{query}"[:60] for path, query, _ in QUERIES]
)
def test_a_bad_query_names_its_parameter(api: httpx.Client, path: str, query: str, field: str):
    answer = api.get(f"{path}?{query}")
    # Pages answer the general code; what the product itself reads in a text names the parameter.
    check_refused(answer, "DCS.4800" if field in {"limit", "offset"} else "DCS.4062", field)
    assert field in answer.json()["error_msg"]


MATCHING_NOTHING = [
    "name=%25",
    "name=_",
    "name=%ff",
    "name=%ED%A0%80",
    "name=" + "x" * 5000,
    "name=';--",
    "name_equal=none",
    "status=NONSENSE",
    "status=running",
    "ip=%25",
    "ip=256.256.256.256",
    "tags=no-such-key",
    "tags=a=b=c",
    "capacity=nan",
    "capacity=inf",
    "capacity=1e999",
    "instance_id=nonsense",
    "offset=2147483647",
]


def test_filters_that_match_nothing_list_nothing(installation: Installation, api: httpx.Client):
    made = installation.create("to-be-filtered")
    assert api.get("/instances").json()["instance_num"] == 1
    for query in MATCHING_NOTHING:
        answer = api.get(f"/instances?{query}")
        assert answer.status_code == 200, query
        assert answer.json()["instances"] == [], query
    for query in (
        "name=FILTERED",
        "name_equal=to-be-filtered",
        "name=to-be-filtered&name_equal=true",
        "tags=,,=",
        "",
    ):
        assert len(api.get(f"/instances?{query}").json()["instances"]) == 1, query
    assert api.get("/instances?name=filtered&name_equal=true").json()["instance_num"] == 0
    assert api.delete(f"/instances/{made['instance_id']}").status_code == 204


URLS = [
    "/v2",
    "/v2/",
    "/v3x",
    "/nothing",
    "//",
    "/v2/{project}",
    "/v2/{project}/instances/",
    "/v2/{project}//instances",
    "/v2/{project}/instances/..%2f..%2fquota",
    "/v2/{project}/instances/" + UNKNOWN + "/nonsense",
    "/v2/{project}/instances/" + UNKNOWN + "/",
    "/V2/{project}/instances",
    "/v2/{project}/instances;x=1",
    "/" + "x" * 5000,
]


@pytest.mark.parametrize("path", URLS, ids=[path[:50] for path in URLS])
def test_an_unknown_url_is_404(installation: Installation, api: httpx.Client, path: str):
    url = installation.endpoint + path.format(project=installation.env["project_id"])
    answer = api.get(url)
    check_refused(answer, "DCS.4001", status=404)


METHODS = [
    ("PATCH", "/instances", "DELETE, GET, POST"),
    ("OPTIONS", "/instances", "DELETE, GET, POST"),
    ("POST", f"/instances/{UNKNOWN}", "DELETE, GET, PUT"),
    ("POST", "/quota", "GET"),
    ("TRACE", "/quota", "GET"),
    ("PROPFIND", "/quota", "GET"),
    ("PUT", "/tasks", "GET"),
    ("GET", f"/tasks/{'0' * 32}", "DELETE"),
    ("GET", f"/instances/{UNKNOWN}/password", "PUT"),
]


@pytest.mark.parametrize(("method", "path", "allowed"), METHODS, ids=[f"{m} {p}" for m, p, _ in METHODS])
def test_a_wrong_method_is_405_and_names_the_right_ones(api: httpx.Client, method: str, path: str, allowed: str):
    answer = api.request(method, path)
    check_refused(answer, "DCS.5001", status=405)
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize("place", ["/instances?name=a%00b", "/instances/%00", "/instances?%00=1", "/quota?x=%00"])
def test_a_nul_in_the_url_is_refused(api: httpx.Client, stranger: httpx.Client, place: str):
    check_refused(api.get(place), "DCS.4062", "NUL")
    check_refused(stranger.get(place), "DCS.1003", status=401)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/instances?limit=abc", None),
        ("GET", "/instances/nonsense", None),
        ("GET", "/jobs/nonsense", None),
        ("GET", "/tasks?start_time=x", None),
        *(
            (method, path, body)
            for method, path in WITH_BODY
            for body in (b"", b"{", b"{}", b'{"name":"\\u0000"}')
        ),
    ],
)
def test_who_is_not_signed_in_is_told_that_before_anything_else(
    stranger: httpx.Client, method: str, path: str, body: bytes | None
):
    check_refused(stranger.request(method, path, content=body, headers=JSON), "DCS.1003", status=401)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Auth-Token": "nonsense"},
        {"X-Auth-Token": "\xff\xfe"},
        {"X-Auth-Token": "x" * 10_000},
        {"Authorization": "nonsense"},
        {"Authorization": "SDK-HMAC-SHA256 Access=A, SignedHeaders=x, Signature=y"},
        {"Authorization": "SDK-HMAC-SHA256"},
        {"Authorization": "Bearer x"},
        {"X-Project-Id": "nonsense"},
    ],
    ids=lambda headers: str(headers)[:60],
)
def test_bad_credentials_are_401(stranger: httpx.Client, headers: dict[str, str]):
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = stranger.get("/instances", headers=encoded)
    assert answer.status_code == 401
    check_shape(answer)


def test_a_malformed_project_is_400_and_another_s_is_401(installation: Installation, api: httpx.Client):
    for malformed in ("x", "0" * 31, "%2e%2e", "ä"):
        check_refused(api.get(f"{installation.endpoint}/v2/{malformed}/instances"), "DCS.4002")
    check_refused(api.get(f"{installation.endpoint}/v2/{'0' * 32}/instances"), "DCS.1004", status=401)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/instances"),
        ("GET", "/quota"),
        ("GET", "/nothing"),
        ("PATCH", "/instances"),
        ("POST", "/instances"),
    ],
)
def test_every_answer_has_an_id_of_its_own(api: httpx.Client, method: str, path: str):
    ids = {api.request(method, path, headers={"X-Request-Id": "mine"}).headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3
    assert all(len(one) == 32 for one in ids)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET /v2/\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /v2/x/instances HTTP/1.1\r\nHost: x\r\nContent-Length: abc\r\n\r\n",
        b"POST /v2/x/instances HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v2/x/instances HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999\r\n\r\n",
        b"POST /v2/x/instances HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["noise", "raw bytes in the path", "length is a word", "negative length", "immense length", "bad chunk"],
)
def test_what_is_no_http_upsets_nobody(installation: Installation, api: httpx.Client, sent: bytes):
    with socket.create_connection(("127.0.0.1", installation.port), timeout=10) as connection:
        connection.sendall(sent)
        assert connection.recv(1024).startswith(b"HTTP/1.1 4")
    assert api.get("/quota").status_code == 200


IAM_BODIES: list[Any] = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'{"auth": 1}',
    b'{"auth": {"identity": {"methods": []}}}',
    b'{"auth": {"identity": {"methods": ["password"], "password": {"user": {"password": 5}}}}}',
    (
        b'{"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "a\\u0000", "password": "x",'
        b' "domain": {"name": "\\u0000"}}}}}}'
    ),
    b'{"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "\\ud800", "password": "x"}}}}}',
    b'{"auth": {"identity": {"methods": ["token"], "token": {"id": "\\ud800"}}}}',
    b'{"auth":' * 990 + b"1" + b"}" * 990,
]


@pytest.mark.parametrize("body", IAM_BODIES, ids=[str(body[:60]) for body in IAM_BODIES])
def test_identity_refuses_what_it_cannot_read_in_its_own_shape(installation: Installation, body: bytes):
    answer = httpx.post(f"{installation.endpoint}/v3/auth/tokens", content=body, headers=JSON)
    assert answer.status_code in {400, 401}, answer.text
    assert {"error", "error_code", "error_msg", "request_id"} <= set(answer.json())
    assert "x-request-id" in answer.headers
