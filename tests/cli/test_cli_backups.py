"""`backup …` and `migration …`: against a stand-in that fails when told to, and once for real."""

import json
import subprocess
from types import SimpleNamespace

import pytest
from installation import HA, client_of
from stand_in import ID, RUNNING
from typer.testing import CliRunner

from cachestead.cli.backup import complete_backup
from cachestead.cli.main import app
from cachestead.cli.migration import complete_task

BACKUPS, RESTORES = f"/instances/{ID}/backups", f"/instances/{ID}/restores"
DONE = {
    "backup_id": "b-1", "backup_name": "backup_1", "status": "succeed", "progress": "100.00", "error_code": None,
    "created_at": "2025-05-01T00:00:00.000Z", "is_support_restore": "TRUE", "size": 5,
}  # fmt: skip
AT_WORK = DONE | {"status": "backuping", "progress": "40.00", "is_support_restore": "FALSE"}
FAILED = DONE | {"status": "failed", "error_code": "dcs.08.0005", "is_support_restore": "FALSE"}
RESTORE = {"restore_id": "r-1", "restore_name": "restore_1", "status": "succeed", "progress": "100.00"}
TASK = {
    "task_id": "t-1", "task_name": "import-1", "status": "SUCCESS", "error_message": None, "target_instance_name": "sessions",
}  # fmt: skip
POLICY = {
    "backup_type": "auto", "save_days": 7,
    "periodical_backup_plan": {"period_type": "weekly", "backup_at": [1, 4], "begin_at": "23:00-00:00"},
}  # fmt: skip


def backups(*found):
    return 200, {"total_num": len(found), "backup_record_response": list(found)}


def tasks(*found):
    return 200, {"count": len(found), "migration_tasks": list(found)}


@pytest.fixture
def service(service):
    """A service with an instance that has a backup."""
    service.answers |= {
        ("GET", "/instances"): (200, {"instances": [RUNNING]}),
        ("GET", f"/instances/{ID}"): (200, RUNNING | {"instance_backup_policy": None}),
        ("PUT", f"/instances/{ID}"): (204, None),
        ("POST", BACKUPS): (200, {"backup_id": "b-1"}),
        ("GET", BACKUPS): backups(DONE),
        ("DELETE", f"{BACKUPS}/b-1"): (204, None),
        ("POST", RESTORES): (200, {"restore_id": "r-1"}),
        ("GET", RESTORES): (200, {"total_num": 1, "restore_record_response": [RESTORE]}),
        ("GET", "/migration-tasks"): tasks(TASK),
        ("POST", "/migration-task"): (200, {"id": "t-1"}),
        ("GET", "/migration-task/t-1"): (200, TASK),
        ("GET", "/migration-task/t-1/stats"): (200, {"full_migration_progress": "100"}),
        ("DELETE", "/migration-tasks/delete"): (200, {"task_id_list": ["t-1"]}),
        ("GET", "/objects"): (200, {"bucket_name": "uploads"}),
    }
    return service


def test_a_backup_is_waited_for(service, run):
    service.answers["GET", BACKUPS] = [backups(AT_WORK), backups(AT_WORK), backups(DONE)]

    result = run("backup", "create", "sessions", "--format", "aof", "--remark", "r", "--wait", "-o", "json")

    assert result.exit_code == 0, result.stderr
    assert service.sent("POST", BACKUPS) == [{"backup_format": "aof", "remark": "r"}]
    assert json.loads(result.stdout) == [DONE]
    assert "backup_1: backuping, 40 %" in result.stderr


def test_a_backup_that_failed_says_why(service, run):
    service.answers["GET", BACKUPS] = backups(FAILED)

    result = run("backup", "create", "sessions", "--wait")

    assert result.exit_code == 1
    assert "dcs.08.0005" in result.stderr


def test_a_wait_has_an_end(service, run):
    service.answers["GET", BACKUPS] = backups(AT_WORK)

    result = run("backup", "create", "sessions", "--wait", "--timeout", "1")

    assert result.exit_code == 1
    assert "did not end within 1 s" in result.stderr


def test_an_instance_without_backups_lists_none(service, run):
    service.answers["GET", BACKUPS] = (204, None)

    assert json.loads(run("backup", "list", "sessions", "-o", "json").stdout) == []


@pytest.mark.parametrize("given", ["b-1", "backup_1"])
def test_a_backup_goes_by_id_or_name(service, run, given):
    assert "backup_1" in run("backup", "show", "sessions", given).stdout
    assert run("backup", "delete", "sessions", given, "--yes").exit_code == 0
    assert len(service.sent("DELETE", f"{BACKUPS}/b-1")) == 1


@pytest.mark.parametrize("words", [["delete", "sessions", "b-1"], ["restore", "sessions", "b-1"]], ids=" ".join)
def test_what_loses_data_is_asked_for(service, run, words):
    result = run("backup", *words, input="n\n")

    assert (result.exit_code, "Nothing was changed" in result.stderr) == (1, True)
    assert not service.sent("DELETE", f"{BACKUPS}/b-1")
    assert not service.sent("POST", RESTORES)


def test_the_shell_completes_backups_of_the_instance(service, run):
    assert complete_backup(SimpleNamespace(params={"instance": "sessions"}), "back") == ["backup_1"]
    assert complete_backup(SimpleNamespace(params={"instance": "none"}), "other") == []


def test_a_backup_that_is_not_there(service, run):
    result = run("backup", "restore", "sessions", "other", "--yes")

    assert (result.exit_code, "There is no backup other" in result.stderr) == (1, True)


def test_a_restoration_is_waited_for(service, run):
    result = run("backup", "restore", "sessions", "backup_1", "--remark", "r", "--yes", "--wait")

    assert result.exit_code == 0, result.stderr
    assert service.sent("POST", RESTORES) == [{"backup_id": "b-1", "remark": "r"}]
    assert "restore_1" in run("backup", "restores", "sessions").stdout


def test_a_download_that_fails_leaves_what_was_there(service, run, tmp_path):
    link = {"file_name": "../../etc/redis.rdb", "link": f"{service.endpoint}/gone"}
    service.answers["POST", f"{BACKUPS}/b-1/links"] = (200, {"links": [link]})
    (tmp_path / "redis.rdb").write_bytes(b"before")

    result = run("backup", "download", "sessions", "b-1", "--to", str(tmp_path))

    assert (result.exit_code, "HTTP 404" in result.stderr) == (1, True)
    assert [path.name for path in tmp_path.iterdir()] == ["redis.rdb"]
    assert (tmp_path / "redis.rdb").read_bytes() == b"before"

    service.answers["GET", "/gone"] = (200, b"after")
    assert run("backup", "download", "sessions", "b-1", "--to", str(tmp_path)).exit_code == 0
    assert (tmp_path / "redis.rdb").read_bytes() == b"after"


def test_a_plan_is_set_by_names_of_days(service, run):
    result = run("backup", "policy", "sessions", "--auto", "--days", "thu,Mon", "--hour", "23", "--keep", "7")

    assert result.exit_code == 0, result.stderr
    assert service.sent("PUT", f"/instances/{ID}") == [{"instance_backup_policy": POLICY}]


def test_a_plan_is_shown(service, run):
    kept = {"policy": POLICY, "updated_at": "2025-05-01T00:00:00.000Z"}
    service.answers["GET", f"/instances/{ID}"] = (200, RUNNING | {"instance_backup_policy": kept})

    result = run("backup", "policy", "sessions")

    assert all(word in result.stdout for word in ("auto", "mon, thu", "23:00-00:00"))
    assert not service.sent("PUT", f"/instances/{ID}")


def test_by_hand_again(service, run):
    assert run("backup", "policy", "sessions", "--manual").exit_code == 0
    assert service.sent("PUT", f"/instances/{ID}") == [{"instance_backup_policy": {"backup_type": "manual"}}]


@pytest.mark.parametrize(
    "words", [["--auto"], ["--days", "mon"], ["--hour", "1", "--days", "noday"]], ids=" ".join
)
def test_half_a_plan_is_refused_before_anything_is_asked(service, run, words):
    assert run("backup", "policy", "sessions", *words).exit_code == 1
    assert service.requests == []


def test_the_newest_usable_backup_is_imported(service, run):
    service.answers["GET", BACKUPS] = backups(FAILED | {"backup_id": "b-2"}, DONE)

    result = run("migration", "import", "sessions", "--from", "sessions", "--name", "import-1", "--wait")

    assert result.exit_code == 0, result.stderr
    [body] = service.sent("POST", "/migration-task")
    assert body["backup_files"] == {"file_source": "backup_record", "backup_id": "b-1"}
    assert (body["task_name"], body["target_instance"]["id"]) == ("import-1", ID)


def test_files_are_imported_from_the_bucket_of_uploads(service, run):
    result = run("migration", "import", "sessions", "imports/a.rdb", "imports/b.rdb")

    assert result.exit_code == 0, result.stderr
    [body] = service.sent("POST", "/migration-task")
    assert body["backup_files"] == {
        "file_source": "self_build_obs",
        "bucket_name": "uploads",
        "files": [{"file_name": "imports/a.rdb"}, {"file_name": "imports/b.rdb"}],
    }


@pytest.mark.parametrize("words", [[], ["a.rdb", "--from", "sessions"]], ids=["neither", "both"])
def test_an_import_has_one_source(service, run, words):
    assert run("migration", "import", "sessions", *words).exit_code == 1
    assert service.requests == []


def test_an_instance_without_a_backup_gives_none(service, run):
    service.answers["GET", BACKUPS] = backups(FAILED)

    assert "has no backup" in run("migration", "import", "sessions", "--from", "sessions").stderr


def test_an_import_that_failed_says_why(service, run):
    service.answers["GET", "/migration-task/t-1"] = (200, TASK | {"status": "FAILED", "error_message": "cut off"})

    result = run("migration", "import", "sessions", "a.rdb", "--wait")

    assert (result.exit_code, "cut off" in result.stderr) == (1, True)


def test_migrations_go_by_name(service, run):
    assert run("migration", "delete", "import-1", "--yes").exit_code == 0
    assert service.sent("DELETE", "/migration-tasks/delete") == [{"task_id_list": ["t-1"]}]
    assert "import-1" in run("migration", "show", "import-1").stdout
    assert complete_task("imp") == ["import-1"]


def test_data_goes_and_comes_back_for_real(installation, tmp_path, monkeypatch):
    for key in ("endpoint", "iam_endpoint", "user", "password", "domain", "project_id", "vpc_id", "subnet_id"):
        monkeypatch.setenv(f"CACHESTEAD_{key.upper()}", installation.env[key])

    def tell(*words):
        # In this process: starting the program takes longer than what it does.
        done = CliRunner().invoke(app, list(words))
        assert done.exit_code == 0, done.stderr
        return done.stdout

    first, second = (installation.create(name, HA) for name in ("cli-first", "cli-second"))
    with client_of(first) as client:
        client.set("key", "before")
    [backup] = json.loads(tell("backup", "create", "cli-first", "--wait", "-o", "json"))
    with client_of(first) as client:
        client.set("key", "after")

    tell("migration", "import", "cli-second", "--from", "cli-first", "--wait")
    with client_of(second) as client:
        assert client.get("key") == "before"

    tell("backup", "restore", "cli-first", backup["backup_name"], "--yes", "--wait")
    installation.wait(first["instance_id"])
    with client_of(first) as client:
        assert client.get("key") == "before"

    [file] = json.loads(
        tell("backup", "download", "cli-first", backup["backup_id"], "--to", str(tmp_path), "-o", "json")
    )
    assert file["size"] == backup["size"]
    [link] = json.loads(tell("backup", "links", "cli-first", backup["backup_id"], "-o", "json"))
    fetched = subprocess.run(["curl", "-sf", link["link"]], capture_output=True, check=True, timeout=30).stdout
    assert fetched == (tmp_path / link["file_name"]).read_bytes()

    tell("object", "upload", file["file"])
    tell("migration", "import", "cli-second", f"imports/{link['file_name']}", "--wait")
    assert len(json.loads(tell("migration", "list", "-o", "json"))) == 2
    tell("backup", "policy", "cli-first", "--auto", "--days", "mon", "--hour", "2")
    tell("backup", "delete", "cli-first", backup["backup_id"], "--yes")
