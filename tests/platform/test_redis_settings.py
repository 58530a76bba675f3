"""REDIS_URL and REDIS_PASSWORD: masked where they are shown, and looked at by `pgtick doctor`."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.doctor_redis import judge, look_at_redis
from app.settings import list_settings, mask
from tests.conftest import Database
from tests.support.certificates import Certificates
from tests.support.cli import error_line, pgtick
from tests.support.program import free_port
from tests.support.redis_server import Redis, RedisCluster

GOOD = {"redis_version": "7.2.4", "maxmemory": 1, "maxmemory_policy": "allkeys-lru"}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("redis://:hunter2@h:6379/0", "redis://:********@h:6379/0"),
        ("redis+cluster://u:hunter2@h:1,g:2", "redis+cluster://u:********@h:1,g:2"),
        ("rediss://h:1?password=hunter2", "rediss://h:1"),
        ("redis://u:hunt@er2@h", "********"),
    ],
)
def test_a_password_in_the_url_is_masked(url: str, shown: str) -> None:
    assert mask(url) == shown
    rows = {row.name: row.value for row in list_settings({"REDIS_URL": url, "REDIS_PASSWORD": "hunter2"})}
    assert (rows["REDIS_URL"], rows["REDIS_PASSWORD"]) == (shown, "********")


def test_doctor_is_content_with_a_cache(redis_server: Redis) -> None:
    found = look_at_redis(redis_server.url, redis_server.password)
    assert (found.check, found.status, found.fix) == ("Redis", "ok", "")
    assert f"at 127.0.0.1:{redis_server.port}, allkeys-lru, " in found.detail


def test_doctor_looks_at_a_cluster_by_any_node(redis_cluster: RedisCluster) -> None:
    url = f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{redis_cluster.nodes[1].port}"
    found = look_at_redis(url, redis_cluster.password)
    assert (found.status, "a cluster of 3" in found.detail) == ("ok", True)


def test_doctor_looks_over_tls(tmp_path: Path) -> None:
    with Redis(tmp_path, password="secret", certificates=Certificates.make(tmp_path)) as redis:
        assert look_at_redis(redis.url, "secret").status == "ok"
        distrustful = look_at_redis(redis.url.partition("?")[0], "secret")
        assert (distrustful.status, "certificate verify failed" in distrustful.detail) == ("fail", True)


def test_doctor_finds_what_is_bad(redis_server: Redis) -> None:
    wrong = look_at_redis(redis_server.url, "hunter2")
    assert (wrong.status, wrong.fix) == ("fail", "correct REDIS_PASSWORD")
    assert "hunter2" not in repr(wrong)
    malformed = look_at_redis("http://:hunter2@h", None)
    assert (malformed.status, malformed.detail) == ("fail", "REDIS_URL is not valid")
    assert malformed.fix.startswith("write redis://")
    redis_server.kill()
    gone = look_at_redis(redis_server.url, redis_server.password)
    assert (gone.status, gone.fix) == ("fail", "start it, or correct REDIS_URL")


def test_doctor_wants_a_bounded_cache(tmp_path: Path) -> None:
    with Redis(tmp_path, settings={"maxmemory-policy": "noeviction"}) as redis:
        found = look_at_redis(redis.url, None)
        assert (found.status, "maxmemory-policy" in found.fix) == ("warn", True)
        with redis.client() as client:
            client.config_set("maxmemory", 0)
        found = look_at_redis(redis.url, None)
        assert (found.status, "no maxmemory" in found.detail) == ("warn", True)


def test_doctor_wants_a_server_of_this_decade_nearby() -> None:
    assert judge(GOOD, where="h", seconds=0.001).status == "ok"
    assert judge(GOOD | {"redis_version": "5.0.14"}, where="h", seconds=0.001).status == "fail"
    assert judge(GOOD, where="h", seconds=0.02).status == "warn"


def test_doctor_tells_it_among_the_rest(database: Database) -> None:
    given = {"DB_WRITE_CONNECTION_STRING": database.dsn(direct=True)}
    assert "each process of the API caches and limits by itself" in pgtick("doctor", **given).stdout
    done = pgtick("doctor", REDIS_URL=f"redis://:hunter2@127.0.0.1:{free_port()}", **given)
    assert error_line(done).startswith("pgtick: bad: Redis")
    assert "hunter2" not in done.stdout
