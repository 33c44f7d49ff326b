"""Every route of the product against everybody who may not call it, and against who just may.

The table is made of the routes themselves: one that is added is in it, whatever it does. What needs no action, or
none for one's own, is listed here by name, so that nothing is open by omission.
"""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from contract import MISSING, OPERATIONS
from fastapi.routing import APIRoute
from installation import Installation
from postgresql import NewDatabase
from second_tenant import WITH_OTHER, sign_in

from cachestead.api.access import access_of
from cachestead.api.app import ROUTERS
from cachestead.identity.secrets import Vault
from cachestead.identity.system_roles import find_system_role
from cachestead.identity.tokens import Tokens

READ_ONLY = {one for statement in find_system_role("readonly").policy.statements for one in statement.actions}
ROUTES = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
GUARDED = sorted(
    ((method, route) for route in ROUTES if access_of(route) != "public" for method in route.methods),
    key=lambda one: (one[1].path, one[0]),
)
WITH_ACTION = [one for one in GUARDED if access_of(one[1]) != "signed in"]
PUBLIC = {"scrape", "follow_link", "list_versions", "show_version", "create_token", "refuse_unknown"}
"""What asks for no token: it has a secret of its own, tells nothing, or gives the token."""
OF_ONES_OWN = {
    "keystone_show_user": "iam:users:getUser",
    "show_user": "iam:users:getUser",
    "list_groups_for_user": "iam:groups:listGroupsForUser",
    "list_permanent_access_keys": "iam:credentials:listCredentials",
    "create_permanent_access_key": "iam:credentials:createCredential",
    "show_permanent_access_key": "iam:credentials:getCredential",
    "update_permanent_access_key": "iam:credentials:updateCredential",
    "delete_permanent_access_key": "iam:credentials:deleteCredential",
}
"""What everybody may do with what is the own, and with another's by an action."""
OF_EVERYBODY = {
    "list_flavors", "list_maintenance_windows", "show_quota_of_tenant", "list_available_zones", "show_token",
    "show_catalog", "list_projects", "show_project", "list_own_projects", "list_own_domains", "list_regions",
    "show_region", "update_own_password", "create_temporary_access_key",
}  # fmt: skip
"""What everybody who is signed in may do: look at what can be ordered, and at oneself."""
OWN = [one for one in GUARDED if one[1].name in OF_ONES_OWN]
ANOTHERS = "0" * 32
NOT_ROUTED = set(Path(__file__).with_name("not_routed.txt").read_text().split())
OTHERS_OF_CES = {"ces.0015", "ces.0017", "ces.0003"}


def name_of(one: tuple[str, APIRoute]) -> str:
    return f"{one[0]} {one[1].path}"


def every(routes: list[tuple[str, APIRoute]]) -> Any:
    return pytest.mark.parametrize("one", routes, ids=name_of)


@dataclass
class World:
    """A service with a user whose one policy is written anew for each row."""

    installation: Installation
    admin: httpx.Client
    other: dict[str, str]
    user: dict[str, str]
    guest: dict[str, str]
    nobody: dict[str, str]
    role_id: str
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def call(
        self, one: tuple[str, APIRoute], headers: dict[str, str], user_id: str | None = None
    ) -> httpx.Response:
        """The route with ids of nothing, and nothing in its body but the user's id where one is given."""
        method, route = one
        ids = dict.fromkeys(route.param_convertors, "0" * 32) | {
            "instance_id": str(uuid.uuid4()),
            "project_id": self.installation.env["project_id"],
        }
        path = route.path.replace(":path}", "}").format(**ids)
        url = self.installation.endpoint + path
        query: dict[str, str] = {"user_id": user_id} if user_id else {}
        body = {"credential": {"user_id": user_id}} if user_id else {}
        sent = body if method in ("POST", "PUT", "PATCH", "DELETE") else None
        return httpx.request(method, url, headers=headers, params=query, json=sent, timeout=30)

    def allow(self, *statements: dict[str, Any]) -> None:
        """The user's policy says this from now on."""
        answer = self.admin.patch(f"/v3.0/OS-ROLE/roles/{self.role_id}", json=policy("only", *statements))
        assert answer.status_code == 200, answer.text


def policy(name: str, *statements: dict[str, Any]) -> dict[str, Any]:
    document = {"Version": "1.1", "Statement": list(statements)}
    return {"role": {"display_name": name, "type": "XA", "description": "", "policy": document}}


def statement(effect: str, *actions: str) -> dict[str, Any]:
    return {"Effect": effect, "Action": list(actions)}


def new_user(admin: httpx.Client, installation: Installation, name: str, role_id: str | None) -> dict[str, str]:
    """Headers of a user whose group has the role everywhere."""
    body = {"user": {"name": name, "password": "Passw0rd-of-it"}}
    user = admin.post("/v3/users", json=body).json()["user"]
    group = admin.post("/v3/groups", json={"group": {"name": name}}).json()["group"]
    assert admin.put(f"/v3/groups/{group['id']}/users/{user['id']}").status_code == 204
    if role_id is not None:
        place = f"/v3/OS-INHERIT/domains/{user['domain_id']}/groups/{group['id']}/roles/{role_id}"
        assert admin.put(f"{place}/inherited_to_projects").status_code == 204
    proof = {"user": {"id": user["id"], "password": "Passw0rd-of-it"}}
    auth = {"auth": {"identity": {"methods": ["password"], "password": proof}}}
    token = httpx.post(f"{installation.endpoint}/v3/auth/tokens", json=auth).headers["X-Subject-Token"]
    return {"X-Auth-Token": token}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase) -> Iterator[World]:
    made = Installation(tmp_path_factory.mktemp("access-table"), new_database(), WITH_OTHER)
    try:
        made.start()
        with (
            httpx.Client(base_url=made.endpoint, headers={"X-Auth-Token": made.token()}) as admin,
            sign_in(made) as other,
        ):
            role = admin.post("/v3.0/OS-ROLE/roles", json=policy("only", statement("Allow", "dcs:job:get"))).json()
            role_id = role["role"]["id"]
            yield World(
                made,
                admin,
                {"X-Auth-Token": other.headers["X-Auth-Token"]},
                new_user(admin, made, "somebody", role_id),
                new_user(admin, made, "guest", find_system_role("readonly").id),
                new_user(admin, made, "nobody", None),
                role_id,
            )
    finally:
        made.remove()


def code_of(answer: httpx.Response) -> str:
    body = answer.json()
    # Cloud Eye has codes of its own and the common one beside it.
    return str(body.get("encoded_authorization_message") or body.get("error_code") or body["error"]["code"])


def assert_refused(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.request.method == "HEAD" or code in answer.text or code_of(answer) in OTHERS_OF_CES, answer.text


def test_the_table_has_every_route() -> None:
    assert len(GUARDED) > 100
    assert {access_of(route) for _, route in WITH_ACTION} >= {"dcs:instance:create", "iam:users:createUser"}
    assert {one[1].name for one in GUARDED} >= OPERATIONS.keys() - NOT_ROUTED


def test_nothing_is_open_by_omission() -> None:
    without_action = {route.name for route in ROUTES if access_of(route) == "signed in"}
    assert without_action == OF_EVERYBODY | OF_ONES_OWN.keys()
    assert {route.name for route in ROUTES if access_of(route) == "public"} == PUBLIC


@pytest.mark.skipif(bool(MISSING), reason=MISSING)
@every([one for one in GUARDED if one[1].name in OPERATIONS])
def test_the_action_is_that_of_table_5_1(one: tuple[str, APIRoute]) -> None:
    assert access_of(one[1]) == (OPERATIONS[one[1].name]["iam_action"] or "signed in")


@every(GUARDED)
def test_without_a_token_nothing_is_done(world: World, one: tuple[str, APIRoute]) -> None:
    assert_refused(world.call(one, {}), 401, "DCS.1003")


@every(GUARDED)
def test_an_expired_token_opens_nothing(world: World, one: tuple[str, APIRoute]) -> None:
    earlier = Tokens(Vault.at(world.installation.folder), 1, lambda: time.time() - 7200)
    note = earlier.new(user_id="u", domain_id="d", project_id="p", methods=("password",), stamp="s")
    assert_refused(world.call(one, {"X-Auth-Token": earlier.issue(note)}), 401, "DCS.1002")


@every([one for one in GUARDED if "project_id" in one[1].param_convertors])
def test_another_tenant_does_not_reach_the_project(world: World, one: tuple[str, APIRoute]) -> None:
    assert_refused(world.call(one, world.other), 401, "DCS.1004")


@every(WITH_ACTION)
def test_somebody_without_a_role_may_nothing(world: World, one: tuple[str, APIRoute]) -> None:
    assert_refused(world.call(one, world.nobody), 403, "DCS.2003")


@every(WITH_ACTION)
def test_a_guest_may_look_only(world: World, one: tuple[str, APIRoute]) -> None:
    answer = world.call(one, world.guest)
    if access_of(one[1]) in READ_ONLY:
        assert answer.status_code not in (401, 403), answer.text
    else:
        assert_refused(answer, 403, "DCS.3002")


@every(WITH_ACTION)
def test_a_policy_that_allows_the_action_is_enough_and_any_other_is_not(
    world: World, one: tuple[str, APIRoute]
) -> None:
    action = str(access_of(one[1]))
    others = {str(access_of(route)) for _, route in WITH_ACTION} - {action}
    world.allow(statement("Allow", action))
    allowed = world.call(one, world.user)
    assert allowed.status_code not in (401, 403), allowed.text
    world.allow(statement("Allow", *sorted(others)))
    refused = world.call(one, world.user)
    assert_refused(refused, 403, "DCS.2007")
    assert refused.request.method == "HEAD" or action in refused.text


@every(WITH_ACTION)
def test_a_policy_that_denies_the_action_wins(world: World, one: tuple[str, APIRoute]) -> None:
    action = str(access_of(one[1]))
    world.allow(statement("Allow", "*"), statement("Deny", action))
    assert_refused(world.call(one, world.user), 403, "DCS.2007")


@every(OWN)
def test_what_is_another_s_takes_the_action(world: World, one: tuple[str, APIRoute]) -> None:
    action = OF_ONES_OWN[one[1].name]
    assert_refused(world.call(one, world.nobody, ANOTHERS), 403, "DCS.2003")
    world.allow(statement("Allow", action))
    allowed = world.call(one, world.user, ANOTHERS)
    assert allowed.status_code not in (401, 403), allowed.text
    world.allow(statement("Allow", *sorted(set(OF_ONES_OWN.values()) - {action})))
    assert_refused(world.call(one, world.user, ANOTHERS), 403, "DCS.2007")
    world.allow(statement("Allow", "*"), statement("Deny", action))
    assert_refused(world.call(one, world.user, ANOTHERS), 403, "DCS.2007")
