"""Many calls at once, and calls that come too early: one wins, the others are told what is running."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from installation import HA, PASSWORD, Installation, client_of, eventually
from postgresql import NewDatabase
from redis.backoff import NoBackoff
from redis.retry import Retry
from refusals import check_refused, look

MANY = 20
BIG, BIGGER = ("redis.single.xu1.large.1", 1), ("redis.single.xu1.large.4", 4)


def at_once(call: Callable[[int], httpx.Response], times: int = MANY) -> list[httpx.Response]:
    """The answers of calls that are made at the same time."""
    with ThreadPoolExecutor(times) as threads:
        return list(threads.map(call, range(times)))


def codes(answers: list[httpx.Response]) -> Counter[str]:
    """How often each outcome came; what went well is `ok`."""
    return Counter("ok" if one.is_success else one.json()["error_code"] for one in answers)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase) -> Iterator[Installation]:
    """A service with narrow quotas."""
    settings = {"QUOTAS__INSTANCES": "3", "QUOTAS__RAM_GB": "2", "CAPACITY__MEMORY_MB": "1000"}
    made = Installation(tmp_path_factory.mktemp("small"), new_database(), settings)
    try:
        yield made.start()
    finally:
        made.remove()


def delete_all(installation: Installation) -> None:
    """No instance is left."""
    with installation.http() as api:
        ids = [one["instance_id"] for one in api.get("/instances", params={"limit": 1000}).json()["instances"]]
        for one in ids:
            eventually(lambda one=one: api.delete(f"/instances/{one}").status_code in {204, 404})
        for one in ids:
            installation.wait_gone(one)


def test_orders_beyond_a_quota_make_nothing(small: Installation):
    delete_all(small)
    with small.http() as api:
        before = look(api)
        check_refused(api.post("/instances", json=small.order(instance_num=4)), "DCS.4035", "instance_num")
        flavor, capacity = BIGGER
        check_refused(
            api.post("/instances", json=small.order(flavor=flavor, capacity=capacity)), "DCS.4036", "capacity"
        )
        flavor, capacity = BIG
        check_refused(
            api.post("/instances", json=small.order(flavor=flavor, capacity=capacity)), "DCS.4054", "az_codes"
        )
        assert look(api) == before


def test_orders_at_once_never_exceed_a_quota(small: Installation):
    delete_all(small)
    with small.http() as api:
        answers = at_once(lambda n: api.post("/instances", json=small.order(f"racer-{n:02}")))
        assert codes(answers) == {"ok": 3, "DCS.4039": MANY - 3}
        quota = {one["type"]: one["used"] for one in api.get("/quota").json()["quotas"]["resources"]}
        assert quota["instance"] == 3
        assert api.get("/instances").json()["instance_num"] == 3
        for answer in answers:
            if answer.is_success:
                small.wait(answer.json()["instances"][0]["instance_id"])
        check_refused(api.post("/instances", json=small.order()), "DCS.4039")
    assert len(small.node_processes()) == 3 + 3  # and the Sentinels


def test_one_address_goes_to_one_of_many_orders(installation: Installation):
    with installation.http() as api:
        address = installation.subnet.rsplit(".", 1)[0] + ".200"
        answers = at_once(
            lambda n: api.post("/instances", json=installation.order(f"racer-{n:02}", private_ip=address))
        )
    assert codes(answers) == {"ok": 1, "DCS.4062": MANY - 1}
    [won] = [one.json()["instances"][0]["instance_id"] for one in answers if one.is_success]
    assert installation.wait(won)["ip"] == address


def test_orders_at_once_never_share_an_address(installation: Installation):
    delete_all(installation)
    with installation.http() as api:
        answers = at_once(
            lambda n: api.post("/instances", json=installation.order(f"racer-{n:02}", instance_num=2)), 5
        )
        assert codes(answers) == {"ok": 5}
        made = [one["instance_id"] for answer in answers for one in answer.json()["instances"]]
        addresses = [installation.wait(one)["ip"] for one in made]
    assert len(set(addresses)) == len(made) == 10
    delete_all(installation)


def jobs_of(api: httpx.Client, instance_id: str, name: str) -> list[tuple[int, int]]:
    """When the instance's jobs of a kind began and ended, oldest first."""
    tasks = api.get(f"/instances/{instance_id}/tasks", params={"limit": 1000}).json()["tasks"]
    jobs = [api.get(f"/jobs/{one['id']}").json() for one in tasks if one["name"] == name]
    assert {one["status"] for one in jobs} <= {"SUCCESS"}
    return sorted((int(one["begin_time"]), int(one["end_time"])) for one in jobs)


def check_one_after_the_other(jobs: list[tuple[int, int]]) -> None:
    for (_, ended), (began, _) in itertools.pairwise(jobs):
        assert ended <= began


@pytest.mark.parametrize(
    ("action", "task"),
    [("restart", "RestartInstance"), ("soft_restart", "RestartInstance"), ("flush", "FlushInstance")],
)
def test_restarts_and_flushes_at_once_run_one_after_the_other(installation: Installation, action: str, task: str):
    made = installation.create(f"racer-{action}")["instance_id"]
    with installation.http() as api:
        answers = at_once(lambda _: api.put("/instances/status", json={"action": action, "instances": [made]}))
        results = Counter(one.json()["results"][0]["result"] for one in answers)
        running = installation.wait(made)
        jobs = jobs_of(api, made, task)
    assert results["success"] == len(jobs) >= 1
    assert results.total() == MANY
    check_one_after_the_other(jobs)
    assert client_of(running).ping()


def test_of_password_changes_at_once_one_wins(installation: Installation):
    made = installation.create("racer-password")["instance_id"]
    with installation.http() as api:

        def change(n: int) -> httpx.Response:
            body = {"old_password": PASSWORD, "new_password": f"Passw0rd!{n:02}"}
            return api.put(f"/instances/{made}/password", json=body)

        answers = at_once(change)
    running = installation.wait(made)
    assert set(codes(answers)) <= {"ok", "DCS.4115"}
    results = {n: one.json()["result"] for n, one in enumerate(answers) if one.is_success}
    winners = [n for n, result in results.items() if result == "success"]
    assert len(winners) == 1
    # Who comes after the winner names a password that is the old one no more.
    assert set(results.values()) <= {"success", "passwordFailed", "locked"}
    assert client_of(running, f"Passw0rd!{winners[0]:02}").ping()


def test_password_resets_at_once_run_one_after_the_other(installation: Installation):
    made = installation.create("racer-reset")["instance_id"]
    with installation.http() as api:
        answers = at_once(
            lambda n: api.post(f"/instances/{made}/password/reset", json={"new_password": f"Passw0rd!{n:02}"})
        )
        running = installation.wait(made)
        jobs = jobs_of(api, made, "modify")
    counted = codes(answers)
    assert counted["ok"] + counted["DCS.4115"] == MANY
    assert counted["ok"] == len(jobs) >= 1
    check_one_after_the_other(jobs)
    valid = [n for n in range(MANY) if _logs_in(running, f"Passw0rd!{n:02}")]
    assert len(valid) == 1
    assert answers[valid[0]].is_success


def _logs_in(instance: dict[str, Any], password: str) -> bool:
    try:
        return bool(client_of(instance, password, retry=Retry(NoBackoff(), 0)).ping())
    except redis.AuthenticationError:
        return False


def test_deletions_at_once_delete_once(installation: Installation):
    made = installation.create("racer-delete")["instance_id"]
    with installation.http() as api:
        answers = at_once(lambda _: api.delete(f"/instances/{made}"))
        # Asking again for what is on its way out is no mistake; afterwards it does not exist.
        assert set(codes(answers)) <= {"ok", "DCS.3022"}
        assert codes(answers)["ok"] >= 1
        installation.wait_gone(made)
        deleted = api.get("/instances", params={"include_delete": "true", "name": "racer-delete"}).json()
        assert [one["status"] for one in deleted["instances"]] == ["DELETED"]
    assert not installation.node_pids(made)


def test_everything_at_once_leaves_a_running_instance_or_none(installation: Installation):
    made = installation.create("racer-all")["instance_id"]
    with installation.http() as api:
        calls: list[Callable[[], httpx.Response]] = [
            lambda: api.put("/instances/status", json={"action": "restart", "instances": [made]}),
            lambda: api.put("/instances/status", json={"action": "flush", "instances": [made]}),
            lambda: api.put(f"/instances/{made}", json={"port": 7100}),
            lambda: api.put(f"/instances/{made}", json={"rename_commands": {"keys": "my-keys"}}),
            lambda: api.post(f"/instances/{made}/password/reset", json={"new_password": PASSWORD}),
            lambda: api.put(f"/instances/{made}", json={"name": "racer-renamed"}),
        ]
        answers = at_once(lambda n: calls[n % len(calls)](), 24)
        counted = codes(answers)
        assert set(counted) <= {"ok", "DCS.4026", "DCS.4111", "DCS.4114", "DCS.4115"}, counted
        running = installation.wait(made)
        assert running["name"] == "racer-renamed"
        assert client_of(running).ping()
        assert list(installation.node_pids(made)) == [running["ip"]]


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory, new_database: NewDatabase) -> Iterator[Installation]:
    """A service that does one job at a time, so that what waits stays in its state for a while."""
    made = Installation(tmp_path_factory.mktemp("slow"), new_database(), {"JOBS__AT_ONCE": "1"})
    try:
        yield made.start()
    finally:
        made.remove()


@pytest.fixture
def occupied(slow: Installation) -> Callable[[], None]:
    """Gives the service work that takes a while."""

    def occupy() -> None:
        with slow.http() as api:
            assert api.post("/instances", json=slow.order("occupier", HA)).is_success

    return occupy


def check_busy(api: httpx.Client, instance_id: str, code: str, deletion: str) -> None:
    """Whatever would change the instance is refused with the code of what is running."""
    one = f"/instances/{instance_id}"
    check_refused(api.put(one, json={"port": 7200}), code)
    check_refused(api.put(one, json={"rename_commands": {"keys": "my-keys"}}), code)
    check_refused(api.put(f"{one}/password", json={"old_password": PASSWORD, "new_password": "Passw0rd!y"}), code)
    check_refused(api.post(f"{one}/password/reset", json={"new_password": "Passw0rd!y"}), code)
    check_refused(api.delete(one), deletion)
    for action in ("restart", "soft_restart", "flush"):
        answer = api.put("/instances/status", json={"action": action, "instances": [instance_id]})
        assert answer.json()["results"] == [{"instance": instance_id, "result": "failed"}]
    answer = api.request("DELETE", "/instances", json={"instances": [instance_id]})
    assert answer.json()["results"] == [{"instance": instance_id, "result": "failed"}]


def test_what_is_being_made_can_only_be_looked_at(slow: Installation, occupied: Callable[[], None]):
    with slow.http() as api:
        occupied()
        made = api.post("/instances", json=slow.order("waiting")).json()["instances"][0]["instance_id"]
        check_busy(api, made, "DCS.4118", "DCS.4099")
        [task] = api.get(f"/instances/{made}/tasks").json()["tasks"]
        assert task["status"] == "EXECUTING"
        check_refused(api.delete(f"/instances/{made}/tasks/{task['id']}"), "DCS.4957", task["id"])
        check_refused(api.delete(f"/tasks/{task['id']}"), "DCS.4957", task["id"])
    slow.wait(made)
    delete_all(slow)


@pytest.mark.parametrize(
    ("begin", "code", "deletion"),
    [
        pytest.param({"action": "restart"}, "DCS.4111", "DCS.4099", id="restart"),
        pytest.param({"action": "flush"}, "DCS.4026", "DCS.4026", id="flush"),
        pytest.param({"port": 7300}, "DCS.4114", "DCS.4114", id="new port"),
        pytest.param({"rename_commands": {"scan": "my-scan"}}, "DCS.4111", "DCS.4099", id="new command names"),
    ],
)
def test_one_change_at_a_time(
    slow: Installation, occupied: Callable[[], None], begin: dict[str, Any], code: str, deletion: str
):
    made = slow.create("changing")["instance_id"]
    with slow.http() as api:
        occupied()
        if "action" in begin:
            answer = api.put("/instances/status", json=begin | {"instances": [made]})
            assert answer.json()["results"][0]["result"] == "success"
        else:
            assert api.put(f"/instances/{made}", json=begin).status_code == 204
        check_busy(api, made, code, deletion)
        # A name is a fact of the record: it may change at any time, and stays.
        assert api.put(f"/instances/{made}", json={"name": "changed"}).status_code == 204
    running = slow.wait(made)
    assert running["name"] == "changed"
    assert client_of(running).ping()
    delete_all(slow)


def test_a_password_change_is_a_change_too(slow: Installation, occupied: Callable[[], None]):
    made = slow.create("changing")["instance_id"]
    with slow.http() as api, ThreadPoolExecutor(1) as threads:
        occupied()
        body = {"old_password": PASSWORD, "new_password": "Passw0rd!z"}
        change = threads.submit(api.put, f"/instances/{made}/password", json=body)
        eventually(lambda: api.get(f"/instances/{made}").json()["task"] == "modify")
        check_busy(api, made, "DCS.4115", "DCS.4115")
        assert change.result().json()["result"] == "success"
    assert client_of(slow.wait(made), "Passw0rd!z").ping()
    delete_all(slow)


def test_what_is_on_its_way_out_takes_no_change(slow: Installation, occupied: Callable[[], None]):
    made = slow.create("leaving")["instance_id"]
    with slow.http() as api:
        occupied()
        assert api.delete(f"/instances/{made}").status_code == 204
        check_refused(api.put(f"/instances/{made}", json={"name": "other-name"}), "DCS.3022", made, status=404)
        check_refused(
            api.post(f"/instances/{made}/password/reset", json={"new_password": PASSWORD}), "DCS.4026", made
        )
        answer = api.put("/instances/status", json={"action": "restart", "instances": [made]})
        assert answer.json()["results"] == [{"instance": made, "result": "failed"}]
        assert api.delete(f"/instances/{made}").status_code == 204
    slow.wait_gone(made)
    delete_all(slow)


def test_the_data_directory_of_all_this_is_clean(slow: Installation):
    delete_all(slow)
    left = [path.name for path in Path(slow.folder, "nodes").iterdir()]
    assert len(left) == 3, "the Sentinels' folders"
