"""Instances with every kind of data, digests of all of it, and backups and restorations seen to their end."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator
from typing import Any

import redis
from crashes import settled
from installation import PASSWORD, Installation, eventually
from records import admin_of

from cachestead.domain.slots import slot_of

LIBRARY = "#!lua name=mine\nredis.register_function('mine', function() return 7 end)"
BACKUP_SECONDS = 240.0
_AT_ONCE = 5000
_DIGEST = """
local found = redis.call('SCAN', ARGV[1], 'COUNT', 5000)
local answer = {found[1]}
for _, key in ipairs(found[2]) do
  local kind, content = redis.call('TYPE', key).ok, ''
  if kind == 'set' then
    local members = redis.call('SMEMBERS', key)
    table.sort(members)
    content = cmsgpack.pack(members)
  elseif kind == 'hash' then
    local fields, flat = {}, redis.call('HGETALL', key)
    for at = 1, #flat, 2 do fields[#fields + 1] = cmsgpack.pack({flat[at], flat[at + 1]}) end
    table.sort(fields)
    content = cmsgpack.pack(fields)
  elseif kind == 'stream' then
    content = cmsgpack.pack({redis.call('XRANGE', key, '-', '+'), redis.call('XINFO', 'GROUPS', key)})
  elseif kind == 'list' then
    content = cmsgpack.pack(redis.call('LRANGE', key, 0, -1))
  elseif kind == 'zset' then
    content = cmsgpack.pack(redis.call('ZRANGE', key, 0, -1, 'WITHSCORES'))
  else
    content = redis.call('GET', key)
  end
  answer[#answer + 1] = key
  answer[#answer + 1] = redis.sha1hex(kind .. redis.call('PEXPIRETIME', key) .. content)
end
return answer
"""
"""One page of keys, each with what it holds in an order of its own, and when it ends."""


def masters_of(installation: Installation, instance: dict[str, Any]) -> list[redis.Redis]:
    """Our own clients of all masters."""
    with installation.http() as api:
        groups = api.get(f"/instance/{instance['instance_id']}/groups").json()["group_list"]
    nodes = [node for group in groups for node in group["replication_list"]]
    masters = [node["replication_ip"] for node in nodes if node["replication_role"] == "master"]
    clients = [admin_of(installation, instance, address) for address in masters]
    for client in clients:
        client.connection_pool.connection_kwargs |= {"socket_timeout": 60, "decode_responses": False}
    return clients


def fill(installation: Installation, instance: dict[str, Any], keys: int) -> None:
    """Every type, small and large, functions, and so many plain keys, one in ten with a deadline."""
    masters = masters_of(installation, instance)
    clustered = bool(masters[0].info("cluster")["cluster_enabled"])
    owners = _owners(masters) if clustered else {}
    for master in masters:
        master.execute_command("FUNCTION", "LOAD", "REPLACE", LIBRARY)
    for number in range(3 * len(masters)):
        tag = f"{{{number}}}"
        fill_every_type(masters[owners[slot_of(tag)] if clustered else 0], tag)
    if not clustered:
        other = admin_of(installation, instance, masters[0].connection_pool.connection_kwargs["host"])
        other.connection_pool.connection_kwargs["db"] = 5
        other.set("elsewhere", "kept")
    end = int(time.time() * 1000) + 86_400_000
    shares: list[list[bytes]] = [[] for _ in masters]
    for number in range(keys):
        key = f"key:{number}"
        words = [b"SET", key.encode(), b"value of %d" % number]
        if number % 10 == 0:
            words += [b"PXAT", b"%d" % (end + number)]
        parts = b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
        shares[owners[slot_of(key)] if clustered else 0].append(b"*%d\r\n%b" % (len(words), parts))
    for master, share in zip(masters, shares, strict=True):
        _send(master, share)


def _owners(masters: list[redis.Redis]) -> dict[int, int]:
    owners = {}
    for at, master in enumerate(masters):
        host = master.connection_pool.connection_kwargs["host"]
        for first, last, owner, *_ in master.execute_command("CLUSTER SLOTS"):
            if owner[0].decode() == host:
                owners |= dict.fromkeys(range(first, last + 1), at)
    return owners


def _send(master: redis.Redis, commands: Iterable[bytes]) -> None:
    connection = master.connection_pool.get_connection()
    try:
        left = iter(commands)
        while some := list(itertools.islice(left, _AT_ONCE)):
            connection.send_packed_command([b"".join(some)])
            for _ in some:
                assert connection.read_response() == b"OK"
    finally:
        master.connection_pool.release(connection)


def fill_every_type(client: redis.Redis, tag: str) -> None:
    """A key of every type and some large ones, all in one slot."""
    client.set(f"{tag}binary\xff", b"\xff\x00" * 10)
    client.set(f"{tag}text", "value", pxat=int(time.time() * 1000) + 86_400_123)
    client.set(f"{tag}large", b"\x01\x02" * 1_000_000)
    client.rpush(f"{tag}list", *range(1000))
    client.sadd(f"{tag}few", 1, 2)
    client.sadd(f"{tag}many", *(f"member-{n}" for n in range(2000)))
    client.hset(f"{tag}hash", mapping={f"field-{n}": n for n in range(2000)})
    client.pexpireat(f"{tag}hash", int(time.time() * 1000) + 86_400_321)
    client.zadd(f"{tag}scores", {f"member-{n}": n / 3 for n in range(2000)})
    client.pfadd(f"{tag}uniques", *range(5000))
    client.setbit(f"{tag}bits", 100_000, 1)
    client.geoadd(f"{tag}places", (13.361389, 38.115556, "Palermo"))
    for number in range(100):
        client.xadd(f"{tag}stream", {"number": number}, id=f"{number + 1}-1")
    client.xgroup_create(f"{tag}stream", "readers", "5-1")


def digest(installation: Installation, instance: dict[str, Any]) -> dict[int, tuple[int, int]]:
    """How many keys there are by database, and what they hold, in a number for all. Equal data, equal digests."""
    found = contents(masters_of(installation, instance))
    return {
        number: (len(keys), sum(hash((key, held)) for key, held in keys.items())) for number, keys in found.items()
    }


def contents(masters: Iterable[redis.Redis]) -> dict[int, dict[bytes, bytes]]:
    """A digest of every key of each database."""
    found: dict[int, dict[bytes, bytes]] = {}
    for master in masters:
        for name in master.info("keyspace"):
            number = int(name.removeprefix("db"))
            found.setdefault(number, {}).update(_pages(master, number))
    return found


def _pages(master: redis.Redis, number: int) -> Iterator[tuple[bytes, bytes]]:
    connection, cursor = master.connection_pool.get_connection(), b"0"
    try:
        connection.send_command("SELECT", number)
        connection.read_response()
        while True:
            connection.send_command("EVAL", _DIGEST, 0, cursor)
            cursor, *flat = connection.read_response()
            yield from zip(flat[::2], flat[1::2], strict=True)
            if cursor == b"0":
                return
    finally:
        connection.send_command("SELECT", 0)
        connection.read_response()
        master.connection_pool.release(connection)


def flush(installation: Installation, instance: dict[str, Any]) -> None:
    """The instance has no keys and no functions."""
    for master in masters_of(installation, instance):
        master.flushall()
        master.execute_command("FUNCTION", "FLUSH")


def back_up(installation: Installation, instance: dict[str, Any], **wish: Any) -> dict[str, Any]:
    """A backup that succeeded, as the list has it."""
    backup = ended(installation, instance, "backups", begin_backup(installation, instance, **wish))
    assert backup["status"] == "succeed", backup
    return backup


def begin_backup(installation: Installation, instance: dict[str, Any], **wish: Any) -> str:
    """Id of a backup that has begun."""
    with installation.http() as api:
        answer = api.post(f"/instances/{instance['instance_id']}/backups", json=wish)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["backup_id"])


def begin_restore(installation: Installation, instance: dict[str, Any], backup: dict[str, Any]) -> str:
    """Id of a restoration that has begun."""
    with installation.http() as api:
        body = {"backup_id": backup["backup_id"]}
        answer = api.post(f"/instances/{instance['instance_id']}/restores", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["restore_id"])


def restore(installation: Installation, instance: dict[str, Any], backup: dict[str, Any]) -> dict[str, Any]:
    """The restoration, ended, as the list has it."""
    found = ended(installation, instance, "restores", begin_restore(installation, instance, backup))
    settled(installation, instance["instance_id"])
    return found


def ended(
    installation: Installation, instance: dict[str, Any], kind: str, one: str | None = None
) -> dict[str, Any]:
    """The record of a backup or restoration once nothing more happens to it; the newest if none is named."""
    word = kind.removesuffix("s")
    listed = {"backups": "backup_record_response", "restores": "restore_record_response"}[kind]

    def look() -> dict[str, Any] | None:
        with installation.http() as api:
            answer = api.get(f"/instances/{instance['instance_id']}/{kind}", params={"limit": 100}).json()
        found = next(each for each in answer[listed] if one in (None, each[f"{word}_id"]))
        return dict(found) if found["status"] in ("succeed", "failed") else None

    return eventually(look, BACKUP_SECONDS)


def import_order(target: dict[str, Any], files: dict[str, Any]) -> dict[str, Any]:
    """A body for create_migration_task."""
    return {
        "task_name": "import-1",
        "description": "",
        "migration_type": "backupfile_import",
        "migration_method": "full_amount_migration",
        "backup_files": files,
        "target_instance": {"id": target["instance_id"], "name": target["name"], "password": PASSWORD},
    }


def import_ended(installation: Installation) -> dict[str, Any]:
    """The newest import, once it has ended."""

    def look() -> dict[str, Any] | None:
        with installation.http() as api:
            newest = api.get("/migration-tasks").json()["migration_tasks"][0]
            found = api.get(f"/migration-task/{newest['task_id']}").json()
        return dict(found) if found["status"] != "MIGRATING" else None

    found = eventually(look, BACKUP_SECONDS)
    settled(installation, found["target_instance"]["id"])
    return found
