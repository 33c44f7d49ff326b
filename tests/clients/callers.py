"""Ways to call an operation by its id: the official SDK with AK/SK, and plain HTTP with a token.

Both take the body as JSON values and give the answer as an object with the wire's field names, so that one story can
be told with each. What the SDK's models lose or spoil on the way is lost and spoilt here too: that is the point.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import huaweicloudsdkdcs.v2 as models
from huaweicloudsdkcore.exceptions.exceptions import ServiceResponseException
from installation import Installation

Json = dict[str, Any]


class Refused(Exception):
    """The service's answer was an error."""

    def __init__(self, status: int, code: str, sentence: str) -> None:
        super().__init__(f"{status} {code} {sentence}")
        self.status, self.code, self.sentence = status, code, sentence


class Call(Protocol):
    """Calls an operation: its id, its body, and its parameters by name."""

    def __call__(self, operation: str, body: Json | None = None, **parameters: Any) -> Any: ...


def sdk_caller(installation: Installation) -> Call:
    """The vendor's SDK; each request is signed."""
    client = installation.sdk()

    def call(operation: str, body: Json | None = None, **parameters: Any) -> Any:
        name = "".join(word.capitalize() for word in operation.split("_")) + "Request"
        kind = getattr(models, name)
        if body is not None:
            parameters["body"] = _model(kind.openapi_types["body"], body)
        try:
            return getattr(client, operation)(kind(**parameters))
        except ServiceResponseException as refusal:
            raise Refused(refusal.status_code, refusal.error_code, refusal.error_msg) from refusal

    return call


def _model(kind: str, value: Any) -> Any:
    """A value as the SDK's users write it: objects of its classes where it has one."""
    if item := re.fullmatch(r"list\[(.+)\]", kind):
        return [_model(item[1], one) for one in value]
    made = getattr(models, kind, None)
    if made is None:
        return value
    return made(**{name: _model(made.openapi_types[name], one) for name, one in value.items()})


def token_caller(installation: Installation) -> Call:
    """HTTP and JSON by hand, with a token."""
    client, project = installation.http(), installation.env["project_id"]
    client.base_url = installation.endpoint
    with (Path(__file__).parents[2] / "scripts" / "operations.csv").open(newline="") as file:
        operations = {one["id"]: (one["method"], one["path"]) for one in csv.DictReader(file)}

    def call(operation: str, body: Json | None = None, **parameters: Any) -> Any:
        method, path = operations[operation]
        inside = {name: parameters.pop(name) for name in re.findall(r"{(\w+)}", path) if name in parameters}
        url = path.format(project_id=project, **inside)
        answer = client.request(method, url, params=parameters, json=body)
        if answer.is_error:
            error = answer.json()
            raise Refused(answer.status_code, error["error_code"], error["error_msg"])
        return json.loads(answer.content or "null", object_hook=lambda fields: SimpleNamespace(**fields))

    return call


CALLERS: dict[str, Callable[[Installation], Call]] = {"sdk-with-keys": sdk_caller, "http-with-token": token_caller}
