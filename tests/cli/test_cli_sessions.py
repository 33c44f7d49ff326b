"""`session`, `tag` and `task`: against a stand-in for what the service does seldom, and once for real."""

import json

import pytest
from installation import HA, client_of
from stand_in import ID, RUNNING

NODES = [
    {"node_id": f"node-{place}", "node_ip": f"127.64.0.1{place}", "node_port": "6379", "node_role": "redis-server"}
    for place in range(2)
]
PROXY = {"node_id": "proxy-0", "node_ip": "127.64.0.20", "node_port": "6379", "node_role": "redis-proxy"}
CLIENTS = f"/instances/{ID}/clients"
JOB = {"job_id": "job", "status": "SUCCESS", "fail_reason": None}
TASK = {
    "id": "t1", "name": "EXTEND", "status": "FAIL", "details": {"old_capacity": "1", "new_port": None},
    "created_at": "2025-05-01T00:00:00.000Z", "updated_at": "2025-05-01T00:00:01.000Z",
}  # fmt: skip


def page(*addresses):
    return {"time": None, "count": len(addresses), "clients": [{"addr": one, "name": "n"} for one in addresses]}


@pytest.fixture
def service(service):
    service.answers |= {
        ("GET", "/instances"): (200, {"instances": [RUNNING]}),
        ("GET", f"/instances/{ID}/logical-nodes"): (200, {"nodes": NODES}),
        ("POST", CLIENTS): (200, {"job_id": "job"}),
        ("GET", "/jobs/job"): [(200, JOB | {"status": "RUNNING"}), (200, JOB)],
        ("GET", CLIENTS): [(200, page("10.0.0.1:1")), (200, page("10.0.0.2:2"))],
        ("POST", f"{CLIENTS}/kill"): (204, None),
        ("POST", f"{CLIENTS}/kill-all"): (200, {"job_id": "job"}),
        ("POST", f"/dcs/{ID}/tags/action"): (204, None),
        ("GET", f"/instances/{ID}/tasks"): (200, {"tasks": [TASK]}),
        ("GET", f"/instances/{ID}/tasks/t1/progress"): (200, {"progress": 40, "step_details": []}),
        ("GET", "/jobs/t1"): (200, {"status": "FAIL", "fail_reason": "no room"}),
        ("DELETE", f"/instances/{ID}/tasks/t1"): (200, {"message": ""}),
    }
    return service


def test_a_list_is_taken_of_every_node_and_read(service, run):
    result = run("session", "list", "sessions", "--sort", "idle", "--descending", "-o", "json")

    assert result.exit_code == 0, result.stderr
    assert service.sent("POST", CLIENTS) == [{"node_id": one["node_id"], "clean_cache": True} for one in NODES]
    assert [(one["addr"], one["node_ip"]) for one in json.loads(result.stdout)] == [
        ("10.0.0.1:1", "127.64.0.10"),
        ("10.0.0.2:2", "127.64.0.11"),
    ]
    assert all("sort=idle&order=desc" in query for _, path, query, _, _ in service.requests if "sort" in query)


def test_the_last_list_can_be_read_without_a_new_one(service, run):
    result = run("session", "list", "sessions", "--no-scan", "--node", "127.64.0.11", "--address", "10.0")

    assert result.exit_code == 0, result.stderr
    assert service.sent("POST", CLIENTS) == []
    assert "10.0.0.1:1" in result.stdout


def test_where_there_are_proxies_nodes_are_not_asked(service, run):
    service.answers["GET", f"/instances/{ID}/logical-nodes"] = (200, {"nodes": [*NODES, PROXY]})

    assert run("session", "scan", "sessions").exit_code == 0
    assert service.sent("POST", CLIENTS) == [{"node_id": "proxy-0", "clean_cache": True}]
    assert run("session", "scan", "sessions", "--node", "node-0").exit_code == 1


def test_a_scan_that_failed_says_why(service, run):
    service.answers["GET", "/jobs/job"] = (200, JOB | {"status": "FAIL", "fail_reason": "node away"})

    result = run("session", "scan", "sessions")

    assert (result.exit_code, "node away" in result.stderr) == (1, True)


def test_a_scan_is_not_waited_for_for_ever(service, run):
    service.answers["GET", "/jobs/job"] = (200, JOB | {"status": "RUNNING"})

    result = run("session", "scan", "sessions", "--timeout", "1")

    assert (result.exit_code, "did not end within 1 s" in result.stderr) == (1, True)


def test_sessions_are_ended_where_they_are(service, run):
    result = run("session", "kill", "sessions", "10.0.0.2:2")

    assert result.exit_code == 0, result.stderr
    assert service.sent("POST", f"{CLIENTS}/kill") == [{"node_id": "node-1", "client_addrs": ["10.0.0.2:2"]}]


def test_an_address_on_no_list_ends_nothing(service, run):
    result = run("session", "kill", "sessions", "10.0.0.2:2", "10.0.0.3:3")

    assert (result.exit_code, "10.0.0.3:3" in result.stderr) == (1, True)
    assert service.sent("POST", f"{CLIENTS}/kill") == []


def test_a_named_node_is_not_looked_for(service, run):
    run("session", "kill", "sessions", "10.0.0.9:9", "--node", "node-0")

    assert service.sent("POST", f"{CLIENTS}/kill") == [{"node_id": "node-0", "client_addrs": ["10.0.0.9:9"]}]


@pytest.mark.parametrize("words", [[], ["10.0.0.1:1", "--all"]], ids=["nobody", "both"])
def test_some_or_all_are_ended(service, run, words):
    assert run("session", "kill", "sessions", *words).exit_code == 1
    assert service.requests == []


def test_all_are_ended_when_somebody_said_yes(service, run):
    assert run("session", "kill", "sessions", "--all", input="n\n").exit_code == 1
    assert service.sent("POST", f"{CLIENTS}/kill-all") == []
    assert run("session", "kill", "sessions", "--all", "--yes").exit_code == 0
    assert run("session", "kill", "sessions", "--all", "--node", "node-1", "-y").exit_code == 0
    assert service.sent("POST", f"{CLIENTS}/kill-all") == [
        {"node_id": None, "kill_all_nodes": True},
        {"node_id": "node-1", "kill_all_nodes": False},
    ]


def test_tags_are_pairs_and_keys(service, run):
    assert run("tag", "set", "sessions", "team=blue", "note=a=b").exit_code == 0
    assert run("tag", "remove", "sessions", "team", "note").exit_code == 0
    assert service.sent("POST", f"/dcs/{ID}/tags/action") == [
        {"action": "create", "tags": [{"key": "team", "value": "blue"}, {"key": "note", "value": "a=b"}]},
        {"action": "delete", "tags": [{"key": "team"}, {"key": "note"}]},
    ]
    assert run("tag", "set", "sessions", "team").exit_code == 1
    assert run("tag", "set", "sessions", "=blue").exit_code == 1


def test_a_task_is_shown_with_why_it_failed(service, run):
    table, data = run("task", "show", "sessions", "t1"), run("task", "show", "sessions", "t1", "-o", "json")

    assert "no room" in table.stdout
    shown = json.loads(data.stdout)
    assert (shown["details"], shown["progress"], shown["fail_reason"]) == ({"old_capacity": "1"}, 40, "no room")
    assert run("task", "show", "sessions", "t2").exit_code == 1


def test_tasks_are_deleted(service, run):
    assert run("task", "delete", "sessions", "t1").exit_code == 0
    assert run("task", "delete", "sessions", "t2").exit_code == 1


@pytest.mark.timeout(600)
def test_all_of_it_on_a_real_instance(installation):
    def told(*words):
        result = installation.run(*words)
        assert result.returncode == 0, result.stderr
        return result.stdout

    instance = installation.create("real", HA)
    told("tag", "set", "real", "team=blue")
    assert json.loads(told("tag", "list", "real", "-o", "json")) == [{"key": "team", "value": "blue"}]
    assert "blue" in told("tag", "list")
    told("tag", "remove", "real", "team")
    assert json.loads(told("tag", "list", "-o", "json")) == []

    with client_of(instance, single_connection_client=True, client_name="someone") as client:
        client.ping()
        addr = "{}:{}".format(*client.connection._sock.getsockname())
        assert "someone" in told("session", "list", "real")
        told("session", "kill", "real", addr)
        assert json.loads(told("session", "list", "real", "-o", "json")) == []
    told("session", "kill", "real", "--all", "--yes")
    [task, *_] = json.loads(told("task", "list", "real", "-o", "json"))
    assert task["name"] == "KillAllClients"
    assert "100" in told("task", "show", "real", task["id"])
    told("task", "delete", "real", task["id"])
    assert task["id"] not in told("task", "list", "real")
