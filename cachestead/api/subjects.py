"""What a request acts on, for policies that go by it: every instance of the project that it names in any way.

It looks at each text in path, query and body rather than at the fields of an operation, so that no operation can
be forgotten. The database is asked only where some policy of the caller depends on the answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from fastapi import Request

from cachestead.domain.policies import Subject, attribute_key, depends_on_subject, tag_key
from cachestead.identity.callers import Caller
from cachestead.store.database import Database
from cachestead.store.named import list_named, list_unfinished

BODY = "body"
"""Where `Authentication` leaves the body in the request's state."""
_LENGTHS = (32, 36)
_CREATE = "dcs:instance:create"
_FAILED = "all_failure"
"""The one parameter that means instances without naming them: those whose creation failed."""
_ENTERPRISE_PROJECT = attribute_key("g:EnterpriseProjectId")


async def find_subjects(
    request: Request, caller: Caller, action: str, region: str, database: Database
) -> list[Subject]:
    """What the caller wants to do the action on; one that stands for all where nothing is named."""
    service, kind, _ = action.split(":")
    own = _attributes_of(caller)
    unnamed = Subject(f"{service}:{region}:{caller.domain_id}:{kind}:*", own)
    limits = [caller.limits] if caller.limits else []
    if service != "dcs" or not depends_on_subject([*caller.permissions.policies_for(action), *limits], action):
        return [unnamed]
    body = _read(request.scope.get("state", {}).get(BODY))
    ids = {text.strip().lower() for text in _texts_of(request, body)}
    async with database.reading() as tx:
        named = await list_named(tx, caller.project, (one for one in ids if len(one) in _LENGTHS))
        if request.query_params.get(_FAILED, "").lower() == "true":
            named += await list_unfinished(tx, caller.project)
    found = [
        Subject(
            f"dcs:{region}:{caller.domain_id}:instance:{one.id}",
            own
            | {_ENTERPRISE_PROJECT: one.enterprise_project_id}
            | {tag_key(key): value for key, value in one.tags},
        )
        for one in named
    ]
    if action == _CREATE:
        found.append(Subject(unnamed.resource, own | _attributes_of_order(body)))
    return found or [unnamed]


def _attributes_of(caller: Caller) -> dict[str, str]:
    return {
        attribute_key("g:UserId"): caller.user_id,
        attribute_key("g:UserName"): caller.user_name,
        attribute_key("g:DomainId"): caller.domain_id,
        attribute_key("g:ProjectName"): caller.project_name or "",
    }


def _attributes_of_order(body: Any) -> dict[str, str]:
    """Those that an instance will have."""
    if not isinstance(body, dict):
        return {}
    tags = body.get("tags")
    pairs = [one for one in tags if isinstance(one, dict)] if isinstance(tags, list) else []
    found = {tag_key(str(one.get("key"))): str(one.get("value") or "") for one in pairs}
    return found | {_ENTERPRISE_PROJECT: str(body.get("enterprise_project_id") or "0")}


def _read(body: bytes | None) -> Any:
    """The body as routes read it, with the same reader; one that they cannot read names nothing."""
    try:
        return json.loads(body) if body else None
    except (ValueError, RecursionError):
        return None


def _texts_of(request: Request, body: Any) -> Iterator[str]:
    yield from (str(value) for value in request.path_params.values())
    for _, value in request.query_params.multi_items():
        yield from value.split(",")
    waiting = [body]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield from one.split(",")
        elif isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
