"""Users, groups, policies and keys of a running service, mostly by the vendor's own SDK."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials, GlobalCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkdcs import v2 as dcs
from huaweicloudsdkiam import v3 as iam
from installation import Installation, eventually
from postgresql import NewDatabase
from real_engines import engine_that_starts_unless
from second_tenant import WITH_OTHER, sign_in

PASSWORD = "Passw0rd-of-it"
LIST = dcs.ListInstancesRequest()


@dataclass
class World:
    installation: Installation
    iam: iam.IamClient
    http: httpx.Client
    """The administrator with a token; paths begin at the root."""
    domain: str

    def new_user(self, name: str, password: str | None = PASSWORD) -> str:
        option = iam.CreateUserOption(name=name, domain_id=self.domain, password=password, pwd_status=True)
        request = iam.CreateUserRequest(body=iam.CreateUserRequestBody(user=option))
        return str(self.iam.create_user(request).user.id)

    def new_group(self, name: str, *users: str) -> str:
        option = iam.KeystoneCreateGroupOption(name=name, domain_id=self.domain)
        body = iam.KeystoneCreateGroupRequestBody(group=option)
        group = str(self.iam.keystone_create_group(iam.KeystoneCreateGroupRequest(body=body)).group.id)
        for user in users:
            self.iam.keystone_add_user_to_group(iam.KeystoneAddUserToGroupRequest(group, user))
        return group

    def new_policy(self, *statements: dict[str, Any], version: str = "1.1") -> str:
        role = {"display_name": uuid.uuid4().hex, "type": "XA", "description": "made by a test"}
        role["policy"] = {"Version": version, "Statement": list(statements)}
        answer = self.http.post("/v3.0/OS-ROLE/roles", json={"role": role})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["role"]["id"])

    def grant(self, group: str, role: str) -> None:
        self.iam.update_domain_group_inherit_role(
            iam.UpdateDomainGroupInheritRoleRequest(domain_id=self.domain, group_id=group, role_id=role)
        )

    def new_key(self, user: str) -> Any:
        body = iam.CreatePermanentAccessKeyRequestBody(credential=iam.CreateCredentialOption(user_id=user))
        request = iam.CreatePermanentAccessKeyRequest(body=body)
        return self.iam.create_permanent_access_key(request).credential

    def may(self, *statements: dict[str, Any], version: str = "1.1") -> tuple[str, dcs.DcsClient]:
        """A new user whose group has this policy, and its client."""
        user = self.new_user("user-" + uuid.uuid4().hex[:8])
        self.grant(self.new_group(uuid.uuid4().hex, user), self.new_policy(*statements, version=version))
        return user, self.dcs(self.new_key(user))

    def dcs(self, key: Any, security_token: str | None = None) -> dcs.DcsClient:
        found = BasicCredentials(key.access, key.secret, self.installation.env["project_id"])
        if security_token:
            found.with_security_token(security_token)
        builder = dcs.DcsClient.new_builder().with_credentials(found)
        return builder.with_endpoint(self.installation.endpoint).build()

    def sign_in(self, user: str, password: str = PASSWORD) -> httpx.Response:
        proof = {"user": {"id": user, "password": password}}
        body = {"auth": {"identity": {"methods": ["password"], "password": proof}}}
        return httpx.post(f"{self.installation.endpoint}/v3/auth/tokens", json=body, timeout=30)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("identities")
    settings = WITH_OTHER | {"AUDIT__FILE": str(folder / "audit" / "trail.jsonl")}
    made = Installation(folder / "data", new_database(), settings)
    try:
        with world_of(made.start()) as world:
            yield world
    finally:
        made.remove()


@contextmanager
def world_of(made: Installation) -> Iterator[World]:
    """A running service with its administrator signed in."""
    with httpx.Client(base_url=made.endpoint, headers={"X-Auth-Token": made.token()}) as http:
        domain = http.get("/v3/auth/domains").json()["domains"][0]["id"]
        keys = GlobalCredentials(made.env["access_key"], made.env["secret_key"], domain)
        client = iam.IamClient.new_builder().with_credentials(keys).with_endpoint(made.endpoint).build()
        yield World(made, client, http, domain)


def refusal(call: Callable[[], Any]) -> tuple[int, str]:
    with pytest.raises(ClientRequestException) as refused:
        call()
    return refused.value.status_code, refused.value.error_code


def allow(*actions: str, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions)} | more


def deny(*actions: str, **more: Any) -> dict[str, Any]:
    return {"Effect": "Deny", "Action": list(actions)} | more


def test_a_user_may_nothing_until_its_group_has_a_role_and_nothing_again_without(world: World):
    user = world.new_user("ann")
    client = world.dcs(world.new_key(user))
    assert refusal(lambda: client.list_instances(LIST)) == (403, "DCS.2003")
    group = world.new_group("readers", user)
    found = world.iam.keystone_list_permissions(
        iam.KeystoneListPermissionsRequest(display_name="DCS ReadOnlyAccess")
    )
    world.grant(group, found.roles[0].id)
    assert client.list_instances(LIST).instance_num == 0
    world.iam.keystone_remove_user_from_group(iam.KeystoneRemoveUserFromGroupRequest(group, user))
    assert refusal(lambda: client.list_instances(LIST)) == (403, "DCS.2003")


def test_a_grant_on_a_project_is_for_that_project(world: World):
    user = world.new_user("pat")
    group, role = world.new_group("of-a-project", user), world.new_policy(allow("*"))
    place = f"/v3/projects/{world.installation.env['project_id']}/groups/{group}/roles"
    assert world.http.put(f"{place}/{role}").status_code == 204
    assert world.http.head(f"{place}/{role}").status_code == 204
    assert [one["id"] for one in world.http.get(place).json()["roles"]] == [role]
    token = world.sign_in(user).headers["X-Subject-Token"]
    base, headers = world.installation.endpoint, {"X-Auth-Token": token}
    listed = httpx.get(f"{base}/v2/{world.installation.env['project_id']}/instances", headers=headers)
    assert listed.status_code == 200
    assert httpx.get(f"{base}/v3/users", headers=headers).status_code == 403
    assert world.http.delete(f"{place}/{role}").status_code == 204
    assert world.http.delete(f"{place}/{role}").status_code == 404


def test_a_changed_policy_counts_at_once(world: World):
    user, client = world.may(allow("dcs:instance:list"))
    assert client.list_instances(LIST).instance_num == 0
    [role] = [
        role
        for group in world.http.get(f"/v3/users/{user}/groups").json()["groups"]
        for role in world.http.get(
            f"/v3/OS-INHERIT/domains/{world.domain}/groups/{group['id']}/roles/inherited_to_projects"
        ).json()["roles"]
    ]
    role["policy"]["Statement"].append(deny("dcs:instance:li*"))
    assert world.http.patch(f"/v3.0/OS-ROLE/roles/{role['id']}", json={"role": role}).status_code == 200
    assert refusal(lambda: client.list_instances(LIST)) == (403, "DCS.2007")
    assert world.http.delete(f"/v3.0/OS-ROLE/roles/{role['id']}").status_code == 409


def test_a_revoked_key_and_a_disabled_user_are_refused_at_once(world: World):
    user = world.new_user("kim")
    world.grant(world.new_group("kims", user), world.new_policy(allow("dcs:*:*")))
    first, second = world.new_key(user), world.new_key(user)
    assert refusal(lambda: world.new_key(user))[0] == 409
    world.dcs(first).list_instances(LIST)
    status = iam.UpdateCredentialOption(status="inactive")
    body = iam.UpdatePermanentAccessKeyRequestBody(credential=status)
    world.iam.update_permanent_access_key(iam.UpdatePermanentAccessKeyRequest(first.access, body))
    assert refusal(lambda: world.dcs(first).list_instances(LIST)) == (401, "APIGW.0301")
    world.dcs(second).list_instances(LIST)
    token = world.sign_in(user).headers["X-Subject-Token"]
    world.iam.update_user(
        iam.UpdateUserRequest(user, iam.UpdateUserRequestBody(user=iam.UpdateUserOption(enabled=False)))
    )
    assert refusal(lambda: world.dcs(second).list_instances(LIST)) == (401, "APIGW.0301")
    listed = httpx.get(f"{world.installation.endpoint}/v3/projects", headers={"X-Auth-Token": token})
    assert listed.status_code == 401
    assert world.http.delete(f"/v3/users/{user}").status_code == 204
    assert refusal(lambda: world.dcs(second).list_instances(LIST)) == (401, "APIGW.0301")


def test_a_temporary_key_works_within_its_limits_and_dies_with_its_parent(world: World):
    user, _ = world.may(allow("dcs:*:*"))
    parent = world.new_key(user)
    keys = GlobalCredentials(parent.access, parent.secret, world.domain)
    own = iam.IamClient.new_builder().with_credentials(keys).with_endpoint(world.installation.endpoint).build()
    limits = iam.ServicePolicy(
        version="1.1", statement=[iam.ServiceStatement(action=["dcs:instance:list"], effect="Allow")]
    )
    identity = iam.TokenAuthIdentity(
        methods=["token"], token=iam.IdentityToken(duration_seconds=900), policy=limits
    )
    body = iam.CreateTemporaryAccessKeyByTokenRequestBody(auth=iam.TokenAuth(identity=identity))
    made = own.create_temporary_access_key_by_token(iam.CreateTemporaryAccessKeyByTokenRequest(body)).credential
    client = world.dcs(made, made.securitytoken)
    assert client.list_instances(LIST).instance_num == 0
    assert refusal(lambda: client.list_migration_task(dcs.ListMigrationTaskRequest())) == (403, "DCS.2007")
    assert refusal(lambda: world.dcs(made).list_instances(LIST)) == (401, "APIGW.0301")
    assert refusal(lambda: world.dcs(parent, made.securitytoken).list_instances(LIST)) == (401, "APIGW.0301")
    assert refusal(lambda: world.dcs(made, made.securitytoken[:-8]).list_instances(LIST)) == (401, "APIGW.0301")
    world.iam.delete_permanent_access_key(iam.DeletePermanentAccessKeyRequest(parent.access))
    assert refusal(lambda: client.list_instances(LIST)) == (401, "APIGW.0301")


def test_policies_go_by_the_instance_its_tags_and_its_enterprise_project(world: World):
    tags = {"tags": [{"key": "env", "value": "prod"}]}
    prod = world.installation.create("policies-prod", **tags)["instance_id"]
    test = world.installation.create("policies-test")["instance_id"]
    show = [dcs.ShowInstanceRequest(prod), dcs.ShowInstanceRequest(test)]
    everything = allow("dcs:*:*")
    tagged = {"Condition": {"StringEquals": {"g:ResourceTag/env": ["prod"]}}}
    for statements, version in (
        ([everything, deny("dcs:instance:*", Resource=[f"DCS:*:*:instance:{prod}"])], "1.1"),
        ([everything, deny("dcs:instance:*", **tagged)], "5.0"),
        ([allow("dcs:instance:*", Resource=[f"dcs:*:*:instance:{test}"])], "1.1"),
        ([allow("dcs:instance:*", Condition={"StringNotEquals": {"g:ResourceTag/env": ["prod"]}})], "5.0"),
    ):
        _, client = world.may(*statements, version=version)
        assert refusal(lambda client=client: client.show_instance(show[0])) == (403, "DCS.2007")
        assert client.show_instance(show[1]).instance_id == test
        both = dcs.ChangeInstanceStatusBody(instances=[test, prod.upper()], action="flush")
        request = dcs.RestartOrFlushInstancesRequest(body=both)
        assert refusal(lambda c=client, r=request: c.restart_or_flush_instances(r))[0] == 403
    elsewhere = {"Condition": {"StringEquals": {"g:EnterpriseProjectId": ["another"]}}}
    _, client = world.may(allow("dcs:instance:get", **elsewhere))
    assert refusal(lambda: client.show_instance(show[1])) == (403, "DCS.2007")


def test_failed_instances_are_removed_together_by_who_may_remove_each_of_them(
    fresh_installation: Installation, tmp_path: Path
):
    broken = tmp_path / "broken"
    engine = engine_that_starts_unless(broken, tmp_path / "engine")
    fresh_installation.settings |= {"ENGINE__BINARIES": json.dumps([str(engine)]), "ENGINE__SEARCH_PATH": "false"}
    with world_of(fresh_installation.start()) as world:
        running = fresh_installation.create("runs")["instance_id"]
        broken.touch()
        with fresh_installation.http() as api:
            orders = [
                fresh_installation.order(name, tags=[{"key": "env", "value": name}]) for name in ("prod", "test")
            ]
            made = [api.post("/instances", json=one).json()["instances"][0]["instance_id"] for one in orders]
        for one in made:
            fresh_installation.wait(one, "CREATEFAILED")
        prod, test = made
        all_failed = dcs.BatchDeleteInstancesRequest(all_failure=True)
        everything, tagged = allow("dcs:*:*"), {"Condition": {"StringEquals": {"g:ResourceTag/env": ["test"]}}}
        for statements in (
            [everything, deny("dcs:instance:delete", Resource=[f"dcs:*:*:instance:{prod}"])],
            [allow("dcs:instance:delete", Resource=[f"dcs:*:*:instance:{test}"])],
            [allow("dcs:instance:delete", **tagged)],
        ):
            _, client = world.may(*statements, version="5.0" if "Condition" in statements[0] else "1.1")
            assert refusal(lambda c=client: c.batch_delete_instances(all_failed)) == (403, "DCS.2007")
        assert {fresh_installation.show(one)["status"] for one in made} == {"CREATEFAILED"}
        _, client = world.may(everything, deny("dcs:instance:delete", Resource=[f"dcs:*:*:instance:{running}"]))
        client.batch_delete_instances(all_failed)
        for one in made:
            fresh_installation.wait_gone(one)
        assert fresh_installation.show(running)["status"] == "RUNNING"


def test_wrong_passwords_lock_a_user_in_the_words_of_a_wrong_password(world: World):
    user = world.new_user("lou")
    nobody = world.sign_in("0" * 32, "wrong")
    with ThreadPoolExecutor(6) as pool:
        wrong = list(pool.map(lambda _: world.sign_in(user, "wrong"), range(6)))
    locked = world.sign_in(user)
    for answer in (*wrong, locked):
        assert answer.status_code == 401
        assert answer.json()["error"] == nobody.json()["error"]
    changed = {"user": {"password": PASSWORD + "2"}}
    assert world.http.put(f"/v3.0/OS-USER/users/{user}", json=changed).status_code == 200
    assert world.sign_in(user, PASSWORD + "2").status_code == 201


def test_everybody_changes_the_own_password_and_has_own_keys(world: World):
    user, other = world.new_user("max"), world.new_user("eve")
    headers = {"X-Auth-Token": world.sign_in(user).headers["X-Subject-Token"]}
    with httpx.Client(base_url=world.installation.endpoint, headers=headers) as own:
        assert own.get(f"/v3/users/{user}").json()["user"]["name"] == "max"
        assert own.get(f"/v3/users/{other}").status_code == 403
        body = {"credential": {"user_id": other}}
        assert own.post("/v3.0/OS-CREDENTIAL/credentials", json=body).status_code == 403
        made = own.post("/v3.0/OS-CREDENTIAL/credentials", json={"credential": {"user_id": user}})
        access = made.json()["credential"]["access"]
        shown = own.get(f"/v3.0/OS-CREDENTIAL/credentials/{access}").json()["credential"]
        assert shown["status"] == "active"
        assert "secret" not in shown
        change = {"user": {"original_password": "wrong", "password": PASSWORD + "2"}}
        assert own.post(f"/v3/users/{user}/password", json=change).status_code == 400
        change["user"]["original_password"] = PASSWORD
        assert own.post(f"/v3/users/{user}/password", json=change).status_code == 204
        assert own.get(f"/v3/users/{user}").status_code == 401
    assert world.sign_in(user, PASSWORD + "2").status_code == 201


@pytest.mark.parametrize(
    ("method", "path", "body", "place"),
    [
        ("POST", "/v3/users", {"user": {"name": "1st"}}, "user.name"),
        ("POST", "/v3/users", {"user": {"name": "weak", "password": "weakweak"}}, "user.password"),
        ("POST", "/v3.0/OS-USER/users", {"user": {"name": "mail", "email": "none"}}, "user.email"),
        ("POST", "/v3.0/OS-USER/users", {"user": {"name": "mode", "access_mode": "console"}}, "access_mode"),
        ("POST", "/v3/groups", {"group": {"name": ""}}, "group.name"),
        ("POST", "/v3/groups", {}, "group"),
        (
            "POST",
            "/v3.0/OS-CREDENTIAL/securitytokens",
            {"auth": {"identity": {"methods": ["assume_role"]}}},
            "methods",
        ),
        (
            "POST",
            "/v3.0/OS-CREDENTIAL/securitytokens",
            {"auth": {"identity": {"methods": ["token"], "token": {"duration_seconds": 899}}}},
            "duration_seconds",
        ),
    ],
)
def test_bad_input_is_refused_by_its_place(world: World, method: str, path: str, body: Any, place: str):
    answer = world.http.request(method, path, json=body)
    assert answer.status_code == 400
    assert place in answer.json()["error_msg"]


def test_names_are_taken_once_and_the_administrator_stays(world: World):
    world.new_user("twin")
    assert world.http.post("/v3/users", json={"user": {"name": "twin"}}).status_code == 409
    admin = world.http.get("/v3/users", params={"name": "admin"}).json()["users"][0]["id"]
    assert world.http.delete(f"/v3/users/{admin}").status_code == 403
    assert world.http.patch(f"/v3/users/{admin}", json={"user": {"enabled": False}}).status_code == 403


def test_another_tenant_finds_none_of_it(world: World):
    user, group = world.new_user("hidden"), world.new_group("hidden")
    role = world.new_policy(allow("dcs:*:*"))
    key = world.new_key(user).access
    with sign_in(world.installation) as other:
        root = httpx.Client(base_url=world.installation.endpoint, headers=other.headers)
        with root:
            for path in (
                f"/v3/users/{user}",
                f"/v3/groups/{group}",
                f"/v3/roles/{role}",
                f"/v3.0/OS-ROLE/roles/{role}",
                f"/v3.0/OS-CREDENTIAL/credentials/{key}",
                f"/v3/domains/{world.domain}/groups/{group}/roles",
            ):
                assert root.get(path).status_code == 404, path
            assert root.delete(f"/v3/users/{user}").status_code == 404
            assert root.delete(f"/v3.0/OS-CREDENTIAL/credentials/{key}").status_code == 404
            assert "hidden" not in root.get("/v3/users").text + root.get("/v3/groups").text


def test_the_trail_says_who_did_what_and_how_it_ended(world: World):
    user = world.new_user("traced")
    world.sign_in(user, "wrong-password")
    project = world.installation.env["project_id"]
    now = round(time.time() * 1000)
    query = {"from": now - 60_000, "to": now + 60_000, "limit": 200}

    def look() -> list[dict[str, Any]]:
        found = world.http.get(f"/v3/{project}/traces", params=query).json()["traces"]
        # A refusal is written down after it was told.
        return found if any(one["user"]["name"] == "traced" for one in found) else []

    traces = eventually(look)
    [made] = [one for one in traces if one["trace_name"] == "create_user"][:1]
    assert (made["user"]["name"], made["code"], made["trace_rating"]) == ("admin", "201", "normal")
    assert (made["source_ip"], made["service_type"]) == ("127.0.0.1", "IAM")
    [failed] = [one for one in traces if one["user"]["name"] == "traced"]
    assert (failed["trace_name"], failed["code"], failed["trace_rating"]) == ("create_token", "401", "warning")
    page = world.http.get(f"/v3/{project}/traces", params=query | {"limit": 1}).json()
    rest = world.http.get(f"/v3/{project}/traces", params=query | {"next": page["meta_data"]["marker"]}).json()
    assert [one["trace_id"] for one in page["traces"] + rest["traces"]] == [one["trace_id"] for one in traces]
    file = world.installation.folder.parent / "audit" / "trail.jsonl"
    assert file.stat().st_mode & 0o777 == 0o600
    written = file.read_text()
    assert {one["trace_id"] for one in traces} <= {json.loads(line)["id"] for line in written.splitlines()}
    assert "wrong-password" not in written + world.installation.log()
    assert PASSWORD not in written + world.installation.log()


def test_the_commands_tell_the_same_story(world: World, tmp_path):
    run = world.installation.run
    file = tmp_path / "policy.json"
    file.write_text(json.dumps({"Version": "1.1", "Statement": [allow("dcs:instance:list")]}))
    for words in (
        "user create cli-user",
        "group create cli-group",
        "group add cli-group cli-user",
        f"policy create cli-policy {file}",
        "group grant cli-group cli-policy",
    ):
        answer = run(*words.split())
        assert answer.returncode == 0, answer.stderr
    key = json.loads(run("key", "create", "cli-user", "-o", "json").stdout)
    assert len(key["secret"]) == 40
    assert "cli-policy" in run("group", "show", "cli-group").stdout
    assert "cli-user" in run("group", "show", "cli-group").stdout
    assert run("key", "disable", key["access"]).returncode == 0
    assert "inactive" in run("key", "list", "cli-user").stdout
    assert "grant_role_to_group" in run("audit", "list").stdout
    assert run("user", "delete", "cli-user", "--yes").returncode == 0
    assert "cli-user" not in run("user", "list").stdout
