"""Accounts of instances of every type: who may log in, what a reader may not do, and what becomes of both later."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest
import redis
from huaweicloudsdkdcs import v2 as sdk
from installation import CLUSTER, HA, PASSWORD, PROXY, SINGLE, SPLIT, Installation, client_of, eventually
from redis.backoff import NoBackoff
from redis.retry import Retry
from refusals import check_refused, look

WORD, OTHER_WORD = "Acc0unt-word", "An0ther-word"
ORDERS: dict[str, tuple[str, float]] = {
    "single": (SINGLE, 0.125),
    "ha": (HA, 0.125),
    "cluster": (CLUSTER, 4),
    "proxy": (PROXY, 4),
    "split": (SPLIT, 1),
}
BEHIND_PROXIES = ("proxy", "split")


@pytest.fixture(scope="module")
def api(installation: Installation) -> Iterator[httpx.Client]:
    with installation.http() as client:
        yield client


@pytest.fixture(scope="module")
def made() -> dict[str, dict[str, Any]]:
    """Instances by kind, made when they are first asked for."""
    return {}


@pytest.fixture
def instance(
    request: pytest.FixtureRequest, installation: Installation, made: dict[str, dict[str, Any]], api: httpx.Client
) -> dict[str, Any]:
    """An instance of version 5.0 and of the kind asked for, without accounts."""
    kind = getattr(request, "param", "single")
    if kind not in made:
        flavor, capacity = ORDERS[kind]
        order = {"engine_version": "5.0", "capacity": capacity}
        made[kind] = installation.create(f"accounts-{kind}", flavor, **order) | {"kind": kind}
    for one in normal_accounts(api, made[kind]):
        delete(api, made[kind], one)
    return made[kind]


each_kind = pytest.mark.parametrize("instance", ORDERS, indirect=True)
behind_proxies = pytest.mark.parametrize("instance", BEHIND_PROXIES, indirect=True)


def path_of(instance: dict[str, Any], account: dict[str, Any] | None = None, more: str = "") -> str:
    return f"/instances/{instance['instance_id']}/accounts" + (
        f"/{account['account_id']}{more}" if account else ""
    )


def accounts_of(api: httpx.Client, instance: dict[str, Any]) -> list[dict[str, Any]]:
    answer = api.get(path_of(instance))
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["accounts"]
    return found


def normal_accounts(api: httpx.Client, instance: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for one in accounts_of(api, instance) if one["account_type"] == "normal"]


def account_named(api: httpx.Client, instance: dict[str, Any], name: str) -> dict[str, Any]:
    [found] = [one for one in accounts_of(api, instance) if one["account_name"] == name]
    return found


def order_of(name: str, role: str = "write", **changes: Any) -> dict[str, Any]:
    return {"account_name": name, "account_role": role, "account_password": WORD} | changes


def create(
    api: httpx.Client, instance: dict[str, Any], name: str, role: str = "write", **changes: Any
) -> dict[str, Any]:
    """An account that can log in."""
    answer = api.post(path_of(instance), json=order_of(name, role, **changes))
    assert (answer.status_code, answer.json()) == (200, {}), answer.text
    return settled(api, instance, name)


def settled(api: httpx.Client, instance: dict[str, Any], name: str) -> dict[str, Any]:
    """The account, once nothing is being done to it nor to the instance."""

    def found() -> dict[str, Any] | None:
        account = account_named(api, instance, name)
        return account if account["status"] == "AVAILABLE" and is_idle(api, instance) else None

    account = eventually(found)
    assert account is not None
    return account


def is_idle(api: httpx.Client, instance: dict[str, Any]) -> bool:
    seen = api.get(f"/instances/{instance['instance_id']}").json()
    return seen["status"] == "RUNNING" and not seen.get("task")


def set_role(api: httpx.Client, instance: dict[str, Any], account: dict[str, Any], role: str) -> None:
    answer = api.put(path_of(instance, account, "/role"), json={"account_role": role})
    assert answer.status_code == 200, answer.text
    assert answer.json()["instance_id"] == instance["instance_id"]
    eventually(lambda: api.get(f"/jobs/{answer.json()['job_id']}").json()["status"] == "SUCCESS")
    assert settled(api, instance, account["account_name"])["account_role"] == role


def delete(api: httpx.Client, instance: dict[str, Any], account: dict[str, Any]) -> None:
    answer = api.delete(path_of(instance, account))
    assert answer.status_code == 200, answer.text
    eventually(lambda: account["account_id"] not in {one["account_id"] for one in accounts_of(api, instance)})
    eventually(lambda: is_idle(api, instance))


def client(instance: dict[str, Any], name: str, password: str = WORD) -> redis.Redis:
    """A client that is logged in as the account, at a node or proxy that answers for the key `k`."""
    if instance["kind"] == "cluster":
        address = instance["ip"].split(",")[0]
        cluster = redis.RedisCluster(address, instance["port"], password=PASSWORD)
        node = cluster.get_node_from_key("k")
        cluster.close()
        assert node is not None
        instance = instance | {"ip": node.host, "port": node.port}
    more: dict[str, Any] = {"username": name, "socket_timeout": 10, "protocol": 2, "retry": Retry(NoBackoff(), 0)}
    return client_of(instance, password, **more)


def can_log_in(instance: dict[str, Any], name: str, password: str = WORD) -> bool:
    with client(instance, name, password) as connected:
        try:
            return bool(connected.ping())
        except redis.AuthenticationError:
            return False


def user_of(connected: redis.Redis) -> str:
    """Who the client is, as the list of sessions has it."""
    number = str(connected.client_id())
    return str(next(one["user"] for one in connected.client_list() if one["id"] == number))


def has_session(instance: dict[str, Any], user: str, command: str) -> bool:
    """Whether a client of the user has asked for this last, at the node or proxy that one happens to come to."""
    with client(instance, "default", PASSWORD) as owner:
        return (user, command) in {(one["user"], one["cmd"]) for one in owner.client_list()}


def _ask(kept: Any, *words: str) -> Any:
    kept.send_command(*words)
    return kept.read_response()


def cannot_write(connected: redis.Redis) -> bool:
    with pytest.raises(redis.exceptions.NoPermissionError, match=r"has no permissions to run the 'set' command"):
        connected.set("k", "from a reader")
    return True


@each_kind
def test_a_writer_writes_and_a_reader_only_reads(api: httpx.Client, instance: dict[str, Any]) -> None:
    create(api, instance, "writer")
    create(api, instance, "reader", "read")
    with client(instance, "writer") as writer, client(instance, "reader") as reader:
        assert writer.set("k", "1")
        assert eventually(lambda: reader.get("k") == "1")
        assert cannot_write(reader)
        for words in (
            ("DEL", "k"), ("MSET", "k", "2"), ("INCR", "k"), ("EXPIRE", "k", "1"), ("SORT", "k", "STORE", "k"),
            ("FLUSHALL",), ("RENAME", "k", "k"), ("GETSET", "k", "2"), ("BLPOP", "k", "1"),
            ("UNLINK", "k"), ("RESTORE", "k", "0", "x"), ("LPUSH", "k", *["x" * 100] * 1000),
        ):  # fmt: skip
            with pytest.raises(redis.exceptions.NoPermissionError):
                reader.execute_command(*words)
        assert reader.get("k") == "1"
        assert [user_of(writer), user_of(reader)] == ["writer", "reader"]


@each_kind
def test_a_reader_writes_nothing_in_transactions_and_scripts(api: httpx.Client, instance: dict[str, Any]) -> None:
    create(api, instance, "reader", "read")
    with client(instance, "default", PASSWORD) as owner:
        owner.set("k", "1")
    with client(instance, "reader") as reader:
        pipe = reader.pipeline()
        pipe.get("k")
        pipe.set("k", "2")
        with pytest.raises(redis.exceptions.RedisError, match=r"no permissions|discarded"):
            pipe.execute()
        assert reader.pipeline().get("k").strlen("k").execute() == ["1", 1]
        for script in ("return redis.call('set', KEYS[1], '2')", "return redis.call('del', KEYS[1])"):
            with pytest.raises(redis.exceptions.RedisError, match=r"permission|executing the script"):
                reader.eval(script, 1, "k")
        assert reader.eval("return redis.call('get', KEYS[1])", 1, "k") == "1"
        number = reader.script_load("return redis.call('set', KEYS[1], '3')")
        with pytest.raises(redis.exceptions.RedisError, match=r"permission|executing the script"):
            reader.evalsha(number, 1, "k")
        assert reader.get("k") == "1"


@each_kind
def test_only_the_right_words_let_in(api: httpx.Client, instance: dict[str, Any]) -> None:
    account = create(api, instance, "someone")
    assert can_log_in(instance, "someone")
    for name, password in (
        ("someone", OTHER_WORD),
        ("Someone", WORD),
        ("nobody", WORD),
        ("default", WORD),
        ("someone", ""),
    ):
        if password:
            assert not can_log_in(instance, name, password)
    with client(instance, "default", f"someone:{WORD}") as both:
        if instance["kind"] in BEHIND_PROXIES:
            assert user_of(both) == "someone"
        else:
            # An engine has no such way.
            with pytest.raises(redis.AuthenticationError):
                both.ping()
    delete(api, instance, account)
    assert not can_log_in(instance, "someone")
    assert can_log_in(instance, "default", PASSWORD)


@each_kind
def test_clients_stay_through_a_new_password_and_leave_with_the_account(
    api: httpx.Client, instance: dict[str, Any]
) -> None:
    account = create(api, instance, "someone")
    with client(instance, "someone") as connected:
        kept = connected.connection_pool.get_connection()
        kept.send_command("SET", "k", "1")
        assert kept.read_response() == "OK"
        body = {"old_password": WORD, "new_password": OTHER_WORD}
        answer = api.put(path_of(instance, account, "/password/modify"), json=body)
        assert (answer.status_code, answer.json()["result"]) == (200, "success"), answer.text
        kept.send_command("GET", "k")
        assert kept.read_response() == "1"
        assert (can_log_in(instance, "someone"), can_log_in(instance, "someone", OTHER_WORD)) == (False, True)
        set_role(api, instance, account, "read")
        kept.send_command("SET", "k", "2")
        with pytest.raises(redis.exceptions.NoPermissionError):
            kept.read_response()
        set_role(api, instance, account, "write")
        kept.send_command("SET", "k", "3")
        assert kept.read_response() == "OK"
        eventually(lambda: is_idle(api, instance))
        delete(api, instance, account)
        with pytest.raises(redis.exceptions.RedisError):
            _ask(kept, "GET", "k")


@each_kind
def test_what_was_begun_by_a_writer_is_not_finished_by_a_reader(
    api: httpx.Client, instance: dict[str, Any]
) -> None:
    account = create(api, instance, "someone")
    with (
        client(instance, "default", PASSWORD) as owner,
        client(instance, "someone") as in_transaction,
        client(instance, "someone") as waiting,
    ):
        owner.delete("k")
        begun, waits = (one.connection_pool.get_connection() for one in (in_transaction, waiting))
        assert (_ask(begun, "MULTI"), _ask(begun, "SET", "k", "2")) == ("OK", "QUEUED")
        waits.send_command("BLPOP", "k", "20")
        eventually(lambda: has_session(instance, "someone", "blpop"))
        set_role(api, instance, account, "read")
        with pytest.raises(redis.exceptions.RedisError):
            # A node refuses one by one, a proxy has ended the connection.
            raise _ask(begun, "EXEC")[0]
        assert owner.lpush("k", "1") == 1
        with pytest.raises(redis.exceptions.RedisError):
            waits.read_response()
        assert owner.lrange("k", 0, -1) == ["1"]
        owner.delete("k")


@behind_proxies
def test_both_ways_of_logging_in_work_with_every_command_that_logs_in(
    api: httpx.Client, instance: dict[str, Any]
) -> None:
    create(api, instance, "reader", "read")
    for protocol in (2, 3):
        for login in ({"username": "reader", "password": WORD}, {"password": f"reader:{WORD}"}):
            with redis.Redis(instance["ip"], instance["port"], protocol=protocol, **login) as connected:
                assert user_of(connected) == "reader"
                with pytest.raises(redis.exceptions.NoPermissionError):
                    connected.set("k", "1")
                # Whoever logs in as another is another.
                connected.execute_command("AUTH", PASSWORD)
                assert connected.set("k", "1")


@pytest.mark.parametrize("instance", ["proxy"], indirect=True)
def test_a_reader_that_begins_anew_is_nobody(api: httpx.Client, instance: dict[str, Any]) -> None:
    create(api, instance, "reader", "read")
    with client(instance, "reader") as connected:
        kept = connected.connection_pool.get_connection()
        for words, wanted in ((("RESET",), "RESET"), (("AUTH", PASSWORD), "OK"), (("SET", "k", "1"), "OK")):
            kept.send_command(*words)
            assert kept.read_response() == wanted


@pytest.mark.parametrize("instance", ["split"], indirect=True)
def test_scripts_of_readers_run_on_replicas_where_the_parameter_says_so(
    installation: Installation, api: httpx.Client, instance: dict[str, Any]
) -> None:
    create(api, instance, "reader", "read")
    with client(instance, "default", PASSWORD) as owner, client(instance, "reader") as reader:
        owner.set("k", "1")
        script = "redis.call('get', KEYS[1]) return redis.call('info', 'replication'):match('role:(%a+)')"
        assert {reader.eval(script, 1, "k") for _ in range(10)} == {"master"}
        wanted = {"redis_config": [{"param_name": "readonly-lua-route-to-slave-enabled", "param_value": "yes"}]}
        assert api.put(f"/instances/{instance['instance_id']}/configs", json=wanted).status_code == 204
        eventually(lambda: {reader.eval(script, 1, "k") for _ in range(10)} == {"slave"})
        assert {owner.eval(script, 1, "k") for _ in range(10)} == {"master"}


def test_the_official_client_manages_accounts(installation: Installation, instance: dict[str, Any]) -> None:
    dcs, one = installation.sdk(), instance["instance_id"]

    def listed() -> dict[str, sdk.AclAccountResp]:
        found = dcs.list_acl_accounts(sdk.ListAclAccountsRequest(one)).accounts
        return {account.account_name: account for account in found}

    def settled_as(**wanted: str) -> bool:
        account = listed()["someone"]
        return all(getattr(account, name) == value for name, value in wanted.items())

    [default] = listed().values()
    assert (default.account_type, default.status, default.account_role) == ("default", "AVAILABLE", "write")
    body = sdk.CreateAclAccountRequestBody("someone", "read", WORD, description="Reads.")
    dcs.create_acl_account(sdk.CreateAclAccountRequest(one, body))
    eventually(lambda: settled_as(status="AVAILABLE", description="Reads."))
    number = listed()["someone"].account_id
    assert listed()["someone"].account_type == "normal"
    dcs.update_acl_account_remark(
        sdk.UpdateAclAccountRemarkRequest(one, number, sdk.UpdateAclAccountRemarkRequestBody("Writes."))
    )
    changed = dcs.update_acl_account(
        sdk.UpdateAclAccountRequest(one, number, sdk.AclAccountRoleModifyBody("write"))
    )
    assert changed.instance_id == one
    eventually(lambda: settled_as(status="AVAILABLE", account_role="write", description="Writes."))
    wrong = sdk.AclAccountModifyPasswordBody(OTHER_WORD, OTHER_WORD)
    refused = dcs.update_acl_account_pass_word(sdk.UpdateAclAccountPassWordRequest(one, number, wrong))
    assert (refused.result, refused.retry_times_left) == ("passwordFailed", "4")
    reset = dcs.reset_acl_account_pass_word(
        sdk.ResetAclAccountPassWordRequest(one, number, sdk.AclAccountResetPasswordBody(new_password=OTHER_WORD))
    )
    assert (reset.code, reset.retry_times_left) == ("1", "5")
    assert can_log_in(instance, "someone", OTHER_WORD)
    dcs.delete_acl_account(sdk.DeleteAclAccountRequest(one, number))
    tasks = dcs.list_background_task(sdk.ListBackgroundTaskRequest(one, limit=10)).tasks
    assert tasks[0].name == "DeleteAcl"
    eventually(lambda: listed().keys() == {"default"})
    assert not can_log_in(instance, "someone", OTHER_WORD)


def test_five_wrong_passwords_lock_the_account_and_no_other(api: httpx.Client, instance: dict[str, Any]) -> None:
    account, other = create(api, instance, "someone"), create(api, instance, "other")
    body = {"old_password": "Wr0ng-word", "new_password": OTHER_WORD}
    answers = [api.put(path_of(instance, account, "/password/modify"), json=body).json() for _ in range(6)]
    assert [one["result"] for one in answers] == ["passwordFailed"] * 4 + ["locked"] * 2
    assert [one["retry_times_left"] for one in answers] == ["4", "3", "2", "1", "0", "0"]
    right = {"old_password": WORD, "new_password": OTHER_WORD}
    assert api.put(path_of(instance, account, "/password/modify"), json=right).json()["result"] == "locked"
    assert api.put(path_of(instance, account, "/password/reset"), json=right).json()["code"] == "3"
    assert api.put(path_of(instance, other, "/password/modify"), json=right).json()["result"] == "success"
    assert can_log_in(instance, "someone")


def test_the_default_account_has_the_instances_password(api: httpx.Client, instance: dict[str, Any]) -> None:
    default = account_named(api, instance, "default")
    for old, new in ((PASSWORD, OTHER_WORD), (OTHER_WORD, PASSWORD)):
        body = {"old_password": old, "new_password": new}
        assert api.put(path_of(instance, default, "/password/modify"), json=body).json()["result"] == "success"
        assert can_log_in(instance, "default", new)
    check_refused(api.delete(path_of(instance, default)), "DCS.4961", "account_id")
    check_refused(
        api.put(path_of(instance, default, "/role"), json={"account_role": "read"}), "DCS.4961", "account_id"
    )
    check_refused(api.put(path_of(instance, default), json={"description": "x"}), "DCS.4961", "account_id")


BAD: dict[str, tuple[str, dict[str, Any]]] = {
    "no_name": ("account_name", {"account_name": None}),
    "empty_name": ("account_name", {"account_name": ""}),
    "name_of_a_digit": ("account_name", {"account_name": "1user"}),
    "name_with_a_blank": ("account_name", {"account_name": "a b"}),
    "name_of_two_lines": ("account_name", {"account_name": "a\n"}),
    "long_name": ("account_name", {"account_name": "a" * 65}),
    "default": ("account_name", {"account_name": "default"}),
    "name_of_ours": ("account_name", {"account_name": "cachestead-replica"}),
    "odd_name": ("account_name", {"account_name": ["a"]}),
    "no_role": ("account_role", {"account_role": None}),
    "odd_role": ("account_role", {"account_role": "admin"}),
    "no_password": ("account_password", {"account_password": None}),
    "short_password": ("account_password", {"account_password": "Aa1-aaa"}),
    "long_password": ("account_password", {"account_password": "Aa1-" + "a" * 61}),
    "password_of_two_kinds": ("account_password", {"account_password": "aaaa1111"}),
    "password_with_a_colon": ("account_password", {"account_password": "Acc0unt:word"}),
    "password_with_a_blank": ("account_password", {"account_password": "Acc0unt word"}),
    "name_as_password": ("account_password", {"account_name": "Passw0rd-1", "account_password": "Passw0rd-1"}),
    "name_backwards_as_password": (
        "account_password", {"account_name": "Passw0rd-A", "account_password": "A-dr0wssaP"},
    ),
    "long_description": ("description", {"description": "x" * 1025}),
    "odd_description": ("description", {"description": {}}),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_named_and_changes_nothing(
    api: httpx.Client, instance: dict[str, Any], name: str
) -> None:
    before = look(api)
    field, changes = BAD[name]
    check_refused(api.post(path_of(instance), json=order_of("fine") | changes), "DCS.4961", field)
    assert (look(api), normal_accounts(api, instance)) == (before, [])


def test_changes_that_are_wrong_are_named_and_change_nothing(api: httpx.Client, instance: dict[str, Any]) -> None:
    account = create(api, instance, "someone")
    check_refused(api.post(path_of(instance), json=order_of("someone")), "DCS.4961", "account_name")
    modify, reset = path_of(instance, account, "/password/modify"), path_of(instance, account, "/password/reset")
    for word in ("short", "Has-someone1", "Has-enoemos1", "Acc0unt:word", None, 7):
        check_refused(api.put(reset, json={"new_password": word}), "DCS.4961", "new_password")
        body = {"old_password": WORD, "new_password": word}
        check_refused(api.put(modify, json=body), "DCS.4961", "new_password")
    check_refused(api.put(modify, json={"new_password": OTHER_WORD}), "DCS.4961", "old_password")
    for role in (None, "", "admin", ["read"]):
        check_refused(
            api.put(path_of(instance, account, "/role"), json={"account_role": role}), "DCS.4961", "account_role"
        )
    check_refused(api.put(path_of(instance, account), json={"description": "x" * 1025}), "DCS.4961", "description")
    for number in ("nobody", "00000000-0000-4000-8000-000000000000", "x" * 300):
        nobody = {"account_id": number}
        check_refused(api.delete(path_of(instance, nobody)), "DCS.4961", "account_id")
        check_refused(api.put(path_of(instance, nobody), json={"description": ""}), "DCS.4961", "account_id")
        body = {"old_password": WORD, "new_password": OTHER_WORD}
        check_refused(api.put(path_of(instance, nobody, "/password/modify"), json=body), "DCS.4961", "account_id")
    assert normal_accounts(api, instance) == [account]
    assert can_log_in(instance, "someone")


def test_eighteen_accounts_are_the_most(api: httpx.Client, instance: dict[str, Any]) -> None:
    for number in range(18):
        create(api, instance, f"number-{number}", ("read", "write")[number % 2])
    check_refused(api.post(path_of(instance), json=order_of("one-more")), "DCS.4039")
    listed = accounts_of(api, instance)
    assert [one["account_name"] for one in listed] == ["default", *(f"number-{number}" for number in range(18))]
    assert all(can_log_in(instance, f"number-{number}") for number in range(18))
    delete(api, instance, listed[1])
    create(api, instance, "one-more")


def test_one_change_at_a_time(api: httpx.Client, instance: dict[str, Any]) -> None:
    answer = api.put("/instances/status", json={"action": "restart", "instances": [instance["instance_id"]]})
    assert answer.json()["results"][0]["result"] == "success"
    check_refused(api.post(path_of(instance), json=order_of("someone")), "DCS.4111")
    eventually(lambda: is_idle(api, instance))
    assert normal_accounts(api, instance) == []


def test_without_passwords_only_default_is_there(api: httpx.Client, instance: dict[str, Any]) -> None:
    create(api, instance, "someone", "read")
    path = f"/instances/{instance['instance_id']}/password/reset"
    assert api.post(path, json={"no_password_access": True}).json()["code"] == "1"
    try:
        assert not can_log_in(instance, "someone")
        check_refused(api.post(path_of(instance), json=order_of("other")), "DCS.4850")
    finally:
        assert api.post(path, json={"new_password": PASSWORD}).json()["code"] == "1"
    assert can_log_in(instance, "someone")
    with client(instance, "someone") as reader:
        assert cannot_write(reader)


def test_default_has_no_password_with_a_colon(api: httpx.Client, instance: dict[str, Any]) -> None:
    """Else there could be no accounts on single nodes and master/standby instances (section 4.10.1)."""
    path = f"/instances/{instance['instance_id']}/password/reset"
    check_refused(api.post(path, json={"new_password": "Has:a-c0lon"}), "DCS.4019", "new_password")


@pytest.mark.parametrize("version", ["6.0", "7.0"])
def test_other_versions_have_no_accounts(installation: Installation, api: httpx.Client, version: str) -> None:
    other = installation.create(f"version-{version[0]}", SINGLE, engine_version=version) | {"kind": "single"}
    account = {"account_id": "00000000-0000-4000-8000-000000000000"}
    for answer in (
        api.get(path_of(other)),
        api.post(path_of(other), json=order_of("someone")),
        api.delete(path_of(other, account)),
        api.put(path_of(other, account), json={"description": ""}),
        api.put(path_of(other, account, "/role"), json={"account_role": "read"}),
        api.put(path_of(other, account, "/password/reset"), json={"new_password": WORD}),
    ):
        check_refused(answer, "DCS.4008", "accounts")


def test_nobody_but_engines_and_proxies_is_told_a_password(
    installation: Installation, api: httpx.Client, instance: dict[str, Any]
) -> None:
    word = "Never-t0ld-anywhere"
    account = create(api, instance, "quiet", account_password=word)
    body = {"old_password": word, "new_password": word + "2"}
    assert api.put(path_of(instance, account, "/password/modify"), json=body).json()["result"] == "success"
    refused = api.post(path_of(instance), json=order_of("quiet", account_password=word))
    assert word not in refused.text
    kept = [path for path in installation.folder.rglob("*") if path.is_file() and path.stat().st_size < 2**26]
    assert len(kept) > 5
    holders = []
    for path in kept:
        with contextlib.suppress(FileNotFoundError):
            if word.encode() in path.read_bytes():
                holders.append(path)
    assert holders == []
    lines = []
    for process in installation.node_processes():
        with contextlib.suppress(psutil.Error):
            lines.append(" ".join(process.cmdline()))
    assert lines
    assert not any(word in line for line in lines)
    with client(instance, "quiet", word + "2") as connected, pytest.raises(redis.exceptions.RedisError):
        connected.execute_command("ACL", "LIST")
    assert hashlib.sha256(word.encode()).hexdigest() not in installation.log()
