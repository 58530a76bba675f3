"""The cache: one load for many, none that is too old, whoever goes away, fails or is late."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from app.api.cache import Answer, Cache, Entry, Flight
from app.api.floors import MAX_TAGS, Floors, included
from app.api.redis_link import RedisLink
from tests.support.redis_server import Redis

TTL_SECONDS = 2.0
PATIENCE_SECONDS = 20.0


async def until(condition: Callable[[], bool]) -> None:
    """Waits until it holds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.001)


class Source:
    """What is loaded: a text and the LSN of its last change, which a load sees before it reads."""

    def __init__(self) -> None:
        self.text = "first"
        self.lsn = 800
        self.loads = 0
        self.gates: list[asyncio.Event] = []
        """One for each load that waits between its look at the LSN and its read."""
        self.gated = False
        self.error: Exception | None = None
        self.life_seconds = TTL_SECONDS

    def change(self, text: str) -> int:
        """Changes the text and returns the LSN that includes the change."""
        self.text = text
        self.lsn += 8
        return self.lsn

    async def load(self, _: Flight) -> Answer | None:
        """Loads it."""
        self.loads += 1
        seen = self.lsn
        if self.gated:
            gate = asyncio.Event()
            self.gates.append(gate)
            await gate.wait()
        if self.error is not None:
            raise self.error
        return Answer(self.text.encode(), [], b"", "/", included(seen), self.life_seconds)


async def get(cache: Cache, source: Source, floor: int = 0, *, fresh: bool = False) -> str:
    """Asks as the layer does."""
    entry = None if fresh else cache.find("key", floor, cache.clock())
    if entry is None:
        entry = await cache.fetch("key", floor, source.load, ttl_seconds=TTL_SECONDS, fresh=fresh)
    assert entry is not None
    return entry.answer.body.decode()


def kept(cache: Cache) -> Entry | None:
    """Returns what is kept in the process."""
    return cache.find("key", 0, cache.clock())


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        """Returns what it shows."""
        return self.now


async def test_many_misses_are_one_load() -> None:
    cache, source = Cache(), Source()
    source.gated = True
    asked = [asyncio.create_task(get(cache, source)) for _ in range(200)]
    await until(lambda: bool(source.gates))
    source.gates[0].set()
    assert await asyncio.gather(*asked) == ["first"] * 200
    assert await get(cache, source) == "first"
    assert source.loads == 1


async def test_a_load_that_a_change_overtook_is_no_hit() -> None:
    """It had seen the old state; when it ends, the change is known already."""
    cache, source = Cache(), Source()
    source.gated = True
    stale = asyncio.create_task(cache.fetch("key", 0, stale_load(source), ttl_seconds=TTL_SECONDS))
    await until(lambda: bool(source.gates))
    cache.floors.raise_floor("tag", source.change("second"))
    source.gates[0].set()
    entry = await stale
    assert entry is not None
    assert entry.answer.body == b"first"
    source.gated = False
    source.change("something else, in another place")
    source.text = "second"
    assert await get(cache, source, cache.floors.floor_of(["tag"])) == "second"
    assert source.loads == 2


def stale_load(source: Source) -> Callable[[Flight], asyncio.Future[Answer | None]]:
    """Returns a load that has read before it waits."""

    async def load(flight: Flight) -> Answer | None:
        text = source.text
        answer = await source.load(flight)
        assert answer is not None
        return msgspec.structs.replace(answer, body=text.encode())

    return lambda flight: asyncio.ensure_future(load(flight))


async def test_who_asks_for_more_does_not_wait_for_less() -> None:
    """A load that began below a floor is no answer to those at the floor, who share one of their own."""
    cache, source = Cache(), Source()
    source.gated = True
    low = asyncio.create_task(get(cache, source))
    await until(lambda: len(source.gates) == 1)
    floor = source.change("second")
    high = [asyncio.create_task(get(cache, source, floor)) for _ in range(20)]
    await until(lambda: len(source.gates) == 2)
    source.gates[1].set()
    assert await asyncio.gather(*high) == ["second"] * 20
    assert not low.done()
    source.gates[0].set()
    await low
    assert source.loads == 2


async def test_an_older_load_does_not_push_out_a_newer_one() -> None:
    cache, source = Cache(), Source()
    source.gated = True
    old = asyncio.create_task(get(cache, source))
    await until(lambda: len(source.gates) == 1)
    floor = source.change("second")
    new = asyncio.create_task(get(cache, source, floor))
    await until(lambda: len(source.gates) == 2)
    source.gates[1].set()
    await new
    source.gates[0].set()
    await old
    entry = kept(cache)
    assert entry is not None
    assert entry.answer.lsn == included(floor)


async def test_a_leader_who_goes_away_fails_nobody() -> None:
    """Another leads, and the rest waits for him."""
    cache, source = Cache(), Source()
    source.gated = True
    leader = asyncio.create_task(get(cache, source))
    await until(lambda: len(source.gates) == 1)
    followers = [asyncio.create_task(get(cache, source)) for _ in range(20)]
    await asyncio.sleep(0)
    leader.cancel()
    await until(lambda: len(source.gates) == 2)
    source.gates[1].set()
    assert await asyncio.gather(*followers) == ["first"] * 20
    assert leader.cancelled()
    assert source.loads == 2


async def test_an_error_is_its_own_only() -> None:
    """Who waited for a load that failed loads once more."""
    cache, source = Cache(), Source()
    source.gated = True
    source.error = ConnectionError("the leader's")
    leader = asyncio.create_task(get(cache, source))
    await until(lambda: len(source.gates) == 1)
    followers = [asyncio.create_task(get(cache, source)) for _ in range(5)]
    await asyncio.sleep(0)
    source.gates[0].set()
    await until(lambda: len(source.gates) == 6)
    source.error = None
    for gate in source.gates:
        gate.set()
    assert await asyncio.gather(*followers) == ["first"] * 5
    with pytest.raises(ConnectionError, match="the leader's"):
        await leader
    assert source.loads == 6


async def test_nothing_to_share_holds_up_nobody() -> None:
    """A load that says early that it brings nothing lets those who wait go at once."""
    cache, source = Cache(), Source()
    gate = asyncio.Event()

    async def stream(flight: Flight) -> None:
        flight.give_up()
        await gate.wait()

    leader = asyncio.create_task(cache.fetch("key", 0, stream, ttl_seconds=TTL_SECONDS))
    await asyncio.sleep(0)
    assert await get(cache, source) == "first"
    assert not leader.done()
    gate.set()
    assert await leader is None


async def test_a_fresh_answer_is_read_anew_and_kept() -> None:
    cache, source = Cache(), Source()
    assert await get(cache, source) == "first"
    source.change("second")
    assert await get(cache, source) == "first"
    assert await get(cache, source, fresh=True) == "second"
    assert await get(cache, source) == "second"


async def test_an_answer_is_not_older_than_its_life() -> None:
    clock, source = Clock(), Source()
    cache = Cache(clock=clock, chance=lambda: 0.0)
    await get(cache, source)
    clock.now += TTL_SECONDS - 0.001
    await get(cache, source)
    assert source.loads == 1
    clock.now += 0.001
    await get(cache, source)
    assert source.loads == 2


async def test_a_life_is_never_longer_and_rarely_the_same() -> None:
    clock, source = Clock(), Source()
    cache = Cache(clock=clock)
    ends = set()
    for _ in range(20):
        await get(cache, source, fresh=True)
        entry = kept(cache)
        assert entry is not None
        assert clock.now + 0.9 * TTL_SECONDS <= entry.hard_at <= clock.now + TTL_SECONDS
        assert entry.soft_at < entry.hard_at
        ends.add(entry.hard_at)
    assert len(ends) == 20


async def test_a_load_that_lasts_longer_than_the_ttl_is_not_waited_for() -> None:
    """It may have read at its very beginning."""
    clock, source = Clock(), Source()
    cache = Cache(clock=clock)
    source.gated = True
    first = asyncio.create_task(get(cache, source))
    await until(lambda: len(source.gates) == 1)
    clock.now += TTL_SECONDS
    second = asyncio.create_task(get(cache, source))
    await until(lambda: len(source.gates) == 2)
    for gate in source.gates:
        gate.set()
    await asyncio.gather(first, second)


async def test_near_its_end_one_hit_has_it_renewed() -> None:
    """All are answered at once by what is there; when the load fails, a later hit tries again."""
    clock, source = Clock(), Source()
    cache = Cache(clock=clock, chance=lambda: 1.0)
    await get(cache, source)
    source.gated = True
    source.change("second")
    for number, error in enumerate((ConnectionError("away"), None), start=1):
        entry = kept(cache)
        assert entry is not None
        clock.now = entry.soft_at
        source.error = error
        for _ in range(20):
            assert await get(cache, source) == "first"
            if clock() >= entry.soft_at:
                cache.refresh("key", entry, 0, source.load)
        await until(lambda: len(source.gates) == number)  # noqa: B023 - ends within the turn
        assert source.loads == 1 + number
        source.gates[-1].set()
        await until(lambda: not cache.busy)
    assert await get(cache, source) == "second"
    await cache.close()


async def test_what_is_being_loaded_is_not_renewed_as_well() -> None:
    cache, source = Cache(), Source()
    await get(cache, source)
    entry = kept(cache)
    assert entry is not None
    source.gated = True
    loading = asyncio.create_task(get(cache, source, fresh=True))
    await until(lambda: len(source.gates) == 1)
    cache.refresh("key", entry, 0, source.load)
    assert not cache.busy
    source.gates[0].set()
    await loading
    assert source.loads == 2


async def test_it_stays_within_its_bounds() -> None:
    cache, source = Cache(max_entries=10, max_bytes=100_000), Source()
    for number in range(30):
        await cache.fetch(f"small {number}", 0, source.load, ttl_seconds=TTL_SECONDS)
        assert cache.find("small 0", 0, cache.clock()) is not None, "what is used stays"
    assert cache.size[0] == 10
    source.text = "x" * 9_000
    for number in range(30):
        await cache.fetch(f"large {number}", 0, source.load, ttl_seconds=TTL_SECONDS)
    entries, size = cache.size
    assert entries == 9
    assert size <= 100_000
    source.text = "x" * 50_000
    await cache.fetch("too large", 0, source.load, ttl_seconds=TTL_SECONDS)
    assert cache.find("too large", 0, cache.clock()) is None
    assert cache.size[0] == 9


def test_floors_only_rise() -> None:
    floors = Floors()
    floors.raise_floor("a", 80)
    floors.raise_floor("a", 40)
    assert [floors.floor_of(tags) for tags in (["a"], ["b"], ["a", "b"], [])] == [80, 0, 80, 0]
    floors.raise_all(64)
    assert [floors.floor_of(tags) for tags in (["a"], ["b"], [])] == [80, 64, 0]
    floors.raise_floor("b", 56)
    assert floors.floor_of(["b"]) == 64


def test_many_floors_become_one() -> None:
    """Memory is bounded, and no tag sinks."""
    floors = Floors()
    for number in range(1, MAX_TAGS + 2):
        floors.raise_floor(f"job:{number}", 8 * number)
    assert floors.floor_of(["another"]) == 8 * (MAX_TAGS + 1)
    floors.raise_floor("job:1", 8 * (MAX_TAGS + 2))
    assert floors.floor_of(["job:1"]) == 8 * (MAX_TAGS + 2)
    assert floors.floor_of(["another"]) == 8 * (MAX_TAGS + 1)


async def test_another_history_begins_empty() -> None:
    """After a failover the LSN may be lower than what was kept, which then looked newer than any change."""
    cache, source = Cache(), Source()
    cache.begin("database.1", source.lsn)
    source.change("second")
    source.change("third")
    await get(cache, source)
    cache.floors.raise_all(source.lsn)
    source.lsn, source.text = 808, "after the failover"
    cache.begin("database.2", 808)
    assert cache.floors.floor_of(["tag"]) == 808
    assert await get(cache, source, 808) == "after the failover"


async def test_a_missed_change_is_made_up_for() -> None:
    """Whoever has not listened for a while takes nothing from before, however young."""
    cache, source = Cache(), Source()
    cache.begin("database.1", source.lsn)
    source.change("second")
    await get(cache, source)
    cache.begin("database.1", source.change("third"))
    assert await get(cache, source, cache.floors.floor_of(["tag"])) == "third"


# With a real Redis between two processes.


@asynccontextmanager
async def two_caches(
    redis: Redis, *, timeout_seconds: float = 2.0
) -> AsyncIterator[tuple[Cache, Cache, RedisLink]]:
    """Two processes' caches; the link is the first one's."""
    links = [RedisLink(redis.url, password=redis.password, timeout_seconds=timeout_seconds) for _ in range(2)]
    caches = [Cache(link) for link in links]
    for link, cache in zip(links, caches, strict=True):
        await link.open()
        cache.begin("database.1", 8)
    yield caches[0], caches[1], links[0]
    for link, cache in zip(links, caches, strict=True):
        await cache.close()
        await link.close()


async def test_processes_share_what_they_load(redis_server: Redis) -> None:
    async with two_caches(redis_server) as (one, other, _):
        source = Source()
        source.life_seconds = 60.0
        assert await get(one, source) == "first"
        await until(lambda: not one.busy)
        assert await get(other, source) == "first"
        assert source.loads == 1


async def test_each_process_has_its_own_floors(redis_server: Redis) -> None:
    """What another put into Redis before a change is no hit for who has heard of the change."""
    async with two_caches(redis_server) as (one, other, _):
        source = Source()
        source.life_seconds = 60.0
        await get(one, source)
        await until(lambda: not one.busy)
        other.floors.raise_floor("tag", source.change("second"))
        source.change("something else")
        source.text = "second"
        assert await get(other, source, other.floors.floor_of(["tag"])) == "second"
        await until(lambda: not other.busy)
        assert await get(one, source) == "first", "which has not heard of it"
        one.floors.raise_floor("tag", other.floors.floor_of(["tag"]))
        assert await get(one, source, one.floors.floor_of(["tag"])) == "second"
        assert source.loads == 2


async def test_a_process_that_starts_takes_nothing_from_before(redis_server: Redis) -> None:
    async with two_caches(redis_server) as (one, other, _):
        source = Source()
        source.life_seconds = 60.0
        await get(one, source)
        await until(lambda: not one.busy)
        other.begin("database.1", source.change("second"))
        assert await get(other, source, other.floors.floor_of(["tag"])) == "second"


async def test_databases_do_not_meet(redis_server: Redis) -> None:
    async with two_caches(redis_server) as (one, other, _):
        source = Source()
        source.life_seconds = 60.0
        other.begin("another", 8)
        await get(one, source)
        await until(lambda: not one.busy)
        await get(other, source)
        assert source.loads == 2


async def test_redis_drops_it_after_half_of_its_life(redis_server: Redis) -> None:
    async with two_caches(redis_server) as (one, _, _):
        source = Source()
        source.life_seconds = 60.0
        await get(one, source)
        await until(lambda: not one.busy)
        entry = kept(one)
        assert entry is not None
        with redis_server.client() as client:
            (key,) = client.keys("pgtick:cache:database.1:*")
            left = client.pttl(key) / 1000
        assert 0 < left <= entry.answer.life_seconds / 2 - (one.clock() - entry.read_at) + 0.1


class Late:
    """A Redis that answers after a while, by the clock of the test."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.value: bytes | None = None
        self.ttl_ms = 0
        self.seconds = 0.0

    async def get(self, _: str) -> bytes | None:
        """Returns what was set last."""
        self.clock.now += self.seconds
        return self.value

    async def set(self, _: str, value: bytes, *, ttl_ms: int) -> bool:
        """Keeps one value, for ever."""
        self.value, self.ttl_ms = value, ttl_ms
        return True


@pytest.mark.parametrize("skew", [0.0, 0.05, -0.05])
async def test_a_copy_lives_for_the_other_half(skew: float) -> None:
    """Counted from before Redis was asked: it may have had the answer's last moment."""
    clock, source = Clock(), Source()
    redis = Late(clock)
    one = Cache(redis, clock=clock, wall_clock=clock, chance=lambda: 0.0)
    other = Cache(redis, clock=clock, wall_clock=lambda: clock.now + skew, chance=lambda: 0.0)
    one.begin("database.1", 8)
    other.begin("database.1", 8)
    began = clock.now
    await get(one, source)
    await until(lambda: not one.busy)
    assert redis.ttl_ms == TTL_SECONDS / 2 * 1000
    clock.now = began + TTL_SECONDS / 2 - 0.12
    redis.seconds = 0.05
    await get(other, source)
    assert source.loads == 1
    entry = kept(other)
    assert entry is not None
    assert entry.hard_at == pytest.approx(began + TTL_SECONDS - 0.12)
    assert entry.read_at == pytest.approx(began, abs=0.11)


@pytest.mark.parametrize("seconds", [TTL_SECONDS / 2 + 0.001, 60.0, -0.2])
async def test_what_came_to_redis_late_is_not_taken(seconds: float) -> None:
    """A Redis that was frozen takes a SET long after it was sent, and lets its time begin then.

    Nor is what seems to come from the future: the clocks are too far apart to tell.
    """
    clock, source = Clock(), Source()
    redis = Late(clock)
    one = Cache(redis, clock=clock, wall_clock=clock)
    other = Cache(redis, clock=clock, wall_clock=clock)
    one.begin("database.1", 8)
    other.begin("database.1", 8)
    await get(one, source)
    await until(lambda: not one.busy)
    clock.now += seconds
    await get(other, source)
    assert source.loads == 2


async def test_a_slow_load_leaves_redis_less(redis_server: Redis) -> None:
    """The life of an answer begins before its load; what has less than nothing left is not sent."""
    clock, source = Clock(), Source()
    redis = Late(clock)
    cache = Cache(redis, clock=clock, wall_clock=clock, chance=lambda: 0.0)
    cache.begin("database.1", 8)
    source.gated = True
    for seconds, ttl_ms in ((0.4, 600), (1.2, 0)):
        redis.ttl_ms = 0
        loading = asyncio.create_task(get(cache, source, fresh=True))
        await until(lambda: bool(source.gates))
        clock.now += seconds
        source.gates.pop().set()
        await loading
        await until(lambda: not cache.busy)
        assert redis.ttl_ms == pytest.approx(ttl_ms, abs=1)


@pytest.mark.parametrize("value", [b"", b"\xc1", b"\x93\x01\x02\x03", b"garbage" * 100])
async def test_what_is_no_answer_is_a_miss(redis_server: Redis, value: bytes) -> None:
    async with two_caches(redis_server) as (one, other, link):
        source = Source()
        source.life_seconds = 60.0
        await get(one, source)
        await until(lambda: not one.busy)
        with redis_server.client() as client:
            (key,) = client.keys("pgtick:cache:database.1:*")
        await link.set(key, value, ttl_ms=60_000)
        assert await get(other, source) == "first"
        assert source.loads == 2


async def test_redis_in_trouble(tmp_path: Path) -> None:
    """Killed, frozen, forgetful: the answers are right, and wait for it no longer than the link does."""
    with Redis(tmp_path) as redis:
        async with two_caches(redis, timeout_seconds=0.05) as (one, other, link):
            source = Source()
            for trouble in (redis.flush_all, redis.freeze, redis.thaw, redis.kill, redis.restart):
                trouble()
                for number in range(20):
                    text = f"{trouble.__name__} {number}"
                    floor = source.change(text)
                    source.lsn += 8
                    began = time.perf_counter()
                    assert await get(one, source, floor) == text
                    assert await get(other, source, floor) == text
                    assert time.perf_counter() - began < 1.0, "the timeouts, on a busy machine"
            await until(lambda: link.up)
            await until(lambda: not one.busy and not other.busy)
            source.life_seconds = 60.0
            for _ in range(20):  # on a busy machine an answer may again take longer than the link waits
                loads = source.loads
                await get(one, source, fresh=True)
                await until(lambda: not one.busy)
                other.begin("database.1", 8)
                await get(other, source)
                if source.loads == loads + 1:
                    break
                await until(lambda: link.up)
            assert source.loads == loads + 1, "it shares again"


async def test_sets_do_not_pile_up() -> None:
    """A Redis that takes nothing costs a bounded number of tasks."""
    source = Source()
    never = asyncio.Event()

    class Stuck(Late):
        async def set(self, _: str, value: bytes, *, ttl_ms: int) -> bool:
            await never.wait()
            return bool(value and ttl_ms)

    cache = Cache(Stuck(Clock()))
    cache.begin("database.1", 8)
    for number in range(200):
        await cache.fetch(f"{number}", 0, source.load, ttl_seconds=TTL_SECONDS)
    assert cache.busy == 64
    await cache.close()
