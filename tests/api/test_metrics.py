"""The metrics: the names of the contract, every answer counted, nothing asked for a scrape."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from psycopg import Connection

from app.api import snapshots
from app.api.config import ApiSettings
from app.api.metrics_folder import MetricsFolder
from app.api.snapshots import Queue, Snapshots
from tests.conftest import Database
from tests.support.api import RunningApi
from tests.support.cli import PGTICK, environment
from tests.support.metrics import Metrics, parse, scrape
from tests.support.program import Program, accepts, free_port, wait_until

COUNT = "http_request_duration_seconds_count"

# What the API exports of the contract, with its labels.
CONTRACT = {
    COUNT: {"method", "route", "status_code"},
    "node_info": {"node_id", "version"},
    "job_executions_total": {"job_type", "status"},
    "active_jobs_count": set(),
    "queue_oldest_ready_seconds": {"queue"},
    "db_pool_connections": {"pool"},
    "db_pool_requests_waiting": {"pool"},
    "db_pool_requests_total": {"pool"},
}


def is_buried(folder: Path, pid: int) -> bool:
    """Tells whether nothing is left of a process that was killed."""
    return not list(folder.glob(f"*_{pid}.db"))


def requests(metrics: Metrics) -> dict[tuple[str, str, str], int]:
    """Returns how many requests were counted by method, route and status."""
    found = {}
    for labels, value in metrics.get(COUNT, {}).items():
        by_name = dict(labels)
        found[by_name["method"], by_name["route"], by_name["status_code"]] = int(value)
    return found


def ended(metrics: Metrics, job_type: str, status: str) -> float | None:
    """Returns how many executions ended so."""
    return metrics.get("job_executions_total", {}).get((("job_type", job_type), ("status", status)))


@pytest.fixture
def anybody(api: RunningApi) -> httpx.Client:
    """A client without a key."""
    return api.client(None)


def test_the_contract(client: httpx.Client, db: Connection) -> None:
    db.execute("select scheduler.enqueue('sql', '\"select 1\"')")
    client.get("/v1/queues")
    wait_until(lambda: CONTRACT.keys() <= scrape(client).keys(), "all are there")
    found = scrape(client)
    for name, labels in CONTRACT.items():
        assert {frozenset(dict(series)) for series in found[name]} == {frozenset(labels)}, name


def test_every_answer_is_counted(api: RunningApi, client: httpx.Client) -> None:
    """By the template of its path: what a caller makes up is no label. 404, 405 and 401 too."""
    nobody = api.client(None)
    before = requests(scrape(client))
    calls = [
        (client, "GET", "/v1/queues", 200, "/v1/queues"),
        (client, "GET", "/v1/jobs/00000000-0000-4000-8000-000000000001", 404, "/v1/jobs/{job_id}"),
        (client, "DELETE", "/v1/queues", 405, "unmatched"),
        (client, "PROPFIND", "/v1/queues", 405, "unmatched"),
        (client, "GET", "/v1/nothing/of/ours", 404, "unmatched"),
        (nobody, "GET", "/v1/queues", 401, "unmatched"),
        (nobody, "GET", "/health/live", 200, "/health/live"),
        (client, "GET", "/v1/jobs?limit=x", 400, "/v1/jobs"),
    ]
    for caller, method, path, status, _ in calls:
        assert caller.request(method, path).status_code == status, (method, path)

    def counted() -> dict[tuple[str, str, str], int]:
        now = requests(scrape(client))
        return {key: n - before.get(key, 0) for key, n in now.items() if n != before.get(key, 0)}

    expected = {
        ("other" if method == "PROPFIND" else method, route, str(status)): 1
        for _, method, _, status, route in calls
    }

    def others() -> dict[tuple[str, str, str], int]:
        return {key: n for key, n in counted().items() if key[1] != "/metrics"}

    wait_until(lambda: sum(others().values()) == len(calls), "all are counted")
    assert others() == expected


def test_what_ended_and_what_waits(client: httpx.Client, db: Connection) -> None:
    """The database tells, of all workers: also of those that never were, as psql here."""
    for target in ("select 1", "select 1", "select 1/0"):
        db.execute("select scheduler.enqueue('sql', to_jsonb(%s::text), max_attempts => 1)", [target])
    db.execute("select scheduler.run_sql_jobs(10)")
    db.execute("select scheduler.enqueue('http', '\"https://example.org\"', queue => 'mail')")
    wait_until(lambda: ended(scrape(client), "sql", "succeeded") == 2, "they are counted")
    found = scrape(client)
    assert ended(found, "sql", "failed") == 1
    assert ended(found, "http", "expired") == 0
    assert found["active_jobs_count"][()] == 0
    assert found["queue_oldest_ready_seconds"][(("queue", "mail"),)] > 0
    assert found["queue_oldest_ready_seconds"][(("queue", "default"),)] == 0


def test_a_scrape_asks_nobody(api: RunningApi, anybody: httpx.Client) -> None:
    """The database is asked every five seconds, however many scrape."""
    wait_until(lambda: "active_jobs_count" in scrape(anybody), "the first snapshot is there")
    asked: list[Any] = []
    router = api.app.database.router
    read = router.read

    async def noted(*args: Any, **kwargs: Any) -> Any:
        asked.append(args)
        return await read(*args, **kwargs)

    router.read = noted  # type: ignore[method-assign]
    api.app.exposition.every_seconds = 3600.0
    wait_until(lambda: len(asked) == 1, "the turn that was due")
    for _ in range(20):
        scrape(anybody)
    assert len(asked) == 1


def test_without_a_database(api_settings: ApiSettings) -> None:
    """What this process counts is told all the same; what nobody knows is not."""
    nowhere = f"host=127.0.0.1 port={free_port()} dbname=x user=x"
    settings = msgspec.structs.replace(api_settings, write_conninfo=nowhere, direct_conninfo=nowhere)
    with RunningApi(settings) as api:
        client = api.client(None)
        client.get("/health/live")
        wait_until(lambda: ("GET", "/health/live", "200") in requests(scrape(client)), "it is counted")
        assert "active_jobs_count" not in scrape(client)
        assert (("pool", "primary"),) in scrape(client)["db_pool_connect_errors_total"]


def test_the_formats(anybody: httpx.Client) -> None:
    """Whatever the caller says that it takes."""
    plain = anybody.get("/metrics")
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    openmetrics = anybody.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    assert openmetrics.text.endswith("# EOF\n")
    for accept in (b"text/plain; version=x", b"application/openmetrics-text; version=x", b"\xff;=;=", b""):
        assert anybody.get("/metrics", headers={b"Accept": accept}).status_code == 200


def test_a_token(api_settings: ApiSettings) -> None:
    """Where one is set."""
    settings = msgspec.structs.replace(api_settings, metrics_token="s3cret")
    with RunningApi(settings) as api:
        client = api.client(None)
        for headers in ({}, {"Authorization": "Bearer s3cre"}, {"Authorization": "Basic s3cret"}):
            answer = client.get("/metrics", headers=headers)
            assert (answer.status_code, answer.json()["status"]) == (401, 401)
        assert client.get("/metrics", headers={"Authorization": "Bearer s3cret"}).status_code == 200
        assert client.get("/health").status_code in (200, 503)


def test_labels_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first hundred queues keep their names, whatever comes after them."""
    monkeypatch.setattr(snapshots, "MOST_QUEUES", 3)
    kept = Snapshots(None, pgbouncer=None, folder=None)  # type: ignore[arg-type]

    def bounded(**queues: float) -> dict[str, float]:
        rows = [Queue(name, seconds) for name, seconds in queues.items()]
        result = kept._bounded(rows)
        assert len({row.queue for row in result}) == len(result)
        return {row.queue: row.oldest_ready_seconds for row in result}

    assert bounded(b=1, d=2, other=3) == {"b": 1, "d": 2, "other": 3}
    assert bounded(a=9, b=1, c=8, d=2, other=3) == {"b": 1, "d": 2, "other": 9}
    assert bounded(a=9, d=5) == {"other": 9, "d": 5}


@pytest.fixture
def processes(database: Database, tmp_path: Path) -> Iterator[tuple[Program, httpx.Client]]:
    """Two API processes on one port."""
    port = free_port()
    environ = environment(
        DB_WRITE_CONNECTION_STRING=database.dsn(user="pgtick_api"),
        PGTICK_API_PORT=str(port),
        PGTICK_LOG_FORMAT="json",
        TMPDIR=str(tmp_path),
    )
    program = Program([*PGTICK, "api", "--processes", "2"], log=tmp_path / "log", environ=environ)
    try:
        program.wait_for(lambda: accepts(port))
        # Without keep-alive, so that now the one and now the other answers.
        limits = httpx.Limits(max_keepalive_connections=0)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", limits=limits, timeout=30) as client:
            yield program, client
    finally:
        program.stop()


@pytest.mark.slow
def test_any_process_tells_of_all(
    processes: tuple[Program, httpx.Client], db: Connection, tmp_path: Path
) -> None:
    """Also of those that were killed; and counters never go back from one scrape to the next."""
    program, client = processes

    def answered_by(times: int) -> set[str]:
        found = set()
        for _ in range(times):
            with suppress(httpx.TransportError):  # taken by the one that was killed
                found.add(client.get("/health").json()["node_id"])
        return found

    def count() -> int:
        return requests(scrape(client)).get(("GET", "/health/live", "200"), 0)

    wait_until(lambda: len(answered_by(10)) == 2, "both answer")
    for _ in range(50):
        assert client.get("/health/live").status_code == 200
    wait_until(lambda: count() == 50, "all are counted")
    assert {count() for _ in range(20)} == {50}
    assert {len(scrape(client)["db_pool_connections"]) for _ in range(5)} == {1}

    db.execute("select scheduler.enqueue('sql', '\"select 1\"')")
    db.execute("select scheduler.run_sql_jobs(10)")
    wait_until(lambda: ended(scrape(client), "sql", "succeeded") == 1, "it is counted")
    (folder,) = tmp_path.glob("pgtick-metrics-*")
    wait_until(lambda: len(answered_by(10)) == 2, "both answer")
    pids = {int(node.rsplit("-", 1)[1]) for node in answered_by(40)}
    for pid in pids:  # one of them takes the snapshots
        os.kill(pid, signal.SIGKILL)
        wait_until(partial(is_buried, folder, pid), "its files are gone")
        wait_until(lambda: len(answered_by(10)) == 2, "another has taken its place")
        seen = [scrape(client) for _ in range(20)]
        assert {requests(each)["GET", "/health/live", "200"] for each in seen} == {50}
        assert {ended(each, "sql", "succeeded") for each in seen} == {1}
    db.execute("select scheduler.enqueue('sql', '\"select 1\"')")
    db.execute("select scheduler.run_sql_jobs(10)")
    wait_until(lambda: ended(scrape(client), "sql", "succeeded") == 2, "somebody takes the snapshots")
    assert program.stop() == 0
    assert not folder.exists()


def test_the_dead_are_added_up(tmp_path: Path) -> None:
    """And do not pile up."""
    folder = MetricsFolder()
    try:
        from prometheus_client.mmap_dict import MmapedDict, mmap_key

        key = mmap_key("n", "n_total", ["a"], ["x"], "help")
        for pid in (11, 12, 13):
            for kind in ("counter", "histogram", "gauge_livesum"):
                values = MmapedDict(str(folder.path / f"{kind}_{pid}.db"))  # type: ignore[no-untyped-call]
                values.write_value(key, pid, 0.0)  # type: ignore[no-untyped-call]
                values.close()  # type: ignore[no-untyped-call]
        folder.bury(11)
        folder.bury(12)
        folder.bury(99)
        files = {path.name for path in folder.path.glob("*.db")}
        assert files == {
            *("counter_dead.db", "histogram_dead.db"),
            *("counter_13.db", "histogram_13.db", "gauge_livesum_13.db"),
        }
        path = str(folder.path / "counter_dead.db")
        values = MmapedDict.read_all_values_from_file(path)  # type: ignore[no-untyped-call]
        assert [value for _, value, _, _ in values] == [23.0]
    finally:
        folder.close()
    assert not folder.path.exists()


def test_a_series_twice_is_seen() -> None:
    """The parser of these tests sees what Prometheus would refuse."""
    with pytest.raises(AssertionError, match="twice"):
        parse('a{b="c"} 1\na{b="c"} 2\n')
