"""Nodes, engines and files break while an instance is backed up or restored, and clients write meanwhile.

Whoever writes notices nothing of a backup. What a record says is true, whatever broke: the data is the backup's, or
what it was before.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import IO, Any

import pytest
import redis
from archived import back_up, begin_backup, begin_restore, digest, ended, fill, restore
from configured import Configured
from crashes import await_step, settled
from installation import HA_3, Installation, client_of, eventually
from redis.backoff import NoBackoff
from redis.retry import Retry
from resizes import resized
from witnesses import COUNTER, Writer, agreed, assert_nothing_is_left_over, stored_backups

KEYS = 2000
TINY, LARGE = "redis.ha.xu1.tiny.r2.128", "redis.ha.xu1.large.r2.1"


@pytest.fixture(scope="module")
def kept(installation: Installation) -> dict[str, Any]:
    """A master with two replicas, and data."""
    instance = installation.create("kept", HA_3, capacity=1)
    fill(installation, instance, KEYS)
    return instance


@pytest.fixture(autouse=True)
def tidy(installation: Installation, kept: dict[str, Any]) -> Iterator[None]:
    """Every view of the instance is the same in the end, and nothing is left over."""
    yield
    eventually(lambda: agreed(installation, kept), 60)
    assert_nothing_is_left_over(installation)


@contextmanager
def at_step(installation: Installation) -> Iterator[IO[str]]:
    """What the service writes from now on."""
    with (installation.folder / "service.log").open() as log:
        log.seek(0, 2)
        yield log


def replicas(installation: Installation, instance: dict[str, Any]) -> list[int]:
    """Process ids."""
    return [node.pid for node in agreed(installation, instance) if node.role == "slave"]


def master(installation: Installation, instance: dict[str, Any]) -> int:
    return next(node.pid for node in agreed(installation, instance) if node.role == "master")


def kill(*pids: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("form", ["rdb", "aof"])
def test_writers_notice_nothing_of_a_backup_and_it_has_what_they_were_answered(
    installation: Installation, kept: dict[str, Any], form: str
):
    with Writer(kept) as writer:
        answered = writer.wait_for_writes()
        backup = back_up(installation, kept, backup_format=form)
        writer.wait_for_writes()
    assert writer.failures == []
    assert restore(installation, kept, backup)["status"] == "succeed"
    with client_of(kept) as client:
        assert answered <= int(client.get(COUNTER)) <= writer.acknowledged


@pytest.mark.parametrize("later", [0.0, 0.05])
def test_replicas_that_are_lost_do_not_stop_a_backup(
    installation: Installation, kept: dict[str, Any], later: float
):
    lost = replicas(installation, kept)
    with at_step(installation) as log, Writer(kept) as writer:
        answered = writer.wait_for_writes()
        made = begin_backup(installation, kept)
        await_step(log, "take_snapshots")
        time.sleep(later)
        kill(*lost)
        backup = ended(installation, kept, "backups", made)
        assert backup["status"] == "succeed", backup
        writer.wait_for_writes()
    assert writer.failures == []
    settled(installation, kept["instance_id"])
    eventually(lambda: agreed(installation, kept), 60)
    assert restore(installation, kept, backup)["status"] == "succeed"
    with client_of(kept) as client:
        assert int(client.get(COUNTER)) >= answered


def test_a_master_that_is_lost_meanwhile_is_replaced_as_ever(installation: Installation, kept: dict[str, Any]):
    lost = master(installation, kept)
    with at_step(installation) as log, Writer(kept) as writer:
        made = begin_backup(installation, kept)
        await_step(log, "take_snapshots")
        kill(lost)
        writer.wait_for_writes()
        backup = ended(installation, kept, "backups", made)
    assert backup["status"] == "succeed", backup
    settled(installation, kept["instance_id"])
    eventually(lambda: agreed(installation, kept), 60)
    assert restore(installation, kept, backup)["status"] == "succeed"


def test_a_staging_engine_that_is_lost_is_started_again(installation: Installation, kept: dict[str, Any]):
    made = begin_backup(installation, kept)

    def staging() -> list[int]:
        found = []
        for process in installation.node_processes():
            with suppress(Exception):
                found += [process.pid] if "staging-" in process.cwd() else []
        return found

    kill(*eventually(staging))
    backup = ended(installation, kept, "backups", made)
    assert backup["status"] == "succeed", backup


@pytest.mark.parametrize(
    ("step", "role"), [("load_data", "master"), ("load_data", "replicas"), ("open_instance", "master")]
)
def test_nodes_that_are_lost_while_an_instance_is_restored(
    installation: Installation, kept: dict[str, Any], step: str, role: str
):
    backup = back_up(installation, kept)
    wanted = digest(installation, kept)
    with client_of(kept) as client:
        client.set("since", 1)
    before = digest(installation, kept)
    master_address = next(node.address for node in agreed(installation, kept) if node.role == "master")
    with at_step(installation) as log:
        made = begin_restore(installation, kept, backup)
        await_step(log, step)
        pids = installation.node_pids(kept["instance_id"])
        kill(*(pid for address, pid in pids.items() if (address == master_address) == (role == "master")))
        record = ended(installation, kept, "restores", made)
    settled(installation, kept["instance_id"])
    eventually(lambda: agreed(installation, kept), 60)
    assert digest(installation, kept) == (wanted if record["status"] == "succeed" else before), record


@dataclass
class Diary:
    """Writes a new key each time, and remembers which were acknowledged."""

    instance: dict[str, Any]
    acknowledged: list[int] = field(default_factory=list)
    going: bool = True

    def write(self) -> None:
        number = 0
        while self.going:
            number += 1
            with suppress(redis.RedisError), self._client() as client:
                client.set(f"page:{number}", 1)
                self.acknowledged.append(number)
            time.sleep(0.001)

    def _client(self) -> redis.Redis:
        return client_of(
            self.instance, socket_timeout=0.5, socket_connect_timeout=0.2, retry=Retry(NoBackoff(), 0)
        )


def test_what_is_written_while_an_instance_is_restored_is_never_mixed_in(
    installation: Installation, kept: dict[str, Any]
):
    """What was there before is the backup's; then there is a gap; and from then on nothing is lost."""
    diary = Diary(kept)
    with ThreadPoolExecutor() as threads:
        writing = threads.submit(diary.write)
        try:
            eventually(lambda: len(diary.acknowledged) > 100)
            backup = back_up(installation, kept)
            between = len(diary.acknowledged)
            eventually(lambda: len(diary.acknowledged) > between + 100)
            assert restore(installation, kept, backup)["status"] == "succeed"
            after = len(diary.acknowledged)
            eventually(lambda: len(diary.acknowledged) > after + 100)
        finally:
            diary.going = False
        writing.result()
    with client_of(kept) as client:
        there = sorted(int(key.partition(":")[2]) for key in client.scan_iter("page:*", count=5000))
        client.delete(*(f"page:{number}" for number in there))
    acknowledged = diary.acknowledged
    kept_pages = set(there)
    gaps = [place for place, number in enumerate(acknowledged) if number not in kept_pages]
    assert gaps == list(range(gaps[0], gaps[-1] + 1)), "one piece is gone: from the backup to the restoration"
    assert gaps[0] >= 100
    assert gaps[-1] < after, "what was acknowledged afterwards is there"


def stored_files(installation: Installation, backup: dict[str, Any]) -> list[Any]:
    root = installation.folder / "objects" / "cachestead"
    return [root / one for one in stored_backups(installation) if backup["backup_id"] in one]


@pytest.mark.parametrize("damage", ["a byte", "cut off", "gone"])
def test_a_backup_that_was_damaged_is_not_restored(installation: Installation, kept: dict[str, Any], damage: str):
    backup = back_up(installation, kept)
    with client_of(kept) as client:
        client.set("since", damage)
    before = digest(installation, kept)
    [file] = stored_files(installation, backup)
    content = file.read_bytes()
    half = len(content) // 2
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(
            content[:half] + (bytes([content[half] ^ 1]) + content[half + 1 :] if damage == "a byte" else b"")
        )
    try:
        with Writer(kept, key="meanwhile") as writer:
            record = restore(installation, kept, backup)
        assert (record["status"], record["error_code"]) == ("failed", "dcs.08.0006"), record
        assert writer.failures == [], "the instance served all the time"
    finally:
        file.write_bytes(content)
    with client_of(kept) as client:
        client.delete("meanwhile")
    assert digest(installation, kept) == before
    assert restore(installation, kept, backup)["status"] == "succeed"


@pytest.mark.parametrize(("appendonly", "form"), [("yes", "rdb"), ("no", "aof")])
def test_a_backup_that_does_not_fit_any_more_leaves_the_instance_as_it_is(
    installation: Installation, appendonly: str, form: str
):
    """Nodes that keep no file start from an image, and cannot from commands, which come key by key."""
    instance = installation.create("shrunk", LARGE, capacity=1)
    with installation.http() as api:
        if appendonly == "no":
            assert Configured(installation, api, instance).set(appendonly="no") == "SUCCESS"
    with client_of(instance) as client:
        for number in range(15):
            client.set(f"large:{number}", os.urandom(10_000_000))
    backup = back_up(installation, instance, backup_format=form)
    with client_of(instance) as client:
        client.flushall()
        client.set("small", 1)
    resized(installation, instance, TINY, 0.125)
    record = restore(installation, instance, backup)
    assert (record["status"], record["error_code"]) == ("failed", "dcs.08.0007"), record
    with client_of(instance) as client:
        assert client.keys("*") == ["small"]
        client.set("again", 1)
    now = installation.show(instance["instance_id"])
    assert now is not None
    eventually(lambda: agreed(installation, now))
    assert_nothing_is_left_over(installation)
    with installation.http() as api:
        api.delete(f"/instances/{instance['instance_id']}").raise_for_status()
    installation.wait_gone(instance["instance_id"])
