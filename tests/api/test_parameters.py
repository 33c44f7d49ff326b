"""Parameters of instances of every type: set through the API, read back from engines and proxies."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import redis
from configured import Configured
from huaweicloudsdkdcs import v2 as sdk
from installation import CLUSTER, HA, PASSWORD, PROXY, SINGLE, SPLIT, Installation, client_of, eventually
from records import reading
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel
from refusals import check_refused
from sqlalchemy import update

from cachestead.bootstrap import load_flavors, load_parameters
from cachestead.domain.instances import Mode
from cachestead.store.tables import parameter_changes

CAPACITY = {SINGLE: 0.125, HA: 0.125, CLUSTER: 4, PROXY: 4, SPLIT: 1}
FLAVORS = dict(zip(Mode, (SINGLE, HA, CLUSTER, PROXY, SPLIT), strict=True))
CATALOGUE = {
    mode: load_parameters().parameters_of(mode, load_flavors().get(spec, CAPACITY[spec]))
    for mode, spec in FLAVORS.items()
}
EACH = [
    pytest.param(mode, one.name, id=f"{mode}-{one.name}")
    for mode, found in CATALOGUE.items()
    for one in found
    if {one.default} != set(one.range.split(",")) and one.range
]
"""Every parameter of every type that may be something else than it is."""


@pytest.fixture(scope="module")
def api(installation: Installation) -> Iterator[httpx.Client]:
    """A client with a token."""
    with installation.http() as client:
        yield client


@pytest.fixture(scope="module")
def made() -> dict[Mode, Configured]:
    """The instances that were asked for so far, one of each type."""
    return {}


@pytest.fixture
def configured(
    request: pytest.FixtureRequest, installation: Installation, api: httpx.Client, made: dict[Mode, Configured]
) -> Configured:
    """The instance of a type."""
    mode = request.param
    if mode not in made:
        spec = FLAVORS[mode]
        instance = installation.create(f"of-type-{mode.replace('_', '-')}", spec, capacity=CAPACITY[spec])
        made[mode] = Configured(installation, api, instance)
    return made[mode]


each_type = pytest.mark.parametrize("configured", Mode, indirect=True)
standby = pytest.mark.parametrize("configured", [Mode.HA], indirect=True)
single = pytest.mark.parametrize("configured", [Mode.SINGLE], indirect=True)
split = pytest.mark.parametrize("configured", [Mode.HA_RW_SPLIT], indirect=True)
clustered = pytest.mark.parametrize("configured", [Mode.PROXY], indirect=True)


@each_type
def test_a_new_instance_has_the_defaults(configured: Configured):
    found = configured.configuration()
    assert (found["config_status"], found["status"]) == ("SUCCESS", "RUNNING")
    assert {one["param_name"]: one["param_value"] for one in found["redis_config"]} == {
        one.name: one.default for one in CATALOGUE[Mode(str(configured))]
    }
    assert all(one["param_value"] == one["default_value"] for one in found["redis_config"])
    configured.assert_in_force()


@pytest.mark.parametrize(("configured", "name"), EACH, indirect=["configured"])
def test_a_parameter_that_is_set_is_in_force(configured: Configured, name: str):
    before, value = configured.values()[name], configured.another(name)
    assert configured.set(**{name: value}) == "SUCCESS"
    assert configured.values()[name] == value
    configured.assert_in_force(name)
    newest = configured.histories()[0]
    assert (newest["status"], newest["type"]) == ("SUCCESS", "config_param")
    [changed] = configured.detail(newest["history_id"])["redis_config"]
    assert (changed["param_name"], changed["old_value"], changed["new_value"]) == (name, before, value)


@single
@pytest.mark.parametrize(
    ("keys", "effort", "rounds"),
    [(20, 1, 10), (1, 1, 10), (65, 10, 10), (66, 10, 11), (1000, 10, 154), (40, 5, 10)],
)
def test_more_keys_are_looked_at_for_their_deadline(configured: Configured, keys: int, effort: int, rounds: int):
    assert configured.set(active_expire_num=keys) == "SUCCESS"
    with configured.clients() as [node]:
        told = node.config_get("active-expire-effort", "hz")
    assert told == {"active-expire-effort": str(effort), "hz": str(rounds)}


@each_type
def test_a_restart_keeps_what_was_set(configured: Configured):
    _all_others(configured)
    before = configured.values()
    body = {"action": "soft_restart", "instances": [configured.instance["instance_id"]]}
    configured.api.put("/instances/status", json=body)
    configured.installation.wait(configured.instance["instance_id"], seconds=60)
    assert configured.values() == before
    configured.assert_in_force()


@each_type
def test_what_is_lost_comes_back_with_what_was_set(configured: Configured):
    _all_others(configured)
    before = configured.installation.node_pids(configured.instance["instance_id"])
    for address in [configured.addresses(kind)[-1] for kind in ("redis-server", "redis-proxy")
                    if configured.addresses(kind)]:  # fmt: skip
        psutil.Process(before[address]).kill()

        def again(address: str = address) -> bool:
            now = configured.installation.node_pids(configured.instance["instance_id"])
            return now.get(address) not in (None, before[address])

        eventually(again)
    configured.installation.wait(configured.instance["instance_id"], seconds=60)
    eventually(lambda: configured.assert_in_force() is None)


def _all_others(configured: Configured) -> None:
    """Nothing that may be something else is at its default."""
    parameters = configured.parameters()
    same = [
        one.name for one in CATALOGUE[Mode(str(configured))] if parameters[one.name]["param_value"] == one.default
    ]
    names = {param.values[1] for param in EACH if param.values[0] == str(configured)} & {*same}
    if names:
        assert configured.set(**{name: configured.another(name) for name in names}) == "SUCCESS"


RESIZES = {
    Mode.SINGLE: ("redis.single.xu1.tiny.256", 0.25, ""),
    Mode.HA: ("redis.ha.xu1.large.r2.1", 1, ""),
    Mode.CLUSTER: ("redis.cluster.xu1.large.r3.4", 4, "createReplication"),
    Mode.PROXY: ("redis.proxy.xu1.large.8", 8, ""),
    Mode.HA_RW_SPLIT: ("redis.ha.xu1.large.p3.1", 1, "createReplication"),
}


@pytest.mark.parametrize(("configured", "mode"), [(mode, mode) for mode in Mode], indirect=["configured"])
def test_a_resize_and_new_nodes_keep_what_was_set(configured: Configured, mode: Mode):
    _all_others(configured)
    before = configured.values()
    spec, gb, change = RESIZES[mode]
    zones = {"available_zones": ["local-1a"]} if change == "createReplication" else {}
    body = {"spec_code": spec, "new_capacity": gb, **({"change_type": change} if change else {}), **zones}
    answer = configured.api.post(f"{configured.path}/resize", json=body)
    assert answer.status_code == 204, answer.text
    instance = configured.installation.wait(configured.instance["instance_id"], seconds=120)
    assert instance["spec_code"] == spec
    assert configured.values() == before
    configured.assert_in_force()


@each_type
def test_bad_values_are_refused_and_change_nothing(configured: Configured):
    before, histories = configured.values(), configured.histories()
    for name, one in configured.parameters().items():
        for value in ("", "nonsense", "-1", "99999999999999999999"):
            if value != one["default_value"] and not (name == "notify-keyspace-events" and not value):
                check_refused(configured.put(**{name: value}), "DCS.4066", name)
                check_refused(configured.put("async-configs", **{name: value}), "DCS.4066", name)
    assert (configured.values(), configured.histories()) == (before, histories)


def wish(**fields: object) -> dict[str, Any]:
    return {"redis_config": [{"param_id": "1", "param_name": "timeout", "param_value": "5"} | fields]}


@single
@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        pytest.param({}, "DCS.4062", "redis_config", id="nothing"),
        pytest.param({"redis_config": None}, "DCS.4062", "redis_config", id="null"),
        pytest.param({"redis_config": []}, "DCS.4062", "redis_config", id="empty"),
        pytest.param({"redis_config": {}}, "DCS.4062", "redis_config", id="object"),
        pytest.param({"redis_config": ["timeout"]}, "DCS.4062", "redis_config", id="names only"),
        pytest.param(
            {"redis_config": [wish()["redis_config"][0]] * 101}, "DCS.4062", "redis_config", id="too many"
        ),
        pytest.param({"redis_config": wish()["redis_config"] * 2}, "DCS.4066", "timeout", id="twice"),
        pytest.param(wish(param_value=None), "DCS.4062", "param_value", id="null value"),
        pytest.param(wish(param_value=["5"]), "DCS.4062", "param_value", id="list"),
        pytest.param(wish(param_value=True), "DCS.4062", "param_value", id="flag"),
        pytest.param(wish(param_value="9" * 100_000), "DCS.4066", "timeout", id="long value"),
        pytest.param(wish(param_name="nonsense"), "DCS.4066", "nonsense", id="unknown name"),
        pytest.param(wish(param_id="2"), "DCS.4066", "timeout", id="another's id"),
        pytest.param(wish(param_id=None, param_name=None), "DCS.4066", "no parameter", id="nameless"),
        pytest.param(
            wish(param_id="14", param_name="repl-backlog-size"), "DCS.4066", "repl-backlog-size", id="type"
        ),
        pytest.param(wish(param_id="5", param_name="list-max-ziplist-entries"), "DCS.4066", "list", id="version"),
        pytest.param(b"[1]", "DCS.4005", None, id="no object"),
        pytest.param(b"{", "DCS.4005", None, id="no JSON"),
        pytest.param(b"", "DCS.4004", None, id="no body"),
    ],
)
@pytest.mark.parametrize("operation", ["configs", "async-configs"])
def test_bad_requests_are_refused(
    configured: Configured, operation: str, body: dict[str, Any] | bytes, code: str, field: str | None
):
    before, histories = configured.configuration(), configured.histories()
    path = f"{configured.path}/{operation}"
    sent = {"content": body} if isinstance(body, bytes) else {"json": body}
    check_refused(configured.api.put(path, **sent), code, field)
    assert (configured.configuration(), configured.histories()) == (before, histories)


@single
def test_numbers_are_taken_as_numbers(configured: Configured):
    answer = configured.api.put(f"{configured.path}/configs", json=wish(param_id=1, param_value=77))
    assert answer.status_code == 204, answer.text
    assert configured.settled() == "SUCCESS"
    assert configured.values()["timeout"] == "77"


@standby
def test_the_reference_s_client_sets_and_lists_and_terraform_s_follows_the_job(configured: Configured):
    client, one = configured.installation.sdk(), configured.instance["instance_id"]
    entry = sdk.RedisConfig(param_id="2", param_name="maxmemory-policy", param_value="volatile-ttl")
    body = sdk.ModifyRedisConfigBody(redis_config=[entry])
    job = client.update_instance_config(sdk.UpdateInstanceConfigRequest(instance_id=one, body=body)).job_id

    def ended() -> Any:
        seen = client.show_job_info(sdk.ShowJobInfoRequest(job_id=job))
        return seen if seen.status in ("SUCCESS", "FAIL") else None

    assert eventually(ended).status == "SUCCESS"
    listed = client.list_configurations(sdk.ListConfigurationsRequest(instance_id=one))
    assert listed.config_status == "SUCCESS"
    [found] = [entry for entry in listed.redis_config if entry.param_id == "2"]
    assert (found.param_value, found.value_type) == ("volatile-ttl", "Enum")
    tasks = client.list_background_task(sdk.ListBackgroundTaskRequest(instance_id=one)).tasks
    assert (tasks[0].name, tasks[0].details.updated_config_length) == ("ModifyConfig", 1)
    histories = client.list_config_histories(sdk.ListConfigHistoriesRequest(instance_id=one, limit=1))
    assert (len(histories.histories), histories.histories[0].status) == (1, "SUCCESS")
    assert histories.history_num > 1


@standby
def test_changes_are_listed_page_by_page(configured: Configured):
    for seconds in range(1, 4):
        assert configured.set(timeout=seconds) == "SUCCESS"
    every = configured.histories(limit=1000)
    times = [one["created_at"] for one in every]
    assert times == sorted(times, reverse=True)
    assert configured.histories(limit=2) == every[:2]
    assert configured.histories(offset=1, limit=2) == every[1:3]
    assert configured.histories(offset=len(every)) == []
    for query in ({"limit": 0}, {"limit": 1001}, {"offset": -1}, {"limit": "x"}):
        check_refused(configured.api.get(f"{configured.path}/config-histories", params=query), "DCS.4800", *query)
    path = f"{configured.path}/config-histories/00000000-0000-4000-8000-000000000000"
    check_refused(configured.api.get(path), "DCS.4062", "history_id")


@standby
def test_two_changes_at_once_are_told_apart(configured: Configured):
    with _held(configured):
        assert configured.put(timeout=10).status_code == 204
        assert configured.configuration()["config_status"] == "UPDATING"
        assert configured.histories()[0]["status"] == "UPDATING"
        check_refused(configured.put(timeout=11), "DCS.4069", status=500)
        check_refused(configured.put("async-configs", timeout=11), "DCS.4114")
        check_refused(configured.put(timeout=-1), "DCS.4066", "timeout")
        check_refused(configured.api.put(configured.path, json={"port": 6400}), "DCS.4114")
        new = {"new_password": "An0ther-word"}
        check_refused(configured.api.post(f"{configured.path}/password/reset", json=new), "DCS.4114")
    assert configured.settled() == "SUCCESS"
    assert configured.values()["timeout"] == "10"


@standby
def test_of_many_changes_at_once_each_is_done_or_refused(configured: Configured):
    count = len(configured.histories(limit=1000))
    answers: list[httpx.Response] = []
    threads = [
        threading.Thread(target=lambda n=n: answers.append(configured.put(timeout=100 + n))) for n in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = [one for one in answers if one.status_code == 204]
    assert done
    for refused in (one for one in answers if one not in done):
        check_refused(refused, "DCS.4069", status=500)
    assert configured.settled() == "SUCCESS"
    assert len(configured.histories(limit=1000)) == count + len(done)
    configured.assert_in_force("timeout")


class _held:  # noqa: N801 - reads as a word
    """One node is stopped for a while, so that a change goes on for as long."""

    def __init__(self, configured: Configured) -> None:
        address = configured.addresses("redis-server")[-1]
        pid = configured.installation.node_pids(configured.instance["instance_id"])[address]
        self._node = psutil.Process(pid)

    def __enter__(self) -> None:
        self._node.suspend()

    def __exit__(self, *_: object) -> None:
        self._node.resume()


@standby
def test_what_an_engine_refuses_is_a_failure_and_everything_is_as_before(configured: Configured):
    assert configured.set(appendonly="no", timeout=33, repl_timeout=99) == "SUCCESS"
    folders = _append_only_folders(configured)
    for folder in folders:
        shutil.rmtree(folder)
    # In one of them nothing can be written: where the folder should be, there is a file.
    folders[0].touch()
    before = configured.values()
    assert configured.set(timeout=34, appendonly="yes", repl_timeout=100) == "FAILURE"
    assert configured.values() == before
    configured.assert_in_force()
    newest = configured.histories()[0]
    detail = configured.detail(newest["history_id"])
    assert (newest["status"], detail["status"]) == ("FAILURE", "FAILURE")
    assert "set_values" in detail["fail_reason"]
    assert {one["param_name"]: one["new_value"] for one in detail["redis_config"]} == {
        "timeout": "34", "appendonly": "yes", "repl-timeout": "100",
    }  # fmt: skip
    folders[0].unlink()
    assert configured.set(appendonly="yes") == "SUCCESS"
    configured.assert_in_force()


def _append_only_folders(configured: Configured) -> list[Path]:
    """Where the instance's nodes keep what is written."""
    pids = configured.installation.node_pids(configured.instance["instance_id"])
    return [Path(psutil.Process(pid).cwd()) / "appendonlydir" for pid in pids.values()]


@single
def test_a_tenant_may_not_write_while_the_instance_is_read_only(configured: Configured):
    assert configured.set(master_read_only="no", timeout=0) == "SUCCESS"
    with client_of(configured.instance) as tenant:
        assert tenant.set("kept", "yes")
        assert configured.set(master_read_only="yes") == "SUCCESS"
        with pytest.raises(redis.exceptions.NoPermissionError):
            tenant.set("kept", "no")
        assert tenant.get("kept") == "yes"
        body = {"new_password": PASSWORD}
        assert configured.api.post(f"{configured.path}/password/reset", json=body).status_code == 200
        with pytest.raises(redis.exceptions.NoPermissionError):
            tenant.delete("kept")
        assert configured.set(master_read_only="no") == "SUCCESS"
        assert tenant.delete("kept")


@split
def test_proxies_end_idle_clients_and_nobody_else_does(configured: Configured):
    assert configured.set(timeout=1) == "SUCCESS"
    with client_of(configured.instance, protocol=2) as idle, configured.clients("redis-proxy") as proxies:
        mine = idle.client_id()

        def listed() -> set[int]:
            return {int(one["id"]) for proxy in proxies for one in proxy.client_list()}

        assert mine in listed()
        eventually(lambda: mine not in listed())
    assert configured.set(timeout=0) == "SUCCESS"


@standby
def test_a_node_that_a_script_keeps_busy_is_waited_for(configured: Configured):
    assert configured.set(lua_time_limit=100, auto_kill_timeout_lua_process="no", timeout=0) == "SUCCESS"
    patient = {"protocol": 2, "socket_timeout": 20, "retry": Retry(NoBackoff(), 0)}
    with client_of(configured.instance, **patient) as tenant, configured.clients() as nodes:

        def loop() -> None:
            with pytest.raises(redis.ResponseError, match="kill"):
                tenant.eval(LOOP, 0)

        script = threading.Thread(target=loop)
        script.start()
        try:
            master = eventually(lambda: next(one for one in nodes if _is_busy(one)))
            assert configured.put(repl_timeout=123).status_code == 204
            with pytest.raises(AssertionError, match="not within"):
                eventually(lambda: configured.configuration()["config_status"] != "UPDATING", 1.5)
        finally:
            master.execute_command("SCRIPT KILL")
            script.join()
    assert configured.settled() == "SUCCESS"
    configured.assert_in_force("repl-timeout")


def _is_busy(node: redis.Redis) -> bool:
    try:
        return not node.ping()
    except redis.ResponseError as refusal:
        return str(refusal).startswith("BUSY")


@standby
def test_what_a_failed_change_left_on_a_node_is_taken_back(configured: Configured):
    assert configured.set(repl_timeout=77, timeout=0) == "SUCCESS"
    with configured.clients() as nodes:
        nodes[-1].config_set("repl-timeout", 88)
    # As a change is left of which a node that did not answer could not be told that it has failed.
    with reading(configured.installation) as connection:
        newest = configured.histories()[0]["history_id"]
        connection.execute(
            update(parameter_changes).where(parameter_changes.c.id == newest).values(status="UPDATING")
        )
        connection.commit()
    assert configured.settled() == "FAILURE"
    configured.assert_in_force("repl-timeout")


LOOP = "while true do end"


@pytest.mark.parametrize("configured", [Mode.HA, Mode.CLUSTER, Mode.PROXY], indirect=True)
def test_scripts_that_run_for_too_long_are_ended_where_that_is_wanted(configured: Configured):
    limit: dict[str, object] = {"lua_time_limit": 100}
    if str(configured) != "proxy":
        limit |= {"appendonly": "yes", "master_read_only": "no", "timeout": 0}
    assert configured.set(auto_kill_timeout_lua_process="yes", **limit) == "SUCCESS"
    if str(configured) == "cluster":
        instance = configured.instance | {"ip": configured.addresses("redis-server")[0]}
    else:
        instance = configured.instance
    key = next(f"kept-{n}" for n in range(10_000) if _takes(instance, f"kept-{n}"))
    # Asked once: who asks again has the next node end, too.
    once = {"protocol": 2, "socket_timeout": 20, "retry": Retry(NoBackoff(), 0)}
    with client_of(instance, **once) as tenant, pytest.raises(redis.ResponseError, match="kill"):
        tenant.eval(LOOP, 1, key)
    # One that has written takes its node with it; what was acknowledged before is there again.
    with client_of(instance, **once) as tenant, pytest.raises(redis.RedisError):
        tenant.eval("redis.call('set', KEYS[1], 'half') " + LOOP, 1, key)
    configured.installation.wait(configured.instance["instance_id"], seconds=60)

    def is_as_before() -> bool:
        nodes = [configured.instance | {"ip": one} for one in configured.addresses("redis-server")]
        if str(configured) != "cluster":
            nodes = [configured.instance]
        return any(_value(one, key) == "whole" for one in nodes)

    eventually(is_as_before, 60)
    assert configured.set(auto_kill_timeout_lua_process="no") == "SUCCESS"
    configured.installation.wait(configured.instance["instance_id"], seconds=60)


def _takes(instance: dict[str, Any], key: str) -> bool:
    """Whether the key can be written there."""
    with client_of(instance, protocol=2) as tenant:
        try:
            return bool(tenant.set(key, "whole"))
        except redis.ResponseError:
            return False


def _value(instance: dict[str, Any], key: str) -> str | None:
    with client_of(instance, protocol=2) as tenant:
        try:
            return str(tenant.get(key))
        except redis.RedisError:
            return None


@split
def test_keys_are_listed_by_replicas_where_that_is_wanted(configured: Configured):
    def asked() -> dict[str, int]:
        """How often each node listed keys, by its role."""
        with configured.clients() as nodes:
            return {
                str(node.info("replication")["role"]): node.info("commandstats")
                .get("cmdstat_keys", {})
                .get("calls", 0)
                for node in nodes
            }

    for value, role in (("KEYS", "slave"), ("", "master")):
        assert configured.set(support_dispatch_to_replica_list=value) == "SUCCESS"
        before = asked()
        with client_of(configured.instance) as tenant:
            tenant.set("listed", "yes")

            def listed(tenant: redis.Redis = tenant, role: str = role, before: int = before[role]) -> bool:
                # A replica may lag behind a little, and is not asked until it has been found to keep up.
                return "listed" in tenant.keys("lis*") and asked()[role] > before

            eventually(listed)
    assert asked()["slave"] == before["slave"]


@clustered
def test_clients_of_sentinels_find_the_instance_where_that_is_wanted(configured: Configured):
    instance = configured.instance
    there = (instance["ip"], int(instance["port"]))
    asking = Sentinel([there], sentinel_kwargs={"password": PASSWORD}, password=PASSWORD, decode_responses=True)
    assert configured.set(cluster_sentinel_enabled="no") == "SUCCESS"
    with pytest.raises(redis.ResponseError, match="unknown command"):
        asking.discover_master("mymaster")
    assert configured.set(cluster_sentinel_enabled="yes") == "SUCCESS"
    assert asking.discover_master("mymaster") == there
    assert asking.discover_slaves("mymaster") == []
    assert asking.master_for("mymaster").set("found", "yes")
    with client_of(instance, protocol=2) as tenant:
        assert tuple(tenant.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "any")) == (
            there[0], str(there[1]),
        )  # fmt: skip
        for words in (("MASTERS", "x"), ("MASTER",), ("NONSENSE",), ("FAILOVER", "mymaster")):
            with pytest.raises(redis.ResponseError):
                tenant.execute_command("SENTINEL", *words)


@clustered
def test_proxies_take_as_many_clients_as_was_set(configured: Configured):
    assert configured.set(maxclients=1000) == "SUCCESS"
    with configured.clients("redis-proxy") as proxies:
        assert {one.info("clients")["maxclients"] for one in proxies} == {333}


def test_values_go_with_the_instance_to_another_type_and_back(installation: Installation, api: httpx.Client):
    spec = "redis.ha.xu1.large.r2.1"
    made = installation.create("changes-its-type", spec, capacity=1, engine_version="6.0")
    configured = Configured(installation, api, made)

    def become(spec: str) -> None:
        body = {"spec_code": spec, "new_capacity": 1, "change_type": "instanceType"}
        assert configured.api.post(f"{configured.path}/resize", json=body).status_code == 204
        seen = configured.installation.wait(configured.instance["instance_id"], seconds=120)
        assert seen["spec_code"] == spec
        configured.instance["cache_mode"] = seen["cache_mode"]

    values = {"maxmemory_policy": "allkeys-random", "maxclients": 2000, "timeout": 60, "lua_time_limit": 200}
    assert configured.set(**values, master_read_only="yes") == "SUCCESS"
    become("redis.ha.xu1.large.p2.1")
    values_now = configured.values()
    assert (values_now["maxmemory-policy"], values_now["timeout"]) == ("allkeys-random", "60")
    configured.assert_in_force()
    with configured.clients() as nodes:
        assert {one.config_get("lua-time-limit")["lua-time-limit"] for one in nodes} == {"5000"}
    with client_of(configured.instance) as tenant:
        assert tenant.set("written", "yes")
    become("redis.ha.xu1.large.r2.1")
    assert configured.values()["maxclients"] == "2000"
    assert configured.values()["master-read-only"] == "no"
    configured.assert_in_force()
