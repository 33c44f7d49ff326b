"""Terraform's provider as it goes over the wire: the Go client's signature, headers, waits and pages.

There is no Terraform here, so this repeats what its sources do, including what makes it panic or wait for ever.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import httpx
from installation import Installation, eventually

Json = dict[str, Any]

ABORTING = {"CREATEFAILED", "ERROR", "FROZEN"}
OK_CODES = {"GET": {200}, "POST": {200, 201, 202}, "PUT": {200, 201, 202}, "DELETE": {200, 202, 204}}
BUSY = {
    f"DCS.{number}"
    for number in (4026, 4049, 4096, 4097, 4111, 4113, 4114, 4115, 4116, 4117, 4118, 4120, 4121, 4231, 4975)
}
"""Codes that make the provider wait for RUNNING and ask again."""


class GoClient:
    """golangsdk with AK/SK: Host is not signed, some headers are added after signing, bodies end in a newline."""

    def __init__(self, installation: Installation) -> None:
        self._env, self._endpoint = installation.env, installation.endpoint
        self._http = httpx.Client(timeout=60)

    def ask(
        self, method: str, path: str, body: Json | None = None, *, ok: set[int] | None = None, pager: bool = False
    ) -> Any:
        """The answer's JSON (None without a body); raises `httpx.HTTPStatusError` where the Go client fails."""
        answer = self.send(method, path, body, pager=pager)
        if answer.status_code not in (ok or OK_CODES[method]):
            raise httpx.HTTPStatusError(answer.text, request=answer.request, response=answer)
        if pager:
            assert answer.headers["Content-Type"].startswith("application/json")
        return answer.json() if answer.content else None

    def send(self, method: str, path: str, body: Json | None = None, *, pager: bool = False) -> httpx.Response:
        """The answer, whatever it is. `{}` in the path is the project's id."""
        content = b"" if body is None else json.dumps(body).encode() + b"\n"
        url = self._endpoint + path.replace("{}", self._env["project_id"])
        headers = {
            "accept": "application/json",
            "content-type": "application/json;charset=utf8" if pager else "application/json",
            "user-agent": "huaweicloud terraform-provider/1.97.0",
            "x-sdk-date": datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ"),
        }
        headers["authorization"] = self._signature(method, url, headers, content)
        headers["x-project-id"] = self._env["project_id"]
        return self._http.request(method, url, headers=headers, content=content)

    def _signature(self, method: str, url: str, headers: dict[str, str], content: bytes) -> str:
        parts = urlsplit(url)
        path = "/".join(quote(part, safe="-_.~") for part in unquote(parts.path).split("/"))
        query = urlencode(sorted(parse_qsl(parts.query, keep_blank_values=True)), quote_via=quote)
        signed = ";".join(sorted(headers))
        lines = "".join(f"{name}:{headers[name].strip()}\n" for name in sorted(headers))
        body_hash = hashlib.sha256(content).hexdigest()
        canonical = "\n".join([method, path.rstrip("/") + "/", query, lines, signed, body_hash])
        hashed = hashlib.sha256(canonical.encode()).hexdigest()
        to_sign = f"SDK-HMAC-SHA256\n{headers['x-sdk-date']}\n{hashed}"
        signature = hmac.new(self._env["secret_key"].encode(), to_sign.encode(), hashlib.sha256).hexdigest()
        return f"SDK-HMAC-SHA256 Access={self._env['access_key']}, SignedHeaders={signed}, Signature={signature}"

    def pages(self, path: str, size: int) -> Iterator[list[Any]]:
        """Pages until an empty one, as the generic pager asks: the next offset is what it has seen."""
        offset, separator = 0, "&" if "?" in path else "?"
        while True:
            body = self.ask("GET", f"{path}{separator}limit={size}&offset={offset}", pager=True)
            page = the_only_list(body)
            if not page:
                return
            yield page
            offset += len(page)

    def wait_running(self, instance_id: str) -> Json:
        """RUNNING twice in a row without a task, as the provider waits after every change."""
        seen: list[Json] = []

        def look() -> Json | None:
            now: Json = self.ask("GET", f"/v2/{{}}/instances/{instance_id}")
            assert now["status"] not in ABORTING
            ready = now["status"] == "RUNNING" and now.get("task") is None
            seen[:] = [*seen, now] if ready else []
            return now if len(seen) == 2 else None

        return eventually(look)

    def wait_gone(self, instance_id: str) -> None:
        """Until 404: every other refusal is an error, and no answer may call the instance DELETED."""

        def look() -> bool:
            answer = self.send("GET", f"/v2/{{}}/instances/{instance_id}")
            assert answer.status_code in (200, 404), answer.text
            assert answer.status_code == 404 or answer.json()["status"] != "DELETED"
            return answer.status_code == 404

        eventually(look)


def the_only_list(body: Any) -> list[Any]:
    """The array of a list's answer. The pager takes the first it meets in random order, so there must be one only."""
    assert isinstance(body, dict)
    [found] = [value for value in body.values() if isinstance(value, list)]
    return list(found)
