"""Identity over real HTTP, with the clients that people use: the vendor's SDK, keystoneauth and openstacksdk."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import logging
import re
import socket
import threading
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated
from urllib.parse import quote

import httpx
import openstack
import otcextensions.sdk
import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from huaweicloudsdkcore.auth.credentials import BasicCredentials, GlobalCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException, SdkException
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkcore.region.region import Region
from huaweicloudsdkdcs.v2 import CreateInstanceBody, CreateInstanceRequest, DcsClient, ListInstancesRequest
from huaweicloudsdkiam.v3 import IamClient, KeystoneListAuthDomainsRequest, KeystoneListRegionsRequest
from keystoneauth1 import exceptions as ksa_exceptions
from keystoneauth1 import session as ksa_session
from keystoneauth1.identity import generic, v3

from cachestead.api.access import Anyone, Authentication, May, SignedIn, access_of
from cachestead.api.iam.room import Identity
from cachestead.api.iam.routes import router as iam_router
from cachestead.errors import ServiceError
from cachestead.identity.authentication import Authenticator
from cachestead.identity.callers import Caller
from cachestead.identity.secrets import Vault
from cachestead.identity.seed import client_environment, ensure_tenants
from cachestead.identity.sign_in import SignIn
from cachestead.settings import Settings
from cachestead.store import identity as records
from cachestead.store.database import Database

REGION = "local-1"
NEIGHBOUR = {
    "domain": "neighbour",
    "password": "neighbour-pw",
    "access_key": "NEIGHBOURKEY",
    "secret_key": "neighbour-secret",
}
BODY_LIMIT, BODY_SECONDS = 4096, 60


@dataclass
class Cloud:
    """A running service and what its first tenant needs to call it."""

    url: str
    environment: dict[str, str]
    neighbour_project: str
    run: object
    database: Database

    @property
    def project(self):
        return self.environment["project_id"]

    def credentials(self, project_id=None):
        found = BasicCredentials(self.environment["access_key"], self.environment["secret_key"], project_id)
        return found.with_iam_endpoint(self.url)

    def dcs(self, project_id=None, **keys):
        credentials = (
            self.credentials(project_id)
            if not keys
            else BasicCredentials(project_id=project_id, **keys).with_iam_endpoint(self.url)
        )
        return build(DcsClient, credentials, Region(REGION, self.url))

    def login(self, **scope):
        return generic.Password(
            auth_url=f"{self.url}/v3",
            username=self.environment["user"],
            password=self.environment["password"],
            user_domain_name=self.environment["domain"],
            **scope,
        )


def build(client, credentials, region):
    return (
        client.new_builder()
        .with_http_config(HttpConfig(timeout=10))
        .with_credentials(credentials)
        .with_region(region)
        .build()
    )


def build_app(database, vault, settings):
    app = FastAPI()
    authenticator = Authenticator(database, vault, settings.identity, settings.region.id)
    app.state.identity = Identity(database, authenticator, SignIn(database, authenticator), settings.public_url)
    app.include_router(iam_router)
    app.add_middleware(
        Authentication, authenticator=authenticator, max_body_bytes=BODY_LIMIT, body_seconds=BODY_SECONDS
    )

    @app.exception_handler(ServiceError)
    async def refuse(_request: Request, error: ServiceError):
        return JSONResponse(
            {"error_code": error.code, "error_msg": error.sentence, "error_ext_msg": error.detail}, error.status
        )

    @app.get("/v2/{project_id}/instances")
    async def toy_list(project_id: str, caller: Annotated[Caller, May["dcs:instance:list"]]):
        return {"instances": [], "instance_num": 0, "project_id": project_id, "user": caller.user_name}

    @app.get("/v1.0/{project_id}/instances")
    async def toy_legacy_list(project_id: str, caller: Annotated[Caller, May["dcs:instance:list"]]):
        return {"instances": [{"instance_id": "one", "name": caller.project_name}], "instance_num": 1}

    @app.post("/v2/{project_id}/instances")
    async def toy_create(project_id: str, request: Request, caller: Annotated[Caller, May["dcs:instance:create"]]):
        body = await request.body()
        return {"instances": [{"instance_id": hashlib.sha256(body).hexdigest()}], "project_id": project_id}

    @app.api_route("/v2/{project_id}/echo/{rest:path}", methods=["GET", "POST", "PUT", "DELETE"])
    async def toy_echo(project_id: str, rest: str, request: Request, caller: SignedIn):
        return {"rest": rest, "query": request.query_params.multi_items(), "length": len(await request.body())}

    @app.get("/healthz")
    async def health(_: Anyone):
        return {"ok": True}

    return app


@contextlib.contextmanager
def serving(data_dir, **overrides):
    listener = socket.create_server(("127.0.0.1", 0))
    settings = Settings(
        data_dir=data_dir,
        server={"port": listener.getsockname()[1]},
        tenants=[NEIGHBOUR],
        **overrides,
    )
    ready, found = threading.Event(), {}

    async def main():
        database = Database(f"sqlite:///{data_dir}/records.db")
        await database.migrate()
        vault = Vault.at(data_dir)
        await ensure_tenants(database, vault, settings)
        found["environment"] = await client_environment(database, vault, settings)
        async with database.reading() as tx:
            domain = await records.find_domain_named(tx, "neighbour")
            found["neighbour"] = (await records.list_projects(tx, domain.id))[0].id
        app = build_app(database, vault, settings)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        server.install_signal_handlers = lambda: None
        found.update(server=server, loop=asyncio.get_running_loop(), database=database)
        ready.set()
        await server.serve(sockets=[listener])
        await database.close()

    thread = threading.Thread(target=asyncio.run, args=(main(),), daemon=True)
    thread.start()
    assert ready.wait(30)

    def run(coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, found["loop"]).result(10)

    try:
        yield Cloud(settings.public_url, found["environment"], found["neighbour"], run, found["database"])
    finally:
        found["server"].should_exit = True
        thread.join(10)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    patient = {"lockout_attempts": 0, "failures_per_minute": 1000}
    with serving(tmp_path_factory.mktemp("cloud"), identity=patient) as running:
        yield running


@pytest.fixture(autouse=True)
def no_project_cache():
    BasicCredentials._CACHE.clear()


# --- the vendor's SDK -------------------------------------------------------------------------------------------


def test_sdk_with_a_project_id_asks_nothing_of_identity(cloud):
    answer = cloud.dcs(cloud.project).list_instances(ListInstancesRequest())

    assert answer.instance_num == 0


def test_sdk_without_a_project_id_finds_it_by_the_region(cloud):
    client = cloud.dcs()

    client.list_instances(ListInstancesRequest())

    assert client._credentials.project_id == cloud.project


def test_sdk_body_arrives_as_it_was_signed(cloud):
    body = CreateInstanceBody(
        name="dcs-é-1", engine="Redis", capacity=0.125, spec_code="x", vpc_id="v", subnet_id="s", az_codes=["a"]
    )

    answer = cloud.dcs(cloud.project).create_instance(CreateInstanceRequest(body=body))

    assert len(answer.instances[0].instance_id) == 64


def test_sdk_finds_the_domain_of_global_credentials(cloud):
    credentials = GlobalCredentials(
        cloud.environment["access_key"], cloud.environment["secret_key"]
    ).with_iam_endpoint(cloud.url)

    client = build(IamClient, credentials, Region(REGION, cloud.url))

    assert client.keystone_list_auth_domains(KeystoneListAuthDomainsRequest()).domains[0].name == "cachestead"
    assert [region.id for region in client.keystone_list_regions(KeystoneListRegionsRequest()).regions] == [REGION]


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"ak": "NOSUCHKEY", "sk": "whatever"}, "ak NOSUCHKEY not exist"),
        ({"ak": "NEIGHBOURKEY", "sk": "wrong"}, "verify aksk signature fail"),
    ],
    ids=["unknown key", "wrong secret"],
)
def test_sdk_reads_the_gateways_refusal(cloud, keys, reason):
    with pytest.raises(ClientRequestException) as refused:
        cloud.dcs(cloud.project, **keys).list_instances(ListInstancesRequest())

    assert refused.value.status_code == 401
    assert refused.value.error_code == "APIGW.0301"
    assert refused.value.error_msg == f"Incorrect IAM authentication information: {reason}"


def test_sdk_reads_identitys_refusal(cloud):
    with pytest.raises(SdkException, match=r"APIGW\.0301"):
        cloud.dcs(ak="NOSUCHKEY", sk="whatever")


def test_tenants_cannot_use_each_others_project(cloud):
    with pytest.raises(ClientRequestException) as refused:
        cloud.dcs(cloud.neighbour_project).list_instances(ListInstancesRequest())

    assert (refused.value.status_code, refused.value.error_code) == (401, "DCS.1004")


def test_each_tenant_finds_its_own_project(cloud):
    client = cloud.dcs(ak="NEIGHBOURKEY", sk="neighbour-secret")

    client.list_instances(ListInstancesRequest())

    assert client._credentials.project_id == cloud.neighbour_project


# --- openstack clients --------------------------------------------------------------------------------------------


def project_scope(cloud):
    return {"project_name": REGION, "project_domain_name": cloud.environment["domain"]}


def test_keystoneauth_signs_in_for_a_project(cloud):
    session = ksa_session.Session(cloud.login(**project_scope(cloud)))

    access = session.auth.get_access(session)

    assert access.project_id == cloud.project
    assert access.username == "admin"
    assert access.role_names == ["te_admin", "secu_admin"]
    assert (
        session.get_endpoint(service_type="dcs", interface="public", region_name=REGION)
        == f"{cloud.url}/v1.0/{cloud.project}"
    )
    assert session.get_endpoint(service_type="dcsv1", region_name=REGION) == f"{cloud.url}/v1.0/{cloud.project}"
    assert not access.will_expire_soon(3600)


def test_keystoneauth_signs_in_for_a_project_by_id(cloud):
    session = ksa_session.Session(cloud.login(project_id=cloud.project))

    assert session.get_project_id() == cloud.project


def test_keystoneauth_signs_in_for_a_domain(cloud):
    session = ksa_session.Session(cloud.login(domain_name="cachestead"))

    access = session.auth.get_access(session)

    assert access.domain_name == "cachestead"
    assert access.project_id is None


def test_keystoneauth_discovers_the_version_from_the_bare_address(cloud, caplog):
    auth = generic.Password(
        auth_url=cloud.url,
        username="admin",
        password=cloud.environment["password"],
        user_domain_name="cachestead",
        **project_scope(cloud),
    )
    with caplog.at_level(logging.WARNING, "keystoneauth"):
        assert ksa_session.Session(auth).get_project_id() == cloud.project

    assert "Failed to discover" not in caplog.text


def test_keystoneauth_exchanges_a_token_for_another_scope(cloud):
    session = ksa_session.Session(cloud.login(**project_scope(cloud)))
    first = session.auth.get_access(session)
    second = v3.Token(f"{cloud.url}/v3", session.get_token(), domain_name="cachestead").get_access(session)

    assert second.domain_id == first.project_domain_id
    assert second.expires == first.expires


def test_keystoneauth_is_refused_a_wrong_password(cloud):
    auth = generic.Password(
        auth_url=f"{cloud.url}/v3", username="admin", password="wrong", user_domain_name="cachestead"
    )

    with pytest.raises(ksa_exceptions.Unauthorized, match="username or password"):
        ksa_session.Session(auth).get_token()


def test_openstacksdk_validates_and_lists(cloud):
    connection = openstack.connection.Connection(
        session=ksa_session.Session(cloud.login(**project_scope(cloud))), region_name=REGION
    )

    assert [project.id for project in connection.identity.projects()] == [cloud.project]
    assert connection.identity.find_project(REGION).id == cloud.project
    assert [region.id for region in connection.identity.regions()] == [REGION]
    assert connection.session.get(f"{cloud.url}/v2/{cloud.project}/instances").json()["user"] == "admin"


def test_otcextensions_finds_the_service_in_the_catalogue(cloud):
    connection = openstack.connection.Connection(
        session=ksa_session.Session(cloud.login(**project_scope(cloud))), region_name=REGION
    )
    otcextensions.sdk.load(connection)

    assert [instance.name for instance in connection.dcs.instances()] == [REGION]


# --- tokens over plain HTTP -----------------------------------------------------------------------------------------


def sign_in(cloud, *, password=None, user=None, scope=None, query=""):
    user = user or {"name": "admin", "domain": {"name": "cachestead"}}
    body = {
        "auth": {
            "identity": {
                "methods": ["password"],
                "password": {"user": {**user, "password": password or cloud.environment["password"]}},
            }
        }
    }
    if scope is not None:
        body["auth"]["scope"] = scope
    return httpx.post(f"{cloud.url}/v3/auth/tokens{query}", json=body)


def test_a_token_says_what_was_asked_for(cloud):
    answer = sign_in(cloud, scope={"project": {"name": REGION}})

    token = answer.json()["token"]
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    assert token["project"]["id"] == cloud.project
    assert token["methods"] == ["password"]
    issued, expires = (
        datetime.strptime(token[key], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
        for key in ("issued_at", "expires_at")
    )
    assert expires - issued == timedelta(hours=24)
    found = {service["type"]: service["endpoints"][0]["url"] for service in token["catalog"]}
    assert found.keys() == {"identity", "iam", "dcs", "dcsv1", "dcsv2", "ces"}
    assert found["dcsv2"] == f"{cloud.url}/v2/{cloud.project}"
    assert found["ces"] == f"{cloud.url}/V1.0/{cloud.project}"


def test_the_catalogue_can_be_left_out(cloud):
    assert "catalog" not in sign_in(cloud, query="?nocatalog=true").json()["token"]
    assert "catalog" not in sign_in(cloud, query="?nocatalog").json()["token"]


def test_an_unscoped_token_is_for_the_regions_project(cloud):
    assert sign_in(cloud).json()["token"]["project"]["name"] == REGION
    assert sign_in(cloud, scope="unscoped").json()["token"]["project"]["name"] == REGION


def test_a_user_can_be_named_by_id(cloud):
    user_id = sign_in(cloud).json()["token"]["user"]["id"]

    assert sign_in(cloud, user={"id": user_id}).status_code == 201


def test_a_token_is_shown_to_its_owner_and_hidden_from_others(cloud):
    mine = sign_in(cloud).headers["x-subject-token"]
    theirs = sign_in(
        cloud, user={"name": "admin", "domain": {"name": "neighbour"}}, password="neighbour-pw"
    ).headers["x-subject-token"]

    def show(token, subject, method="GET"):
        return httpx.request(
            method, f"{cloud.url}/v3/auth/tokens", headers={"X-Auth-Token": token, "X-Subject-Token": subject}
        )

    assert show(mine, mine).json()["token"]["user"]["name"] == "admin"
    assert show(mine, mine).headers["x-subject-token"] == mine
    assert (show(mine, mine, "HEAD").status_code, show(mine, mine, "HEAD").content) == (200, b"")
    assert show(mine, theirs).status_code == 404
    assert show(mine, "gibberish").status_code == 404
    assert show("gibberish", mine).status_code == 401


@pytest.mark.parametrize(
    ("user", "password", "scope"),
    [
        (None, "wrong", None),
        ({"name": "nobody", "domain": {"name": "cachestead"}}, None, None),
        ({"name": "admin", "domain": {"name": "nowhere"}}, None, None),
        ({"name": "admin"}, None, None),
        ({"id": "0" * 32}, None, None),
        (None, None, {"project": {"name": "elsewhere"}}),
        (None, None, {"domain": {"name": "neighbour"}}),
        (None, None, {"project": {"name": REGION, "domain": {"name": "neighbour"}}}),
    ],
    ids=[
        "wrong password",
        "unknown user",
        "unknown domain",
        "no domain",
        "unknown id",
        "unknown project",
        "other domain",
        "other's project",
    ],
)
def test_sign_in_is_refused(cloud, user, password, scope):
    answer = sign_in(cloud, user=user, password=password, scope=scope)

    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()
    assert (error["error"]["code"], error["error"]["title"]) == (401, "Unauthorized")
    assert error["error_msg"] == error["error"]["message"]
    assert error["error_code"]


def test_another_tenants_project_id_is_refused_as_a_scope(cloud):
    assert sign_in(cloud, scope={"project": {"id": cloud.neighbour_project}}).status_code == 401


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b'{"auth": null}',
        b'{"auth": {"identity": []}}',
        b'{"auth": {"identity": {"methods": "password"}}}',
        b'{"auth": {"identity": {"methods": ["password"]}}}',
        b'{"auth": {"identity": {"methods": ["totp"], "totp": {}}}}',
        b'{"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": 7, "password": "s3cret-value"}}}}}',
        b'{"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "a", "password": ["s3cret-value"]}}}}}',
        b'{"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "a"}}}, "scope": 3}}',
    ],
)
def test_a_malformed_sign_in_is_answered_in_identitys_shape(cloud, body):
    answer = httpx.post(f"{cloud.url}/v3/auth/tokens", content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["error"]["code"] == 400
    assert "detail" not in answer.json()
    assert "s3cret-value" not in answer.text


def test_a_lone_surrogate_is_a_wrong_password(cloud):
    body = b'{"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "admin", "domain": {"name": "cachestead"}, "password": "\\ud800"}}}}}'

    assert httpx.post(
        f"{cloud.url}/v3/auth/tokens", content=body, headers={"Content-Type": "application/json"}
    ).status_code in {400, 401}


@pytest.mark.parametrize(
    "path",
    [
        "/v3/projects",
        "/v3/auth/projects",
        "/v3/auth/domains",
        "/v3/regions",
        f"/v3/regions/{REGION}",
        "/v3/auth/catalog",
    ],
)
@pytest.mark.parametrize("slash", ["", "/"], ids=["bare", "slash"])
def test_identity_needs_credentials(cloud, path, slash):
    token = sign_in(cloud).headers["x-subject-token"]

    without = httpx.get(f"{cloud.url}{path}{slash}")
    with_token = httpx.get(f"{cloud.url}{path}{slash}", headers={"X-Auth-Token": token})

    assert (without.status_code, without.json()["error"]["code"]) == (401, 401)
    assert (with_token.status_code, with_token.headers["content-type"]) == (200, "application/json")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v3/projects"),
        ("GET", "/v3/nothing/here"),
        ("DELETE", "/v3/regions"),
        ("GET", "/v3/regions/other"),
        ("GET", "/v3/projects/" + "0" * 32),
    ],
)
def test_what_identity_does_not_have_is_refused_in_its_shape(cloud, method, path):
    token = sign_in(cloud).headers["x-subject-token"]

    answer = httpx.request(method, f"{cloud.url}{path}", headers={"X-Auth-Token": token})

    assert (answer.status_code, answer.json()["error"]["title"]) == (404, "Not Found")


def test_another_tenants_project_is_not_found(cloud):
    token = sign_in(cloud).headers["x-subject-token"]

    answer = httpx.get(f"{cloud.url}/v3/projects/{cloud.neighbour_project}", headers={"X-Auth-Token": token})

    assert answer.status_code == 404


def test_a_null_domain_says_nothing(cloud):
    assert sign_in(cloud, scope={"project": {"name": REGION, "domain": None}}).status_code == 201


def test_projects_are_filtered_by_exact_name(cloud):
    token = sign_in(cloud).headers["x-subject-token"]

    def names(query):
        answer = httpx.get(f"{cloud.url}/v3/projects?{query}", headers={"X-Auth-Token": token})
        return [project["name"] for project in answer.json()["projects"]]

    assert names(f"name={REGION}") == [REGION]
    assert names("name=local") == []
    assert names("domain_id=other") == []


def test_a_domains_token_does_not_reach_a_project(cloud):
    token = sign_in(cloud, scope={"domain": {"name": "cachestead"}}).headers["x-subject-token"]

    answer = httpx.get(f"{cloud.url}/v2/{cloud.project}/instances", headers={"X-Auth-Token": token})

    assert (answer.status_code, answer.json()["error_code"]) == (401, "DCS.1004")


# --- access ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "DCS.1003"),
        ({"X-Auth-Token": "nonsense"}, "DCS.1001"),
        ({"Authorization": "Basic abc"}, "APIGW.0301"),
        (
            {"Authorization": "SDK-HMAC-SM3 Access=a, SignedHeaders=x-sdk-date, Signature=" + "0" * 64},
            "APIGW.0301",
        ),
    ],
    ids=["nothing", "bad token", "other scheme", "other algorithm"],
)
def test_requests_without_good_credentials_are_refused(cloud, headers, code):
    answer = httpx.get(f"{cloud.url}/v2/{cloud.project}/instances", headers=headers)

    assert (answer.status_code, answer.json()["error_code"]) == (401, code)


def test_public_routes_need_nothing_and_mind_nothing(cloud):
    assert httpx.get(f"{cloud.url}/healthz").json() == {"ok": True}
    assert httpx.get(f"{cloud.url}/healthz", headers={"X-Auth-Token": "nonsense"}).json() == {"ok": True}


@pytest.mark.parametrize(
    ("project", "code", "status"),
    [("short", "DCS.4002", 400), ("g" * 32, "DCS.4002", 400), ("0" * 32, "DCS.1004", 401)],
    ids=["too short", "not hex", "unknown"],
)
def test_the_paths_project_must_be_the_callers(cloud, project, code, status):
    token = sign_in(cloud).headers["x-subject-token"]

    answer = httpx.get(f"{cloud.url}/v2/{project}/instances", headers={"X-Auth-Token": token})

    assert (answer.status_code, answer.json()["error_code"]) == (status, code)


@pytest.mark.parametrize("chunked", [False, True], ids=["declared", "streamed"])
def test_a_body_over_the_limit_is_refused_in_the_documented_shape(cloud, chunked):
    content = (b"x" * 1024 for _ in range(8)) if chunked else b"x" * (BODY_LIMIT + 1)

    answer = httpx.post(f"{cloud.url}/v2/{cloud.project}/instances", content=content)

    assert answer.status_code == 413
    assert set(answer.json()) == {"error_code", "error_msg", "error_ext_msg", "request_id"}
    assert answer.headers["x-request-id"] == answer.json()["request_id"]


def test_a_body_at_the_limit_is_taken(cloud):
    token = sign_in(cloud).headers["x-subject-token"]

    answer = httpx.post(
        f"{cloud.url}/v2/{cloud.project}/echo/x", content=b"x" * BODY_LIMIT, headers={"X-Auth-Token": token}
    )

    assert answer.json()["length"] == BODY_LIMIT


def test_every_identity_route_says_who_may_call_it():
    assert all(access_of(route) for route in iam_router.routes)
    assert {route.path for route in iam_router.routes if access_of(route) == "public"} == {
        "/",
        "/v3",
        "/v3/",
        "/v3/auth/tokens",
        "/v3/auth/tokens/",
        "/v3/{rest:path}",
        "/v3.0/{rest:path}",
    }


def test_an_action_that_the_table_does_not_have_is_a_mistake():
    with pytest.raises(LookupError):
        May["dcs:instance:lst"]


def test_a_viewer_may_look_and_not_create(cloud):
    async def demote(roles):
        async with cloud.database.writing() as tx:
            domain = await records.find_domain_named(tx, "cachestead")
            user = await records.find_user_named(tx, domain.id, "viewer")
            if user is None:
                admin = await records.find_user_named(tx, domain.id, "admin")
                await records.add_user(
                    tx, records.User("f" * 32, domain.id, "viewer", admin.password_hash, enabled=True, roles=roles)
                )

    cloud.run(demote(("dcs_viewer",)))
    token = sign_in(cloud, user={"name": "viewer", "domain": {"name": "cachestead"}}).headers["x-subject-token"]

    looked = httpx.get(f"{cloud.url}/v2/{cloud.project}/instances", headers={"X-Auth-Token": token})
    made = httpx.post(f"{cloud.url}/v2/{cloud.project}/instances", headers={"X-Auth-Token": token}, json={})

    assert looked.status_code == 200
    assert (made.status_code, made.json()["error_msg"]) == (
        403,
        "Policy does not allow dcs:instance:create to be performed.",
    )


# --- signatures over the wire -----------------------------------------------------------------------------------------------


def signed(cloud, method, target, *, body=b"", headers=None, date=None, sign=("x-sdk-date",), late=None):
    """A request signed by hand: `target` goes on the wire as it is, whatever its order or its encoding."""
    from urllib.parse import unquote_to_bytes

    path, _, query = target.partition("?")
    date = date or datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    host = cloud.url.removeprefix("http://")
    sent = {"host": host, "x-sdk-date": date, **(headers or {})}
    uri = quote(unquote_to_bytes(path), safe="/~") + ("" if path.endswith("/") else "/")
    pairs = sorted(
        tuple(unquote_to_bytes(part.replace("+", " ")) for part in piece.partition("=")[::2])
        for piece in query.split("&")
        if piece
    )
    line = "&".join(f"{quote(key, safe='~')}={quote(value, safe='~')}" for key, value in pairs)
    names = sorted(sign)
    block = "".join(f"{name}:{sent[name].strip()}\n" for name in names)
    text = f"{method}\n{uri}\n{line}\n{block}\n{';'.join(names)}\n{hashlib.sha256(body).hexdigest()}"
    to_sign = f"SDK-HMAC-SHA256\n{date}\n{hashlib.sha256(text.encode()).hexdigest()}"
    signature = hmac.new(cloud.environment["secret_key"].encode(), to_sign.encode(), "sha256").hexdigest()
    sent["authorization"] = (
        f"SDK-HMAC-SHA256 Access={cloud.environment['access_key']}, SignedHeaders={';'.join(names)}, Signature={signature}"
    )
    return method, target, {**sent, **(late or {})}, body


def send(cloud, method, target, headers, body=b""):
    """Over a socket, so that no library tidies the request."""
    lines = [
        f"{method} {target} HTTP/1.1",
        *(f"{name}: {value}" for name, value in headers.items()),
        "connection: close",
        f"content-length: {len(body)}",
        "",
        "",
    ]
    host, _, port = cloud.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall("\r\n".join(lines).encode() + body)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    head, _, content = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(content)


def test_go_does_not_sign_the_host_and_adds_the_project_later(cloud):
    request = signed(
        cloud,
        "POST",
        f"/v2/{cloud.project}/instances",
        body=b'{"name":"x"}\n',
        headers={
            "accept": "application/json",
            "content-type": "application/json;charset=utf8",
            "user-agent": "golangsdk/2.0.0",
        },
        sign=("accept", "content-type", "user-agent", "x-sdk-date"),
        late={"x-project-id": cloud.project, "x-domain-id": "whatever"},
    )

    assert send(cloud, *request)[0] == 200


@pytest.mark.parametrize(
    "target",
    [
        "x?b=z&b=%C3%A9&b=a&a=",
        "x?q=a+b&p=a%2Bb",
        "x?flag&other=",
        "x?k=%20%26%3D",
        "a%2Fb",
        "a%20b/~c",
        "%E4%BD%A0",
        "x/",
        "x?&&a=1&",
        "x?%C3%A9=1&z=2&a=3",
    ],
)
def test_odd_targets_verify_as_the_application_reads_them(cloud, target):
    status, answer = send(cloud, *signed(cloud, "GET", f"/v2/{cloud.project}/echo/{target}"))

    assert (status, answer.get("error_msg")) == (200, None)


@pytest.mark.parametrize("minutes", [-16, -14, 14, 16])
def test_the_clock_may_be_off_by_a_quarter_of_an_hour(cloud, minutes):
    date = (datetime.now(UTC) + timedelta(minutes=minutes)).strftime("%Y%m%dT%H%M%SZ")

    status, answer = send(cloud, *signed(cloud, "GET", f"/v2/{cloud.project}/instances", date=date))

    if abs(minutes) < 15:
        assert status == 200
    else:
        assert (status, answer["error_msg"]) == (
            401,
            "Incorrect IAM authentication information: calc ak sk signature fail:signature expired",
        )


def in_headers(**changes):
    """A change of headers; None takes one away."""

    def change(method, target, headers, body):
        changed = {**headers, **{name.replace("_", "-"): value for name, value in changes.items()}}
        return method, target, {name: value for name, value in changed.items() if value is not None}, body

    return change


def in_authorization(pattern, replacement):
    def change(method, target, headers, body):
        changed, count = re.subn(pattern, replacement, headers["authorization"])
        assert count == 1
        return method, target, {**headers, "authorization": changed}, body

    return change


def other_digit(match):
    return "1" if match[0] == "0" else "0"


CHANGES = {
    "method": lambda method, *rest: ("PUT", *rest),
    "path": lambda method, target, *rest: (method, target.replace("/echo/x", "/echo/y"), *rest),
    "query": lambda method, target, *rest: (method, target.replace("a=1", "a=2"), *rest),
    "added query": lambda method, target, *rest: (method, target + "&c=3", *rest),
    "body": lambda *request: (*request[:3], request[3][:-1] + b"]"),
    "no body": lambda *request: (*request[:3], b""),
    "body, with its hash waived": lambda method, target, headers, body: (
        method,
        target,
        {**headers, "x-sdk-content-sha256": "UNSIGNED-PAYLOAD"},
        body[:-1] + b"]",
    ),
    "header": in_headers(content_type="text/plain"),
    "host": in_headers(host="elsewhere"),
    "missing header": in_headers(content_type=None),
    "date": in_headers(x_sdk_date=(datetime.now(UTC) + timedelta(seconds=60)).strftime("%Y%m%dT%H%M%SZ")),
    "signature": in_authorization("[0-9a-f]$", other_digit),
    "header taken off the list": in_authorization("host;", ""),
    "date taken off the list": in_authorization(";x-sdk-date", ""),
    "key": in_authorization("Access=[^,]+", "Access=NEIGHBOURKEY"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_after_signing_is_refused(cloud, change):
    request = signed(
        cloud,
        "POST",
        f"/v2/{cloud.project}/echo/x?a=1&b=2",
        body=b'{"a": 1}',
        headers={"content-type": "application/json"},
        sign=("content-type", "host", "x-sdk-date"),
    )
    assert send(cloud, *request)[0] == 200

    status, answer = send(cloud, *change(*request))

    assert (status, answer["error_code"]) == (401, "APIGW.0301")


def test_no_secret_is_in_a_refusal(cloud):
    request = signed(cloud, "GET", f"/v2/{cloud.project}/instances")

    _status, answer = send(cloud, *CHANGES["signature"](*request))

    assert cloud.environment["secret_key"] not in json.dumps(answer)


FIRST = {"access_key": "FIRSTKEY1", "secret_key": "first-secret", "password": "first-password"}
DISABLED = "The access key or its user is disabled."


def test_a_disabled_user_is_refused_whatever_it_sends(tmp_path):
    with serving(tmp_path, identity=FIRST) as own:
        token = sign_in(own).headers["x-subject-token"]

        async def disable():
            async with own.database.writing() as tx:
                domain = await records.find_domain_named(tx, "cachestead")
                user = await records.find_user_named(tx, domain.id, "admin")
                await records.save_user(tx, replace(user, enabled=False))

        own.run(disable())
        status, answer = send(own, *signed(own, "GET", f"/v2/{own.project}/instances"))
        with_token = httpx.get(f"{own.url}/v2/{own.project}/instances", headers={"X-Auth-Token": token})

        assert (status, answer["error_ext_msg"]) == (401, DISABLED)
        assert with_token.json()["error_code"] == "DCS.1001"
        assert sign_in(own).status_code == 401


def test_a_disabled_key_is_refused_and_its_user_is_not(tmp_path):
    with serving(tmp_path, identity=FIRST) as own:

        async def disable():
            async with own.database.writing() as tx:
                key = await records.find_access_key(tx, FIRST["access_key"])
                await records.save_access_key(tx, replace(key, enabled=False))

        own.run(disable())
        status, answer = send(own, *signed(own, "GET", f"/v2/{own.project}/instances"))

        assert (status, answer["error_ext_msg"]) == (401, DISABLED)
        assert sign_in(own).status_code == 201


def test_unknown_users_cost_as_much_as_wrong_passwords(cloud):
    def seconds(**how):
        started = time.perf_counter()
        assert sign_in(cloud, **how).status_code == 401
        return time.perf_counter() - started

    unknown = min(seconds(user={"name": "nobody", "domain": {"name": "cachestead"}}) for _ in range(5))
    wrong = min(seconds(password="wrong") for _ in range(5))

    assert 0.25 < unknown / wrong < 4
