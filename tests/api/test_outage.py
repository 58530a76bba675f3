"""A database that goes away and comes back: problems meanwhile, and answers again without a restart."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.api.conftest import MAKE_KEYS
from tests.support.api_process import ApiProcess
from tests.support.program import wait_until
from tests.support.sse import Listener
from tests.support.topology import Topology

pytestmark = pytest.mark.slow

SOON_SECONDS = 15.0
"""The database answers again and so does the API: its pools do not wait ever longer between their tries."""


@pytest.fixture
def keys(topology: Topology) -> dict[str, str]:
    """A key of each scope."""
    with psycopg.connect(topology.conninfo()) as conn:
        return dict(conn.execute(MAKE_KEYS, [["read", "operate"]]).fetchall())


@pytest.fixture
def start(topology: Topology, tmp_path: Path) -> Iterator[Callable[..., ApiProcess]]:
    """A function that runs `pgtick api` with these settings only."""
    started: list[ApiProcess] = []

    def run(**variables: str) -> ApiProcess:
        started.append(ApiProcess(variables, log=tmp_path / f"api-{len(started)}.log"))
        return started[-1]

    yield run
    for each in started:
        each.stop()


class Caller:
    """Reads and writes."""

    def __init__(self, api: ApiProcess, keys: dict[str, str]) -> None:
        self._url = api.url
        self._keys = keys

    def read(self) -> httpx.Response:
        """Lists jobs."""
        return self._call("GET", "read", None)

    def names(self) -> set[str]:
        """Returns the names of the jobs that it reads."""
        return {job["name"] for job in self.read().json()["items"]}

    def write(self, name: str) -> httpx.Response:
        """Makes a job."""
        body = {"name": name, "job_type": "http", "target": {"url": "https://example.com"}}
        return self._call("POST", "operate", body)

    def _call(self, method: str, scope: str, body: object) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self._keys[scope]}"}
        return httpx.request(method, f"{self._url}/v1/jobs", headers=headers, json=body, timeout=30)


def seconds_until(answers: Callable[[], bool]) -> float:
    """Waits, and says for how long."""
    began = time.monotonic()
    wait_until(answers, "the API answers again", seconds=60)
    return time.monotonic() - began


def test_a_database_that_comes_later(
    topology: Topology, start: Callable[..., ApiProcess], keys: dict[str, str]
) -> None:
    topology.primary.stop()
    try:
        api = start(DB_WRITE_CONNECTION_STRING=topology.conninfo(user="pgtick_api"))
        caller = Caller(api, keys)
        for answer in (caller.read(), caller.write("early")):
            assert answer.status_code == 503
            assert answer.headers["content-type"] == "application/problem+json"
            assert int(answer.headers["retry-after"]) > 0
            assert answer.json()["type"] == "/problems/database-unavailable"  # away, not busy
    finally:
        topology.primary.start()
    assert seconds_until(lambda: caller.read().status_code == 200) < SOON_SECONDS
    assert caller.write("later").status_code == 201


def test_a_database_that_is_away_for_a_while(
    topology: Topology, start: Callable[..., ApiProcess], keys: dict[str, str]
) -> None:
    api = start(**topology.environ())
    caller = Caller(api, keys)
    assert caller.write("before").status_code == 201
    topology.wait_until_replayed()  # the test's server commits before it writes
    topology.primary.kill()
    try:
        # Replicas read on, writes are refused; so for long enough that a pool's pauses would have grown.
        until = time.monotonic() + 10
        while time.monotonic() < until:
            assert caller.read().status_code == 200
            assert caller.write("meanwhile").status_code == 503
    finally:
        topology.primary.start()
    assert seconds_until(lambda: caller.write("after").status_code in (201, 409)) < SOON_SECONDS
    # A replica answers, which has to find the primary again first.
    wait_until(lambda: {"before", "after"} <= caller.names(), "both are seen")
    assert "Traceback" not in api.said


def test_a_stream_outlives_the_database(
    topology: Topology, start: Callable[..., ApiProcess], keys: dict[str, str]
) -> None:
    api = start(DB_WRITE_CONNECTION_STRING=topology.pooled_conninfo())
    caller = Caller(api, keys)
    with Listener(api.url, key=keys["read"]) as listener:
        listener.wait_for_event("hello")
        topology.primary.kill()
        try:
            api.wait_for("no events until the database answers again")
            assert not listener.has_ended
        finally:
            topology.primary.start()
        assert seconds_until(lambda: caller.write("woken").status_code in (201, 409)) < SOON_SECONDS
        with psycopg.connect(topology.conninfo()) as conn:
            conn.execute(
                "select scheduler.enqueue(job_type => 'python', target => '{\"handler\": \"none\"}')"
            )
        listener.wait_for_event("queues")
        assert not listener.has_ended


def test_a_failover(topology: Topology, start: Callable[..., ApiProcess], keys: dict[str, str]) -> None:
    api = start(**topology.environ())
    caller = Caller(api, keys)
    written = caller.write("kept")
    assert written.status_code == 201
    topology.wait_until_replayed()
    topology.fail_over()
    assert seconds_until(lambda: caller.write("afterwards").status_code in (201, 409)) < SOON_SECONDS
    wait_until(lambda: {"kept", "afterwards"} <= caller.names(), "both are seen")
