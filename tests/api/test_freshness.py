"""What the cache answers: a change made in psql within a moment, and to each key only what it may see."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import Connection

from app.api.config import ApiSettings
from app.api.context import SCOPES
from tests.api.conftest import MAKE_KEYS
from tests.support.api import RunningApi
from tests.support.program import wait_until
from tests.support.topology import Topology

pytestmark = [pytest.mark.slow, pytest.mark.direct, pytest.mark.alone]

CREATE = "select scheduler.create_job(name => %s, job_type => 'http', target => '{\"url\": \"https://example.com/\"}')"
UPDATE = "select scheduler.update_job(%s, jsonb_build_object('priority', %s::integer))"
SEEN_SECONDS = 0.2
CHANGES = 15


@pytest.fixture
def psql(topology: Topology) -> Iterator[Connection[Any]]:
    with psycopg.connect(topology.conninfo(), autocommit=True) as conn:
        yield conn


@pytest.fixture
def api(topology: Topology, psql: Connection[Any]) -> Iterator[RunningApi]:
    keys = dict(psql.execute(MAKE_KEYS, [list(SCOPES)]).fetchall())
    topology.wait_until_replayed()
    environ = topology.environ()
    settings = ApiSettings(
        write_conninfo=environ["DB_WRITE_CONNECTION_STRING"],
        direct_conninfo=environ["DB_DIRECT_CONNECTION_STRING"],
        replicas=(environ["DB_READ_REPLICA_1"], environ["DB_READ_REPLICA_2"]),
        redis_url=environ["REDIS_URL"],
        redis_password=environ["REDIS_PASSWORD"],
        node_id="test",
        port=0,
        pool_size=4,
    )
    with RunningApi(settings, keys=keys) as running:
        yield running


def seconds_until_seen(client: httpx.Client, path: str, priority: int) -> float:
    """Returns how long a job's change takes to be seen by somebody who looks all the time."""
    began = time.monotonic()
    wait_until(lambda: client.get(path).json()["priority"] == priority, "the change is seen")
    return time.monotonic() - began


@pytest.mark.parametrize("delay", ["0", "2s"], ids=["replicas in time", "replicas late"])
def test_a_change_in_psql_is_seen_through_the_cache(
    topology: Topology, api: RunningApi, psql: Connection[Any], delay: str
) -> None:
    job_id = psql.execute(CREATE, [f"fresh {delay}"]).fetchone()[0]  # type: ignore[index]
    client, path = api.client(), f"/v1/jobs/{job_id}"
    topology.wait_until_replayed()
    wait_until(lambda: client.get(path).headers.get("X-Cache") == "hit", "it is cached")
    for replica in topology.replicas:
        replica.set_delay(delay)
    try:
        took = []
        for priority in range(1, CHANGES + 1):
            psql.execute(UPDATE, [job_id, priority])
            took.append(seconds_until_seen(client, path, priority))
            assert client.get("/v1/jobs?name_prefix=fresh").json()["items"]  # the list, too, is cached
    finally:
        for replica in topology.replicas:
            replica.set_delay("0")
    assert statistics.median(took) < SEEN_SECONDS, took


def test_keys_never_see_each_others_answers(api: RunningApi) -> None:
    """One that may read fills the cache; one that may not is refused all the same."""
    reader, enqueuer, nobody = api.client("read"), api.client("enqueue"), api.client(None)
    for _ in range(3):
        # On a busy machine what was asked first may be too old by the time it is asked again.
        wait_until(lambda: reader.get("/v1/jobs").headers["X-Cache"] == "hit", "it is in the cache")
        assert enqueuer.get("/v1/jobs").status_code == 403
        assert nobody.get("/v1/jobs").status_code == 401


def test_a_revoked_key_is_refused_although_its_answer_is_cached(
    api: RunningApi, psql: Connection[Any]
) -> None:
    row = psql.execute("select key_id, api_key from scheduler.create_api_key('gone', '{read}')").fetchone()
    assert row is not None
    client = api.client(None, headers={"Authorization": f"Bearer {row[1]}"})
    assert client.get("/v1/jobs").status_code == 200
    psql.execute("select scheduler.revoke_api_key(%s)", [row[0]])
    wait_until(lambda: client.get("/v1/jobs").status_code == 401, "it is refused", seconds=5)
