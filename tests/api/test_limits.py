"""Rate limits in one process or two: what is admitted, what it costs, and what a client is told."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from psycopg import Connection

from app.api.config import ApiSettings
from app.api.limit_rules import Class, Decision, Limit, Limits
from app.api.limits import EMPTIED_SECONDS, SCRIPT, SETTLE_MICROSECONDS, Limiter
from app.api.own_buckets import OwnBuckets
from app.api.redis_link import RedisLink
from tests.support.api import RunningApi
from tests.support.redis_server import Redis

WIDE = Limit(100_000, 100_000)
SLOW = 0.001
"""So few a second that in a test none comes back."""
SINCE = "{pgtick:limits}:since"
KINDS: tuple[Class, ...] = ("read", "write", "bulk", "auth")


def limits(
    *, everybody: Limit = WIDE, client: Limit = WIDE, read: Limit = WIDE, write: Limit = WIDE
) -> Limits:
    """Returns limits, wide where nothing else is said."""
    return Limits(everybody, client, {"read": read, "write": write, "bulk": WIDE, "auth": WIDE})


@asynccontextmanager
async def limiter(
    server: Redis, some: Limits, *, name: str = "one", settled: bool = True
) -> AsyncIterator[Limiter]:
    """A process's part in the limits, on a memory that has begun long ago."""
    link = RedisLink(server.url, password=server.password, timeout_seconds=1.0)
    if settled:
        with server.client() as client:
            client.set(SINCE, "1")
            client.script_load(SCRIPT.text)
    await link.open()
    one = Limiter(some, link, node_id=name)
    await one.open()
    try:
        yield one
    finally:
        await one.close()
        await link.close()


async def until(condition: Callable[[], bool]) -> None:
    """Waits until it holds."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.02)


async def ask(one: Limiter, count: int, *, client: str = "somebody", kind: Class = "read") -> list[Decision]:
    """Asks so often at the same time."""
    return list(await asyncio.gather(*(one.gate(client, kind).decide() for _ in range(count))))


def admitted(decisions: list[Decision]) -> int:
    """Returns how many were admitted."""
    return sum(decision.admitted for decision in decisions)


def scripts_run(server: Redis) -> int:
    """Returns how often the script was called."""
    with server.client() as client:
        return int(client.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0))


async def test_a_burst_and_no_more(redis_server: Redis) -> None:
    narrow = Limit(SLOW, 20)
    async with limiter(redis_server, limits(read=narrow)) as one:
        decisions = await ask(one, 60)
        assert admitted(decisions) == 20
        refused = [decision for decision in decisions if not decision.admitted]
        assert {(decision.level, decision.remaining) for decision in refused} == {("class", 0)}
        assert all(900 < decision.retry_seconds <= 1000 for decision in refused)
        # Each class and each client has its own.
        assert admitted(await ask(one, 5, kind="write")) == 5
        assert admitted(await ask(one, 60, client="another")) == 20


@pytest.mark.parametrize("level", ["global", "client", "class"])
async def test_each_level_refuses(redis_server: Redis, level: str) -> None:
    some = {"global": "everybody", "client": "client", "class": "read"}
    async with limiter(redis_server, limits(**{some[level]: Limit(SLOW, 10)})) as one:
        decisions = await ask(one, 15)
        assert admitted(decisions) == 10
        assert decisions[-1].level == level
        assert (await ask(one, 1, kind="write"))[0].admitted == (level == "class")
        assert (await ask(one, 1, client="another"))[0].admitted == (level != "global")


async def test_what_is_refused_spends_nothing(redis_server: Redis) -> None:
    some = limits(everybody=Limit(SLOW, 30), client=Limit(SLOW, 25), read=Limit(SLOW, 10))
    async with limiter(redis_server, some) as one:
        assert admitted(await ask(one, 100)) == 10
        # The client has 15 of its 25 left, although 90 were refused.
        assert admitted(await ask(one, 100, kind="write")) == 15
        assert admitted(await ask(one, 100, client="another")) == 5


async def test_two_processes_share(redis_server: Redis) -> None:
    some = limits(client=Limit(SLOW, 50))
    async with limiter(redis_server, some) as one, limiter(redis_server, some, name="two") as two:
        answers = await asyncio.gather(*(ask(each, 50) for each in (one, two)))
        assert sum(map(admitted, answers)) == 50
        await until(lambda: one.instances == two.instances == 2)


async def test_many_are_decided_by_few_calls(redis_server: Redis) -> None:
    async with limiter(redis_server, limits()) as one:
        gate = one.gate("somebody", "read")
        before, began = scripts_run(redis_server), time.monotonic()
        for _ in range(2000):
            assert (await gate.decide()).admitted
            await asyncio.sleep(0)
        leases = (time.monotonic() - began) / 0.04
        assert scripts_run(redis_server) - before < 200 + 2 * leases
        # Those that come at once are one call, whoever they are.
        before = scripts_run(redis_server)
        several = await asyncio.gather(*(ask(one, 3, client=f"client {number}") for number in range(20)))
        assert sum(map(admitted, several)) == 60
        assert scripts_run(redis_server) - before < 10


async def test_who_comes_seldom_is_charged_for_no_more(redis_server: Redis) -> None:
    async with limiter(redis_server, limits(client=Limit(SLOW, 40))) as one:
        for _ in range(10):
            assert admitted(await ask(one, 1)) == 1
            await asyncio.sleep(0.05)
        # Beyond what was used only the reserve is gone: a fifth of the burst at most.
        assert 40 - 10 - 8 <= admitted(await ask(one, 100)) <= 30


async def test_a_refusal_is_known_for_as_long_as_it_holds(redis_server: Redis) -> None:
    async with limiter(redis_server, limits(client=Limit(SLOW, 5))) as one:
        await ask(one, 10)
        before = scripts_run(redis_server)
        assert admitted(await ask(one, 500)) == 0
        assert scripts_run(redis_server) - before <= 2  # the beat


async def test_a_memory_that_just_began_gives_no_burst(redis_server: Redis) -> None:
    async with limiter(redis_server, limits(client=Limit(20, 100)), settled=False) as one:
        began = time.monotonic()
        count = 0
        while time.monotonic() - began < SETTLE_MICROSECONDS / 1e6 + EMPTIED_SECONDS:
            count += admitted(await ask(one, 10))
            assert count <= 20 * (time.monotonic() - began) + 1
            await asyncio.sleep(0.02)
        assert count > 0


async def test_who_is_within_his_limits_notices_nothing(redis_server: Redis) -> None:
    async with limiter(redis_server, limits(client=Limit(1000, 1000))) as one:
        decisions: list[Decision] = []

        async def keep_asking() -> None:
            while True:
                decisions.extend(await ask(one, 1))
                await asyncio.sleep(0.02)

        asking = [asyncio.create_task(keep_asking()) for _ in range(2)]
        await asyncio.sleep(0.5)
        redis_server.kill()
        await asyncio.sleep(0.5)
        assert one.shared_at == math.inf
        redis_server.restart()
        await until(lambda: one.shared_at <= time.monotonic())
        await asyncio.sleep(0.5)
        for task in asking:
            task.cancel()
        assert len(decisions) > 50
        assert all(decision.admitted for decision in decisions)


async def test_the_reserve_is_filled_again_without_a_request(redis_server: Redis) -> None:
    async with limiter(redis_server, limits()) as one:
        await ask(one, 20)
        gate = one.gate("somebody", "read")
        await until(lambda: gate.reserve_missing == 0)
        redis_server.freeze()
        try:
            decision = None
            async with asyncio.timeout(20):
                while one.shared_at < math.inf:  # what was taken ahead comes first
                    await ask(one, 1)
                while decision is None:
                    decision = gate.decide_now()
            assert gate.reserve_missing > 0
        finally:
            redis_server.thaw()
        await until(lambda: gate.reserve_missing == 0)


async def test_a_server_that_forgot_the_script_has_begun_anew(redis_server: Redis) -> None:
    async with limiter(redis_server, limits()) as one:
        assert admitted(await ask(one, 1)) == 1
        with redis_server.client() as client:
            client.script_flush()
            await until(lambda: client.get(SINCE) != "1")


async def test_who_is_held_is_let_go_on_when_the_memory_settles(redis_server: Redis) -> None:
    """What is to be waited for has come: who still waits for it would take the whole loop for himself."""
    async with limiter(redis_server, limits()) as one:
        now = time.monotonic()
        one._go_alone(now, hold_seconds=60)
        one.shared_at = now + 60  # the script says that others have admitted alone
        one._released.set()  # by the beat
        (decision,) = await ask(one, 1)
        assert decision.admitted
        assert time.monotonic() < now + 30


async def test_without_redis(redis_server: Redis) -> None:
    one = Limiter(limits(client=Limit(SLOW, 40)), None, node_id="one", processes=4)
    await one.open()
    before = count_decisions("local_allowed"), count_decisions("local_refused")
    assert admitted(await ask(one, 30)) == 10
    await one.close()
    assert count_decisions("local_allowed") - before[0] == 10
    assert count_decisions("local_refused") - before[1] == 20


def count_decisions(decision: str) -> float:
    """Returns what the metric says, over all levels."""
    labels = ({"level": level, "decision": decision} for level in ("global", "client", "class"))
    return sum(REGISTRY.get_sample_value("rate_limit_decisions_total", each) or 0 for each in labels)


@given(
    rate=st.floats(0.1, 5000),
    burst=st.integers(1, 500),
    instances=st.integers(1, 20),
    steps=st.lists(st.tuples(st.floats(0, 2), st.integers(1, 50)), max_size=30),
)
def test_own_buckets_keep_to_their_share(
    rate: float, burst: int, instances: int, steps: list[tuple[float, int]]
) -> None:
    own = OwnBuckets()
    own.empty_at = now = 1000.0
    limit, promised = Limit(rate, burst), []
    for seconds, count in steps:
        now += seconds
        for _ in range(count):
            promise = own.reserve(((),), (limit,), now=now, share=1 / instances, latest=now + 0.2)
            if not promise.reserved:
                assert promise.at > now + 0.2
                break
            assert now <= promise.at <= now + 0.2
            promised.append(promise.at)
    for count, at in enumerate(promised, start=1):
        assert count <= rate / instances * (at - 1000.0) + 1e-6


NARROW = Limits(WIDE, Limit(SLOW, 6), {kind: Limit(SLOW, 4) for kind in KINDS})


@pytest.fixture
def narrow_api(api_settings: ApiSettings, keys: dict[str, str]) -> Iterator[RunningApi]:
    """The API with narrow limits and no Redis."""
    settings = msgspec.structs.replace(api_settings, limits=NARROW)
    with RunningApi(settings, keys=keys) as running:
        yield running


def test_what_a_client_is_told(narrow_api: RunningApi) -> None:
    client = narrow_api.client("read")
    answers = [client.get("/v1/queues") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 2
    policy = '"global";q=100000;w=1, "client";q=6;w=6000, "read";q=4;w=4000'
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {policy}
    told = [answer.headers["RateLimit"] for answer in answers]
    assert [state.rpartition(";")[0] for state in told] == [f'"read";r={n}' for n in (3, 2, 1, 0, 0, 0)]
    problem = answers[-1].json()
    assert answers[-1].headers["Content-Type"] == "application/problem+json"
    assert (problem["type"], problem["status"]) == ("/problems/too-many-requests", 429)
    assert "'read'" in problem["detail"]
    seconds = int(answers[-1].headers["Retry-After"])
    assert 990 <= seconds <= 1000
    assert f"{seconds} s" in problem["hint"]
    assert "Retry-After" not in answers[0].headers
    # Another class still has its own; together they meet the limit of the client.
    posts = [narrow_api.client("read").post("/v1/schedules/preview", json={}) for _ in range(3)]
    assert [post.status_code == 429 for post in posts] == [False, False, True]
    assert posts[-1].headers["RateLimit"].startswith('"client";r=0')
    # Another key is another client.
    assert narrow_api.client("admin").get("/v1/queues").status_code == 200


def test_what_is_exempt(narrow_api: RunningApi) -> None:
    client = narrow_api.client(None)
    for path in ("/health/live", "/metrics"):
        for _ in range(8):
            answer = client.get(path)
            assert answer.status_code == 200
            assert "RateLimit" not in answer.headers


def test_guessing_keys_is_limited_by_address(narrow_api: RunningApi, db: Connection) -> None:
    def guess(number: int) -> httpx.Response:
        with httpx.Client(base_url=narrow_api.url) as client:
            return client.get("/v1/queues", headers={"Authorization": f"Bearer pgt_guess{number}"})

    codes = [guess(number).status_code for number in range(6)]
    assert codes == [401] * 4 + [429] * 2
