"""The Redis servers that tests run on: they do what the tests do to them, and nothing is left behind."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from redis import Redis as Client
from redis import RedisCluster as ClusterClient
from redis import exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from app.valkey import find_server
from tests.support.certificates import Certificates
from tests.support.program import wait_until
from tests.support.redis_server import Redis, RedisCluster, find_program

ONCE = Retry(NoBackoff(), 0)


def test_it_survives_nothing_but_keeps_its_port(tmp_path: Path) -> None:
    with Redis(tmp_path) as redis:
        port = redis.port
        with redis.client() as client:
            client.set("kept", "1")
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "allkeys-lru"}
        redis.kill()
        with redis.client() as client, pytest.raises(exceptions.ConnectionError):
            client.get("kept")
        redis.restart()
        assert redis.port == port
        with redis.client() as client:
            assert client.get("kept") is None
            client.set("kept", "2")
            redis.flush_all()
            assert client.get("kept") is None


def test_a_frozen_one_takes_connections_and_says_nothing(tmp_path: Path) -> None:
    with Redis(tmp_path) as redis, redis.client() as client:
        client.set("kept", "1")
        redis.freeze()
        with redis.client() as other, pytest.raises(exceptions.TimeoutError):
            other.get("kept")
        redis.thaw()
        with redis.client() as other:
            assert other.get("kept") == "1"
        redis.freeze()
    with pytest.raises(exceptions.RedisError):
        client.ping()


def test_password(tmp_path: Path) -> None:
    password = Redis.make_password()
    with Redis(tmp_path, password=password) as redis:
        assert password not in redis.url
        assert redis.environ == {"REDIS_URL": redis.url, "REDIS_PASSWORD": password}
        with redis.client() as client:
            assert client.ping()
        with Client.from_url(redis.url) as stranger, pytest.raises(exceptions.AuthenticationError):
            stranger.ping()


def test_tls(tmp_path: Path) -> None:
    with Redis(tmp_path, password="secret", certificates=Certificates.make(tmp_path)) as redis:
        assert redis.url.startswith("rediss://")
        with redis.client() as client:
            assert client.ping()
        distrustful = Client(port=redis.port, password="secret", ssl=True, retry=ONCE)
        with distrustful, pytest.raises(exceptions.ConnectionError, match="certificate verify failed"):
            distrustful.ping()
        plain = Client(port=redis.port, password="secret", retry=ONCE)
        with plain, pytest.raises(exceptions.ConnectionError):
            plain.ping()


def test_the_program_of_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with Redis(tmp_path, password="secret") as redis, redis.client() as client:
        assert client.info("server")["server_name"] == "valkey"
    assert find_program(needs_tls=False) == str(find_server())


def test_a_cluster(tmp_path: Path) -> None:
    with RedisCluster(tmp_path, password="secret") as cluster:
        node = cluster.nodes[0]
        client = ClusterClient(host="127.0.0.1", port=node.port, password="secret")
        for number in range(100):
            client.set(f"key {number}", number)
        for each in cluster.nodes:
            with each.client() as one:
                assert one.dbsize() > 0
        assert client.get("key 99") == b"99"
        cluster.flush_all()
        assert client.get("key 99") is None
        client.close()
        cluster.nodes[2].kill()
        wait_until(lambda: not cluster.is_whole(), "a node is missed")
        cluster.nodes[2].restart()
        cluster.wait_until_whole()
