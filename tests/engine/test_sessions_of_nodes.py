"""CLIENT LIST as values, and ending connections, on every engine there is."""

from __future__ import annotations

import pytest
from real_engines import Machine, eventually
from redis.asyncio import Redis

from cachestead.engine import sessions
from cachestead.engine.acl import ADMIN, REPLICA
from cachestead.engine.connection import Connections, connected
from cachestead.engine.errors import EngineRefused
from cachestead.engine.sessions import end_sessions, list_sessions, read_sessions

ROW = {
    "id": "7", "addr": "10.0.0.5:41222", "fd": "9", "name": "", "age": "3", "idle": "1", "flags": "N", "db": "2",
    "sub": "1", "psub": "0", "multi": "-1", "qbuf": "26", "qbuf-free": "32742", "obl": "0", "oll": "0", "omem": "0",
    "events": "r", "cmd": "get", "user": "default",
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "listed"),
    [
        pytest.param({}, True, id="a tenant's"),
        pytest.param({"user": "some-account"}, True, id="of another account"),
        pytest.param({"user": ADMIN}, False, id="ours"),
        pytest.param({"user": REPLICA}, False, id="a replica's"),
        pytest.param({"user": "(superuser)", "flags": "M"}, False, id="to a master"),
        pytest.param({"user": "(superuser)"}, False, id="of the engine's own making"),
        pytest.param({"name": ADMIN}, True, id="a tenant's that calls itself as we do"),
        pytest.param({"user": None}, True, id="without users"),
        pytest.param({"user": None, "name": ADMIN}, False, id="ours without users"),
        pytest.param({"user": None, "flags": "S"}, False, id="a replica's without users"),
    ],
)
def test_only_tenants_have_sessions(changes: dict[str, str | None], *, listed: bool) -> None:
    row = {name: value for name, value in (ROW | changes).items() if value is not None}
    found = read_sessions([row])
    assert [one.id for one in found] == ([7] if listed else [])
    for one in found:
        assert (one.addr, one.fd, one.db, one.age, one.idle, one.cmd) == ("10.0.0.5:41222", 9, 2, 3, 1, "get")
        assert (one.sub, one.multi, one.qbuf, one.qbuf_free, one.events) == (1, -1, 26, 32742, "r")
        assert one.user == row.get("user", "default")


async def test_fields_that_an_engine_does_not_have_are_nothing() -> None:
    [found] = read_sessions([{"id": "7", "addr": "10.0.0.5:1", "flags": "N"}])
    assert (found.name, found.cmd, found.omem, found.user) == ("", "", 0, "default")


async def test_a_list_that_makes_no_sense_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def call(*_: object) -> object:
        raise KeyError(None)

    monkeypatch.setattr(sessions, "call", call)
    with pytest.raises(EngineRefused):
        await list_sessions(Redis())


async def test_sessions_are_listed_and_ended(machine: Machine) -> None:
    client = await machine.start(11)
    password = machine.users.tenant_password
    async with (
        connected(machine.node(11), password, user=None, name="goes") as goes,
        connected(machine.node(11), password, user=None, name="stays") as stays,
    ):
        await goes.ping()
        await stays.ping()
        listed = {one.name: one for one in await list_sessions(client)}
        assert listed.keys() == {"goes", "stays"}
        assert listed["stays"].cmd == "ping"

        # One that is not there is over already.
        await end_sessions(client, [listed["goes"].id, 999_999])

        assert [one.name for one in await list_sessions(client)] == ["stays"]
        assert await stays.client_id() == listed["stays"].id


async def test_connections_to_an_engine_without_users_have_our_name(machine: Machine) -> None:
    """There is no such engine here; how we log in to one, by the tenant's password, is the same."""
    await machine.start(11)
    connections = Connections()
    try:
        client = connections.get(machine.node(11), machine.users.tenant_password, user=None)
        assert await client.client_getname() == ADMIN
    finally:
        await connections.close()
    await eventually(lambda: _is_quiet(machine))


async def _is_quiet(machine: Machine) -> bool:
    return await list_sessions(machine.clients[0]) == []
