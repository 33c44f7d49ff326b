"""`instance resize`, `swap` and `nodes`: against a stand-in that fails when told to, and once for real."""

import json

import pytest
from stand_in import ID, RUNNING

HA = RUNNING | {
    "cache_mode": "ha", "engine": "Redis", "cpu_type": "x86_64", "capacity": 0, "capacity_minor": ".125",
    "replica_count": 2, "sharding_count": 1, "maintain_begin": "18:00:00", "maintain_end": "19:00:00", "task": None,
}  # fmt: skip
CLUSTER = HA | {"cache_mode": "cluster", "sharding_count": 3}
LARGER = {
    "spec_code": "redis.ha.xu1.large.r2.1", "cache_mode": "ha", "capacity": ["1"], "replica_count": 2,
    "attrs": [{"name": "sharding_num", "value": "1"}],
}  # fmt: skip
NODES = [
    {
        "node_id": f"node-{place}", "node_ip": f"127.64.0.1{place}", "node_port": "6379", "group_id": "g",
        "group_name": "group-0", "node_type": role, "az_code": "local-1a", "status": "Active", "priority_weight": 100,
    }
    for place, role in enumerate(("master", "slave"))
]  # fmt: skip
JOB = {"job_id": "job", "status": "SUCCESS", "fail_reason": None}


@pytest.fixture
def sessions(service):
    """A service with an instance that can be resized; what it looks like one look after the other."""

    def look(*looks):
        service.answers |= {
            ("GET", "/instances"): (200, {"instances": [RUNNING]}),
            ("GET", f"/instances/{ID}"): [(200, one) for one in looks],
            ("GET", "/flavors"): (200, {"flavors": [LARGER]}),
            ("GET", f"/instances/{ID}/logical-nodes"): (200, {"nodes": NODES}),
            ("POST", f"/instances/{ID}/resize"): (204, None),
            ("GET", f"/instances/{ID}/tasks"): (200, {"tasks": [{"id": "job", "job_id": "job", "status": "EXECUTING"}]}),
            ("GET", "/jobs/job"): (200, JOB),
        }  # fmt: skip
        return service

    return look


def test_resizing_says_what_becomes_of_the_instance(sessions, run):
    service = sessions(HA)

    result = run("instance", "resize", "sessions", "--capacity", "1")

    assert result.exit_code == 0, result.stderr
    assert service.sent("POST", f"/instances/{ID}/resize") == [
        {"spec_code": LARGER["spec_code"], "new_capacity": 1}
    ]
    assert "sessions: redis.ha.xu1.tiny.r2.128 becomes redis.ha.xu1.large.r2.1, 1 GB\n" in result.stderr


def test_another_type_is_asked_for_by_name(sessions, run):
    service = sessions(HA)
    service.answers["GET", "/flavors"] = (200, {"flavors": [LARGER | {"cache_mode": "ha_rw_split"}]})

    result = run("instance", "resize", "sessions", "--type", "rw-split")

    assert result.exit_code == 0, result.stderr
    (body,) = service.sent("POST", f"/instances/{ID}/resize")
    assert body["change_type"] == "instanceType"


def test_a_change_can_be_left_to_the_maintenance_window(sessions, run):
    service = sessions(HA)

    result = run("instance", "resize", "sessions", "--capacity", "1", "--in-maintenance-window")

    (body,) = service.sent("POST", f"/instances/{ID}/resize")
    assert body["execute_immediately"] is False
    assert "from 18:00:00 UTC on" in result.stderr


@pytest.mark.parametrize(
    "words", [[], ["--zone", "a"], ["--capacity", "1", "--in-maintenance-window", "--wait"]], ids=" ".join
)
def test_nothing_is_asked_of_the_service_for_a_wish_without_sense(sessions, run, words):
    service = sessions(HA)

    result = run("instance", "resize", "sessions", *words)

    assert result.exit_code == 1
    assert service.requests == []


def test_the_wait_shows_step_slots_and_percent(sessions, run):
    extending = HA | {"status": "EXTENDING"}
    service = sessions(HA, extending, extending, extending, HA)
    steps = {"step_name": "spread_slots", "end_time": None}
    service.answers["GET", f"/instances/{ID}/tasks/job/progress"] = [
        (200, {"progress": 10, "step_details": [{"step_name": "join_nodes", "sub_step_details": []}]}),
        (200, {"progress": 41, "step_details": [steps | {"sub_step_details": [{"detail": "9 of 30 slots moved"}]}]}),
        (200, {"progress": 44, "step_details": [steps | {"sub_step_details": [{"detail": "10 of 30 slots moved"}]}]}),
    ]  # fmt: skip

    result = run("instance", "resize", "sessions", "--capacity", "1", "--wait")

    assert result.exit_code == 0, result.stderr
    assert result.stderr.splitlines()[1:] == [
        "sessions: EXTENDING, join_nodes, 10 %",
        "sessions: EXTENDING, spread_slots, 9 of 30 slots moved, 41 %",
        "sessions: RUNNING",
    ]


def test_a_change_that_failed_fails_the_wait_with_the_reason(sessions, run):
    service = sessions(HA, HA | {"status": "EXTENDING"}, HA)
    service.answers["GET", "/jobs/job"] = (200, JOB | {"status": "FAIL", "fail_reason": "node 3 did not start"})

    result = run("instance", "resize", "sessions", "--capacity", "1", "--wait")

    assert result.exit_code == 1
    assert "sessions was not changed: node 3 did not start" in result.stderr


def test_a_refused_change_is_the_services_sentence(sessions, run):
    service = sessions(HA)
    service.answers["POST", f"/instances/{ID}/resize"] = (
        400, {"error_code": "DCS.4113", "error_msg": "The instance is being extended."},
    )  # fmt: skip

    result = run("instance", "resize", "sessions", "--capacity", "1", "--wait")

    assert result.exit_code == 1
    assert result.stderr.splitlines()[0] == "DCS.4113: The instance is being extended."


def test_a_standby_is_swapped_by_one_call(sessions, run):
    service = sessions(HA)
    service.answers["POST", f"/instances/{ID}/swap"] = (204, None)

    result = run("instance", "swap", "sessions")

    assert result.exit_code == 0, result.stderr
    assert service.sent("POST", f"/instances/{ID}/swap") == [None]


def _promotion(service, node):
    return service.sent("POST", f"/instance/{ID}/groups/g/replications/{node}/async-switchover")


def test_a_replica_of_a_cluster_is_promoted_by_its_address(sessions, run):
    service = sessions(CLUSTER, CLUSTER | {"task": "SwapMaster"}, CLUSTER)
    service.answers["POST", f"/instance/{ID}/groups/g/replications/node-1/async-switchover"] = (
        200,
        {"job_id": "job"},
    )

    result = run("instance", "swap", "sessions", "--node", "127.64.0.11")

    assert result.exit_code == 0, result.stderr
    assert _promotion(service, "node-1") == [None]
    assert "sessions: RUNNING (SwapMaster)" in result.stderr


def test_a_failed_promotion_is_told(sessions, run):
    service = sessions(CLUSTER)
    service.answers["POST", f"/instance/{ID}/groups/g/replications/node-1/async-switchover"] = (
        200,
        {"job_id": "job"},
    )
    service.answers["GET", "/jobs/job"] = (200, JOB | {"status": "FAIL", "fail_reason": "it lags behind"})

    result = run("instance", "swap", "sessions", "--node", "node-1")

    assert result.exit_code == 1
    assert "it lags behind" in result.stderr


@pytest.mark.parametrize(
    ("instance", "words"),
    [
        pytest.param(CLUSTER, [], id="a cluster without a node"),
        pytest.param(CLUSTER, ["--node", "nobody"], id="a node that is not there"),
        pytest.param(HA, ["--node", "node-1"], id="a node of a master/standby instance"),
    ],
)
def test_a_swap_that_makes_no_sense_is_not_asked_for(sessions, run, instance, words):
    service = sessions(instance)

    result = run("instance", "swap", "sessions", *words)

    assert result.exit_code == 1
    assert "node" in result.stderr
    assert {method for method, path, *_ in service.requests if "auth" not in path} == {"GET"}


def test_nodes_are_a_table_or_json(sessions, run):
    sessions(HA)

    table, data = run("instance", "nodes", "sessions"), run("instance", "nodes", "sessions", "-o", "json")

    heading, *rows = table.stdout.splitlines()
    assert heading.split() == ["SHARD", "ROLE", "ADDRESS", "PORT", "ZONE", "STATUS", "PRIORITY", "NODE"]
    assert rows[1].split() == ["group-0", "slave", "127.64.0.11", "6379", "local-1a", "Active", "100", "node-1"]
    assert json.loads(data.stdout) == NODES


def _run(installation, *words):
    done = installation.run("instance", *words)
    assert done.returncode == 0, done.stderr
    return done


def _nodes(installation, name):
    return json.loads(_run(installation, "nodes", name, "-o", "json").stdout)


def _masters(nodes):
    return {node["group_name"]: node["node_ip"] for node in nodes if node["node_type"] == "master"}


@pytest.mark.timeout(600)
def test_a_master_standby_instance_changes_its_shape(installation):
    _run(installation, "create", "sessions", "--no-password", "--wait")
    before = _nodes(installation, "sessions")

    _run(installation, "resize", "sessions", "--replicas", "2", "--wait")
    with_one_more = _nodes(installation, "sessions")
    _run(installation, "resize", "sessions", "--replicas", "1", "--wait")

    assert [len(before), len(with_one_more)] == [2, 3]
    assert [one["node_ip"] for one in _nodes(installation, "sessions")] == [one["node_ip"] for one in before]

    _run(installation, "swap", "sessions")
    assert _masters(_nodes(installation, "sessions")) != _masters(before)
    _run(installation, "resize", "sessions", "--capacity", "1", "--wait")
    assert '"redis.ha.xu1.large.r2.1"' in _run(installation, "show", "sessions", "-o", "json").stdout


@pytest.mark.timeout(600)
def test_a_cluster_changes_its_shape(installation):
    _run(installation, "create", "events", "--type", "cluster", "--no-password", "--wait")
    before = _nodes(installation, "events")
    zones = {zone["code"] for zone in json.loads(installation.run("zone", "list", "-o", "json").stdout)}
    assert (len(before), {node["az_code"] for node in before}) == (6, zones)

    replica = next(node for node in before if node["node_type"] == "slave")
    _run(installation, "swap", "events", "--node", replica["node_ip"])
    assert _masters(_nodes(installation, "events"))[replica["group_name"]] == replica["node_ip"]

    _run(installation, "resize", "events", "--replicas", "2", "--wait")
    assert len(_nodes(installation, "events")) == 9
    _run(installation, "resize", "events", "--replicas", "1", "--wait")
    assert [node["node_id"] for node in _nodes(installation, "events")] == [node["node_id"] for node in before]

    grown = _run(installation, "resize", "events", "--shards", "4", "--wait")
    assert "%" in grown.stderr
    assert len(_masters(_nodes(installation, "events"))) == 4
