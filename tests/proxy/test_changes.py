"""Nodes change under clients that are at work: slots move, masters are replaced, replicas go and come.

Clients here never ask again by themselves, and any error they see is one too many, unless the test says otherwise.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from changing import (
    FIRST,
    Story,
    add_replicas,
    at_work,
    further,
    half_way,
    join_again,
    keys_in,
    kill,
    move,
    once,
    replace_master,
    there_and_back,
)
from installation import eventually
from proxied import Proxied
from real_engines import ENGINES
from wires import request, wire_to

from cachestead.domain.slots import Slots, key_in, slot_of
from cachestead.engine.slot_migration import STROKE_KEYS
from cachestead.proxy.configuration import Layout

DEPTH = 20
CLIENTS = 3
BOTH = "redis.call('RPUSH', KEYS[1], ARGV[1]) return redis.call('RPUSH', KEYS[2], ARGV[1])"
LAG = 50
"""Acknowledged writes that a replica may lack when its master is killed, on a busy machine."""


@pytest.fixture(scope="module", params=ENGINES, ids=str)
def started(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    """Three masters of each engine, a proxy before them; each slot is where it was when a test ends."""
    made = Proxied(tmp_path_factory.mktemp("changes"), Layout.CLUSTER, request.param)
    try:
        made.start_nodes()
        made.start_proxy()
        yield made
    finally:
        made.close()


@pytest.fixture(params=ENGINES, ids=str)
def replicated(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Proxied]:
    """Masters that each have a replica, for one test that loses some."""
    made = Proxied(tmp_path, Layout.CLUSTER, request.param)
    try:
        made.start_nodes()
        add_replicas(made)
        made.start_proxy()
        yield made
    finally:
        made.close()


def slots_of(keys: list[str]) -> Slots:
    return Slots.of(map(slot_of, keys))


def crowd(proxied: Proxied, key: str) -> None:
    """The key's slot has so many others that it is open to both sides for a while when it moves key by key."""
    with once(proxied) as client, client.pipeline(transaction=False) as pipeline:
        for number in range(STROKE_KEYS * 3 // 2):
            pipeline.set(f"{{{key}}}{number}", number)
        pipeline.execute()


def pusher(proxied: Proxied, key: str) -> tuple[Callable[[Story], None], Callable[[], int]]:
    """Pushes 0, 1, 2, … in pipelines, with other commands on the same key between."""
    client, pushed = once(proxied), 0

    def push(story: Story) -> None:
        nonlocal pushed
        pipeline = client.pipeline(transaction=False)
        some = list(range(pushed, pushed + DEPTH))
        for number in some:
            pipeline.rpush(key, number)
        pipeline.lrange(key, -DEPTH, -1)
        *lengths, last = pipeline.execute()
        assert lengths == [number + 1 for number in some]
        assert last == [str(number) for number in some]
        pushed += DEPTH

    return push, lambda: pushed


def appender(proxied: Proxied, key: str) -> tuple[Callable[[Story], None], Callable[[], int]]:
    """Appends the alphabet, over and over."""
    client, length = once(proxied, protocol=3), 0

    def append(story: Story) -> None:
        nonlocal length
        pipeline = client.pipeline(transaction=False)
        lengths = list(range(length + 1, length + DEPTH + 1))
        for one in lengths:
            pipeline.append(key, letter(one - 1))
        assert pipeline.execute() == lengths
        length += DEPTH

    return append, lambda: length


def scripter(proxied: Proxied, tag: str) -> tuple[Callable[[Story], None], Callable[[], int]]:
    """Pushes 0, 1, 2, … to two lists at once; each script is answered before the next is sent."""
    client, called = once(proxied), 0

    def call(story: Story) -> None:
        nonlocal called
        assert client.eval(BOTH, 2, tag + "a", tag + "b", called) == called + 1
        called += 1

    return call, lambda: called


def counter(proxied: Proxied, counted: dict[str, int], lock: threading.Lock) -> Callable[[Story], None]:
    """Increases counters, which others increase too."""
    client = once(proxied)

    def increase(story: Story) -> None:
        pipeline = client.pipeline(transaction=False)
        keys = [key for _ in range(DEPTH // len(counted)) for key in counted]
        for key in keys:
            pipeline.incr(key)
        replies = pipeline.execute()
        for place, key in enumerate(counted):
            mine = replies[place :: len(counted)]
            assert mine == sorted(mine)
            with lock:
                counted[key] += len(mine)

    return increase


def numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def letter(number: int) -> str:
    return chr(ord("a") + number % 26)


def test_what_one_client_writes_to_a_key_keeps_its_order_while_the_slot_moves(proxied: Proxied):
    lists, texts, counts = (keys_in(FIRST, kind, CLIENTS) for kind in ("list", "text", "count"))
    for key in (lists[0], texts[0], counts[0]):
        crowd(proxied, key)
    pushers = [pusher(proxied, key) for key in lists]
    appenders = [appender(proxied, key) for key in texts]
    counted = dict.fromkeys(counts, 0)
    counters = [counter(proxied, counted, threading.Lock()) for _ in counts]
    scripts = [scripter(proxied, f"{{{key}}}") for key in lists]
    stories = [act for act, _ in [*pushers, *appenders, *scripts]]
    with at_work(*stories, *counters) as told:
        there_and_back(proxied, slots_of([*lists, *texts, *counts]), told)
    with once(proxied) as client:
        for key, (_, pushed) in zip(lists, pushers, strict=True):
            assert client.lrange(key, 0, -1) == numbers(pushed())
        for key, (_, appended) in zip(texts, appenders, strict=True):
            assert client.get(key) == "".join(letter(number) for number in range(appended()))
        for key, (_, called) in zip(lists, scripts, strict=True):
            assert [client.lrange(f"{{{key}}}{name}", 0, -1) for name in "ab"] == [numbers(called())] * 2
        assert {key: int(client.get(key)) for key in counts} == counted


def test_commands_over_many_slots_and_transactions_do_not_notice_that_slots_move(proxied: Proxied):
    near, far = keys_in(FIRST, "near", 12), [f"far-{number}" for number in range(30)]
    tags = [f"{{{key}}}" for key in near[:CLIENTS]]
    watched = f"{{{near[-1]}}}watched"
    done = dict.fromkeys(tags, 0)
    writer, worker, watchers = once(proxied), once(proxied), [once(proxied), once(proxied, protocol=3)]
    taken = [0] * len(watchers)

    def spread(story: Story) -> None:
        value = str(story.rounds)
        assert writer.mset(dict.fromkeys([*near, *far], value))
        assert writer.mget([*near, *far]) == [value] * (len(near) + len(far))
        assert writer.exists(*near, *far) == len(near) + len(far)

    def transact(story: Story) -> None:
        for tag in tags:
            with worker.pipeline(transaction=True) as pipeline:
                pipeline.incr(tag + "count").rpush(tag + "list", done[tag]).get(tag + "count")
                number, length, text = pipeline.execute()
            done[tag] += 1
            assert number == length == int(text) == done[tag]

    def watch(place: int) -> Callable[[Story], None]:
        def increase(story: Story) -> None:
            with watchers[place].pipeline() as pipeline:
                pipeline.watch(watched)
                value = int(pipeline.get(watched) or 0)
                pipeline.multi()
                pipeline.set(watched, value + 1)
                try:
                    pipeline.execute()
                except redis.WatchError:
                    return
                taken[place] += 1

        return increase

    crowd(proxied, near[0])
    crowd(proxied, near[-1])
    with at_work(spread, transact, watch(0), watch(1)) as told:
        there_and_back(proxied, slots_of(near), told)
    with once(proxied) as client:
        assert int(client.get(watched)) == sum(taken)
        for tag in tags:
            assert client.lrange(tag + "list", 0, -1) == [str(number) for number in range(done[tag])]


def test_what_was_watched_and_changed_elsewhere_meanwhile_is_not_committed(proxied: Proxied):
    key = key_in(FIRST, "watched")
    for protocol in (2, 3):
        with once(proxied, protocol) as client, once(proxied) as other, client.pipeline() as pipeline:
            client.set(key, 1)
            pipeline.watch(key)
            assert pipeline.get(key) == "1"
            move(proxied, slots_of([key]), 0, 1)
            assert other.incr(key) == 2
            move(proxied, slots_of([key]), 1, 0)
            pipeline.multi()
            pipeline.set(key, "lost")
            with pytest.raises(redis.WatchError):
                pipeline.execute()
            assert other.get(key) == "2"


def test_what_is_taken_out_of_lists_while_slots_move_is_neither_lost_nor_doubled(proxied: Proxied):
    queues = keys_in(FIRST, "queue", CLIENTS)
    taken: dict[str, list[str]] = {queue: [] for queue in queues}
    given = dict.fromkeys(queues, 0)
    giver = once(proxied)

    def give(story: Story) -> None:
        for queue in queues:
            giver.rpush(queue, given[queue])
            given[queue] += 1

    def taker(queue: str) -> Callable[[Story], None]:
        client = once(proxied)

        def take(story: Story) -> None:
            if found := client.blpop([queue], 1):
                assert found[0] == queue
                taken[queue].append(found[1])

        return take

    with at_work(give, *map(taker, queues)) as told:
        there_and_back(proxied, slots_of(queues), told)
    with once(proxied) as client:
        for queue in queues:
            left = client.lrange(queue, 0, -1)
            assert taken[queue] + left == [str(number) for number in range(given[queue])]


def test_who_waits_at_an_empty_list_hears_of_nothing_but_what_comes(proxied: Proxied):
    queue = key_in(FIRST, "empty")
    heard: list[tuple[str, str]] = []

    def wait() -> None:
        with once(proxied) as client:
            heard.append(client.blpop([queue], 0))

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    with once(proxied) as client:
        eventually(lambda: any(one["cmd"] == "blpop" for one in client.client_list()))
        there_and_back(proxied, slots_of([queue]), times=1)
        assert not heard
        client.rpush(queue, "came")
        thread.join(30)
        assert [list(words) for words in heard] == [[queue, "came"]]
        assert client.llen(queue) == 0


def test_who_waited_long_before_the_slot_moved_is_not_told_of_it(proxied: Proxied):
    queue = key_in(FIRST, "long")
    with wire_to(proxied.endpoint) as wire, once(proxied) as client:
        wire.send(request("BLPOP", queue, 0))

        def waited_long() -> bool:
            [one] = [one for one in client.client_list() if one["cmd"] == "blpop"]
            return int(one["age"]) > 16

        # Longer than anything waits for a master.
        eventually(waited_long, 60)
        there_and_back(proxied, slots_of([queue]), times=1)
        client.rpush(queue, "came")
        assert wire.exactly(4) == b"*2\r\n"


def at_redis(proxied: Proxied) -> None:
    if proxied.engine.product != "redis":
        pytest.skip("this engine's slots move as a whole")


def test_a_slot_that_is_open_to_both_sides_serves_every_key(proxied: Proxied):
    at_redis(proxied)
    tag = "{" + key_in(FIRST, "open") + "}"
    gone, there, new = tag + "gone", tag + "there", tag + "new"
    with once(proxied) as client:
        client.set(gone, 0)
        client.set(there, 0)
        with half_way(proxied, tag) as send:
            send(gone)
            with client.pipeline(transaction=False) as pipeline:
                for number in range(DEPTH):
                    for key in (gone, there, new):
                        pipeline.incr(key)
                    pipeline.rpush(tag + "list", number)
                assert pipeline.execute() == [
                    value for number in range(DEPTH) for value in (*[number + 1] * 3, number + 1)
                ]
            send(there)
            assert client.mget(gone, there, new) == [str(DEPTH)] * 3
        assert client.mget(gone, there, new) == [str(DEPTH)] * 3
        assert client.lrange(tag + "list", 0, -1) == [str(number) for number in range(DEPTH)]
    move(proxied, slots_of([tag]), 1, 0)


def test_who_needs_keys_of_both_sides_waits_and_keeps_the_order(proxied: Proxied):
    at_redis(proxied)
    tag = "{" + key_in(FIRST, "both") + "}"
    one, other = tag + "one", tag + "other"
    all_numbers = numbers(DEPTH)
    with wire_to(proxied.endpoint) as wire, wire_to(proxied.endpoint) as second, once(proxied) as client:
        client.rpush(one, "first")
        client.rpush(other, "first")
        with half_way(proxied, tag) as send:
            send(one)
            asked = told_again(proxied)
            for number in all_numbers[: DEPTH // 2]:
                wire.send(request("EVAL", BOTH, 2, one, other, number))
            second.send(
                request("MULTI") + request("RPUSH", one, "x") + request("RPUSH", other, "x") + request("EXEC")
            )
            eventually(lambda: told_again(proxied) > asked)
            for number in all_numbers[DEPTH // 2 :]:
                wire.send(request("EVAL", BOTH, 2, one, other, number))
            wire.send(request("PING"))
            send(other)
        assert {wire.line()[:1] for _ in all_numbers} == {b":"}
        assert wire.line() == b"+PONG"
        assert [second.line() for _ in range(4)] == [b"+OK", b"+QUEUED", b"+QUEUED", b"*2"]
        for key in (one, other):
            found = client.lrange(key, 0, -1)
            assert [value for value in found if value not in ("first", "x")] == all_numbers
            assert found.count("x") == 1
    move(proxied, slots_of([tag]), 1, 0)


def told_again(proxied: Proxied) -> int:
    """How often the first two masters refused a command for now."""
    found = 0
    for number in (0, 1):
        with proxied.node_client(number) as client:
            found += sum(one["count"] for name, one in client.info("errorstats").items() if "TRYAGAIN" in name)
    return found


# Masters


def test_a_master_of_a_cluster_is_killed_and_its_replica_takes_over(replicated: Proxied):
    keys = keys_in(FIRST, "count", CLIENTS)
    read = key_in(FIRST, "read")
    acknowledged, lost = dict.fromkeys(keys, 0), dict.fromkeys(keys, 0)

    def counter(key: str) -> Callable[[Story], None]:
        clients = [once(replicated)]

        def increase(story: Story) -> None:
            try:
                clients[0].incr(key)
                acknowledged[key] += 1
            except redis.ConnectionError:
                lost[key] += 1
                clients[0] = once(replicated)

        return increase

    reader = once(replicated)
    with once(replicated) as client:
        client.set(read, "there")

    def look(story: Story) -> None:
        assert reader.get(read) == "there"
        assert reader.mget(read, "elsewhere") == ["there", None]

    with at_work(look, *map(counter, keys)) as told:
        with replicated.node_client() as master:
            assert master.wait(1, 30_000) == 1
        kill(replicated, 11)
        with wire_to(replicated.endpoint) as wire:
            wire.send(request("SET", keys[0] + "unsent", "done"))
            replace_master(replicated, 11, 12, (21, 31))
            assert wire.line() == b"+OK"
        further(told, 50)
        join_again(replicated, 11, 12)
    with once(replicated) as client:
        for key in keys:
            # An engine answers before its replica has the write: what it said last may be gone with it.
            assert acknowledged[key] - LAG <= int(client.get(key)) <= acknowledged[key] + lost[key]
            assert lost[key] <= 1
