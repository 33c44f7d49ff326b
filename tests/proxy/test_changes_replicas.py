"""Read/write splitting while its nodes go, come and change roles; and a proxy that is told other things."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
from changing import Story, asked, at_work, calls_of, configure, further, join_again, kill, once, pid_of
from installation import eventually
from proxied import Proxied, hash_of
from real_engines import ENGINES, PORT
from wires import request, wire_to

from cachestead.engine.connection import Client
from cachestead.proxy.configuration import Address, DataNode, Layout, ProxyConfiguration

MASTER, REPLICAS = 0, (1, 2)
LAG = 50
"""Acknowledged writes that a replica may lack when its master is killed, on a busy machine."""


@pytest.fixture(params=ENGINES, ids=str)
def split(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Proxied]:
    """A master and two replicas that take reads, for one test."""
    made = Proxied(tmp_path, Layout.REPLICATED, request.param)
    try:
        made.start_nodes()
        made.start_proxy(nodes=nodes_of(made))
        with made.node_client() as master:
            master.set("key", "value")
            assert master.wait(2, 30_000) == 2
        yield made
    finally:
        made.close()


def nodes_of(proxied: Proxied, **weights: int) -> tuple[DataNode, ...]:
    """All nodes, with the weights given by name."""
    names = [f"node-{place}" for place in range(len(proxied.nodes))]
    return tuple(
        DataNode(name, at, weights.get(name.replace("-", "_"), 100))
        for name, at in zip(names, proxied.nodes, strict=True)
    )


def reader(proxied: Proxied) -> Callable[[Story], None]:
    client = once(proxied)

    def read(story: Story) -> None:
        pipeline = client.pipeline(transaction=False)
        for _ in range(10):
            pipeline.get("key")
        assert pipeline.execute() == ["value"] * 10
        assert client.mget("key", "key") == ["value"] * 2

    return read


def reads(proxied: Proxied) -> dict[int, int]:
    """How often each node that is there was read."""
    found = {}
    for number in range(len(proxied.nodes)):
        with contextlib.suppress(redis.ConnectionError), proxied.node_client(number) as node:
            found[number] = calls_of(node, "get")
    return found


def served_by(proxied: Proxied, *numbers: int) -> bool:
    """Whether reads come to these nodes and to no other that is there."""
    before = reads(proxied)
    with once(proxied) as client:
        for _ in range(60):
            assert client.get("key") == "value"
    after = reads(proxied)
    return {number for number, calls in after.items() if calls != before.get(number)} == set(numbers)


def test_replicas_that_go_and_come_are_read_while_they_are_there(split: Proxied):
    with at_work(reader(split), reader(split)) as told:
        eventually(lambda: served_by(split, *REPLICAS))
        kill(split, 12)
        eventually(lambda: served_by(split, 2))
        kill(split, 13)
        eventually(lambda: served_by(split, MASTER))
        further(told)
        join_again(split, 12, 11)
        eventually(lambda: served_by(split, 1))
        join_again(split, 13, 11)
        eventually(lambda: served_by(split, *REPLICAS))


def test_a_replica_without_its_master_is_not_read(split: Proxied):
    with at_work(reader(split)), split.node_client(1) as replica:
        eventually(lambda: served_by(split, *REPLICAS))
        # Nobody answers there.
        replica.replicaof(f"{split.subnet}.99", PORT)
        eventually(lambda: served_by(split, 2))
        replica.replicaof(split.nodes[0].host, PORT)
        eventually(lambda: served_by(split, *REPLICAS))


def test_a_frozen_replica_keeps_nobody_waiting(split: Proxied):
    pid = pid_of(split, 12)
    with at_work(reader(split), reader(split), reader(split)) as told:
        eventually(lambda: served_by(split, *REPLICAS))
        os.kill(pid, signal.SIGSTOP)
        try:
            further(told, 200)
        finally:
            os.kill(pid, signal.SIGCONT)
        eventually(lambda: served_by(split, *REPLICAS))


def test_reads_go_where_the_weights_say_and_come_back(split: Proxied):
    proxy = split.proxies[0]
    with at_work(reader(split)):
        eventually(lambda: served_by(split, *REPLICAS))
        for weights, expected in (
            ({"node_1": 0}, (2,)),
            ({"node_1": 0, "node_2": 0}, (MASTER,)),
            ({}, REPLICAS),
        ):
            told = replace(proxy.configuration, nodes=nodes_of(split, **weights))
            assert configure(proxy, told.to_json()) == "OK"
            eventually(lambda expected=expected: served_by(split, *expected))


def test_a_node_that_is_no_longer_named_is_left_alone(split: Proxied):
    proxy = split.proxies[0]
    with at_work(reader(split)):
        eventually(lambda: served_by(split, *REPLICAS))
        assert configure(proxy, replace(proxy.configuration, nodes=nodes_of(split)[:2]).to_json()) == "OK"
        eventually(lambda: served_by(split, 1))
        assert configure(proxy, proxy.configuration.to_json()) == "OK"
        eventually(lambda: served_by(split, *REPLICAS))


def test_a_master_is_killed_and_a_replica_promoted(split: Proxied):
    acknowledged = lost = 0
    writer = once(split)

    def increase(story: Story) -> None:
        nonlocal acknowledged, lost, writer
        try:
            writer.incr("count")
            acknowledged += 1
        except redis.ConnectionError:
            lost += 1
            writer = once(split)

    async def promote(nodes: list[Client]) -> None:
        await nodes[0].execute_command("REPLICAOF", "NO", "ONE")
        await nodes[1].execute_command("REPLICAOF", f"{split.subnet}.12", PORT)

    with at_work(increase, reader(split)) as told:
        kill(split, 11)
        with wire_to(split.endpoint) as wire:
            wire.send(request("SET", "unsent", "done"))
            asked(split, promote, [12, 13])
            assert wire.line() == b"+OK"
        further(told, 50)
        eventually(lambda: served_by(split, 2))
        join_again(split, 11, 12)
        eventually(lambda: served_by(split, 0, 2))
    with once(split) as client:
        assert acknowledged - LAG <= int(client.get("count")) <= acknowledged + lost
        assert client.get("unsent") == "done"
    assert lost <= 1


def test_roles_that_change_under_load_lose_nothing(split: Proxied):
    """The master is relieved while it lives, with its clients' writes held up as the service does it."""
    count = 0
    writer = once(split)

    def increase(story: Story) -> None:
        nonlocal count
        pipeline = writer.pipeline(transaction=False)
        for _ in range(10):
            pipeline.incr("count")
        assert pipeline.execute() == list(range(count + 1, count + 11))
        count += 10

    async def swap(nodes: list[Client]) -> None:
        old, new, other = nodes
        await old.execute_command("FAILOVER", "TO", *address(new), "TIMEOUT", 20_000)
        await other.execute_command("REPLICAOF", *address(new))

    def address(client: Client) -> tuple[str, int]:
        known = client.connection_pool.connection_kwargs
        return known["host"], known["port"]

    with at_work(increase, reader(split)) as told:
        for old, new, other in ((11, 12, 13), (12, 13, 11), (13, 11, 12)):
            asked(split, swap, [old, new, other])
            eventually(lambda new=new: served_by(split, *({0, 1, 2} - {new - 11})))
            further(told)


# What a proxy is told


@pytest.fixture
def told(proxied: Proxied) -> Iterator[Proxied]:
    """The proxy is as it was when the test ends."""
    yield proxied
    proxy = proxied.proxies[0]
    assert configure(proxy, proxy.configuration.to_json()) == "OK"
    eventually(lambda: state(proxied) == "ok")


def state(proxied: Proxied) -> str:
    with proxied.proxies[0].admin() as client:
        return str(client.execute_command("PROXY", "STATE"))


def tell(proxied: Proxied, **changes: Any) -> ProxyConfiguration:
    configuration = replace(proxied.proxies[0].configuration, **changes)
    assert configure(proxied.proxies[0], configuration.to_json()) == "OK"
    return configuration


def test_the_endpoint_moves_to_another_port_and_back(told: Proxied):
    other = Address(told.endpoint.host, 7001)
    with once(told) as client:
        client.set("key", 1)
        tell(told, endpoint=other)
        eventually(lambda: state(told) == "ok")
        with pytest.raises(redis.ConnectionError):
            client.get("key")
    with pytest.raises(redis.ConnectionError), once(told) as client:
        client.get("key")
    with redis.Redis(other.host, other.port) as client:
        assert client.get("key") == b"1"
    tell(told)
    eventually(lambda: state(told) == "ok")
    with once(told) as client:
        assert client.get("key") == "1"
    tell(told, endpoint=None)
    eventually(lambda: state(told) == "ok")
    with pytest.raises(redis.ConnectionError), once(told) as client:
        client.get("key")


def test_a_new_password_is_asked_of_whoever_comes(told: Proxied):
    with once(told) as before:
        before.set("key", 1)
        tell(told, password_hash=hash_of("first"))
        # Who is there stays, as with an engine.
        assert before.get("key") == "1"
        with once(told) as client, pytest.raises(redis.AuthenticationError):
            client.get("key")
        with told.client(password="first") as client:
            assert client.get("key") == "1"
        tell(told, password_hash=hash_of("second"))
        with told.client(password="first") as client, pytest.raises(redis.AuthenticationError):
            client.get("key")
        with told.client(password="second") as client:
            assert client.get("key") == "1"


def test_commands_get_other_names_and_are_refused_at_once(told: Proxied):
    with once(told) as client:
        client.set("key", 1)
        tell(told, renamed={"get": "fetch", "flushall": "wipe"}, refused=frozenset({"append"}))
        assert client.execute_command("FETCH", "key") == "1"
        for words in (("GET", "key"), ("FLUSHALL",), ("APPEND", "key", "x")):
            with pytest.raises(redis.ResponseError, match="unknown command"):
                client.execute_command(*words)
        pipeline = client.pipeline(transaction=False)
        for number in range(10):
            pipeline.set("key", number).execute_command("FETCH", "key")
        assert pipeline.execute() == [word for number in range(10) for word in (True, str(number))]
        tell(told)
        assert client.get("key") == "9"
        with pytest.raises(redis.ResponseError, match="unknown command"):
            client.execute_command("FETCH", "key")


def wrong(right: ProxyConfiguration) -> list[str]:
    """Configurations that are none, one fault each."""
    fields = json.loads(right.to_json())
    changed: list[dict[str, Any]] = [
        {"nodes": "node"}, {"nodes": [{"id": "a"}]}, {"nodes": [{"id": "a", "address": {"host": "h"}, "weight": 1}]},
        {"nodes": [{"id": "a", "address": {"host": "h", "port": "x"}, "weight": 1}]},
        {"nodes": [{"id": "a", "address": {"host": "h", "port": 1}, "weight": "x"}]},
        {"layout": "other"}, {"endpoint": "x:1"}, {"endpoint": {"host": "h", "port": "x"}}, {"own": None},
        {"renamed": ["get"]}, {"renamed": {"get": 1}}, {"refused": 7}, {"refused": [7]}, {"maxclients": "many"},
        {"databases": None}, {"parameters": ["timeout"]}, {"parameters": {"timeout": "soon"}},
        {"parameters": {"proxy-slowlog-max-len": "long"}}, {"parameters": {"proto-max-bulk-len": "big"}},
        {"parameters": {"proxy-slowlog-log-slower-than": ""}}, {"password_hash": 1}, {"user": None}, {"secret": 1},
        {"unheard": "of"},
    ]  # fmt: skip
    whole = ["", "{", "[]", "1", "null", '"x"', "{}"]
    missing = [json.dumps({name: value for name, value in fields.items() if name != "nodes"})]
    return [*whole, *missing, *(json.dumps(fields | one) for one in changed)]


def test_a_wrong_configuration_is_refused_and_changes_nothing(told: Proxied):
    right = replace(told.proxies[0].configuration, parameters={"timeout": "300"})
    tell(told, parameters={"timeout": "300"})
    with once(told) as client:
        client.set("key", 1)
        for text in wrong(right):
            with pytest.raises(redis.ResponseError, match="not a configuration"):
                configure(told.proxies[0], text)
            assert state(told) == "ok", text
            assert client.get("key") == "1", text
            assert client.config_get("timeout") == {"timeout": "300"}, text
        assert client.info("clients")["maxclients"] == right.maxclients
