"""A worker whose database goes away: for less than the lease, and for longer."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import Connection, sql

from tests.conftest import Database
from tests.workers.conftest import StartWorker
from tests.workers.support import Schedule, is_alive, wait_for_file, wait_until

pytestmark = pytest.mark.direct


@pytest.fixture
def schedule(db: Connection[Any]) -> Schedule:
    return Schedule(db)


@contextlib.contextmanager
def outage(database: Database, db: Connection[Any]) -> Iterator[None]:
    """Nobody gets a connection, and the workers lose theirs; only the test keeps its own."""
    name = sql.Identifier(database.name)
    with psycopg.connect(database.server.conninfo("postgres"), autocommit=True) as admin:
        admin.execute(sql.SQL("alter database {} with allow_connections false").format(name))
        db.execute(
            """
            select pg_terminate_backend(pid) from pg_stat_activity
            where datname = current_database() and usename like 'pgtick%'
            """
        )
        try:
            yield
        finally:
            admin.execute(sql.SQL("alter database {} with allow_connections true").format(name))


def test_short_outage_costs_nothing(
    start: StartWorker, schedule: Schedule, database: Database, tmp_path: Path
) -> None:
    """Handlers run on and end during the outage; their ends are recorded after it, as first attempts."""
    worker = start("worker", PGTICK_LEASE_SECONDS="30")
    file = tmp_path / "runs"
    executions = [
        schedule.enqueue("python", "touch", payload={"file": str(file), "seconds": 1}) for _ in range(5)
    ]
    wait_until(lambda: file.exists() and len(file.read_text().splitlines()) == 5)
    with outage(database, schedule.conn):
        wait_until(lambda: len(worker.events("execution ended")) == 5)
        assert {schedule.execution(execution_id).status for execution_id in executions} == {"running"}
    for execution_id in executions:
        row = schedule.wait(execution_id)
        assert (row.status, row.attempt) == ("succeeded", 1)
    assert len(file.read_text().splitlines()) == 5
    wait_until(lambda: bool(worker.events("database available again")))


def test_is_told_where_the_direct_address_has_long_been_wrong(
    start: StartWorker, schedule: Schedule, database: Database
) -> None:
    """Which costs milliseconds only, and is told as what it is."""
    worker = start("worker", DB_DIRECT_CONNECTION_STRING="host=127.0.0.1 port=1")
    schedule.wait(schedule.enqueue("python", "noop"))
    wait_until(lambda: bool(worker.events("direct connection unavailable, retrying")))
    assert worker.events("database unavailable, retrying") == []
    with outage(database, schedule.conn):
        wait_until(lambda: bool(worker.events("database unavailable, retrying")))
    wait_until(lambda: bool(worker.events("database available again")))


def test_who_leaves_in_an_outage_tells_what_was_not_recorded(
    start: StartWorker, schedule: Schedule, database: Database, tmp_path: Path
) -> None:
    """Its log has them as succeeded, but they will run again."""
    worker = start("worker")
    file = tmp_path / "runs"
    for _ in range(2):
        schedule.enqueue("python", "touch", payload={"file": str(file), "seconds": 1})
    wait_until(lambda: file.exists() and len(file.read_text().splitlines()) == 2)
    with outage(database, schedule.conn):
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0
    assert len(worker.events("execution ended")) == 2
    event = "ends cannot be recorded, leaving without; others will run these executions again"
    assert [line["executions"] for line in worker.events(event)] == [2]


def test_outage_beyond_the_lease_stops_everything(
    start: StartWorker, schedule: Schedule, database: Database, tmp_path: Path
) -> None:
    """Stopped a second before the lease ends: nobody else can have begun the same execution by then."""
    lease = 4.0
    worker = start("worker", PGTICK_LEASE_SECONDS=str(lease), PGTICK_BEAT_SECONDS="0.5")
    ticker = start("ticker")
    hanging = schedule.enqueue("python", "hang", payload={"started": str(tmp_path / "started")})
    pid = int(wait_for_file(tmp_path / "started"))
    (tmp_path / "started").unlink()
    wait_until(lambda: bool(ticker.events("ticking")))  # one that begins in the outage ends
    with outage(database, schedule.conn):
        began = time.monotonic()
        wait_until(lambda: not is_alive(pid))
        assert time.monotonic() - began < lease - 0.5
        wait_until(lambda: bool(worker.events("the lease is lost, stopping what runs")))
    # Back under a new id, with what the old one held taken back first.
    wait_for_file(tmp_path / "started")
    row = schedule.execution(hanging)
    assert (row.status, row.attempt) == ("running", 2)
    ids = schedule.conn.execute("select count(*) from scheduler.workers").fetchone()
    assert ids == (2,)
