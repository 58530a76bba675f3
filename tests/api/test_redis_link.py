"""The way to Redis: quick whatever becomes of the server, and back when it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.api.redis_client import Address, parse_url
from app.api.redis_link import FAILURES, RedisLink, Script
from app.settings import SettingsError
from tests.support.certificates import Certificates
from tests.support.program import free_port, wait_until
from tests.support.redis_server import Redis, RedisCluster

ADD = Script.of("return redis.call('incrby', KEYS[1], ARGV[1])")
PATIENCE_SECONDS = 20.0


async def until(condition: Callable[[], bool]) -> None:
    """Waits until it holds."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.005)


@asynccontextmanager
async def linked(
    url: str, *, password: str | None = None, timeout_seconds: float = 2.0
) -> AsyncIterator[RedisLink]:
    """Opens a link; its timeout is long, because this machine may be busy."""
    link = RedisLink(url, password=password, timeout_seconds=timeout_seconds)
    await link.open()
    try:
        yield link
    finally:
        await link.close()


async def check_calls(link: RedisLink) -> None:
    """Uses every call once."""
    assert link.status == "up"
    assert link.latency_ms is not None
    assert await link.get("nothing") is None
    assert await link.set("some", b"\x00\xff", ttl_ms=60_000)
    assert await link.get("some") == b"\x00\xff"
    key = f"count:{time.monotonic_ns()}"
    assert await link.run_script(ADD, [key], [2]) == 2
    assert await link.run_script(ADD, [key], [3]) == 5


async def test_a_server(redis_server: Redis) -> None:
    async with linked(redis_server.url, password=redis_server.password) as link:
        await check_calls(link)


@pytest.mark.parametrize("password", [None, "a:b/c@d%"])
async def test_with_and_without_a_password(tmp_path: Path, password: str | None) -> None:
    with Redis(tmp_path, password=password) as server:
        async with linked(server.url, password=password) as link:
            await check_calls(link)
        if password is not None:
            url = server.url.replace("//", "//:a%3Ab%2Fc%40d%25@")
            async with linked(url) as link:
                await check_calls(link)
            async with linked(server.url, password="wrong") as link:
                assert link.status == "down"
                assert await link.get("some") is None


async def test_over_tls(tmp_path: Path) -> None:
    with Redis(tmp_path, certificates=Certificates.make(tmp_path)) as server:
        async with linked(server.url) as link:
            await check_calls(link)
        async with linked(server.url.partition("?")[0]) as link:  # an authority that nobody here knows
            assert link.status == "down"


async def test_a_cluster_over_tls(tmp_path: Path) -> None:
    settings = {"cluster-enabled": "yes", "cluster-port": str(free_port()), "tls-cluster": "yes"}
    with Redis(tmp_path, certificates=Certificates.make(tmp_path), settings=settings) as server:
        with server.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
            wait_until(lambda: "cluster_state:ok" in client.execute_command("CLUSTER", "INFO"), "a cluster")
        async with linked(server.url.replace("rediss", "rediss+cluster")) as link:
            await check_calls(link)


async def test_a_cluster(redis_cluster: RedisCluster) -> None:
    async with linked(redis_cluster.url, password=redis_cluster.password) as link:
        await check_calls(link)
        keys = [f"key:{number}" for number in range(50)]  # on all nodes
        assert all([await link.set(key, key.encode(), ttl_ms=60_000) for key in keys])
        assert [await link.get(key) for key in keys] == [key.encode() for key in keys]


async def test_a_cluster_named_by_nodes_some_of_which_are_gone(redis_cluster: RedisCluster) -> None:
    ports = [free_port(), *(node.port for node in redis_cluster.nodes)]
    url = f"redis+cluster://{','.join(f'127.0.0.1:{port}' for port in ports)}"
    async with linked(url, password=redis_cluster.password) as link:
        await check_calls(link)


async def test_a_server_that_is_a_cluster_and_a_cluster_that_is_a_server(
    redis_server: Redis, redis_cluster: RedisCluster
) -> None:
    url = redis_cluster.url.replace("+cluster", "")
    async with linked(url, password=redis_cluster.password) as link:
        await check_calls(link)
    url = redis_server.url.replace("redis://", "redis+cluster://")
    async with linked(url, password=redis_server.password) as link:
        await check_calls(link)


async def test_killed_and_back(redis_server: Redis) -> None:
    async with linked(redis_server.url, password=redis_server.password) as link:
        await check_calls(link)
        redis_server.kill()
        while link.up:
            assert await link.get("some") is None
        assert link.latency_ms is None
        assert link.times_down == 1
        assert await link.run_script(ADD, ["some"], [1]) is None
        assert not await link.set("some", b"", ttl_ms=1)
        redis_server.restart()
        back_at = time.monotonic()
        await until(lambda: link.up)
        assert time.monotonic() - back_at < 5
        await check_calls(link)


async def test_dead_at_the_start(redis_server: Redis) -> None:
    redis_server.kill()
    async with linked(redis_server.url, password=redis_server.password) as link:
        assert link.status == "down"
        assert link.error
        assert await link.get("some") is None
        redis_server.restart()
        await until(lambda: link.up)
        await check_calls(link)


async def test_frozen(redis_server: Redis) -> None:
    async with linked(redis_server.url, password=redis_server.password, timeout_seconds=0.05) as link:
        await link.set("some", b"value", ttl_ms=600_000)
        redis_server.freeze()
        seconds: list[float] = []

        async def ask() -> None:
            began = time.perf_counter()
            assert await link.get("some") is None
            seconds.append(time.perf_counter() - began)

        for _ in range(FAILURES):  # whether they fail one by one or all at once
            await asyncio.gather(ask(), ask())
        assert not link.up
        assert max(seconds) < 1
        assert sum(took > 0.045 for took in seconds) <= FAILURES + 1
        # From now on they do not even wait for the loop.
        seconds.clear()
        for _ in range(1000):
            await ask()
        assert sorted(seconds)[990] < 0.001
        # A probe that the kernel took the connection of has not come through.
        await asyncio.sleep(0.6)
        assert not link.up
        redis_server.thaw()
        await until(lambda: link.up)
        assert await link.get("some") == b"value"


async def test_frozen_is_noticed_without_a_request(redis_server: Redis) -> None:
    async with linked(redis_server.url, password=redis_server.password) as link:
        redis_server.freeze()
        await until(lambda: not link.up)
        redis_server.thaw()
        await until(lambda: link.up)


async def test_a_node_of_a_cluster_frozen(redis_cluster: RedisCluster) -> None:
    async with linked(redis_cluster.url, password=redis_cluster.password, timeout_seconds=0.05) as link:
        node = redis_cluster.nodes[1]
        node.freeze()
        try:
            await until(lambda: not link.up)
        finally:
            node.thaw()
        redis_cluster.wait_until_whole()
        await until(lambda: link.up)
        assert await link.set("some", b"value", ttl_ms=60_000)


async def test_a_server_that_takes_no_writes_is_down(redis_server: Redis) -> None:
    async with linked(redis_server.url, password=redis_server.password) as link:
        with redis_server.client() as client:
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", "1")
            while link.up:
                assert not await link.set("some", b"value", ttl_ms=60_000)
            await asyncio.sleep(0.6)  # probes fail, because they write too
            assert not link.up
            client.config_set("maxmemory", "0")
        await until(lambda: link.up)
        await check_calls(link)


async def test_a_script_is_sent_again_where_it_was_forgotten(redis_server: Redis) -> None:
    async with linked(redis_server.url, password=redis_server.password) as link:
        assert await link.run_script(ADD, ["count"], [2]) == 2
        with redis_server.client() as client:
            client.script_flush()
            client.flushall()
        assert await link.run_script(ADD, ["count"], [2]) == 2


async def test_a_few_lost_calls_among_many_change_nothing(redis_server: Redis) -> None:
    broken = Script.of("return redis.call('no such command')")
    async with linked(redis_server.url, password=redis_server.password) as link:
        for _ in range(FAILURES * 2):
            for _ in range(3):
                assert await link.set("some", b"value", ttl_ms=60_000)
            assert await link.run_script(broken, ["some"], []) is None
        assert link.up
        assert link.times_down == 0


async def test_a_caller_who_leaves_spoils_nothing(redis_server: Redis) -> None:
    async with linked(redis_server.url, password=redis_server.password) as link:
        for number in range(50):
            await link.set(f"key:{number}", str(number).encode(), ttl_ms=60_000)
        for number in range(50):
            task = asyncio.create_task(link.get(f"key:{number}"))
            for _ in range(number % 7):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        answers = await asyncio.gather(*(link.get(f"key:{number}") for number in range(50)))
        assert answers == [str(number).encode() for number in range(50)]
        assert link.up


async def test_after_close_there_is_no_answer(redis_server: Redis) -> None:
    async with linked(redis_server.url, password=redis_server.password) as link:
        pass
    assert await link.get("some") is None


def test_urls() -> None:
    target = parse_url("redis://host")
    assert target.addresses == (Address("host", 6379),)
    assert (target.cluster, target.db, target.tls, target.password) == (False, 0, None, None)
    target = parse_url("rediss://me:p%40ss@[::1]:7000/3?ssl_cert_reqs=none", password="other")
    assert target.addresses == (Address("::1", 7000),)
    assert (target.username, target.password, target.db) == ("me", "p@ss", 3)
    assert target.tls == {"ssl_cert_reqs": "none"}
    target = parse_url("redis+cluster://a:1,b:2,c", password="secret")
    assert target.addresses == (Address("a", 1), Address("b", 2), Address("c", 6379))
    assert (target.cluster, target.password) == (True, "secret")
    assert parse_url("rediss+cluster://a").tls == {}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:6379",
        "http://host",
        "redis://",
        "redis://:hunter2@host:port",
        "redis://:hunter2@host:70000",
        "redis://:hunter2@host/x",
        "redis://:hunter2@host?ssl_cert_reqs=none",
        "rediss://:hunter2@host?unknown=1",
        "redis+cluster://:hunter2@a,,b",
        "redis+sentinel://:hunter2@host",
        "redis://[::1",
    ],
)
def test_a_wrong_url_is_told_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match="REDIS_URL") as caught:
        RedisLink(url)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
