"""redis-py as programs use it: pools, pipelines, transactions, pub/sub, locks, scripts; in threads and in asyncio."""

from __future__ import annotations

import asyncio
import concurrent.futures

import pytest
import redis
import redis.asyncio
from proxied import Proxied
from redis.exceptions import LockNotOwnedError, NoScriptError, ResponseError, WatchError

INCREMENT = "local n = redis.call('INCRBY', KEYS[1], ARGV[1]) return {n, KEYS[1]}"


@pytest.fixture(params=[2, 3], ids=["RESP2", "RESP3"])
def any_client(request: pytest.FixtureRequest, proxied: Proxied):
    with proxied.client(protocol=request.param) as client:
        yield client


def test_every_type_is_written_and_read(any_client: redis.Redis):
    any_client.set("string", "1", ex=100)
    any_client.hset("hash", mapping={"a": 1, "b": 2})
    any_client.rpush("list", *range(5))
    any_client.sadd("set", "x", "y")
    any_client.zadd("zset", {"low": 1, "high": 2.5})
    any_client.xadd("stream", {"field": "value"}, id="1-1")
    any_client.setbit("bits", 7, 1)
    any_client.pfadd("hll", "a", "b")
    any_client.geoadd("geo", (13.36, 38.11, "Palermo"))

    assert any_client.get("string") == "1"
    assert 0 < any_client.ttl("string") <= 100
    assert any_client.hgetall("hash") == {"a": "1", "b": "2"}
    assert any_client.lrange("list", 1, -2) == ["1", "2", "3"]
    assert set(any_client.smembers("set")) == {"x", "y"}
    assert [member for member, _ in any_client.zrange("zset", 0, -1, withscores=True)] == ["low", "high"]
    assert any_client.zscore("zset", "high") == 2.5
    assert any_client.xrange("stream") == [("1-1", {"field": "value"})]
    assert any_client.getbit("bits", 7) == 1
    assert any_client.pfcount("hll") == 2
    assert any_client.geopos("geo", "Palermo")[0][0] == pytest.approx(13.36, abs=0.01)
    assert any_client.dbsize() == 9
    assert any_client.type("zset") == "zset"


def test_keys_of_all_slots_are_one_answer(any_client: redis.Redis):
    pairs = {f"key-{number}": f"value-{number}" for number in range(500)}

    assert any_client.mset(pairs) is True
    assert any_client.mget(*pairs, "absent") == [*pairs.values(), None]
    assert any_client.exists(*pairs, "absent") == 500
    assert any_client.touch(*pairs) == 500
    assert sorted(any_client.scan_iter(count=50)) == sorted(pairs)
    assert any_client.dbsize() == 500
    assert any_client.delete(*list(pairs)[:250], "absent") == 250
    assert any_client.unlink(*list(pairs)[200:]) == 250
    assert any_client.dbsize() == 0


def test_what_is_no_string_has_no_value(any_client: redis.Redis):
    any_client.rpush("list", 1)
    any_client.mset({"a": 1, "b": 2, "{a}c": 3})

    assert any_client.mget("a", "list", "b") == ["1", None, "2"]
    assert any_client.mget("a", "list", "{a}c") == ["1", None, "3"]


def test_a_pipeline_is_answered_in_order(any_client: redis.Redis):
    pipeline = any_client.pipeline(transaction=False)
    for number in range(2000):
        pipeline.set(f"key-{number}", number)
        pipeline.get(f"key-{number}")
        pipeline.mget(f"key-{number}", f"key-{number - 1}", "absent")
        pipeline.ping()

    answers = pipeline.execute()

    assert len(answers) == 8000
    for number in range(2000):
        before = str(number - 1) if number else None
        assert answers[4 * number : 4 * number + 4] == [True, str(number), [str(number), before, None], True]


def test_a_refusal_in_a_pipeline_is_that_commands_own(any_client: redis.Redis):
    any_client.rpush("list", 1)
    pipeline = any_client.pipeline(transaction=False)
    pipeline.set("a", 1).incr("list").get("a")

    first, refused, last = pipeline.execute(raise_on_error=False)

    assert (first, last) == (True, "1")
    assert isinstance(refused, ResponseError)
    assert "WRONGTYPE" in str(refused)


def test_a_transaction_is_whole(any_client: redis.Redis):
    pipeline = any_client.pipeline()
    pipeline.set("{one}a", 1).incr("{one}a").rpush("{one}list", "x", "y").lrange("{one}list", 0, -1)

    assert pipeline.execute() == [True, 2, 2, ["x", "y"]]


def test_a_transaction_whose_key_was_changed_is_not_carried_out(proxied: Proxied, client: redis.Redis):
    client.set("{one}watched", 1)
    with client.pipeline() as pipeline, proxied.client() as other:
        pipeline.watch("{one}watched")
        seen = pipeline.get("{one}watched")
        other.set("{one}watched", 5)
        pipeline.multi()
        pipeline.set("{one}copy", seen)
        with pytest.raises(WatchError):
            pipeline.execute()

    assert client.get("{one}copy") is None


def test_watched_counters_lose_no_increment(proxied: Proxied, client: redis.Redis):
    def work() -> None:
        with proxied.client() as own:
            for _ in range(25):
                own.transaction(_increment, "{one}counter")

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work) for _ in range(4)]:
            done.result(60)

    assert client.get("{one}counter") == "100"


def _increment(pipeline: redis.client.Pipeline) -> None:
    value = int(pipeline.get("{one}counter") or 0)
    pipeline.multi()
    pipeline.set("{one}counter", value + 1)


def test_a_pool_is_shared_by_threads(proxied: Proxied):
    with proxied.client(max_connections=20) as client:

        def work(worker: int) -> int:
            for number in range(200):
                key = f"key-{worker}-{number}"
                client.set(key, number)
                assert client.get(key) == str(number)
                client.incr("shared")
            return worker

        with concurrent.futures.ThreadPoolExecutor(10) as pool:
            assert sorted(pool.map(work, range(10))) == list(range(10))
        assert client.get("shared") == "2000"


def test_blocking_pops_wait_for_others(proxied: Proxied, client: redis.Redis):
    def pop(timeout: float) -> object:
        with proxied.client() as own:
            return own.blpop(["{q}one", "{q}two"], timeout)

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(pop, 30) for _ in range(3)]
        for number in range(3):
            client.rpush("{q}two", number)
        assert sorted(done.result(60) for done in waiting) == [("{q}two", str(number)) for number in range(3)]
    assert pop(0.1) is None
    assert client.llen("{q}two") == 0


def test_messages_reach_subscribers(proxied: Proxied, any_client: redis.Redis):
    with any_client.pubsub() as by_name, any_client.pubsub() as by_pattern:
        by_name.subscribe("news")
        by_pattern.psubscribe("n*")
        assert by_name.get_message(timeout=10)["type"] == "subscribe"
        assert by_pattern.get_message(timeout=10)["type"] == "psubscribe"
        with proxied.client() as other:
            for number in range(50):
                other.publish("news", number)
        named = [by_name.get_message(timeout=10) for _ in range(50)]
        matched = [by_pattern.get_message(timeout=10) for _ in range(50)]
        by_name.unsubscribe("news")

        assert [(one["type"], one["channel"], one["data"]) for one in named] == [
            ("message", "news", str(number)) for number in range(50)
        ]
        assert [(one["type"], one["pattern"], one["data"]) for one in matched] == [
            ("pmessage", "n*", str(number)) for number in range(50)
        ]
        assert by_name.get_message(timeout=10)["type"] == "unsubscribe"


def test_a_lock_has_one_holder(proxied: Proxied, client: redis.Redis):
    inside, most = [0], [0]

    def work() -> None:
        with proxied.client() as own:
            for _ in range(10):
                with own.lock("lock", timeout=30, blocking_timeout=30, sleep=0.001):
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    own.incr("entered")
                    inside[0] -= 1

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work) for _ in range(4)]:
            done.result(60)
    assert most == [1]
    assert client.get("entered") == "40"

    lock = client.lock("lock", timeout=30)
    lock.acquire()
    assert lock.extend(10)
    client.delete("lock")
    with pytest.raises(LockNotOwnedError):
        lock.release()


def test_scripts_run_where_their_key_is(any_client: redis.Redis):
    any_client.script_flush()
    script = any_client.register_script(INCREMENT)
    for number in range(60):
        assert script([f"counter-{number}"], [number]) == [number, f"counter-{number}"]
    sha = any_client.script_load(INCREMENT)
    assert any_client.script_exists(sha, "0" * 40) == [True, False]
    assert any_client.evalsha(sha, 1, "counter-7", 3) == [10, "counter-7"]
    assert any_client.eval(INCREMENT, 1, "counter-7", 1) == [11, "counter-7"]
    with pytest.raises(NoScriptError):
        any_client.execute_command("EVALSHA", "0" * 40, 1, "a")


@pytest.mark.parametrize("protocol", [2, 3])
async def test_many_tasks_share_a_pool(proxied: Proxied, protocol: int):
    endpoint = proxied.endpoint
    pool = redis.asyncio.BlockingConnectionPool(
        host=endpoint.host, port=endpoint.port, max_connections=50, protocol=protocol, decode_responses=True
    )
    async with redis.asyncio.Redis.from_pool(pool) as client:

        async def work(worker: int) -> None:
            for number in range(20):
                await client.set(f"key-{worker}", number)
                assert await client.get(f"key-{worker}") == str(number)
                async with client.pipeline(transaction=True) as pipeline:
                    pipeline.incr(f"{{{worker}}}a").incr(f"{{{worker}}}b")
                    assert await pipeline.execute() == [number + 1] * 2

        await asyncio.gather(*(work(worker) for worker in range(200)))
        assert await client.dbsize() == 600


async def test_asyncio_subscribers_and_locks(proxied: Proxied):
    endpoint = proxied.endpoint
    async with redis.asyncio.Redis(host=endpoint.host, port=endpoint.port, decode_responses=True) as client:
        async with client.pubsub() as channel:
            await channel.subscribe("news")
            assert (await channel.get_message(timeout=10))["type"] == "subscribe"
            await client.publish("news", "hello")
            assert (await channel.get_message(timeout=10))["data"] == "hello"
        lock = client.lock("lock", timeout=10)
        assert await lock.acquire()
        assert not await client.lock("lock", timeout=10).acquire(blocking=False)
        await lock.release()
