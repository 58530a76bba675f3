"""Reads through the whole of the API, with what is changed behind its back."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest
from psycopg import Connection

from app.api.changes import Changes
from app.api.config import ApiSettings
from tests.support.api import RunningApi
from tests.support.metrics import scrape
from tests.support.program import wait_until
from tests.support.redis_server import Redis

pytestmark = pytest.mark.direct

PROMISED_SECONDS = 0.2


@pytest.fixture
def job(db: Connection[Any]) -> str:
    """A job that does not fire by itself."""
    query = (
        """select scheduler.create_job(name => 'report', job_type => 'sql', target => '{"statement": "x"}')"""
    )
    return str(db.execute(query).fetchall()[0][0])


@pytest.fixture
def two(
    api_settings: ApiSettings, keys: dict[str, str], redis_server: Redis
) -> Iterator[tuple[RunningApi, RunningApi]]:
    """Two processes that share a Redis, and hear of changes."""
    settings = msgspec.structs.replace(
        api_settings, redis_url=redis_server.url, redis_password=redis_server.password
    )
    with RunningApi(settings, keys=keys) as one, RunningApi(settings, keys=keys) as other:
        for api in (one, other):
            wait_until(lambda: api.app.changes.mode == "listen", "it hears")  # noqa: B023 - ends within the turn
        yield one, other


def read(client: httpx.Client, job: str, **headers: str) -> tuple[int, str]:
    """Returns a job's priority, and what the cache did."""
    answer = client.get(f"/v1/jobs/{job}", headers=headers)
    assert answer.status_code == 200
    return answer.json()["priority"], answer.headers["x-cache"]


def change(db: Connection[Any], job: str, priority: int) -> None:
    """Changes a job as somebody at a psql prompt does."""
    db.execute(
        "select scheduler.update_job(%s, jsonb_build_object('priority', %s::integer))", [job, priority]
    )


def test_a_read_is_answered_from_the_cache(client: httpx.Client, api: RunningApi, job: str) -> None:
    wait_until(lambda: api.app.changes.mode == "listen", "it hears")
    first = client.get(f"/v1/jobs/{job}")
    second = client.get(f"/v1/jobs/{job}")
    assert (first.headers["x-cache"], second.headers["x-cache"]) == ("miss", "hit")
    assert first.content == second.content
    assert first.headers["etag"] == second.headers["etag"]
    assert int(second.headers["age"]) in (0, 1)
    unchanged = client.get(f"/v1/jobs/{job}", headers={"If-None-Match": first.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert unchanged.headers["x-request-id"] != first.headers["x-request-id"]


def test_an_id_is_the_same_however_it_is_written(client: httpx.Client, api: RunningApi, job: str) -> None:
    wait_until(lambda: api.app.changes.mode == "listen", "it hears")
    assert read(client, job) == (0, "miss")
    assert read(client, UUID(job).hex) == read(client, job.upper()) == (0, "hit")
    client.patch(f"/v1/jobs/{UUID(job).hex}", json={"priority": 1}).raise_for_status()
    assert read(client, UUID(job).hex) == (1, "miss")


def test_a_change_in_psql_is_seen_by_every_process(
    two: tuple[RunningApi, RunningApi], db: Connection[Any], job: str
) -> None:
    """Each process, each time, by a read that asks for nothing special."""
    clients = [api.client("read") for api in two]
    for number in range(1, 21):
        for client in clients:
            read(client, job)
        change(db, job, number)
        for client in clients:
            wait_until(lambda: read(client, job)[0] == number, "the change is seen")  # noqa: B023


@pytest.mark.alone
def test_a_change_in_psql_is_seen_in_time(
    two: tuple[RunningApi, RunningApi], db: Connection[Any], job: str
) -> None:
    client = two[0].client("read")
    seconds = []
    for number in range(1, 41):
        read(client, job)
        assert read(client, job)[1] == "hit"
        change(db, job, number)
        committed_at = time.monotonic()
        while read(client, job)[0] != number:
            assert time.monotonic() < committed_at + 10
        seconds.append(time.monotonic() - committed_at)
    assert statistics.median(seconds) < PROMISED_SECONDS


def test_writers_read_what_they_wrote(two: tuple[RunningApi, RunningApi], job: str) -> None:
    """At the other process, by the token, at once."""
    writer, reader = two[0].client("admin"), two[1].client("read")
    for number in range(1, 21):
        read(reader, job)
        answer = writer.patch(f"/v1/jobs/{job}", json={"priority": number})
        token = answer.headers["x-consistency-token"]
        assert read(reader, job, **{"X-Consistency-Token": token})[0] == number


def test_who_writes_reads_it_at_once_from_the_same_process(
    monkeypatch: pytest.MonkeyPatch,
    api_settings: ApiSettings,
    keys: dict[str, str],
    db: Connection[Any],
    job: str,
) -> None:
    """Without a token, and even if the database's word of the change never comes."""

    async def ignore(*_: Any) -> None:
        pass

    monkeypatch.setattr(Changes, "_changed", ignore)
    with RunningApi(api_settings, keys=keys) as api:
        wait_until(lambda: api.app.changes.mode == "listen", "it hears")
        client = api.client("admin")
        for number in range(1, 6):
            db.execute("select pg_logical_emit_message(false, 'test', 'later than the change before')")
            read(client, job)
            assert read(client, job)[1] == "hit"
            client.patch(f"/v1/jobs/{job}", json={"priority": number}).raise_for_status()
            assert read(client, job)[0] == number


def test_a_key_is_not_answered_what_another_may_see(api: RunningApi, job: str) -> None:
    """A key that may not read is refused, whoever has read before; and no key is known from the cache."""
    assert read(api.client("read"), job)[1] == "miss"
    for scope in ("enqueue", "operate"):
        allowed = api.client(scope).get(f"/v1/jobs/{job}")
        assert allowed.status_code == 403
    assert api.client(None).get(f"/v1/jobs/{job}").status_code == 401
    assert read(api.client("admin"), job)[1] == "miss"
    assert read(api.client("admin"), job)[1] == "hit"


def test_a_revoked_key_ends_at_once(
    two: tuple[RunningApi, RunningApi], db: Connection[Any], job: str
) -> None:
    """Nothing that is kept is served to it."""
    clients = [api.client("read") for api in two]
    for client in clients:
        read(client, job)
        assert read(client, job)[1] in ("hit", "stale")
    db.execute("select scheduler.revoke_api_key(key_id) from scheduler.api_keys where name = 'read'")
    revoked_at = time.monotonic()
    for client in clients:
        wait_until(lambda: client.get(f"/v1/jobs/{job}").status_code == 401, "the key ends")  # noqa: B023
    assert time.monotonic() - revoked_at < 5.0


def test_a_deleted_job_is_gone(client: httpx.Client, api: RunningApi, db: Connection[Any], job: str) -> None:
    wait_until(lambda: api.app.changes.mode == "listen", "it hears")
    read(client, job)
    db.execute("select scheduler.delete_job(%s)", [job])
    wait_until(lambda: client.get(f"/v1/jobs/{job}").status_code == 404, "it is gone")


def test_it_is_counted(client: httpx.Client, job: str) -> None:
    """By what the cache did; the metrics are rendered a few times a second."""

    def counts() -> list[float]:
        found = scrape(client).get("cache_requests_total", {})
        return [found.get((("result", result),), 0.0) for result in ("hit", "miss", "bypass")]

    before = counts()
    path = f"/v1/jobs/{job}/executions"
    for headers in ({}, {"Cache-Control": "no-cache"}, {}):
        assert client.get(path, headers=headers).status_code == 200
    wait_until(lambda: counts() == [count + 1 for count in before], "each is counted")


def test_the_route_of_a_hit_is_its_template(client: httpx.Client, api: RunningApi, job: str) -> None:
    """Else every job would be a label of its own."""
    labels = (("method", "GET"), ("route", "/v1/jobs/{job_id}"), ("status_code", "200"))

    def count() -> float:
        return scrape(client).get("http_request_duration_seconds_count", {}).get(labels, 0.0)

    before = count()
    for _ in range(3):
        read(client, job)
    wait_until(lambda: count() == before + 3, "each is counted")
    assert job not in client.get("/metrics").text
