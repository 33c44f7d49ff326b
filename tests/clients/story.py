"""What a tenant does with instances, told with any caller: from an order to the end, with a Redis client at every turn.

Each chapter asks the API for something, then looks with redis-py at the address the API returned whether it is so.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import redis
from callers import Call, Refused
from installation import HA, PASSWORD, SINGLE, Installation, eventually
from redis.backoff import NoBackoff
from redis.retry import Retry

SECOND, THIRD = "Second-pass2", "Third-pass3"
FLAVORS = {"single": SINGLE, "ha": HA}
TEMPLATES = {"single": "21", "ha": "22"}
"""System templates of Redis 7.0."""
_ONCE = Retry(NoBackoff(), 0)
"""A refusal is final: redis-py would try again for seconds."""
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"

REFUSED_COMMANDS = (
    "CONFIG SET maxmemory 1", "CONFIG REWRITE", "SHUTDOWN NOSAVE", "REPLICAOF NO ONE", "SLAVEOF NO ONE", "DEBUG SLEEP 0",
    "SAVE", "BGSAVE", "BGREWRITEAOF", "MIGRATE 127.0.0.1 6379 key 0 100", "SYNC", "PSYNC ? -1", "MODULE LIST",
    "ACL SETUSER default nopass", "ACL DELUSER cachestead", "CLUSTER MEET 127.0.0.1 6379", "FAILOVER",
)  # fmt: skip


@dataclass
class Story:
    """A tenant with a way to call the API."""

    installation: Installation
    call: Call
    mark: str = field(default_factory=lambda: secrets.token_hex(3))
    """In every name, so that stories are told apart in one installation."""

    def order(self, mode: str, name: str, **fields: Any) -> list[Any]:
        """New instances, as the answer lists them."""
        made = self.call("create_instance", self.installation.order(name, FLAVORS[mode], **fields))
        assert not made.order_id
        return list(made.instances)

    def settled(self, instance_id: str) -> Any:
        """The instance's details once it is RUNNING and nothing is being done to it."""

        def look() -> Any:
            # The SDK's model does not know `task`: its users go by the list of background tasks.
            busy = [one for one in self.tasks(instance_id) if one.status == "EXECUTING"]
            seen = self.call("show_instance", instance_id=instance_id)
            assert seen.status not in ("CREATEFAILED", "ERROR")
            return seen if seen.status == "RUNNING" and not busy else None

        return eventually(look)

    def tasks(self, instance_id: str) -> list[Any]:
        """The instance's background tasks."""
        listed = self.call("list_background_task", instance_id=instance_id, limit=100)
        assert listed.task_count == str(len(listed.tasks))
        return list(listed.tasks)

    def gone(self, instance_id: str) -> bool:
        """Whether the API says that there is no such instance."""
        try:
            self.call("show_instance", instance_id=instance_id)
        except Refused as refusal:
            if (refusal.status, refusal.code) == (404, "DCS.3022"):
                return True
            raise
        return False

    def listed(self, **filters: Any) -> list[str]:
        """Names of the instances that pass the filters."""
        return [one.name for one in self.call("list_instances", **filters).instances]


def connect(instance: Any, password: str | None = PASSWORD) -> redis.Redis:
    """redis-py on the address the API returned."""
    return redis.Redis(instance.ip, instance.port, password=password, decode_responses=True, retry=_ONCE)


def assert_only_this_password_opens(instance: Any, password: str | None) -> None:
    """A client with it reads what it writes; others are refused."""
    with connect(instance, password) as client:
        client.set("opened-with", password or "nothing")
        assert client.get("opened-with") == (password or "nothing")
    for other in {PASSWORD, SECOND, THIRD, None} - {password}:
        if password is not None:
            with pytest.raises(redis.AuthenticationError), connect(instance, other) as client:
                client.get("opened-with")


def tell_of_an_instance(story: Story, mode: str) -> None:
    """One instance from its order to its end."""
    instance = _order_with_everything(story, mode)
    _find_it(story, instance)
    _see_its_nodes(story, instance, mode)
    _be_refused(instance)
    instance = _rename_it(story, instance)
    instance = _rename_commands(story, instance, mode)
    instance = _move_port(story, instance)
    _change_password(story, instance)
    instance = _restart(story, instance, mode)
    _look_at_figures(story, instance)
    instance = _flush(story, instance)
    if mode == "ha":
        _back_up_and_restore(story, instance)
        _import(story, instance)
    _look_at_tasks(story, instance)
    _lock_password(story, instance)
    _remove(story, instance)


def _order_with_everything(story: Story, mode: str) -> Any:
    env = story.installation.env
    taken = {one.ip for one in story.call("list_instances").instances}
    hosts = ipaddress.ip_network(story.installation.subnet)
    address = next(str(hosts[-n]) for n in range(10, 100) if str(hosts[-n]) not in taken)
    plan = {"timezone_offset": "+0800", "backup_at": [3, 1], "period_type": "weekly", "begin_at": "01:00-02:00"}
    policy = {"backup_type": "auto", "save_days": 2, "periodical_backup_plan": plan} if mode == "ha" else None
    [made] = story.order(
        mode,
        f"story-{mode}-{story.mark}",
        description="made by a story",
        security_group_id=env["security_group_id"],
        enterprise_project_id="0",
        private_ip=address,
        port=7001,
        instance_num=1,
        rename_commands={"keys": "listkeys", "flushall": ""},
        maintain_begin="22:00:00",
        maintain_end="23:00:00",
        tags=[{"key": "teller", "value": story.mark + mode}, {"key": "empty", "value": ""}],
        template_id=TEMPLATES[mode],
        enable_ssl=False,
        access_user="",
        no_password_access=False,
        **({"instance_backup_policy": policy} if policy else {}),
    )
    assert made.instance_name == f"story-{mode}-{story.mark}"
    instance = story.settled(made.instance_id)
    expected = {
        "name": made.instance_name,
        "description": "made by a story",
        "ip": address,
        "port": 7001,
        "engine": "Redis",
        "engine_version": "7.0",
        "cache_mode": mode,
        "spec_code": FLAVORS[mode],
        "capacity": 0,
        "capacity_minor": ".125",
        "max_memory": 128,
        "cpu_type": "x86_64",
        "charging_mode": 0,
        "vpc_id": env["vpc_id"],
        "subnet_id": env["subnet_id"],
        "subnet_cidr": story.installation.subnet,
        "security_group_id": env["security_group_id"],
        "az_codes": ["local-1a", "local-1b"] if mode == "ha" else ["local-1a"],
        "maintain_begin": "22:00:00",
        "maintain_end": "23:00:00",
        "no_password_access": "false",
        "enable_ssl": False,
        "enterprise_project_id": "0",
        "user_name": env["user"],
        "product_type": "generic",
        "replica_count": 2 if mode == "ha" else 1,
        "sharding_count": 1,
    }
    assert {name: getattr(instance, name) for name in expected} == expected
    assert {one.key: one.value for one in instance.tags} == {"teller": story.mark + mode, "empty": ""}
    assert len(instance.available_zones) == len(instance.az_codes)
    assert bool(instance.readonly_domain_name) == (mode == "ha")
    assert instance.domain_name
    assert instance.created_at <= instance.launched_at
    if policy:
        kept = instance.instance_backup_policy.policy
        assert (kept.backup_type, kept.save_days) == ("auto", 2)
        assert (kept.periodical_backup_plan.backup_at, kept.periodical_backup_plan.begin_at) == (
            [1, 3],
            "01:00-02:00",
        )
        assert kept.periodical_backup_plan.timezone_offset == "+0800"
    assert_only_this_password_opens(instance, PASSWORD)
    with connect(instance) as client:
        assert "opened-with" in client.execute_command("listkeys", "*")
        with pytest.raises(redis.ResponseError, match="unknown command"):
            client.keys("*")
    return instance


def _find_it(story: Story, instance: Any) -> None:
    name, teller = instance.name, story.mark + instance.cache_mode
    for filters in (
        {"instance_id": instance.instance_id},
        {"name": name[2:-1]},
        {"name_equal": name},
        {"name": name, "name_equal": "true"},
        {"ip": instance.ip},
        {"tags": f"teller={teller}"},
        {"tags": f"teller={teller},empty="},
        {"name": name, "status": "RUNNING", "include_failure": "true", "include_delete": "false"},
    ):
        assert story.listed(**filters) == [name], filters
    for filters in (
        {"name_equal": name[:-1]},
        {"name": name[:-1], "name_equal": "true"},
        {"tags": f"teller={teller},empty=no"},
        {"tags": "nothing"},
        {"name": name, "status": "ERROR"},
        {"instance_id": UNKNOWN_ID},
        {"name": name, "offset": 1},
        {"offset": 1000},
    ):
        assert story.listed(**filters) == [], filters
    with pytest.raises(Refused) as refusal:
        story.listed(limit=0)
    assert (refusal.value.status, refusal.value.code) == (400, "DCS.4800")


def _see_its_nodes(story: Story, instance: Any, mode: str) -> None:
    found = story.call("list_group_replication_info", instance_id=instance.instance_id)
    assert found.group_count == 1
    [group] = found.group_list
    roles = [one.replication_role for one in group.replication_list]
    assert roles == (["master", "slave"] if mode == "ha" else ["master"])
    assert [one.az_code for one in group.replication_list] == instance.az_codes
    assert {one.status for one in group.replication_list} == {"Active"}
    for one in group.replication_list:
        with redis.Redis(one.replication_ip, instance.port, password=PASSWORD, decode_responses=True) as node:
            assert node.role()[0] == one.replication_role


def _be_refused(instance: Any) -> None:
    with connect(instance) as client:
        for command in REFUSED_COMMANDS:
            with pytest.raises(redis.ResponseError, match=r"no permissions|not allowed"):
                client.execute_command(*command.split())
        assert client.ping()
        assert client.info("memory")["maxmemory"] == 128 * 1024 * 1024


def _rename_it(story: Story, instance: Any) -> Any:
    changes = {
        "name": instance.name + "-new",
        "description": "",
        "maintain_begin": "02:00:00",
        "maintain_end": "06:00:00",
    }
    if instance.cache_mode == "ha":
        changes["instance_backup_policy"] = {"backup_type": "manual"}
    story.call("update_instance", changes, instance_id=instance.instance_id)
    changed = story.settled(instance.instance_id)
    assert (changed.name, changed.description) == (instance.name + "-new", "")
    assert (changed.maintain_begin, changed.maintain_end) == ("02:00:00", "06:00:00")
    if instance.cache_mode == "ha":
        assert changed.instance_backup_policy.policy.backup_type == "manual"
    assert changed.update_at > instance.update_at
    return changed


def _rename_commands(story: Story, instance: Any, mode: str) -> Any:
    with connect(instance) as client:
        client.set("before-renaming", "1")
    names = {"hgetall": "allofhash", "flushdb": "clearall"}
    story.call("update_instance", {"rename_commands": names}, instance_id=instance.instance_id)
    changed = story.settled(instance.instance_id)
    with connect(changed) as client:
        client.hset("hash", "field", "value")
        assert client.execute_command("allofhash", "hash") == {"field": "value"}
        with pytest.raises(redis.ResponseError, match="unknown command"):
            client.hgetall("hash")
        assert client.keys("h*") == ["hash"]
        assert client.get("before-renaming") == ("1" if mode == "ha" else None)
    return changed


def _move_port(story: Story, instance: Any) -> Any:
    with connect(instance) as client:
        client.set("before-moving", "1")
    story.call("update_instance", {"port": 7002}, instance_id=instance.instance_id)
    moved = story.settled(instance.instance_id)
    assert (moved.ip, moved.port) == (instance.ip, 7002)
    with connect(moved) as client:
        assert client.get("before-moving") == "1"
    with pytest.raises(redis.ConnectionError), connect(instance) as client:
        client.ping()
    task = next(one for one in story.tasks(instance.instance_id) if one.name == "UpdatePort")
    assert (task.details.old_port, task.details.new_port, task.status) == (7001, 7002, "SUCCESS")
    return moved


def _change_password(story: Story, instance: Any) -> None:
    one = instance.instance_id
    answer = story.call("update_password", {"old_password": PASSWORD, "new_password": SECOND}, instance_id=one)
    assert (answer.result, answer.retry_times_left, answer.lock_time) == ("success", "5", "0")
    assert_only_this_password_opens(instance, SECOND)
    answer = story.call("update_password", {"old_password": PASSWORD, "new_password": THIRD}, instance_id=one)
    assert (answer.result, answer.retry_times_left) == ("passwordFailed", "4")
    assert_only_this_password_opens(instance, SECOND)
    answer = story.call("reset_password", {"no_password_access": True}, instance_id=one)
    assert (answer.code, answer.message) == ("1", "success")
    assert story.settled(one).no_password_access == "true"
    assert_only_this_password_opens(instance, None)
    with pytest.raises(Refused) as refusal:
        story.call("update_password", {"old_password": SECOND, "new_password": THIRD}, instance_id=one)
    assert refusal.value.status == 400
    answer = story.call("reset_password", {"new_password": THIRD, "no_password_access": False}, instance_id=one)
    assert (answer.code, answer.message) == ("1", "success")
    assert story.settled(one).no_password_access == "false"
    assert_only_this_password_opens(instance, THIRD)


def _restart(story: Story, instance: Any, mode: str) -> Any:
    for action in ("restart", "soft_restart"):
        with connect(instance, THIRD) as client:
            client.set("before-restarting", action)
        done = story.call("restart_or_flush_instances", {"action": action, "instances": [instance.instance_id]})
        assert [(one.instance, one.result) for one in done.results] == [(instance.instance_id, "success")]
        assert story.call("show_instance", instance_id=instance.instance_id).status in ("RESTARTING", "RUNNING")
        instance = story.settled(instance.instance_id)
        with connect(instance, THIRD) as client:
            assert client.get("before-restarting") == (action if mode == "ha" else None)
        assert_only_this_password_opens(instance, THIRD)
    return instance


def _look_at_figures(story: Story, instance: Any) -> None:
    with connect(instance, THIRD) as client:
        before = _figures(story, instance)
        for n in range(300):
            client.set(f"counted-{n}", "x" * 10_000)
            client.get(f"counted-{n}")
    after = _figures(story, instance)
    assert after.keys - before.keys == 300
    assert after.cmd_set_count - before.cmd_set_count == 300
    assert after.cmd_get_count - before.cmd_get_count == 300
    assert before.used_memory + 2 <= after.used_memory <= after.max_memory == 128
    assert float(after.used_cpu) >= float(before.used_cpu)
    assert float(after.input_kbps) >= 0 <= float(after.output_kbps)


def _figures(story: Story, instance: Any) -> Any:
    found = story.call("list_statistics_of_running_instances").statistics
    return next(one for one in found if one.instance_id == instance.instance_id)


def _flush(story: Story, instance: Any) -> Any:
    done = story.call(
        "restart_or_flush_instances", {"action": "flush", "instances": [instance.instance_id, UNKNOWN_ID]}
    )
    assert [(one.instance, one.result) for one in done.results] == [
        (instance.instance_id, "success"),
        (UNKNOWN_ID, "failed"),
    ]
    flushed = story.settled(instance.instance_id)
    with connect(flushed, THIRD) as client:
        assert client.dbsize() == 0
        client.set("after-flushing", "1")
        assert client.get("after-flushing") == "1"
    return flushed


def _back_up_and_restore(story: Story, instance: Any) -> None:
    one = instance.instance_id
    with connect(instance, THIRD) as client:
        client.mset({f"backed-up-{n}": str(n) for n in range(100)})
    made = story.call("copy_instance", {"remark": story.mark, "backup_format": "rdb"}, instance_id=one)
    story.settled(one)
    [record] = story.call("list_backup_records", instance_id=one, limit=10, offset=0).backup_record_response
    assert (record.backup_id, record.status, record.progress) == (made.backup_id, "succeed", "100.00")
    assert (record.remark, record.backup_type, record.is_support_restore) == (story.mark, "manual", "TRUE")
    found = story.call("list_backup_file_links", {"expiration": 300}, instance_id=one, backup_id=made.backup_id)
    assert sum(len(httpx.get(link.link).content) for link in found.links) == record.size
    with connect(instance, THIRD) as client:
        client.flushall()
        client.set("later", "1")
    asked = {"backup_id": made.backup_id, "remark": story.mark}
    restored = story.call("restore_instance", asked, instance_id=one)
    story.settled(one)
    [record] = story.call("list_restore_records", instance_id=one, limit=1000).restore_record_response
    assert (record.restore_id, record.status, record.restore_remark) == (
        restored.restore_id,
        "succeed",
        story.mark,
    )
    with connect(instance, THIRD) as client:
        assert client.get("later") is None
        assert client.mget(f"backed-up-{n}" for n in range(100)) == [str(n) for n in range(100)]


def _import(story: Story, instance: Any) -> None:
    one = instance.instance_id
    [record] = story.call("list_backup_records", instance_id=one).backup_record_response
    with connect(instance, THIRD) as client:
        client.flushall()
        client.set("stays", "1")
    body = {
        "task_name": f"story-{story.mark}",
        "migration_type": "backupfile_import",
        "migration_method": "full_amount_migration",
        "backup_files": {"file_source": "backup_record", "backup_id": record.backup_id, "files": []},
        "target_instance": {"id": one, "name": instance.name, "password": THIRD},
    }
    made = story.call("create_migration_task", body)
    assert (made.name, made.status) == (body["task_name"], "MIGRATING")
    story.settled(one)
    shown = story.call("show_migration_task", task_id=made.id)
    assert (shown.status, shown.target_instance.id, shown.target_instance.password) == ("SUCCESS", one, None)
    figures = story.call("show_migration_task_stats", task_id=made.id)
    assert (figures.full_migration_progress, figures.source_dbsize, figures.is_migrating) == ("100", "101", False)
    [listed] = story.call("list_migration_task", name=story.mark).migration_tasks
    assert (listed.task_id, listed.target_instance_id) == (made.id, one)
    with connect(instance, THIRD) as client:
        assert (client.get("stays"), client.get("backed-up-7")) == ("1", "7")
    gone = story.call("delete_migration_task", {"task_id_list": [made.id]})
    assert gone.task_id_list == [made.id]
    story.call("delete_backup_file", instance_id=one, backup_id=record.backup_id)
    with pytest.raises(Refused) as refusal:
        story.call("delete_backup_file", instance_id=one, backup_id=record.backup_id)
    assert (refusal.value.status, refusal.value.code) == (400, "DCS.4031")


def _look_at_tasks(story: Story, instance: Any) -> None:
    one = instance.instance_id
    tasks = story.tasks(one)
    assert [task.created_at for task in tasks] == sorted((task.created_at for task in tasks), reverse=True)
    for task in tasks:
        job = story.call("show_job_info", job_id=task.id)
        assert (job.job_id, job.status, job.fail_reason) == (task.id, "SUCCESS", None)
        assert int(job.begin_time) <= int(job.end_time)
        assert story.call("show_background_task_progress", instance_id=one, task_id=task.id).progress == 100
    [newest, second, *others] = tasks
    story.call("delete_background_task", instance_id=one, task_id=newest.id)
    story.call("delete_center_task", task_id=second.id)
    assert [task.id for task in story.tasks(one)] == [task.id for task in others]
    page = story.call("list_background_task", instance_id=one, offset=1, limit=2).tasks
    assert [task.id for task in page] == [task.id for task in others[1:3]]
    assert story.call("list_background_task", instance_id=one, offset=1000).tasks == []
    everywhere = {task.id for task in story.call("list_center_task", limit=1000).tasks}
    assert {task.id for task in others} <= everywhere
    assert not {newest.id, second.id} & everywhere
    assert story.call("list_center_task", end_time="20200101000000").tasks == []
    assert story.call("list_background_task", instance_id=one, start_time="20200101000000").tasks
    with pytest.raises(Refused) as refusal:
        story.call("delete_background_task", instance_id=one, task_id=newest.id)
    assert refusal.value.code == "DCS.4133"


def _lock_password(story: Story, instance: Any) -> None:
    one, wrong = instance.instance_id, {"old_password": SECOND, "new_password": PASSWORD}
    answers = [story.call("update_password", wrong, instance_id=one) for _ in range(5)]
    assert [answer.result for answer in answers] == ["passwordFailed"] * 4 + ["locked"]
    assert [answer.retry_times_left for answer in answers] == ["4", "3", "2", "1", "0"]
    right = {"old_password": THIRD, "new_password": PASSWORD}
    locked = story.call("update_password", right, instance_id=one)
    assert (locked.result, locked.lock_time, locked.lock_time_left) == ("locked", "5", "5")
    reset = story.call("reset_password", {"new_password": PASSWORD}, instance_id=one)
    assert (reset.code, reset.message) == ("3", "instance is locked")
    assert_only_this_password_opens(instance, THIRD)


def _remove(story: Story, instance: Any) -> None:
    story.call("delete_single_instance", instance_id=instance.instance_id)
    eventually(lambda: story.gone(instance.instance_id))
    with pytest.raises(redis.ConnectionError), connect(instance, THIRD) as client:
        client.ping()
    assert story.installation.node_pids(instance.instance_id) == {}
    assert story.listed(instance_id=instance.instance_id) == []
    [kept] = story.call("list_instances", instance_id=instance.instance_id, include_delete="true").instances
    assert kept.status == "DELETED"


def tell_of_a_batch(story: Story, mode: str) -> None:
    """Three instances of one order, found page by page and removed in one call."""
    before = story.call("list_number_of_instances_in_different_status")
    quota_before = _quota(story)
    batch = f"batch-{mode}-{story.mark}"
    made = story.order(mode, batch, instance_num=3)
    names = [f"{batch}-{n:03}" for n in range(3)]
    assert [one.instance_name for one in made] == names
    instances = [story.settled(one.instance_id) for one in made]
    assert len({one.ip for one in instances}) == 3
    for one in instances:
        assert_only_this_password_opens(one, PASSWORD)
    pages = [story.call("list_instances", name=batch, offset=n, limit=2) for n in (0, 2, 4)]
    assert [page.instance_num for page in pages] == [3, 3, 3]
    assert [len(page.instances) for page in pages] == [2, 1, 0]
    assert sorted(one.name for page in pages for one in page.instances) == names
    counts = story.call("list_number_of_instances_in_different_status")
    assert counts.running_count == before.running_count + 3 == counts.redis.running_count
    assert counts.memcached.running_count == 0
    used = _quota(story)
    assert used["instance"].used == quota_before["instance"].used + 3
    assert used["ram"].used <= used["ram"].quota
    ids = [one.instance_id for one in instances]
    done = story.call("batch_delete_instances", {"instances": [*ids, UNKNOWN_ID]})
    assert {one.instance: one.result for one in done.results} == dict.fromkeys(ids, "success") | {
        UNKNOWN_ID: "failed"
    }
    for one in ids:
        eventually(lambda one=one: story.gone(one))
    assert story.listed(name=batch) == []
    assert _quota(story)["instance"].used == quota_before["instance"].used


def _quota(story: Story) -> dict[str, Any]:
    return {one.type: one for one in story.call("show_quota_of_tenant").quotas.resources}


def tell_of_the_catalogue(story: Story) -> None:
    """What there is to order, and where and when."""
    flavors = story.call("list_flavors").flavors
    assert len(flavors) > 300
    assert {one.cache_mode for one in flavors} == {"single", "ha", "cluster", "proxy", "ha_rw_split"}
    agrees: dict[str, Callable[[Any, str], bool]] = {
        "spec_code": lambda one, text: one.spec_code == text,
        "cache_mode": lambda one, text: one.cache_mode == text,
        "engine": lambda one, text: one.engine == text.lower(),
        "engine_version": lambda one, text: text in one.engine_version.split(";"),
        "cpu_type": lambda one, text: one.cpu_type == text,
        "capacity": lambda one, text: one.capacity == [text],
    }
    for name, text in (
        ("spec_code", HA),
        ("cache_mode", "single"),
        ("engine", "Redis"),
        ("engine_version", "6.0"),
        ("cpu_type", "aarch64"),
        ("capacity", "0.125"),
    ):
        found = story.call("list_flavors", **{name: text}).flavors
        fitting = [one.spec_code for one in flavors if agrees[name](one, text)]
        assert [one.spec_code for one in found] == fitting != [], name
    [one] = story.call("list_flavors", spec_code=HA, cache_mode="ha", capacity="0.125").flavors
    assert (one.replica_count, one.tenant_ip_count, one.billing_mode) == (2, 2, ["Hourly"])
    zones = story.call("list_available_zones")
    assert zones.region_id == story.installation.env["region"]
    assert [zone.code for zone in zones.available_zones] == ["local-1a", "local-1b", "local-1c"]
    assert {zone.resource_availability for zone in zones.available_zones} == {"true"}
    assert one.flavors_available_zones[0].az_codes == [zone.code for zone in zones.available_zones]
    assert one.flavors_available_zones[0].available_zones == [zone.id for zone in zones.available_zones]
    assert story.call("list_flavors", spec_code="redis.no.such.flavor").flavors == []
    windows = story.call("list_maintenance_windows").maintain_windows
    assert len({(window.begin, window.end) for window in windows}) == 24
    assert [window.begin for window in windows if window.default] == ["18:00:00"]
    assert {"instance", "ram"} == _quota(story).keys()


def tell_of_an_open_instance(story: Story) -> None:
    """An instance without a password, and the flavors it may be changed to."""
    order = story.installation.order(f"open-{story.mark}", SINGLE, no_password_access=True)
    del order["password"]
    [made] = story.call("create_instance", order).instances
    instance = story.settled(made.instance_id)
    assert instance.no_password_access == "true"
    assert_only_this_password_opens(instance, None)
    fitting = story.call("list_flavors", instance_id=made.instance_id, cache_mode="single").flavors
    assert fitting
    assert all("7.0" in one.engine_version.split(";") for one in fitting)
    story.call("batch_delete_instances", {"instances": [made.instance_id]})
    eventually(lambda: story.gone(made.instance_id))


def tell_of_a_failure(story: Story) -> None:
    """Where no engine starts, the instances fail with a reason, and are removed in one call."""
    made = story.order("single", "story-failed", instance_num=2)
    ids = {one.instance_id for one in made}

    def failed() -> list[Any]:
        found = story.call("list_instances", name="story-failed", include_failure="true").instances
        return [one for one in found if one.status == "CREATEFAILED"]

    eventually(lambda: len(failed()) == 2)
    assert {one.instance_id for one in failed()} == ids
    assert story.listed(name="story-failed") == []
    assert story.listed(name="story-failed", status="CREATEFAILED")
    assert story.call("list_number_of_instances_in_different_status").createfailed_count == 0
    counts = story.call("list_number_of_instances_in_different_status", include_failure="true")
    assert counts.createfailed_count == 2
    assert _quota(story)["instance"].used == 0
    story.call("batch_delete_instances", all_failure=True)
    for one in ids:
        eventually(lambda one=one: story.gone(one))
    assert failed() == []
