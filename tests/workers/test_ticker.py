"""Tickers as processes of their own, on a real database."""

from __future__ import annotations

import signal
import time
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from tests.conftest import Database
from tests.workers.conftest import StartWorker
from tests.workers.support import wait_until


def create(db: Connection[Any], name: str, schedule: str = "* * * * * *", **arguments: Any) -> None:
    names = "".join(f", {key} => %({key})s" for key in arguments)
    db.execute(
        f"""
        select scheduler.create_job(name => %(name)s, job_type => 'sql', target => '"select 1"',
            schedule => %(schedule)s, overlap => 'allow', misfire => 'fire_all'{names})
        """,
        {"name": name, "schedule": schedule, **arguments},
    )


def fires(db: Connection[Any]) -> list[Any]:
    return db.execute(
        "select fire_at, created_at from scheduler.executions where job_name = 'each second' order by fire_at"
    ).fetchall()


def assert_every_second_once(rows: list[Any]) -> None:
    instants = [fire_at for fire_at, _ in rows]
    assert instants == [instants[0] + timedelta(seconds=n) for n in range(len(instants))]


def test_a_schedule_made_while_the_next_fire_is_far_away(start: StartWorker, db: Connection[Any]) -> None:
    create(db, "far away", "0 0 29 2 *")
    ticker = start("ticker")
    wait_until(lambda: bool(ticker.events("ticking")))
    create(db, "each second")
    wait_until(lambda: len(fires(db)) >= 3)
    ticker.signal(signal.SIGTERM)
    assert ticker.wait() == 0
    assert_every_second_once(fires(db))


def test_several_tickers_and_a_killed_and_a_frozen_one(start: StartWorker, db: Connection[Any]) -> None:
    create(db, "each second")
    tickers = [start("ticker") for _ in range(3)]
    wait_until(lambda: len(fires(db)) >= 2)
    tickers[0].kill()
    tickers[1].signal(signal.SIGSTOP)
    before = len(fires(db))
    wait_until(lambda: len(fires(db)) >= before + 3)
    tickers[1].signal(signal.SIGCONT)
    wait_until(lambda: len(fires(db)) >= before + 5)
    assert_every_second_once(fires(db))


@pytest.mark.direct
def test_lost_database_is_told_once_and_caught_up(
    start: StartWorker, db: Connection[Any], database: Database
) -> None:
    create(db, "each second")
    ticker = start("ticker")
    wait_until(lambda: len(fires(db)) >= 1)
    with psycopg.connect(database.server.conninfo("postgres"), autocommit=True) as admin:
        admin.execute(f'alter database "{database.name}" with allow_connections false')
        db.execute(
            """
            select pg_terminate_backend(pid) from pg_stat_activity
            where datname = current_database() and usename = 'pgtick_worker'
            """
        )
        wait_until(lambda: bool(ticker.events("database unavailable, retrying")))
        time.sleep(2)  # the outage itself: long enough for many retries
        admin.execute(f'alter database "{database.name}" with allow_connections true')
    wait_until(lambda: bool(ticker.events("database available again")))
    before = len(fires(db))
    wait_until(lambda: len(fires(db)) >= before + 2)
    assert_every_second_once(fires(db))
    assert len(ticker.events("database unavailable, retrying")) == 1


def test_takes_back_from_silent_workers(start: StartWorker, db: Connection[Any]) -> None:
    db.execute("select scheduler.enqueue('sql', '\"select 1\"')")
    db.execute("select scheduler.heartbeat('00000000-0000-4000-8000-000000000001', lease => '1 second')")
    db.execute("select scheduler.claim('00000000-0000-4000-8000-000000000001')")
    ticker = start("ticker")
    wait_until(lambda: bool(ticker.events("took executions back from silent workers")))


def test_empty_database_is_told_in_one_line(start: StartWorker, empty_database: Database) -> None:
    dsn = empty_database.dsn()
    ticker = start("ticker", DB_WRITE_CONNECTION_STRING=dsn)
    assert ticker.wait() == 1
    assert ticker.log.count("\n") == 1
    assert "run `pgtick migrate`" in ticker.log


def test_a_herd_is_made_before_its_instant(start: StartWorker, db: Connection[Any]) -> None:
    """By two tickers, each schedule once; of each shard each may leave one for its instant."""
    create(db, "one of many", "*/6 * * * * *")
    db.execute(
        """
        insert into scheduler_internal.schedules
            (shard, job_version, job_id, next_fire_at, jitter, rank, misfire, overlap, timezone, queue,
             job_type, spec)
        select scheduler.get_shard_id(c.job_id), s.job_version, c.job_id, s.next_fire_at, s.jitter, s.rank,
               s.misfire, s.overlap, s.timezone, s.queue, s.job_type, s.spec
        from scheduler_internal.schedules s
        cross join (select gen_random_uuid() as job_id from generate_series(1, 4000)) c
        """
    )
    for _ in range(2):
        start("ticker")
    made = """
        select count(*) filter (where created_at < fire_at) from scheduler.executions group by fire_at
        having count(*) = 4001 order by fire_at
    """
    wait_until(lambda: len(db.execute(made).fetchall()) >= 3)
    assert db.execute(made).fetchall()[2][0] >= 4001 - 2 * 16
